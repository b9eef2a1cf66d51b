#!/usr/bin/env bash
# memory_report on a raw file whose medians and targets can be worked out by hand: tables, targets met,
# missed and not judged, rows, charts; and what it says of input it cannot use.
# Usage: memory_report.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
tests_report memory_report "$1"

# raw ALLOCATOR WORKLOAD THREADS METRIC=VALUE...: a line for each; the unit follows from the name
raw() {
    local head="$1	$2	$3" pair metric unit
    shift 3
    for pair in "$@"; do
        metric=${pair%%=*}
        case $metric in
        *_ns) unit=ns ;;
        *_s) unit=s ;;&
        slope*) unit=KiB/s ;;
        objects_per_s) unit=1/s ;;
        objects) unit=objects ;;
        *bytes*) unit=bytes ;;
        esac
        printf '%s\t%s\t%s\t%s\n' "$head" "$metric" "$unit" "${pair#*=}"
    done
}
mib=1048576
{
    # 2^20 objects of 64 bytes: 0.137 MiB of metadata, and 5 % of 2 MiB: 0.237 MiB are allowed.
    peak="objects=$mib asked_bytes=$((64 * mib)) start_bytes=$((2 * mib)) peak_bytes=$((66 * mib)) freed_bytes=$((66 * mib))"
    for beyond in 100000 248000 800000; do # the median is 0.2365 MiB: just met
        raw dropin peak-64 1 $peak purged_bytes=$((2 * mib + beyond)) beyond_start_bytes=$beyond purge_ns=3000000
    done
    raw glibc peak-64 1 $peak purged_bytes=$((33 * mib)) purged_lazyfree_bytes=$mib beyond_start_bytes=-$mib purge_ns=12345678
    raw dropin peak-64-random 1 $peak purged_bytes=$((3 * mib)) beyond_start_bytes=$mib
    raw dropin peak-512 1 $peak
    raw dropin peak-64-ninety 1 $peak purged_bytes=$((60 * mib)) beyond_start_bytes=$((58 * mib))
    # Two pages for each of 89 pools are 0.695 MiB.
    raw dropin peak-mixed-32k-random 1 $peak purged_bytes=$((3 * mib)) beyond_start_bytes=$mib
    raw jemalloc peak-700-ninety 1 $peak purged_bytes=$((40 * mib))
    raw dropin peak-700-ninety 1 $peak purged_bytes=$((40 * mib))
    raw jemalloc peak-mixed-32k-ninety 1 $peak purged_bytes=$((40 * mib))
    raw dropin peak-mixed-32k-ninety 1 $peak purged_bytes=$((41 * mib))
    raw dropin peak-4096-ninety 1 $peak purged_bytes=$((41 * mib))
    for traffic in pairs bursts; do
        raw glibc decay-$traffic 1 start_bytes=$mib peak_bytes=$((100 * mib)) below_tenth_s=5 after_3s_bytes=$((90 * mib))
    done
    raw dropin decay-pairs 1 start_bytes=$mib peak_bytes=$((100 * mib)) below_tenth_s=1.5 after_3s_bytes=$((3 * mib))
    raw dropin decay-bursts 1 start_bytes=$mib peak_bytes=$((100 * mib)) below_tenth_s=5 after_3s_bytes=$((90 * mib))
    raw glibc burst 1 start_bytes=$mib kept_bytes=$mib after_phase_bytes=$((200 * mib))
    raw dropin burst 1 start_bytes=$mib kept_bytes=$mib after_phase_bytes=$((90 * mib))
    raw glibc burst-random 1 start_bytes=$mib kept_bytes=$mib after_phase_bytes=$((100 * mib))
    raw dropin burst-random 1 start_bytes=$mib kept_bytes=$mib after_phase_bytes=$((101 * mib))
    raw dropin burst-threads 4 start_bytes=$mib kept_bytes=$mib after_phase_bytes=$((90 * mib))
    # 0.1 % of 4 MiB is 4.096 KiB a second.
    raw dropin transfer-pairs 4 start_bytes=$mib end_bytes=$((4 * mib)) slope_kib_per_s=4 slope_error_kib_per_s=0.5 objects_per_s=12000000
    raw dropin transfer-one 4 start_bytes=$mib end_bytes=$((4 * mib)) slope_kib_per_s=10 slope_error_kib_per_s=4.5
    raw dropin transfer-down 4 start_bytes=$mib end_bytes=$((4 * mib)) slope_kib_per_s=-99 slope_error_kib_per_s=1
    raw dropin transfer-noise 4 start_bytes=$mib end_bytes=$((4 * mib)) slope_kib_per_s=10 slope_error_kib_per_s=5
    raw glibc sleepers 200 start_bytes=$mib asleep_bytes_per_thread=81920 purged_bytes_per_thread=-2048
    raw dropin sleepers 200 start_bytes=$mib asleep_bytes_per_thread=40960 purged_bytes_per_thread=20480
    raw dropin exit 200 exit_p50_ns=15000 exit_p99_ns=40000 exit_max_ns=90000 exit_cpu_ns=30000 exit_all_ns=7000000
} >"$work/raw.tsv"

mkdir "$work/series"
printf '0 66\n1 2\n' | tee "$work/series/decay-bursts-dropin.dat" "$work/series/transfer-one-dropin.dat" \
    >"$work/series/exit-dropin.dat"
