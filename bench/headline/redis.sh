#!/usr/bin/env bash
# redis-server under redis-benchmark on loopback, with its own allocator and on the drop-in, in turn.
#
# Question: what does a real server gain or lose, in requests, latency and memory?
# Usage: redis.sh MBRUN ROUNDS REQUESTS RAW_FILE
# Output: one value a line is appended to RAW_FILE (report/sheet.py has its form).
set -euo pipefail
if [ $# -ne 4 ]; then
    sed -n '5,6s/^# //p' "$0" >&2
    exit 2
fi
mbrun=$1 rounds=$2 requests=$3 raw=$4

work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ] && kill "$server" 2>/dev/null; then
        wait "$server" || true
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
die() {
    echo "redis.sh: $*" >&2
    exit 1
}

# On two cores and more the server and its load do not take each other's.
pin_server=() pin_load=()
if [ "$(nproc)" -ge 2 ]; then
    pin_server=(taskset -c 0) pin_load=(taskset -c 1)
fi

# start ALLOCATOR: sets server and port
start() {
    local prefix=()
    [ "$1" = system ] || prefix=("$mbrun")
    for port in $(shuf -i 20000-29999 -n 20); do
        MB_STATS=1 "${pin_server[@]}" "${prefix[@]}" redis-server --bind 127.0.0.1 --port "$port" \
            --save '' --appendonly no --dir "$work" >"$work/log" 2>"$work/stats" &
        server=$!
        for _ in $(seq 100); do
            if [ "$(redis-cli -p "$port" ping 2>/dev/null)" = PONG ]; then
                return
            fi
            kill -0 "$server" 2>/dev/null || break # the port is taken: try another
            sleep 0.05
        done
        kill "$server" 2>/dev/null || true
    done
    die "redis-server does not start: $(tail -n 3 "$work/log")"
}

# The allocator under test is really the one that is there.
check_allocator() {
    local mapped
    mapped=$(grep -c libmemorybucket-malloc "/proc/$server/maps" || true)
    if [ "$1" = system ]; then
        [ "$mapped" -eq 0 ] || die "the drop-in is in the plain server; run this without LD_PRELOAD"
    else
        [ "$mapped" -gt 0 ] || die "the drop-in is not in the server"
    fi
}

# record ALLOCATOR WORKLOAD METRIC UNIT VALUE
record() { printf '%s\t%s\t1\t%s\t%s\t%s\n' "$@" >>"$raw" || die "$raw has no room"; }

measure() {
    local allocator=$1 value p99
    start "$allocator"
    check_allocator "$allocator"
    # LRANGE_100 reads a list that redis-benchmark fills first; its requests are a tenth, being larger.
    for test in set get lpush lrange_100; do
        local count=$requests
        [ "$test" != lrange_100 ] || count=$((requests / 10))
        "${pin_load[@]}" redis-benchmark -h 127.0.0.1 -p "$port" -t $test -n "$count" -P 16 -c 50 -d 32 \
            -r 100000 --csv >"$work/csv" 2>/dev/null || die "redis-benchmark -t $test failed"
        value= p99=
        IFS=, read -r value p99 < <(tail -n 1 "$work/csv" | tr -d '"' | awk -F, '{ print $2 "," $7 }') || true
        [ -n "$p99" ] || die "redis-benchmark -t $test printed no result, or $work has no room for it"
        record "$allocator" "$test" requests_per_second 1/s "$value"
        record "$allocator" "$test" p99_ms ms "$p99"
    done
    [ "$(redis-cli -p "$port" dbsize)" -gt $((requests / 20)) ] || die "the server did not keep what was set"
    record "$allocator" after-load resident_bytes bytes \
        "$(awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$server/status")"
    redis-cli -p "$port" shutdown nosave >/dev/null 2>&1 || true
    wait "$server" || die "redis-server ended with status $?"
    server=
    if [ "$allocator" != system ]; then
        awk '/^MemoryBucket:/ { gsub(",", ""); for (i = 1; i <= NF; i++) if ($i == "large:") large = $(i + 1) - $(i + 3) }
             $1 ~ /^[0-9]+$/ { live += $3 }
             END { print live + 0, large + 0 }' "$work/stats" >"$work/served"
        read -r pool system <"$work/served"
        [ "$pool" -gt 0 ] || die "the pools served nothing"
        record "$allocator" after-load pool_live_objects objects "$pool"
        record "$allocator" after-load system_live_objects objects "$system"
    fi
}

allocators=(system memorybucket-dropin)
for round in $(seq "$rounds"); do
    echo "redis: round $round of $rounds" >&2
    for allocator in "${allocators[@]}"; do
        measure "$allocator"
    done
    allocators=("${allocators[1]}" "${allocators[0]}") # each goes first as often
done

own=$(ldd "$(command -v redis-server)" | awk '/malloc/ { print $1; exit }')
echo
echo "redis-server on loopback: 50 connections, pipelines of 16, values of 32 bytes, median (min-max) of $rounds runs in turn"
echo "own allocator: ${own:-the C library}; ratio: MemoryBucket's median divided by it"
