# Sourced by run.sh, compare.sh and memory.sh, which run in the project's folder: where results go,
# the build, the machine, the frame of the JSON files; and for the last two which workloads and
# allocators were asked for, and how one of them is run on the other.
build=build/bench-release out=build/bench

die() {
    echo "$0: $*" >&2
    exit 1
}

bad_option() { # bad_option OPTION ACCEPTED
    echo "$0: $1: no such option, or no value for it; there are $2" >&2
    exit 2
}

bad_value() {
    echo "$0: $*" >&2
    exit 2
}

# What will be written shall have room, and no other run shall write it: better to say so now than
# after minutes of measuring.
prepare_output() {
    mkdir -p "$out" || die "$PWD/$out cannot be made"
    if ! { head -c 1000000 /dev/zero >"$out/.room"; } 2>/dev/null || ! : >>"$out/.lock"; then
        rm -f "$out/.room"
        die "$PWD/$out cannot be written by $(id -un), or has less than 1 MB left"
    fi
    rm -f "$out/.room"
    exec 9>"$out/.lock"
    flock -n 9 || die "another run writes to $PWD/$out: wait for it"
}

build_release() {
    echo "Building the release (log: $PWD/$out/build.log)"
    if ! { run cmake --preset release -B "$build" -DMEMORYBUCKET_TESTS=OFF && run cmake --build "$build"; } >"$out/build.log" 2>&1; then
        tail -n 30 "$out/build.log"
        die "the build failed; all of it is in $PWD/$out/build.log"
    fi
}

# A run that is cut short leaves no half results (the files named), and nothing running.
clean_up_at_exit() {
    half_results=("$@")
    trap 'rm -rf "${half_results[@]}"; [ -z "$(jobs -p)" ] || { kill $(jobs -p) 2>/dev/null && wait; } || true' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# In the background and waited for, so that a signal to the script alone is acted upon at once.
run() {
    "$@" 9>&- &
    wait $!
}

cpu=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
machine="${cpu:-$(uname -m)}, $(nproc) cores, Linux $(uname -r)"

json_string() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }

# write_json ROWS FILE: the rows, one JSON object a line, with the machine before them
write_json() {
    {
        printf '{"machine": {"cpu": %s, "cores": %s, "memory_bytes": %s, "kernel": %s, "system": %s, "compiler": %s, "date": %s},\n' \
            "$(json_string "$cpu")" "$(nproc)" "$(awk '/^MemTotal/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)" \
            "$(json_string "$(uname -r)")" "$(json_string "$(. /etc/os-release && echo "$PRETTY_NAME")")" \
            "$(json_string "$(gcc --version | head -n 1)")" "$(json_string "$(date -u +%Y-%m-%dT%H:%M:%SZ)")"
        printf '"results": [\n'
        sed '$!s/$/,/' "$1"
        printf ']}\n'
    } >"$2.new" || die "$2 cannot be written"
    mv "$2.new" "$2"
}

# Workloads are lines of a table, each "NAME THREADS ...".
workload_names() { awk 'NF { print $1 "@" $2 }' <<<"$1"; }

# choose_workloads TABLE ONLY: the lines whose names begin so, or NAME@THREADS; no ONLY: all
choose_workloads() {
    local chosen
    chosen=$(awk -v only="$2" '
        BEGIN { n = split(only, wanted, ",") }
        NF {
            take = only == ""
            for (i = 1; i <= n; i++) if (wanted[i] != "" && (index($1, wanted[i]) == 1 || $1 "@" $2 == wanted[i])) { take = 1; used[i] = 1 }
            if (take) print
        }
        END { for (i = 1; i <= n; i++) if (wanted[i] != "" && !used[i]) { print "unknown " wanted[i]; exit } }' <<<"$1")
    [[ $chosen != *unknown\ * ]] ||
        bad_value "--only ${chosen##*unknown }: no workload begins so; there are: $(workload_names "$1" | tr '\n' ' ')"
    echo "$chosen"
}

# check_allocators ASKED KNOWN [EXTRA]: lists between commas; EXTRA are further names that were given
check_allocators() {
    local asked=$1 known=$2 name twice
    [ -n "${asked//,/}" ] || bad_value "--allocators: names none; there are ${known//,/, }"
    twice=$(tr ',' '\n' <<<"$asked,${3:-}" | awk 'NF && seen[$1]++' | head -n 1)
    [ -z "$twice" ] || bad_value "$twice: is asked for twice"
    for name in ${asked//,/ }; do
        [[ ,$known, == *,$name,* ]] || bad_value "--allocators $name: there are ${known//,/, }"
    done
}

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
add_allocator() { # add_allocator NAME WAY PRELOAD EXPECT
    names+=("$1") way[$1]=$2 preload[$1]=$3 expect[$1]=$4
}
add_known_allocators() { # add_known_allocators LIST
    local name
    for name in ${1//,/ }; do
        case $name in
        glibc) add_allocator glibc malloc '' libc.so.6 ;;
        mimalloc) add_allocator mimalloc malloc "$(library libmimalloc.so.2)" libmimalloc ;;
        jemalloc) add_allocator jemalloc malloc "$(library libjemalloc.so.2)" libjemalloc ;;
        tcmalloc) add_allocator tcmalloc malloc "$(library libtcmalloc_minimal.so.4)" libtcmalloc ;;
        tbbmalloc) add_allocator tbbmalloc malloc "$(library libtbbmalloc_proxy.so.2)" libtbbmalloc ;;
        dropin) add_allocator dropin malloc "$PWD/$build/lib/libmemorybucket-malloc.so" libmemorybucket-malloc ;;
        called | inlined) add_allocator "$name" "$name" '' libmemorybucket.so ;;
        esac
    done
}

# Each allocator as it comes: no settings of the user's shell.
unset_allocator_settings() {
    local variable
    for variable in $(compgen -e); do
        case $variable in
        MB_* | MALLOC_* | MIMALLOC_* | TCMALLOC_* | TBB_* | GLIBC_TUNABLES) unset "$variable" ;;
        esac
    done
}

# measure RAW ALLOCATOR WORKLOAD THREADS PROGRAM ARGUMENTS...: appends its rows to RAW
measure() {
    local raw=$1 allocator=$2 workload=$3 threads=$4 program=$5
    shift 5
    run env LD_PRELOAD="${preload[$allocator]}" "$build/bin/$program" --name "$workload" \
        --threads "$threads" --expect "${expect[$allocator]}" "$@" >"$raw.run" ||
        die "$workload with $threads threads failed on $allocator"
    sed "s/^/$allocator\t/" "$raw.run" >>"$raw" || die "$raw cannot be written"
    rm -f "$raw.run"
}
