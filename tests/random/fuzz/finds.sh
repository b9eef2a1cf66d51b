#!/usr/bin/env bash
# The fuzzer finds a planted fault, starting from its corpus, and the input that it leaves is printed as C that
# compiles and fails. The fault: mb_realloc leaves bytes behind (tests/random/property/faults.c).
# Usage: finds.sh
set -euo pipefail
cd "$(dirname "$0")/../../.."
die() {
    echo "finds.sh: $*" >&2
    exit 1
}
[ $# -eq 0 ] || die "takes no arguments"
build=build/fuzz
[ -x $build/bin/fuzz_faulty ] || die "tests/random/fuzz/run.sh --build comes first"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export PROPERTY_FAULT=copy ASAN_OPTIONS=allocator_may_return_null=1
status=0
timeout 900 $build/bin/fuzz_faulty -seed=1 -runs=200000 -artifact_prefix="$work/" $build/kept/api \
    >"$work/log" 2>&1 || status=$?
input=$(find "$work" -name 'crash-*')
if [ "$status" -eq 0 ] || [ -z "$input" ]; then
    tail -n 20 "$work/log"
    die "the fault was not found (status $status)"
fi
tests/random/fuzz/run.sh --print "$input" >"$work/program.c"
sed -n '/^int main/,$p' "$work/program.c"
# compile OUTPUT [FILE AND OPTIONS...]
compile() {
    local output=$1
    shift
    clang -fsanitize=address,undefined,fuzzer-no-link -pthread "$work/program.c" "$@" -Iinclude \
        $build/lib/libmemorybucket.a -lurcu-bp -o "$work/$output" 2>"$work/log" ||
        die "what was printed does not compile: $(cat "$work/log")"
}
faults=tests/random/property/faults.c
wraps=$(sed -nE 's/.*__real_(mb_[a-z_]+)\(.*;$/-Wl,--wrap=\1/p' $faults | sort -u)
# shellcheck disable=SC2086 # one option a word
compile faulty $faults $wraps
compile sound
if { timeout 600 "$work/faulty"; } 2>"$work/failure"; then
    die "the printed program does not fail"
fi
head -n 1 "$work/failure"
timeout 600 "$work/sound" || die "the printed program fails without the fault, too"
