#!/usr/bin/env bash
# One program once, on one allocator: does its fixed work, and says what that took. programs.sh runs this.
#
# Usage: measure.sh PROGRAM PRELOAD SCALE FOLDER USAGE [EXPECTED]
#   PRELOAD   what LD_PRELOAD has, or nothing
#   SCALE     4: all of the work, 1: a quarter of it
#   FOLDER    empty; data that all runs of the program share lie beside it, in PROGRAM.data
#   USAGE     the program programs_usage
#   EXPECTED  the library whose malloc must be the one that the program finds; without it nothing is
#             looked at, so that nothing but the program is measured
# Output:   what must be the same on every allocator; in FOLDER/figures wall and CPU time in microseconds
#           and the peak of resident KiB
#
# A program is PROGRAM.sh beside this. It has the functions `perform`, which does the work and prints
# what came of it, and, where there are data to make, `prepare`, which makes them in the folder $data.
set -euo pipefail
if [ $# -lt 5 ]; then
    sed -n '4s/^# //p' "$0" >&2
    exit 2
fi
program=$1 preload=$2 scale=$3 work=$(realpath "$4") usage=$(realpath "$5") expected=${6-}
data=$(dirname "$work")/$program.data
export LC_ALL=C.UTF-8 TZ=UTC HOME=$work PATH=/usr/sbin:/usr/bin:/sbin:/bin # as packages have them

die() {
    echo "$program: $*" >&2
    exit 1
}

wall=0
# timed COMMAND...: its time is wall time of the program
timed() {
    local began=${EPOCHREALTIME/./} status=0
    "$@" || status=$?
    wall=$((wall + ${EPOCHREALTIME/./} - began))
    return $status
}

watched=()
if [ -n "$expected" ]; then
    watched=(env LD_DEBUG=bindings "LD_DEBUG_OUTPUT=$work/bindings" "MB_STATS=$work/stats.%p")
fi

# measured COMMAND...: the program, from its start to its end
measured() { timed "$usage" "$work/usage" "$preload" "${watched[@]}" "$@"; }

server=
# serve COMMAND...: starts the program as a server; `stop` or `end` ends it
serve() {
    : >"$work/usage"
    "$usage" "$work/usage" "$preload" "${watched[@]}" "$@" >>"$work/log" 2>&1 &
    server=$!
}

stop() { # stop SIGNAL
    kill "-$1" "$server" 2>/dev/null || true # it may have ended: its status says why
    end
}

end() {
    wait "$server" || die "the server ended with status $?: $(tail -n 3 "$work/log")"
    server=
}

connects() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# until_ready COMMAND...: until it succeeds; fails when the server has ended, or after a minute
until_ready() {
    local tries
    for tries in $(seq 1200); do
        if "$@"; then return; fi
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# on_free_port START: calls START, which serves on loopback's $port, until that can be connected to
on_free_port() {
    for port in $(shuf -i 20000-29999 -n 20); do
        connects "$port" && continue
        "$1"
        if until_ready connects "$port"; then return; fi
        kill "$server" 2>/dev/null || true
        wait "$server" || true
    done
    die "the server does not start: $(tail -n 3 "$work/log")"
}

# The allocator under test is the one that is there: the loader has said whose malloc it gave to each file of
# each process. What the library itself asks for does not count. Other files may be given an entry of the
# program's own table, which leads to the malloc that the program gets.
check_allocator() {
    local line='binding file (.*) \[[0-9]+\] to (.*) \[[0-9]+\]: normal symbol .malloc'
    sed -nE "s/.*$line'.*/\1\t\2/p" "$work"/bindings.* |
        EXPECTED=$expected PRELOADED=$preload awk -F '\t' '
            $1 != ENVIRON["PRELOADED"] {
                file[++n] = $1
                from[n] = $2
                if (index($2, ENVIRON["EXPECTED"])) served[$1]
            }
            END {
                if (!n) print "nothing in it asks for malloc"
                for (i = 1; i <= n; i++)
                    if (!index(from[i], ENVIRON["EXPECTED"]) && (!(from[i] in served) || from[i] ~ /libc\.so/)) {
                        print file[i] " gets the malloc of " from[i] ", not of " ENVIRON["EXPECTED"]
                        exit
                    }
            }' >"$work/wrong"
    [ ! -s "$work/wrong" ] || die "$(cat "$work/wrong")"
    if [[ $expected == *libmemorybucket-malloc* ]]; then
        [ "$(cat "$work"/stats.* 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { slots += $2 } END { print slots + 0 }')" -gt 100 ] ||
            die "the pools served nothing"
    fi
}

. "$(dirname "$0")/$program.sh"
if declare -F prepare >/dev/null && [ ! -d "$data" ]; then
    mkdir "$data.part"
    set +e # not "( ... ) || ...": that would ignore errors inside
    (
        set -e
        data=$data.part preload='' watched=()
        prepare
    ) >"$work/log" 2>&1
    prepared=$?
    set -e
    [ $prepared -eq 0 ] || die "its data cannot be made: $(tail -n 3 "$work/log")"
    mv "$data.part" "$data"
fi
perform
[ -z "$expected" ] || check_allocator
awk -v wall=$wall '{ cpu += $1; if ($3 > kib) kib = $3 } END { print wall, cpu, kib; exit !(cpu > 0 && kib > 0) }' \
    "$work/usage" >"$work/figures" || die "$work has no figures, or no room for them"
