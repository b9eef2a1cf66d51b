#!/usr/bin/env bash
# compare_report on a raw file whose medians and ratios can be worked out by hand: tables, targets
# met and missed, rows, charts; and what it says of lines it cannot use.
# Usage: compare_report.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
tests_report compare_report "$1"
raw=$(dirname "$0")/compare.tsv

reports "$raw" <<'LINES'
Wall time of an operation in ns, median of 3 to 4 runs; * is the best peer
workload@threads glibc mimalloc dropin called inlined
pair@1 20.0 11.0* 10.0 11.0 6.00
server@1 25.0* - 20.0 - -
server@2 40.0 30.0* 32.0 40.0 30.0
pair@1 10.0-30.0 10.0-12.5 9.00-30.0 11.0-11.0 6.00-6.00
Peak memory in MiB, median of 3 runs; * is the best peer
pair@1 1.00* 10.0 11.0 11.5 12.0
latency-xfer@8 1000* - 900 - -
pair@1 wall_ns_per_op mimalloc >= 1.05 / 2.00 1.100 met 1.000 missed 1.833 missed met
server@1 wall_ns_per_op glibc - 1.250 - - -
server@2 wall_ns_per_op mimalloc >= 1.00 / - 0.938 missed 0.750 missed 1.000 missed
mixed-1000@1 wall_ns_per_op mimalloc - 0.800 - - -
mixed-1000@1 wall_ns_per_op glibc >= 1.00 / - 1.000 met - - met
latency-xfer@8 p99.9_ns glibc >= 1.00 / - 1.111 met - - met
latency-xfer@8 p99.99_ns glibc >= 1.00 / - 0.500 missed - - missed
pair@1 peak_bytes mimalloc <= 1.10 / 1.10 1.100 met 1.150 missed 1.200 missed met
server@2 peak_bytes - <= 1.10 / 1.10 - - - -
2 targets could not be judged, for want of an allocator
LINES
[ "$(tail -n 1 "$work/out")" = "4 targets met, 4 missed" ] || fail "last line: $(tail -n 1 "$work/out")"

python3 - "$work/json" <<'PYTHON' || fail "the rows are not what they should be"
import json, sys
written = json.load(open(sys.argv[1]))
rows = written["results"]
assert set(written["machine"]) == {"cpu", "cores", "memory_bytes", "kernel", "system", "compiler",
                                   "date"}
assert len(rows) == 34, len(rows)
assert {"bench": "compare", "workload": "pair", "allocator": "mimalloc", "threads": 1,
        "metric": "wall_ns_per_op", "unit": "ns", "runs": 3,
        "min": 10, "median": 11, "max": 12.5} in rows
assert [row["median"] for row in rows
        if row["workload"] == "server" and row["threads"] == 1] == [25, 20]
PYTHON

# The pictures: bars carry their values, and what missed a target is marked.
if has_gnuplot; then
    shows "$work/compare-time.svg" 1.83 0.55 pair 'missed: - / 2.00' 'missed: 1.00' 'MemoryBucket, inlined'
    shows "$work/compare-memory.svg" 12.00 'missed: - / 1.10'
    shows "$work/compare-latency.svg" 'latency-xfer@8: p99.99 missed: 1.00'
    drawn compare 4 "$work"
fi

# Allocators may be left out: MemoryBucket's forms, all others, or all but an unknown one.
grep -vE '^(dropin|called|inlined)' "$raw" >"$work/peers.tsv"
"$report" "$work/peers.tsv" >"$work/out" || fail "status $? without MemoryBucket"
expect "$work/out" "pair@1 wall_ns_per_op mimalloc >= 1.05 / 2.00 - - - -"
grep -E '^(dropin|inlined)' "$raw" >"$work/ours.tsv"
"$report" "$work/ours.tsv" "${charts[@]}" >"$work/out" || fail "status $? without peers"
expect "$work/out" "Targets: no peer was measured, so no targets can be judged."
[ "$(tail -n 1 "$work/out")" = "0 targets met, 0 missed" ] || fail "no peers: $(tail -n 1 "$work/out")"
! has_gnuplot || drawn compare 2 "$work"
sed 's/^glibc/novel/' "$raw" >"$work/novel.tsv"
"$report" "$work/novel.tsv" >"$work/out" || fail "status $? with an unknown peer"
expect "$work/out" "server@1 wall_ns_per_op novel - 1.250 - - -"
expect "$work/out" "mixed-1000@1 wall_ns_per_op - >= 1.00 / - - - - -"

