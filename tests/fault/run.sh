#!/usr/bin/env bash
# Lets each function that the library builds upon fail at its calls, and shows how many calls that were.
# Usage: tests/fault/run.sh [--all | --more N] [PRESET...]    PRESET is release, asan, tsan or debug; default: release
#        --all: at every call; without it at the first ones, and some of the others (a minute)
#        --more N: at N times as many as without it, from 1 to 100, each once and from then on
set -euo pipefail
cd "$(dirname "$0")/../.."

all=
presets=()
unset FAULT_ALL FAULT_MORE
while [ $# -gt 0 ]; do
    case $1 in
    --all) all=1 ;;
    --more)
        [[ ${2:-} =~ ^([1-9][0-9]?|100)$ ]] ||
            { echo "tests/fault/run.sh: --more '${2:-}': accepted is a number from 1 to 100" >&2; exit 2; }
        export FAULT_MORE=$2
        shift
        ;;
    release | asan | tsan | debug) presets+=("$1") ;;
    -h | --help)
        sed -n '2,5s/^# //p' "$0"
        exit 0
        ;;
    *)
        echo "tests/fault/run.sh: $1: no such preset; there are release, asan, tsan and debug" >&2
        exit 2
        ;;
    esac
    shift
done
[ -z "$all" ] || export FAULT_ALL=1

tests/packages.sh build test
for preset in "${presets[@]:-release}"; do
    targets=(fault_library fault_runner)
    case $preset in
    release | debug) targets+=(fault_dropin memorybucket_dropin) ;;
    esac
    cmake --preset "$preset" >/dev/null
    cmake --build --preset "$preset" --target "${targets[@]}"
    ctest --preset "$preset" -C long -L '^fault$' --verbose
done
