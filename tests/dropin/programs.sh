#!/usr/bin/env bash
# Runs one program on the drop-in, checks what it does, and that the pools served it. Real programs: tests/dropin/programs.
# Usage: programs.sh PROGRAM MBRUN SOURCE_DIR
set -euo pipefail
program=$1 mbrun=$2 source=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export MB_STATS=1

fail() {
    echo "$program: $*" >&2
    [ ! -s "$work/stderr" ] || tail -n 20 "$work/stderr" >&2
    exit 1
}

# run COMMAND...: on the drop-in; its output goes to $work/stdout, the statistics to $work/stderr
slots_least=100
run() {
    "$mbrun" "$@" >"$work/stdout" 2>"$work/stderr" || fail "exit status $?"
    grep -q '^MemoryBucket: reserved' "$work/stderr" || fail "printed no statistics"
    [ "$(awk '$1 ~ /^[0-9]+$/ { slots += $2 } END { print slots + 0 }' "$work/stderr")" -gt $slots_least ] ||
        fail "the pools did not serve it"
}

expect() {
    [ "$(cat "$work/stdout")" = "$1" ] || fail "printed '$(head -c 200 "$work/stdout")', not '$1'"
}

case $program in
keys | detach | fork)
    MB_STATS=1 "$mbrun" "$(dirname "$mbrun")/dropin_lifecycle" "$program" >"$work/stdout" \
        2>"$work/stderr" || fail "exit status $?"
    expect lives
    grep -q '^MemoryBucket: reserved' "$work/stderr" || fail "printed no statistics"
    ;;
dlsym)
    libraries=$(realpath "$(dirname "$mbrun")/../lib")
    allocating=$libraries/libdropin_allocating_dlsym.so dropin=$libraries/libmemorybucket-malloc.so
    for order in "$allocating:$dropin" "$dropin:$allocating"; do
        # With the small border a little memory is there for that and then no more, else the pools serve.
        for border in 512:'[1-9][0-9]?' 32K:1000; do
            MB_POOL_MAX=${border%:*} LD_PRELOAD=$order "$(type -P true)" 2>"$work/stderr" ||
                fail "$order: exit status $?"
            grep -qxE "dlsym allocated ${border#*:} times" "$work/stderr" ||
                fail "$order, border $border: dlsym was not asked, or allocated otherwise"
        done
    done
    ;;
contract | operators)
    for border in 32K 512; do
        MB_POOL_MAX=$border run "$(dirname "$mbrun")/dropin_$program"
        expect "$program hold$([ $program = contract ] && echo s)"
    done
    ;;
border)
    # Whatever MB_POOL_MAX says, no pool above it is ever used: also where malloc would align a size to a larger slot, or
    # a first object would be the guest of a larger pool.
    unset MB_POOL_MAX
    for border in :32768 32K:32768 512:512 513:528 520:528 600:608 1024:1024 1025:1152 1280:1280 18000:18432 20000:20480; do
        MB_POOL_MAX=${border%:*}
        [ -z "$MB_POOL_MAX" ] && unset MB_POOL_MAX || export MB_POOL_MAX
        run "$(dirname "$mbrun")/dropin_contract"
        expect "contract holds"
        largest=$(awk '$1 ~ /^[0-9]+$/ && $2 > 0 { most = $1 } END { print most }' "$work/stderr")
        [ "$largest" -eq "${border#*:}" ] || fail "MB_POOL_MAX=${border%:*}: the largest pool in use is of $largest bytes"
    done
    ;;
