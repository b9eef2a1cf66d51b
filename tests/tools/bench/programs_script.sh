#!/usr/bin/env bash
# programs.sh with perl and a made-up program: what it measures and leaves out, and that a run which is cut
# short changes nothing and leaves nothing, neither files nor processes; and what it says of wrong options.
# Usage: programs_script.sh SOURCE_DIR PROGRAMS_USAGE DROPIN_LIBRARY
set -euo pipefail
. "$(dirname "$0")/expect.sh"
source=$1 usage=$2 dropin=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "programs_script: $*" >&2
    exit 1
}

# It says no before it installs, builds or measures anything.
programs=$source/bench/programs.sh
refuses 2 '--frobnicate: no such option; accepted: --quick' "$programs" --frobnicate
refuses 2 '--pin: no such option' "$programs" --pin
refuses 2 'no value for it' "$programs" --rounds
refuses 2 'accepted is a number from 5' "$programs" --rounds 4
refuses 2 'there are: nginx@' "$programs" --only nothing
refuses 2 'names none' "$programs" --only ,
refuses 2 'there are glibc, mimalloc, jemalloc, tcmalloc, dropin' "$programs" --allocators inlined
refuses 2 'asked for twice' "$programs" --extra "glibc=$dropin"
refuses 2 'is not a file' "$programs" --extra x=/nonexistent
refuses 2 'cannot be preloaded' "$programs" --extra x="$0"
[ "$("$programs" --list | tr '\n' ' ')" = "nginx@16 mariadb@4 memcached@16 node@1 ruby@4 python3@1 g++@1 sqlite3@1 perl@1 " ] ||
    fail "--list: $("$programs" --list)"
"$programs" --help | grep -q '^Usage: bench/programs.sh' || fail "--help"
for program in $("$programs" --list | sed 's/@.*//'); do
    [ -s "$source/bench/programs/$program.sh" ] || fail "$program has no file"
    [ -n "$("$source/tests/packages.sh" --list "program-$program")" ] || fail "$program has no packages"
done

# A project that needs neither packages nor a build, and draws nothing.
project=$work/project
mkdir -p "$project/tests" "$project/build/bench-release"/{bin,lib} "$work/path" "$work/tmp"
cp -r "$source/bench" "$project/bench"
sed -i 's/^node .*/node 1 no-such-command/' "$project/bench/programs.sh"
printf '#!/bin/sh\n' | tee "$project/tests/packages.sh" >"$work/path/cmake"
fake_gnuplot "$work/path/gnuplot"
chmod +x "$project/tests/packages.sh" "$work/path"/*
cp "$usage" "$project/build/bench-release/bin/programs_usage"
cp "$dropin" "$project/build/bench-release/lib/libmemorybucket-malloc.so"
results=$project/build/bench

# run STATUS OPTION...: it ends so, and leaves nothing behind
run() {
    local wanted=$1 status=0
    shift
    TMPDIR=$work/tmp PATH=$work/path:$PATH "$project/bench/programs.sh" --quick --allocators glibc,dropin "$@" \
        >"$work/out" 2>"$work/err" || status=$?
    [ $status -eq "$wanted" ] || fail "status $status and not $wanted: $(cat "$work/out" "$work/err")"
    [ -z "$(ls -A "$work/tmp")" ] || fail "it leaves $(ls -A "$work/tmp")"
}

run 0 --only perl,node
expect "$work/out" "CPU time of the program in s, user and system, median of 5 runs; * is the best peer"
expect "$work/err" "programs: round 5 of 5: perl"
expect "$work/out" "Left out: node: no-such-command is not installed, and tests/packages.sh program-node does not do it"
[ "$(wc -l <"$results/programs.tsv")" -eq 30 ] || fail "not 2 allocators, 5 runs and 3 figures: $(cat "$results/programs.tsv")"
grep -q '"workload": "perl"' "$results/programs.json" || fail "perl is not in the JSON file"
ls -A "$results" >"$work/before"
cp "$results/programs.tsv" "$work/programs.tsv"

run 1 --only node
grep -q 'no program could be measured' "$work/err" || fail "nothing measured, and it says $(cat "$work/err")"

made_up() { printf '%s\n' 'perform() {' "$@" '}' >"$project/bench/programs/perl.sh"; }
made_up 'measured perl -e "print 7"'

# A library that has no malloc does not serve it.
echo 'int nothing;' | cc -x c -shared -fPIC -o "$work/nothing.so" -
run 0 --only perl --extra "nothing=$work/nothing.so"
grep -q 'Left out: perl on nothing: perl: .* gets the malloc of .*libc.so.6, not of ' "$work/out" || fail "it takes a library without malloc"
! grep -q ^nothing "$results/programs.tsv" || fail "it measures a library without malloc"

# Other work is no figure, also when it differs late; and that the drop-in changes it is a failure.
made_up 'measured perl -e "print 7"' "[[ \$preload != *memorybucket* ]] || [ \$(echo >>$work/turns; wc -l <$work/turns) -lt 4 ] || echo 8"
run 1 --only perl
grep -q 'Left out: perl on dropin: .*not do the same work' "$work/out" || fail "it takes other work: $(cat "$work/out")"
! grep -q ^dropin "$results/programs.tsv" || fail "the drop-in has figures of other work"
made_up 'measured perl -e "print 7; exit 3"'
run 1 --only perl
grep -q 'perl on glibc is left out: it failed' "$work/err" || fail "a program that fails: $(cat "$work/err")"
# What a program leaves running, as a server whose client fails, is ended.
ended() {
    local tries
    for tries in {1..1200}; do # what was killed may be on its way out
        { [ -e "/proc/$1" ] && ! grep -q "^State:.Z" "/proc/$1/status" 2>/dev/null; } || return 0
        sleep 0.05
    done
    [ ! -e "/proc/$1" ]
}
made_up "perl -e 'sleep 300' & echo \$! >$work/left" 'die "the client fails"'
run 1 --only perl --allocators glibc
grep -q 'perl on glibc is left out: perl: the client fails' "$work/err" || fail "a client that fails: $(cat "$work/err")"
ended "$(cat "$work/left")" || fail "a server is left"

# Cut short by SIGTERM, as a test may have been started with SIGINT ignored, while a program runs that would go on.
cp "$work/programs.tsv" "$results/programs.tsv"
made_up "(until [ -s $work/pid ]; do sleep 0.05; done; kill -TERM \$PPID) &" \
    "measured perl -e 'open my \$file, \">\", \"$work/pid.part\"; print \$file \$\$; close \$file; rename \"$work/pid.part\", \"$work/pid\"; sleep 300'"
run 143 --only perl
ended "$(cat "$work/pid")" || fail "the program runs on"
cmp "$results/programs.tsv" "$work/programs.tsv" || fail "the results before are lost"
ls -A "$results" | diff "$work/before" - || fail "something is left"
echo "programs.sh: ok"
