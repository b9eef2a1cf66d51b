#!/usr/bin/env bash
# What a model's header says it mirrors is still in the sources: functions, and labels of memory orders. Where it is not,
# says so, and where something like it is. For tests/deep.sh.
# Usage: mirrors.sh SOURCE_DIR
#
# The header of a model has lines " * mirrors FILE: WORD...", where a word is a function or a [LABEL] of that file.
set -euo pipefail
[ $# -eq 1 ] && [ -d "$1/tests/model" ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
cd "$1"
status=0
complain() {
    echo "$*" >&2
    status=1
}

# moved WHERE FILE TEXT: what stood in the file, and where something like it is now
moved() {
    complain "$1: $2 has no $3"
    complain "    nearest: $(tests/meta/nearest.py "$2" '' "$3")"
}

for model in tests/model/*.pml; do
    [[ $model != *.inc.pml ]] || continue
    words=0
    while IFS=: read -r number text; do
        read -r _ _ file names <<<"$text"
        file=${file%:}
        for name in $names; do
            words=$((words + 1))
            case $name in
            \[*) grep -qsF -- "$name" "$file" || moved "$model:$number" "$file" "$name" ;;
            # Its definition: in the house style this line begins with the type and has no semicolon.
            *) grep -qsE "^[A-Za-z].*[ *]$name\((.*[^;])?\$" "$file" || moved "$model:$number" "$file" "$name(" ;;
            esac
        done
    done < <(grep -nE '^ \* mirrors ' "$model")
    [ $words -gt 0 ] || complain "$model does not say what it mirrors"
done
exit $status