answers)
    # As the C library answers, so does the drop-in, also where the pools have no place for it.
    answers=$(dirname "$mbrun")/dropin_answers
    "$answers" all >"$work/expected"
    [ "$(wc -l <"$work/expected")" -gt 80 ] || fail "asks too little"
    for environment in MB_STATS=1 MB_POOL_MAX=512 MB_CHECK=double_free; do
        env "$environment" "$mbrun" "$answers" all >"$work/stdout" 2>"$work/stderr" || fail "exit status $?"
        diff "$work/expected" "$work/stdout" >&2 || fail "the C library (<) and the drop-in (>) differ"
    done
    MB_DECAY_MS=-1 run "$answers" figures
    expect "figures hold"
    [ "$("$mbrun" "$answers" sized 2>/dev/null)" = "sizes hold" ] || fail "sized"
    [ "$("$mbrun" "$answers" names 2>/dev/null)" = "names hold" ] || fail "names"
    run "$answers" document
    python3 -c '
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == "malloc" and root.find("heap") is not None and root.find("system") is not None
assert root.find("pools").get("max") == "32768"
pools = {int(p.get("size")): int(p.get("live")) for p in root.find("pools")}
assert all(pools[size] >= 8 for size in range(32, 513, 16)) and sum(pools.values()) >= 511, pools' "$work/stdout" || fail "malloc_info"
    grep -q '^Total (incl. mmap):' "$work/stderr" || fail "malloc_stats says nothing of large objects"
    [ "$(grep -c '^MemoryBucket: reserved' "$work/stderr")" -eq 2 ] || fail "malloc_stats says nothing of the pools"
    ;;
partial)
    unset MB_STATS
    programs=0
    for partial in "$(dirname "$mbrun")"/dropin_partial_*; do
        "$partial" >"$work/stdout" 2>"$work/stderr" || fail "$partial: exit status $? on the C library"
        "$mbrun" "$partial" >"$work/stdout" 2>"$work/stderr" || fail "$partial: exit status $?"
        expect "parts hold"
        programs=$((programs + 1))
    done
    [ $programs -eq 8 ] || fail "there are $programs programs"
    ;;
signals)
    signals=$(dirname "$mbrun")/dropin_signals
    unset MB_STATS
    ulimit -c 0
    "$signals" plain >"$work/stdout" 2>"$work/stderr" || fail "exit status $? on the C library"
    expect "signals hold"
    "$mbrun" "$signals" plain >"$work/stdout" 2>"$work/stderr" || fail "exit status $?"
    expect "signals hold"
    for kind in 1 use_after_free; do
        MB_CHECK=$kind MB_CHECK_CONTINUE=1 "$mbrun" "$signals" checked >"$work/stdout" 2>"$work/stderr" ||
            fail "exit status $? under MB_CHECK=$kind"
        expect "signals hold"
    done
    ended=0
    { MB_CHECK=1 "$mbrun" "$signals" dies 2>"$work/stderr" || ended=$?; } 2>/dev/null
    [ $ended -eq 134 ] || fail "exit status $ended after a use after free"
    grep -q '^memorybucket: use after free: ' "$work/stderr" || fail "a use after free is not reported"
    # Who is started with the signal ignored keeps it so.
    (trap '' SEGV && MB_CHECK=1 "$mbrun" "$signals" inherits) || fail "an ignored SIGSEGV is ignored no more"
    ;;
rust)
    # Its runtime tells of a stack overflow in a handler, which it sets only where there is none.
    type -P rustc >/dev/null || exit 77
    unset MB_STATS
    ulimit -c 0
    cat >"$work/overflow.rs" <<'RUST'
fn descend(depth: u64) -> u64 {
    let frame = [depth; 64];
    let below = descend(depth + 1);
    below + unsafe { std::ptr::read_volatile(&frame[0]) } // behind the call, or it becomes a loop
}
fn main() {
    if std::env::args().nth(1).is_some() {
        std::thread::Builder::new().name("deep".into()).spawn(|| descend(0)).unwrap().join().unwrap();
    }
    println!("{}", descend(0));
}
RUST
    rustc -O -o "$work/overflow" "$work/overflow.rs" 2>"$work/stderr" || fail "rustc"
    for check in 0 1 overflow; do
        for thread in main deep; do
            ended=0
            {
                MB_CHECK=$check "$mbrun" "$work/overflow" ${thread#main} >"$work/stdout" 2>"$work/stderr" ||
                    ended=$?
            } 2>/dev/null
            [ $ended -eq 134 ] || fail "MB_CHECK=$check: exit status $ended"
            grep -qE "^thread '$thread'.* has overflowed its stack" "$work/stderr" ||
                fail "MB_CHECK=$check: the overflow's message is lost"
        done
    done
    ;;
plugins)
    MB_STATS=1 "$mbrun" "$(dirname "$mbrun")/dropin_plugins" >"$work/stdout" 2>"$work/stderr" || fail "exit status $?"
    expect "plugins hold"
    grep -q '^MemoryBucket: reserved' "$work/stderr" || fail "printed no statistics"
    ;;
