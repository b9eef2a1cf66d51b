#!/usr/bin/env bash
# C++'s containers, shared_ptr and unique_ptr on MemoryBucket and on the other allocators: time and memory.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/containers.sh [OPTION...]
#   --quick             a quarter of the work: 2 minutes instead of 7, on two cores
#   --only W,...        only workloads whose names begin so, or NAME@THREADS; --list names them
#   --allocators A,...  only these of glibc, mimalloc, jemalloc, tcmalloc, tbbmalloc (peers),
#                       dropin, called, inlined (MemoryBucket: preloaded; its allocator, unique_ptr
#                       and memory_resource, linked or with inline.h)
#   --extra NAME=PATH   one peer more: a shared library to preload; may be repeated
#   --rounds N          runs of each, in turn: 5 unless told, and at least 5
#   --list              names the workloads and ends
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "$0")/.."
. bench/lib/bench.sh

usage='--quick, --only, --allocators, --extra, --rounds and --list'
known=glibc,mimalloc,jemalloc,tcmalloc,tbbmalloc,dropin,called,inlined allocators=$known
rounds=5
while [ $# -gt 0 ]; do
    take_peers_option "$@"
    shift $taken
done
work=$([ -n "$quick" ] && echo 25 || echo 100)
check_rounds "$rounds"

workloads=$(for threads in 1 8; do
    for one in vector list map unordered_map string shared_ptr unique_ptr pmr-map pmr-unordered_map pmr-string; do
        echo "$one $threads"
    done
done)
choose_workloads "$workloads"
check_allocators "$allocators" "$known" "$(IFS=, && echo "${extra_names[*]}")"

begin_raw containers
add_known_allocators "$allocators"
add_extra_allocators
unset_allocator_settings

show_machine
echo "$(wc -l <<<"$chosen") workloads, ${#names[@]} allocators, $rounds runs of each in turn"
for ((round = 1; round <= rounds; round++)); do
    while read -r workload threads; do
        echo "containers: round $round of $rounds: $workload, $threads threads" >&2
        for name in "${names[@]}"; do
            measure "$raw.part" "$name" "$workload" "$threads" "containers-${way[$name]}" --work "$work" "$workload" </dev/null
        done
    done <<<"$chosen"
    names=("${names[@]:1}" "${names[0]}") # each goes first now and then
done
rm -f "$out"/containers.json "$out"/containers-*
mv "$raw.part" "$raw"

bench/report/containers_report.py "$raw" --results "$out/containers.json" --charts "$out"
show_results containers "none"
