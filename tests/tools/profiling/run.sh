#!/usr/bin/env bash
# The scripts of bench/perf, end to end, with what every machine has: software events and uprobes.
# Usage: run.sh NAME SOURCE_DIR BUILD_DIR    NAME is record, folding, stat, versus, contention,
#                                            linked, attach, usage, without-perf, user or signals
# Exit status 77: skipped, as this machine or user may not measure; the last line says why.
set -euo pipefail
name=$1 scripts=$2/bench/perf build=$3
here=$(cd "$(dirname "$0")" && pwd)
contended=$build/bin/contended
dropin=$build/lib/libmemorybucket-malloc.so
work=$(mktemp -d)
child=
finish() {
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cd "$work"

die() {
    echo "profiling/$name: $*" >&2
    local file
    for file in out err; do
        [ ! -s "$work/$file" ] || { echo "--- $file:" && tail -n 30 "$work/$file"; } >&2
    done
    exit 1
}
skip() {
    echo "profiling/$name: skipped: $*"
    exit 77
}
# run SCRIPT ARGS...: its output in out and err, its status in status; 3 (cannot here) skips the test
run() {
    status=0
    "$scripts/$1" "${@:2}" >out 2>err </dev/null || status=$?
    [ "$status" -ne 3 ] || skip "$(cat err)"
}
succeeds() {
    run "$@"
    [ "$status" -eq 0 ] || die "$* ended with status $status"
}
# has FILE REGEX
has() { grep -qE -- "$2" "$1" || die "$1 lacks: $2"; }
has_not() { ! grep -qE -- "$2" "$1" || die "$1 has: $2"; }
# No probes are left of a script that has ended. (Other tests may have theirs now.)
no_probes_left() {
    local tracing pid
    tracing=$(awk '$3 == "tracefs" { print $2; exit }' /proc/mounts)
    for pid in $(sed -n 's/^p:memorybucket_\([0-9]*\)\/.*/\1/p' "$tracing/uprobe_events"); do
        [ -d "/proc/$pid" ] || die "probes were left behind"
    done
}
# What contention.sh counted of the pool of 64 bytes is what the library counted; where it estimates, that there is
# something. (The first statistics are the program's, then perf's.)
agrees() {
    local counted shown
    counted=$(awk '$1 == "slot" { for (i = 1; i <= NF; i++) if ($i == "retries") at = i }
        $1 == 64 && at { print $at; exit }' err)
    shown=$(awk '$1 == 64 && NF == 6 { print $2 + $3; exit }' out)
    [ "${counted:-none}" != none ] || die "the program has no statistics"
    if grep -q '^Estimated' out; then
        [ "$counted" -lt 10000 ] || [ "${shown:-0}" -gt 0 ] || die "it shows none of $counted retries"
    else
        [ "${shown:-0}" -eq "$counted" ] || die "it shows ${shown:-0} retries, the library counted $counted"
    fi
}
# meets ARGS...: contention.sh on a contended program, until threads have met on both ways; on a
# busy machine they may take turns for the few milliseconds that this lasts, so the next try lasts longer.
meets() {
    local try bulks=100
    for try in {1..12}; do
        MB_STATS=1 MB_MAGAZINE_SIZE=8 succeeds contention.sh "$@" --bulks "$bulks"
        if grep -q 'were lost' out; then
            echo "try $try: events were lost"
            bulks=$(((bulks + 1) / 2))
            continue
        fi
        agrees
        ! grep -qE '^64 +[1-9][0-9]* +[1-9][0-9]* +[0-9]+ +[0-9.]+ %$' out || return 0
        echo "try $try: no retries on both ways"
        bulks=$((bulks * 2))
    done
    skip "by the library's own counts, threads did not meet on refill and on flush; or events were lost each time"
}
need_two_cores() { [ "$(nproc)" -ge 2 ] || skip "threads do not meet on a machine with one core"; }

case $name in
record)
    succeeds record.sh -o graph.svg -F 2000 --allocator "$dropin" -- "$contended" --bulks 3000
    python3 "$here/svg.py" graph.svg produce_bulk consume_bulk run_producer || die "the flame graph is not as it should be"
    has out 'samples by (cpu-clock|cycles)'
    has out '^ *[0-9.]+ %  (malloc|produce_bulk|consume_bulk|free) '
    has out 'libmemorybucket-malloc.so'
    # A directory; as the program is, with its name's spaces and what XML minds.
    cp "$contended" "$work/a <b> & \"c\""
    succeeds record.sh -o results "./a <b> & \"c\"" --bulks 1500
    python3 "$here/svg.py" results/flame.svg produce_bulk || die "the flame graph is not as it should be"
    has results/stacks.folded '^.*;run_producer;produce_bulk;?.* [0-9]+$'
    [ -s results/perf.data ] || die "no perf.data"
    # One that runs already.
    "$contended" --bulks 1000000 >/dev/null &
    child=$!
    for seconds in 1 3 10 30 none; do # how many samples there are in a second is for others to say, too
        [ $seconds != none ] || die "the flame graph is not as it should be"
        run record.sh -o attached$seconds.svg -p "$child" --seconds $seconds
        [ "$status" -ne 0 ] || ! python3 "$here/svg.py" attached$seconds.svg produce_bulk consume_bulk || break
    done
    kill "$child"
    child=
    # A program that fails has a profile all the same.
    run record.sh -o failed.svg -- bash -c 'for ((i = 0; i < 100000; i++)); do :; done; exit 5'
    [ "$status" -eq 1 ] && [ -s failed.svg ] || die "status $status for a program that fails"
    has err 'status 5'
    ;;
folding)
    # A given recording, given stacks; see svg.py for what is checked of the drawing.
    printf '%s\n' 'my app   1000 ' $'\t  7f01 leaf(char const*, int) (/usr/lib/lib a.so)' $'\t  55 main (/bin/app)' '' \
        'my app   500 ' $'\tffff81 sys_read ([kernel.kallsyms])' $'\t  55 [unknown] (/bin/app (deleted))' '' \
        'my app   1000 ' $'\t  7f01 leaf(char const*, int) (/usr/lib/lib a.so)' $'\t  55 main (/bin/app)' >recording
    awk -v self=self -f "$scripts/fold.awk" recording | sort >folded
    printf '%s\n' 'my app;[in app];sys_read_[k] 500' 'my app;main;leaf(char const*, int) 2000' >expected
    diff expected folded || die "stacks are folded wrongly"
    has self $'^2000\tleaf\\(char const\\*, int\\)\tlib a.so$'
    long=a_function_whose_name_is_so_long_that_no_box_of_this_picture_could_ever_hold_it_without_clipping_it_somewhere
    printf '%s\n' "app;main;$long;x<int>&\"y\" 10" 'app;main;x 10' 'app;main;x;y 979' 'app;other 1' | LC_ALL=C sort >folded
    awk -v title='a <title> & more' -v unit=ns -v samples=4 -f "$scripts/flamegraph.awk" folded folded >graph.svg
    python3 "$here/svg.py" graph.svg main other "$long" 'x<int>&"y"' || die "the flame graph is not as it should be"
    has graph.svg '<title>x: 98\.90 %'
    ;;
