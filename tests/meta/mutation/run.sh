#!/usr/bin/env bash
# Do the tests notice when the library is wrong? Breaks it in one place at a time, as tests/meta/mutation/lines and orders
# say, and reports which test catches that. Installs what is missing; nothing but build/mutation/ is written.
# Usage: tests/meta/mutation/run.sh [-j JOBS] [--quick] [--only NAME]... [lines|orders]...    default: both lists
#                                         --quick: what the named tests miss is not tried on the others
#        tests/meta/mutation/run.sh --list [lines|orders]...    names the mutations
#        tests/meta/mutation/run.sh --check    builds nothing: does each mutation still apply to exactly one place, and is
#                                         each acquire and release in the sources in the list of orders?
# Status 1: a mutation survives, no longer applies or does not build, or the tests fail without any.
#
# The format of the lists: a mutation is a line "mutation NAME" and the fields below it.
#   what TEXT     what is broken
#   file PATH     where; holds for all edits up to the next
#   in FUNCTION   only in this function; optional, and holds like file
#   find TEXT     the text to replace: it must be there exactly once
#   with TEXT     what comes in its place; ends an edit, of which there may be several
#   tests NAMES   the tests that should catch it; if they do not, all others are tried
#   presets NAMES the builds to try it in, one after the other; release unless it is given
#   label NAME    in orders: the label of the sites
#   model TEXT    no test can show it, for the reason given: it is left to the model in tests/model/
#   same TEXT     no program can show it, for the reason given: all executions are as before
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
folder=$root/tests/meta/mutation
out=$root/build/mutation
suites='^(unit|concurrent|environment|dropin|checked)$'

die() {
    echo "tests/meta/mutation/run.sh: $*" >&2
    exit 2
}

jobs=$(nproc)
quick=''
action=run
only=()
lists=()
while [ $# -gt 0 ]; do
    case $1 in
    -j | --only)
        [ $# -gt 1 ] || die "$1: a value is missing"
        if [ "$1" = -j ]; then jobs=$2; else only+=("$2"); fi
        shift
        ;;
    --quick) quick=1 ;;
    --list | --check) action=${1#--} ;;
    lines | orders) lists+=("$1") ;;
    -h | --help)
        sed -n '2,9s/^# //p' "$0"
        exit 0
        ;;
    *) die "$1: neither an option nor a list; see --help" ;;
    esac
    shift
done
[[ $jobs =~ ^[1-9][0-9]{0,3}$ ]] || die "-j $jobs: not a number of jobs"
[ ${#lists[@]} -gt 0 ] || lists=(lines orders)

# Of each mutation, by name. Edits are lines of file, function, find and with, separated by tabs.
names=()
declare -A list_of what presets tests label model same edits
read_list() {
    local list=$1 number=0 name='' file='' function='' find='' line='' key value
    while read -r key value; do
        number=$((number + 1))
        case $key in
        '' | '#'*) continue ;;
        mutation)
            name=$value file='' function='' find=''
            [ -z "${list_of[$name]:-}" ] || die "$list:$number: there are two mutations $name"
            names+=("$name")
            list_of[$name]=$list presets[$name]=release edits[$name]='' tests[$name]=''
            ;;
        what) what[$name]=$value ;;
        presets) presets[$name]=$value ;;
        tests) tests[$name]=$value ;;
        label) label[$name]=$value ;;
        model) model[$name]=$value ;;
        same) same[$name]=$value ;;
        file) file=$value function='' ;;
        in) function=$value ;;
        find) find=$value line=$number ;;
        with)
            [ -n "$file" ] && [ -n "$find" ] || die "$list:$number: an edit without file or find"
            edits[$name]+="$line"$'\t'"$file"$'\t'"${function:--}"$'\t'"$find"$'\t'"$value"$'\n'
            find=''
            ;;
        *) die "$list:$number: $key: no such field" ;;
        esac
    done <"$folder/$list"
}
for list in "${lists[@]}"; do
    read_list "$list"
done

