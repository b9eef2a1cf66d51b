#!/usr/bin/env bash
# MemoryBucket against the other allocators on small objects, side by side: time, latency, memory.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/.
# Usage: bench/compare.sh [OPTION...]
#   --quick             a quarter of the work: three minutes instead of eight
#   --only W,...        only workloads whose names begin so, or NAME@THREADS; --list names them
#   --allocators A,...  only these of glibc, mimalloc, jemalloc, tcmalloc, tbbmalloc (peers),
#                       dropin, called, inlined (MemoryBucket)
#   --extra NAME=PATH   one peer more: a shared library to preload; may be repeated
#   --pin               thread i runs on core i, modulo the cores; otherwise the kernel decides
#   --rounds N          runs of each, in turn; 5 unless told, and at least 5
#   --list              names the workloads and ends
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "$0")/.."
. bench/common.sh

# name, threads, program, arguments
workloads='
pair               1   pair
round-100-fifo     1   round 100 fifo
round-100-lifo     1   round 100 lifo
round-10k-fifo     1   round 10000 fifo
round-10k-lifo     1   round 10000 lifo
random-1k          1   random 1000 512
random-100k        1   random 100000 512
seed-small-once    1   seed 64 once
seed-small-once    5   seed 64 once
seed-small-once    10  seed 64 once
seed-small-rounds  1   seed 64 rounds
seed-small-rounds  5   seed 64 rounds
seed-small-rounds  10  seed 64 rounds
seed-large-once    1   seed 1024 once
seed-large-once    5   seed 1024 once
seed-large-once    10  seed 1024 once
seed-large-rounds  1   seed 1024 rounds
seed-large-rounds  5   seed 1024 rounds
seed-large-rounds  10  seed 1024 rounds
xfer               2   xfer
xfer               8   xfer
server             1   server
server             2   server
server             4   server
server             8   server
server             16  server
churn              2   churn
oversubscribed     64  oversubscribed
oversubscribed     256 oversubscribed
batch              1   batch batch
batch-loop         1   batch loop
latency-xfer       8   latency xfer
latency-random     1   latency random
mixed-1000         1   random 1000 1000
mixed-1000         2   random 1000 1000
mixed-1000-100k    1   random 100000 1000
'
workload_names() { awk 'NF { print $1 "@" $2 }' <<<"$workloads"; }

usage='--quick, --only, --allocators, --extra, --pin, --rounds and --list'
known=glibc,mimalloc,jemalloc,tcmalloc,tbbmalloc,dropin,called,inlined
work=100 rounds=5 pin=() only= allocators=$known
extra_names=() extra_paths=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) work=25 ;;
    --pin) pin=(--pin) ;;
    --list)
        workload_names
        exit 0
        ;;
    -h | --help)
        sed -n '2,13s/^# //p' "$0"
        exit 0
        ;;
    --only | --allocators | --extra | --rounds)
        [ $# -ge 2 ] || bad_option "$1" "$usage"
        case $1 in
        --only)
            only=$2
            [ -n "${only//,/}" ] || bad_value "--only: names none; --list shows what there is"
            ;;
        --allocators) allocators=$2 ;;
        --rounds) rounds=$2 ;;
        --extra)
            [[ $2 =~ ^[a-z0-9._-]{1,39}=.+$ ]] ||
                bad_value "--extra $2: accepted is NAME=PATH, the name up to 39 small letters, digits, '.', '_' and '-'"
            path=$(cd "$invoked_from" && realpath -- "${2#*=}") && [ -f "$path" ] ||
                bad_value "--extra $2: ${2#*=} is not a file"
            [[ $path != *[[:space:]:]* ]] || bad_value "--extra $2: LD_PRELOAD cannot hold a space or a colon"
            refused=$(LD_PRELOAD=$path env true 2>&1)
            [ -z "$refused" ] || bad_value "--extra $2: ${refused%%$'\n'*}"
            extra_names+=("${2%%=*}")
            extra_paths+=("$path")
            ;;
        esac
        shift
        ;;
    *) bad_option "$1" "$usage" ;;
    esac
    shift
