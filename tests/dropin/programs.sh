#!/usr/bin/env bash
# Runs one real, unmodified program on the drop-in, checks what it does, and that the pools served it.
# Usage: programs.sh PROGRAM MBRUN SOURCE_DIR
set -euo pipefail
program=$1 mbrun=$2 source=$3
work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT
export MB_STATS=1

fail() {
    echo "$program: $*" >&2
    [ ! -s "$work/stderr" ] || tail -n 20 "$work/stderr" >&2
    exit 1
}

# run COMMAND...: on the drop-in; its output goes to $work/stdout, the statistics to $work/stderr
run() {
    "$mbrun" "$@" >"$work/stdout" 2>"$work/stderr" || fail "exit status $?"
    grep -q '^MemoryBucket: reserved' "$work/stderr" || fail "printed no statistics"
    [ "$(awk '$1 ~ /^[0-9]+$/ { slots += $2 } END { print slots + 0 }' "$work/stderr")" -gt 100 ] ||
        fail "the pools did not serve it"
}

expect() {
    [ "$(cat "$work/stdout")" = "$1" ] || fail "printed '$(head -c 200 "$work/stdout")', not '$1'"
}

case $program in
python3)
    run python3 -c '
import json, threading
def work(n, out):
    d = {str(i): [i] * (i % 9) for i in range(20000)}
    out[n] = len(json.loads(json.dumps(d)))
out = [0] * 4
threads = [threading.Thread(target=work, args=(n, out)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(sum(out))'
    expect 80000
    ;;
perl)
    run perl -e 'my %h = map { $_ => "x" x ($_ % 300) } 1 .. 50000; delete $h{$_} for 1 .. 25000;
        my $sum = 0; $sum += length for values %h; print scalar(keys %h), " $sum\n"'
    expect "25000 $(perl -e 'my $s = 0; $s += $_ % 300 for 25001 .. 50000; print $s')"
    ;;
git)
    export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
    run git init -q "$work/repo"
    cp -r "$source/src" "$work/repo/"
    run git -C "$work/repo" add .
    run git -C "$work/repo" commit -q -m all
    run git -C "$work/repo" repack -adq
    run git -C "$work/repo" fsck --full
    run git -C "$work/repo" log --format=%s
    expect all
    ;;
gcc)
    objects=0
    for file in "$source"/src/*.c "$source"/src/core/*.c "$source"/src/tcache/*.c "$source"/src/check/*.c; do
        flags=(-O2 -std=c11 -D_GNU_SOURCE -I"$source/src" -I"$source/include" -c "$file")
        gcc "${flags[@]}" -o "$work/plain.o"
        run gcc "${flags[@]}" -o "$work/dropin.o"
        cmp "$work/plain.o" "$work/dropin.o" || fail "$file compiles to something else"
        objects=$((objects + 1))
    done
    [ $objects -ge 10 ] || fail "compiled only $objects files"
    ;;
sqlite3)
    run sqlite3 "$work/db" 'create table t(a integer primary key, b text);
        with recursive c(x) as (select 1 union all select x + 1 from c where x < 50000)
        insert into t select x, hex(x) from c; create index i on t(b);
        select count(*), sum(length(b)) from t where b > 33; pragma integrity_check;'
    grep -qx ok "$work/stdout" || fail "integrity"
    ;;
bash)
    run bash -c 'declare -A words; for ((i = 0; i < 5000; i++)); do words[k$i]=$((i * i)); done
        echo ${#words[@]} ${words[k4999]} $(echo from a child | tr a-z A-Z)'
    expect "5000 24990001 FROM A CHILD"
    set +e
    "$mbrun" bash -c 'exit 42' 2>/dev/null
    [ $? -eq 42 ] || fail "the exit status is not passed on"
    ;;
redis)
    socket=$work/redis.sock
    "$mbrun" redis-server --port 0 --unixsocket "$socket" --save '' --dir "$work" \
        >"$work/stdout" 2>"$work/stderr" &
    server=$!
    for _ in $(seq 100); do
        [ "$(redis-cli -s "$socket" ping 2>/dev/null)" = PONG ] && break
        sleep 0.1
    done
    redis-benchmark -s "$socket" -q -n 20000 -P 8 -r 5000 -t set,get,lpush,lrange_100 >"$work/bench"
    [ "$(redis-cli -s "$socket" set key value)" = OK ] || fail "set"
    [ "$(redis-cli -s "$socket" get key)" = value ] || fail "get"
    [ "$(redis-cli -s "$socket" dbsize)" -gt 1000 ] || fail "dbsize"
    redis-cli -s "$socket" shutdown nosave || true
    wait "$server" || fail "exit status $?"
    server=
    live=$(awk '$1 ~ /^[0-9]+$/ { live += $3 } END { print live + 0 }' "$work/stderr")
    [ "$live" -gt 5000 ] || fail "the pools hold only $live of its objects"
    ;;
keys | detach | fork)
    MB_STATS=1 "$mbrun" "$(dirname "$mbrun")/dropin_lifecycle" "$program" >"$work/stdout" \
        2>"$work/stderr" || fail "exit status $?"
    expect lives
    grep -q '^MemoryBucket: reserved' "$work/stderr" || fail "printed no statistics"
    ;;
dlsym)
    LD_PRELOAD=$(realpath "$(dirname "$mbrun")/../lib")/libdropin_allocating_dlsym.so "$mbrun" true \
        2>"$work/stderr" || fail "exit status $?"
    grep -qE '^dlsym allocated [1-9]' "$work/stderr" || fail "dlsym was not asked, or did not allocate"
    ;;
contract | operators)
    run "$(dirname "$mbrun")/dropin_$program"
    expect "$program hold$([ $program = contract ] && echo s)"
    ;;
heap_top)
    # What large objects leave at the top of malloc's heap stays for the next ones, and goes back in the end; unless
    # the user or the program has told malloc something else.
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
    run env MB_DECAY_MS=-1 "$top" trim
    run env MB_DECAY_MS=-1 "$top" cancel
    run env MB_DECAY_MS=100 "$top" decay
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
    [[ $("$mbrun" --help) == 'Usage: mbrun PROGRAM'* ]] || fail "--help"
    "$mbrun" -- sh -c 'kill -TERM $$' 2>/dev/null
    [ $? -eq 143 ] || fail "death by a signal is not passed on"
    preloads=$(LD_PRELOAD=libm.so.6 "$mbrun" sh -c 'echo "$LD_PRELOAD"' 2>/dev/null)
    [[ $preloads == *memorybucket-malloc.so:libm.so.6 ]] || fail "other preloads are lost"
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
    done
    ;;
*)
    fail "no such test"
    ;;
esac
