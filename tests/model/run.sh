#!/usr/bin/env bash
# Checks a model by exhaustive search (spin), in each variant that its header lists: those that hold, and those that
# are broken on purpose, which must fail as the header says. One line a variant.
# Usage: run.sh [--deep] MODEL.pml [VARIANT...]    --deep also takes the large ones (minutes); default: all variants
#
# The header of a model has one line for each variant:
#   " * variant NAME holds -DSWITCH..."           no error at all
#   " * variant NAME fails TEXT -DSWITCH..."      an error, and its text matches TEXT, an extended regular expression
#   " * deep ..."                                 the same, with --deep only
set -euo pipefail

usage() {
    sed -n '4s/^# //p' "$0" >&2
    exit 2
}
deep=
if [ "${1:-}" = --deep ]; then
    deep=1
    shift
fi
case ${1:-} in
-h | --help)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
'' | -*) usage ;;
esac
model=$(realpath -- "$1")
shift
[ -r "$model" ] || { echo "run.sh: $model cannot be read" >&2; exit 2; }
for tool in spin tcc ${deep:+clang}; do
    command -v $tool >/dev/null || { echo "run.sh: $tool is not installed; see tests/packages.sh" >&2; exit 2; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
status=0

complain() { # NAME TEXT, and what pan said
    echo "$1: $2" >&2
    sed 's/^/    /' "$1/output" >&2
    status=1
}

# A switch that the model does not look at would make a variant that shows nothing.
check_switches() { # NAME SWITCH...
    local name=$1 switch
    shift
    for switch in "$@"; do
        switch=${switch#-D}
        grep -hv '^ \*' "$model" "$(dirname "$model")"/*.inc.pml |
            grep -w "${switch%%=*}" >/dev/null ||
            { echo "$name: the model has no switch ${switch%%=*}" >&2; exit 2; }
    done
}

# Truncated searches find no errors either: pan must have looked at everything.
whole_search() { # OUTPUT
    grep -q 'errors: 0$' "$1" &&
        ! grep -qE 'max search depth too small|Search not completed|out of memory|memory limit|VECTORSZ' "$1"
}

check_variant() { # KIND NAME holds|fails TEXT SWITCH...
    local kind=$1 name=$2 verdict=$3 text=$4 states seconds begin error
    # A small search takes less time than a compiler would take to make it faster: tcc takes a fifteenth of clang's -O0.
    # With --deep clang compiles all of them.
    local compiler=tcc depth_max=500000 memory_mib=1500
    [ -z "$deep" ] || compiler='clang -O0'
    [ "$kind" != deep ] || compiler='clang -O2' depth_max=20000000 memory_mib=6000
    shift 4
    check_switches "$name" "$@"
    mkdir "$name"
    begin=$(date +%s%N)
    if ! (
        cd "$name"
        spin -a "$@" "$model"
        # -w: the code that spin writes is not ours to polish
        $compiler -w -DSAFETY -DMEMLIM=$memory_mib -o pan pan.c
    ) >"$name/output" 2>&1; then
        complain "$name" "the model does not compile"
        return
    fi
    (cd "$name" && ./pan -n -w22 -m$depth_max) >"$name/output" 2>&1 || true
    seconds=$(awk -v ns=$(($(date +%s%N) - begin)) 'BEGIN { printf "%.1f", ns / 1e9 }')
    states=$(awk '/states, stored/ { print $1; exit }' "$name/output")
    if [ "$verdict" = holds ]; then
        if ! whole_search "$name/output"; then
            complain "$name" "shall hold, and does not, or the search was cut short"
            [ ! -e "$name"/*.trail ] ||
                (cd "$name" && spin -t -p -g -l "$@" "$model" 2>&1 | tail -n 120 | sed 's/^/    /' >&2)
            return
        fi
        printf '%-26s holds                  %10s states %6s s\n' "$name" "$states" "$seconds"
    else
        error=$(sed -nE 's/^pan:[0-9]+: (.*) \(at depth .*$/\1/p' "$name/output" | head -n 1)
        if ! grep -qE "$text" <<<"$error"; then
            complain "$name" "shall fail with /$text/, and says '${error:-no error}'"
            return
        fi
        error=${error#assertion violated }
        printf '%-26s fails: %-15s %10s states %6s s\n' "$name" "$error" "$states" "$seconds"
    fi
}

kinds=variant
[ -z "$deep" ] || kinds='variant|deep'
chosen=0
while read -r _ kind name verdict rest; do
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    read -ra words <<<"$rest"
    text=
    case $verdict in
    holds) ;;
    fails)
        text=${words[0]}
        words=("${words[@]:1}")
        ;;
    *)
        echo "run.sh: $model: variant $name neither holds nor fails but '$verdict'" >&2
        exit 2
        ;;
    esac
    chosen=$((chosen + 1))
    check_variant "$kind" "$name" "$verdict" "$text" "${words[@]}"
done < <(grep -E "^ \* ($kinds) " "$model")
[ $chosen -gt 0 ] || { echo "run.sh: $model has no such variant" >&2; exit 2; }
exit $status