heap_top)
    # What large objects leave at the top of malloc's heap stays for the next ones, and goes back in the end; unless
    # the user or the program has told malloc something else.
    export MB_POOL_MAX=512 # they are of 600 to 4,000 bytes
    top=$(dirname "$mbrun")/dropin_heap_top
    faults() { run env "$@" && cat "$work/stdout"; }
    alone=$("$top" faults)
    with=$(faults "$top" faults)
    [ "$with" -le $((2 * alone)) ] || fail "$with page faults, and $alone with the C library alone"
    for setting in MALLOC_TRIM_THRESHOLD_=131072 MALLOC_TOP_PAD_=131072 MALLOC_MMAP_THRESHOLD_=131072 \
        MALLOC_MMAP_MAX_=65536 GLIBC_TUNABLES=glibc.malloc.trim_threshold=131072; do
        told=$(faults "$setting" "$top" faults)
        [ "$told" -ge $((20 * with)) ] || fail "$setting is overruled: $told page faults, $with without it"
    done
    told=$(faults "$top" mallopt)
    [ "$told" -ge $((20 * with)) ] || fail "the program's mallopt is overruled: $told page faults"
    for mode in buffers callocs told objects once few; do
        run env MB_DECAY_MS=-1 "$top" $mode
    done
    run env MB_DECAY_MS=-1 "$top" trim
    run env MB_DECAY_MS=-1 "$top" cancel
    run env MB_DECAY_MS=100 "$top" decay
    run env MB_DECAY_MS=100 "$top" in_use
    ;;
mbrun)
    set +e
    "$mbrun" >/dev/null 2>"$work/stderr"
    [ $? -eq 125 ] || fail "without a program"
    "$mbrun" --nonsense true >/dev/null 2>"$work/stderr"
    [ $? -eq 125 ] || fail "with an unknown option"
    grep -q -- '--nonsense' "$work/stderr" || fail "the unknown option is not named"
    "$mbrun" /nonexistent/program 2>"$work/stderr"
    [ $? -eq 127 ] || fail "with a program that does not exist"
    grep -q /nonexistent/program "$work/stderr" || fail "the missing program is not named"
    "$mbrun" "$source" 2>"$work/stderr"
    [ $? -eq 126 ] || fail "with a folder for a program"
    [[ $("$mbrun" --help) == 'Usage: mbrun [OPTIONS] PROGRAM'* ]] || fail "--help"
    "$mbrun" -- sh -c 'kill -TERM $$' 2>/dev/null
    [ $? -eq 143 ] || fail "death by a signal is not passed on"
    "$mbrun" -- sh -c 'exit 42' 2>/dev/null
    [ $? -eq 42 ] || fail "the exit status is not passed on"
    preloads=$(LD_PRELOAD=libm.so.6 "$mbrun" sh -c 'echo "$LD_PRELOAD"' 2>/dev/null)
    [[ $preloads == libm.so.6:*memorybucket-malloc.so ]] || fail "other preloads are lost, or not in front"
    mkdir -p "$work/alone" "$work/a b/bin" "$work/a b/lib"
    cp "$mbrun" "$work/alone/mbrun"
    "$work/alone/mbrun" true 2>"$work/stderr"
    [ $? -eq 125 ] || fail "without the drop-in"
    grep -q libmemorybucket-malloc.so "$work/stderr" || fail "the missing drop-in is not named"
    cp "$mbrun" "$work/a b/bin/mbrun"
    cp "$(dirname "$mbrun")/../lib/libmemorybucket-malloc.so" "$work/a b/lib/"
    "$work/a b/bin/mbrun" true 2>"$work/stderr"
    [ $? -eq 125 ] || fail "with a folder whose name LD_PRELOAD cannot hold"
    grep -q "$work/a b/" "$work/stderr" || fail "that folder is not named"
    ;;
