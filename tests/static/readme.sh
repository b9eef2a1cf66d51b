#!/usr/bin/env bash
# The C example of the README has at most 20 lines, compiles as the README says, and prints what it says.
# Usage: readme.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source=$1 build=$2
cd "$source"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```c$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' "$source/README.md" >"$work/example.c"
lines=$(wc -l <"$work/example.c")
[ "$lines" -gt 5 ] && [ "$lines" -le 20 ] || { echo "the example has $lines lines" >&2; exit 1; }
gcc -std=c11 -Wall -Wextra -Werror -I"$source/include" "$work/example.c" -o "$work/example" \
    -L"$build/lib" -lmemorybucket -Wl,-rpath,"$build/lib"
printed=$("$work/example")
grep -qxF "    $printed" "$source/README.md" || { echo "it prints '$printed', which the README does not say" >&2; exit 1; }

# What the docs link to exists.
for page in *.md docs/*.md; do
    for link in $(grep -oE '\]\([^)#:]+\)' "$source/$page" | tr -d '])(' ); do
        [ -e "$source/$(dirname "$page")/$link" ] || { echo "$page links to $link, which does not exist" >&2; exit 1; }
    done
done

# Its tables list every call and variable: man.sh.
