#!/usr/bin/env bash
# What takes longer than tests/run.sh may: larger models, every fault at every call, every mutation, long random runs,
# fuzzing, coverage, static analysis of the tests, Debian packages in a fresh root, all real programs beside other
# allocators (2 GB of packages), an hour's storm of forks, an hour of mbcached and 10,000 clients, slow ways in. First,
# in seconds: the lists that quote lines of the sources still fit them, so that a line can be rewritten without a look
# at them. docs/trust.md lists what tests/run.sh has in short and this in whole. Four hours on two processors; says how
# long each took.
# Usage: tests/deep.sh [PART...]    PART is lists, analysis, models, random, coverage, repeat, faults, fuzz, mutations,
#                               packages, programs, matrix, aarch64, soak, storm, server or ways; default: all
set -euo pipefail
cd "$(dirname "$0")/.."
all=(lists analysis models random coverage repeat faults fuzz mutations packages programs matrix aarch64 soak storm server ways)
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")
for part in "${parts[@]}"; do
    case " ${all[*]} " in
    *" $part "*) ;;
    *)
        [ "$part" = -h ] || [ "$part" = --help ] || echo "tests/deep.sh: $part: no such part" >&2
        sed -n '2,9s/^# //p' "$0"
        [ "$part" = -h ] || [ "$part" = --help ] || exit 2
        exit 0
        ;;
    esac
done

if [ "${parts[*]}" != lists ]; then
    tests/packages.sh build test
    cmake --preset release >/dev/null
    cmake --build --preset release >/dev/null
fi

# Mutations, models and reasons for lines that no test reaches name functions and lines: all are looked at, also when
# one list fails.
check_lists() {
    local status=0
    tests/meta/mutation/run.sh --check || status=1
    tests/model/mirrors.sh . || status=1
    tests/meta/coverage/report.py --check tests/meta/coverage/uncovered.txt || status=1
    return $status
}

run_part() {
    case $1 in
    lists) check_lists ;;
    analysis) tests/static/analysis/run.sh . --all ;;
    models)
        for model in stack stack_orders counted_once publish thread_exit fork_gate trim; do
            tests/model/run.sh --deep tests/model/$model.pml || return
        done
        ;;
    random)
        seed=$(date +%s)
        build/release/bin/property --seed "$seed" --programs 20000 &&
            MB_POOL_MAX=32768 build/release/bin/property --seed "$seed" --programs 10000 &&
            MB_MAGAZINE_SIZE=8 PROPERTY_BLOCK_BYTES=4096 MB_DECAY_MS=0 build/release/bin/property --seed "$seed" --programs 5000 &&
            build/release/bin/property --seed "$seed" --programs 2000 --threads 8 --at-once
        ;;
    coverage) tests/meta/coverage/run.sh ;;
    repeat)
        for preset in release asan tsan; do
            cmake --preset $preset >/dev/null && cmake --build --preset $preset >/dev/null &&
                TEST_LONG=1 ctest --preset $preset -L 'concurrent|environment' --repeat until-fail:3 -j "$(nproc)" || return
        done
        ;;
    faults) tests/fault/run.sh --all && tests/fault/run.sh --more 6 asan && tests/fault/run.sh --more 4 tsan ;;
    fuzz) tests/random/fuzz/run.sh --seconds 600 && tests/random/fuzz/run.sh --seconds 600 --upper api ;;
    mutations) tests/meta/mutation/run.sh ;;
    packages) tests/packages.sh packages && tests/packages/run.sh amd64 && tests/packages/run.sh arm64 ;;
    programs) tests/packages.sh programs bench && tests/dropin/programs/run.sh --rounds 5 --peers ;;
    matrix) tests/packages.sh matrix && tests/consumers/matrix.sh --library . ;;
    aarch64) tests/run.sh aarch64 ;;
    soak) tests/soak/soak.sh && MB_POOL_MAX=32K tests/soak/soak.sh ;;
    storm)
        seed=$(date +%s)
        build/release/bin/storm --seconds 1800 --seed "$seed" --plugin build/release/lib/libstorm_plugin.so &&
            build/release/bin/mbrun build/release/bin/storm_on_malloc --seconds 1800 --seed "$seed" \
                --plugin build/release/lib/libstorm_plugin.so
        ;;
    ways) tests/packages.sh ways && TEST_LONG=1 ctest --preset release -R '^consumers/(ways|cpp)/' ;;
    server)
        seed=$(date +%s)
        for script in clients memory drain; do
            tests/server/$script.py build/release/bin/mbcached --deep --seed "$seed" || return
        done
        tests/server/fuzz.py build/release/bin/mbcached --seconds 300 --seed "$seed" &&
            tests/server/soak.py build/release/bin/mbcached --seconds 3600 --seed "$seed"
        ;;
    esac
}

failed=()
summary=()
for part in "${parts[@]}"; do
    echo "== $part"
    began=$SECONDS
    result=passed
    run_part "$part" || result=FAILED
    [ $result = passed ] || failed+=("$part")
    summary+=("$(printf '%-10s %s in %d min %02d s' "$part" $result $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)))")
done
printf '%s\n' "${summary[@]}"
if [ ${#failed[@]} -gt 0 ]; then
    echo "Failed: ${failed[*]}"
    exit 1
fi
echo "All of it passed: ${parts[*]}"
