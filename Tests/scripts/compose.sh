# shellcheck shell=bash disable=SC2154 # what the runner sets
# SPDX-License-Identifier: Apache-2.0
# The Compose file, for the runner, which sources it: docker-compose reads it and checks it against its schema. That takes no
# container engine, and there is none: nothing of it was run.

compose() { # ARGUMENT…
    (unset OPENSIPS_EXTRA_ARGS && docker-compose "$@" config) \
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

sed 's/privileged: true/priviledged: true/' docker-compose.yml > "$work/wrong.yml"
compose -f "$work/wrong.yml"
is "a key that is none is found" 1 "$code"
