#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks that change nothing: shell syntax, run bits.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
status=0
for script in scripts/*.sh Tests/run .ci/run; do
    bash -n "$script" || status=1
    [ -x "$script" ] || { echo "check: $script has no run bit" >&2; status=1; }
done
exit "$status"
