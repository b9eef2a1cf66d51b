# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the scripts that source and are sourced
# Sourced by run.sh: the servers that it measures. How each is started, that the right allocator is in it, what it
# takes of memory and CPU time, how it ends. One is measured at a time: `server` is its process, `port` where it
# serves, `serving` its name, `empty` the bytes that it had in memory before the first item, `empty_used` those of them
# that its allocator had handed out. While it starts and is filled, which nobody times, the one before (`ended`) still
# ends, and its samples are looked at.
server_threads=4 server='' port='' serving='' empty='' empty_used='' ending='' ended='' profile='' share='' sampled='' sampled_connections=''

# add_server NAME KIND [PRELOAD EXPECT]
declare -A kind
add_server() {
    add_allocator "$1" malloc "${3:-}" "${4:-}"
    kind[$1]=$2
}

# add_servers LIST: those known to run.sh, and the extra ones
add_servers() {
    local one
    for one in ${1//,/ }; do
        case $one in
        memorybucket | memcached) add_server "$one" "$one" ;;
        *) add_known_allocators "$one" && kind[$one]=malloc ;;
        esac
    done
    add_extra_allocators
    for one in "${extra_names[@]}"; do kind[$one]=malloc; done
}

# command_of NAME MEGABYTES CONNECTIONS: in `command`
command_of() {
    local common=(-l 127.0.0.1 -U 0 -t "$server_threads" -m "$2" -c "$3")
    case ${kind[$1]} in
    memorybucket) command=("$build/bin/mbcached" -p 0 "${common[@]}" --allocator=mb) ;;
    malloc) command=("$build/bin/mbcached" -p 0 "${common[@]}" --allocator=malloc) ;;
    memcached)
        command=(memcached -p -1 "${common[@]}")
        [ "$(id -u)" -ne 0 ] || command+=(-u "$(id -un)")
        ;;
    esac
}

# server_last_words [NAME]
server_last_words() {
    local log=$work/${1:-$serving}.log
    [ ! -s "$log" ] || echo "; the server said: $(tail -n 3 "$log")"
}

# start_server MEGABYTES CONNECTIONS
start_server() {
    local command tries log=$work/$serving.log
    command_of "$serving" "$1" "$2"
    rm -f "$work/port"
    : >"$log" # which is looked at, perhaps before the server's process has opened it
    # Each variable of a setting is a word. memcached writes its port to the file, mbcached to its log.
    env LD_PRELOAD="${preload[$serving]}" MEMCACHED_PORT_FILENAME="$work/port" ${variable[$serving]} "${command[@]}" \
        >"$log" 2>&1 9>&- </dev/null &
    server=$!
    port=
    for tries in $(seq 2400); do
        port=$(sed -n 's/^TCP INET: //p' "$work/port" 2>/dev/null || true)
        port=${port:-$(sed -n 's/^mbcached: listening on .*:\([0-9]*\)$/\1/p' "$log")}
        [ -z "$port" ] || break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    [ -n "$port" ] || die "$serving: the server does not start: $(cat "$log")"
    check_allocator
    empty=$(resident_bytes)
    empty_used=$(used_bytes)
}

# ask COMMAND...: the lines of its answer
ask() {
    exec 8<>"/dev/tcp/127.0.0.1/$port"
    printf '%s\r\nquit\r\n' "$*" >&8
    timeout 120 tr -d "\r" <&8 || die "$serving: the server does not answer $*"
    exec 8>&-
}

# The allocator under test is the one that is there: by what is mapped, and by what mbcached says.
check_allocator() {
    local other preloaded
    cat "/proc/$server/maps" >"$work/maps" || die "$serving: the server has ended$(server_last_words)"
    preloaded=$(grep -oE '/[^ ]*(malloc|libmemorybucket|libhoard|snmalloc)[^ /]*$' "$work/maps" | sort -u || true)
    if [ -n "${preload[$serving]}" ]; then
        grep -qF "${expect[$serving]}" "$work/maps" || die "$serving: ${expect[$serving]} is not in the server"
        other=$(grep -vF "${expect[$serving]}" <<<"$preloaded" || true)
    else
        other=$preloaded
    fi
    [ -z "$other" ] || die "$serving: ${other//$'\n'/, } is in the server"
    [ "${kind[$serving]}" = memcached ] ||
        ask stats settings | grep -qxE "STAT allocator $([ "${kind[$serving]}" = malloc ] && echo malloc || echo mb)" ||
        die "$serving: the server says that it has another allocator"
}

# From the kernel's sum over the mappings, or its estimate where that cannot be read.
resident_bytes() {
    awk '/^Rss:/ { print $2 * 1024; found = 1 } END { exit !found }' "/proc/$server/smaps_rollup" 2>/dev/null ||
        awk -v page="$(getconf PAGESIZE)" '{ print $2 * page }' "/proc/$server/statm"
}

