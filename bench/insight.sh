#!/usr/bin/env bash
# What insight costs while it is on: a heap profile of the usual mean, and published statistics, on patterns of servers.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/insight.sh [OPTION...]
#   --quick       a quarter of the rounds
#   --only W,...  only workloads whose names begin so, or NAME@THREADS; --list names them
#   --rounds N    100 unless told, which take 15 minutes, and at least 5
#   --list        names the workloads and ends
#
# A round runs the drop-in off, on, on and off again, so that a machine whose speed drifts is the same for both; and it
# runs a fresh copy of the library, as where its pages lie in memory makes up to a per cent in either way. Threads are
# pinned to processors: where the scheduler puts them matters far more than what is measured here.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/bench.sh

usage='--quick, --only, --rounds and --list'
rounds=100
while [ $# -gt 0 ]; do
    case $1 in
    --rounds)
        need_value "$@"
        rounds=$2 taken=2
        ;;
    --allocators) bad_option "$1" "$usage" ;;
    *) take_option "$@" ;;
    esac
    shift $taken
done
check_rounds "$rounds"
[ -z "$quick" ] || rounds=$(((rounds + 3) / 4))

# name, threads, program, arguments
choose_workloads '
server 1 server 512
server 2 server 512
server 4 server 512
xfer   2 xfer
xfer   4 xfer
'

begin_raw insight "$out/insight"
unset_allocator_settings
export MB_PROFILE_FILE=$PWD/$out/insight/heap
mkdir "$out/insight"
copy=$PWD/$out/insight/libmemorybucket-malloc.so
for feature in profile export; do
    for state in off on; do
        add_allocator "$feature-$state" malloc "$copy" libmemorybucket-malloc
    done
done
variable[profile-on]=MB_PROFILE=512K variable[export-on]=MB_EXPORT=1

show_machine
echo "$(wc -l <<<"$chosen") workloads, $rounds rounds, in which each is off, on, on and off"
for ((round = 1; round <= rounds; round++)); do
    echo "insight: round $round of $rounds" >&2
    rm -f "$copy"
    cp "$build/lib/libmemorybucket-malloc.so" "$copy" || die "$copy cannot be written"
    while read -r workload threads program arguments; do
        for feature in profile export; do
            for state in off on on off; do
                # shellcheck disable=SC2086 # they are words
                measure "$raw.part" "$feature-$state" "$workload" "$threads" "$program-malloc" --pin $arguments </dev/null
            done
        done
    done <<<"$chosen"
done
rm -rf "$out/insight"
mv "$raw.part" "$raw"

bench/report/insight_report.py "$raw" --results "$out/insight.json"
echo
echo "Figures: $PWD/$out/insight.json"
