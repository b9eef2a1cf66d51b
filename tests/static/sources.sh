#!/usr/bin/env bash
# Sources compile without a warning with gcc (C17; the build has C11) and clang (C11), tests and benchmarks too; each
# header compiles alone, the public ones also as C++, and all of them together in any order, by both compilers in C11 and
# C17; includes are ordered and point downward; no line has more than 100 columns.
# Usage: sources.sh SOURCE_DIR
set -euo pipefail
cd "$1"
status=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
complain() {
    echo "$*" >&2
    status=1
}
warnings=(-Wall -Wextra -Wundef -Wshadow -Wconversion -Werror -D_GNU_SOURCE -Isrc -Iinclude)
include_alone() { printf '#include "%s"\n' "$1"; }
# compiles WHAT COMPILER OPTION AND FILE...: many files in one call, which says itself where it stumbles
compiles() {
    local what=$1
    shift
    "$1" "${warnings[@]}" -fsyntax-only "${@:2}" || complain "$what ($1, ${*:2:3} ...)"
}
# alone SUFFIX HEADER...: for each header a file that includes nothing else; their names in `files`
alone() {
    local header
    files=()
    for header in "${@:2}"; do
        files+=("$work/${header//\//-}.$1")
        include_alone "$header" >"${files[-1]}"
    done
}

headers=$(cd src && find . -name '*.h' | sed 's|^\./||' | LC_ALL=C sort)
headers+=$'\n'memorybucket/memorybucket.h$'\n'memorybucket/inline.h
# Whether something is missing in a header, one compiler tells: gcc, in a third of clang's time.
alone c $headers
compiles 'a header does not compile alone' gcc -std=c11 "${files[@]}"
# Twice each, and in either order: no header counts on what another one left, or undoes it.
for order in 'sort' 'sort -r'; do
    ordered=$(LC_ALL=C $order <<<"$headers")
    for header in $ordered $ordered; do include_alone "$header"; done >"$work/all.c"
    for form in -UMEMORYBUCKET_DROPIN -DMEMORYBUCKET_DROPIN; do
        for compiler in 'gcc -std=c11' 'gcc -std=c17' 'clang -std=c11' 'clang -std=c17'; do
            compiles "the headers do not compile together, $order" $compiler $form "$work/all.c"
        done
    done
done
# Probes compile to nothing where they are not wanted.
for compiler in gcc clang; do
    compiles 'without probes' $compiler -std=c11 -DMEMORYBUCKET_NO_PROBES src/core/pool.c
