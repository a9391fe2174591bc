#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compares the tables in the documents with the code that they speak of, or, with --write, writes them anew: for
# developers, so without the "Usage:" of the operators' scripts. A table stands between
# `<!-- table: NAME -->` and `<!-- end of table -->`; its content is made from:
#   reasons, switches, maps, limits  Sources/CFastpathABI/include/fastpath_abi.h (map types: bpf/maps.h)
#   commands               build/vos-fastpath
#   scripts                the head comments of the operators' scripts
#   targets                make help
# Exit codes: 0 all true; 1 a table is not, or is in no document.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
cd "$scripts_folder/.."

write=no
case "$*" in
    "") ;;
    --write) write=yes ;;
    *) fail "it takes --write, or nothing." ;;
esac
command=$(find_command) || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tables"

# Rows of the shared header, by a program that includes it: the compiler reads the macros, not a pattern of ours.
"${CLANG:-clang}" -Wall -Werror -ISources/CFastpathABI/include -o "$work/abi" -x c - << 'END'
#include <stdio.h>
#include <string.h>
#include "fastpath_abi.h"

static void reasons(void)
{
	puts("| key | reason | verdict | label | rule |\n|---|---|---|---|---|");
#define X(NAME, name, id, VERDICT, label, sentence)                                          \
	if (FASTPATH_REASON_##NAME == FASTPATH_REASON_IGNORED)                               \
		printf("| – ");                                                              \
	else                                                                                 \
		printf("| %d ", id);                                                         \
	printf("| `%s` | %s | %s | %s |\n", #name, #VERDICT, label, sentence);
	FASTPATH_REASONS(X)
#undef X
}

static void switches(void)
{
	puts("| switch | does |\n|---|---|");
#define X(NAME, name, bit, sentence) printf("| `%s` | %s |\n", #name, sentence);
	FASTPATH_SWITCHES(X)
#undef X
}

static void maps(void)
{
#define X(NAME, name, key, value, entries) printf("%s %d %d %d\n", #name, key, value, FASTPATH_##NAME##_ENTRIES);
	FASTPATH_MAPS(X)
#undef X
}

static void limits(void)
{
#define LIMIT(name, meaning) printf("| `" #name "` | %d | " meaning " |\n", (int)(name));
	puts("| name | value | meaning |\n|---|---|---|");
	LIMIT(FASTPATH_SIP_PORT, "UDP destination port that is filtered")
	LIMIT(FASTPATH_WINDOW_LENGTH, "bytes of a payload that the rules read")
	LIMIT(FASTPATH_SHORT_PAYLOAD, "from so many bytes on a payload must show `SIP/2.0`")
	LIMIT(FASTPATH_FIRST_LINE_LIMIT, "`carrier`: the longest first line, in bytes without its end")
	LIMIT(FASTPATH_BLANK_LIMIT, "`carrier`: so many blanks are a keepalive, or are skipped before a start line")
	LIMIT(FASTPATH_TAG_LIMIT, "`carrier`: VLAN tags that are looked through")
	LIMIT(FASTPATH_EXTENSION_LIMIT, "`carrier`: IPv6 extension headers that are walked")
	printf("| `FASTPATH_PROGRAM_NAME` | `%s` | the program's name |\n", FASTPATH_PROGRAM_NAME);
	printf("| `FASTPATH_PROGRAM_SECTION` | `%s` | its section |\n", FASTPATH_PROGRAM_SECTION);
}

int main(int count, char **arguments)
{
	const char *table = count == 2 ? arguments[1] : "";

	if (strcmp(table, "reasons") == 0)
		reasons();
	else if (strcmp(table, "switches") == 0)
		switches();
	else if (strcmp(table, "maps") == 0)
		maps();
	else
		limits();
	return 0;
}
END

print_maps() {
    local name key value entries type
    printf '| map | type | key bytes | value bytes | entries (default) |\n|---|---|---|---|---|\n'
    "$work/abi" maps | while read -r name key value entries; do
        type=$(awk -v "name=$name" '/BPF_MAP_TYPE_/ { sub(/.*BPF_MAP_TYPE_/, ""); sub(/\).*/, ""); type = $0 }
            $1 == "}" && $2 == name { print type }' bpf/maps.h)
        [ -n "$type" ] || fail "bpf/maps.h has no map $name."
        echo "| \`$name\` | $type | $key | $value | $entries |"
    done
}

print_commands() {
    printf '| command | does |\n|---|---|\n'
    "$command" --experimental-dump-help | jq -r '
        def parts: .subcommands[]? | select(.shouldDisplay != false and .commandName != "help");
        def rows(path): (path + [.commandName]) as $path
            | if [parts] == [] then "| `\($path | join(" "))` | \(.abstract) |" else parts | rows($path) end;
        .command | parts | rows([])'
}

print_scripts() {
    local file
    grep -l '^# Usage:' scripts/*.sh | while read -r file; do
        # shellcheck disable=SC2016 # a fence of Markdown
        printf '### %s\n\n```text\n%s\n```\n\n' "${file##*/}" "$("$file" --help)"
    done | sed '$ d'
}

print_targets() {
    # shellcheck disable=SC2016 # a fence of Markdown
    printf '```text\n%s\n```\n' "$(make --no-print-directory help)"
}

"$work/abi" reasons > "$work/tables/reasons"
print_maps > "$work/tables/maps"
"$work/abi" limits > "$work/tables/limits"
"$work/abi" switches > "$work/tables/switches"
print_commands > "$work/tables/commands"
print_scripts > "$work/tables/scripts"
print_targets > "$work/tables/targets"

status=0
documents=(./*.md specs/*.md docs/*.md)
for document in "${documents[@]}"; do
    awk -v "folder=$work/tables" -v "document=$document" '
        /^<!-- end of table -->$/ { inside = 0 }
        !inside { print }
        /^<!-- table: [a-z]+ -->$/ {
            inside = 1
            file = folder "/" $3
            known = 0
            while ((getline line < file) > 0) { print line; known = 1 }
            close(file)
            if (!known) { print document ": there is no table " $3 > "/dev/stderr"; failed = 1 }
        }
        END {
            if (inside) { print document ": a table without its end" > "/dev/stderr"; failed = 1 }
            exit failed
        }' "$document" > "$work/document" || { status=1; continue; }
    cmp -s "$work/document" "$document" && continue
    if [ "$write" = yes ]; then
        cat "$work/document" > "$document"
        echo "$document: written"
    else
        diff -u --label "$document" --label "$document, by the code" "$document" "$work/document" >&2 || true
        status=1
    fi
done
for table in "$work/tables"/*; do
    grep -qx "<!-- table: ${table##*/} -->" "${documents[@]}" || {
        echo "tables: the table ${table##*/} is in no document." >&2
        status=1
    }
done
[ "$status" = 0 ] || [ "$write" = yes ] || echo "tables: documents and code differ; scripts/tables.sh --write mends the tables." >&2
exit "$status"
