#!/usr/bin/env bash
# What does one operation of a program cost? Counts with perf stat, and divides.
#
# Usage: stat.sh [options] [--] PROGRAM [ARGS...]
#   --operations N      the divisor. Without it the program's own line "operations<TAB>N" on its
#                       standard output is used, and without that line only totals are shown
#   --allocator NAME    run it on that malloc: none (as it is), dropin (MemoryBucket), mimalloc,
#                       jemalloc, tcmalloc, tbbmalloc, or the path of a library
#
# Cycles, instructions, cache and TLB misses where the machine counts them; always CPU time, elapsed
# time, page faults and, for users that may see them, context switches. It says which it has. All is of the
# whole process, so its start is in it. The program's own output comes first, the table after it.
# Exit status: 2 usage, 3 perf cannot measure here (the message says what helps), 1 anything else,
# also when the program failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/perf.sh"

operations= allocator=none
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) show_help && exit ;;
    --operations | --allocator) need_value "$@" ;;&
    --operations) need_number "$1" "$2" 1 999999999999999 && operations=$2 ;;
    --allocator) allocator=$2 ;;
    --)
        shift
        break
        ;;
    -*) usage_error "$1: no such option" ;;
    *) break ;;
    esac
    shift 2
done
need_program "$@"
find_allocator "$allocator"
make_work
check_perf
check_measuring
choose_counters
say "$counters_note"

set_preload "$allocator" "$library"
if [ -n "$library" ]; then
    check_mapped "$library" "$@"
fi
run_counted "$work/stat" "$work/operations" "$@"
[ -z "$interrupted" ] || exit "$interrupted"
[ -s "$work/stat" ] || die "perf stat left no figures (status $child_status)"

divisor=$(operations_of "$work/operations")
echo
if [ -n "$divisor" ]; then
    echo "$(basename -- "$1")${library:+ on ${library##*/}}: $divisor operations"
else
    echo "$(basename -- "$1")${library:+ on ${library##*/}}: totals only"
    say "no number of operations: give --operations N, or let the program print \"operations<TAB>N\""
fi
awk -F ';' -v divisor="${divisor:-0}" "$read_counters"'
    {
        event = read_counter()
        if (event == "") next
        if (!header++) printf "%-24s %20s%s\n", "", "total", divisor ? sprintf(" %16s", "per operation") : ""
        printf "%-24s %20.0f", label(event), value[event]
        if (divisor) printf " %16.*f", value[event] / divisor < 0.01 ? 6 : 3, value[event] / divisor
        if (share[event] < 99.5) printf "   (estimated: counted %.0f %% of the time)", share[event]
        printf "\n"
    }
    END { if (!header) exit 1 }' "$work/stat" || die "perf stat counted nothing"
if [ "$child_status" != 0 ]; then
    die "$1 ended with status $child_status: these are the figures of a run that failed"
fi
