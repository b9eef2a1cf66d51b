#!/usr/bin/env bash
# Installs to a scratch prefix and builds a consumer with CMake and with pkg-config, each on the
# shared and on the static library; then runs all of them, and mbrun from its installed place. The same in short for the
# tree when it was moved, and for folders as distributions name them: installed by DESTDIR, absolute, below one prefix or
# not, and with files for developers moved to a place of their own. These two are built where all is missing that can be.
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
    [[ ! $needed =~ NEEDED\ +libmemorybucket\.so\.1 ]] || form=shared
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

# check_tree NAME TOP: mbrun, pkg-config and CMake find what is installed below TOP. It is as it was installed: CMake does
# without pkg-config, too.
check_tree() {
    local name=$1 top=$2 pc cmake mbrun
    pc=$(find "$top" -path '*/pkgconfig/memorybucket.pc') cmake=$(find "$top" -name MemoryBucketConfig.cmake)
    mbrun=$(find "$top" -path '*/bin/mbrun')
    export PKG_CONFIG_PATH=${pc%/*}
    LD_LIBRARY_PATH=$(dirname "$(find "$top" -name libmemorybucket.a)")
    [[ $(MB_STATS=1 "$mbrun" true 2>&1) == 'MemoryBucket: reserved'* ]] || { echo "$name: mbrun" >&2; exit 1; }
    gcc $(pkg-config --cflags memorybucket) "$consumer/consumer.c" -o "$work/program" $(pkg-config --libs memorybucket)
    check "$name, pkg-config" "$work/program" shared
    rm -rf "$work/consumer"
    cmake -S "$consumer" -B "$work/consumer" -G Ninja -DMemoryBucket_DIR="${cmake%/*}" \
        -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON >/dev/null
    cmake --build "$work/consumer" --target memorybucket_c memorybucket_static_c >/dev/null
    check "$name, CMake" "$work/consumer/memorybucket_c" shared
    check "$name, CMake, static" "$work/consumer/memorybucket_static_c" static
}
mv "$prefix" "$work/moved"
check_tree moved "$work/moved"

# install_to TOP ARGUMENTS...: builds with liburcu alone, with the linker as strict as some distributions have it, and
# installs by DESTDIR; what is staged knows of neither folder
mkdir "$work/needed"
ln -s "$(pkg-config --variable=pcfiledir liburcu-bp)/liburcu-bp.pc" "$work/needed"
install_to() {
    local top=$1 known
    # Not optimised, which takes a third of the time: where things lie is the same.
    PKG_CONFIG_PATH='' PKG_CONFIG_LIBDIR=$work/needed cmake -S "$source" -B "$work/build" -G Ninja \
        -DMEMORYBUCKET_TESTS=OFF -DMEMORYBUCKET_BENCH=OFF -DMEMORYBUCKET_PROBES=OFF -DMEMORYBUCKET_VALGRIND=OFF \
        -DCMAKE_DISABLE_FIND_PACKAGE_Python3=ON -DCMAKE_SHARED_LINKER_FLAGS='-Wl,--as-needed -Wl,--no-undefined' -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_C_FLAGS_DEBUG='-O0 -DNDEBUG' -DCMAKE_INSTALL_PREFIX="$top/out" "${@:2}" >/dev/null
    cmake --build "$work/build" >/dev/null
    DESTDIR=$work/stage cmake --install "$work/build" >/dev/null
    known=$(grep -rlFe "$work/stage" -e "$work/build" "$work/stage" || true)
    [ -z "$known" ] || { echo "know where they were built or staged: $known" >&2; exit 1; }
    mv "$work/stage$top" "$top"
    [ -z "$(find "$work/stage" ! -type d)" ] || { echo "outside of $top: $(find "$work/stage" ! -type d)" >&2; exit 1; }
}
top=$work/absolute
install_to "$top" -DCMAKE_INSTALL_LIBDIR="$top/out/lib64"
check_tree absolute "$top"
status=0
said=$("$top/out/bin/mbrun" --record "$work/trace" true 2>&1) || status=$?
[[ $status = 125 && $said == *"without zstd"* ]] || { echo "mbrun --record without zstd: status $status, $said" >&2; exit 1; }
top=$work/split
install_to "$top" -DCMAKE_INSTALL_LIBDIR="$top/lib/lib" -DCMAKE_INSTALL_INCLUDEDIR="$top/dev/include" \
    -DCMAKE_INSTALL_BINDIR="$top/programs/bin" -DCMAKE_INSTALL_MANDIR="$top/man/share/man" \
    -DCMAKE_INSTALL_DATADIR="$top/programs/share"
mkdir "$top/dev/lib"
mv "$top"/lib/lib/{cmake,pkgconfig} "$top/dev/lib"
check_tree split "$top"
