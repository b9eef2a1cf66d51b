#!/usr/bin/env bash
# A planted fault is found, shrunk to a few calls, and the C that is printed compiles and fails; without the
# fault the same C runs to its end.
# Usage: finds.sh FAULT CALLS_MAX SOURCE_DIR BUILD_DIR COMPILER [property's options...]
# FAULT is one of those in faults.c, or none: then a random program is printed, compiles, and holds.
set -euo pipefail
[ $# -ge 5 ] || { sed -n '4,5s/^# //p' "$0" >&2; exit 2; }
fault=$1 calls_max=$2 source=$3 build=$4 compiler=$5
shift 5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() {
    echo "finds.sh: $*" >&2
    exit 1
}

# compile OUTPUT [FILE AND OPTIONS...]
compile() {
    local output=$1
    shift
    "$compiler" -std=c11 -Wall -Wextra -Werror -Wno-alloc-size-larger-than -pthread "$work/program.c" "$@" \
        -I"$source/include" "$build/lib/libmemorybucket.a" -lurcu-bp -o "$work/$output" ||
        die "what was printed does not compile"
}

if [ "$fault" = none ]; then
    "$build/bin/property" --print "$@" >"$work/program.c"
    compile program
    exec timeout 600 "$work/program"
fi

export PROPERTY_FAULT=$fault
status=0
timeout 900 "$build/bin/property_faulty" "$@" >"$work/program.c" 2>"$work/said" || status=$?
cat "$work/said"
[ "$status" -eq 1 ] || die "property ended with status $status where the fault '$fault' is planted"

calls=$(sed -nE 's/^Of [0-9]+ calls, ([0-9]+) are enough.*/\1/p' "$work/said")
[ -n "$calls" ] || die "no shortest program was found"
[ "$calls" -le "$calls_max" ] || die "the shortest program has $calls calls, more than $calls_max"
sed -n '/^int main/,$p' "$work/program.c"

wraps=$(sed -nE 's/.*__real_(mb_[a-z_]+)\(.*;$/-Wl,--wrap=\1/p' "$source/tests/random/property/faults.c" | sort -u)
# shellcheck disable=SC2086 # one option a word
compile faulty "$source/tests/random/property/faults.c" $wraps
compile sound
attempts=20 # threads that run at once need not meet at the first attempt
for ((attempt = 1; attempt <= attempts; attempt++)); do
    if ! { timeout 600 "$work/faulty"; } 2>"$work/failure"; then
        head -n 1 "$work/failure" # the shell's word on the signal comes last
        timeout 600 "$work/sound" || die "the printed program fails without the fault, too"
        exit 0
    fi
done
die "the printed program does not fail"
