#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: block_ip.sh IPV4
# Drops everything that a source sends to UDP port 5060.
# Effective with the next packet, on all interfaces, and recorded for the next start.
# Exit codes: 0 done, or blocked already; 1 not root, no or no valid address, not loaded, list full.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# = 1 ] || usage_error "it takes one IPv4 address."
require_root
fastpath block add --require-loaded --addresses-only -- "$1"
