#!/usr/bin/env bash
# What docs/architecture.md says of the sources is true: in its sections "One allocation" and "One free" each file that
# is named exists, and each function that is named is defined in the file named next to it; and its table of locks is
# that of src/core/lock.h.
# Usage: walk.sh SOURCE_DIR
set -euo pipefail
cd "$1"
status=0
complain() {
    echo "docs/architecture.md: $*" >&2
    status=1
}

# The words in backquotes, one a line; a "." where a sentence or an item ends.
words=$(awk '/^## / { in_walk = /^## One (allocation|free)$/ } in_walk' docs/architecture.md | tr '\n' ' ' |
    grep -oE '`[^`]*`|[.:;] ' | tr -d '`')
functions=0 files=0 pending=()
while IFS= read -r word; do
    case $word in
    */*.[ch])
        files=$((files + 1))
        [ -e "$word" ] || complain "$word does not exist"
        for name in ${pending[@]+"${pending[@]}"}; do
            functions=$((functions + 1))
            # In the house style a definition begins with the type, and its line has no semicolon.
            grep -qsE "^[A-Za-z].*[ *]$name\\((.*[^;])?\$" "$word" || complain "$word does not define $name"
        done
        pending=()
        ;;
    [a-z]*_[a-z]*) [[ $word == *[!a-z_0-9]* || $word == mbi_cache_none ]] || pending+=("$word") ;;
    [.:\;]*) [ ${#pending[@]} -eq 0 ] || complain "which file has ${pending[*]}?"; pending=() ;;
    esac
done <<<"$words"
[ $functions -ge 20 ] && [ $files -ge 20 ] || complain "the walk names $functions functions and $files files only"

# NAME, number, REFUSED or WAITS; in the page the last column begins with that word.
classes=$(sed -nE 's/.*SIZE_CLASS_COUNT == ([0-9]+).*/\1/p' src/core/size_class.h)
in_source=$(sed -nE "s/SIZE_CLASS_COUNT/$classes/; s/^    X\(([A-Z]+), ([0-9]+), ([A-Z]+)\).*/\1 \2 \3/p" src/core/lock.h)
in_page=$(awk -F ' *[|] *' '/^## / { here = /^## Locks$/ }
    here && $3 ~ /^[0-9]+$/ { sub(/[^a-z].*/, "", $5); print toupper($2), $3, toupper($5) }' docs/architecture.md)
[ -n "$in_source" ] || complain "src/core/lock.h has no table of locks"
diff <(echo "$in_source") <(echo "$in_page") >&2 || complain "its locks (>) are not those of src/core/lock.h (<)"
exit $status
