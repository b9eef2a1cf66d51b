#!/usr/bin/env bash
# Which lines and branches of src/ and include/ the tests execute: builds the preset coverage, runs the tests, prints a
# table, and names every line that no test reaches. Fails when one of them is not in uncovered.txt, with its reason.
# Usage: run.sh [--branches] [--report]    --branches: names the branches too; --report: of the last run, without tests
set -euo pipefail
cd "$(dirname "$0")/../../.."
branches=
report=
for argument in "$@"; do
    case $argument in
    --branches) branches=--branches ;;
    --report) report=1 ;;
    -h | --help)
        sed -n '2,4s/^# //p' "$0"
        exit 0
        ;;
    *)
        echo "tests/meta/coverage/run.sh: $argument: no such option; there are --branches and --report" >&2
        exit 2
        ;;
    esac
done
build=build/coverage

# Not run: what compiles by itself and so counts nothing (static, consumers); benchmarks and profiling (tools), which
# reach nothing more; and variants of fork_churn that differ in when they fork, whose thousands of children each write
# their counts; fault injection, and the tests whose programs are compiled on the way, as what counts allocates and
# writes files itself; what looks at stacks, page faults, tail calls and what other users' processes say, as counting
# changes them. What is lost: a process that is killed, a child of the drop-in that ends with _exit, and what a
# process does after its counts are written.
left_out='^(static|consumers|tools|fault|model|meta|random/fuzz)/|^random/property/(finds|prints)|^concurrent/fork_churn_(three_levels|trim|decay|at_rest)$|^environment/stack_use$|^dropin/(start|plugins|reach)$|^dropin/programs/sshd$'

if [ -z "$report" ]; then
    tests/packages.sh build test
    mkdir -p build
    if ! { cmake --preset coverage && cmake --build --preset coverage; } >$build.log 2>&1; then
        tail -n 40 $build.log >&2
        exit 1
    fi
    find $build -name '*.gcda' -delete
    ctest --preset coverage -j "$(nproc)" -E "$left_out"
fi

# The library and the drop-in are the same sources compiled twice, and headers are compiled into tests: all are summed.
# The side of an assertion that ends the process is not one to reach.
gcovr --root . --filter src/ --filter include/ --branches --exclude-branches-by-pattern '.*\bassert\(.*' \
    --json $build/coverage.json -j "$(nproc)" $build/CMakeFiles/memorybucket_parts.dir \
    $build/CMakeFiles/memorybucket_dropin_parts.dir $build/CMakeFiles/mbrun.dir $build/tests
tests/meta/coverage/report.py $branches $build/coverage.json tests/meta/coverage/uncovered.txt
