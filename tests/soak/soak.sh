#!/usr/bin/env bash
# Eight hours of a server in eight minutes: does memory stay flat, does anything get lost or mixed up?
# Installs what is missing, builds the release, runs tests/soak/ on it, and draws its memory over time.
# Usage: tests/soak/soak.sh [MINUTES]    default 8; memory is judged from 1.1 on
#        SOAK_SEED=N repeats a run's random numbers. MB_ variables apply; MB_DECAY_MS is 200 unless it is
#        set, since the days are shorter too.
# Leaves build/soak/soak.png, soak.tsv and soak.log. Status 1: memory grew, or an error was found.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=build/soak
minutes=${1:-8}
case $minutes in
-h | --help)
    sed -n '2,7s/^# //p' "$0"
    exit 0
    ;;
esac
if [ $# -gt 1 ] || ! [[ $minutes =~ ^[0-9]{1,4}(\.[0-9]+)?$ ]] || [[ $minutes =~ ^[0.]+$ ]]; then
    echo "tests/soak/soak.sh: $*: minutes are one number above 0 and below 10000" >&2
    exit 2
fi
seed=${SOAK_SEED:-$(date +%s)}
if ! [[ $seed =~ ^[0-9]{1,18}$ ]]; then
    echo "tests/soak/soak.sh: SOAK_SEED=$seed: a seed is a number of at most 18 digits" >&2
    exit 2
fi

die() {
    echo "tests/soak/soak.sh: $*" >&2
    exit 1
}

tests/packages.sh build test bench
mkdir -p "$out" || die "$PWD/$out cannot be made"
{ : >>"$out/.lock"; } 2>/dev/null || die "$PWD/$out cannot be written by $(id -un)"
exec 9>"$out/.lock"
flock -n 9 || die "another run writes to $PWD/$out: wait for it"
rm -f "$out"/soak.*

# What runs is in the background and waited for, so that a signal to the script alone is acted upon at
# once. The test takes a signal as the end of its day, checks all once more, and ends.
running='' interrupted=''
stop() {
    interrupted=$1
    [ -z "$running" ] || kill -TERM "$running" 2>/dev/null || true
}
trap 'stop 130' INT
trap 'stop 143' TERM HUP
run() {
    local status=0
    "$@" 9>&- &
    running=$!
    wait "$running" || status=$?
    while kill -0 "$running" 2>/dev/null; do # the wait was cut short by a signal
        status=0
        wait "$running" || status=$?
    done
    running=
    return $status
}

echo "Building the release (log: $PWD/$out/build.log)"
if ! { run cmake --preset release && run cmake --build --preset release --target soak; } >"$out/build.log" 2>&1; then
    [ -z "$interrupted" ] || exit "$interrupted"
    tail -n 30 "$out/build.log"
    die "the build failed; all of it is in $PWD/$out/build.log"
fi

echo "Running for $minutes minutes, seed $seed (SOAK_SEED=$seed repeats its random numbers)"
export MB_DECAY_MS=${MB_DECAY_MS-200}
status=0
run build/release/bin/soak --minutes "$minutes" --seed "$seed" --table "$out/soak.tsv" >"$out/soak.log" 2>&1 || status=$?
sed 1d "$out/soak.log" # the seed was said

if [ "$(wc -l <"$out/soak.tsv")" -gt 2 ]; then
    run env LC_ALL=C.UTF-8 gnuplot -e "table='$out/soak.tsv'; image='$out/soak.png'; subject='$minutes minutes, seed $seed'" \
        tests/soak/soak.gnuplot || die "gnuplot could not draw $PWD/$out/soak.png"
    echo "Picture: $PWD/$out/soak.png   Figures: $PWD/$out/soak.tsv"
fi
[ -z "$interrupted" ] || exit "$interrupted"
case $status in
0 | 1 | 130) exit "$status" ;;
*) die "the test ended with status $status: an error was found, see above and $PWD/$out/soak.log" ;;
esac