# What the allocator has handed out, in slots or chunks. Only MemoryBucket and glibc are asked: the others do not say it
# by mallinfo2.
used_bytes() {
    [ "${kind[$serving]}" = memorybucket ] || [ "$serving" = glibc ] || return 0
    ask stats allocator | awk '$2 ~ /^(mb_live|malloc_used)_bytes$/ { sum += $3 } END { print sum }'
}

# User and system time so far; the name, which may hold spaces, is cut off.
cpu_ticks() { sed 's/.*) //' "/proc/$server/stat" | awk '{ print $12 + $13 }'; }

# flush: until the items are gone, or 3 seconds; then what is free goes back, until two calls in a row bring less than
# a hundredth, as items are freed some turns after they are gone. memcached lets them lie, and gives nothing back.
flush() {
    local tries resident before=0 level=0
    ask flush_all | grep -qx OK || die "$serving: flush_all failed"
    [ "${kind[$serving]}" != memcached ] || return 0
    for tries in $(seq 30); do
        [ "$(ask stats | awk '$2 == "curr_items" { print $3 }')" != 0 ] || break
        sleep 0.1
    done
    for tries in $(seq 20); do
        ask mb_trim | grep -qx OK || die "$serving: mb_trim failed"
        sleep 0.12 # the other threads give up what they have cached at one of their ticks, ten a second
        resident=$(resident_bytes)
        level=$((100 * resident > 99 * before && before > 0 ? level + 1 : 0)) before=$resident
        [ $level -lt 2 ] || break
    done
}

# stop_server: it ends while the next one begins; wait_for_the_last says how
stop_server() {
    kill -TERM "$server" 2>/dev/null || true
    ending=$server ended=$serving server=
    [ -z "$sampled" ] || begin_share
}

# wait_for_the_last: until nothing of the server before runs any more, as what follows is timed
wait_for_the_last() {
    local status=0
    end_share
    [ -n "$ending" ] || return 0
    wait "$ending" || status=$?
    ending=
    [ "$status" -eq 0 ] || die "$ended: the server ended with status $status$(server_last_words "$ended")"
}

# check_perf: in `perf` why there are no samples, empty where there are. They are counted by time, as virtual machines
# have no cycle counter.
check_perf() {
    perf=
    perf record -q -e cpu-clock -F 3999 -o "$work/perf.data" -- true >/dev/null 2>"$work/perf.log" ||
        perf="perf does not work here: $(tail -n 1 "$work/perf.log")"
    [ -z "$perf" ] || echo "The allocators' share of the CPU time is left out: $perf"
}

# start_profile, end_profile WORKLOAD: takes samples, which begin_share and end_share look at. The command that perf is
# given starts once samples are taken. In the first round alone: perf slows the server, and takes time to look.
start_profile() {
    local tries
    [ -z "$perf" ] && [ "$round" -eq 1 ] && [ "${kind[$serving]}" != memcached ] || return 0
    cat "/proc/$server/maps" >"$work/perf.maps"
    rm -f "$work/sampling"
    perf record -q -e cpu-clock -F 3999 -p "$server" -o "$work/perf.data" -- \
        sh -c ': >"$1"; exec sleep 60' sh "$work/sampling" >/dev/null 2>"$work/perf.log" 9>&- &
    profile=$!
    for tries in $(seq 100); do
        [ ! -e "$work/sampling" ] && kill -0 "$profile" 2>/dev/null || break
        sleep 0.02
    done
}

end_profile() {
    [ -n "$profile" ] || return 0
    kill -TERM "$profile" 2>/dev/null || true
    wait "$profile" || true
    profile='' sampled=$1 sampled_connections=$connections
}

# begin_share, end_share: what share of the CPU time of the server that ends is the allocator's
begin_share() {
    local library=${expect[$ended]}
    [ "${kind[$ended]}" != memorybucket ] || library=inlined
    [ "$ended" != glibc ] || library=libc
    bench/server/cpu_share.py "$work/perf.data" "$work/perf.maps" "$library" >"$work/share" 2>"$work/share.log" 9>&- &
    share=$!
}

end_share() {
    [ -n "$share" ] || return 0
    if wait "$share"; then
        serving=$ended connections=$sampled_connections record "$sampled" alloc_percent percent "$(cat "$work/share")"
    else
        echo "server: $ended: no share of CPU time: $(tail -n 1 "$work/share.log")" >&2
    fi
    share='' sampled=
}

# check_files: a server and its load take a file for each connection
check_files() {
    local most
    most=$(awk '{ if ($2 > most) most = $2 } END { print most + 200 }' <<<"$chosen")
    [ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge "$most" ] ||
        die "a process may open $(ulimit -Hn) files, and $most are needed: raise ulimit -Hn, or leave a workload out"
    ulimit -Sn "$([ "$(ulimit -Sn)" = unlimited ] || [ "$(ulimit -Sn)" -ge "$most" ] && ulimit -Sn || echo "$most")"
}
