#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: sip_sim_setup.sh
# Builds the simulated network: namespace sip-sim with veth-sim (10.99.0.2), joined to veth-sip (10.99.0.1) on
# this host, with the edge (profile classic) on veth-sip. Built already, it is left as it is.
# Exit codes: 0 it is up; 1 not root, or something failed: then nothing is left of it.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
[ $# = 0 ] || usage_error "it takes no arguments."
require_root
fastpath lab up
