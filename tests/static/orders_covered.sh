#!/usr/bin/env bash
# Each label of an atomic site is mirrored by a model, or shown by a test that notices when the order is weakened
# (tests/meta/mutation/orders), or listed as neither in docs/memory-model.md; nothing is listed there that is covered.
# Usage: orders_covered.sh SOURCE_DIR
set -euo pipefail
cd "$1"
label='\[[A-Z]+(-[A-Z]+)*\]'
all=$(grep -rhoE "$label" --include='*.[ch]' src include | sort -u | comm -12 - <(sed '/^## What neither/,/^## /d' docs/memory-model.md | grep -oE "$label" | sort -u))
mirrored=$(grep -hE '^ \* mirrors ' tests/model/*.pml | grep -oE "$label")
tested=$(awk '$1 == "mutation" { label = "" } $1 == "label" { label = $2 } $1 == "tests" && label != "" { print "[" label "]" }' \
    tests/meta/mutation/orders)
neither=$(comm -23 <(echo "$all") <(printf '%s\n' "$mirrored" "$tested" | sort -u))
listed=$(sed -n '/^## What neither/,/^## /p' docs/memory-model.md | grep -oE "$label" | sort || true)
difference=$(diff <(echo "$neither") <(echo "$listed")) || {
    echo "labels that neither a model nor a test covers (<), and those that docs/memory-model.md lists so (>), differ:" >&2
    echo "$difference" >&2
    exit 1
}
echo "$(wc -l <<<"$all") labels: $(wc -l <<<"$neither") that neither covers"
