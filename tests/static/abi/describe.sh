#!/usr/bin/env bash
# Writes what programs depend on: the library's binary interface, the drop-in's symbols, and what inline.h puts into
# programs. The same sources give the same files, wherever they are.
# Usage: describe.sh SOURCE_DIR OUTPUT_DIR [DROPIN LIBRARY]    those that are built from these sources; default: builds them
set -euo pipefail
source=$(realpath "$1") output=$(realpath "$2") dropin=${3:+$(realpath "$3")} library=${4:+$(realpath "$4")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Types come from the debug information, which only some builds have: without it, it is a build of its own.
if [ -n "$library" ] && [[ $(readelf --wide --sections "$library") != *' .debug_info '* ]]; then library=''; fi
export CC=gcc CXX=g++ CFLAGS='' CXXFLAGS='' LDFLAGS=''
export CMAKE_C_COMPILER_LAUNCHER='' CMAKE_CXX_COMPILER_LAUNCHER='' # ccache rewrites paths
[ -n "$library" ] || {
    cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_FLAGS_RELEASE="-g -O1 -ffile-prefix-map=$source/=" -DMEMORYBUCKET_TESTS=OFF -DMEMORYBUCKET_BENCH=OFF
    targets=(memorybucket)
    [ -n "$dropin" ] || targets+=(memorybucket_dropin)
    cmake --build "$work/build" -j 2 --target "${targets[@]}"
} >"$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    exit 1
}
library=${library:-$work/build/lib/libmemorybucket.so}

# The thread cache beyond what inline.h knows is the library's own, and a FILE is the C library's.
cat >"$work/private" <<'END'
[suppress_type]
  name_regexp = ^(_IO_FILE|thread_cache)$
  drop = yes
END
describe() {
    abidw --exported-interfaces-only --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed \
        --drop-private-types --headers-dir "$source/include" --type-id-style hash \
        --suppressions "$work/private" --out-file "$2" "$1"
}
describe "$library" "$output/libmemorybucket.abi"

# An exported object keeps the layouts that nothing exported by the library leads to.
printf '#include <memorybucket/inline.h>\nstruct mb_inline_cache mb_inline_layout;\n' >"$work/inline.c"
(cd "$work" && gcc -std=c11 -g -fPIC -shared -I"$source/include" -ffile-prefix-map="$work/=" inline.c \
    -Wl,-soname,inline -o inline.so -L"${library%/*}" -lmemorybucket)
describe "$work/inline.so" "$output/inline.abi"

# Versions are raised with each release, and say nothing about what a program is compiled with.
gcc -std=c11 -E -dM -I"$source/include" -include memorybucket/inline.h -x c /dev/null |
    grep -E '^#define MB_' | grep -vE '^#define MB_VERSION_' | LC_ALL=C sort >"$output/macros.txt"

# Its symbols, unlike types, are the same in each build.
readelf --wide --dyn-syms "${dropin:-$work/build/lib/libmemorybucket-malloc.so}" |
    awk '$1 ~ /^[0-9]+:$/ && $7 != "UND" { print $8, $4, $5 }' | LC_ALL=C sort >"$output/libmemorybucket-malloc.symbols"