# edit TREE FILE FUNCTION FIND WITH [AWK_OPTION...]
edit() {
    local tree=$1 file=$2 function=${3#-} find=$4 with=$5
    FUNCTION=$function FIND=$find WITH=$with awk "${@:6}" -f "$folder/edit.awk" "$tree/$file"
}

# The lines in which a mutation's edits find their text, as FILE:LINE; complains of those without exactly one.
places() {
    local name=$1 number file function find with lines status=0
    while IFS=$'\t' read -r number file function find with; do
        lines=$([ ! -f "$root/$file" ] || edit "$root" "$file" "$function" "$find" "$with" -v where=1)
        if [[ $lines =~ ^[0-9]+$ ]]; then
            echo "$file:$lines"
        else
            moved "$folder/${list_of[$name]}:$number: $name" "$file" "${function#-}" "$find" "$lines" >&2
            status=1
        fi
    done < <(printf %s "${edits[$name]}")
    return $status
}

# moved WHERE FILE FUNCTION FIND LINES: what an edit was to find, and where that is now
moved() {
    local there="nowhere; nearest: $(cd "$root" && tests/meta/nearest.py "${@:2:3}")"
    [ -z "$5" ] || there="more than once, in the lines ${5//$'\n'/ }"
    echo "${1#"$root"/}: in $2${3:+, $3}, there shall be once: $4"
    echo "    it is $there"
}

check() {
    local -x LC_ALL=C # comm wants one order
    local name status=0 listed sites missing
    for name in "${names[@]}"; do
        [ -n "${what[$name]:-}" ] && [ -n "${edits[$name]}" ] || die "$name: it does not say what, or how"
        [ -n "${tests[$name]}${model[$name]:-}${same[$name]:-}" ] || die "$name: no test, model or reason is named"
        places "$name" >/dev/null || status=1
    done
    if [[ " ${lists[*]} " == *' orders '* ]]; then
        listed=$(for name in "${names[@]}"; do
            [ -z "${label[$name]:-}" ] || places "$name" 2>/dev/null | sed "s/$/ [${label[$name]}]/" || true
        done | sort -u)
        sites=$(cd "$root" && grep -rlE 'memory_order_|__ATOMIC_' src include | sort |
            xargs awk -f "$folder/sites.awk" | sort -u)
        missing=$(comm -3 --output-delimiter='|' <(echo "$sites") <(echo "$listed") | sed -E \
            -e 's/^\|(.*)/\1: no such order is there, and tests\/meta\/mutation\/orders names it/; t' \
            -e 's/$/: tests\/meta\/mutation\/orders does not weaken it/')
        if [ -n "$missing" ]; then
            echo "$missing" >&2
            status=1
        fi
    fi
    return $status
}

case $action in
list)
    for name in "${names[@]}"; do
        printf '%-7s %-34s %s\n' "${list_of[$name]}" "$name" "${what[$name]:-}"
    done
    exit 0
    ;;
check)
    check
    echo "${#names[@]} mutations, each applies to one place"
    exit 0
    ;;