done
[[ $rounds =~ ^[0-9]{1,3}$ ]] && [ "$((10#$rounds))" -ge 5 ] || bad_value "--rounds $rounds: accepted is a number from 5 to 999"
rounds=$((10#$rounds))

# The workloads that were asked for, one a line.
chosen=$(awk -v only="$only" '
    BEGIN { n = split(only, wanted, ",") }
    NF {
        take = only == ""
        for (i = 1; i <= n; i++) if (wanted[i] != "" && (index($1, wanted[i]) == 1 || $1 "@" $2 == wanted[i])) { take = 1; used[i] = 1 }
        if (take) print
    }
    END { for (i = 1; i <= n; i++) if (wanted[i] != "" && !used[i]) { print "unknown " wanted[i]; exit } }' <<<"$workloads")
[[ $chosen != *unknown\ * ]] ||
    bad_value "--only ${chosen##*unknown }: no workload begins so; there are: $(workload_names | tr '\n' ' ')"

[ -n "${allocators//,/}" ] || bad_value "--allocators: names none; there are ${known//,/, }"
twice=$(tr ',' '\n' <<<"$allocators,$(IFS=, && echo "${extra_names[*]}")" | awk 'NF && seen[$1]++' | head -n 1)
[ -z "$twice" ] || bad_value "$twice: is asked for twice"
for name in ${allocators//,/ }; do
    [[ ,$known, == *,$name,* ]] || bad_value "--allocators $name: there are ${known//,/, }"
done

tests/packages.sh build bench
prepare_output
raw=$out/compare.tsv
rm -f "$raw.part"
clean_up_at_exit "$raw.part" "$raw.run" "$out/compare.jsonl" "$out/compare.json.new"
build_release

# library NAME: the path of a library of the system
library() {
    local path
    path=$(ldconfig -p | awk -v name="$1" '$1 == name && path == "" { path = $NF } END { print path }')
    [ -n "$path" ] || die "$1 is not installed, though its package should be"
    echo "$path"
}

# For each allocator: which way of the workload's programs, what to preload, who must serve.
declare -A way preload expect
names=()
add() { # add NAME WAY PRELOAD EXPECT
    names+=("$1") way[$1]=$2 preload[$1]=$3 expect[$1]=$4
}
for name in ${allocators//,/ }; do
    case $name in
    glibc) add glibc malloc '' libc.so.6 ;;
    mimalloc) add mimalloc malloc "$(library libmimalloc.so.2)" libmimalloc ;;
    jemalloc) add jemalloc malloc "$(library libjemalloc.so.2)" libjemalloc ;;
    tcmalloc) add tcmalloc malloc "$(library libtcmalloc_minimal.so.4)" libtcmalloc ;;
    tbbmalloc) add tbbmalloc malloc "$(library libtbbmalloc_proxy.so.2)" libtbbmalloc ;;
    dropin) add dropin malloc "$PWD/$build/lib/libmemorybucket-malloc.so" libmemorybucket-malloc ;;
    called | inlined) add "$name" "$name" '' libmemorybucket.so ;;
    esac
done
for i in "${!extra_names[@]}"; do
    add "${extra_names[i]}" malloc "${extra_paths[i]}" "${extra_paths[i]}"
done

# Each allocator as it comes: no settings of the user's shell.
for variable in $(compgen -e); do
    case $variable in
    MB_* | MALLOC_* | MIMALLOC_* | TCMALLOC_* | TBB_* | GLIBC_TUNABLES) unset "$variable" ;;
    esac
done

# measure ALLOCATOR WORKLOAD THREADS PROGRAM ARGUMENTS...: appends its rows
measure() {
    local allocator=$1 workload=$2 threads=$3 program=$4
    shift 4
    run env LD_PRELOAD="${preload[$allocator]}" "$build/bin/$program-${way[$allocator]}" --name "$workload" \
        --threads "$threads" --expect "${expect[$allocator]}" --work "$work" "${pin[@]}" "$@" >"$raw.run" ||
        die "$workload with $threads threads failed on $allocator"
    sed "s/^/$allocator\t/" "$raw.run" >>"$raw.part" || die "$raw.part cannot be written"
    rm -f "$raw.run"
}

echo "Machine: $machine"
echo "$(wc -l <<<"$chosen") workloads, ${#names[@]} allocators, $rounds runs of each in turn${pin:+, pinned}"
for ((round = 1; round <= rounds; round++)); do
    while read -r workload threads program arguments; do
        echo "compare: round $round of $rounds: $workload, $threads threads" >&2
        for name in "${names[@]}"; do
            measure "$name" "$workload" "$threads" $program $arguments </dev/null
        done
    done <<<"$chosen"
    names=("${names[@]:1}" "${names[0]}") # each goes first now and then
done
rm -f "$out"/compare.json "$out"/compare-*
mv "$raw.part" "$raw"

"$build/bin/compare_report" "$raw" --results "$out/compare.jsonl" --plot-data "$out"
write_json "$out/compare.jsonl" "$out/compare.json"
gnuplot -e "data='$out'; output_dir='$out'; machine='${machine//\'/}'" bench/compare.gnuplot ||
    die "gnuplot could not draw $out/compare-*.png and .svg"
echo
charts=$(cd "$out" && echo compare-*.png)
[[ $charts != *\** ]] || charts="none, as they show speed against other allocators"
echo "Figures: $PWD/$out/compare.json   Charts beside it, also as SVG: $charts"
