#!/usr/bin/env bash
# mbload on a server that does what it should, and on servers with a fault each: it finds all of them, and says which;
# it stores and asks for what it was told to; and what it says of wrong options.
# Usage: mbload.sh MBLOAD
set -euo pipefail
. "$(dirname "$0")/expect.sh"
mbload=$1
server=$(dirname "$0")/mbload_server.py
work=$(mktemp -d)
trap '[ -z "$(jobs -p)" ] || { kill $(jobs -p) 2>/dev/null && wait; } || true; rm -rf "$work"' EXIT
fail() {
    echo "mbload: $*" >&2
    exit 1
}

# start FAULT: its port is in $work/FAULT.port
start() {
    : >"$work/$1.port"
    "$server" "$1" >"$work/$1.port" 2>"$work/$1.log" &
}

# load FAULT NAME OPTION...: its output and status are in $work/NAME.*
load() {
    local tries status=0
    for tries in $(seq 2400); do
        [ ! -s "$work/$1.port" ] || break
        sleep 0.05
    done
    "$mbload" --connect "127.0.0.1:$(cat "$work/$1.port")" --json "$work/$2.json" "${@:3}" >"$work/$2.out" \
        2>"$work/$2.err" || status=$?
    echo $status >"$work/$2.status"
}
# load_long, as load: again, if it had next to nothing of its second
load_long() {
    local tries
    for tries in {1..20}; do
        load "$@"
        [ "$(($(figure "$2" gets) + $(figure "$2" sets)))" -lt 500 ] || break
    done
}

figure() { awk -F '[": ,]+' -v name="$2" '$2 == name { print $3 }' "$work/$1.json"; }
status_is() { [ "$(cat "$work/$1.status")" -eq "$2" ] || fail "$1: status $(cat "$work/$1.status"): $(cat "$work/$1".{out,err})"; }
figure_is() { [ "$(figure "$1" "$2")" = "$3" ] || fail "$1: $2 is $(figure "$1" "$2") and not $3"; }

# Every fault at once, as a server that is silent takes the seconds of grace.
faults='wrong short stale name end error close silent junk refuse'
start right
for fault in $faults; do
    start $fault
    case $fault in
    wrong | short | stale | refuse) load=load_long ;;
    *) load=load ;; # the first reply is enough
    esac
    $load $fault $fault --connections 4 --keys 20 --get-share 0.5 --seconds 1 --verify &
    loads+=($!)
done
load right fill --fill --keys 1001 --connections 7 --pipeline 5 --threads 2 --seed 3 --no-misses
status_is fill 0
figure_is fill stored 1001
load_long right right --keys 1001 --connections 7 --threads 3 --pipeline 3 --churn 10 --seconds 1 --verify --no-misses --seed 3
status_is right 0
figure_is right hit_percent 100.000
[ "$(figure right reconnects)" -gt 0 ] || fail "right: nothing is opened anew"
[ "$(figure right sets)" -gt 0 ] && [ "$(figure right gets)" -gt "$(figure right sets)" ] || fail "right: not nine gets to a set"
# Keys that nothing has stored, and others' values.
load right misses --keys 5000 --zipf 0 --seconds 1 --no-misses
status_is misses 1
grep -q 'misses or refusals' "$work/misses.err" || fail "misses: $(cat "$work/misses.err")"
load right usr --fill --keys 50 --values usr --key-sizes usr
figure_is usr refused 0
[ "$(figure usr stored_bytes)" -ge $((50 * 18)) ] && [ "$(figure usr stored_bytes)" -le $((50 * 23)) ] ||
    fail "usr: $(figure usr stored_bytes) bytes in 50 items"
load right large --fill --keys 8 --connections 2 --values 999990-1000000 --key-sizes 250-250
[ "$(figure large stored_bytes)" -ge $((8 * 1000240)) ] || fail "large: $(figure large stored_bytes) bytes"
load right large_read --keys 8 --connections 2 --key-sizes 250-250 --get-share 1 --seconds 1 --verify --no-misses
status_is large_read 0

wait "${loads[@]}"
for fault in $faults; do
    status_is $fault $([ $fault = refuse ] && echo 0 || echo 1)
done
for fault in wrong short; do
    [ "$(figure $fault wrong)" -gt 0 ] || fail "$fault: it finds no wrong value"
    expect_said=$(cat "$work/$fault.err")
    [[ $expect_said == *'bytes are not those stored'* ]] || fail "$fault: it says $expect_said"
done
[ "$(figure stale stale)" -gt 0 ] && figure_is stale wrong 0 || fail "stale: it finds none"
[ "$(figure silent unanswered)" -eq 4 ] || fail "silent: $(figure silent unanswered) are unanswered"
[ "$(figure refuse refused)" -gt 0 ] && figure_is refuse errors 0 || fail "refuse: it finds none"
for fault in name end error close junk; do
    [ "$(figure $fault errors)" -gt 0 ] || fail "$fault: it finds no error"
done
grep -q 'the server answers ERROR' "$work/error.err" || fail "error: it says $(cat "$work/error.err")"
grep -q 'the server closed it' "$work/close.err" || fail "close: it says $(cat "$work/close.err")"

connect=(--connect 127.0.0.1:1)
refuses 2 '--connect HOST:PORT is missing' "$mbload"
refuses 2 'unrecognized option' "$mbload" --frobnicate
refuses 2 'more: no such option' "$mbload" "${connect[@]}" more
refuses 2 '--connect nowhere: accepted is HOST:PORT' "$mbload" --connect nowhere
refuses 2 '--threads 0: accepted is a number from 1 to 256' "$mbload" "${connect[@]}" --threads 0
refuses 2 'as many keys as connections' "$mbload" "${connect[@]}" --keys 10
refuses 2 '--get-share 1.5: accepted is a number from 0 to 1' "$mbload" "${connect[@]}" --get-share 1.5
refuses 2 '--zipf nan: accepted' "$mbload" "${connect[@]}" --zipf nan
for sizes in 5 5- -1-1 '1- 1' 1-1000001 9-5 1-2x 1.0-2 etcetera; do
    refuses 2 "--values $sizes: accepted are etc" "$mbload" "${connect[@]}" --values "$sizes"
done
refuses 2 '--key-sizes 15-15: accepted are etc' "$mbload" "${connect[@]}" --key-sizes 15-15
refuses 1 'Connection refused' "$mbload" "${connect[@]}"
"$mbload" --help | grep -q -- '--pipeline' || fail "--help"
echo "mbload: ok"
