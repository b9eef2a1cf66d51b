#!/usr/bin/env bash
# A program of Debian's for aarch64 is recorded, and its trace replayed.
# Usage: record.sh MBRUN MBREPLAY
set -euo pipefail
mbrun=$1 mbreplay=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$mbrun" --record "$work/trace" "$QEMU_LD_PREFIX/usr/bin/sqlite3" :memory: 'create table t(a); with recursive n(i) as
    (select 1 union all select i + 1 from n where i < 3000) insert into t select printf("%0*d", i % 300, i) from n;
    select count(*) from t;' >"$work/printed"
[ "$(<"$work/printed")" = 3000 ] || { echo "recorded, it printed '$(<"$work/printed")'" >&2; exit 1; }
"$mbreplay" --summary "$work/trace" | grep -E '^[0-9]{4,} allocations' || { echo "the trace lacks allocations" >&2; exit 1; }
"$mbreplay" --rounds 1 --allocators memorybucket,system "$work/trace" >"$work/report"
[ "$(grep -cE '^(memorybucket|system) +[0-9.]+' "$work/report")" -eq 2 ] || { cat "$work/report" >&2; exit 1; }
