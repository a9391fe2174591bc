# shellcheck shell=bash disable=SC2154 # what the runner sets
# SPDX-License-Identifier: Apache-2.0
# Tuning, for the runner, which sources it: what the two scripts ask the command, and both together on processes of our
# own, in an instance of its own.

asks_as_anybody() { # ARGUMENTS-OF-THE-COMMAND SCRIPT ARGUMENT…
    local wanted=$1 name=${*:2}
    run "${@:2}"
    is "$name" "0 $wanted" "$code $asked"
    CODE=1 run "${@:2}"
    is "$name, the command fails" 1 "$code"
    CODE=64 run "${@:2}"
    is "$name, the command finds wrong usage" 1 "$code"
}

asks_as_anybody '<tune><busy-poll><--poll=50>' enable_busy_poll.sh
asks_as_anybody '<tune><busy-poll><--poll=0>' enable_busy_poll.sh -u 0
asks_as_anybody '<tune><pin><--prefer=4-7><--name><opensips>' pin_opensips_cores.sh
asks_as_anybody '<tune><pin><--prefer=4-7><--><12><13>' pin_opensips_cores.sh 12 13
asks_as_anybody '<tune><pin><--cpus=2,4-7><--name><opensips>' pin_opensips_cores.sh -c 2,4-7
asks_as_anybody '<tune><pin><--cpus=0><--><12>' pin_opensips_cores.sh -c 0 12

# From here on the real command.
recorder=$VOS_FASTPATH
export VOS_FASTPATH=$real_command
export VOS_FASTPATH_INSTANCE=scripts-$$
tuning_state=/var/lib/vos-fastpath-scripts-$$
tuning_process=
clean_tuning() {
    [ -z "$tuning_process" ] || kill "$tuning_process"
    rm -f "$tuning_state/tuning" "/run/vos-fastpath-scripts-$$.tuning.lock"
    if [ -d "$tuning_state" ]; then rmdir "$tuning_state"; fi
}
cleaners+=(clean_tuning)

complains() { # SCRIPT ARGUMENT…: the command finds it wrong, and says so in four lines
    run "$@"
    is "$*: exit code, nothing on standard output" "1 " "$code $out"
    is "$*: says what, on what, why and what next" "error   on   why   next" \
        "$(sed -nE 's/^(error|  on|  why|  next)[: ].*/\1/p' <<< "$err" | paste -sd ' ')"
}
complains enable_busy_poll.sh -u many
complains enable_busy_poll.sh -u -1
complains enable_busy_poll.sh -u 1000000
for cpus in "" 3-1 0, all 0x1 1--2 "1 2" 123456; do complains pin_opensips_cores.sh -c "$cpus"; done
complains pin_opensips_cores.sh 12 x
complains pin_opensips_cores.sh 0

allowed() { sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "/proc/$1/status"; } # PID
before=$(allowed self)
first_cpu=${before%%[-,]*}
sleep 60 &
tuning_process=$!
run pin_opensips_cores.sh -c "$first_cpu" "$tuning_process"
is "pin: a process" "0 process $tuning_process runs on CPUs $first_cpu" "$code $out"
is "pin: the kernel agrees" "$first_cpu" "$(allowed "$tuning_process")"
run pin_opensips_cores.sh -c 8191 "$tuning_process"
is "pin: a CPU that does not exist" "1 " "$code $out"
contains "pin: a CPU that does not exist" 8191 "$err"
run pin_opensips_cores.sh -c "$first_cpu" "$tuning_process" 4194305
is "pin: a process that does not exist" "1 " "$code $out"
shown=$("$real_command" tune pin --undo --dry-run "$tuning_process")
is "undo: what it would do" "process $tuning_process would run on CPUs $before; it runs on $first_cpu" "$shown"
is "undo: nothing was done" "$first_cpu" "$(allowed "$tuning_process")"
shown=$("$real_command" tune pin --undo)
is "undo" "process $tuning_process runs on CPUs $before" "$shown"
is "undo: the kernel agrees" "$before" "$(allowed "$tuning_process")"
is "undo: nothing is remembered any more" "" "$(ls "$tuning_state")"
shown=$("$real_command" tune pin --dry-run --cpus "$first_cpu" "$tuning_process")
is "pin: what it would do" "process $tuning_process would run on CPUs $first_cpu; it runs on $before" "$shown"
is "pin: a dry run changes and remembers nothing" "$before " "$(allowed "$tuning_process") $(ls "$tuning_state")"
kill "$tuning_process"
wait "$tuning_process" 2> /dev/null
tuning_process=

# All threads of a process, those included that it makes meanwhile, and each gets its own back.
python=$(PATH=$PATH:/usr/bin command -v python3 || true)
is "python3 is there, for a process with threads" 0 "$([ -n "$python" ]; echo $?)"
"${python:-true}" -c 'import threading, time
for _ in range(8): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)' &
tuning_process=$!
for _ in {1..100}; do
    [ "$(find "/proc/$tuning_process/task" -mindepth 1 -maxdepth 1 | wc -l)" -lt 9 ] || break
    sleep 0.05
