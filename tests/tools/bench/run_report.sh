#!/usr/bin/env bash
# run_report on figures whose medians and ratios can be worked out by hand: the server's table, the
# JSON of both benchmarks, the picture; and what it says of input it cannot use.
# Usage: run_report.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
tests_report run_report "$1"

record() { # record ALLOCATOR WORKLOAD THREADS METRIC UNIT VALUE
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@"
}
for workload in small-once small-rounds large-{once,rounds}{,-32k}; do
    for threads in 1 5; do
        for value in 1 4.51237 99; do
            record memorybucket $workload $threads cpu_ns_per_pair ns $value
            record memorybucket $workload $threads wall_ns_per_pair ns $value
        done
        record system $workload $threads cpu_ns_per_pair ns 9
    done
done >"$work/headline.tsv"
for run in 1 2; do
    for allocator in system memorybucket-dropin; do
        factor=$([ $allocator = system ] && echo 1 || echo 2)
        for test in set get lpush lrange_100; do
            record $allocator $test 1 requests_per_second 1/s $((100000 * factor + run)).5
            record $allocator $test 1 p99_ms ms 1.$((run + factor))
        done
        record $allocator after-load 1 resident_bytes bytes 5000000
    done
    record memorybucket-dropin after-load 1 pool_live_objects objects 75
    record memorybucket-dropin after-load 1 system_live_objects objects 25
done >"$work/redis.tsv"

reports "$work/headline.tsv" "$work/redis.tsv" <<'LINES'
own allocator MemoryBucket ratio
SET requests/s 100002 (100002-100002) 200002 (200002-200002) 2.00
LRANGE_100 p99 ms 1.250 (1.200-1.300) 1.350 (1.300-1.400) 1.08
resident bytes 5000000 (5000000-5000000) 5000000 (5000000-5000000) 1.00
Of the 100 allocations that are live in the server at its end the pools serve 75 (75.0 %), the next allocator 25.
LINES
python3 - "$work/json" <<'PYTHON' || fail "the rows are not what they should be"
import json, sys
rows = json.load(open(sys.argv[1]))["results"]
assert len(rows) == 12 * 3 + 2 * 9 + 2, len(rows)
assert {"bench": "headline", "workload": "large-once", "allocator": "memorybucket", "threads": 5,
        "metric": "wall_ns_per_pair", "unit": "ns", "runs": 3,
        "min": 1, "median": 4.512, "max": 99} in rows
assert {"bench": "redis", "workload": "get", "allocator": "system", "threads": 1,
        "metric": "requests_per_second", "unit": "1/s", "runs": 2,
        "min": 100001.5, "median": 100002, "max": 100002.5} in rows
PYTHON
if has_gnuplot; then
    shows "$work/headline.svg" 4.51 9 '5 threads' 'Large (1024 bytes), freed at once' \
        'Large, freed after each round, MB_POOL_MAX=32K' MemoryBucket
    [ -s "$work/headline.png" ] || fail "no PNG"
fi
refuses 2 'No such file' "$report" "$work/none" "$work/redis.tsv"
refuses 2 "redis.tsv: line 1: 'requests_per_second' is no metric" "$report" "$work/redis.tsv" "$work/headline.tsv"
exit $failures
