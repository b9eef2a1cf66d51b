#!/usr/bin/env bash
# bench/server/report.py on figures whose medians and ratios can be worked out by hand: tables, targets, JSON,
# pictures; and what it says of input that it cannot use.
# Usage: server_report.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
tests_report server_report "$1"
report=$1/bench/server/report.py
charts=()
! has_gnuplot || charts=(--charts "$work")

# record ALLOCATOR WORKLOAD METRIC UNIT VALUE...
record() {
    local value
    for value in "${@:5}"; do printf '%s\t%s\t50\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$value"; done
}
for one in memcached:4 glibc:1 memorybucket:2 jemalloc:1.6; do
    factor=${one#*:} one=${one%:*}
    record $one filled overhead_bytes bytes "$(awk "BEGIN { print 200 / $factor }")" -1.5 1000
    record $one filled resident_bytes bytes 1048576 3145728 2097152
    for phase in steady mixed; do
        record $one $phase requests_per_second 1/s "$(awk "BEGIN { print 1000 * $factor }")" 10 1e6
        record $one $phase p50_us us 100
        record $one $phase p99_us us 400 600 500
        record $one $phase p999_us us 900.25
        record $one $phase cpu_us us 7
    done
    record $one mixed overhead_bytes bytes "$(awk "BEGIN { print 80 * $factor }")"
done >"$work/server.tsv"
record memorybucket mixed alloc_percent percent 2.345 >>"$work/server.tsv"
record memorybucket filled used_bytes bytes 80.5 82.5 81 >>"$work/server.tsv"

"$report" "$work/server.tsv" --results "$work/json" "${charts[@]}" >"$work/out"
while IFS= read -r line; do
    expect "$work/out" "$line"
done <<'LINES'
filled, 50 connections: all items stored, sizes as in Facebook's ETC pool; median of 3 rounds
allocator bytes/item handed out MiB
memorybucket 100 81.0 2.00
glibc 200 - 2.00
memcached 50.0 - 2.00
allocator requests/s p50 us p99 us p99.9 us CPU us alloc % bytes/item
memorybucket 2000 100 500 900 7.00 2.35 160
glibc 1000 100 500 900 7.00 - 80.0
steady@50 requests_per_second jemalloc 1.000 0.134 met
steady@50 p99_us glibc 1.000 0.000 met
filled@50 overhead_bytes jemalloc 0.900 nan met
mixed@50 overhead_bytes glibc 2.000 nan missed
mixed@50 overhead_bytes memcached 0.500 nan met
6 targets met, 0 within the noise, 1 missed
LINES
python3 - "$work/json" <<'PYTHON' || fail "the JSON file is not as it should be"
import json, sys
rows = json.load(open(sys.argv[1]))["results"]
assert len(rows) == 4 * (2 + 5 + 6) + 2, len(rows)
row = next(row for row in rows if (row["allocator"], row["workload"], row["metric"]) == ("glibc", "steady", "p99_us"))
assert row == {"bench": "server", "workload": "steady", "allocator": "glibc", "threads": 50, "metric": "p99_us",
               "unit": "us", "runs": 3, "min": 400, "median": 500, "max": 600}, row
PYTHON
if has_gnuplot; then
    shows "$work/server.svg" MemoryBucket glibc memcached 'sizes changed' 'Latency in ms: lower is better' p99.9
    [ -s "$work/server.png" ] || fail "no picture"
fi

# The best by its median is so by luck: it is the worst in the third round.
{
    record memorybucket steady p99_us us 500 500 500
    record glibc steady p99_us us 250 250 1000
    record jemalloc steady p99_us us 500 500 500
} >"$work/luck.tsv"
"$report" "$work/luck.tsv" >"$work/out"
expect "$work/out" "steady@50 p99_us glibc 1.000 0.134 met"
"$report" <(record memorybucket mixed p99_us us 300 && record glibc mixed p99_us us 200) >"$work/out"
expect "$work/out" "mixed@50 p99_us glibc 1.500 nan missed"

for magazine in 1024 16 default; do
    for cache in default 64M 260K; do
        record magazine-$magazine.cache-$cache steady requests_per_second 1/s 1000
        record magazine-$magazine.cache-$cache steady p99_us us 100
    done
done >"$work/tune.tsv"
"$report" "$work/tune.tsv" --tune "${charts[@]}" >"$work/out"
expect "$work/out" "magazine-default.cache-260K 1000 100"
! grep -q Targets "$work/out" || fail "it judges settings"
! has_gnuplot || shows "$work/server-tune.svg" magazine-16 magazine-default magazine-1024 cache-260K cache-64M

refuses 2 "'latency' is no metric" "$report" <(record glibc steady latency us 1)
refuses 2 "the unit of p99_us is us" "$report" <(record glibc steady p99_us ms 1)
refuses 2 'it holds no values' "$report" /dev/null
refuses 2 'No such file' "$report" "$work/none.tsv"
exit $failures
