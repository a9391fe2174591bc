# shellcheck shell=bash disable=SC2154 # what the runner sets
# SPDX-License-Identifier: Apache-2.0
# The Compose files, for the runner, which sources it: docker-compose reads them and checks them against its schema. That
# takes no container engine, and there is none: nothing of them was run.

compose() { # ARGUMENT…
    (unset OPENSIPS_EXTRA_ARGS OPENSIPS_IMAGE VOS_FASTPATH_PORTS VOS_FASTPATH_INTERFACES VOS_FASTPATH_LIBRARY \
        && docker-compose "$@" config) \
        > "$work/out" 2> "$work/err"
    code=$?
    out=$(< "$work/out")
    err=$(< "$work/err")
}
has() { # NAME LINE…: each is a line of the output, whatever its indent
    local line
    for line in "${@:2}"; do
        is "$1: $line" "$line" "$(sed 's/^[ -]*//' <<< "$out" | grep -Fx -m 1 -- "$line")"
    done
}

is "docker-compose is there (make setup installs it)" 0 "$(command -v docker-compose > /dev/null; echo $?)"
compose -f docker-compose.yml
is "docker-compose.yml is well-formed" "0 " "$code $err"
has docker-compose.yml "image: opensips/opensips:3.4" "container_name: vos-fastpath-opensips" "network_mode: host" \
    "privileged: true" "restart: unless-stopped" "OPENSIPS_EXTRA_ARGS: ''"
contains "docker-compose.yml: the pins" "/sys/fs/bpf:/sys/fs/bpf:rw" "$out"
contains "docker-compose.yml: the configuration, read-only" "$PWD/opensips.cfg:/etc/opensips/opensips.cfg:ro" "$out"
is "docker-compose.yml: the file that it mounts" 0 "$([ -f opensips.cfg ]; echo $?)"
is "opensips.cfg names no folder of modules" "" "$(grep -E '^ *mpath' opensips.cfg)"
contains "docker-compose.yml does" "LD_LIBRARY_PATH: /usr/lib/x86_64-linux-gnu/opensips/modules" "$out"

compose -f docker-compose.yml -f docker-compose.preload.yml
is "docker-compose.preload.yml on top of it is well-formed" "0 " "$code $err"
has docker-compose.preload.yml "image: opensips/opensips:3.4" "privileged: false" "network_mode: host" \
    "LD_PRELOAD: /usr/lib/vos-fastpath/libvosfastpath.so" "VOS_FASTPATH_PORTS: '5060'" "VOS_FASTPATH_INTERFACES: eth0" \
    "hard: -1" "soft: -1" ALL "command: '-u opensips -g opensips '"
contains "docker-compose.preload.yml: the library, read-only" \
    "/usr/lib/vos-fastpath/libvosfastpath.so:/usr/lib/vos-fastpath/libvosfastpath.so:ro" "$out"
contains "docker-compose.preload.yml: the pins, read-only" "/sys/fs/bpf:/sys/fs/bpf:ro" "$out"
is "docker-compose.preload.yml: these capabilities and no others" "BPF NET_RAW SETGID SETUID" \
    "$(awk '/^ *cap_add:/ { inside = 1; next } inside && /^ *- / { print $2; next } { inside = 0 }' "$work/out" \
        | LC_ALL=C sort | paste -sd ' ')"

sed 's/privileged: true/priviledged: true/' docker-compose.yml > "$work/wrong.yml"
compose -f "$work/wrong.yml"
is "a key that is none is found" 1 "$code"
