#!/usr/bin/env bash
# Real programs on the drop-in beside the other allocators: wall time, CPU time and peak memory of a fixed
# amount of work, each program on each allocator in turn.
# Installs what is missing, builds the release, measures, and leaves everything in build/bench/. Programs
# that cannot be installed are left out, and named. Ends with status 1 when nothing could be measured, or
# when the drop-in cannot run what others do.
# Usage: bench/programs.sh [OPTION...]
#   --quick             a quarter of the work
#   --only P,...        only programs whose names begin so, or NAME@THREADS; --list names them
#   --allocators A,...  only these of glibc, mimalloc, jemalloc, tcmalloc (peers), dropin (MemoryBucket)
#   --extra NAME=PATH   one peer more: a shared library to preload; may be repeated
#   --rounds N          runs of each, in turn: 5 unless told, and at least 5
#   --list              names the programs, each with its number of threads or clients, and ends
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "$0")/.."
. bench/lib/bench.sh

# name, threads or clients that it serves, commands that it takes
programs='
nginx     16 nginx ab
mariadb   4  mariadbd mariadb-install-db mariadb mariadb-admin mariadb-slap sysbench
memcached 16 memcached memcslap
node      1  node
ruby      4  ruby
python3   1  python3
g++       1  g++
sqlite3   1  sqlite3
perl      1  perl
'
usage='--quick, --only, --allocators, --extra, --rounds and --list'
known=glibc,mimalloc,jemalloc,tcmalloc,dropin allocators=$known rounds=5
while [ $# -gt 0 ]; do
    take_peers_option "$@"
    shift $taken
done
check_rounds "$rounds"
choose_workloads "$programs"
check_allocators "$allocators" "$known" "$(IFS=, && echo "${extra_names[*]}")"
scale=$([ -n "$quick" ] && echo 1 || echo 4)

# leave_out PROGRAM[@ALLOCATOR] WORDS...: and why
declare -A left_out=()
leave_out() {
    left_out[$1]=${*:2}
    echo "programs: ${1/@/ on } is left out: ${*:2}" >&2
}

# Where not all can be installed, each is tried alone.
install_programs() {
    local program threads commands command packages one
    packages=$(awk '{ print "program-" $1 }' <<<"$chosen")
    tests/packages.sh $packages || for one in $packages; do
        tests/packages.sh "$one" >/dev/null 2>&1 || true
    done
    while read -r program threads commands; do
        for command in $commands; do
            PATH=/usr/sbin:/usr/bin:/sbin:/bin type -P "$command" >/dev/null ||
                leave_out "$program" "$command is not installed, and tests/packages.sh program-$program does not do it"
        done
    done <<<"$chosen"
}

# try PROGRAM ALLOCATOR [EXPECTED]: runs it once, with its figures in $top/run/figures; else fails, and says
# why in $top/error
try() {
    local program=$1 allocator=$2 right=$top/$1.right
    rm -rf "$top/run"
    mkdir "$top/run"
    if ! run_group bench/programs/measure.sh "$program" "${preload[$allocator]}" "$scale" "$top/run" \
        "$build/bin/programs_usage" "${@:3}" >"$top/output" 2>"$top/error"; then
        [ -s "$top/error" ] || echo "it failed, and says nothing" >"$top/error"
        return 1
    fi
    [ -s "$right" ] || cp "$top/output" "$right"
    cmp -s "$right" "$top/output" && [ -s "$right" ] ||
        { echo "it does not do the same work: $(diff "$right" "$top/output")" >"$top/error" && return 1; }
}

# record PROGRAM ALLOCATOR THREADS: the figures of a run
record() {
    local wall cpu kib
    read -r wall cpu kib <"$top/run/figures"
    awk -v head="$2\t$1\t$3" -v wall="$wall" -v cpu="$cpu" -v kib="$kib" 'BEGIN {
        printf "%s\twall_s\ts\t%.6f\n", head, wall / 1e6
        printf "%s\tcpu_s\ts\t%.6f\n", head, cpu / 1e6
        printf "%s\tpeak_bytes\tbytes\t%d\n", head, kib * 1024
    }' >>"$raw.part" || die "$raw cannot be written"
}

# measure_round ROUND: 0 looks at who serves, and measures nothing
measure_round() {
    local program threads commands name expected
    while read -r program threads commands; do
        [ -z "${left_out[$program]-}" ] || continue
        echo "programs: $([ "$1" -eq 0 ] && echo "which malloc serves" || echo "round $1 of $rounds"): $program" >&2
        for name in "${names[@]}"; do
            [ -z "${left_out[$program@$name]-}" ] || continue
            expected=()
            [ "$1" -gt 0 ] || expected=("${expect[$name]}")
            if ! try "$program" "$name" "${expected[@]}"; then
                leave_out "$program@$name" "$(head -n 5 "$top/error" | tr '\n' ' ')"
            elif [ "$1" -gt 0 ]; then
                record "$program" "$name" "$threads"
            fi
        done
    done <<<"$chosen"
}

tests/packages.sh build bench
prepare_output
raw=$out/programs.tsv
: >"$raw.part"
top=$(mktemp -d)
clean_up_at_exit "$raw.part" "$raw.part.kept" "$out/programs.json.new" "$top"
install_programs
build_release

add_known_allocators "$allocators"
add_extra_allocators
unset_allocator_settings
unset LD_PRELOAD

show_machine
echo "$(wc -l <<<"$chosen") programs, ${#names[@]} allocators, $rounds runs of each in turn"
for ((round = 0; round <= rounds; round++)); do
    measure_round "$round"
    [ "$round" -eq 0 ] || names=("${names[@]:1}" "${names[0]}") # each goes first now and then
done
# What failed in a later round has no figures at all.
for one in "${!left_out[@]}"; do
    awk -F '\t' -v program="${one%@*}" -v allocator="${one##*@}" '$2 != program || $1 != allocator' \
        "$raw.part" >"$raw.part.kept"
    mv "$raw.part.kept" "$raw.part"
done
[ -s "$raw.part" ] || die "no program could be measured"
rm -f "$out"/programs.json "$out"/programs-*
mv "$raw.part" "$raw"

bench/report/programs_report.py "$raw" --results "$out/programs.json" --charts "$out"
failed=
for one in "${!left_out[@]}"; do
    echo "Left out: ${one/@/ on }: ${left_out[$one]}"
    [[ $one != *@dropin ]] || failed+=$(awk -F '\t' -v program="${one%@*}" '$2 == program { print " " $2; exit }' "$raw")
done
show_results programs none
[ -z "$failed" ] || die "the drop-in does not run what others run:$failed"
