#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: sip_sim_send.sh [COUNT]
# Sends COUNT OPTIONS and COUNT REGISTER requests (10 of each without it) from the simulated network to
# 10.99.0.1, port 5060.
# Exit codes: 0 all sent; 1 not root, no such number, or there is no simulated network.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# -le 1 ] || usage_error "it takes one number, or none."
require_root
fastpath lab send -- "${1:-10}"