esac
check
if [ ${#only[@]} -gt 0 ]; then
    for name in "${only[@]}"; do
        [ -n "${list_of[$name]:-}" ] || die "$name: no such mutation; see --list"
    done
    names=("${only[@]}")
fi

"$root/tests/packages.sh" build test
mkdir -p "$out/logs" || die "$out cannot be made"
exec 9>"$out/.lock" || die "$out cannot be written by $(id -un)"
flock -n 9 || die "another run writes to $out: wait for it"
ulimit -c 0 # crashes are what is expected

# Runs a command in a session of its own, and ends what it leaves behind: children that hang in a mutated fork.
group=''
trap '[ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
run_alone() {
    local status=0
    setsid "$@" 9>&- &
    group=$!
    wait "$group" || status=$?
    kill -KILL -- "-$group" 2>/dev/null || true
    group=''
    return $status
}

# Test runs: run_tests PRESET LOG CTEST_OPTION...
run_tests() {
    run_alone ctest --test-dir "$out/$1/tree/build/$1" -j "$jobs" --output-on-failure "${@:3}" >>"$2" 2>&1
}

# "unit/pool unit/trim" as ctest's -R wants it
pattern_of() {
    echo "^($(xargs <<<"$1" | tr ' ' '|'))\$"
}

# What has to be built for these tests: what their commands name in the build tree, where the folder of libraries
# stands for the shared one. The drop-in's programs are named in a script.
targets_of() {
    local build=$out/$1/tree/build/$1 commands
    commands=$(ctest --test-dir "$build" -N -V -R "$2" | sed -n 's/^[0-9]*: Test command: //p' | tr -d '"' | tr ' ' '\n')
    sed -n "s|^$build/||p" <<<"$commands" | sed 's|^lib$|memorybucket|' | sort -u
    if grep -q '/dropin/programs.sh$' <<<"$commands"; then
        echo memorybucket_dropin dropin_contract dropin_operators dropin_lifecycle
    fi
}

build() {
    local preset=$1 log=$2
    shift 2
    run_alone nice cmake --build "$out/$preset/tree/build/$preset" -j "$jobs" ${1:+--target "$@"} >>"$log" 2>&1
}

# A mutated program may hang: each test gets ten times what it took without a mutation, and some seconds.
limit_times() {
    local build=$1 file
    find "$build/tests" -name CTestTestfile.cmake | while read -r file; do
        awk '
            NR == FNR { if ($2 > 0) seconds[$1] = $3; next } # name, runs, seconds
            match($0, /\[=\[[^]]*\]=\]/) && (name = substr($0, RSTART + 3, RLENGTH - 6)) in seconds {
                sub(/ TIMEOUT "[0-9]+"/, sprintf(" TIMEOUT \"%d\"", 20 + 10 * seconds[name]))
            }
            { print }' "$build/Testing/Temporary/CTestCostData.txt" "$file" >"$file.new"
        mv "$file.new" "$file"
    done
}

# The tests must pass before anything is changed; what was built and timed is put aside as PRESET/pristine.
# keep_pristine PRESET LOG CTEST_OPTION...
keep_pristine() {
    local preset=$1 log=$2
    run_tests "$@" || die "$preset: the tests fail before anything is changed; see $log"
    limit_times "$out/$preset/tree/build/$preset"
    rm -rf "$out/$preset/pristine"
    cp -a "$out/$preset/tree" "$out/$preset/pristine"
}

take_pristine() {
    rm -rf "$out/$1/tree"
    cp -a "$out/$1/pristine" "$out/$1/tree"
}

# Files that did not change keep their times, so that only what did is built.
copy_sources() {
    cd "$root"
    git -c safe.directory="$root" ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            if [ -e "$file" ] && ! cmp -s "$file" "$1/$file"; then
                mkdir -p "$1/$(dirname "$file")"
                cp "$file" "$1/$file"
            fi
        done
}

# The tree of a preset, with the tests passed that the mutations name for it.
declare -A prepared
prepare() {
    local preset=$1 tree=$out/$1/tree log=$out/logs/$1.log name named='' known
    [ -z "${prepared[$preset]:-}" ] || return 0
    prepared[$preset]=named
    : >"$log"
    rm -rf "$tree"
    mkdir -p "$out/$preset"
    if [ -d "$out/$preset/pristine" ]; then
        cp -a "$out/$preset/pristine" "$tree"
    else
        mkdir "$tree"
    fi
    (copy_sources "$tree") || die "the sources cannot be copied"
    echo "$preset: builds and tests the sources as they are (log: $log)"
    (cd "$tree" && cmake --preset "$preset" -DMEMORYBUCKET_BENCH=OFF -DMEMORYBUCKET_WERROR=OFF) >>"$log" 2>&1 &&
        build "$preset" "$log" || die "$preset does not build as it is; see $log"
    for name in "${names[@]}"; do
        [[ " ${presets[$name]} " != *" $preset "* ]] || named+=" ${tests[$name]}"
    done
    known=$(ctest --test-dir "$tree/build/$preset" -N | sed -n 's/^ *Test *#[0-9]*: *//p')
    for name in $named; do
        grep -Fqx "$name" <<<"$known" || die "$name: $preset has no such test"
    done
    keep_pristine "$preset" "$log" -R "$(pattern_of "$named")"
}

# The same with all tests: only a mutation that the named ones miss needs it.
prepare_suite() {
    local preset=$1
    [ "${prepared[$preset]}" != suite ] || return 0
    prepared[$preset]=suite
    take_pristine "$preset"
    keep_pristine "$preset" "$out/logs/$preset.log" -L "$suites"
}

mutate() {
    local name=$1 tree=$2 file function find with
    while IFS=$'\t' read -r _ file function find with; do
        edit "$tree" "$file" "$function" "$find" "$with" >"$tree/$file.new"
        mv "$tree/$file.new" "$tree/$file"
    done < <(printf %s "${edits[$name]}")
}

# Which test noticed, from ctest's summary: "unit/pool (Failed)"
catcher_in() {
    sed -n '/The following tests FAILED/,${/^\t *[0-9]* - /{s/^\t *[0-9]* - \([^ ]*\) (\(.*\)).*/\1 (\2)/p;q}}' "$1"
}

# Sets `catcher` to who noticed in one preset, or to nothing; false when the mutation does not build.
try_in() {
    local name=$1 preset=$2 log=$out/logs/$1.$2.log pattern
    : >"$log"
    catcher=''
    prepare "$preset"
    if [ -n "${tests[$name]}" ]; then
        take_pristine "$preset"
        mutate "$name" "$out/$preset/tree"
        pattern=$(pattern_of "${tests[$name]}")
        # shellcheck disable=SC2046 # targets are words
        build "$preset" "$log" $(targets_of "$preset" "$pattern") || return 1
        run_tests "$preset" "$log" -R "$pattern" --stop-on-failure || true
        catcher=$(catcher_in "$log")
        [ -z "$catcher$quick" ] || return 0
    fi
    prepare_suite "$preset"
    take_pristine "$preset"
    mutate "$name" "$out/$preset/tree"
    build "$preset" "$log" || return 1
    run_tests "$preset" "$log" -L "$suites" --stop-on-failure || true
    catcher=$(catcher_in "$log")
}

survivors=()
broken=()
declare -A counts=([caught]=0 [model]=0 [same]=0)
report() {
    printf '%-9s %-34s %s\n' "$1" "$2" "$3"
}
for name in "${names[@]}"; do
    start=$SECONDS
    if [ -n "${model[$name]:-}${same[$name]:-}" ]; then
        kind=$([ -n "${model[$name]:-}" ] && echo model || echo same)
        counts[$kind]=$((counts[$kind] + 1))
        report "$kind" "$name" "${model[$name]:-}${same[$name]:-}"
        continue
    fi
    catcher=''
    for preset in ${presets[$name]}; do
        if ! try_in "$name" "$preset"; then
            broken+=("$name")
            report BROKEN "$name" "it does not build; see $out/logs/$name.$preset.log"
            continue 2
        fi
        [ -z "$catcher" ] || break
    done
    if [ -n "$catcher" ]; then
        counts[caught]=$((counts[caught] + 1))
        report caught "$name" "by $catcher in $preset, $((SECONDS - start)) s"
    else
        survivors+=("$name")
        report SURVIVED "$name" "${what[$name]}; $((SECONDS - start)) s"
    fi
done

echo "${counts[caught]} caught, ${#survivors[@]} survived, ${counts[model]} left to the model, ${counts[same]} that" \
    "change nothing; $((SECONDS / 60)) minutes"
[ ${#broken[@]} -eq 0 ] || echo "do not build: ${broken[*]}"
[ ${#survivors[@]} -eq 0 ] || echo "survived: ${survivors[*]}"
[ $((${#survivors[@]} + ${#broken[@]})) -eq 0 ]
