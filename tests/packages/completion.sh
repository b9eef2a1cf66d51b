#!/usr/bin/env bash
# What bash completes behind mbstat and mbprof; tests/tools/record and replay look at mbrun's and mbreplay's.
# Usage: completion.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
[ $# -eq 2 ] && [ -d "$2/bin" ] || { sed -n '3s/^# //p' "$0" >&2; exit 2; }
source "$1/src/cli/completion/mbstat"
build=$2 status=0
compopt() { COMPREPLY=("compopt $*"); } # outside of a completion it fails

# completes LINE EXPECTED: the last word of the line, by a pattern
completes() {
    local words found
    read -ra words <<<"$1."
    words[-1]=${words[-1]%.}
    COMP_CWORD=$((${#words[@]} - 1))
    _memorybucket "$build/bin/${words[0]}" "${words[-1]}" "${words[-2]}"
    found=$(printf '%s\n' "${COMPREPLY[@]}" | sort -u | paste -sd ' ')
    [[ $found == $2 ]] || { echo "'$1' is completed by '$found', and not by '$2'" >&2; status=1; }
}
completes 'mbstat --re' '--record --report'
completes 'mbstat -' '*--once*-1*'
completes 'mbstat -r x' 'compopt -o default'
completes 'mbprof ' 'diff folded pprof top'
completes 'mbprof top --' '--help --metric --number --output --version'
completes 'mbprof top -m inuse_' 'inuse_objects inuse_space'
completes 'mbprof top x' 'compopt -o default'

XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR
MB_EXPORT=1 "$build/bin/mbrun" sleep 600 &
process=$!
trap 'kill $process && wait; rm -rf "$XDG_RUNTIME_DIR"' EXIT
for ((i = 0; i < 1000; i++)); do
    [[ $("$build/bin/mbstat" --list) != *"$process sleep"* ]] || break
    sleep 0.1
done
completes 'mbstat --once sle' 'sleep'
completes "mbstat $process" "$process"
exit $status
