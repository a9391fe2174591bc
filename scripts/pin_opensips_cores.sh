#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: pin_opensips_cores.sh [-c CPULIST] [PID…]
# Keeps the SIP server on a few CPUs that share a cache, with all its threads: the processes given, else all that
# are called opensips. `vos-fastpath tune pin --undo` puts back the CPUs of before.
#   -c CPULIST  such as 2,4-7; without it CPUs 4-7 where the machine has them, else those of one cache domain
# Exit codes: 0 at least one process is pinned; 1 none found, a PID that is none, a CPU that does not run.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
cpus=--prefer=4-7
while getopts :c: option; do
    case $option in
        c) cpus=--cpus=$OPTARG ;;
        :) usage_error "-$OPTARG wants a list of CPUs." ;;
        *) usage_error "there is no option -$OPTARG." ;;
    esac
done
shift $((OPTIND - 1))
if [ $# = 0 ]; then set -- --name opensips; else set -- -- "$@"; fi
fastpath tune pin "$cpus" "$@"
