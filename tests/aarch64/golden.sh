#!/usr/bin/env bash
# Counts the instructions of the hot paths on aarch64, as qemu executes them, and compares them with instructions.txt.
# Usage: golden.sh HOT_PROGRAM LIBRARY DROPIN_LIBRARY
set -euo pipefail
program=$1 library=$2 dropin=$3
golden=$(realpath "$(dirname "$0")/instructions.txt")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
qemu=(setarch -R qemu-aarch64-static -L "$QEMU_LD_PREFIX" -E "LD_PRELOAD=$dropin")
# Where the functions are, and how long: the program says the first.
"${qemu[@]}" "$program" addresses >"$work/addresses"
for file in "$program" "$library" "$dropin"; do
    aarch64-linux-gnu-nm -S --defined-only "$file" | awk 'NF == 4 && tolower($3) == "t" { print $4, $2 }'
done >"$work/sizes"
ranges=$(awk 'NR == FNR { if (!($1 in size)) size[$1] = $2; next } { print $2 "+0x" size[$1] }' "$work/sizes" "$work/addresses" | paste -sd,)
# One instruction at a time, and one line each.
"${qemu[@]}" -singlestep -d nochain,exec -dfilter "$ranges" -D "$work/log" "$program"
sed -nE 's/^Trace .*\[[0-9a-f]*\/0*([0-9a-f]+)\/.*/\1/p' "$work/log" | sort | uniq -c >"$work/counts"

status=0
while read -r function expected; do
    [[ $function != \#* ]] || continue
    read -r _ address < <(grep "^$function " "$work/addresses")
    size=$(awk -v f="$function" '$1 == f { print $2; exit }' "$work/sizes")
    # Calls: how often its first instruction is executed.
    now=$(awk -v first=$((address)) -v bytes=$((0x$size)) '
        function number(text, i, value) {
            for (i = 1; i <= length(text); i++) value = value * 16 + index("123456789abcdef", substr(text, i, 1))
            return value
        }
        { at = number($2) }
        at == first { calls = $1 }
        at >= first && at < first + bytes { all += $1 }
        END { print calls >= 1000 ? all / calls : 0 }' "$work/counts")
    if [ "$(printf %.0f "$now")" -ne "$expected" ]; then
        echo "$function: $now instructions, and not $expected; fewer are good news for $golden" >&2
        status=1
    else
        echo "$function: $expected"
    fi
done <"$golden"
exit $status
