#!/usr/bin/env bash
# mbcached, a cache server written on mb_alloc, under load: on MemoryBucket, on glibc's malloc and on other
# allocators that are preloaded, and beside them Debian's memcached with its own slabs.
# Installs what is missing, builds the release, and starts each server on a port of loopback; fills it, loads it,
# changes the sizes of all items, flushes it; checks every value byte for byte; and leaves figures, a table and
# charts in build/bench/. In turn, round by round. Within two minutes on two cores; the first build comes on top.
# Usage: bench/server/run.sh [OPTION...]
#   --quick             few items, one round: half a minute, for a look
#   --full              twice the items, longer loads, all workloads: within ten minutes
#   --tune              MemoryBucket alone, with MB_MAGAZINE_SIZE and MB_THREAD_CACHE_MAX turned
#   --only W,...        only workloads whose names begin so, or NAME@CONNECTIONS; etc unless told; --list
#                       names them
#   --allocators A,...  only these of memorybucket, dropin (mbcached on malloc, with MemoryBucket preloaded), glibc,
#                       mimalloc, jemalloc, tcmalloc, tbbmalloc, memcached (that server); all but dropin and
#                       tbbmalloc unless told
#   --extra NAME=PATH   one allocator more: a shared library to preload; may be repeated
#   --rounds N          3 unless told, 1 to 99
#   --list              names the workloads, each with its connections, and ends
# Exit status: 0, also where a target is missed, which is a finding; 1 when a server or a load failed, wrong values
# too; 2 for a bad option.
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "$0")/../.."
BASH_ARGV0=bench/server/run.sh
. bench/lib/bench.sh
. bench/server/servers.sh

# name, connections
workloads='
etc   50
usr   50
limit 50
crowd 10000
'
usage='--quick, --full, --tune, --only, --allocators, --extra, --rounds and --list'
known=memorybucket,dropin,glibc,mimalloc,jemalloc,tcmalloc,tbbmalloc,memcached
allocators='' rounds='' full='' tune=''
while [ $# -gt 0 ]; do
    taken=1
    case $1 in
    --full) full=1 ;;
    --tune) tune=1 ;;
    *) take_peers_option "$@" ;;
    esac
    shift $taken
done
[ -z "$quick" ] || [ -z "$full" ] || bad_value "--quick and --full: only one of them"
[ -z "$tune" ] || [ -z "$allocators${extra_names[*]}" ] ||
    bad_value "--tune: measures MemoryBucket alone, without --allocators and --extra"
[[ -z $rounds || $rounds =~ ^[1-9][0-9]?$ ]] || bad_value "--rounds $rounds: accepted is a number from 1 to 99"
[ -n "$only$full$list" ] || only=etc
choose_workloads "$workloads"
allocators=${allocators:-memorybucket,glibc,mimalloc,jemalloc,tcmalloc,memcached}
check_allocators "$allocators" "$known" "$(IFS=, && echo "${extra_names[*]}")"

keys=100000 load_s=1 load_threads=2
[ -z "$quick" ] || { keys=10000 && rounds=${rounds:-1}; }
[ -z "$full" ] || keys=200000 load_s=2
rounds=${rounds:-3}
# The second sizes have nearly the mean of the first, 360 bytes with the key, in a narrower range.
other_sizes=200-460
name=server${tune:+-tune}

# add_settings: instead of allocators, MemoryBucket with each setting of the two variables
add_settings() {
    local magazine cache
    for magazine in 16 default 1024; do
        for cache in 260K default 64M; do
            add_server "magazine-$magazine.cache-$cache" memorybucket
            variable[${names[-1]}]=$(
                [ $magazine = default ] || echo "MB_MAGAZINE_SIZE=$magazine"
                [ $cache = default ] || echo "MB_THREAD_CACHE_MAX=$cache"
            )
        done
    done
}

# load PHASE CONNECTIONS KEYS OPTION...: by mbload; its figures in $work/load.json
load() {
    local phase=$1 connections=$2 keys=$3
    shift 3
    run "$build/bin/mbload" --connect "127.0.0.1:$port" --connections "$connections" --keys "$keys" \
        --threads "$load_threads" --verify --json "$work/load.json" "$@" >"$work/load.log" 2>&1 ||
        die "$serving: $phase: $(tail -n 5 "$work/load.log")$(server_last_words)"
}

figure() { awk -F '[": ,]+' -v name="$1" '$2 == name { print $3 }' "$work/load.json"; }

# record WORKLOAD METRIC UNIT VALUE
record() {
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$serving" "$1" "$connections" "${@:2}" >>"$raw.part" ||
        die "$raw has no room"
}

# fill WORKLOAD KEYS OPTION...: stores every key once; in `payload` the mean bytes of a key and its value
fill() {
    load "$1" "$connections" "$2" --fill --pipeline 32 --seconds 60 "${@:3}"
    payload=$(awk -v bytes="$(figure stored_bytes)" -v items="$(figure stored)" \
        'BEGIN { printf "%.3f", bytes / (items + 1e-9) }')
}

# record_beyond_payload WORKLOAD METRIC NOW EMPTY ITEMS: the bytes beyond those of the empty server, an item
record_beyond_payload() {
    record "$1" "$2" bytes "$(awk -v now="$3" -v empty="$4" -v items="$5" -v payload="$payload" \
        'BEGIN { printf "%.3f", (now - empty) / items - payload }')"
}

# record_memory WORKLOAD ITEMS: what the server takes; beyond what it took empty, where there are items
record_memory() {
    local resident
    resident=$(resident_bytes)
    record "$1" resident_bytes bytes "$resident"
    [ "$2" -gt 0 ] || return 0
    record_beyond_payload "$1" overhead_bytes "$resident" "$empty" "$2"
    [ -z "$empty_used" ] || record_beyond_payload "$1" used_bytes "$(used_bytes)" "$empty_used" "$2"
}