stat)
    succeeds stat.sh --allocator "$dropin" -- "$contended" --bulks 100
    has out '^operations.409600$'
    has out '^contended on libmemorybucket-malloc.so: 409600 operations$'
    has out '^CPU time, ns +[0-9]+ +[0-9]*[1-9][0-9]*\.[0-9]+$'
    has out '^page-faults +[1-9][0-9]* +[0-9.]+$'
    has err '(software events|hardware counters)'
    succeeds stat.sh --operations 1000 ls /
    has out '^ls: 1000 operations$'
    succeeds stat.sh ls /
    has out '^ls: totals only$'
    has err -- '--operations'
    # perf 6.1 forgets how its program ended when that happens before it begins to wait: it sleeps for a second then.
    until_perf_waits='for ((calm = 0; calm < 5; calm++)); do
        sleep 0.2
        read -r _ _ state _ </proc/$PPID/stat
        [ "$state" = S ] || calm=-1
    done'
    run stat.sh bash -c "echo said; $until_perf_waits; exit 7"
    [ "$status" -eq 1 ] || die "status $status for a program that fails"
    has out '^said$'
    has err 'status 7'
    run stat.sh bash -c "$until_perf_waits; kill -SEGV \$\$"
    [ "$status" -eq 1 ] || die "status $status for a program that crashes"
    has err 'Segmentation fault'
    ;;
