#!/usr/bin/env bash
# Runs real programs on the C library's malloc and on the drop-in, in turn; compares what they print and
# write; and tells what they use: CPU time, page faults and resident memory beside the C library's.
#
# Usage: tests/dropin/programs/run.sh [OPTION...]
#   --only P,...         only these; --list names them
#   --rounds N           times each, 1 to 99; medians are told [3]
#   --peers              also mimalloc, jemalloc and tcmalloc of Debian, preloaded
#   --preload NAME=FILE  also this one; may be given several times
#   --build DIR          where the drop-in and the tools lie [build/release]
#   --check              one round, of some programs a smaller one, and the pools must have served; 77 where a program
#                        is not installed, or does not run on the C library
#   --list               names the programs and ends
#
# A program is a function NAME_ in one of the files beside this one. It works in the folder $work, runs what is
# measured by `measured` or `serve`, and prints what must be the same on every malloc.
set -euo pipefail
source=$(cd "$(dirname "$0")/../../.." && pwd)
here=$source/tests/dropin/programs
. "$here/languages.sh"
. "$here/tools.sh"
. "$here/servers.sh"
. "$here/desktop.sh"
programs=$(sed -n 's/^\([a-z0-9]*\)_() {$/\1/p' "$here"/{languages,tools,servers,desktop}.sh)

bad() {
    echo "run.sh: $*" >&2
    exit 2
}

only= rounds=3 check= build=$source/build/release
allocators=(glibc dropin)
declare -A preload=([glibc]= [dropin]=)

add_peer() { # add_peer NAME FILE
    [ -f "$2" ] || bad "$1: ${2:-its library} is not there"
    allocators+=("$1")
    preload[$1]=$(realpath "$2")
}

while [ $# -gt 0 ]; do
    case $1 in
    --list)
        echo "$programs"
        exit 0
        ;;
    --check) check=1 rounds=1 ;;
    --peers)
        for peer in mimalloc:libmimalloc.so.2 jemalloc:libjemalloc.so.2 tcmalloc:libtcmalloc_minimal.so.4; do
            add_peer "${peer%%:*}" "$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p | awk -v name="${peer##*:}" '$1 == name { print $NF; exit }')"
        done
        ;;
    --only | --rounds | --preload | --build)
        [ $# -ge 2 ] || bad "$1: needs a value"
        case $1 in
        --only) only=${2//,/ } ;;
        --rounds) rounds=$2 ;;
        --preload) add_peer "${2%%=*}" "${2#*=}" ;;
        --build) build=$(realpath "$2") ;;
        esac
        shift
        ;;
    -h | --help)
        sed -n '2,17s/^# \?//p' "$0"
        exit 0
        ;;
    *) bad "$1: no such option; there are --only, --rounds, --peers, --preload, --build, --check and --list" ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]?$ ]] || bad "--rounds: $rounds is no number from 1 to 99"
for program in ${only:-$programs}; do
    grep -qx "$program" <<<"$programs" || bad "--only: there is no $program; --list shows what there is"
done
preload[dropin]=$build/lib/libmemorybucket-malloc.so
usage=$build/bin/programs_usage
[ -f "${preload[dropin]}" ] && [ -x "$usage" ] || bad "$build: no drop-in or no programs_usage there; build the preset first"