# steady WORKLOAD SECONDS KEYS OPTION...: the load that is measured
steady() {
    local before
    wait_for_the_last
    before=$(cpu_ticks)
    load "$1" "$connections" "$3" --seconds "$2" --get-share 0.9 --zipf 0.99 "${@:4}"
    record "$1" requests_per_second 1/s "$(figure requests_per_second)"
    record "$1" p50_us us "$(figure p50_us)"
    record "$1" p99_us us "$(figure p99_us)"
    record "$1" p999_us us "$(figure p999_us)"
    record "$1" cpu_us us "$(awk -v ticks=$(($(cpu_ticks) - before)) -v hz="$(getconf CLK_TCK)" \
        -v gets="$(figure gets)" -v sets="$(figure sets)" \
        'BEGIN { printf "%.3f", 1e6 * ticks / hz / (gets + sets + 1e-9) }')"
}

# load_memcaslap: libmemcached's client, with keys of 16 to 64 bytes and values to 20,000, all of them checked. It
# needs some seconds before it begins, so it runs in the first round alone.
load_memcaslap() {
    [ "$round" -eq 1 ] || return 0
    printf '%s\n' key '16 32 0.5' '33 64 0.5' value '10 200 0.7' '201 2000 0.25' '2001 20000 0.05' \
        cmd '0 0.1' '1 0.9' >"$work/memcaslap.cfg"
    run timeout 30 memcaslap -s "127.0.0.1:$port" -F "$work/memcaslap.cfg" -T "$load_threads" -c 16 -w 1k -v 1.0 \
        -t "${load_s}s" >"$work/memcaslap.log" 2>&1 || die "$serving: memcaslap failed: $(tail -n 3 "$work/memcaslap.log")"
    awk -v RS='[ \n]' '
        last == "verify_failed:" || last == "verify_misses:" || last == "get_misses:" { wrong += $1; seen++ }
        last == "TPS:" { tps = $1 }
        { last = $1 }
        END { if (seen == 3 && !wrong && tps > 0) print tps }' "$work/memcaslap.log" >"$work/tps"
    [ -s "$work/tps" ] || die "$serving: memcaslap found values missing or wrong: $(cat "$work/memcaslap.log")"
    record memcaslap requests_per_second 1/s "$(cat "$work/tps")"
}

# Fill, steady, other sizes, flush; then another client.
measure_etc() {
    start_server 1024 1024
    fill filled "$keys" --no-misses
    record_memory filled "$keys"
    steady steady "$load_s" "$keys" --no-misses
    fill mixed "$keys" --no-misses --values "$other_sizes" --seed 1
    start_profile
    steady mixed "$load_s" "$keys" --no-misses --values "$other_sizes" --seed 1
    end_profile mixed
    record_memory mixed "$keys"
    flush
    record_memory flushed 0
    load_memcaslap
    stop_server
}

# The smallest items: what each takes beyond its bytes.
measure_usr() {
    start_server 1024 1024
    fill usr-filled $((2 * keys)) --values usr --key-sizes usr --no-misses
    record_memory usr-filled $((2 * keys))
    steady usr-steady "$load_s" $((2 * keys)) --values usr --key-sizes usr --no-misses
    stop_server
}

# Three times as much as the memory allows: how much of what is asked for is there, before and after
# the sizes have changed.
measure_limit() {
    local items=$((2 * keys + 100000)) phase sizes
    start_server $((items / 8000)) 1024
    for phase in limit limit-mixed; do
        sizes=etc
        [ $phase = limit ] || sizes=$other_sizes
        fill $phase "$items" --values "$sizes"
        steady $phase "$load_s" "$items" --values "$sizes"
        record $phase hit_percent percent "$(figure hit_percent)"
        record_memory $phase 0
    done
    stop_server
}

measure_crowd() {
    start_server 1024 $((connections + 100))
    fill crowd "$keys" --no-misses
    steady crowd $((load_s + 1)) "$keys" --churn 100 --no-misses
    record_memory crowd "$keys"
    stop_server
}

measure_round() {
    local workload connections payload empty
    while read -r workload connections; do
        for serving in "${names[@]}"; do
            echo "server: round $1 of $rounds: $workload, $connections connections: $serving" >&2
            "measure_$workload" </dev/null
        done
    done <<<"$chosen"
}

SECONDS=0
tests/packages.sh build bench program-memcached
prepare_output
raw=$out/$name.tsv
work=$(mktemp -d)
clean_up_at_exit "$raw.part" "$out/$name.json.new" "$work"
: >"$raw.part"
build_release memorybucket_dropin mbcached mbload
build_s=$SECONDS
[ -n "$tune" ] || add_servers "$allocators"
[ -z "$tune" ] || add_settings
unset_allocator_settings
unset LD_PRELOAD
check_files
check_perf

show_machine
echo "$(wc -l <<<"$chosen") workloads, ${#names[@]} $([ -n "$tune" ] && echo settings || echo allocators)," \
    "$rounds rounds of each in turn; $keys items, $server_threads threads, $load_threads of the load"
for ((round = 1; round <= rounds; round++)); do
    measure_round $round
    names=("${names[@]:1}" "${names[0]}") # each goes first now and then
done
wait_for_the_last
rm -f "$out/$name.json" "$out/$name".svg "$out/$name".png
mv "$raw.part" "$raw"
bench/server/report.py "$raw" ${tune:+--tune} --results "$out/$name.json" --charts "$out"
echo
echo "Figures: $PWD/$out/$name.json   Charts: $PWD/$out/$name.svg and .png"
echo "It took $SECONDS s, $build_s s of them for packages and the build."
