# shellcheck shell=bash disable=SC2154 # what the runner sets
# SPDX-License-Identifier: Apache-2.0
# The systemd unit, for the runner, which sources it. systemd itself does not run: systemd-analyze reads the unit, and its
# commands are run by hand with its capabilities and its view of the file system, on a veth pair in a network namespace, in
# an instance of their own. What systemctl would say of the unit's job is said by a stand-in.

unit_file=packaging/systemd/vos-fastpath@.service
unit_instance=units-$$
unit_namespace=vos-units-$$
unit_state=/var/lib/vos-fastpath-$unit_instance
unit_configuration=/etc/vos-fastpath-$unit_instance
unit_pins=/sys/fs/bpf/vos-fastpath-$unit_instance
clean_units() {
    ip netns del "$unit_namespace" 2> /dev/null
    rm -rf "$unit_pins" "$unit_state" "$unit_configuration" "/run/vos-fastpath-$unit_instance.lock"
}
cleaners+=(clean_units)

# Installed as by `make install PREFIX=… DESTDIR=…`.
installed=$work/units
packaging/install.sh "$installed/usr" "$installed/etc" > /dev/null
installed_unit=$installed/usr/lib/systemd/system/vos-fastpath@.service
is "units: the installed unit calls the installed command" "" \
    "$(grep '/usr/' "$installed_unit" | grep -Fv "$installed/usr/" | grep -v '^#')"
is "units: the installed stop script too" "" "$(grep '^exec /usr/' "$installed/usr/lib/vos-fastpath/systemd-stop")"
packaging/install.sh "$installed/stage/opt/edge" "$installed/stage/etc" /opt/edge > /dev/null
contains "units: with DESTDIR it is called by PREFIX alone" $'\nExecStart=/opt/edge/bin/vos-fastpath up -- %I\n' \
    "$(cat "$installed/stage/opt/edge/lib/systemd/system/vos-fastpath@.service")"

is "units: systemd-analyze is there (make setup installs it)" 0 "$(command -v systemd-analyze > /dev/null; echo $?)"
unit_of_eth0=$installed/vos-fastpath@eth0.service
cp "$installed_unit" "$unit_of_eth0"
found=$(systemd-analyze --man=no verify "$unit_of_eth0" 2>&1)
is "units: systemd-analyze verify has nothing to say" "0 " "$? $found"
mkdir -p "$work/dropin"
printf '[Service]\nExecStart=/bin/true\n' > "$work/dropin/opensips.service"
cp -r packaging/systemd/opensips.service.d "$work/dropin"
# Which is not here.
sed -i 's,/usr/sbin/opensips,/bin/true,' "$work/dropin/opensips.service.d/vos-fastpath-preload.conf"
cp "$installed_unit" "$work/dropin"
found=$(SYSTEMD_UNIT_PATH=$work/dropin: systemd-analyze --man=no verify opensips.service 2>&1)
is "units: the drop-ins for OpenSIPS too" "0 " "$? $found"
exposure=$(systemd-analyze security --offline=true --no-pager "$unit_of_eth0" 2> /dev/null \
    | sed -nE 's/.*Overall exposure level.*: ([0-9.]+) .*/\1/p')
is "units: systemd-analyze security finds little exposure (below 4 of 10)" yes \
    "$(awk -v "level=${exposure:-10}" 'BEGIN { print level < 4 ? "yes" : level }')"

# What systemd would run: `commands KEY` prints the unit's command lines for sip0.
commands() { # KEY
    sed -n "s/^$1=//p" "$installed_unit" | sed 's/%I/sip0/g; s/%n/vos-fastpath@sip0.service/g'
}
mapfile -t capabilities < <(sed -n 's/^CapabilityBoundingSet=//p' "$unit_file" | tr ' ' '\n' | sed 's/^CAP_//' | tr '[:upper:]' '[:lower:]')
is "units: capabilities" "net_admin sys_admin" "${capabilities[*]}"

# The system calls of a set of systemd's, of the sets in it too; a name that is no set is one call.
calls() { # NAME…
    local name members
    for name in "$@"; do
        if [ "${name#@}" = "$name" ]; then
            echo "$name"
        else
            mapfile -t members < <(systemd-analyze syscall-filter --no-pager "$name" | sed -n 's/^    \([^#]\)/\1/p')
            calls "${members[@]}"
        fi
    done
}
# Words before a command that trace it.
tracer=()

# Runs each command of a key as the unit does: its capabilities, no new privileges, all read-only but what it names.
# The first that fails ends it; its exit code is the answer.
unit_run() { # KEY
    local line
    commands "$1" > "$work/commands"
    [ -s "$work/commands" ] || return 99
    while read -r line; do
        # shellcheck disable=SC2016,SC2086 # the inner shell's; the line's words
        nsenter --net="/run/netns/$unit_namespace" unshare --mount --propagation private sh -c '
            mount --bind /run /run && mount --bind "$1" "$1" && mount -o remount,bind,ro / || exit 98
            shift
            exec setpriv --bounding-set "$@"' sh "$unit_state" "-all$(printf ',+%s' "${capabilities[@]}")" \
            --inh-caps -all --no-new-privs "${tracer[@]}" env PATH="$work/systemctl:$PATH" VOS_FASTPATH_INSTANCE="$unit_instance" \
            $line > "$work/out" 2> "$work/err" < /dev/null || return
    done < "$work/commands"
}
program() { # the id of the program on the interface
    ip -n "$unit_namespace" -j link show dev sip0 | jq -r '.[0].xdp.prog.id // "none"'
}