stats)
    # Programs that close stderr before they end, and one that has another file by its number.
    slots_least=10 # without a locale some of them allocate little
    echo line >"$work/lines"
    for command in 'ls -d /' "sort $work/lines" "grep line $work/lines"; do
        run $command
    done
    run bash -c "exec 2>'$work/other'; echo 1"
    [ ! -s "$work/other" ] || fail "wrote into a file that is not the stderr it was given"
    "$mbrun" sort "$work/lines" >/dev/null 2>&- || fail "without a stderr"
    # One file a process, one for all, and one that cannot be.
    MB_STATS=$work/report.%p "$mbrun" bash -c 'ls / >/dev/null; exit 0'
    [ "$(ls "$work"/report.* | wc -l)" -eq 2 ] || fail "not one file a process"
    MB_STATS=$work/all "$mbrun" bash -c 'ls / >/dev/null; exit 0'
    [ "$(grep -c '^MemoryBucket' "$work/all")" -eq 2 ] || fail "not all of them in one file"
    MB_STATS=$work/none/report "$mbrun" ls -d / >/dev/null 2>"$work/stderr"
    grep -qx "memorybucket: MB_STATS=$work/none/report: No such file or directory" "$work/stderr" ||
        fail "a path that cannot be is not named"
    MB_STATS=/dev/full "$mbrun" ls -d / >/dev/null 2>"$work/stderr"
    grep -qx "memorybucket: MB_STATS=/dev/full: No space left on device" "$work/stderr" ||
        fail "a full disk is not named"
    run "$(dirname "$mbrun")/dropin_report" quick_exit
    MB_STATS=$work/forked.%p "$mbrun" "$(dirname "$mbrun")/dropin_report" fork
    counts=$(sed -nE 's/.*large: ([0-9]+) allocated.*/\1/p' "$work"/forked.* | sort -n | tr '\n' ' ')
    [[ $counts =~ ^(3[0-9][0-9])\ (50[0-9][0-9])\ $ ]] || fail "parent and child count $counts"
    # What the parent has cached serves some of the child's objects; 448 bytes have magazines of 32 slots.
    moved=$(awk '$1 == "448" { print $(NF - 1), $NF }' "$work"/forked.* | sort -n | tr '\n' ' ')
    read -r child_taken child_returned parent_taken parent_returned <<<"$moved"
    ((child_taken > 0 && child_taken < 1100 && child_returned < 1100)) || fail "a child took and returned $moved"
    ((parent_taken >= 4900 && parent_taken < 6000 && parent_returned > 3000)) || fail "a parent took and returned $moved"
    ;;
