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
for page in README.md docs/*.md; do
    for link in $(grep -oE '\]\([^)#:]+\)' "$source/$page" | tr -d '])(' ); do
        [ -e "$source/$(dirname "$page")/$link" ] || { echo "$page links to $link, which does not exist" >&2; exit 1; }
    done
done

# Every variable and call that the README lists exists, and every one that exists is listed.
listed=$(grep -oE '^\| `MB_[A-Z_]+`' "$source/README.md" | grep -oE 'MB_[A-Z_]+' | sort -u)
read_by_code=$(sed -nE 's/^    X\((MB_[A-Z_]+), .*/\1/p' "$source"/src/core/options.h | sort -u)
diff <(echo "$read_by_code") <(echo "$listed") || { echo "environment: code (<) and README (>) differ" >&2; exit 1; }
declared=$(grep -oE '\bmb_[a-z_]+\(' "$source/include/memorybucket/memorybucket.h" | grep '^mb' | tr -d '(' | sort -u)
for call in $declared; do
    grep -qE "^\| .*\`[^\`]*\b$call\(" "$source/README.md" || { echo "the README's API table lacks $call" >&2; exit 1; }
done