# `systemctl list-jobs`, as systemd prints it; what the job is stands in a file.
mkdir "$work/systemctl"
printf '#!/bin/sh\n[ "$1" = list-jobs ] || exit 1\ncat "%s"\n' "$work/jobs" > "$work/systemctl/systemctl"
chmod +x "$work/systemctl/systemctl"
job() { printf '%s\n' "$@" > "$work/jobs"; } # ROW…

is "units: the rest takes root" 0 "$EUID"
if [ "$EUID" = 0 ]; then
    mkdir -m 700 "$unit_state"
    ip netns add "$unit_namespace"
    ip -n "$unit_namespace" link add sip0 type veth peer name peer0

    unit_run ExecStartPre
    is "units: ExecStartPre, no configuration" 0 "$?"
    unit_run ExecStart
    is "units: ExecStart" 0 "$?"
    first=$(program)
    is "units: the edge is on" no "$([ "$first" = none ] && echo yes || echo no)"

    unit_run ExecReload
    is "units: ExecReload" 0 "$?"
    second=$(program)
    is "units: reload replaced the program" "replaced" "$([ "$second" != none ] && [ "$second" != "$first" ] && echo replaced)"
    mkdir "$unit_configuration"
    echo 'profile = "none"' > "$unit_configuration/config.toml"
    unit_run ExecReload
    is "units: reload with a wrong configuration fails, and the edge stays" "1 $second" "$? $(program)"

    job "41 vos-fastpath@sip0.service restart running" "42 vos-fastpath@sip1.service stop running"
    unit_run ExecStop
    is "units: what stops for a restart leaves the edge on" "0 $second" "$? $(program)"
    unit_run ExecStartPre
    is "units: a restart with a wrong configuration fails, and the edge stays" "1 $second" "$? $(program)"
    rm -r "$unit_configuration"
    unit_run ExecStartPre && unit_run ExecStart
    is "units: the start of the restart replaces the program" "0 replaced" \
        "$? $([ "$(program)" != none ] && [ "$(program)" != "$second" ] && echo replaced)"

    # All that its commands ask of the kernel is let through by its filters.
    tracer=(strace --follow-forks --quiet=all --output "$unit_state/trace")
    : > "$work/traces"
    job "42 vos-fastpath@sip0.service stop running"
    for key in ExecStartPre ExecStart ExecReload ExecStop; do
        unit_run "$key"
        is "units: $key, traced" 0 "$?"
        cat "$unit_state/trace" >> "$work/traces"
    done
    tracer=()
    rm "$unit_state/trace"
    sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$work/traces" | LC_ALL=C sort -u > "$work/used"
    contains "units: the trace shows its system calls" " bpf " "$(paste -sd ' ' "$work/used")"
    read -ra sets <<< "$(sed -n 's/^SystemCallFilter=~//p' "$unit_file")"
    calls "${sets[@]}" | LC_ALL=C sort -u > "$work/denied"
    contains "units: the filter's system calls" " mount " "$(paste -sd ' ' "$work/denied")"
    is "units: no command uses what SystemCallFilter denies" "" "$(LC_ALL=C comm -12 "$work/used" "$work/denied")"
    families=" $(sed -n 's/^RestrictAddressFamilies=//p' "$unit_file") "
    is "units: no command uses other sockets than RestrictAddressFamilies lets it" "" \
        "$(grep -oE 'socket\((AF_[A-Z0-9]+)' "$work/traces" | cut -d '(' -f 2 | sort -u | while read -r family; do
            case $families in *" $family "*) ;; *) echo "$family" ;; esac
        done)"
    is "units: MemoryDenyWriteExecute: no memory is made both writable and executable" "" \
        "$(grep -E 'PROT_WRITE\|PROT_EXEC' "$work/traces" | head -n 1)"

    # The unit's own job counts, not another's.
    unit_run ExecStart
    job "42 vos-fastpath@sip0.service stop running" "43 vos-fastpath@sip1.service restart waiting"
    unit_run ExecStop
    is "units: stop takes the edge off" "0 none" "$? $(program)"
    is "units: and leaves no pins" "" "$(ls "$unit_pins" 2> /dev/null)"
    unit_run ExecStart
    rm "$work/jobs"
    unit_run ExecStop
    is "units: stop where systemd does not answer" "0 none" "$? $(program)"

    for spared in "${!capabilities[@]}"; do
        all=("${capabilities[@]}")
        capabilities=("${all[@]:0:spared}" "${all[@]:spared+1}")
        unit_run ExecStart
        is "units: without ${all[spared]} it does not start" "1 none" "$? $(program)"
        capabilities=("${all[@]}")
    done
    # Why CAP_SYS_ADMIN: CAP_BPF and CAP_PERFMON load the program, and find none by its id.
    capabilities=(net_admin bpf perfmon)
    unit_run ExecStart
    is "units: CAP_BPF does not do for CAP_SYS_ADMIN" "1 none" "$? $(program)"
    contains "units: CAP_BPF does not do for CAP_SYS_ADMIN" "by its id" "$(< "$work/err")"
    capabilities=(net_admin sys_admin)

    unit_run ExecStart
    ip -n "$unit_namespace" link del sip0
    job "44 vos-fastpath@sip0.service stop running"
    unit_run ExecStop
    is "units: stop after the device has gone" 0 "$?"
fi
clean_units
