#!/usr/bin/env bash
# The headers compile with the flags of projects that do without run-time types or exceptions, or are strict, and
# what is compiled so runs.
# Usage: flags.sh COMPILER SOURCE_DIR LIBRARY_DIR    with TEST_LONG=1 in more combinations
set -euo pipefail
[ $# -eq 3 ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
compiler=$1 source=$(realpath "$2") library=$(realpath "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/user.cpp" <<'END'
#include <memorybucket/inline.h>
#include <memorybucket/memorybucket.hpp>
#include <vector>
struct Base {
    long value = 1;
    virtual ~Base() = default;
};
struct Other {
    long value = 2;
    virtual ~Other() = default;
};
struct Derived : Other, Base {};
int main()
{
    static MemoryBucket::memory_resource one;
    static MemoryBucket::memory_resource other;
    std::vector<int, MemoryBucket::allocator<int>> numbers(100, 7);
    std::pmr::vector<int> more(100, 7, &one);
    int *number = MemoryBucket::newElement<int>(2);
    Base *base = MemoryBucket::newElement<Derived>();
    bool right = numbers[99] + more[99] + *number == 16 && base->value == 1 && one == one;
#ifdef __cpp_rtti
    right = right && one == other;
#endif
    MemoryBucket::unique_ptr<Base> owned = MemoryBucket::make_unique<Derived>();
    right = right && owned->value == 1 && MemoryBucket::make_unique<long[]>(3)[2] == 0;
    owned.reset();
    MemoryBucket::deleteElement(number);
    MemoryBucket::deleteElement(base);
    static mb_stats stats;
    mb_stats_get(&stats, sizeof stats);
    for (const mb_pool_stats &pool : stats.pool) {
        right = right && (pool.live == 0 || pool.slot_bytes > 16);
    }
    return right ? 0 : 1;
}
END
while read -ra flags; do
    if [ "${flags[0]}" = long ]; then
        [ -n "${TEST_LONG:-}" ] || continue
        flags=("${flags[@]:1}")
    fi
    [[ $compiler != clang++ ]] || flags=("${flags[@]/-Wuseless-cast/-Wextra}")
    "$compiler" -std=c++17 "${flags[@]}" -I"$source/include" "$work/user.cpp" -o "$work/user" -L"$library" \
        -lmemorybucket -Wl,-rpath,"$library" -pthread || { echo "$compiler ${flags[*]}: does not compile" >&2; exit 1; }
    "$work/user" || { echo "$compiler ${flags[*]}: fails" >&2; exit 1; }
done <<'END'
long -O0
long -std=c++20 -O2
-std=c++2b -O2
-O0 -fno-rtti
long -O2 -fno-rtti
-O0 -fno-exceptions
long -O2 -fno-exceptions
long -O0 -fno-exceptions -fno-rtti
-std=c++20 -O2 -fno-exceptions -fno-rtti
-std=c++20 -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Wuseless-cast -Werror
-O3 -fno-plt -fPIC -fno-threadsafe-statics -ffast-math -fno-builtin
END
