#!/usr/bin/env bash
# Which pools of MemoryBucket do threads meet at, and from which functions? Records, through the
# library's USDT probes, each transfer with a central free list whose CAS had to be tried again, and
# each wait for a pool's mutex, with the call stack.
#
# Usage: contention.sh [options] [--] PROGRAM [ARGS...]
#        contention.sh [options] -p PID --seconds N
#   --allocator NAME    dropin: preload the drop-in; none: the program is linked to libmemorybucket,
#                       shared or static; or the path of a drop-in. Default: none if the program or
#                       a library it is linked to has the probes, and else dropin
#   -p PID              a program that runs already, on the drop-in or linked to the library
#   --seconds N         how long, with -p; 1 to 86400
#   --library FILE      also use the probes in FILE (for libraries that are opened later)
#   --every N           record each Nth event of a thread only and multiply: for programs that
#                       retry a million times, as each event costs some microseconds and 4 KiB
#   --call-graph HOW    dwarf,BYTES (default dwarf,4096, at most 65528) or fp
#   --top N             callers per pool (default 5)
#   --mount-tracefs     mount /sys/kernel/tracing if it is not (this changes the system)
#
# Needs root, since probes are put into programs by the kernel; they are taken out again at the end,
# on Ctrl-C and on TERM. Ctrl-C stops the program and shows what there is. Exit status: 2 usage,
# 3 this machine or user cannot (the message says what helps), 1 anything else, also when the
# program failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/perf.sh"

allocator= pid= seconds= extra_library= every=1 call_graph=dwarf,4096 top=5 mount_tracefs=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) show_help && exit ;;
    --mount-tracefs)
        mount_tracefs=yes
        shift
        continue
        ;;
    --allocator | -p | --seconds | --library | --every | --call-graph | --top) need_value "$@" ;;&
    --allocator) allocator=$2 ;;
    -p) need_number "$1" "$2" 1 99999999 && pid=$2 ;;
    --seconds) need_number "$1" "$2" 1 86400 && seconds=$2 ;;
    --library) extra_library=$2 ;;
    --every) need_number "$1" "$2" 1 1000000000 && every=$2 ;;
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
[ -z "$extra_library" ] || [ -f "$extra_library" ] || usage_error "--library $extra_library: no such file"
[ "$call_graph" != dwarf ] || call_graph=dwarf,4096
library=
[ -z "$allocator" ] || find_allocator "$allocator"
make_work
check_perf
command -v readelf >/dev/null || cannot "readelf is missing: as root, run 'apt-get install binutils'"

[ "$(id -u)" -eq 0 ] || cannot "the kernel lets only root set probes: run this as root (a program that runs as another user: -p PID)"
tracing=$(awk '$3 == "tracefs" { print $2; exit }' /proc/mounts)
if [ -z "$tracing" ] && [ -n "$mount_tracefs" ]; then
    tracing=/sys/kernel/tracing
    mount -t tracefs nodev $tracing 2>"$work/mount" || cannot "tracefs cannot be mounted: $(cat "$work/mount")"
fi
[ -n "$tracing" ] || cannot "tracefs is not mounted: as root, run 'mount -t tracefs nodev /sys/kernel/tracing', or give --mount-tracefs"
[ -e "$tracing/uprobe_events" ] || cannot "this kernel has no probes for programs (CONFIG_UPROBE_EVENTS)"
if ! { : >>"$tracing/uprobe_events"; } 2>/dev/null; then
    cannot "$tracing/uprobe_events cannot be written: in a container this takes --privileged"
fi
check_measuring

# Where the probes may be. --------------------------------------------------------------------

has_probes() {
    readelf -n -- "$1" >"$work/notes" 2>/dev/null || true
    grep -q 'Provider: memorybucket$' "$work/notes"
}
objects=()
consider() {
    local file seen
    file=$(readlink -f -- "$1") || return 0
    [ -f "$file" ] || return 0
    for seen in "${objects[@]}"; do
        [ "$seen" != "$file" ] || return 0
    done
    if has_probes "$file"; then
        objects+=("$file")
    fi
}
if [ -n "$pid" ]; then
    # Its own view of the files: it may live in a container.
    while IFS= read -r file; do
        file=${file% (deleted)}
        if [ -f "/proc/$pid/root$file" ] && has_probes "/proc/$pid/root$file"; then
            objects+=("/proc/$pid/root$file")
        fi
    done < <(awk '$2 ~ /x/ && /\// { sub(/^[^\/]*/, ""); print }' "/proc/$pid/maps" | sort -u)
