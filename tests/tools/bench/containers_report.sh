#!/usr/bin/env bash
# containers_report on a raw file whose medians and ratios can be worked out by hand, and containers.sh on options that it
# cannot take.
# Usage: containers_report.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
tests_report containers_report "$1"

# raw ALLOCATOR WORKLOAD THREADS VALUE...: CPU times, a line for each
raw() {
    local value
    for value in "${@:4}"; do
        printf '%s\t%s\t%s\tcpu_ns_per_op\tns\t%s\n' "$1" "$2" "$3" "$value"
    done
}
{
    raw glibc map 1 20 40 60
    raw mimalloc map 1 10 20 30
    # Round by round 2, 0.5, 1 of mimalloc.
    raw dropin map 1 5 40 30
    raw called map 1 5 10 15
    raw glibc list 8 9
    raw mimalloc list 8 12
    raw dropin list 8 18
    printf 'dropin\tmap\t1\tpeak_bytes\tbytes\t%s\n' $((3 << 20))
} >"$work/raw.tsv"

reports "$work/raw.tsv" <<'LINES'
CPU time of an operation in ns, median of 1 to 3 runs; * is the best peer
workload@threads glibc mimalloc dropin called
map@1 40.0 20.0* 30.0 10.0
list@8 9.00* 12.0 18.0 -
map@1 20.0-60.0 10.0-30.0 5.00-40.0 5.00-15.0
map@1 - - 3.00 -
map@1 mimalloc 1.00 2.00
list@8 glibc 0.50 nan
LINES
grep -qF '"bench": "containers", "workload": "map", "allocator": "called", "threads": 1' "$work/json" || fail "no row in JSON"
! has_gnuplot || drawn containers 1 "$work"

script=$1/bench/containers.sh
refuses 2 '--rounds 4' "$script" --rounds 4
refuses 2 'there are' "$script" --only nothing
refuses 2 'there are' "$script" --allocators nothing
refuses 2 'no such option' "$script" --small
[ "$("$script" --list | wc -l)" -eq 20 ] || fail "--list does not name 20 workloads"
exit $failures
