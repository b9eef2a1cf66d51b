#!/usr/bin/env bash
# The main job: MemoryBucket against malloc/free, a picture of it, and a real server on it.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/run.sh [--quick]     --quick: fewer and shorter runs, within a minute once built
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/bench.sh

headline_options=() redis_rounds=9 redis_requests=500000
while [ $# -gt 0 ]; do
    case $1 in
    --quick) headline_options=(--quick) redis_rounds=5 redis_requests=100000 ;;
    -h | --help) show_help ;;
    *) bad_option "$1" --quick ;;
    esac
    shift
done

tests/packages.sh build bench
prepare_output
headline=$out/headline.tsv redis=$out/redis.tsv
rm -f "$headline.part" "$redis.part"
clean_up_at_exit "$headline.part" "$redis.part" "$out/results.json.new"
build_release
unset_allocator_settings
show_machine

run "$build/bin/headline" "${headline_options[@]}" --results "$headline.part"
echo
echo "The same for large objects with MB_POOL_MAX=32K"
run "$build/bin/headline" --moved "${headline_options[@]}" --results "$headline.part"
run bench/headline/redis.sh "$build/bin/mbrun" "$redis_rounds" "$redis_requests" "$redis.part"
rm -f "$out"/results.json "$out"/headline.png "$out"/headline.svg
mv "$headline.part" "$headline"
mv "$redis.part" "$redis"
bench/report/run_report.py "$headline" "$redis" --results "$out/results.json" --charts "$out"
echo
echo "Figures: $PWD/$out/results.json   Picture: $PWD/$out/headline.png and .svg"
