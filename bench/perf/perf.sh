# shellcheck shell=bash disable=SC2034 # variables are for the scripts that source this
# perf.sh: what the scripts of this folder share: complaints, checks of perf and of the machine,
# allocators by name, running a program under perf. Sourced by them, not run.
#
# Exit statuses of all of them: 0 done; 1 something went wrong; 2 bad usage; 3 this machine, or this
# user, cannot measure that, and the message says what would help; 130 and 143 after a signal.
script=${0##*/}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LC_ALL=C # numbers with a point, sorting by bytes

say() { printf '%s: %s\n' "$script" "$*" >&2; }
die() {
    say "$@"
    exit 1
}
usage_error() {
    say "$@"
    printf 'Try: %s --help\n' "$0" >&2
    exit 2
}
cannot() {
    say "$@"
    exit 3
}

# The comment at the top of a script is its help.
show_help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# need_value "$@": the option at hand is followed by a value
need_value() { [ $# -ge 2 ] || usage_error "$1: a value is missing"; }

# need_number OPTION TEXT LOW HIGH
need_number() {
    if [[ ! $2 =~ ^[0-9]{1,15}$ ]] || [ "$((10#$2))" -lt "$3" ] || [ "$((10#$2))" -gt "$4" ]; then
        usage_error "$1 $2: accepted is a number from $3 to $4"
    fi
}

need_call_graph() {
    [[ $1 =~ ^(fp|dwarf(,[0-9]+)?)$ ]] ||
        usage_error "--call-graph $1: accepted are fp, dwarf and dwarf,BYTES"
}

# need_program "$@": there is a program, and it can be started
need_program() {
    [ $# -ge 1 ] || usage_error "no program: it goes behind the options, after --"
    [[ $1 != -* ]] || usage_error "$1: no such option"
    if [ -d "$1" ] || [[ $(type -t -- "$1") != file ]]; then
        usage_error "$1: no such program: it is not in PATH, or not executable"
    fi
}

# need_target "$@": a program, or -p PID and --seconds N (in pid and seconds)
need_target() {
    if [ -n "$pid" ]; then
        [ $# -eq 0 ] || usage_error "$1: either a program or -p PID"
        [ -n "$seconds" ] || usage_error "-p $pid: how long? --seconds N"
        [ -z "$allocator" ] || usage_error "--allocator $allocator: a program that runs has its allocator already"
        [ -d "/proc/$pid" ] || usage_error "-p $pid: no such process"
    else
        need_program "$@"
        [ -z "$seconds" ] || usage_error "--seconds $seconds: only with -p PID"
    fi
}

work=
child=
helper=
interrupted=
finish_hook() { :; } # a script's own cleaning up
finish() {
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    finish_hook
    [ -z "$work" ] || rm -rf "$work"
}
# perf is interrupted, which makes it write what it has; perf stat then waits for its program. That
# has had a Ctrl-C from the terminal, but no signal that was sent to this script alone: if it is
# still there after a second, it gets that as well.
on_signal() {
    [ -z "$interrupted" ] || exit "$2" # asked for the second time
    [ -n "$child" ] || exit "$2"
    interrupted=$2
    local programs
    programs=$(cat "/proc/$child/task/$child/children" 2>/dev/null || true)
    kill -INT "$child" 2>/dev/null || true
    {
        sleep 1
        [ -z "$programs" ] || kill -"$1" $programs || true
    } >/dev/null 2>&1 &
    helper=$!
}

# Sets work, a directory of our own that goes away with the script.
make_work() {
    trap finish EXIT
    trap 'on_signal INT 130' INT
    trap 'on_signal TERM 143' TERM
    trap 'on_signal HUP 129' HUP
    work=$(mktemp -d) || die "no temporary directory: is ${TMPDIR:-/tmp} full, or read-only?"
}

# run_child COMMAND...: as if in the foreground, but a signal to this script alone is passed on at
# once. (bash would start a background job with interrupts ignored and without its input.) With the
# preload that is set. Sets child_status, and interrupted if a signal came.
preload=()
run_child() {
    local status=0
    env --default-signal=INT,QUIT "${preload[@]}" "$@" <&0 &
    child=$!
    while :; do
        status=0
        wait "$child" 2>/dev/null || status=$?
        kill -0 "$child" 2>/dev/null || break
    done
    [ -z "$helper" ] || wait "$helper" || true
    child= helper=
    child_status=$status
}

check_perf() {
    command -v perf >/dev/null ||
        cannot "perf is missing: as root, run 'apt-get install linux-perf' (Ubuntu: linux-tools-$(uname -r))"
    perf --version >"$work/perf-version" 2>&1 ||
        cannot "perf does not start: $(head -n 1 "$work/perf-version")"
}

say_not_permitted() {
    local level reason
    reason=$(grep -m 1 -iE 'not permitted|no permission|denied|not supported|limited' "$1" ||
        echo "see: perf stat -e task-clock true")
    level=$(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo unknown)
    say "perf may not measure here: $reason"
    say "kernel.perf_event_paranoid is $level; user $(id -un 2>/dev/null || id -u). What helps:"
    say "  as root: sysctl kernel.perf_event_paranoid=2   (own programs; 1: and the kernel's part)"
    say "  or run this as root; in a container also give it CAP_PERFMON and allow perf_event_open"
}

# count_events FILE EVENTS COMMAND...: perf stat, in a form for awk
count_events() {
    local file=$1 events=$2
    shift 2
    perf stat -x ';' -o "$file" -e "$events" -- "$@"
}

# Sets supported_events to those of the list (commas) that count here, for this user.
find_supported() {
    : >"$work/supported"
    if ! count_events "$work/supported" "$1" true >"$work/stat-log" 2>&1; then
        supported_events=
        return
    fi
    supported_events=$(awk -F ';' '/^[^#]/ && NF > 3 && $1 != "<not supported>" {
        sub(/:.*/, "", $3); print $3 }' "$work/supported" | paste -s -d , -)
}

# Without this no script goes on: something can be measured at all.
check_measuring() {
    find_supported task-clock
    if [ -z "$supported_events" ]; then
        say_not_permitted "$work/stat-log"
        exit 3
    fi
}

# Sets event to what samples are taken by, and says so when it is not the best.
choose_clock() {
    find_supported cycles
    if [ -n "$supported_events" ]; then
        event=cycles
    else
        event=cpu-clock
        say "no hardware counters here (cycles: not supported): sampling by time (cpu-clock)"
    fi
}

hardware_counters=cycles,instructions,cache-references,cache-misses,L1-dcache-load-misses,dTLB-load-misses,iTLB-load-misses
software_counters=task-clock,duration_time,page-faults,context-switches
# Sets counters, and counters_note, which says what they are.
choose_counters() {
    find_supported "$hardware_counters"
    local hardware=$supported_events missing=()
    for name in ${hardware_counters//,/ }; do
        [[ ,$hardware, == *,$name,* ]] || missing+=("$name")
    done
    find_supported "$software_counters"
    local software=$supported_events
    # For a user who may not look into the kernel the switches, which happen there, are all 0.
    if grep -q 'context-switches:u' "$work/supported"; then
        software=${software//,context-switches/}
        missing+=("context-switches (they need kernel.perf_event_paranoid of 1 or less, or root)")
    fi
    counters=${hardware:+$hardware,}$software
    local IFS=,
    if [ -z "$hardware" ]; then
        counters_note="no hardware counters here (cycles: not supported): software events only"
    else
        counters_note="hardware counters and software events"
        grep -q ':u;' "$work/supported" && counters_note+=", user space only"
    fi
    if [ -n "$hardware" ] && [ ${#missing[@]} -gt 0 ]; then
        counters_note+="; not counted here: ${missing[*]}"
    elif [[ ${missing[*]} == *context-switches* ]]; then
        counters_note+="; no context-switches: they need kernel.perf_event_paranoid of 1 or less, or root"
    fi
}

# first_file PATH...: the first that exists
first_file() {
    local file
    for file in "$@"; do
        if [ -e "$file" ]; then
            printf '%s\n' "$file"
            return
        fi
    done
    return 1
}

allocator_names="dropin, glibc, own, none, mimalloc, jemalloc, tcmalloc, tbbmalloc, or a path with a slash"
# Sets library to what is to be preloaded for that allocator, empty for nothing.
find_allocator() {
    local name=$1 sonames=() package=
    library=
    case $name in
    none | glibc | own) return ;;
    dropin)
        library=$(first_file "$here"/../../build/{release,bench-release,lto}/lib/libmemorybucket-malloc.so) || {
            sonames=(libmemorybucket-malloc.so)
            package="nothing but 'cmake --preset release && cmake --build --preset release' in $(cd "$here/../.." && pwd)"
        }
        ;;
    mimalloc) sonames=(libmimalloc.so.2 libmimalloc.so.3 libmimalloc.so) package=libmimalloc2.0 ;;
    jemalloc) sonames=(libjemalloc.so.2 libjemalloc.so) package=libjemalloc2 ;;
    tcmalloc)
        sonames=(libtcmalloc_minimal.so.4 libtcmalloc.so.4 libtcmalloc_minimal.so libtcmalloc.so)
        package=libtcmalloc-minimal4
        ;;
    tbbmalloc) sonames=(libtbbmalloc_proxy.so.2 libtbbmalloc_proxy.so) package=libtbbmalloc2 ;;
    */*)
        [ -f "$name" ] || usage_error "$name: no such file"
        library=$name
        ;;
    *) usage_error "$name: no such allocator; there are $allocator_names" ;;
    esac
    if [ -z "$library" ]; then
        local directory places=()
        for directory in /usr/local/lib /usr/lib/"$(uname -m)"-linux-gnu /usr/lib64 /usr/lib; do
            places+=("${sonames[@]/#/$directory/}")
        done
        library=$(first_file "${places[@]}") ||
            cannot "$name: ${sonames[0]} is not installed; what brings it: $package"
    fi
    library=$(readlink -f "$library")
    [[ $library != *[[:space:]:]* ]] || usage_error "$library: LD_PRELOAD cannot hold a space or a colon"
}

# set_preload NAME LIBRARY: for the programs that run_child starts from now on.
#
# perf itself gets it too, for want of a better way: with an env between perf and the program, perf
# 6.1 takes env's map of the C library for the program's, about every second time, and stacks break
# off there.
set_preload() {
    preload=()
    if [ -n "$2" ]; then
        preload=(LD_PRELOAD="$2")
        [ -z "${MB_STATS:-}${MB_VERBOSE:-}" ] ||
            say "MB_STATS and MB_VERBOSE: perf runs on ${2##*/} too, and says its own as well"
    elif [ "$1" = glibc ]; then
        preload=(-u LD_PRELOAD)
    fi
}

# was_mapped DATA LIBRARY: the recording DATA saw a process map it. The kernel says so, not the loader.
was_mapped() {
    perf script -i "$1" --show-mmap-events -F comm,ip 2>/dev/null |
        awk -v library="$2" '/PERF_RECORD_MMAP/ && index($0, library) { found = 1 } END { exit !found }'
}

# need_mapped DATA LIBRARY PROGRAM
need_mapped() {
    was_mapped "$1" "$2" ||
        die "$2 was never mapped by $3: is that statically linked or setuid, does it clear LD_PRELOAD, or is perf setuid?"
}

# run_counted STAT_FILE OPERATIONS_FILE COMMAND...: run_child under perf stat with $counters. The
# program's output passes through; the number of its last line "operations<TAB>N" goes to the file.
run_counted() {
    local stat_file=$1 operations_file=$2 name
    shift 2
    for name in out out-copy err err-copy; do
        rm -f "$work/$name"
        mkfifo "$work/$name"
    done
    awk -F '\t' '$1 == "operations" && $2 ~ /^[0-9]+$/ { n = $2 } END { if (n > 0) print n }' \
        <"$work/out-copy" >"$operations_file" &
    local helpers=($!)
    # perf 6.1 ends with status 0 when its program was killed by a signal, and only names that.
    PROGRAM=$1 awk '
        index($0, ENVIRON["PROGRAM"] ": ") == 1 {
            text = substr($0, length(ENVIRON["PROGRAM"]) + 3)
            if (text ~ /^(Segmentation fault|Aborted|Killed|Terminated|Bus error|Illegal instruction|Broken pipe)$/ ||
                text ~ /^(Floating point exception|Trace.breakpoint trap|Bad system call|.* limit exceeded|Alarm clock)$/)
                death = text
        }
        END { if (death != "") print death }' <"$work/err-copy" >"$work/death" &
    helpers+=($!)
    tee "$work/out-copy" <"$work/out" &
    helpers+=($!)
    tee "$work/err-copy" <"$work/err" >&2 &
    helpers+=($!)
    run_child perf stat -x ';' -o "$stat_file" -e "$counters" -- "$@" >"$work/out" 2>"$work/err"
    wait "${helpers[@]}" || true
    if [ "$child_status" -eq 0 ] && [ -s "$work/death" ]; then
        child_status="128 or more ($(cat "$work/death"))"
    fi
}

# operations_of OPERATIONS_FILE: the user's --operations, else the program's own, else nothing
operations_of() {
    if [ -n "$operations" ]; then
        printf '%s\n' "$operations"
    else
        cat "$1"
    fi
}

# For awk: reads lines of perf stat; sets value[event] in events or ns, order[1..count] and
# share[event], the part of the time that a counter was really counting.
read_counters='
function read_counter(    event) {
    if ($0 ~ /^#/ || NF < 4 || $1 !~ /^[0-9.]+$/) return ""
    event = $3
    sub(/:.*/, "", event)
    value[event] = $2 == "msec" ? $1 * 1e6 : $1 + 0
    share[event] = $5 + 0
    return event
}
function label(event) {
    if (event == "task-clock") return "CPU time, ns"
    if (event == "duration_time") return "elapsed time, ns"
    return event
}'

# check_mapped LIBRARY PROGRAM...: by a run of its own, which is not measured, that the library which
# set_preload was told of reaches the program. Leaves mapped.data. Also a warm-up: what the program
# reads is in memory afterwards.
check_mapped() {
    local wanted=$1
    shift
    run_child perf record -q -e dummy -o "$work/mapped.data" -- "$@" >"$work/mapped.log" 2>&1
    [ -z "$interrupted" ] || exit "$interrupted"
    if [ "$child_status" -ne 0 ]; then
        tail -n 5 "$work/mapped.log" >&2
        die "$1 ended with status $child_status${wanted:+ on $wanted}"
    fi
    if [ -n "$wanted" ]; then
        need_mapped "$work/mapped.data" "$wanted" "$1"
    fi
}
