#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: stress_test.sh [ROUNDS]
# Puts the edge through five phases on the simulated network, and counts exactly: volume, block list, allow
# list, hammer (with the program replaced meanwhile), tear-down. ROUNDS (1 without it) is the hammer's length.
# Exit codes: 0 all phases passed; 1 any failed, or not root.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# -le 1 ] || usage_error "it takes one number, or none."
require_root
fastpath stress -- "$@"