reports "$work/raw.tsv" "$work/series" <<'LINES'
Resident after the purge in MiB, median of 1 to 3 runs; * is the best peer
peak-64@1 2.24 33.0* -
peak-64, glibc: 1.0 MiB of it may be taken by the kernel when it is short
Resident after the purge beyond the start in MiB, median of 1 to 3 runs; * is the best peer
peak-64@1 0.24 -1.00* -
peak-64@1 3.00 12.3* -
peak-64@1 3.00-3.00 12.3-12.3 -
decay-pairs@1 1.50 5.00* -
Slope of resident memory after the first second in KiB/s, median of 1 run
transfer-down@4 -99.0 - -
transfer-pairs@4 12.0 - -
sleepers@200 40.0 80.0* -
sleepers@200 20.0 -2.00* -
exit@200 15.0 - -
peak-64 2.00 66.00 0.24 0.358 0.14 0.24 met
peak-64-random 2.00 66.00 1.00 1.515 0.14 0.24 missed
peak-512 2.00 66.00 - - 0.14 0.24 -
peak-mixed-32k-random 2.00 66.00 1.00 1.515 0.82 0.92 missed
peak-700-ninety 40.00 40.00 met
peak-mixed-32k-ninety 41.00 40.00 missed
peak-4096-ninety 41.00 - -
decay-pairs 1.50 3.00 met
decay-bursts 5.00 3.00 missed
burst 90.00 200.00 met
burst-random 101.00 100.00 missed
burst-threads 90.00 - -
transfer-pairs 4.00 1.00 4.10 met
transfer-one 10.00 9.00 4.10 missed
transfer-down -99.00 2.00 4.10 met
transfer-noise 10.00 10.00 4.10 met
LINES
grep -q '^3 targets could not be judged' "$work/out" || fail "what could not be judged is not counted"
[ "$(tail -n 1 "$work/out")" = "7 targets met, 6 missed" ] || fail "last line: $(tail -n 1 "$work/out")"
! grep -q '^peak-64-ninety .*\(met\|missed\)' "$work/out" || fail "a target for objects that live on"

python3 - "$work/json" <<'PYTHON' || fail "the rows are not what they should be"
import json, sys
rows = json.load(open(sys.argv[1]))["results"]
assert {"bench": "memory", "workload": "peak-64", "allocator": "dropin", "threads": 1,
        "metric": "beyond_start_bytes", "unit": "bytes", "runs": 3,
        "min": 100000, "median": 248000, "max": 800000} in rows
assert len({(row["workload"], row["allocator"], row["metric"]) for row in rows}) == len(rows)
PYTHON

# The pictures; series may be missing.
if has_gnuplot; then
    shows "$work/memory-peak.svg" 3.39 50 100 'target missed' '512 bytes'
    shows "$work/memory-sleepers.svg" 40 80 'after the purge'
    shows "$work/memory-decay.svg" 'decay-bursts: target missed'
    drawn memory 5 "$work"
    grep '	decay-bursts	' "$work/raw.tsv" >"$work/one.tsv"
    "$report" "$work/one.tsv" "$work/series" --charts "$work" >"$work/out" || fail "status $? with one workload"
    drawn memory 1 "$work"
    echo 'a b' >"$work/series/decay-bursts-glibc.dat"
    refuses 2 'decay-bursts-glibc.dat: ' "$report" "$work/one.tsv" "$work/series" --charts "$work"
fi
grep '^glibc' "$work/raw.tsv" >"$work/peers.tsv"
"$report" "$work/peers.tsv" "$work/series" >"$work/out" || fail "status $? without MemoryBucket"
expect "$work/out" "Targets: MemoryBucket was not measured."

# refuse MESSAGE, and lines to add on stdin: status 2 and the message
refuse() {
    cat "$work/raw.tsv" - >"$work/bad.tsv"
    status=0
    "$report" "$work/bad.tsv" "$work/series" >"$work/out" 2>"$work/said" || status=$?
    [ $status -eq 2 ] || fail "status $status and not 2 where it should say '$1'"
    grep -qF -- "$1" "$work/said" || fail "it says '$(cat "$work/said")' and not '$1'"
}
raw jemalloc peak-64 1 objects=5 | refuse "peak-64: objects differs between runs or allocators"
raw dropin peak-64 1 asked_bytes=5 | refuse "peak-64: asked_bytes differs"
raw jemalloc burst 1 kept_bytes=5 | refuse "burst: kept_bytes differs"
raw dropin peak-64 1 start_bytes=-5 | refuse "'-5' is no value: a number of at least 0"
raw dropin transfer-one 4 slope_kib_per_s=--5 | refuse "'--5' is no value: a number"
raw dropin peak-64 1 peak_ns=5 | refuse "'peak_ns' is no metric"
for arguments in "" "--speed" "$work/raw.tsv $work/series --results" "$work/none.tsv $work/series"; do
    status=0
    # shellcheck disable=SC2086
    "$report" $arguments >"$work/out" 2>&1 || status=$?
    [ $status -eq 2 ] || fail "status $status and not 2 for '$arguments'"
done
"$report" --help | grep -q 'RAW_FILE SERIES_DIR$' || fail "--help"
exit $failures
