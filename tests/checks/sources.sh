#!/usr/bin/env bash
# Sources compile without a warning with gcc and clang, in C11 and C17; each header compiles alone, the public ones
# also as C++; includes point downward.
# Usage: sources.sh SOURCE_DIR
set -euo pipefail
cd "$1"
status=0
complain() {
    echo "$*" >&2
    status=1
}
warnings=(-Wall -Wextra -Wundef -Wshadow -Wconversion -Werror -D_GNU_SOURCE -Isrc -Iinclude)
include_alone() { printf '#include "%s"\n' "$1"; }

for header in $(cd src && find . -name '*.h' | sort) memorybucket/memorybucket.h memorybucket/inline.h; do
    for compiler in gcc clang; do
        for standard in c11 c17; do
            include_alone "${header#./}" |
                $compiler -std=$standard "${warnings[@]}" -fsyntax-only -x c - ||
                complain "$header does not compile alone ($compiler, $standard)"
        done
    done
done
# Probes compile to nothing where they are not wanted.
for compiler in "gcc -std=c11" "clang -std=c11"; do
    $compiler "${warnings[@]}" -DMEMORYBUCKET_NO_PROBES -fsyntax-only src/core/pool.c ||
        complain "src/core/pool.c without probes ($compiler)"
done
for file in src/*.c src/*/*.c; do
    defines=(-DMBRUN_LIBRARY_FROM_BIN='"../lib"')
    [[ $file != src/dropin/* ]] || defines+=(-DMEMORYBUCKET_DROPIN)
    for compiler in "gcc -std=c17" "clang -std=c11" "clang -std=c17"; do
        $compiler "${warnings[@]}" "${defines[@]}" -fsyntax-only "$file" || complain "$file ($compiler)"
    done
done
for header in memorybucket.h inline.h memorybucket.hpp; do
    for compiler in g++ clang++; do
        include_alone "memorybucket/$header" |
            $compiler -std=c++17 "${warnings[@]}" -fsyntax-only -x c++ - ||
            complain "$header does not compile alone ($compiler)"
    done
done

# The ladder: a file includes only what stands at or below its own rung.
rung() {
    case $1 in
    memorybucket/*) echo 0 ;;
    core/base.*) echo 1 ;;
    core/chain.* | core/limit.* | core/lock.* | core/os.* | core/large.h | core/probes.h) echo 2 ;;
    core/cgroup.* | core/size_class.*) echo 3 ;;
    core/region.h | core/sorted.*) echo 4 ;;
    core/config.*) echo 5 ;;
    core/region.c | core/batch_stack.*) echo 6 ;;
    core/pool.* | core/pool_walk.c) echo 7 ;;
    core/trim.*) echo 8 ;;
    core/decay.*) echo 9 ;;
    tcache/background.* | tcache/budget.* | tcache/magazine.* | tcache/previous.*) echo 10 ;;
    tcache/thread_cache.* | tcache/exchange.*) echo 11 ;;
    tcache/registry.*) echo 12 ;;
    tcache/out_of_memory.* | tcache/thread_exit.h) echo 13 ;;
    tcache/startup.*) echo 14 ;;
    tcache/thread_exit.c | tcache/fork.*) echo 15 ;;
    api.* | batch.* | memory.* | stats.*) echo 16 ;;
    dropin/*) echo 17 ;;
    cli/*) echo 18 ;;
    *) echo "$1 has no rung in tests/checks/sources.sh" >&2; exit 1 ;;
    esac
}
cd src
while IFS=: read -r file included; do
    file=${file#./}
    [ "$(rung "$included")" -le "$(rung "$file")" ] || complain "$file includes $included, which is above it"
done < <(grep -roE '#include "[^"]+"' . | sed -E 's/#include "([^"]+)"/\1/')
exit $status
