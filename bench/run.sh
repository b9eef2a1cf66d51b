#!/usr/bin/env bash
# The main job: MemoryBucket against malloc/free, a picture of it, and a real server on it.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/run.sh [--quick]     --quick: fewer and shorter runs, within 45 seconds once built
set -euo pipefail
cd "$(dirname "$0")/.."

headline_options=() redis_rounds=9 redis_requests=500000
while [ $# -gt 0 ]; do
    case $1 in
    --quick) headline_options=(--quick) redis_rounds=5 redis_requests=100000 ;;
    -h | --help)
        sed -n '2,4s/^# //p' "$0"
        exit 0
        ;;
    *)
        echo "bench/run.sh: $1: no such option; there is --quick" >&2
        exit 2
        ;;
    esac
    shift
done

tests/packages.sh build bench

build=build/bench-release out=build/bench
die() {
    echo "bench/run.sh: $*" >&2
    exit 1
}
# What will be written shall have room: better to say so now than after minutes of measuring.
mkdir -p "$out" || die "$out cannot be made"
if ! { head -c 1000000 /dev/zero >"$out/.room"; } 2>/dev/null || ! : >"$out/build.log"; then
    rm -f "$out/.room"
    die "$PWD/$out cannot be written, or has less than 1 MB left"
fi
rm -f "$out/.room"

echo "Building the release (log: $out/build.log)"
if ! { cmake --preset release -B "$build" -DMEMORYBUCKET_TESTS=OFF && cmake --build "$build"; } >>"$out/build.log" 2>&1; then
    tail -n 30 "$out/build.log"
    die "the build failed; all of it is in $out/build.log"
fi

# A run that is cut short leaves no half results, and nothing running.
rows=$out/rows.jsonl
rm -f "$rows" "$out"/results.json "$out"/headline.*
finish() {
    rm -f "$rows" "$out/results.json.new"
    [ -z "$(jobs -p)" ] || { kill $(jobs -p) 2>/dev/null && wait; } || true
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# In the background and waited for, so that a signal to this script alone is acted upon at once.
run() {
    "$@" &
    wait $!
}
cpu=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
machine="${cpu:-$(uname -m)}, $(nproc) cores, Linux $(uname -r)"
echo "Machine: $machine"

run "$build/bin/headline" "${headline_options[@]}" --results "$rows" --plot-data "$out/headline.dat"
gnuplot -e "data='$out/headline.dat'; output_base='$out/headline'; machine='${machine//\'/}'" bench/headline.gnuplot ||
    die "gnuplot could not draw $out/headline.png and .svg"
run bench/redis.sh --mbrun "$build/bin/mbrun" --rounds "$redis_rounds" --requests "$redis_requests" --results "$rows"

json_string() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }
{
    printf '{"machine": {"cpu": %s, "cores": %s, "memory_bytes": %s, "kernel": %s, "system": %s, "compiler": %s, "date": %s},\n' \
        "$(json_string "$cpu")" "$(nproc)" "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)" \
        "$(json_string "$(uname -r)")" "$(json_string "$(. /etc/os-release && echo "$PRETTY_NAME")")" \
        "$(json_string "$(gcc --version | head -n 1)")" "$(json_string "$(date -u +%Y-%m-%dT%H:%M:%SZ)")"
    printf '"results": [\n'
    sed '$!s/$/,/' "$rows"
    printf ']}\n'
} >"$out/results.json.new"
mv "$out/results.json.new" "$out/results.json"
echo
echo "Figures: $out/results.json   Picture: $out/headline.png, $out/headline.svg"
