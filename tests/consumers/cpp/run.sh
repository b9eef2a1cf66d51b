#!/usr/bin/env bash
# Compiles tests/consumers/cpp/facade.cpp as a user would, and runs it.
# Usage: run.sh COMPILER SOURCE_DIR LIBRARY_DIR [FLAG...]
set -euo pipefail
compiler=$1 source=$2 library=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$compiler" -std=c++17 -O1 -g -Wall -Wextra -Wshadow -Wconversion -Werror "$@" -I"$source/include" -I"$source/tests/support" \
    "$source/tests/consumers/cpp/facade.cpp" -o "$work/facade" -L"$library" -lmemorybucket -pthread \
    -Wl,-rpath,"$library"
# Impossible sizes are asked for on purpose.
export ASAN_OPTIONS=allocator_may_return_null=1
# Under a sanitizer the pools serve where they are checked, and it is told of each object.
[[ $* != *-fsanitize* ]] || export MB_CHECK=double_free,size
"$work/facade"
