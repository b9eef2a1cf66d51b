# Sourced by run.sh, compare.sh, memory.sh, programs.sh, containers.sh and insight.sh, which run in the
# project's folder: where results go and the build; and for all but the first which workloads and allocators were asked for, and how
# one of them is run on the other.
build=build/bench-release out=build/bench

die() {
    echo "$0: $*" >&2
    exit 1
}

bad_value() {
    echo "$0: $*" >&2
    exit 2
}
bad_option() { bad_value "$1: no such option; accepted: $2"; }
need_value() { [ $# -ge 2 ] || bad_value "$1: there is no value for it"; }

# Ends when the results will have no room, or when another run writes them: better now than after
# minutes of measuring.
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

# build_release [TARGET...]: all of it unless told
build_release() {
    echo "Building the release (log: $PWD/$out/build.log)"
    if ! { run cmake --preset release -B "$build" -DMEMORYBUCKET_TESTS=OFF && run cmake --build "$build" ${1:+--target "$@"}; } >"$out/build.log" 2>&1; then
        tail -n 30 "$out/build.log"
        die "the build failed; all of it is in $PWD/$out/build.log"
    fi
}

# A run that is cut short leaves no half results (the files named), and nothing running.
clean_up_at_exit() {
    half_results=("$@")
    trap 'end_group; [ -z "$(jobs -p)" ] || { kill $(jobs -p) 2>/dev/null && wait; } || true; rm -rf "${half_results[@]}"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# begin_raw NAME [FILE...]: builds what is to be measured. $raw is NAME's raw file, which has that name only when it is
# whole; what a run leaves that is cut short goes, and the FILEs with it.
begin_raw() {
    tests/packages.sh build bench
    prepare_output
    raw=$out/$1.tsv
    rm -rf "$raw.part" "${@:2}"
    clean_up_at_exit "$raw.part" "$raw.part.run" "$out/$1.json.new" "${@:2}"
    build_release
}

# In the background and waited for, so that the script acts at once on a signal sent to it alone.
run() {
    "$@" 9>&- &
    wait $!
}

# run_group COMMAND...: run for what starts others, servers too: all of them end with this script.
group=
run_group() {
    local status=0
    set -m # a process group of its own
    "$@" 9>&- </dev/null &
    set +m
    group=$!
    wait "$group" || status=$?
    end_group
    return $status
}

# Ends what is left of the group, by force after 5 seconds.
end_group() {
    local tries
    [ -n "$group" ] || return 0
    kill -- "-$group" 2>/dev/null || true
    for tries in $(seq 100); do
        kill -0 -- "-$group" 2>/dev/null || break
        sleep 0.05
    done
    kill -9 -- "-$group" 2>/dev/null || true
    group=
}

show_machine() { echo "Machine: $(bench/report/sheet.py)"; }

# show_results NAME NONE: where they are; NONE is said when there are no pictures
show_results() {
    local pictures
    pictures=$(cd "$out" && echo "$1"-*.png)
    [[ $pictures != *\** ]] || pictures=$2
    echo
    echo "Figures: $PWD/$out/$1.json   Charts beside it, also as SVG: $pictures"
}

# show_help: the comment at the top of the script, and the end
show_help() {
    sed -n '2,/^set /s/^# //p' "$0"
    exit 0
}

# take_option "$@": an option that compare.sh and memory.sh share; the words it takes in `taken`
quick='' list='' only='' taken=''
take_option() {
    taken=1
    case $1 in
    --quick) quick=1 ;;
    --list) list=1 ;;
    -h | --help) show_help ;;
    --only | --allocators)
        need_value "$@"
        taken=2
        [ "$1" = --only ] || allocators=$2
        [ "$1" = --allocators ] || only=$2
        [ -n "${2//,/}" ] || bad_value "$1: names none; --help has the allocators, --list the workloads"
        ;;
    *) bad_option "$1" "$usage" ;;
    esac
}

# Workloads are lines of a table, each "NAME THREADS ...".
workload_names() { awk 'NF { print $1 "@" $2 }' <<<"$1"; }