versus)
    succeeds versus.sh --a glibc --b "$dropin" --runs 3 -- "$contended" --bulks 100
    has out '^per operation +a: glibc +b: libmemorybucket-malloc.so +b / a$'
    has out '^CPU time, ns +[0-9.]+ \([0-9.]+-[0-9.]+\) +[0-9.]+ \([0-9.]+-[0-9.]+\) +[0-9]+\.[0-9]+$'
    has err "b: .* = $dropin"
    succeeds versus.sh --a glibc --b own --runs 1 ls /
    has out '^whole runs'
    # The library must be there, and where glibc is asked for no other one.
    printf 'int main(void) { return 0; }\n' >static.c
    gcc -static static.c -o static || skip "gcc cannot link statically here"
    run versus.sh --a glibc --b "$dropin" --runs 1 ./static
    [ "$status" -eq 1 ] || die "status $status for a program that does not load the library"
    has err 'was never mapped'
    run versus.sh --a glibc --b "$dropin" --runs 1 "$build/bin/mbrun" ls /
    [ "$status" -eq 1 ] || die "status $status for a program that brings an allocator"
    has err 'brings an allocator of its own'
    ;;
contention)
    need_two_cores
    meets --allocator "$dropin" -- "$contended"
    has out '% +produce_bulk < run_producer < start_thread$'
    has out '% +consume_bulk < run_consumer < start_thread$'
    no_probes_left
    meets --every 16 --allocator "$dropin" -- "$contended"
    awk '$1 == 64 { found = 1; exit ($2 % 16 || $3 % 16 || $4 % 16 || $2 + $3 == 0) } END { if (!found) exit 1 }' out ||
        die "--every 16 does not give multiples of 16"
    # One thread meets nobody.
    succeeds contention.sh --allocator "$dropin" -- ls /
    has out 'no pool was contended'
    ;;
linked)
    need_two_cores
    for how in shared static; do
        meets "$build/bin/profiling_contended_$how"
        has out '% +produce_bulk < run_producer < start_thread$'
        has_not out libmemorybucket-malloc
    done
    mkdir 'a place'
    cp "$build/bin/profiling_contended_static" 'a place/my program'
    meets 'a place/my program'
    has out '% +produce_bulk < run_producer < start_thread$'
    ;;
attach)
    need_two_cores
    # In a folder of its own it publishes what the library counts.
    export XDG_RUNTIME_DIR=$work
    retries() {
        "$build/bin/mbstat" --json "$child" | python3 -c 'import json, sys
print(sum(pool["cas_retries"] for pool in json.load(sys.stdin)["pools"] if pool["size_bytes"] == 64))'
    }
    MB_EXPORT=1 MB_MAGAZINE_SIZE=8 LD_PRELOAD=$dropin "$contended" --bulks 1000000 >/dev/null &
    child=$!
    for ((tries = 0; tries < 3000; tries++)); do
        ! { grep -q libmemorybucket-malloc "/proc/$child/maps" && [ "$(ls "/proc/$child/task" | wc -l)" -gt 2 ] &&
            before=$(retries 2>/dev/null); } || break
        kill -0 "$child" || die "the program has ended"
        sleep 0.1
    done
    [ -n "${before:-}" ] || die "the program does not publish its statistics"
    for _ in {1..30}; do # until its threads have met while somebody looked
        succeeds contention.sh -p "$child" --seconds 1 --every 10
        kill -0 "$child" || die "the program that was looked at has ended"
        ! grep -qE '^64 +[1-9]' out || break
    done
    if grep -qE '^64 +[1-9]' out; then
        has out '% +produce_bulk < run_producer < start_thread$'
    else
        counted=$(($(retries) - before))
        [ "$counted" -lt 10000 ] || die "it shows none of $counted retries"
        skip "by the library's own count, threads met $counted times only while they were looked at"
    fi
    run contention.sh -p "$$" --seconds 1
    [ "$status" -eq 1 ] || die "status $status for a process without MemoryBucket"
    has err 'no probes of MemoryBucket'
    ;;