top=$(mktemp -d)
chmod 755 "$top" # PostgreSQL's user works below
finish() {
    local job
    for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done
    wait
    rm -rf "$top"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export LC_ALL=C.UTF-8 TZ=UTC HOME=$top PATH=/usr/sbin:/usr/bin:/sbin:/bin # the packages' programs

needs() { # needs COMMAND...: what is not installed is left out
    local command
    for command in "$@"; do
        if ! command -v "$command" >/dev/null; then
            echo "$command is not installed" >&2
            exit 77
        fi
    done
}

# of_all ALL SOME: how much of it a program does: SOME with --check
of_all() {
    if [ -n "$check" ]; then echo "$2"; else echo "$1"; fi
}

# measured COMMAND...: on the allocator under test
measured() {
    "$usage" "$work/usage" "${preload[$allocator]}" "$@"
}

free_port() {
    local port
    for port in $(shuf -i 20000-29999 -n 50); do
        if ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "no free port from 20000 to 29999" >&2
    return 1
}

# serve PORT|SOCKET COMMAND...: a server on the allocator under test; returns when it listens
server=
serve() {
    local place=$1 tries
    shift
    # Not by measured: a function in the background is a shell of its own, which would get the signals.
    "$usage" "$work/usage" "${preload[$allocator]}" "$@" >>"$work/log" 2>&1 &
    server=$!
    for tries in $(seq 3000); do
        if [[ $place == /* ]] && [ -S "$place" ]; then return; fi
        if [[ $place != /* ]] && (: <>"/dev/tcp/127.0.0.1/$place") 2>/dev/null; then return; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$work/log" >&2
    echo "$1 does not listen" >&2
    return 1
}

end_server() {
    wait "$server" || echo "the server ended with status $?" >&2
    server=
}

stop_server() { # stop_server SIGNAL
    kill "-$1" "$server"
    end_server
}

# load_http URL REQUESTS [ARGS...]
load_http() {
    local url=$1 requests=$2
    shift 2
    ab -q -s 300 -n "$requests" -c 8 "$@" "$url" | grep -E '^(Complete requests|Failed requests|Document Length)'
}

# try PROGRAM ALLOCATOR ROUND: leaves output, errors and usage in a folder of its own, and its exit status in
# $tried. Never in a condition, where bash would ignore errors inside.
try() {
    allocator=$2
    work=$top/$1-$2-$3
    mkdir "$work"
    result=$top/results/$1-$2-$3
    mkdir -p "$result"
    local status
    set +e # not "( ... ) || ...": that would ignore errors inside
    (
        set -e
        trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null' EXIT
        [ -z "$check" ] || export MB_STATS="$result/stats.%p"
        "$1_"
    ) >"$result/output" 2>"$result/errors" </dev/null
    status=$?
    set -e
    cp "$work/usage" "$result/usage" 2>/dev/null || : >"$result/usage"
    rm -rf "$work"
    tried=$status
}

# figures FILE: CPU seconds, page faults and MiB of one run
figures() {
    awk '{ cpu += $1; faults += $2; if ($3 > kib) kib = $3 } END { print cpu / 1e6, faults + 0, kib / 1024 }' "$1"
}

median() { # of column $1 of the lines on stdin
    awk -v column="$1" '{ print $column }' | sort -g | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'
}

served() { # served PROGRAM: the pools had at least so many slots in all its processes
    [ "$(cat "$top/results/$1-dropin-1"/stats.* 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { slots += $2 } END { print slots + 0 }')" -gt 100 ]
}

declare -A failed=() broken=()
fail() { # fail PROGRAM ALLOCATOR WORDS...; where another allocator fails, only its figures are left out
    if [ "$2" = glibc ] || [ "$2" = dropin ]; then
        failed[$1]=1
    else
        broken[$1-$2]=1
    fi
    echo "$1: $2: ${*:3}" >&2
}

# figures_of PROGRAM ALLOCATOR: their medians, or dashes
figures_of() {
    local round
    if [ -n "${broken[$1-$2]-}" ]; then
        echo '- - -'
        return
    fi
    for round in $(seq "$rounds"); do figures "$top/results/$1-$2-$round/usage"; done >"$top/rows"
    echo "$(median 1 <"$top/rows") $(median 2 <"$top/rows") $(median 3 <"$top/rows")"
}

ratio='function ratio(value, base) { return value == "-" ? "-" : sprintf("%.2f", value / base) }
'
# A program that the C library cannot run here is left out; what it prints there is what is right.
for program in ${only:-$programs}; do
    for round in $(seq "$rounds"); do
        for name in "${allocators[@]}"; do
            result=$top/results/$program-$name-$round right=$top/results/$program-glibc-1
            [ -z "${failed[$program]-}${broken[$program-$name]-}" ] || continue
            try "$program" "$name" "$round"
            if [ "$tried" -eq 77 ]; then
                echo "$program: $(cat "$result/errors"); tests/packages.sh programs installs it" >&2
                [ -z "$check" ] || exit 77
                continue 3
            elif [ "$tried" -ne 0 ] && [ "$name" = glibc ] && [ -n "$check" ]; then
                echo "$program: does not run here, on the C library: $(tail -n 3 "$result/errors")" >&2
                exit 77
            elif [ "$tried" -ne 0 ]; then
                fail "$program" "$name" "fails: $(tail -n 3 "$result/errors")"
            elif ! cmp -s "$right/output" "$result/output"; then
                fail "$program" "$name" "prints something else: $(diff "$right/output" "$result/output" | head -n 5)"
            fi
        done
    done
    [ -z "${failed[$program]-}" ] || continue
    if [ -n "$check" ]; then
        served "$program" || fail "$program" dropin "the pools did not serve it"
        continue
    fi
    line=
    for name in "${allocators[@]}"; do
        line+=" $(figures_of "$program" "$name")"
    done
    echo "$program$line" >>"$top/table"
    awk "$ratio"'{ printf "%-12s %6.2f s CPU", $1, $2
        for (i = 5; i <= NF; i += 3) printf "   CPU %s faults %s memory %s", ratio($i, $2), ratio($(i + 1), $3), ratio($(i + 2), $4)
        print "" }' <<<"$program$line"
done

if [ -z "$check" ] && [ -s "$top/table" ]; then
    echo
    echo "| program | CPU s | faults | MiB |$(printf ' %s CPU | faults | memory |' "${allocators[@]:1}")"
    echo "| --- | --- | --- | --- |$(for name in "${allocators[@]:1}"; do printf ' --- | --- | --- |'; done)"
    awk "$ratio"'{ printf "| %s | %.2f | %d | %.0f |", $1, $2, $3, $4
        for (i = 5; i <= NF; i += 3) printf " %s | %s | %s |", ratio($i, $2), ratio($(i + 1), $3), ratio($(i + 2), $4)
        print "" }' "$top/table"
fi
if [ ${#failed[@]} -gt 0 ]; then
    echo "Failed: ${!failed[*]}" >&2
    exit 1
fi