# Against the best of all peers: an extra one, glibc and tbbmalloc count like the others, but for the leanest
# memory, of which they are never; the median of four peers is the mean of the middle two; batch@1 is compared
# with the peer's loop. Of mixed-1000 the drop-in and called are asked alike: what one of them misses is missed.
best=$(dirname "$0")/against_best.tsv
"$report" "$best" --against-best "${charts[@]}" >"$work/out" || fail "status $? for --against-best"
while IFS= read -r line; do
    expect "$work/out" "$line"
done <<'LINES'
pair@1 10.0* 40.0 21.0 22.0 40.0 - 20.0
Targets, by medians, against the best of all peers of this run, row by row. Time and latency: the
pair@1 wall_ns_per_op novel >= 1.20 / 2.50 1.200 met 1.000 missed 2.400 missed met
round-100-fifo@1 wall_ns_per_op novel >= 1.05 / 1.30 - 1.050 met 1.300 met met
random-1k@1 wall_ns_per_op novel >= 1.10 / 1.10 - 1.100 met 1.000 missed met
random-100k@1 wall_ns_per_op novel >= 1.05 / - - 1.050 met 1.000 met
seed-small-once@5 wall_ns_per_op novel >= 1.10 / - - 1.000 missed 1.000 missed
seed-small-rounds@5 wall_ns_per_op novel >= 1.00 / - - 1.000 met 1.000 met
xfer@2 wall_ns_per_op novel >= 1.10 / - - 1.000 missed 1.000 missed
xfer@4 wall_ns_per_op novel - - 1.000 1.000 -
xfer@8 wall_ns_per_op novel >= 1.00 / - - 1.000 met 1.000 met
server@16 wall_ns_per_op tbbmalloc >= 1.10 / - - 1.250 met - met
churn@8 wall_ns_per_op novel >= 1.05 / - - 1.000 missed 1.000 missed
oversubscribed@64 wall_ns_per_op novel >= 1.00 / - - 1.000 met 1.000 met
sizes-1k@1 wall_ns_per_op novel >= 1.10 / - 1.000 missed 1.100 met - met
sizes-100k@1 wall_ns_per_op novel >= 1.05 / - 1.000 missed 1.050 met - met
pool-of-threads@8 wall_ns_per_op novel >= 1.05 / - 1.000 missed 1.050 met - met
burst@1 wall_ns_per_op novel - 1.000 1.050 - -
batch@1 wall_ns_per_op novel >= 1.50 / - 1.000 missed 1.500 met - met
mixed-1000@1 wall_ns_per_op novel >= 1.05, both 1.050 met 1.050 met - met
mixed-1000@2 wall_ns_per_op novel >= 1.05, both 1.050 met 0.955 missed - missed
mixed-1000@4 wall_ns_per_op novel - 1.050 0.955 - -
mixed-1000-100k@1 wall_ns_per_op novel >= 1.10, both 1.100 met - - -
mixed-16k-1k@1 wall_ns_per_op novel >= 1.00 / - 0.909 missed 1.000 met - met
mixed-16k-20k@1 wall_ns_per_op novel >= 1.00 / - 0.909 missed 0.952 missed - missed
mixed-handover@8 wall_ns_per_op novel >= 1.00 / - 1.000 met 0.909 missed - met
growing-steps@1 wall_ns_per_op novel >= 1.00 / - 1.000 met - - met
growing-pieces@1 wall_ns_per_op novel >= 1.00 / - 1.000 met - - met
growing-bytes@1 wall_ns_per_op glibc >= 1.00 / - 0.900 missed - - missed
seed-large-once@5 wall_ns_per_op novel >= 1.00 / - - 1.000 met - met
seed-large-rounds@5 wall_ns_per_op novel >= 1.00 / - - 0.833 missed - missed
server-1000@2 wall_ns_per_op novel >= 1.10 / - 1.100 met - - met
server-8000@2 wall_ns_per_op novel >= 1.10 / - 1.050 missed - - missed
latency-xfer@8 p99.9_ns novel >= 1.00 / - 0.900 missed - - missed
latency-xfer@8 p99.99_ns glibc >= 1.00 / - 1.000 met - - met
pair@1 peak_bytes mimalloc <= 1.05 / - 1.050 met 1.100 missed 2.000 met
server@16 peak_bytes novel <= 1.05 / - 1.500 missed 2.000 missed - missed
server@16 peak_bytes the median <= 0.50 / - 0.500 met 0.667 missed - met
server@8 peak_bytes novel <= 1.05 / - 2.000 missed - - missed
growing-bytes@1 peak_bytes novel <= 1.10 / - 1.200 missed - - missed
server-8000@2 peak_bytes novel <= 1.10 / - 1.100 met 1.000 met - met
1 targets could not be judged, for want of an allocator
server@8 peak_bytes the median <= 0.50 / - 0.800 missed - - missed
LINES
[ "$(tail -n 1 "$work/out")" = "24 targets met, 15 missed" ] || fail "the best: $(tail -n 1 "$work/out")"
if has_gnuplot; then
    shows "$work/compare-memory.svg" 'missed: 1.05, 0.50' 'missed: 1.05'
    shows "$work/compare-memory.svg" \
        '1.05 or 1.10 is asked of the leanest peer but glibc and tbbmalloc; 0.50 of the median peer'
    drawn compare 3 "$work"
