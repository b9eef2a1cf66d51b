#!/usr/bin/env bash
# With another C library than GNU's (musl) CMake says at once that the library cannot be built, and why; the headers compile.
# Usage: musl.sh SOURCE_DIR
set -euo pipefail
source=$(realpath "$1")
command -v musl-gcc >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if CC=musl-gcc cmake -S "$source" -B "$work/build" -G Ninja >"$work/log" 2>&1; then
    echo "CMake accepts musl" >&2
    exit 1
fi
grep -q 'needs the GNU C library' "$work/log" || { cat "$work/log" >&2; exit 1; }
echo '#include <memorybucket/inline.h>' >"$work/user.c"
musl-gcc -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -I"$source/include" -c "$work/user.c" -o "$work/user.o"
echo ok