done
run pin_opensips_cores.sh -c "$first_cpu" "$tuning_process"
threads() { cat "/proc/$tuning_process/task/"*/status | sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' | sort | uniq -c; }
is "pin: every thread" "9 $first_cpu" "$(threads | xargs)"
"$real_command" tune pin --undo "$tuning_process" > "$work/out"
is "undo: every thread" "9 $before" "$(threads | xargs)"
kill "$tuning_process"
wait "$tuning_process" 2> /dev/null
tuning_process=

# Whoever is not root may pin a process of his own, and is told that nothing is remembered.
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)
"${as_nobody[@]}" sleep 60 &
tuning_process=$!
sleep 0.2 # until it is nobody's
"${as_nobody[@]}" "$real_command" tune pin --cpus "$first_cpu" "$tuning_process" > "$work/out" 2> "$work/err"
is "pin, not root: a process of one's own" "0 process $tuning_process runs on CPUs $first_cpu" "$? $(< "$work/out")"
contains "pin, not root: nothing is remembered" "warning: --undo will not know" "$(< "$work/err")"
"${as_nobody[@]}" "$real_command" tune show > "$work/out" 2> "$work/err"
is "show, not root" "0 " "$? $(< "$work/err")"
kill "$tuning_process"
wait "$tuning_process" 2> /dev/null
sleep 60 &
tuning_process=$!
"${as_nobody[@]}" "$real_command" tune pin --cpus "$first_cpu" "$tuning_process" > "$work/out" 2> "$work/err"
is "pin, not root: a process of another's" "1 " "$? $(< "$work/out")"
is "pin, not root: it was left alone" "$before" "$(allowed "$tuning_process")"
"${as_nobody[@]}" "$real_command" tune busy-poll > "$work/out" 2> "$work/err"
is "busy polling, not root" "1 " "$? $(< "$work/out")"
kill "$tuning_process"
wait "$tuning_process" 2> /dev/null
tuning_process=

others=$(grep -lx opensips /proc/[0-9]*/comm 2> /dev/null)
is "pin: no opensips of others runs here, to be left alone" "" "$others"
if [ -z "$others" ]; then
    run pin_opensips_cores.sh -c "$first_cpu"
    is "pin: none found" "1 " "$code $out"
    cp "$(command -v sleep)" "$work/opensips"
    "$work/opensips" 60 &
    tuning_process=$!
    sleep 0.2 # until it has its name
    run pin_opensips_cores.sh -c "$first_cpu"
    is "pin: found by its name" "0 process $tuning_process runs on CPUs $first_cpu" "$code $out"
    contains "show: the server, with the CPUs of before" "\"before\":\"$before\"" "$("$real_command" tune show --json)"
    kill "$tuning_process"
    wait "$tuning_process" 2> /dev/null
    tuning_process=
    shown=$("$real_command" tune pin --undo 2>&1)
    is "undo: a process that has ended is forgotten" "0 note: no process" "$? ${shown:0:16}"
    is "undo: nothing is remembered of it" "" "$(ls "$tuning_state")"
fi

# Busy polling, where this host has it. It is the host's own, so it is put back.
setting=/proc/sys/net/core/busy_poll
if [ "$EUID" = 0 ] && [ -e "$setting" ]; then
    polled="$(< "$setting") $(< /proc/sys/net/core/busy_read)"
    run enable_busy_poll.sh -u 40
    is "busy polling: set" "0 40" "$code $(< "$setting")"
    contains "busy polling: says it" "net.core.busy_poll = 40" "$out"
    contains "busy polling: how to keep it" "echo net.core.busy_poll=40 > /etc/sysctl.d/" "$out"
    is "busy polling: the script sets this one alone" "${polled#* }" "$(< /proc/sys/net/core/busy_read)"
    "$real_command" tune busy-poll > "$work/out"
    is "busy polling: the command sets both" "50 50" "$(< "$setting") $(< /proc/sys/net/core/busy_read)"
    "$real_command" tune busy-poll --off --dry-run > "$work/out"
    is "busy polling: a dry run changes nothing" "50 50" "$(< "$setting") $(< /proc/sys/net/core/busy_read)"
    "$real_command" tune busy-poll --restore > "$work/out"
    is "busy polling: as it was at first" "$polled" "$(< "$setting") $(< /proc/sys/net/core/busy_read)"
    is "busy polling: nothing is remembered any more" "" "$(ls "$tuning_state")"
else
    is "busy polling: root, on a host that has it" yes no
fi
clean_tuning
unset VOS_FASTPATH_INSTANCE
export VOS_FASTPATH=$recorder
