#!/usr/bin/env bash
# MemoryBucket against the other allocators on small objects, side by side: time, latency, memory.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/compare.sh [OPTION...]
#   --quick             a quarter of the work: 5 to 9 minutes instead of 17 to 32, on two cores; the
#                       more rows are measured again, the longer
#   --only W,...        only workloads whose names begin so, or NAME@THREADS; --list names them
#   --small             only workloads without sizes above 512 bytes
#   --allocators A,...  only these of glibc, mimalloc, jemalloc, tcmalloc, tbbmalloc (peers),
#                       dropin, called, inlined (MemoryBucket: preloaded, linked, compiled in); also
#                       dropin-512, called-32k, inlined-32k: with MB_POOL_MAX=512 or 32K everywhere
#   --before BUILD      the same forms as an earlier release build has them, as dropin-before and so
#                       on; small objects must not have become slower
#   --extra NAME=PATH   one peer more: a shared library to preload; may be repeated
#   --against-best      judge by the best of all peers of the run, extra ones too, in time, latency
#                       and memory (there without glibc and tbbmalloc), with targets of its own
#   --pin               thread i runs on core i, modulo the cores; otherwise the kernel decides
#   --rounds N          runs of each, in turn: 5 unless told, and at least 5; rows in which they
#                       differ by more than 1.5 times are measured again with as many more
#   --list              names the workloads and ends
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "$0")/.."
. bench/lib/bench.sh

# name, threads, program, arguments
workloads='
pair               1   pair
round-100-fifo     1   round 100 fifo
round-100-lifo     1   round 100 lifo
round-10k-fifo     1   round 10000 fifo
round-10k-lifo     1   round 10000 lifo
random-1k          1   random 1000 512
random-100k        1   random 100000 512
sizes-1k           1   random 1000 geometric
sizes-100k         1   random 100000 geometric
seed-small-once    1   seed 64 once
seed-small-once    2   seed 64 once
seed-small-once    4   seed 64 once
seed-small-once    5   seed 64 once
seed-small-once    8   seed 64 once
seed-small-once    10  seed 64 once
seed-small-once    16  seed 64 once
seed-small-rounds  1   seed 64 rounds
seed-small-rounds  2   seed 64 rounds
seed-small-rounds  4   seed 64 rounds
seed-small-rounds  5   seed 64 rounds
seed-small-rounds  8   seed 64 rounds
seed-small-rounds  10  seed 64 rounds
seed-small-rounds  16  seed 64 rounds
seed-large-once    1   seed 1024 once
seed-large-once    5   seed 1024 once
seed-large-once    10  seed 1024 once
seed-large-rounds  1   seed 1024 rounds
seed-large-rounds  5   seed 1024 rounds
seed-large-rounds  10  seed 1024 rounds
xfer               2   xfer
xfer               4   xfer
xfer               8   xfer
xfer               16  xfer
server             1   server 512
server             2   server 512
server             4   server 512
server             8   server 512
server             16  server 512
churn              1   churn
churn              2   churn
churn              4   churn
churn              8   churn
churn              16  churn
oversubscribed     64  oversubscribed
oversubscribed     256 oversubscribed
pool-of-threads    8   pool
burst              1   burst
batch              1   batch batch
batch-loop         1   batch loop
latency-xfer       8   latency xfer
latency-random     1   latency random
mixed-1000         1   random 1000 1000
mixed-1000         2   random 1000 1000
mixed-1000         4   random 1000 1000
mixed-1000         8   random 1000 1000
mixed-1000         16  random 1000 1000
mixed-1000-100k    1   random 100000 1000
mixed-16k-1k       1   random 1000 log-uniform
mixed-16k-20k      1   random 20000 log-uniform
mixed-handover     2   handover
mixed-handover     8   handover
growing-steps      1   growing steps
growing-pieces     1   growing pieces
growing-bytes      1   growing bytes
server-1000        1   server 1000
server-1000        2   server 1000
server-1000        8   server 1000
server-8000        1   server 8000
server-8000        2   server 8000
server-8000        8   server 8000
'

