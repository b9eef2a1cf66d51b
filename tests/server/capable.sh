#!/usr/bin/env bash
# memccapable of libmemcached-tools, a conformance test by others: its tests of the text protocol, on mbcached, and on
# memcached to know which of them that passes.
# Usage: capable.sh SERVER
set -euo pipefail
[ $# -eq 1 ] && [ -x "$1" ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
for needed in memcached memccapable; do
    command -v $needed >/dev/null || { echo "$needed is not installed"; exit 77; }
done
work=$(mktemp -d)
pids=()
finish() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

# wait_for WHAT COMMAND...: until it holds
wait_for() {
    local what=$1 i
    shift
    for i in $(seq 1200); do
        ! "$@" || return 0
        sleep 0.1
    done
    echo "not within 2 minutes: $what" >&2
    cat "$work"/*.stderr >&2
    exit 1
}

# tests_of PORT: names and results of its tests, which empty the server
tests_of() {
    timeout 300 memccapable -a -t 60 -h 127.0.0.1 -p "$1" 2>&1 | sed -nE 's/^(ascii[a-z ]*[a-z])[[:space:]]+\[(.*)\]$/\1: \2/p'
}

MEMCACHED_PORT_FILENAME=$work/port memcached -p -1 -U 0 -l 127.0.0.1 -u "$(id -un)" 2>"$work/memcached.stderr" &
pids+=($!)
"$1" -p 0 2>"$work/mbcached.stderr" &
pids+=($!)
wait_for "memcached listens" test -s "$work/port"
wait_for "mbcached listens" grep -q 'listening on' "$work/mbcached.stderr"
tests_of "$(sed -n 's/^TCP INET: //p' "$work/port")" >"$work/expected"
tests_of "$(sed -nE 's/^mbcached: listening on .*:([0-9]+)$/\1/p' "$work/mbcached.stderr")" >"$work/got"
[ "$(wc -l <"$work/expected")" -ge 20 ] || { echo "memccapable ran $(wc -l <"$work/expected") tests only" >&2; exit 1; }
diff "$work/expected" "$work/got" || { echo "memcached (<) and mbcached (>) differ" >&2; exit 1; }
echo "$(grep -c ': pass$' "$work/got") of $(wc -l <"$work/got") tests pass, as with memcached"