# choose_workloads TABLE: in `chosen` the lines that --only asks for; after --list the names, and the end
choose_workloads() {
    if [ -n "$list" ]; then
        workload_names "$1"
        exit 0
    fi
    chosen=$(awk -v only="$only" '
        BEGIN { n = split(only, wanted, ",") }
        NF {
            take = only == ""
            for (i = 1; i <= n; i++) if (wanted[i] != "" && (index($1, wanted[i]) == 1 || $1 "@" $2 == wanted[i])) { take = 1; used[i] = 1 }
            if (take) print
        }
        END { for (i = 1; i <= n; i++) if (wanted[i] != "" && !used[i]) { print "unknown " wanted[i]; exit } }' <<<"$1")
    [[ $chosen != *unknown\ * ]] ||
        bad_value "--only ${chosen##*unknown }: no workload begins so; there are: $(workload_names "$1" | tr '\n' ' ')"
}

# check_rounds N: in `rounds`, when it can be used
check_rounds() {
    [[ $1 =~ ^[0-9]{1,3}$ ]] && [ "$((10#$1))" -ge 5 ] || bad_value "--rounds $1: accepted is a number from 5 to 999"
    rounds=$((10#$1))
}

# add_extra NAME=PATH: one peer more, for add_extra_allocators. A path is seen from where the script was
# started, `invoked_from`.
extra_names=() extra_paths=()
add_extra() {
    local path refused
    [[ $1 =~ ^[a-z0-9._-]{1,39}=.+$ ]] ||
        bad_value "--extra $1: accepted is NAME=PATH, the name up to 39 small letters, digits, '.', '_' and '-'"
    [[ ! $1 =~ ^(dropin|called|inlined)[=-] ]] || bad_value "--extra $1: MemoryBucket's forms are called so"
    path=$(cd "$invoked_from" && realpath -- "${1#*=}") && [ -f "$path" ] ||
        bad_value "--extra $1: ${1#*=} is not a file"
    [[ $path != *[[:space:]:]* ]] || bad_value "--extra $1: LD_PRELOAD cannot hold a space or a colon"
    refused=$(LD_PRELOAD=$path env true 2>&1)
    [ -z "$refused" ] || bad_value "--extra $1: ${refused%%$'\n'*}"
    extra_names+=("${1%%=*}")
    extra_paths+=("$path")
}

# take_option for scripts that also have --extra NAME=PATH, and --rounds N, in `rounds`.
take_peers_option() {
    case $1 in
    --extra | --rounds)
        need_value "$@"
        taken=2
        if [ "$1" = --extra ]; then add_extra "$2"; else rounds=$2; fi
        ;;
    *) take_option "$@" ;;
    esac
}

# check_allocators ASKED KNOWN [EXTRA]: lists between commas; EXTRA are further names that were given
check_allocators() {
    local asked=$1 known=$2 name twice
    twice=$(tr ',' '\n' <<<"$asked,${3:-}" | awk 'NF && seen[$1]++' | head -n 1)
    [ -z "$twice" ] || bad_value "$twice: is asked for twice"
    for name in ${asked//,/ }; do
        [[ ,$known, == *,$name,* ]] || bad_value "--allocators $name: there are ${known//,/, }"
    done
}

# preload_of NAME: sets $path to where a library of the system is. An ordinary user's PATH has no ldconfig in Debian.
preload_of() {
    path=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p | awk -v name="$1" '$1 == name && path == "" { path = $NF } END { print path }')
    [ -n "$path" ] || die "$1 is not installed, though its package should be"
}

# For each allocator: which way of the workload's programs, what to preload, which library must serve;
# of what MemoryBucket's build, and a variable for its environment, NAME=VALUE, in all workloads.
declare -A way preload expect tree variable
names=()
add_allocator() { # add_allocator NAME WAY PRELOAD EXPECT
    names+=("$1") way[$1]=$2 preload[$1]=$3 expect[$1]=$4 tree[$1]=$build variable[$1]=
}
add_known_allocators() { # add_known_allocators LIST
    local name path
    for name in ${1//,/ }; do
        case $name in
        glibc) add_allocator glibc malloc '' libc.so.6 ;;
        mimalloc) preload_of libmimalloc.so.2 && add_allocator mimalloc malloc "$path" libmimalloc ;;
        jemalloc) preload_of libjemalloc.so.2 && add_allocator jemalloc malloc "$path" libjemalloc ;;
        tcmalloc) preload_of libtcmalloc_minimal.so.4 && add_allocator tcmalloc malloc "$path" libtcmalloc ;;
        tbbmalloc) preload_of libtbbmalloc_proxy.so.2 && add_allocator tbbmalloc malloc "$path" libtbbmalloc ;;
        dropin*) add_allocator "$name" malloc "$PWD/$build/lib/libmemorybucket-malloc.so" libmemorybucket-malloc ;;
        called* | inlined*) add_allocator "$name" "${name%-*}" '' libmemorybucket.so ;;
        esac
        case $name in
        *-512) variable[$name]=MB_POOL_MAX=512 ;;
        *-32k) variable[$name]=MB_POOL_MAX=32K ;;
        esac
    done
}

add_extra_allocators() {
    local i
    for i in "${!extra_names[@]}"; do
        add_allocator "${extra_names[i]}" malloc "${extra_paths[i]}" "${extra_paths[i]}"
    done
}

# Settings of the user's shell do not reach the allocators.
unset_allocator_settings() {
    local variable
    for variable in $(compgen -e); do
        case $variable in
        MB_* | MALLOC_* | MIMALLOC_* | TCMALLOC_* | TBB_* | GLIBC_TUNABLES) unset "$variable" ;;
        esac
    done
}

# For some workloads: a variable, NAME=VALUE, for the environment of MemoryBucket's native forms.
declare -A settings

# measure RAW ALLOCATOR WORKLOAD THREADS PROGRAM ARGUMENTS...: appends its rows to RAW
measure() {
    local raw=$1 allocator=$2 workload=$3 threads=$4 program=$5 own=${variable[$2]}
    shift 5
    [ -n "$own" ] || [ "${way[$allocator]}" = malloc ] || own=${settings[$workload]:-}
    run env LD_PRELOAD="${preload[$allocator]}" ${own:+"$own"} "${tree[$allocator]}/bin/$program" --name "$workload" \
        --threads "$threads" --expect "${expect[$allocator]}" "$@" >"$raw.run" ||
        die "$workload with $threads threads failed on $allocator"
    sed "s/^/$allocator\t/" "$raw.run" >>"$raw" || die "$raw cannot be written"
    rm -f "$raw.run"
}