fi
"$report" "$best" >"$work/out" || fail "status $? without --against-best"
expect "$work/out" "pair@1 wall_ns_per_op novel >= 1.05 / 2.00 1.200 met 1.000 missed 2.400 met met"
! grep -q 'the median' "$work/out" || fail "without --against-best it judges by the median peer"

# Small objects before and now: of each round's ratios the median counts, here 1.03, 1.05 and 1.04, whose error is
# 0.01; a form of which there is nothing of before is compared with itself at its own border; no variant is a peer.
lines() { # ALLOCATOR ROW METRIC UNIT VALUES on stdin
    local allocator row metric unit values value
    while read -r allocator row metric unit values; do
        for value in $values; do
            printf '%s\t%s\t%s\t%s\t%s\n' "$allocator" "${row/@/$'\t'}" "$metric" "$unit" "$value"
        done
    done
}
lines >"$work/small.tsv" <<'END'
glibc         pair@1       wall_ns_per_op ns 40 40 40
dropin        pair@1       wall_ns_per_op ns 10.3 20.6 30.9
dropin-512    pair@1       wall_ns_per_op ns 10.3 21 31.2
dropin-before pair@1       wall_ns_per_op ns 10 20 30
called        pair@1       wall_ns_per_op ns 10 10 10
called-32k    pair@1       wall_ns_per_op ns 11 11 11
dropin        xfer@2       wall_ns_per_op ns 10 10 10
dropin-before xfer@2       wall_ns_per_op ns 12.5 12.5 12.5
dropin        mixed-1000@1 wall_ns_per_op ns 10 10 10
dropin-before mixed-1000@1 wall_ns_per_op ns 1 1 1
END
"$report" "$work/small.tsv" "${charts[@]}" >"$work/out" || fail "status $? with variants"
while IFS= read -r line; do
    expect "$work/out" "$line"
done <<'LINES'
pair@1 40.0* 20.6 21.0 20.0 10.0 11.0
workload@threads dropin dropin-512 called-32k
divided by dropin-before dropin-before called
pair@1 1.030 met 1.040 noise 1.100 missed
xfer@2 0.800 met - -
dropin: 0.908 of dropin-before on geometric average, 0.800 to 1.030
dropin-512: 1.040 of dropin-before on geometric average, 1.040 to 1.040
2 no slower, 1 within the noise, 1 slower
pair@1 wall_ns_per_op glibc >= 1.05 / 2.00 1.942 met 4.000 met - met
LINES
! grep -q '^mixed-1000@1 .*\(met\|missed\)' "$work/out" || fail "rows of large objects count as small"
if has_gnuplot; then
    shows "$work/compare-time.svg" 'MemoryBucket, dropin-before' 'MemoryBucket, called-32k'
    drawn compare 1 "$work"
fi

