#!/usr/bin/env bash
# Every program of bench/memory.sh, small, on the C library and on the drop-in: all rows are there and
# plausible, the series are written, and wrong arguments are refused; memory.sh says no early.
# Usage: memory_programs.sh BIN_DIR DROPIN_LIBRARY
set -euo pipefail
. "$(dirname "$0")/expect.sh"
bin=$1 dropin=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "memory_programs: $*" >&2
    exit 1
}

# between METRIC LOW HIGH: of the last rows; all are compared by one awk at the end, as a process for each takes longer
# than the programs.
between() {
    local said=${rows//$'\n'/; }
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "${found[$1]-}" "$2" "$3" "${said//$'\t'/ }" >>"$work/limits"
}

# What is resident at a moment, in three rows.
declare -A resident=() found=()
for moment in start peak freed purged after_phase after_exit; do
    resident[$moment]="${moment}_bytes ${moment}_anonymous_bytes ${moment}_lazyfree_bytes"
done
mib=$((1 << 20))
for allocator in glibc dropin; do
    case $allocator in
    glibc) preload='' expected=libc.so.6 ;;
    dropin) preload=$dropin expected=$dropin ;;
    esac
    # rows METRICS THREADS PROGRAM ARGUMENTS...: runs it, and checks the form of each line
    rows() {
        local metrics=$1 threads=$2 program=$3
        shift 3
        rows=$(LD_PRELOAD=$preload "$bin/$program" --name smoke --threads "$threads" --expect "$expected" "$@") ||
            fail "$program $*, $allocator: failed"
        found=()
        while IFS=$'\t' read -r name count metric unit value extra; do
            [[ $name == smoke && $count == "$threads" && -n $unit && -z $extra &&
                $value =~ ^-?[0-9.]+(e[+-][0-9]+)?$ ]] ||
                fail "$program $*, $allocator: '$name $count $metric $unit $value $extra' is no row"
            found[$metric]=$value
        done <<<"$rows"
        for metric in $metrics; do
            [ -n "${found[$metric]-}" ] || fail "$program $*, $allocator: no $metric in: $rows"
        done
    }

    for size in 8 200 mixed 4096 mixed-32k; do
        for order in fifo random ninety; do
            rows "objects asked_bytes record_bytes ${resident[start]} ${resident[peak]} ${resident[freed]} \
                ${resident[purged]} beyond_start_bytes purge_ns" 1 memory_peak $size $order 8
            between peak_bytes $((8 * mib)) $((64 * mib))
            tenths=$([ $size = mixed-32k ] && echo 2 || echo 1) # 2,048 objects have no more exact mean
            between asked_bytes $(((80 - tenths) * mib / 10)) $(((80 + tenths) * mib / 10))
            [ $order = ninety ] || between beyond_start_bytes -$mib $((4 * mib))
        done
    done
    for traffic in pairs bursts; do
        rm -f "$work/series"
        rows "${resident[start]} ${resident[peak]} freed_bytes watched_s below_tenth_s end_bytes" \
            1 memory_decay $traffic 8 200 "$work/series"
        between below_tenth_s 0 0.2
        [ "$(wc -l <"$work/series")" -eq 5 ] || fail "memory_decay: $(cat "$work/series")"
    done
    for order in fifo random; do
        for threads in 1 4; do
            rows "objects kept_bytes ${resident[start]} ${resident[after_phase]} end_bytes objects_per_s" \
                $threads memory_burst $order 3 20000
            between objects 60000 60000
            between kept_bytes 4000 6000
            between after_phase_bytes "${found[kept_bytes]-}" $((32 * mib))
        done
    done
    for producers in 1 2; do
        rm -f "$work/series"
        rows "${resident[start]} end_bytes objects_per_s" 4 memory_transfer $producers 300 "$work/series"
        between objects_per_s 1000 1e12
        grep -qE '^[0-9]+\.[0-9]+ [0-9.]+$' "$work/series" || fail "memory_transfer: no series"
    done
    rows "slope_kib_per_s slope_error_kib_per_s after_1s_bytes" 2 memory_transfer 1 2100 -
    rows "asleep_bytes_per_thread" 20 memory_sleepers none
    between asleep_bytes_per_thread 0 $mib
    asleep=$([ $allocator = glibc ] || echo asleep_bytes_per_thread) # glibc has no idle call
    rows "${resident[start]} $asleep" 20 memory_sleepers idle
    rm -f "$work/series"
    rows "exit_cpu_ns exit_all_ns ${resident[after_exit]}" 20 memory_exit 16 "$work/series"
    if [ -n "${found[exit_p50_ns]-}" ]; then # the kernel lets us look
        between exit_p50_ns 1 1e10
        between exit_p99_ns "${found[exit_p50_ns]-}" 1e10
        between exit_max_ns "${found[exit_p99_ns]-}" 1e10
        [ "$(wc -l <"$work/series")" -eq 20 ] || fail "memory_exit: $(cat "$work/series")"
    fi
done

awk -F '\t' '$2 == "" || $2 + 0 < $3 + 0 || $2 + 0 > $4 + 0 {
    print $1 " is \047" $2 "\047, not " $3 " to " $4 ", in: " $5; bad = 1
} END { exit bad }' "$work/limits" >&2 || fail "not plausible"

on_libc="--name x --expect libc.so.6"
refuses 2 'bench/memory.sh runs this' "$bin/memory_peak" $on_libc 8 fifo
refuses 1 'and not libjemalloc' "$bin/memory_peak" --name x --expect libjemalloc 8 fifo 1
refuses 2 'accepted is a number from 8 to 32768' "$bin/memory_peak" $on_libc 7 fifo 1
refuses 2 'accepted are fifo, random and ninety' "$bin/memory_peak" $on_libc 8 lifo 1
refuses 2 'accepted are pairs and bursts' "$bin/memory_decay" $on_libc once 1 50 -
refuses 2 'accepted are fifo and random' "$bin/memory_burst" $on_libc ninety 1 100
refuses 2 'accepted is a number from 1 to 24' "$bin/memory_burst" $on_libc fifo 25 100
refuses 1 'No such file' "$bin/memory_decay" $on_libc pairs 1 50 "$work/none/series"
refuses 1 'accepted is a multiple of PRODUCERS' "$bin/memory_transfer" $on_libc --threads 3 2 100 -
refuses 2 'accepted are none and idle' "$bin/memory_sleepers" $on_libc twice
refuses 2 'accepted is a number from 0 to 64' "$bin/memory_exit" $on_libc 65 -

# memory.sh says no before it installs, builds or measures anything.
memory=$(dirname "$0")/../../../bench/memory.sh
refuses 2 '--frobnicate: no such option' "$memory" --frobnicate
refuses 2 'no value for it' "$memory" --allocators
refuses 2 'there are: peak-8@1' "$memory" --only nothing
refuses 2 'names none' "$memory" --only ''
refuses 2 'there are glibc' "$memory" --allocators called
refuses 2 'asked for twice' "$memory" --allocators glibc,glibc
listed=$("$memory" --list)
for row in peak-{8,700,4096,20480,mixed-32k}{,-random,-ninety}@1 exit@1000; do
    [[ $'\n'$listed == *$'\n'$row$'\n'* ]] || fail "--list lacks $row"
done
"$memory" --help | grep -q '^Usage: bench/memory.sh' || fail "--help"
echo "all programs: ok"
