# shellcheck shell=bash disable=SC2154 # what the runner sets
# SPDX-License-Identifier: Apache-2.0
# What libvosfastpath.so brings into somebody else's process, for the runner, which sources it. Needs `make`.

library=build/libvosfastpath.so
size=$(stat -c %s "$library")
is "preload: smaller than 64 KB ($size bytes)" 1 "$((size < 65536))"
is "preload: links the C library alone, in the parts that it had before 2.34" "libc.so.6 libdl.so.2 libpthread.so.0" \
    "$(readelf -dW "$library" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' | sort | tr '\n' ' ' | sed 's/ $//')"
is "preload: loads with Debian 11's C library: asks for no version after 2.30" "2.30" \
    "$(nm -D --with-symbol-versions "$library" | sed -nE 's/.* U .*@GLIBC_([0-9.]+)$/\1/p' | sort -Vu | tail -n 1)"
# The names between `global:` and `local:` in the linker's list.
wanted=$(sed -n '/global:/,/local:/p' Sources/FastpathPreload/exports.map | grep -v : | tr -d ' \t' | tr ';' '\n' | grep . | sort)
found=$(nm -D --defined-only "$library" | sed -E 's/.* //; s/@.*//' | sort)
is "preload: exports what it puts in place of the C library's functions, and nothing else" "$wanted" "$found"
is "preload: every name is one of the C library's" "" \
    "$(comm -23 <(echo "$found") <(nm -D "$(ldd "$library" | awk '/libc\.so/ { print $3 }')" | sed -E 's/.* //; s/@.*//' | sort -u))"
is "preload: a program that opens no socket does not notice" "0 done" \
    "$(LD_PRELOAD=$PWD/$library sh -c 'echo done' > "$work/out" 2>&1; echo "$? $(< "$work/out")")"
is "preload: installed, as the documents say" "$(sha256sum < "$library")" \
    "$(sha256sum < "$installed/usr/lib/vos-fastpath/libvosfastpath.so")"
