#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: pin_opensips_cores.sh [-c CPULIST] [PID…]
# Keeps the SIP server on a few CPUs that share a cache, with all its threads: the processes given, else all that
# are called opensips.
#   -c CPULIST  such as 2,4-7; without it CPUs 4-7 where the machine has them, else those that share the last-level
#               cache with CPU 0
# Exit codes: 0 at least one process is pinned; 1 none found, a PID that is none, a CPU that does not run.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

# PIDs of the processes of that name.
processes_named() { # NAME
    local folder name
    for folder in /proc/[0-9]*; do
        # A process may end while we look.
        name=$(cat "$folder/comm" 2>/dev/null) || continue
        [ "$name" != "$1" ] || echo "${folder#/proc/}"
    done
}

# Where the kernel lets a process run: a cgroup may leave less than was asked for.
allowed_cpus() { # PID
    sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "/proc/$1/status"
}

answer_help "$@"
cpus=
while getopts :c: option; do
    case $option in
        c) cpus=$OPTARG ;;
        :) usage_error "-$OPTARG wants a list of CPUs." ;;
        *) usage_error "there is no option -$OPTARG." ;;
    esac
    [ -n "$cpus" ] || usage_error "'' is no list of CPUs."
done
shift $((OPTIND - 1))

cpus=${cpus:-$(default_cpus /sys)}
expand_cpus "$cpus" > /dev/null || usage_error "'$cpus' is no list of CPUs."
missing=$(missing_cpus "$cpus" /sys)
[ -z "$missing" ] || fail "these CPUs do not run on this machine: $missing."

pids=("$@")
for pid in "${pids[@]}"; do
    [[ $pid =~ ^[1-9][0-9]*$ ]] || usage_error "'$pid' is no process id."
done
for pid in "${pids[@]}"; do
    [ -d "/proc/$pid" ] || fail "there is no process $pid."
done
if [ ${#pids[@]} = 0 ]; then
    mapfile -t pids < <(processes_named opensips)
    [ ${#pids[@]} -gt 0 ] || fail "no process is called opensips. Start it, or give its process ids."
fi

pinned=0
for pid in "${pids[@]}"; do
    if message=$(taskset -a -p -c "$cpus" "$pid" 2>&1) && now=$(allowed_cpus "$pid" 2>&1); then
        echo "process $pid runs on CPUs $now"
        pinned=$((pinned + 1))
    else
        printf '%s: process %s: %s\n' "$script" "$pid" "${message##*$'\n'}" >&2
    fi
done
[ "$pinned" -gt 0 ] || fail "no process could be pinned."
