#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: deploy.sh IFACE [OBJECT]
# Puts the edge (profile classic) on an interface: in the driver (native mode) where it can, else in the stack
# (generic mode). Where it is attached already, the program is replaced in one step; lists and counters stay.
#   OBJECT  a program as `make` builds it (build/sip_logic.bpf.o); without it, the one built into the command
# Prints the mode that the kernel says is in force.
# Exit codes: 0 attached; 1 no IFACE, no such object, not root, or both modes failed: then nothing is attached.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

answer_help "$@"
case $# in
    1) object=() ;;
    2) object=("--object=$2") ;;
    *) usage_error "it takes an interface, and an object if you like." ;;
esac
require_root
fastpath up --profile classic "${object[@]}" -- "$1"
