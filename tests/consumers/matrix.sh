#!/usr/bin/env bash
# Compilers, standards and flags of users: each row compiles tests/consumers/inline/consumer.c, links it one way, and runs
# it. With --library the library itself is built with each row of the first table (minutes).
# Usage: matrix.sh SOURCE_DIR LIBRARY_DIR | matrix.sh --library SOURCE_DIR
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}

if [ "${1:-}" = --library ]; then
    source=$(realpath "$2")
    while IFS='|' read -r compiler flags linker; do
        rm -rf "$work/build"
        CC=${compiler%,*} CXX=${compiler#*,} cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
            -DMEMORYBUCKET_TESTS=OFF -DMEMORYBUCKET_BENCH=OFF -DMEMORYBUCKET_WERROR=ON "-DCMAKE_C_FLAGS=$flags" \
            "-DCMAKE_EXE_LINKER_FLAGS=${linker:+-fuse-ld=$linker}" \
            "-DCMAKE_SHARED_LINKER_FLAGS=${linker:+-fuse-ld=$linker}" >"$work/log" 2>&1 &&
            cmake --build "$work/build" >>"$work/log" 2>&1 || { tail -n 30 "$work/log"; fail "$compiler $flags: does not build"; }
        "$0" "$source" "$work/build/lib" >/dev/null || fail "$compiler $flags: what is built does not serve"
        "$work/build/bin/mbrun" ls / >/dev/null || fail "$compiler $flags: mbrun ls fails"
        # CET: each object says that it may be enforced. Of a shared library the linker says so where the C library's
        # crti.o does, too, which is not so in Debian 12.
        if [[ $flags == *-fcf-protection* ]]; then
            archive=$work/build/lib/libmemorybucket.a
            objects=$(ar t "$archive" | wc -l) noted=$(readelf -n "$archive" | grep -c 'IBT, SHSTK') || true
            [ "$noted" = "$objects" ] || fail "$compiler $flags: $noted of $objects objects have notes of IBT and SHSTK"
        fi
        echo "$compiler $flags, ${linker:-no other linker}: ok"
    done <<'END'
gcc,g++|-std=c17|bfd
clang,clang++|-O3|bfd
gcc,g++|-fno-plt -march=native -fcf-protection=full|bfd
clang,clang++|-fcf-protection=full -march=native|bfd
gcc,g++|-flto -ffat-lto-objects -Os|bfd
gcc,g++|-O2|gold
gcc,g++|-O2 -fuse-ld=gold|
clang,clang++|-O2|lld
END
    exit
fi

source=$(realpath "$1") library=$(realpath "$2")
read -ra urcu < <(pkg-config --libs liburcu-bp)
number=0
while IFS='|' read -r compiler flags form; do
    number=$((number + 1))
    (
        read -ra command <<<"$compiler $flags -Wall -Wextra -Werror -pthread -I$source/include -I$source/tests/support"
        case $form in
        shared) link=(-L"$library" -lmemorybucket -Wl,-rpath,"$library") ;;
        archive) link=("$library/libmemorybucket.a" "${urcu[@]}") ;;
        *) link=("$form" "$library/libmemorybucket.a" "${urcu[@]}") ;;
        esac
        "${command[@]}" "$source/tests/consumers/inline/consumer.c" -o "$work/$number" -x none "${link[@]}" ||
            fail "$compiler $flags, $form: does not build"
        [ "$("$work/$number")" = ok ] || fail "$compiler $flags, $form: fails"
        # Stacks are taken, also where the program holds the unwinder.
        [ "$(MB_PROFILE=1 MB_PROFILE_FILE="$work/$number.heap" "$work/$number")" = ok ] ||
            fail "$compiler $flags, $form: fails with a heap profile"
        grep -q '@ 0x.* 0x' "$work/$number.heap" || fail "$compiler $flags, $form: no stacks in its heap profile"
        : >"$work/$number.ok"
    ) &
    [ $((number % 2)) -ne 0 ] || wait # two at a time
done <<'END'
gcc -std=c11|-O2|-static
gcc -std=c17|-O2 -fno-plt -march=native|shared
gcc -std=c2x|-O2 -flto|archive
gcc -std=c11|-O2 -fuse-ld=gold|archive
gcc -std=gnu17|-O2|-static-pie
gcc -std=c17|-O2 -fcf-protection=full -fstack-clash-protection|shared
clang -std=c11|-O2|-static-pie
clang -std=c17|-O2 -fno-plt -march=native|shared
g++ -std=c++17 -x c++|-O2 -fno-rtti -fno-exceptions|-static
g++ -std=c++20 -x c++|-O2 -flto -march=native|archive
g++ -std=c++23 -x c++|-O2|-static-pie
clang++ -std=c++17 -x c++|-O2 -march=native|-static
clang++ -std=c++20 -x c++|-O2 -fno-plt|shared
clang++ -std=c++2b -x c++|-O2 -fno-rtti -fno-exceptions|archive
END
wait
passed=("$work"/*.ok)
[ ${#passed[@]} -eq $number ] || fail "$((number - ${#passed[@]})) of $number rows failed"
echo "all $number rows: ok"
