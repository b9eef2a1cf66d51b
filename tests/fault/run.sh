#!/usr/bin/env bash
# Lets each function that the library builds upon fail at each of its calls, and shows how many calls that were.
# Usage: tests/fault/run.sh [--all] [PRESET...]    PRESET is release, asan, tsan or debug; default: release
#        --all: at every call; without it at the first ones, and some of the others (a minute)
set -euo pipefail
cd "$(dirname "$0")/../.."

all=
presets=()
for argument in "$@"; do
    case $argument in
    --all) all=1 ;;
    release | asan | tsan | debug) presets+=("$argument") ;;
    -h | --help)
        sed -n '2,4s/^# //p' "$0"
        exit 0
        ;;
    *)
        echo "tests/fault/run.sh: $argument: no such preset; there are release, asan, tsan and debug" >&2
        exit 2
        ;;
    esac
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
