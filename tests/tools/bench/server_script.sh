#!/usr/bin/env bash
# bench/server/run.sh with MemoryBucket and memcached: what it measures; that a run which fails or is cut short changes
# nothing and leaves nothing, neither files nor servers; and what it says of wrong options.
# Usage: server_script.sh SOURCE_DIR MBCACHED MBLOAD DROPIN_LIBRARY
set -euo pipefail
. "$(dirname "$0")/expect.sh"
source=$1 mbcached=$2 mbload=$3 dropin=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "server_script: $*" >&2
    exit 1
}

# It says no before it installs, builds or measures anything.
script=$source/bench/server/run.sh
refuses 2 '--frobnicate: no such option; accepted: --quick, --full' "$script" --frobnicate
refuses 2 'no value for it' "$script" --rounds
for rounds in 0 100 -1 x; do refuses 2 'accepted is a number from 1 to 99' "$script" --rounds $rounds; done
refuses 2 'there are: etc@50 usr@50 limit@50 crowd@10000' "$script" --only nothing
refuses 2 'there are memorybucket, dropin, glibc' "$script" --allocators inlined
refuses 2 'asked for twice' "$script" --extra "glibc=$dropin"
refuses 2 'is not a file' "$script" --extra x=/nonexistent
refuses 2 'only one of them' "$script" --quick --full
refuses 2 'MemoryBucket alone' "$script" --tune --allocators glibc
[ "$("$script" --list | tr '\n' ' ')" = "etc@50 usr@50 limit@50 crowd@10000 " ] || fail "--list: $("$script" --list)"
(cd "$source/bench" && server/run.sh --help) | grep -q '^Usage: bench/server/run.sh' || fail "--help"

# A project that needs neither packages nor a build.
project=$work/project
mkdir -p "$project/tests" "$project/build/bench-release"/{bin,lib} "$work/path" "$work/tmp"
cp -r "$source/bench" "$project/bench"
printf '#!/bin/sh\n' | tee "$project/tests/packages.sh" >"$work/path/cmake"
fake_gnuplot "$work/path/gnuplot"
chmod +x "$project/tests/packages.sh" "$work/path"/*
cp "$mbcached" "$mbload" "$project/build/bench-release/bin"
cp "$dropin" "$project/build/bench-release/lib/libmemorybucket-malloc.so"
results=$project/build/bench

# run STATUS OPTION...: it ends so, and leaves nothing behind
run() {
    local wanted=$1 status=0
    shift
    TMPDIR=$work/tmp PATH=$work/path:$PATH "$project/bench/server/run.sh" --quick "$@" >"$work/out" 2>"$work/err" ||
        status=$?
    [ $status -eq "$wanted" ] || fail "status $status and not $wanted: $(cat "$work/out" "$work/err")"
    [ -z "$(ls -A "$work/tmp")" ] || fail "it leaves $(ls -A "$work/tmp")"
    # Each server runs with a variable of the environment that is a path in this folder.
    local tries
    for tries in {1..1200}; do # what was killed may be on its way out
        grep -qsz "MEMCACHED_PORT_FILENAME=$work/" /proc/[0-9]*/environ || break
        sleep 0.05
    done
    ! grep -lsz "MEMCACHED_PORT_FILENAME=$work/" /proc/[0-9]*/environ || fail "a server is left"
}
figure() { awk -F '\t' -v one="$1" -v phase="$2" -v metric="$3" '$1 == one && $2 == phase && $4 == metric { print $6 }' "$results/server.tsv"; }

run 0 --allocators memorybucket,dropin,memcached
expect "$work/err" "server: round 1 of 1: etc, 50 connections: memorybucket"
for one in memorybucket dropin memcached; do
    for phase in steady mixed memcaslap; do
        awk -v value="$(figure $one $phase requests_per_second)" 'BEGIN { exit !(value > 1) }' ||
            fail "$one, $phase: '$(figure $one $phase requests_per_second)' requests a second"
    done
    for phase in filled mixed flushed; do
        awk -v value="$(figure $one $phase resident_bytes)" 'BEGIN { exit !(value > 1e6 && value < 1e9) }' ||
            fail "$one, $phase: '$(figure $one $phase resident_bytes)' resident bytes"
    done
done
grep -q '"allocator": "memorybucket"' "$results/server.json" || fail "MemoryBucket is not in the JSON file"
ls -A "$results" >"$work/before"
cp "$results/server.tsv" "$work/server.tsv"

# kept WHAT: a run that failed has changed nothing
kept() {
    cmp "$results/server.tsv" "$work/server.tsv" || fail "$1: the results before are lost"
    ls -A "$results" | diff "$work/before" - || fail "$1: something is left"
}

# A library that is preloaded, and is not in the server.
echo 'int nothing;' | cc -x c -shared -fPIC -o "$work/libnothing.so" -
mv "$project/build/bench-release/bin/mbcached" "$work/mbcached"
printf '#!/bin/sh\nunset LD_PRELOAD\nexec %s "$@"\n' "$work/mbcached" >"$project/build/bench-release/bin/mbcached"
chmod +x "$project/build/bench-release/bin/mbcached"
run 1 --allocators memcached --extra nothing="$work/libnothing.so"
grep -q 'nothing: .*libnothing.so is not in the server' "$work/err" || fail "it takes another allocator: $(cat "$work/err")"
kept "another allocator"
mv "$work/mbcached" "$project/build/bench-release/bin/mbcached"

# A peer that is not installed: its rows would be glibc's.
printf '#!/bin/sh\n' >"$work/path/ldconfig"
chmod +x "$work/path/ldconfig"
run 1 --allocators glibc,mimalloc
grep -q 'libmimalloc.so.2 is not installed' "$work/err" || fail "it goes on without a peer: $(cat "$work/err")"
rm "$work/path/ldconfig"
kept "a peer that is missing"
# An ordinary user's PATH, in which there is no ldconfig.
(. "$source/bench/lib/bench.sh" && PATH=/usr/bin:/bin && preload_of libc.so.6 && [ -f "$path" ]) ||
    fail "the system's libraries are not found"

# A load that finds a wrong value.
printf '#!/bin/sh\necho "key 7: its bytes are not those stored" >&2\nexit 1\n' >"$project/build/bench-release/bin/mbload"
run 1 --allocators memorybucket
grep -q 'memorybucket: filled: .*not those stored' "$work/err" || fail "wrong values: $(cat "$work/err")"
kept "wrong values"

# Cut short by SIGTERM while a load runs that would go on.
printf '#!/bin/sh\nkill -TERM $PPID\nexec sleep 300\n' >"$project/build/bench-release/bin/mbload"
run 143 --allocators memorybucket
kept "SIGTERM"
printf '#!/bin/sh\nexit 3\n' >"$project/build/bench-release/bin/mbcached"
run 1 --allocators glibc
grep -q 'glibc: the server does not start' "$work/err" || fail "a server that ends: $(cat "$work/err")"
kept "a server that ends"
echo "bench/server/run.sh: ok"
