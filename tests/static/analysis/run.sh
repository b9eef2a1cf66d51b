#!/usr/bin/env bash
# Looks for mistakes without running anything: clang-tidy and cppcheck. What is switched off, and why: .clang-tidy (also
# in src/cli, tests, tests/consumers/inline and bench) and cppcheck.txt beside this script.
# Usage: run.sh SOURCE_DIR            src/ and include/; clang's analyzer follows fewer paths, and short calls alone
#        run.sh SOURCE_DIR --all      all paths that it takes by itself; tests/ and bench/ as well, ten times as long
#        run.sh SOURCE_DIR FILE...    only clang-tidy, and only of these, as named below SOURCE_DIR
set -euo pipefail
cd "$1"
shift
all=
if [ "${1:-}" = --all ]; then
    all=1
    shift
fi
status=0

# Following paths as far as it does by itself takes the analyzer four fifths of all the time.
export ANALYZER_MODE=shallow
[ -z "$all" ] && [ $# -eq 0 ] || ANALYZER_MODE=deep

# What mbprof includes is made from its .proto when it is built.
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
export made
protoc-c --c_out="$made" -I src/cli src/cli/profile.proto

in_libraries=$(pkg-config --cflags-only-I lua5.4 libxml-2.0 | sed 's/-I/-isystem /g') # tests/consumers/hooks
export in_libraries

# Assertions are on: they tell the tools what always holds.
tidy() {
    local flags=(-std=c11 -D_GNU_SOURCE -Isrc -Iinclude) output
    case $1 in
    src/cli/*) flags+=(-isystem "$made" -DMBRUN_RECORDS -DMBRUN_LIBRARY_FROM_BIN='"../lib"') ;;
    src/dropin/*) flags+=(-DMEMORYBUCKET_DROPIN '-DMEMORYBUCKET_LIBURCU="liburcu-bp.so"') ;;
    tests/*) flags+=(-Itests/support -Itests/random -Ibench/lib -DKEYS_TAKEN=40 '-DPROPERTY_DIR="tests/random/property"' $in_libraries) ;;
    bench/*) flags+=(-Ibench/lib -DBENCH_CALLED) ;;
    esac
    flags+=(-Xclang -analyzer-config -Xclang "mode=$ANALYZER_MODE")
    output=$(nice clang-tidy --quiet "$1" -- "${flags[@]}" 2>&1) || {
        printf 'clang-tidy %s:\n%s\n' "$1" "$output" >&2
        return 1
    }
}
export -f tidy
files=("$@")
if [ $# -eq 0 ]; then
    mapfile -t files < <(find src ${all:+tests bench} -name '*.c' | LC_ALL=C sort)
fi
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c 'tidy "$1"' tidy || status=1
[ $# -eq 0 ] || exit $status

# As one process cppcheck looks across files, too, and finds what is none; so it is two at least.
processes=$(nproc)
[ "$processes" -gt 1 ] || processes=2
check() {
    nice cppcheck --quiet --error-exitcode=1 --std=c11 --platform=unix64 --library=posix,gnu -j "$processes" \
        --suppressions-list=tests/static/analysis/cppcheck.txt --template='cppcheck {file}:{line}: {message} [{id}]' \
        -D_GNU_SOURCE -D__GNUC__=12 -D__LP64__=1 -D__x86_64__=1 -Isrc -Iinclude "$@" || status=1
}
check --enable=warning,style,performance,portability src include/memorybucket/inline.h
if [ -n "$all" ]; then
    # Style is not asked of tests and benchmarks. Criterion's Test and TestSuite are heads of functions and data.
    mapfile -t files < <(find tests bench -name '*.c' | LC_ALL=C sort)
    check --enable=warning,performance,portability -Itests/support -Itests/random -Ibench/lib -DBENCH_CALLED -DKEYS_TAKEN=40 \
        '-DTest(...)=static void test(void)' '-DTestSuite(...)=static int suite' "${files[@]}"
fi
exit $status
