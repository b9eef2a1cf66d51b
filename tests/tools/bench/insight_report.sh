#!/usr/bin/env bash
# insight_report on a raw file whose costs can be worked out by hand, and insight.sh on options that it cannot take.
# Usage: insight_report.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
tests_report insight_report "$1"

# raw ALLOCATOR WORKLOAD THREADS VALUE...: CPU times, a line for each
raw() {
    local value
    for value in "${@:4}"; do
        printf '%s\t%s\t%s\tcpu_ns_per_op\tns\t%s\n' "$1" "$2" "$3" "$value"
    done
}
{
    # Round by round 1, 3, 50 and 1 %: a mean of 2 without the outer two.
    raw profile-off server 1 90 110 10 10 5 5 100 100
    raw profile-on server 1 101 101 10.3 10.3 7 8 101 101
    raw profile-off server 2 10 10 20 20 10 10 20 20
    raw profile-on server 2 10.1 10.1 20.2 20.2 10.1 10.1 20.2 20.2
    raw export-off server 2 10 10
    raw export-on server 2 11 11
    raw export-off xfer 4 10 10 10 10
    raw export-on xfer 4 10.5 10.5 10.5 10.5
    raw export-off xfer 2 10 10 10 10 10 10 10 10
    raw export-on xfer 2 10 10 10.5 10.5 10.01 10.01 10.01 10.01
} >"$work/raw.tsv"
charts=()
reports "$work/raw.tsv" <<'LINES'
server@1 50.0 +2.00 (+1.00 to +50.00) - 2: noise, above
server@2 15.0 +1.00 (+1.00 to +1.00) - 2: met
server@2 10.0 +10.00 (+10.00 to +10.00) - -
xfer@4 10.0 +5.00 (+5.00 to +5.00) - 1: missed
LINES
grep -qE '^xfer@2 .* 1: noise, below$' "$work/out" || fail "an interval with the target in it is no noise"
grep -qF '"bench": "insight", "workload": "server", "allocator": "profile-on", "threads": 1' "$work/json" ||
    fail "no row in JSON"

script=$1/bench/insight.sh
refuses 2 '--rounds 4' "$script" --rounds 4
refuses 2 'there are' "$script" --only nothing
refuses 2 'no such option' "$script" --allocators glibc
[ "$("$script" --list | wc -l)" -eq 5 ] || fail "--list does not name 5 workloads"
exit $failures
