#!/usr/bin/env bash
# compare.sh with programs that print made-up times: which rows it measures again, how often, what it
# says of that, and that a run which is cut short then changes nothing and leaves nothing; which
# programs find a setting for upper pools in their environment; and that those of before are run.
# Usage: compare_script.sh SOURCE_DIR
set -euo pipefail
. "$(dirname "$0")/expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "compare_script: $*" >&2
    exit 1
}

# A project that needs neither packages nor a build, and draws nothing.
bin=$work/build/bench-release/bin
mkdir -p "$work/bench" "$work/tests" "$work/path" "$bin"
cp -r "$1/bench/compare.sh" "$1/bench/lib" "$1/bench/report" "$work/bench"
printf '#!/bin/sh\n' | tee "$work/tests/packages.sh" >"$work/path/cmake"
fake_gnuplot "$work/path/gnuplot"
# The third run of pair takes 1.6 times as long when called; glibc's runs of xfer differ no more than they
# may. The file `end` has the number of the run of pair that ends compare.sh.
cat >"$bin/fake" <<'END'
#!/bin/sh
program=${0##*/} name=$2 threads=$4
echo "$name ${MB_POOL_MAX-none}" >>"$0.runs"
runs=$(wc -l <"$0.runs")
[ ! -f end ] || [ "$program $runs" != "pair-called $(cat end)" ] || kill -TERM $PPID
case $program$runs in
pair-called3) time=16 ;;
xfer-malloc*[13579]) time=15 ;;
*) time=10 ;;
esac
printf '%s\t%s\twall_ns_per_op\tns\t%s\n' "$name" "$threads" $time
END
chmod +x "$work/tests/packages.sh" "$work/path"/* "$bin/fake"
for program in pair xfer random; do
    for way in malloc called; do
        cp "$bin/fake" "$bin/$program-$way"
    done
done
compare() {
    rm -f "$bin"/*.runs
    PATH=$work/path:$PATH "$work/bench/compare.sh" --allocators glibc,called --only pair,xfer@8 "$@"
}
# runs ALLOCATOR WORKLOAD: how many of them the raw file has
runs() { awk -v row="$1 $2" '$1 " " $2 == row' "$work/build/bench/compare.tsv" | wc -l; }

compare >"$work/out" 2>"$work/progress" || fail "status $?: $(cat "$work/out" "$work/progress")"
expect "$work/out" "Measured again, 5 rounds more, as the slowest run of an allocator that is compared took"
expect "$work/out" "more than 1.5 times as long as its fastest:"
expect "$work/out" "pair@1 (called 1.60)"
expect "$work/out" "Wall time of an operation in ns, median of 5 to 10 runs; * is the best peer"
expect "$work/out" "pair@1 10.0-10.0 10.0-16.0"
for allocator in glibc called; do
    [ "$(runs $allocator pair) $(runs $allocator xfer)" = "10 5" ] ||
        fail "$allocator: $(runs $allocator pair) runs of pair, $(runs $allocator xfer) of xfer"
done
expect "$work/progress" "compare: round 10 of 10: pair, 1 threads"
! grep -q 'round [6-9].*xfer' "$work/progress" || fail "a steady row is measured again"

compare --only xfer@8 --rounds 6 >"$work/out" 2>&1 || fail "status $?: $(cat "$work/out")"
! grep -q 'Measured again' "$work/out" || fail "it measures again without a cause: $(cat "$work/out")"
[ "$(runs glibc xfer)" -eq 6 ] || fail "$(runs glibc xfer) runs, not 6"

# The settings: not of the user's shell; of the native forms only for sizes above 512 bytes, and of a form that
# is named for its border everywhere. The forms of before come from the build that was named.
old=$work/old/release
mkdir -p "$work/old" && cp -r "$bin/.." "$old" && rm -f "$old/bin"/*.runs
mkdir "$old/lib" && touch "$old/lib/libmemorybucket.so"
MB_POOL_MAX=1K compare --only random-1k,mixed-1000@1,mixed-16k --before "$old" \
    --allocators glibc,dropin,dropin-512,called,called-32k >"$work/out" 2>&1 || fail "status $?: $(cat "$work/out")"
for program in "$bin"/random-{malloc,called} "$old/bin/random-called"; do
    LC_ALL=C sort "$program.runs" | uniq -c | sed 's/^ *//'
    echo
done >"$work/settings"
diff - "$work/settings" <<'END' || fail "the programs find other settings"
5 mixed-1000 512
15 mixed-1000 none
5 mixed-16k-1k 512
15 mixed-16k-1k none
5 mixed-16k-20k 512
15 mixed-16k-20k none
5 random-1k 512
15 random-1k none

10 mixed-1000 32K
10 mixed-16k-1k 32K
10 mixed-16k-20k 32K
5 random-1k 32K
5 random-1k none

5 mixed-1000 32K
5 mixed-16k-1k 32K
5 mixed-16k-20k 32K
5 random-1k none

END
compare --only random-1k,mixed-1000,pair --small --rounds 5 >"$work/out" 2>&1 || fail "status $?: $(cat "$work/out")"
[ "$(runs glibc random-1k) $(runs glibc mixed-1000)" = "5 0" ] || fail "--small: not the small rows"
refuses 2 'names no workload without' compare --small --only mixed,server-
refuses 2 'accepted is a release build' compare --before "$work/old"
refuses 2 'no value for it' compare --before

# Cut short while it measures again; by SIGTERM, as a test may have been started with SIGINT ignored.
ls -A "$work/build/bench" >"$work/before"
cp "$work/build/bench/compare.tsv" "$work/compare.tsv"
echo 7 >"$work/end"
status=0
compare >"$work/out" 2>&1 || status=$?
[ $status -eq 143 ] || fail "status $status, not 143, when cut short"
grep -q 'round 7 of 10' "$work/out" || fail "not cut short in round 7: $(cat "$work/out")"
cmp "$work/build/bench/compare.tsv" "$work/compare.tsv" || fail "the results before are lost"
ls -A "$work/build/bench" | diff "$work/before" - || fail "something is left"
echo "compare.sh: ok"
