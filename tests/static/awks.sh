#!/usr/bin/env bash
# What the project's scripts ask of awk holds for each awk that a machine may have, in any locale.
# Usage: awks.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source=$(realpath "$1") build=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source"

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
    for script in "tests/tools/profiling/run.sh folding $source $build" 'tests/meta/mutation/run.sh --check' \
        "tests/static/memory_orders.sh $source" "tests/static/words.sh $source src/check" "tests/tools/bench/memory_programs.sh $build/bin $build/lib/libmemorybucket-malloc.so"; do
        if ! PATH="$bin:$PATH" LC_ALL=C.UTF-8 "$source/${script%% *}" ${script#* } >"$work/out" 2>&1; then
            echo "awks: under $awk, $script:"
            tail -n 5 "$work/out"
            failed=1
        fi
    done
done
[ -z "$failed" ]
