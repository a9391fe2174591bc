# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts share; they source it. The comment at a script's head, from "Usage:" on, is its help.

script=${0##*/}
library=$(readlink -f "${BASH_SOURCE[0]}")
scripts_folder=${library%/*}

# The head comment of the running script.
help_text() {
    sed -n '/^# Usage:/,/^[^#]/s/^# \{0,1\}//p' "$0"
}

# Answers a sole --help.
answer_help() { # ARGUMENT…
    if [ "$#" = 1 ] && { [ "$1" = --help ] || [ "$1" = -h ]; }; then
        help_text
        exit 0
    fi
}

# Says what was wrong and how the script is called; exit 1.
usage_error() { # SENTENCE
    printf '%s: %s\n' "$script" "$1" >&2
    help_text >&2
    exit 1
}

fail() { # SENTENCE
    printf '%s: %s\n' "$script" "$1" >&2
    exit 1
}

require_root() {
    [ "$(id -u)" = 0 ] || fail "this needs root. Run it with sudo."
}

# The path of the command: VOS_FASTPATH, else the one built or installed with the scripts, else the one in PATH.
find_command() {
    local candidate
    if [ -n "${VOS_FASTPATH:-}" ]; then
        [ -x "$VOS_FASTPATH" ] || fail "VOS_FASTPATH is '$VOS_FASTPATH', which is no program."
        printf '%s\n' "$VOS_FASTPATH"
        return
    fi
    for candidate in "$scripts_folder/../build/vos-fastpath" "$scripts_folder/../../../bin/vos-fastpath"; do
        if [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    command -v vos-fastpath || fail "there is no vos-fastpath. Build it with 'make', or name it in VOS_FASTPATH."
}

# Runs the command. It says itself what went wrong; whatever that is, scripts end with 1.
fastpath() { # ARGUMENT…
    local command
    command=$(find_command) || exit 1
    "$command" "$@" || exit 1
}