reach)
    # What cannot be preloaded into runs all the same, and mbrun says why it has no effect; of all else it says nothing.
    bin=$(dirname "$mbrun")
    unset MB_STATS
    quietly() { "$mbrun" "$@" >"$work/stdout" 2>"$work/stderr" && [ ! -s "$work/stderr" ] || fail "complaint: $*"; }
    complains() { # WORD COMMAND...
        local word=$1
        shift
        "$@" >"$work/stdout" 2>"$work/stderr" || fail "exit status $?: $*"
        [ "$(grep -c "runs without MemoryBucket, as it .*$word" "$work/stderr")" -eq 1 ] || fail "no word of $word: $*"
    }
    complains statically "$mbrun" "$bin/dropin_static"
    expect static
    (export PATH=$bin:$PATH && complains statically "$mbrun" dropin_static)
    gcc -static-pie -O1 "$source/tests/dropin/static.c" -o "$work/static_pie"
    complains statically "$mbrun" "$work/static_pie"
    printf '#! %s with an argument\n' "$bin/dropin_static" >"$work/script"
    printf '#!%s\n' "$work/script" >"$work/outer"
    printf '#!/bin/sh\n' >"$work/plain"
    chmod +x "$work/script" "$work/outer" "$work/plain"
    complains statically "$mbrun" "$work/script"
    complains statically "$mbrun" "$work/outer"
    quietly "$work/plain"
    quietly true
    quietly "$(realpath "$(readelf -l "$(type -P true)" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')")" --version
    [ "$(id -u)" -eq 0 ] || exit 0 # other users can make no program that has more rights than they
    cp -r "$bin/../lib" "$work/lib"
    mkdir "$work/bin"
    cp "$mbrun" "$bin/dropin_static" "$work/bin"
    chmod -R a+rX "$work"
    as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
    as_nobody "$work/bin/mbrun" "$work/plain" || fail "another user cannot run mbrun"
    for mode in 4755 2755 4711; do
        cp "$(type -P true)" "$work/bin/more"
        chmod "$mode" "$work/bin/more"
        quietly "$work/bin/more"
        complains "set-$([ "$mode" = 2755 ] && echo group || echo user)-ID" as_nobody "$work/bin/mbrun" "$work/bin/more"
        as_nobody setpriv --no-new-privs "$work/bin/mbrun" "$work/bin/more" 2>"$work/stderr"
        [ ! -s "$work/stderr" ] || fail "a program that gets no rights"
    done
    ;;
watched)
    # A library that watches malloc, preloaded in front of ours, sees every call, C++'s too.
    watched=$(dirname "$mbrun")/dropin_watched
    watcher=$(realpath "$(dirname "$mbrun")/../lib")/libdropin_watcher.so
    LD_PRELOAD=$watcher MB_STATS=1 "$mbrun" "$watched" >"$work/stdout" 2>"$work/stderr" || fail "exit status $?"
    expect watched
    seen=$(sed -n 's/^watcher: \([0-9]*\) allocations$/\1/p' "$work/stderr")
    [ "${seen:-0}" -ge 30000 ] || fail "the watcher saw ${seen:-0} of 30,000 allocations"
    [ "$(awk '$1 ~ /^[0-9]+$/ { slots += $2 } END { print slots + 0 }' "$work/stderr")" -gt 100 ] ||
        fail "the pools did not serve it"
    (cd "$work" && MB_STATS=0 heaptrack -o track "$mbrun" "$watched" >/dev/null 2>&1) || fail "heaptrack"
    calls=$(heaptrack_print "$work"/track.* 2>/dev/null |
        sed -n 's/^calls to allocation functions: \([0-9]*\).*/\1/p')
    [ "${calls:-0}" -ge 30000 ] || fail "heaptrack saw ${calls:-0} calls"
    ;;
no_bad_alloc)
    set +e
    (ulimit -c 0 && exec "$mbrun" "$(dirname "$mbrun")/dropin_contract" fail-as-c++) 2>"$work/stderr"
    [ $? -eq 134 ] || fail "does not abort"
    grep -q 'out of memory, and no C++ library to throw bad_alloc' "$work/stderr" || fail "does not say why"
    ;;
background)
    for wanted in 0 1; do
        tasks=$(MB_STATS=0 MB_BACKGROUND=$wanted "$mbrun" sh -c 'ls /proc/$$/task | wc -l')
        [ "$tasks" -eq $((1 + wanted)) ] || fail "MB_BACKGROUND=$wanted: $tasks threads"
        # And in the child of a fork, once that allocates.
        tasks=$(MB_STATS=0 MB_BACKGROUND=$wanted PYTHONMALLOC=malloc "$mbrun" python3 -c '
import os
child = os.fork()
if child == 0:
    objects = [bytes(i) for i in range(2000)]
    os._exit(len(os.listdir("/proc/self/task")))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))')
        [ "$tasks" -eq $((1 + wanted)) ] || fail "MB_BACKGROUND=$wanted: $tasks threads in a child"
    done
    ;;
*)
    fail "no such test"
    ;;
esac
