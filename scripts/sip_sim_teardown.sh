#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: sip_sim_teardown.sh
# Removes the simulated network and the edge on it, whatever is left of them.
# Exit codes: 0 nothing is left; 1 not root.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# = 0 ] || usage_error "it takes no arguments."
require_root
fastpath lab down
