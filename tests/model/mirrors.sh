#!/usr/bin/env bash
# What a model's header says it mirrors is still in the sources: functions, and labels of memory orders.
# Usage: mirrors.sh SOURCE_DIR
#
# The header of a model has lines " * mirrors FILE: WORD...", where a word is a function or a [LABEL] of that file.
set -euo pipefail
[ $# -eq 1 ] && [ -d "$1/tests/model" ] || { sed -n '3s/^# //p' "$0" >&2; exit 2; }
cd "$1"
status=0
complain() {
    echo "$*" >&2
    status=1
}

for model in tests/model/*.pml; do
    [[ $model != *.inc.pml ]] || continue
    words=0
    while read -r _ _ file names; do
        file=${file%:}
        if [ ! -e "$file" ]; then
            complain "$model mirrors $file, which does not exist"
            continue
        fi
        for name in $names; do
            words=$((words + 1))
            case $name in
            \[*) grep -qF -- "$name" "$file" || complain "$model mirrors $name, which $file does not have" ;;
            # Its definition: in the house style this line begins with the type and has no semicolon.
            *)
                grep -qE "^[A-Za-z].*[ *]$name\((.*[^;])?\$" "$file" ||
                    complain "$model mirrors $name, which $file does not define"
                ;;
            esac
        done
    done < <(grep -E '^ \* mirrors ' "$model")
    [ $words -gt 0 ] || complain "$model does not say what it mirrors"
done
exit $status