else
    if [ -z "$library" ]; then
        executable=$(type -P -- "$1")
        consider "$executable"
        while IFS= read -r file; do
            consider "$file"
        done < <(ldd "$executable" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }')
        if [ ${#objects[@]} -eq 0 ] && [ -z "$allocator" ]; then
            find_allocator dropin
            say "$1 has no probes of its own: it runs on the drop-in, $library"
        fi
    fi
    [ -z "$library" ] || consider "$library"
fi
[ -z "$extra_library" ] || consider "$extra_library"
if [ ${#objects[@]} -eq 0 ]; then
    die "no probes of MemoryBucket in ${library:-${1:-process $pid}}: was it built without sys/sdt.h (Debian: systemtap-sdt-dev), or is it not linked to it? See: readelf -n FILE"
fi

# Set them, under a name of our own; finish_hook takes them out. ------------------------------

group=memorybucket_$$
probes=()
finish_hook() {
    local probe
    for probe in "${probes[@]}"; do
        echo "-:$group/$probe" >>"$tracing/uprobe_events" 2>/dev/null || true
    done
    probes=()
}

# Lines "name address registers..." of the notes of an ELF file; addresses become places in the
# file by its load segments. Registers: the library has all its arguments in some, 8 bytes wide.
probe_places() {
    { readelf -lW -- "$1" && readelf -n -- "$1"; } 2>/dev/null | awk '
        function number(hex,    i, value) {
            sub(/^0x0*/, "", hex)
            for (i = 1; i <= length(hex); i++) value = value * 16 + index("0123456789abcdef", tolower(substr(hex, i, 1))) - 1
            return value + 0
        }
        $1 == "LOAD" { from[++segments] = number($3); offset[segments] = number($2); size[segments] = number($5) }
        /Provider:/ { provider = $2 }
        /Name:/ { name = $2 }
        /Location:/ { sub(/,/, "", $2); address = number($2) }
        /Arguments:/ && provider == "memorybucket" && (name == "cas_retry" || name == "mutex_wait") {
            for (i = 1; i <= segments; i++)
                if (address >= from[i] && address < from[i] + size[i]) break
            if (i > segments) next
            line = name " " address - from[i] + offset[i]
            for (i = 2; i <= NF; i++) {
                if ($i !~ /^-?8@%r[a-z0-9]+$/) next
                sub(/^.*@%/, "", $i)
                if ($i !~ /^r[0-9]/) sub(/^r/, "", $i)
                line = line " " $i
            }
            print line
        }'
}
# What a killed run of this script has left behind. The kernel keeps those that are in use.
while IFS=/ read -r stale probe; do
    [ -d "/proc/${stale#memorybucket_}" ] || echo "-:$stale/$probe" >>"$tracing/uprobe_events" 2>/dev/null || true
done < <(awk '/^p:memorybucket_[0-9]+\// { sub(/^p:/, "", $1); print $1 }' "$tracing/uprobe_events")
for index in "${!objects[@]}"; do
    object=${objects[$index]}
    ln -s -- "$object" "$work/object$index" # the kernel takes no spaces in a path
    while read -r probe place first second third; do
        name=${probe}_$((${#probes[@]} + 1))
        definition="p:$group/$name $work/object$index:$(printf '0x%x' "$place") slot_bytes=%$first:u64"
        [ "$probe" != cas_retry ] || definition+=" direction=%$second:u64 retries=%$third:u64"
        probes+=("$name")
        if ! echo "$definition" 2>"$work/probe-log" >>"$tracing/uprobe_events"; then
            die "the kernel takes no probe in $object: $(cat "$work/probe-log")"
        fi
    done < <(probe_places "$object")
done
[ ${#probes[@]} -gt 0 ] || die "the probes in ${objects[*]} cannot be used: not an x86-64 file?"

events=()
for probe in "${probes[@]}"; do
    events+=(-e "$group:$probe")
done
target=(-p "$pid" -- sleep "$seconds")
if [ -z "$pid" ]; then
    set_preload "$allocator" "$library"
    target=(-- "$@")
fi
data=$work/perf.data
run_child perf record -q "${events[@]}" -c "$every" -m 4M --call-graph "$call_graph" -o "$data" "${target[@]}"
trap 'exit 130' INT
trap 'exit 143' TERM
[ -s "$data" ] || die "perf record left no data (status $child_status)"
finish_hook
if [ -n "$library" ]; then
    need_mapped "$data" "$library" "$1"
fi

echo
echo "Contention in ${pid:+process $pid, $seconds seconds}${1:+$(basename -- "$1")}; probes in ${objects[*]##*/}"
[ "$every" -eq 1 ] || echo "Estimated from each ${every}th event of a thread."
perf script --no-inline --show-lost-events -i "$data" -F comm,event,ip,sym,dso,trace 2>"$work/script-log" |
    awk -v every="$every" -v top="$top" -f "$here/callers.awk" ||
    die "perf script failed: $(tail -n 1 "$work/script-log")"
if [ -n "$interrupted" ]; then
    exit "$interrupted"
fi
if [ "$child_status" -ne 0 ]; then
    die "${1:-perf record} ended with status $child_status: these are the figures of a run that failed"
fi
