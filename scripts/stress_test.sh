#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: stress_test.sh [ROUNDS]
# Puts the edge through five phases, ROUNDS times (once without it), and compares every counter: volume, block list,
# allow list, hammer (the program is replaced under a flood) and teardown. It uses hosts in network namespaces and an
# instance of its own: an edge that runs here is not touched.
# Exit codes: 0 all phases passed; 1 any failed, or not root.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# -le 1 ] || usage_error "it takes one number, or none."
require_root
fastpath stress -- "$@"
