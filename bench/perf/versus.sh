#!/usr/bin/env bash
# Which of two allocators serves a program better? Runs it on both in turn, and sets them side by side.
#
# Usage: versus.sh --a NAME --b NAME [options] [--] PROGRAM [ARGS...]
#   --a, --b NAME       glibc, dropin (MemoryBucket), mimalloc, jemalloc, tcmalloc, tbbmalloc, the
#                       path of a library, or own: whatever the program brings itself
#   --runs N            runs of each, interleaved, 1 to 1000 (default 5)
#   --operations N      the divisor. Without it the program's own line "operations<TAB>N" on its
#                       standard output is used, and without that line whole runs are compared
#
# The libraries come in through LD_PRELOAD. Each is first seen mapped, in a run that is not counted.
# Shown are medians (smallest-largest) and b's median divided by a's: below 1, b needs less.
# The program's output is not shown. Exit status: 2 usage, 3 perf cannot measure here or an
# allocator is not installed (the message says what helps), 1 anything else, also when the program
# failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/perf.sh"

operations= runs=5 a= b=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) show_help && exit ;;
    --operations | --runs | --a | --b) need_value "$@" ;;&
    --operations) need_number "$1" "$2" 1 999999999999999 && operations=$2 ;;
    --runs) need_number "$1" "$2" 1 1000 && runs=$2 ;;
    --a) a=$2 ;;
    --b) b=$2 ;;
    --)
        shift
        break
        ;;
    -*) usage_error "$1: no such option" ;;
    *) break ;;
    esac
    shift 2
done
[ -n "$a" ] && [ -n "$b" ] || usage_error "two allocators are needed: --a NAME --b NAME; there are $allocator_names"
need_program "$@"
make_work
find_allocator "$a" && library_a=$library
find_allocator "$b" && library_b=$library
check_perf
check_measuring
choose_counters
say "$counters_note"

known='/lib(mimalloc|jemalloc|tcmalloc|tbbmalloc|memorybucket-malloc)[^/]*[.]so'
for side in a b; do
    name=${!side} library=library_$side
    say "$side: $name${!library:+ = ${!library}}"
    set_preload "$name" "${!library}"
    check_mapped "${!library}" "$@"
    if [ "$name" = glibc ]; then
        brought=$(perf script -i "$work/mapped.data" --show-mmap-events -F comm,ip 2>/dev/null |
            awk -v known="$known" '/PERF_RECORD_MMAP/ && match($0, known) { brought = $NF } END { print brought }')
        [ -z "$brought" ] ||
            die "$1 brings an allocator of its own, $brought: call that side 'own', or take another program"
    fi
done

order=(a b)
for run in $(seq "$runs"); do
    for side in "${order[@]}"; do
        library=library_$side
        set_preload "${!side}" "${!library}" 2>/dev/null
        run_counted "$work/stat" "$work/operations" "$@" >"$work/output" 2>&1
        [ -z "$interrupted" ] || exit "$interrupted"
        if [ "$child_status" != 0 ]; then
            tail -n 5 "$work/output" >&2
            die "$1 ended with status $child_status on ${!side}"
        fi
        divisor=$(operations_of "$work/operations")
        awk -F ';' -v side="$side" -v divisor="${divisor:-0}" "$read_counters"'
            {
                event = read_counter()
                if (event != "")
                    printf "%s;%s;%.9f;%d\n", side, label(event), value[event] / (divisor ? divisor : 1), (divisor > 0)
            }' "$work/stat" >>"$work/values"
    done
    say "run $run of $runs of each"
    order=("${order[1]}" "${order[0]}") # each goes first as often
done

name_a=$(basename -- "$a") name_b=$(basename -- "$b")
echo
echo "$(basename -- "$1"): median (smallest-largest) of $runs runs of each, in turn"
sort -t ';' -k 1,2 -k 3,3n "$work/values" | awk -F ';' -v a="$name_a" -v b="$name_b" -v counters="$counters" "$read_counters"'
    { n = ++runs[$1, $2]; v[$1, $2, n] = $3; divided += $4; lines++ }
    function median(side, name,    n) {
        n = runs[side, name]
        return (v[side, name, int((n + 1) / 2)] + v[side, name, int(n / 2) + 1]) / 2
    }
    function number(x) { return sprintf(x == 0 ? "%.0f" : x < 0.01 ? "%.6f" : x < 1e5 ? "%.3f" : "%.0f", x) }
    function cell(side, name,    n) {
        n = runs[side, name]
        return number(median(side, name)) " (" number(v[side, name, 1]) "-" number(v[side, name, n]) ")"
    }
    END {
        if (lines == 0 || divided != 0 && divided != lines) exit 1
        printf "%-24s %-36s %-36s %s\n", divided ? "per operation" : "whole runs", "a: " a, "b: " b, "b / a"
        count = split(counters, events, ",")
        for (i = 1; i <= count; i++) {
            name = label(events[i])
            if (!(("a", name) in runs) || !(("b", name) in runs)) continue
            printf "%-24s %-36s %-36s ", name, cell("a", name), cell("b", name)
            if (median("a", name) > 0) printf "%.2f\n", median("b", name) / median("a", name)
            else print "-"
        }
    }' || die "the runs do not agree on whether they print their operations"
