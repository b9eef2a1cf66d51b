#!/usr/bin/env bash
# Installs to a scratch prefix and builds a consumer with CMake and with pkg-config, each on the
# shared and on the static library; then runs all of them, and mbrun from its installed place. The same
# in short for folders that packagers name as absolute paths, all below one prefix or not.
# Usage: run.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
consumer=$source/tests/consumers/install/consumer
cmake --install "$build" --prefix "$prefix" >/dev/null
library=$(dirname "$(find "$prefix" -name libmemorybucket.a)")
export LD_LIBRARY_PATH=$library

# NAME PROGRAM shared|static: it runs, and is linked as it should be
check() {
    local needed form=static
    needed=$(objdump -p "$2")
    [[ ! $needed =~ NEEDED\ +libmemorybucket\.so\.0 ]] || form=shared
    [ $form = "$3" ] || { echo "$1 is linked to the $form library" >&2; exit 1; }
    "$2" || { echo "$1 does not run" >&2; exit 1; }
    echo "$1: ok"
}

cmake -S "$consumer" -B "$work/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/cmake" >/dev/null
for language in c cpp; do
    check "CMake, $language, shared" "$work/cmake/memorybucket_$language" shared
    check "CMake, $language, static" "$work/cmake/memorybucket_static_$language" static
done

export PKG_CONFIG_PATH=$library/pkgconfig
gcc $(pkg-config --cflags memorybucket) "$consumer/consumer.c" -o "$work/shared" \
    $(pkg-config --libs memorybucket)
check "pkg-config, shared" "$work/shared" shared
gcc $(pkg-config --cflags memorybucket) "$consumer/consumer.c" -o "$work/static" \
    -Wl,-Bstatic -L"$library" -lmemorybucket -Wl,-Bdynamic $(pkg-config --libs liburcu-bp) -pthread
check "pkg-config, static" "$work/static" static

# A thread may still need it when the program has let it go.
[[ $(readelf -d "$library/libmemorybucket.so") == *NODELETE* ]]

[ "$("$prefix/bin/mbrun" sh -c 'echo runs')" = runs ]
[[ $(MB_STATS=1 "$prefix/bin/mbrun" true 2>&1) == 'MemoryBucket: reserved'* ]]
echo "mbrun: ok"

# man finds each call, the program and the overview, where there was Python to make the pages.
if [ -d "$build/man" ]; then
    for page in '1 mbrun' '3 mb_alloc' '3 mb_free_batch' '3 mb_stats_get' '3 memorybucket' '7 memorybucket'; do
        man -M "$prefix/share/man" -w $page >/dev/null
    done
    echo "manual pages: ok"
fi

# Nothing is exported but the API.
exported=$(nm -D --defined-only "$library/libmemorybucket.so" | awk '{ print $3 }' | grep -v '^mb_' || true)
[ -z "$exported" ] || { echo "exported by accident: $exported" >&2; exit 1; }

# NAME ARGUMENTS...: mbrun, pkg-config and CMake find what was installed to these folders
check_folders() {
    local name=$1 top=$work/$1
    # Not optimised, which takes a third of the time: where things lie is the same.
    cmake -S "$source" -B "$work/build" -G Ninja -DMEMORYBUCKET_TESTS=OFF -DMEMORYBUCKET_BENCH=OFF \
        -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0 -DCMAKE_INSTALL_PREFIX="$top/prefix" "${@:2}" >/dev/null
    cmake --build "$work/build" >/dev/null
    cmake --install "$work/build" >/dev/null
    local pc mbrun
    pc=$(find "$top" -path '*/pkgconfig/memorybucket.pc') mbrun=$(find "$top" -path '*/bin/mbrun')
    export PKG_CONFIG_PATH=${pc%/*} LD_LIBRARY_PATH=${pc%/pkgconfig/*}
    [ "$("$mbrun" sh -c 'echo runs')" = runs ] || { echo "$name: mbrun" >&2; exit 1; }
    gcc $(pkg-config --cflags memorybucket) "$consumer/consumer.c" -o "$top/program" $(pkg-config --libs memorybucket)
    check "$name, pkg-config" "$top/program" shared
    cmake -S "$consumer" -B "$top/cmake" -G Ninja \
        -DMemoryBucket_DIR="${pc%/pkgconfig/*}/cmake/MemoryBucket" >/dev/null
    cmake --build "$top/cmake" --target memorybucket_c >/dev/null
    check "$name, CMake" "$top/cmake/memorybucket_c" shared
}
check_folders absolute -DCMAKE_INSTALL_LIBDIR="$work/absolute/prefix/lib64"
check_folders split -DCMAKE_INSTALL_LIBDIR="$work/split/out/lib" -DCMAKE_INSTALL_INCLUDEDIR="$work/split/dev/include" \
    -DCMAKE_INSTALL_BINDIR="$work/split/programs/bin"