# Unsteady rows: of a form, or of the best peer by its median; not of another peer, not of memory, not at
# 1.5 exactly, not with one run.
lines >"$work/unsteady.tsv" <<'END'
glibc   pair@1          wall_ns_per_op ns    20 90 20
novel   pair@1          wall_ns_per_op ns    10 15 10
dropin  pair@1          wall_ns_per_op ns    10 15 10
called  pair@1          wall_ns_per_op ns    10
called  pair@1          peak_bytes     bytes 10 30 10
glibc   xfer@8          wall_ns_per_op ns    20 20 20
novel   xfer@8          wall_ns_per_op ns    10 10 15.1
inlined server@2        wall_ns_per_op ns    30 10 20
inlined server@4        wall_ns_per_op ns    10 10 10
called  churn@2         wall_ns_per_op ns    10 16 10
inlined churn@2         wall_ns_per_op ns    10 18 10
END
"$report" "$work/unsteady.tsv" --unsteady >"$work/out" || fail "status $? for --unsteady"
[ "$(cat "$work/out")" = 'xfer@8 (novel 1.51)
server@2 (inlined 3.00)
churn@2 (inlined 1.80)' ] || fail "--unsteady prints $(cat "$work/out")"
for option in --against-best "--results $work/json" "--charts $work"; do
    # shellcheck disable=SC2086
    refuses 2 'no other option goes with it' "$report" "$raw" --unsteady $option
done

# refuse MESSAGE, and the file on stdin: status 2 and the message, after the file's name; see run_refusals.
refused=0
refuse() {
    refused=$((refused + 1))
    cat >"$work/bad$refused.tsv"
    printf %s "$1" >"$work/bad$refused.wanted"
}
# In one process, as starting Python takes longer than a report.
run_refusals() {
    python3 -B - "$report" "$work" "$refused" <<'PYTHON' || fail "it takes a bad file"
import contextlib, io, os, runpy, sys
report, work, refused = sys.argv[1:]
sys.path.insert(0, os.path.dirname(report))
failures = 0
for number in range(1, int(refused) + 1):
    sys.argv = [report, f"{work}/bad{number}.tsv"]
    with open(f"{work}/bad{number}.wanted") as wanted:
        message = f"compare_report: {sys.argv[1]}: {wanted.read()}"
    status, said = 0, io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_path(report, run_name="__main__")
        except SystemExit as end:
            status = end.code
    if status != 2 or message not in said.getvalue():
        print(f"status {status}, and it says {said.getvalue()!r}, where it should be 2 and {message!r}", file=sys.stderr)
        failures = 1
sys.exit(failures)
PYTHON
}
good=$(head -n 1 "$raw")
bad() { printf '%s\n%b\n' "$good" "$2" | refuse "line 2: $1"; }
bad "4 fields between tabs" 'glibc\tpair\t1\twall_ns_per_op'
bad "1 fields between tabs" ''
bad "7 fields between tabs" 'glibc\tpair\t1\twall_ns_per_op\tns\t1\t2'
bad "'' is no name of an allocator" '\tpair\t1\twall_ns_per_op\tns\t1'
bad "'pa\"ir' is no name of a workload" 'glibc\tpa"ir\t1\twall_ns_per_op\tns\t1'
bad "'0' is no number of threads" 'glibc\tpair\t0\twall_ns_per_op\tns\t1'
bad "'1x' is no number of threads" 'glibc\tpair\t1x\twall_ns_per_op\tns\t1'
bad "'speed' is no metric" 'glibc\tpair\t1\tspeed\tns\t1'
bad "the unit of peak_bytes is bytes, not 'ns'" 'glibc\tpair\t1\tpeak_bytes\tns\t1'
for value in '' -1 nan inf 1e999 12,5 '1 '; do
    bad "'$value' is no value" "glibc\tpair\t1\twall_ns_per_op\tns\t$value"
done
printf '%s\nglibc\tpair' "$good" | refuse "line 2: cut short"
printf '%s\ngl\0ibc\n' "$good" | refuse "line 2: it holds a zero byte"
refuse "it holds no values" </dev/null
run_refusals
for arguments in "" "--speed" "$raw $raw" "$raw --results" "$work/none.tsv"; do
    status=0
    # shellcheck disable=SC2086
    "$report" $arguments >"$work/out" 2>&1 || status=$?
    [ $status -eq 2 ] || fail "status $status and not 2 for '$arguments'"
done
"$report" --help | grep -q 'RAW_FILE$' || fail "--help"

# What cannot be written or drawn is said, with status 1.
refuses 1 'none/json.new: No such file' "$report" "$raw" --results "$work/none/json"
refuses 1 'standard output: No space left' bash -c "'$report' '$raw' >/dev/full"
mkdir "$work/bin"
ln -s "$(python3 -c 'import sys; print(sys.executable)')" "$work/bin/python3"
ln -s "$(command -v gcc)" "$work/bin"
refuses 1 'gnuplot: No such file' env PATH="$work/bin" python3 -B "$report" "$raw" --charts "$work"
if has_gnuplot; then
    refuses 1 'gnuplot could not draw' "$report" "$raw" --charts "$work/none"
fi
exit $failures
