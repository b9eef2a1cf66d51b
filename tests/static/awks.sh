#!/usr/bin/env bash
# What the project's scripts ask of awk, each awk that a machine may have does, and alike, in any locale.
# Usage: awks.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source=$(realpath "$1") build=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source"

# A source to edit as tests/meta/mutation/run.sh does: the text stands in two functions and a declaration, and has what
# awk and regular expressions give a meaning to.
printf '%s\n' 'int count(int x);' '' 'static int other(void)' '{' '    return x & ~1; /* a\n */' '}' '' 'int count(int x)' '{' \
    '    /* [TAKE] */' '    load(x, memory_order_acquire);' '    return x & ~1; /* a\n */' '}' >"$work/edited.c"
edits() {
    cd "$work"
    export FUNCTION=count FIND='x & ~1; /* a\n */' WITH='\1 & x;'
    awk -v where=1 -f "$source/tests/meta/mutation/edit.awk" edited.c
    awk -f "$source/tests/meta/mutation/edit.awk" edited.c | tail -n 2
    awk -f "$source/tests/meta/mutation/sites.awk" edited.c
}
printf '%s\n' 12 '    return \1 & x;' '}' 'edited.c:11 [TAKE]' >"$work/edits"

# What the benchmarks make of their own tables: names, one that is unknown, and one twice.
selections() {
    local bad
    bench/compare.sh --list && bench/memory.sh --list && bench/programs.sh --list || return
    for bad in '--only nothing' '--only pair@1,nothing' '--allocators glibc,glibc'; do
        if bench/memory.sh $bad 2>&1; then return 1; fi
    done
}

failed=
for awk in mawk gawk 'gawk --posix' 'busybox awk'; do
    command -v "${awk%% *}" >/dev/null || {
        echo "awks: ${awk%% *} is not installed"
        exit 77
    }
    bin="$work/${awk// /}"
    mkdir "$bin"
    printf '#!/bin/sh\nexec %s "$@"\n' "$awk" >"$bin/awk"
    chmod +x "$bin/awk"
    for script in "tests/tools/profiling/run.sh folding $source $build" "tests/static/memory_orders.sh $source" \
        "tests/static/words.sh $source src/check" edits selections; do
        expected=$work/${script%% *} # the first awk's word, where none is given above
        if ! (PATH="$bin:$PATH" LC_ALL=C.UTF-8 && export PATH LC_ALL && $script) >"$work/out" 2>&1; then
            echo "awks: under $awk, $script:"
            tail -n 5 "$work/out"
            failed=1
        elif [[ $script != */* ]] && { [ -e "$expected" ] || ! cp "$work/out" "$expected"; } && ! diff "$expected" "$work/out"; then
            echo "awks: under $awk, $script: not what is expected (<)"
            failed=1
        fi
    done
done
[ -z "$failed" ]