# What MemoryBucket's native forms (called, inlined) find in their environment, by workload: those with
# sizes above 512 bytes. The drop-in gets nothing, as 32K is what it has by itself.
upper_pools=MB_POOL_MAX=32K
for workload in seed-large-{once,rounds} mixed-1000 mixed-1000-100k mixed-16k-{1k,20k} mixed-handover \
    growing-{steps,pieces,bytes} server-{1000,8000}; do
    settings[$workload]=$upper_pools
done

usage='--quick, --only, --small, --allocators, --before, --extra, --against-best, --pin, --rounds and --list'
allocators=glibc,mimalloc,jemalloc,tcmalloc,tbbmalloc,dropin,called,inlined
known=$allocators,dropin-512,called-32k,inlined-32k
rounds=5 pin=() judged=() small='' before=''

# take_before BUILD: in `before`, as seen from where the script was started
take_before() {
    before=$(cd "$invoked_from" && realpath -- "$1") && [ -f "$before/lib/libmemorybucket.so" ] &&
        [ -x "$before/bin/pair-called" ] ||
        bad_value "--before $1: accepted is a release build of MemoryBucket, with its benchmarks"
}

# The workloads without a setting are small.
choose_small() {
    local workload rest all=$chosen
    chosen=$(while read -r workload rest; do
        [ -n "${settings[$workload]-}" ] || echo "$workload $rest"
    done <<<"$all")
    [ -n "$chosen" ] || bad_value "--small: --only names no workload without sizes above 512 bytes"
}

# Each form that is measured, as BUILD has it.
add_forms_before() {
    local form
    for form in dropin called inlined; do
        [[ ,$allocators, == *,$form[,-]* ]] || continue
        case $form in
        dropin) add_allocator dropin-before malloc "$before/lib/libmemorybucket-malloc.so" "$before/lib/" ;;
        *) add_allocator $form-before $form '' "$before/lib/" && tree[$form-before]=$before ;;
        esac
    done
}

measure_rounds() { # measure_rounds FIRST LAST WORKLOADS
    local round workload threads program arguments name
    for ((round = $1; round <= $2; round++)); do
        while read -r workload threads program arguments; do
            echo "compare: round $round of $2: $workload, $threads threads" >&2
            for name in "${names[@]}"; do
                measure "$raw.part" "$name" "$workload" "$threads" "$program-${way[$name]}" \
                    --work "$work" "${pin[@]}" $arguments </dev/null
            done
        done <<<"$3"
        names=("${names[@]:1}" "${names[0]}") # each goes first now and then
    done
}

while [ $# -gt 0 ]; do
    case $1 in
    --pin) pin=(--pin) taken=1 ;;
    --against-best) judged=(--against-best) taken=1 ;;
    --small) small=1 taken=1 ;;
    --before) need_value "$@" && take_before "$2" && taken=2 ;;
    *) take_peers_option "$@" ;;
    esac
    shift $taken
done
work=$([ -n "$quick" ] && echo 25 || echo 100)
check_rounds "$rounds"

choose_workloads "$workloads"
[ -z "$small" ] || choose_small
check_allocators "$allocators" "$known" "$(IFS=, && echo "${extra_names[*]}")"

begin_raw compare

add_known_allocators "$allocators"
[ -z "$before" ] || add_forms_before
add_extra_allocators

unset_allocator_settings

show_machine
echo "$(wc -l <<<"$chosen") workloads, ${#names[@]} allocators, $rounds runs of each in turn${pin:+, pinned}"
measure_rounds 1 "$rounds" "$chosen"
unsteady=$(bench/report/compare_report.py "$raw.part" --unsteady)
if [ -n "$unsteady" ]; then
    echo "Measured again, $rounds rounds more, as the slowest run of an allocator that is compared took"
    echo "more than 1.5 times as long as its fastest:"
    paste -sd , <<<"$unsteady" | sed 's/,/, /g' | fold -s -w 100
    measure_rounds $((rounds + 1)) $((2 * rounds)) "$(
        awk 'NR == FNR { again[$1]; next } ($1 "@" $2) in again' - <(echo "$chosen") <<<"$unsteady")"
fi
rm -f "$out"/compare.json "$out"/compare-*
mv "$raw.part" "$raw"

bench/report/compare_report.py "$raw" "${judged[@]}" --results "$out/compare.json" --charts "$out"
show_results compare "none, as they show speed against other allocators"
