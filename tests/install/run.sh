#!/usr/bin/env bash
# Installs to a scratch prefix and builds a consumer with CMake and with pkg-config, each on the
# shared and on the static library; then runs all of them, and mbrun from its installed place.
# Usage: run.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
consumer=$source/tests/install/consumer
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

# Nothing is exported but the API.
exported=$(nm -D --defined-only "$library/libmemorybucket.so" | awk '{ print $3 }' | grep -v '^mb_' || true)
[ -z "$exported" ] || { echo "exported by accident: $exported" >&2; exit 1; }
