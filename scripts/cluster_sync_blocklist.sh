#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: cluster_sync_blocklist.sh FILE [HOST…]
# Blocks the addresses of a file on other hosts: copies it to each by ssh and runs block_ips_from_file.sh there.
#   HOST  as ssh takes it: [USER@]NAME; the login must be root's. Keys, not passwords: nothing is asked for
# Environment:
#   VOS_FASTPATH_CLUSTER_HOSTS        the hosts where none are given, with blanks or commas between them
#   VOS_FASTPATH_CLUSTER_REMOTE_PATH  where the project, or the folder that `make install` made, lies on the other
#                                     hosts: its scripts/ is used; /opt/vos-fastpath without it
#   VOS_FASTPATH_CLUSTER_SSH_OPTIONS  more options for ssh, with blanks between them: -p 2222 -i /root/key
# All hosts are tried. What a host says is printed with its name in front; the last line is
# `Done: N hosts done, N failed`.
# Exit codes: 0 all hosts done; 1 any failed or was refused, no hosts, no such file.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

# One word for a POSIX shell.
quoted() { # TEXT
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

# May it be handed to ssh? A name that begins with - would be read as an option, here or by a proxy command.
is_host() { # TEXT
    [[ $1 =~ ^([A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9_:][A-Za-z0-9._:%-]*$ ]]
}

# Runs on the other host, for any shell that POSIX knows: $1 is the script to run, $2 the file's length in bytes.
# A file that arrives cut is not used: its last line could be another address.
# shellcheck disable=SC2016 # expanded there
remote_program='
file=$(mktemp) || exit 1
trap '\''rm -f "$file"'\'' EXIT
trap "exit 1" HUP INT TERM
cat > "$file"
if [ "$(wc -c < "$file")" -ne "$2" ]; then
    echo "the file arrived cut: nothing was changed" >&2
    exit 1
fi
"$1" "$file"
'

# Copies and imports; the exit code is the import's, or 255 where ssh failed.
sync_host() { # HOST FILE
    local length
    length=$(wc -c < "$2")
    ssh "${ssh_options[@]}" -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=10 -- "$1" \
        "sh -c $(quoted "$remote_program") sh $(quoted "$remote_path/scripts/block_ips_from_file.sh") $length" < "$2"
}

answer_help "$@"
[ $# -ge 1 ] || usage_error "it takes a file, and hosts."
file=$1
shift
if [ ! -f "$file" ] || [ ! -r "$file" ]; then fail "there is no file '$file' that can be read."; fi

hosts=("$@")
if [ ${#hosts[@]} = 0 ]; then
    names=${VOS_FASTPATH_CLUSTER_HOSTS:-}
    # -d '': over several lines too; read then ends at the end of the text, with 1.
    read -r -d '' -a hosts <<< "${names//,/ }" || true
fi
[ ${#hosts[@]} -gt 0 ] || usage_error "there are no hosts: give some, or set VOS_FASTPATH_CLUSTER_HOSTS."
remote_path=${VOS_FASTPATH_CLUSTER_REMOTE_PATH:-/opt/vos-fastpath}
read -r -a ssh_options <<< "${VOS_FASTPATH_CLUSTER_SSH_OPTIONS:-}"

completed=0
failed=0
for host in "${hosts[@]}"; do
    if ! is_host "$host"; then
        printf "%s: '%s' is refused: it is no host's name.\n" "$script" "$host" >&2
        failed=$((failed + 1))
        continue
    fi
    code=0
    said=$(sync_host "$host" "$file" 2>&1) || code=$?
    [ -z "$said" ] || printf "%s\n" "$host: ${said//$'\n'/$'\n'$host: }"
    if [ "$code" = 0 ]; then
        echo "$host: done (exit 0)"
        completed=$((completed + 1))
    else
        [ "$code" = 255 ] && what="ssh failed" || what="the import failed"
        echo "$host: $what (exit $code)" >&2
        failed=$((failed + 1))
    fi
done
echo "Done: $completed hosts done, $failed failed"
[ "$failed" = 0 ]
