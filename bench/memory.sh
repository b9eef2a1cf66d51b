#!/usr/bin/env bash
# MemoryBucket's memory beside the other allocators': what goes back after a peak, by a call and by
# itself; what a burst of changing sizes holds; whether memory grows while objects change threads; what
# sleeping threads keep; what exits cost.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/memory.sh [OPTION...]
#   --quick             an eighth of the peak, 200 threads, fewer seconds: four minutes, not 30
#   --only W,...        only workloads whose names begin so, or NAME@THREADS; --list names them
#   --allocators A,...  only these of glibc, mimalloc, jemalloc, tcmalloc, tbbmalloc (peers),
#                       dropin (MemoryBucket)
#   --list              names the workloads and ends
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/bench.sh

usage='--quick, --only, --allocators and --list'
known=glibc,mimalloc,jemalloc,tcmalloc,tbbmalloc,dropin allocators=$known
while [ $# -gt 0 ]; do
    take_option "$@"
    shift $taken
done

# MiB of a peak; MiB of 8-byte objects freed in random order, a cache miss each; threads that sleep or
# exit; milliseconds. memory_kib: what a peak takes with glibc's headers and the benchmark's record.
peak=1024 peak_slow=256 decay_peak=256 threads=1000 decay_ms=5000 transfer_ms=60000 memory_kib=$((7 << 20))
if [ -n "$quick" ]; then
    peak=128 peak_slow=16 threads=200 decay_ms=3200 transfer_ms=5000 memory_kib=$((1 << 20))
fi
# name, threads, runs (quick: 1 if it takes long), program, arguments; SERIES: a file for the chart
once=1 thrice=$([ -n "$quick" ] && echo 1 || echo 3)
workloads="
peak-8                1 $once   memory_peak 8 fifo $peak
peak-8-random         1 $once   memory_peak 8 random $peak_slow
peak-8-ninety         1 $once   memory_peak 8 ninety $peak_slow
peak-64               1 $thrice memory_peak 64 fifo $peak
peak-64-random        1 $thrice memory_peak 64 random $peak
peak-64-ninety        1 $once   memory_peak 64 ninety $peak
peak-200              1 $thrice memory_peak 200 fifo $peak
peak-200-random       1 $thrice memory_peak 200 random $peak
peak-200-ninety       1 $once   memory_peak 200 ninety $peak
peak-512              1 $thrice memory_peak 512 fifo $peak
peak-512-random       1 $thrice memory_peak 512 random $peak
peak-512-ninety       1 $once   memory_peak 512 ninety $peak
peak-mixed            1 $thrice memory_peak mixed fifo $peak
peak-mixed-random     1 $thrice memory_peak mixed random $peak
peak-mixed-ninety     1 $once   memory_peak mixed ninety $peak
peak-700              1 $once   memory_peak 700 fifo $peak
peak-700-random       1 $once   memory_peak 700 random $peak
peak-700-ninety       1 $once   memory_peak 700 ninety $peak
peak-4096             1 $once   memory_peak 4096 fifo $peak
peak-4096-random      1 $once   memory_peak 4096 random $peak
peak-4096-ninety      1 $once   memory_peak 4096 ninety $peak
peak-20480            1 $once   memory_peak 20480 fifo $peak
peak-20480-random     1 $once   memory_peak 20480 random $peak
peak-20480-ninety     1 $once   memory_peak 20480 ninety $peak
peak-mixed-32k        1 $once   memory_peak mixed-32k fifo $peak
peak-mixed-32k-random 1 $once   memory_peak mixed-32k random $peak
peak-mixed-32k-ninety 1 $once   memory_peak mixed-32k ninety $peak
decay-pairs           1 $once   memory_decay pairs $decay_peak $decay_ms SERIES
decay-bursts          1 $once   memory_decay bursts $decay_peak $decay_ms SERIES
burst                 1 $thrice memory_burst fifo 24 400000
burst-random          1 $thrice memory_burst random 24 400000
burst-threads         4 $thrice memory_burst random 24 400000
transfer-pairs        4 $once   memory_transfer 2 $transfer_ms SERIES
transfer-one          4 $once   memory_transfer 1 $transfer_ms SERIES
sleepers              $threads $once memory_sleepers none
sleepers-idle         $threads $once memory_sleepers idle
exit                  $threads 3 memory_exit 16 SERIES
exit-bare             $threads 3 memory_exit 0 SERIES
"
choose_workloads "$workloads"
check_allocators "$allocators" "$known"
available_kib=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
[ "$available_kib" -ge "$memory_kib" ] ||
    die "$((available_kib >> 10)) MiB of memory are available, and $((memory_kib >> 10)) are needed${quick:+ even for --quick}"

series=$out/memory-series.part
begin_raw memory "$series"
mkdir "$series"
add_known_allocators "$allocators"
unset_allocator_settings

show_machine
echo "Huge pages: $(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null || echo none)"
echo "$(wc -l <<<"$chosen") workloads, ${#names[@]} allocators, up to 3 runs of each in turn"
for round in 1 2 3; do
    while read -r workload threads runs program arguments; do
        [ "$round" -le "$runs" ] || continue
        echo "memory: round $round: $workload" >&2
        for name in "${names[@]}"; do
            measure "$raw.part" "$name" "$workload" "$threads" "$program" \
                ${arguments/SERIES/$series/$workload-$name.dat} </dev/null
        done
    done <<<"$chosen"
    names=("${names[@]:1}" "${names[0]}") # each goes first now and then
done
rm -rf "$out"/memory.json "$out"/memory-*.png "$out"/memory-*.svg "$out"/memory-*.dat "$out/memory-series"
mv "$raw.part" "$raw"
mv "$series" "$out/memory-series"

bench/report/memory_report.py "$raw" "$out/memory-series" --results "$out/memory.json" --charts "$out"
show_results memory none
