#!/usr/bin/env bash
# programs_report on a raw file whose medians, ratios and errors can be worked out by hand: tables, targets
# met, missed and within the noise, rows, charts; and what it says of input it cannot use.
# Usage: programs_report.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
tests_report programs_report "$1"

# raw ALLOCATOR PROGRAM THREADS METRIC VALUE...: a line for each
raw() {
    local metric=$4 unit=s value
    [ "$metric" != peak_bytes ] || unit=bytes
    for value in "${@:5}"; do
        printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$metric" "$unit" "$value"
    done
}
mib=1048576
{
    # Round by round 1, 1.02, 1.04, 1.02, 1.02 of mimalloc, whose median is below glibc's. The rounds differ by
    # far more than that.
    raw dropin g++ 1 cpu_s 1 2.04 3.12 4.08 5.1
    raw mimalloc g++ 1 cpu_s 1 2 3 4 5
    raw glibc g++ 1 cpu_s 9 9 9 2 2
    raw dropin g++ 1 wall_s 2 2 2 2 2
    raw glibc g++ 1 wall_s 4 4 4 4 4
    # The quartiles of 1, 1.01, 1.04, 1.05, 1.06 are 1.01 and 1.05, of five the error is 0.017.
    raw dropin nginx 16 cpu_s 10.6 10.1 10.4 10 10.5
    raw glibc nginx 16 cpu_s 10 10 10 10 10
    # 1.1 in each round.
    raw dropin node 1 cpu_s 1.1 2.2 3.3
    raw jemalloc node 1 cpu_s 1 2 3
    raw dropin g++ 1 peak_bytes $((105 * mib)) $((105 * mib)) $((999 * mib))
    raw mimalloc g++ 1 peak_bytes $((200 * mib)) $((200 * mib)) $((200 * mib))
    raw glibc g++ 1 peak_bytes $((100 * mib)) $((100 * mib)) $((100 * mib))
    raw dropin nginx 16 peak_bytes $((106 * mib))
    raw glibc nginx 16 peak_bytes $((100 * mib))
    raw dropin perl 1 peak_bytes $((5 * mib))
    raw glibc ruby 4 peak_bytes $((5 * mib))
} >"$work/raw.tsv"

reports "$work/raw.tsv" <<'LINES'
CPU time of the program in s, user and system, median of 3 to 5 runs; * is the best peer
workload@threads dropin mimalloc glibc jemalloc
g++@1 3.12 3.00* 9.00 -
nginx@16 10.4 - 10.0* -
g++@1 1.00-5.10 1.00-5.00 2.00-9.00 -
g++@1 2.00 - 4.00* -
Peak memory of the program in MiB, median of 1 to 3 runs; * is the best peer
g++@1 105 200 100* -
g++@1 cpu_s mimalloc <= 1.02 1.020 0.000 met
nginx@16 cpu_s glibc <= 1.02 1.040 0.017 noise
node@1 cpu_s jemalloc <= 1.02 1.100 0.000 missed
g++@1 peak_bytes glibc <= 1.05 1.050 2.398 met
nginx@16 peak_bytes glibc <= 1.05 1.060 - missed
perl@1 peak_bytes - <= 1.05 - - -
ruby@4 peak_bytes glibc <= 1.05 - - -
g++@1 wall_s glibc - 0.500 0.000 -
2 targets could not be judged, for want of an allocator
LINES
[ "$(tail -n 1 "$work/out")" = "2 targets met, 1 within the noise, 2 missed" ] || fail "last line: $(tail -n 1 "$work/out")"

python3 - "$work/json" <<'PYTHON' || fail "the rows are not what they should be"
import json, sys
rows = json.load(open(sys.argv[1]))["results"]
assert {"bench": "programs", "workload": "nginx", "allocator": "dropin", "threads": 16, "metric": "cpu_s",
        "unit": "s", "runs": 5, "min": 10, "median": 10.4, "max": 10.6} in rows
assert len(rows) == 16, len(rows)
PYTHON

# The pictures: bars carry their values, and what missed a target is marked, noise not.
if has_gnuplot; then
    shows "$work/programs-cpu.svg" 1.10 3.00 g++ 'missed: 1.10' 'MemoryBucket, dropin'
    ! grep -q 'missed: 1.04' "$work/programs-cpu.svg" || fail "noise is marked as missed"
    shows "$work/programs-memory.svg" 2.00 'missed: 1.06'
    shows "$work/programs-wall.svg" 0.50
    drawn programs 3 "$work"
fi

grep -v '^dropin' "$work/raw.tsv" >"$work/peers.tsv"
"$report" "$work/peers.tsv" "${charts[@]}" >"$work/out" || fail "status $? without MemoryBucket"
expect "$work/out" "g++@1 cpu_s mimalloc <= 1.02 - - -"
[ "$(tail -n 1 "$work/out")" = "0 targets met, 0 within the noise, 0 missed" ] || fail "last line without MemoryBucket"
grep '^dropin' "$work/raw.tsv" >"$work/ours.tsv"
"$report" "$work/ours.tsv" "${charts[@]}" >"$work/out" || fail "status $? without peers"
expect "$work/out" "g++@1 cpu_s - <= 1.02 - - -"

: >"$work/empty.tsv"
refuses 2 'it holds no values' "$report" "$work/empty.tsv"
refuses 2 'No such file' "$report" "$work/none.tsv"
raw dropin g++ 1 cpu_ms 1 >"$work/bad.tsv"
refuses 2 "line 1: 'cpu_ms' is no metric" "$report" "$work/bad.tsv"
raw dropin g++ 1 cpu_s -1 >"$work/bad.tsv"
refuses 2 "'-1' is no value" "$report" "$work/bad.tsv"
"$report" --help | grep -q 'RAW_FILE$' || fail "--help"
exit $failures
