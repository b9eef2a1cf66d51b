#!/usr/bin/env bash
# The main job: MemoryBucket against malloc/free, a picture of it, and a real server on it.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/run.sh [--quick]     --quick: fewer and shorter runs, within 45 seconds once built
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/lib/bench.sh

headline_options=() redis_rounds=9 redis_requests=500000
while [ $# -gt 0 ]; do
    case $1 in
    --quick) headline_options=(--quick) redis_rounds=5 redis_requests=100000 ;;
    -h | --help)
        sed -n '2,4s/^# //p' "$0"
        exit 0
        ;;
    *) bad_option "$1" --quick ;;
    esac
    shift
done

tests/packages.sh build bench
prepare_output
rows=$out/rows.jsonl
rm -f "$rows"
clean_up_at_exit "$rows" "$out/results.json.new"
build_release
rm -f "$out"/results.json "$out"/headline.*
echo "Machine: $machine"

run "$build/bin/headline" "${headline_options[@]}" --results "$rows" --plot-data "$out/headline.dat"
LC_ALL=C.UTF-8 gnuplot -e "data='$out/headline.dat'; output_base='$out/headline'; machine='${machine//\'/}'" bench/headline/headline.gnuplot ||
    die "gnuplot could not draw $out/headline.png and .svg"
run bench/headline/redis.sh --mbrun "$build/bin/mbrun" --rounds "$redis_rounds" --requests "$redis_requests" --results "$rows"

write_json "$rows" "$out/results.json"
echo
cd "$out"
echo "Figures: $PWD/results.json   Picture: $PWD/headline.png and .svg"