usage)
    # expect STATUS REGEX SCRIPT ARGS...
    expect() {
        local wanted=$1 regex=$2
        shift 2
        status=0
        "$scripts/$1" "${@:2}" >out 2>err </dev/null || status=$?
        [ "$status" -eq "$wanted" ] || die "$* ended with status $status, not $wanted"
        has err "^$1: .*$regex"
    }
    for script in record stat versus contention; do
        both=()
        [ $script != versus ] || both=(--a glibc --b glibc)
        succeeds $script.sh --help
        has out "^Usage: $script.sh"
        expect 2 'no such option' $script.sh --nonsense
        expect 2 'no program' $script.sh "${both[@]}"
        expect 2 'no such program' $script.sh "${both[@]}" -- /nonexistent/program
        expect 2 'no such program' $script.sh "${both[@]}" no-such-program-anywhere
        expect 2 'no such program' $script.sh "${both[@]}" /
    done
    for script in record stat contention; do
        expect 2 'no such allocator' $script.sh --allocator nonsense ls
        expect 2 'no such file' $script.sh --allocator ./nonsense ls
        expect 2 'a value is missing' $script.sh --allocator
    done
    expect 2 'two allocators' versus.sh --a glibc ls
    expect 2 'no such allocator' versus.sh --a glibc --b nonsense ls
    expect 2 'from 1 to 1000' versus.sh --a glibc --b own --runs 0 ls
    expect 2 'from 1 to 10000' record.sh -F 0 ls
    expect 2 'from 1 to 10000' record.sh -F 99999999999999999999 ls
    expect 2 'accepted are fp' record.sh --call-graph lbr ls
    expect 2 'accepted is a number' stat.sh --operations many ls
    expect 2 'no such process' contention.sh -p 99999999 --seconds 1
    expect 2 'how long' contention.sh -p $$
    expect 2 'only with -p' contention.sh --seconds 1 ls
    ;;
without-perf)
    # All there is but perf.
    mkdir bin
    for directory in /bin /usr/bin; do
        ln -sf -t bin "$directory"/*
    done
    rm -f bin/perf
    for script in record stat versus contention; do
        both=()
        [ $script != versus ] || both=(--a glibc --b glibc)
        status=0
        PATH=$work/bin "$scripts/$script.sh" "${both[@]}" ls >out 2>err </dev/null || status=$?
        [ "$status" -eq 3 ] || die "$script.sh ended with status $status"
        has err "^$script.sh: perf is missing: .*linux-perf"
    done
    ;;
user)
    [ "$(id -u)" -eq 0 ] || skip "this test becomes another user, which takes root"
    as_user=(setpriv --reuid nobody --regid nogroup --clear-groups)
    chmod 777 "$work"
    "${as_user[@]}" test -x "$contended" -a -r "$scripts/perf.sh" || skip "user nobody cannot read $build"
    # Probes are root's.
    status=0
    "${as_user[@]}" "$scripts/contention.sh" --allocator "$dropin" -- "$contended" >out 2>err </dev/null || status=$?
    [ "$status" -eq 3 ] || die "contention.sh ended with status $status for an ordinary user"
    has err 'only root'
    # The others work as far as kernel.perf_event_paranoid lets them, and otherwise say what helps.
    for script in record stat versus; do
        options=()
        [ $script != record ] || options=(-o user.svg)
        [ $script != versus ] || options=(--a glibc --b "$dropin" --runs 1)
        status=0
        "${as_user[@]}" "$scripts/$script.sh" "${options[@]}" "$contended" --bulks 500 >out 2>err </dev/null || status=$?
        if [ "$status" -eq 3 ]; then
            has err 'kernel.perf_event_paranoid'
            skip "$(cat err)"
        fi
        [ "$status" -eq 0 ] || die "$script.sh ended with status $status for an ordinary user"
    done
    python3 "$here/svg.py" user.svg produce_bulk || die "the flame graph is not as it should be"
    ;;
signals)
    succeeds contention.sh --allocator "$dropin" -- ls / # or skips
    python3 "$here/signals.py" "$scripts" "$contended" "$dropin" >out 2>err || die "see above"
    no_probes_left
    ;;
*)
    echo "run.sh: $name: no such test" >&2
    exit 2
    ;;
esac
