#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# packaging/install.sh [--remove] ROOT ETC [PREFIX]
# What `make install` and `make uninstall` do, after `make`: ROOT is $(DESTDIR)$(PREFIX), ETC
# the place of configuration files, PREFIX where systemd finds the command later (ROOT without it). What was put there is
# listed in ROOT/lib/vos-fastpath/installed-files, so that exactly that is removed again, by a later version too. The configuration
# is the operator's: one that is there is not overwritten, and one that was changed is not removed.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

remove=no
if [ "${1:-}" = --remove ]; then
    remove=yes
    shift
fi
case ${1:-} in
    /?*) root=$1 ;;
    *)
        echo "install: '${1:-}' is no place to install to: set PREFIX (and DESTDIR) to a path that begins with /." >&2
        exit 1
        ;;
esac
case ${2:-} in
    /?*) etc=$2 ;;
    *)
        echo "install: '${2:-}' is no place for a configuration: set SYSCONFDIR to a path that begins with /." >&2
        exit 1
        ;;
esac
prefix=${3:-$root}
prefix=${prefix%/}
list=$root/lib/vos-fastpath/installed-files
example=$root/share/vos-fastpath/config.toml
configuration=$etc/vos-fastpath/config.toml

# Removes what the names say that come in: files, and folders (with a / behind them) that are empty by then.
remove_listed() {
    local name
    LC_ALL=C sort -r | while read -r name; do
        case $name in
            */) rmdir "$root/$name" 2> /dev/null || true ;;
            *) rm -f "$root/$name" ;;
        esac
    done
}

if [ "$remove" = yes ]; then
    if [ ! -e "$list" ]; then
        echo "install: nothing of ours is in $root."
        exit 0
    fi
    if cmp -s "$example" "$configuration"; then
        rm -f "$configuration"
        rmdir "$etc/vos-fastpath" "$etc" 2> /dev/null || true
    fi
    # The list is one of the files.
    names=$(< "$list")
    remove_listed <<< "$names"
    echo "Removed from $root. The recorded lists stay in /var/lib/vos-fastpath."
    [ ! -e "$configuration" ] || echo "The configuration $configuration was changed, and stays."
    exit 0
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
put() { install -D -m "$1" -t "$stage/root/$2" "${@:3}"; } # MODE FOLDER FILE…

mapfile -t scripts < <(grep -l '^# Usage:' scripts/*.sh) # those without are for developers
put 755 bin build/vos-fastpath
put 644 lib/vos-fastpath build/sip_logic.bpf.o build/libvosfastpath.so
put 644 share/vos-fastpath packaging/config.toml
put 755 lib/vos-fastpath packaging/systemd/systemd-stop
put 644 lib/systemd/system packaging/systemd/vos-fastpath@.service
put 644 share/vos-fastpath/systemd/opensips.service.d packaging/systemd/opensips.service.d/vos-fastpath.conf
# They are written for /usr.
place() { # FILE PREFIX
    local text
    text=$(< "$1")
    text=${text//\/usr\/bin\//"$2"/bin/}
    printf '%s\n' "${text//\/usr\/lib\//"$2"/lib/}" > "$1"
}
place "$stage/root/lib/vos-fastpath/systemd-stop" "$prefix"
for file in "$stage"/root/lib/systemd/system/*.service "$stage"/root/share/vos-fastpath/systemd/*/*.conf; do
    place "$file" "${prefix//%/%%}" # which systemd would read as a specifier
done
put 755 share/vos-fastpath/scripts "${scripts[@]}"
put 644 share/vos-fastpath/scripts scripts/lib.sh
install -d "$stage"/root/share/{man/man8,bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
build/vos-fastpath generate-manual "$stage/root/share/man/man8" > /dev/null
completion() { build/vos-fastpath --generate-completion-script "$1" > "$stage/root/share/$2"; } # SHELL FILE
completion bash bash-completion/completions/vos-fastpath
completion zsh zsh/site-functions/_vos-fastpath
completion fish fish/vendor_completions.d/vos-fastpath.fish
chmod 644 "$stage"/root/share/{man/man8,bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}/*

cd "$stage/root"
touch "$stage/former"
if [ -e "$example" ]; then cp "$example" "$stage/former-example"; fi
if [ -e "$list" ]; then LC_ALL=C sort "$list" > "$stage/former"; fi
{
    find . -type f -printf '%P\n'
    echo lib/vos-fastpath/installed-files
    # Folders that are not there yet, and those that an earlier version made.
    find . -mindepth 1 -type d -printf '%P/\n' | while read -r folder; do [ -d "$root/$folder" ] || echo "$folder"; done
    grep '/$' "$stage/former" || true
} | LC_ALL=C sort -u > "$stage/list"

find . -type f -printf '%m %P\n' | while read -r mode file; do install -D -m "$mode" "$file" "$root/$file"; done
install -m 644 "$stage/list" "$list"
# One that is still what a former version put there has nothing to lose.
if [ ! -e "$configuration" ] || cmp -s "$stage/former-example" "$configuration"; then
    install -D -m 644 share/vos-fastpath/config.toml "$configuration"
fi
# What a former version put there and this one does not.
LC_ALL=C comm -13 "$stage/list" "$stage/former" | remove_listed
echo "Installed in $root: bin/vos-fastpath, and $(grep -vc -e '/$' -e '^bin/' "$list") files beside it."
