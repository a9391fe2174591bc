#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: enable_busy_poll.sh [-u MICROSECONDS]
# Lets poll and select look at the NIC's queue themselves for up to so many microseconds before they sleep: sets
# net.core.busy_poll, to 50 without the option, and prints how to keep it over a reboot. 0 turns it off;
# `vos-fastpath tune busy-poll --restore` puts back what was set before.
# Exit codes: 0 set; 1 wrong arguments, or the kernel refused.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
microseconds=50
if [ "${1:-}" = -u ] && [ $# = 2 ]; then
    microseconds=$2
    shift 2
fi
[ $# = 0 ] || usage_error "it takes no arguments but -u MICROSECONDS."
fastpath tune busy-poll "--poll=$microseconds"
