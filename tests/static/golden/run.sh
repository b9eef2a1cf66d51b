#!/usr/bin/env bash
# Counts the instructions of the hot paths with callgrind and compares them with instructions.txt.
# Usage: run.sh HOT_PROGRAM DROPIN_LIBRARY
set -euo pipefail
program=$1 dropin=$2
golden=$(realpath "$(dirname "$0")/instructions.txt")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# count PRELOAD: function, calls and instructions of each, from the profile's own records
count() {
    LD_PRELOAD=$1 valgrind --tool=callgrind --toggle-collect=measured --compress-strings=no \
        --compress-pos=no --callgrind-out-file="$work/profile" "$program" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        exit 1
    }
    # fn= opens a function; its own cost lines follow. calls= is one call; the next line is the callee's cost.
    awk '/^fn=/ { fn = substr($0, 4); next }
         /^cfn=/ { callee = substr($0, 5); next }
         /^calls=/ { split($0, word, /[= ]/); calls[callee] += word[2]; skip = 1; next }
         /^(0x|[0-9+*-])/ { if (skip) skip = 0; else own[fn] += $2 }
         END { for (f in own) if (calls[f]) printf "%s %d %.0f\n", f, calls[f], own[f] / calls[f] }' "$work/profile"
}
count '' | grep -vE '^(malloc|free|_int_|cfree)' >"$work/counts" || true
count "$dropin" | grep -E '^(malloc|free) ' >>"$work/counts" || true

status=0
while read -r function expected; do
    [[ $function != \#* ]] || continue
    read -r calls now < <(awk -v f="$function" '$1 == f { print $2, $3 }' "$work/counts") || true
    if [ -z "${calls:-}" ] || [ "$calls" -lt 1000 ]; then
        echo "$function: not seen in the profile" >&2
        status=1
    elif [ "$now" -ne "$expected" ]; then
        echo "$function: $now instructions, and not $expected; fewer are good news for $golden" >&2
        status=1
    else
        echo "$function: $now"
    fi
    calls=
done <"$golden"
exit $status
