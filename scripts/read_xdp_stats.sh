#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: read_xdp_stats.sh [IFACE]
# Prints the packet counters of an interface, or the sum over all, in a form that scripts may parse:
# one head line with the ids of the counter maps, then a line for each counter.
# Exit codes: 0 printed; 1 not loaded, or not root.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# -le 1 ] || usage_error "it takes one interface, or none."
require_root
fastpath stats --summary -- "$@"
