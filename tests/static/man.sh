#!/usr/bin/env bash
# The manual pages and the tables of README.md and docs/tuning.md: made from the sources as they are, complete, and
# without a warning; they name no file that is not installed. Their examples compile, run, and call what they are for.
# Usage: man.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
[ $# -eq 2 ] && [ -d "$2/lib" ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
generate=("$source/docs/man/generate.py")
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
status=0
fail() {
    echo "$1" >&2
    status=1
}

"${generate[@]}" --check || status=1

"${generate[@]}" "$work/man"
for call in $(nm -D --defined-only "$build/lib/libmemorybucket.so" | awk '$2 == "T" && $3 ~ /^mb_/ && $3 !~ /^mb_inline_/ { print $3 }'); do
    man -M "$work/man" -w 3 "$call" >/dev/null || fail "no page for $call"
done
for page in "$work"/man/man?/*; do
    name=$(basename "$page")
    said=$(cd "$work/man" && man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)
    [ -z "$said" ] || fail "$name: $said"
    [[ $(<"$page") != .so* ]] || continue # another page's second name
    said=$(grep -nE 'docs/|\.md\b' "$page") && fail "$name names a file that is not installed: $said"
    said=$(mandoc -T lint -W style "$page") || true
    [ -z "$said" ] || fail "$said"
    lexgrog "$page" | grep -qE "\"${name%.?} - .{8,80}\"$" || fail "$name: $(lexgrog "$page"): no summary of at most 80 characters"
done

# A variable that the code names is in the option table.
listed=$("${generate[@]}" --variables)
for variable in $(grep -rhoE '"MB_[A-Z_]+"' "$source/src" | tr -d '"' | sort -u); do
    grep -qxF "$variable" <<<"$listed" || fail "$variable is not in src/core/options.h"
done

for example in "$source"/docs/man/examples/*.c; do
    gcc -std=gnu11 -Wall -Wextra -Werror -I"$source/include" "$example" -o "$work/example" -L"$build/lib" \
        -lmemorybucket -Wl,-rpath,"$build/lib" || fail "$example does not compile"
    "$work/example" >"$work/printed" || fail "$example ends with status $?"
    [ -s "$work/printed" ] || fail "$example prints nothing"
    for call in $(sed -nE '1s|^/\* ([^:]*):.*|\1|p' "$example" | tr -d ,); do
        [ "$call" = memorybucket ] || sed 1d "$example" | grep -q "\b$call(" || fail "$example does not call $call"
    done
done
exit $status
