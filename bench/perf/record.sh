#!/usr/bin/env bash
# Where does a program spend its time? Samples its call stacks with perf, and draws a flame graph.
#
# Usage: record.sh [options] [--] PROGRAM [ARGS...]
#        record.sh [options] -p PID --seconds N
#   -o FILE.svg | DIR     where to: one picture, or a directory (made if need be) that gets
#                         flame.svg, stacks.folded and perf.data. Default: PROGRAM.flame.svg here
#   -F N                  samples per second of CPU time, 1 to 10000 (default 499)
#   --allocator NAME      run it on that malloc: none (as it is), dropin (MemoryBucket), mimalloc,
#                         jemalloc, tcmalloc, tbbmalloc, or the path of a library
#   --call-graph HOW      dwarf (default): works with all programs that have unwind tables;
#                         fp: less data, but only for programs built with frame pointers
#   -p PID --seconds N    a program that runs already, for so long; 1 to 86400
#   --top N               lines of the table of functions (default 15)
#
# Samples by hardware cycles where the machine counts them and by time elsewhere, and says which.
# Ctrl-C stops the program and draws what there is. Name the program itself and no wrapper such as
# timeout: perf 6.1 mixes up the two's addresses, and stacks break off.
# An ordinary user sees own programs without the kernel's part. Exit status: 2 usage, 3 perf cannot
# measure here (the message says what helps), 1 anything else, also when the program failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/perf.sh"

output= frequency=499 pid= seconds= allocator= call_graph=dwarf top=15
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) show_help && exit ;;
    -o | -F | -p | --seconds | --allocator | --call-graph | --top) need_value "$@" ;;&
    -o) output=$2 ;;
    -F) need_number "$1" "$2" 1 10000 && frequency=$2 ;;
    -p) need_number "$1" "$2" 1 99999999 && pid=$2 ;;
    --seconds) need_number "$1" "$2" 1 86400 && seconds=$2 ;;
    --allocator) allocator=$2 ;;
    --call-graph) need_call_graph "$2" && call_graph=$2 ;;
    --top) need_number "$1" "$2" 1 1000 && top=$2 ;;
    --)
        shift
        break
        ;;
    -*) usage_error "$1: no such option" ;;
    *) break ;;
    esac
    shift 2
done
need_target "$@"
find_allocator "${allocator:-none}"
make_work
check_perf
check_measuring
choose_clock

if [ -n "$pid" ]; then
    name=$(tr -d '/\n' <"/proc/$pid/comm")
    target=(-p "$pid" -- sleep "$seconds")
else
    name=$(basename -- "$1")
    target=(-- "$@")
fi
directory=
if [ -z "$output" ]; then
    output=$name.flame.svg
elif [ -d "$output" ] || [[ $output != *.svg ]]; then
    directory=$output
    mkdir -p -- "$directory" || die "$directory: cannot be made"
    output=$directory/flame.svg
fi
if ! { : >>"$output"; } 2>/dev/null; then
    die "$output: cannot be written"
fi
[ -s "$output" ] || rm -f -- "$output"

[ "$call_graph" != dwarf ] || call_graph=dwarf,8192
set_preload "$allocator" "$library"
data=$work/perf.data
run_child perf record -q -e "$event" -F "$frequency" --call-graph "$call_graph" -o "$data" \
    "${target[@]}"
trap 'exit 130' INT
trap 'exit 143' TERM
[ -s "$data" ] || die "perf record left no data (status $child_status)"
if [ -n "$library" ]; then
    need_mapped "$data" "$library" "$1"
fi

perf script --no-inline -i "$data" -F comm,period,ip,sym,dso 2>"$work/script-log" |
    awk -v self="$work/self" -f "$here/fold.awk" >"$work/folded" ||
    die "perf script failed: $(tail -n 1 "$work/script-log")"
samples=$(cat "$work/self.samples")
[ "$samples" -gt 0 ] || die "no samples: $name took too little CPU time; -F 10000 takes more of them"
sort "$work/folded" >"$work/sorted"
used=$(perf evlist -i "$data" 2>/dev/null | awk 'NR == 1')
[[ $used == cycles* ]] && unit=cycles || unit=ns
title="$name${library:+ on ${library##*/}}, by $used"
# awk would take a backslash in -v text for an escape.
awk -v title="${title//\\/\\\\}" -v unit="$unit" -v samples="$samples" -f "$here/flamegraph.awk" \
    "$work/sorted" "$work/sorted" >"$work/flame.svg" || die "the flame graph could not be drawn"
cp -- "$work/flame.svg" "$output" || die "$output: cannot be written"
if [ -n "$directory" ]; then
    cp -- "$work/sorted" "$directory/stacks.folded" || die "$directory: cannot be written"
    cp -- "$data" "$directory/perf.data" || die "$directory: cannot be written"
fi

echo
echo "$name${library:+ on ${library##*/}}: $samples samples by $used; the time spent in each function itself"
sort -t "$(printf '\t')" -k 1,1nr -k 2 "$work/self" | awk -F '\t' -v top="$top" '
    { total += $1; value[NR] = $1; name[NR] = $2; object[NR] = $3 }
    END {
        printf "%8s  %-42s %s\n", "self", "function", "in"
        for (i = 1; i <= NR && i <= top; i++) printf "%6.2f %%  %-42s %s\n", 100 * value[i] / total, name[i], object[i]
    }'
echo
echo "Flame graph: $output"
if [ -n "$interrupted" ]; then
    exit "$interrupted"
fi
if [ "$child_status" -ne 0 ]; then
    die "${1:-perf record} ended with status $child_status: this is the profile of a run that failed"
fi
