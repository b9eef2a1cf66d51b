#!/usr/bin/env bash
# Every atomic site of the library and of its headers has a label, and docs/memory-model.md lists exactly those.
# Usage: memory_orders.sh SOURCE_DIR
set -euo pipefail
cd "$1"
status=0
labels=$(mktemp)
trap 'rm -f "$labels"' EXIT

# A label is [WORD] or [WORD-WORD] on the line of the memory_order, the next one, or up to five above it.
grep -rlE 'memory_order_|__ATOMIC_' src include | xargs awk -v labels="$labels" '
    function end_file(site, line, found) {
        for (site = 1; site <= count; site++) {
            if (text[site] !~ /memory_order_|__ATOMIC_/) continue
            found = 0
            for (line = site < count ? site + 1 : site; line >= site - 5 && line > 0; line--) {
                if (match(text[line], /\[[A-Z]+(-[A-Z]+)*\]/)) {
                    print substr(text[line], RSTART, RLENGTH) >> labels
                    found = 1
                    break
                }
            }
            if (!found) {
                print file ":" site ": an atomic site without a label" > "/dev/stderr"
                bad = 1
            }
        }
    }
    FNR == 1 { end_file(); file = FILENAME }
    { text[FNR] = $0; count = FNR }
    END { end_file(); exit bad }' || status=1

# No atomic operation without an explicit order.
if grep -rnE 'atomic_(load|store|exchange|fetch_[a-z]+|compare_exchange_[a-z]+)\(' src; then
    echo "these atomic operations have no explicit order" >&2
    status=1
fi

used=$(sort -u "$labels")
listed=$(grep -oE '\[[A-Z]+(-[A-Z]+)*\]' docs/memory-model.md | sort -u)
difference=$(diff <(echo "$used") <(echo "$listed")) || {
    echo "labels in src (<) and in docs/memory-model.md (>) differ:" >&2
    echo "$difference" >&2
    status=1
}
exit $status