done
mapfile -t files < <(find src -name '*.c' -not -path 'src/dropin/*')
protoc-c --c_out="$work" -I src/cli src/cli/profile.proto
warnings+=(-isystem "$work")
# clang also finds each plain access to an atomic, which would be sequentially consistent, and has no label.
for compiler in "gcc -std=c17" "clang -std=c11 -Watomic-implicit-seq-cst"; do
    compiles 'sources' $compiler -DMBRUN_RECORDS -DMBRUN_LIBRARY_FROM_BIN='"../lib"' "${files[@]}"
    compiles 'sources' $compiler -DMEMORYBUCKET_DROPIN '-DMEMORYBUCKET_LIBURCU="liburcu-bp.so"' src/dropin/*.c
done
alone cpp memorybucket/{memorybucket.h,inline.h,memorybucket.hpp}
for compiler in g++ clang++; do
    compiles 'a public header does not compile alone' $compiler -std=c++17 "${files[@]}"
done

# With gcc, and as each is linked, the build compiles these.
criterion=$(pkg-config --cflags criterion)
in_tests=(-Itests/support -Itests/random -Ibench/lib -DKEYS_TAKEN=40 $criterion -DPROPERTY_DIR=\"tests/random/property\")
read -ra in_libraries < <(pkg-config --cflags-only-I lua5.4 libxml-2.0 | sed 's/-I/-isystem /g') # tests/consumers/hooks
in_tests+=("${in_libraries[@]}")
mapfile -t files < <(find tests -name '*.c' -not -path 'tests/static/golden/*') # golden's instructions are those of gcc
compiles 'tests' clang -std=c11 "${in_tests[@]}" "${files[@]}"
compiles 'benchmarks' clang -std=c11 -Ibench/lib -DBENCH_MALLOC bench/*/*.c bench/server/load/*.c
for way in CALLED INLINED; do # what is built in these ways, too
    compiles 'benchmarks' clang -std=c11 -Ibench/lib -DBENCH_$way bench/speed/*.c bench/lib/harness.c
done
mapfile -t files < <(find tests bench docs -name '*.cpp')
compiles 'tests' clang++ -std=c++17 -fsized-deallocation -Itests/support -DBENCH_CALLED "${files[@]}"

# Includes come in groups with a blank line between them, in this order, each of one kind and sorted: the file's own
# header, which so is proved to compile alone; the public ones; the project's; the system's. A file that is the body of
# a public header opens with that. Conditional includes are not looked at. In tests and benchmarks, whose first header
# is that of their subject, each group is sorted and of the project or of the system.
find src include tests bench -name '*.[ch]' -o -name '*.[ch]pp' | LC_ALL=C sort | LC_ALL=C xargs awk '
    function complain(text) { print FILENAME ":" FNR ": " text > "/dev/stderr"; bad = 1 }
    function begin_file(header) {
        conditional = in_group = seen = 0
        strict = FILENAME ~ /^(src|include)\//
        own = ""
        if (FILENAME !~ /^src\/.*\.c$/) return
        header = FILENAME
        sub(/\.c$/, ".h", header)
        if ((getline line < header) > 0) own = substr(header, 5)
        close(header)
    }
    function kind_of(header, name) {
        if (header ~ /^</) return "4 of the system"
        if (strict && name ~ /^memorybucket\//) return "2 public"
        return strict && name == own && !seen ? "1 its own" : "3 of the project"
    }
    FNR == 1 { begin_file() }
    /^#if/ && !/^#ifndef MEMORYBUCKET_[A-Z_]*_H$/ { conditional++ }
    /^#endif/ { conditional-- }
    !/^#include / || conditional > 0 { in_group = 0; next }
    {
        name = substr($2, 2, length($2) - 2)
        kind = kind_of($2, name)
        if (own != "" && !seen && kind > "2 public") complain("its own header, " own ", comes first")
        sub(/^urcu\/urcu-/, "urcu/", name) # the flavour of liburcu, which its lists are made of
        if (in_group && kind != last_kind) complain($2 " needs a blank line before it")
        else if (in_group && name <= last_name) complain($2 " is not in its place in the group")
        else if (!in_group && strict && seen && kind <= last_kind) complain($2 " belongs further up")
        in_group = seen = 1; last_kind = kind; last_name = name
    }
    END { exit bad }' || status=1

# Columns are characters, not bytes.
long=$(LC_ALL=C.UTF-8 grep -rnE '^.{101}' src include) && complain "more than 100 columns:"$'\n'"$long"

# The ladder: a file includes only what stands at or below its own rung. (A variable, as a subshell for each include
# takes longer than all else here.)
rung() {
    case $1 in
    memorybucket/*) rung=0 ;;
    core/base.* | core/chance.h | core/upcalls.h | insight/snapshot.h) rung=1 ;;
    core/bounded.h | core/chain.* | core/counters.h | core/left_behind.h | core/limit.* | core/lock.* | core/os.* | core/rounds.h | core/shared_file.* | core/size_class.* | core/tile_index.h | core/large.h | core/probes.h) rung=2 ;;
    core/cgroup.* | core/options.* | core/processors.*) rung=3 ;;
    core/region.h) rung=4 ;;
    core/config.*) rung=5 ;;
    core/region.c | core/free_map.* | core/free_map_* | core/batch_stack.* | core/copies.* | core/huge.*) rung=6 ;;
    core/centre.h | core/pool.* | core/pool_*) rung=7 ;;
    core/trim.*) rung=8 ;;
    core/decay.* | core/excess.* | core/order.* | core/uncharge.*) rung=9 ;;
    tcache/background.* | tcache/magazine.* | tcache/kept.* | tcache/epochs.c) rung=10 ;;
    tcache/budget.h | tcache/checked.h | tcache/cut.* | tcache/many.c | tcache/sampling.* | tcache/sampling_weight.c | tcache/thread_cache.* | tcache/transfer.* | tcache/chores.c | tcache/slow_path.c) rung=11 ;;
    tcache/vacant.* | tcache/parked.* | tcache/registry.* | tcache/first_cache.c) rung=12 ;;
    tcache/out_of_memory.* | tcache/thread_exit.h) rung=13 ;;
    tcache/startup.* | tcache/thread_exit.c | tcache/fork.c) rung=14 ;;
    check/annotate.h | check/frames.* | check/ledger.* | check/stacks.* | check/symbols.*) rung=16 ;;
    check/report.*) rung=17 ;;
    check/guarded.* | check/segv.c) rung=18 ;;
    check/faults.*) rung=19 ;;
    check/heap.c | check/home.* | check/check.*) rung=20 ;;
    insight/cells.* | insight/profile.* | insight/profile_* | insight/samples.*) rung=20 ;;
    api/stats.* | api/stats_exit.c) rung=21 ;;
    insight/*) rung=22 ;;
    api/*) rung=23 ;;
    dropin/*) rung=24 ;;
    trace/layout.h | trace/numbers.* | trace/addresses.* | trace/raw.h) rung=1 ;;
    trace/trace.* | trace/trace_* | trace/chunks.* | trace/recorder.*) rung=2 ;;
    trace/merge.* | trace/recorder_malloc.c) rung=3 ;;
    cli/*) rung=23 ;;
    *) echo "$1 has no rung in tests/static/sources.sh" >&2; exit 1 ;;
    esac
}
cd src
while IFS=: read -r file included; do
    file=${file#./}
    rung "$file"
    own=$rung
    rung "$included"
    [ "$rung" -le "$own" ] || complain "$file includes $included, which is above it"
done < <(grep -roE '#include "[^"]+"' . | sed -E 's/#include "([^"]+)"/\1/')
exit $status
