#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks that change nothing: formatting, shell scripts, tables and links of the documents. Exit 0 where all is well.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
status=0

check() { # NAME COMMAND…
    "${@:2}" || {
        echo "check: $1: see above" >&2
        status=1
    }
}

for tool in clang-format-14 shellcheck jq; do
    command -v "$tool" > /dev/null || {
        echo "check: $tool is missing; 'make setup' installs it." >&2
        exit 1
    }
done

check "Swift's formatting (mend it with 'make fmt')" \
    "${SWIFT:-swift}" format lint --strict --recursive --parallel Sources Tests fuzz Package.swift
sources=(bpf/*.[ch] bpf/lab/*.[ch] Sources/CFastpath*/*.c Sources/CFastpath*/include/*.h Sources/CPreload/*.c Sources/CPreload/include/*.h Tests/preload/*/*.[ch]
    fuzz/*.c fuzz/shim/*.h fuzz/shim/bpf/*.h) # as in 'make fmt'
check "C's formatting (mend it with 'make fmt')" clang-format-14 --dry-run -Werror "${sources[@]}"

mapfile -t programs < <(grep -d skip -lE '^#!/bin/(ba)?sh' scripts/*.sh packaging/* packaging/systemd/* Tests/run Tests/scripts/* Tests/kernels/run fuzz/run .ci/run)
for program in "${programs[@]}"; do
    check "$program has a run bit" test -x "$program"
done
check "shell scripts" shellcheck -x -P SCRIPTDIR "${programs[@]}"

check "tables" scripts/tables.sh

for folder in Sources/*/; do
    folder=${folder%/}
    check "specs/SPEC-ARCHITECTURE.md names the room ${folder#*/}" grep -q "${folder#*/}" specs/SPEC-ARCHITECTURE.md
done

# Links to files: [words](path) and [words](path#place).
for document in *.md specs/*.md docs/*.md docs/decisions/*.md; do
    while read -r path; do
        check "$document links to $path" test -e "$(dirname "$document")/$path"
    done < <(grep -oE '\]\([^)#: ]+[)#]' "$document" | sed -E 's/^\]\(//; s/[)#]$//')
done
exit "$status"
