#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: unblock_ip.sh IPV4
# Takes a source off the block list.
# Effective with the next packet, on all interfaces, and recorded for the next start.
# Exit codes: 0 done, also where it was not on the list; 1 not root, no or no valid address, not loaded.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# = 1 ] || usage_error "it takes one IPv4 address."
require_root
fastpath block remove --require-loaded --addresses-only -- "$1"
