#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: block_ips_from_file.sh FILE
# Blocks every address of a file: one a line; blank lines and what follows # are skipped.
# Ends with the line `Done: N blocked, N skipped (invalid), N failed (…)`:
#   blocked  addresses of the file that are on the block list now, those that were there before included; one that
#            stands in the file twice counts once
#   skipped  lines that are no IPv4 address; each is named on standard error with its number
#   failed   addresses that the list has no room for, with its capacity
# Exit codes: 0 none failed; 1 some failed, or nothing was done: not root, no such file, not loaded.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# = 1 ] || usage_error "it takes one file."
require_root
fastpath block import --require-loaded --addresses-only -- "$1"
