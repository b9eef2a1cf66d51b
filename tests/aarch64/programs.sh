#!/usr/bin/env bash
# Debian's programs for aarch64 on the drop-in: what they print, and that the pools served them.
# Usage: programs.sh MBRUN
set -euo pipefail
mbrun=$1 root=$QEMU_LD_PREFIX
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export MB_STATS=1

# expect TEXT PROGRAM [ARGUMENT...]
expect() {
    local text=$1 program=$2
    shift 2
    "$mbrun" "$root$program" "$@" >"$work/stdout" 2>"$work/stderr" ||
        { echo "$program: exit status $?: $(tail -n 20 "$work/stderr")" >&2; exit 1; }
    [ "$(<"$work/stdout")" = "$text" ] || { echo "$program printed '$(head -c 200 "$work/stdout")', not '$text'" >&2; exit 1; }
    [ "$(awk '$1 ~ /^[0-9]+$/ { slots += $2 } END { print slots + 0 }' "$work/stderr")" -gt 100 ] ||
        { echo "$program: the pools did not serve it: $(<"$work/stderr")" >&2; exit 1; }
}

expect bash.stderr /bin/bash -c 'cd "$1" && for i in {1..3000}; do a[i]=x$i; done && printf "%s\n" *.stderr' - "$(
    cd "$work" && touch bash.stderr && echo "$work")"
expect 4950 /bin/bash -c 's=0; for i in {0..99}; do s=$((s + $(echo $i))); done; echo $s'
seq 20000 | rev >"$work/numbers"
expect "$(sort "$work/numbers" | md5sum)" /bin/bash -c '"$0" --parallel=4 "$1" | "${0%sort}md5sum"' "$root/usr/bin/sort" "$work/numbers"
expect 5000 /usr/bin/sqlite3 :memory: 'create table t(a, b); with recursive n(i) as
    (select 1 union all select i + 1 from n where i < 5000) insert into t select i, printf("%0*d", i % 300, i) from n;
    create index by_b on t(b); select count(distinct b) from t;'
# With a heap profile, which takes stacks.
MB_PROFILE=64K MB_PROFILE_FILE=$work/heap expect 199990000 /usr/bin/perl -e 'my %h = map { ("key $_", $_) } 1 .. 19999; my $s = 0; $s += $_ for values %h; print $s'
grep -q '@ 0x.* 0x' "$work/heap" || { echo "no stacks in perl's heap profile" >&2; exit 1; }
expect 10000 /usr/bin/python3 -S -c 'print(len({str(i): [i] * (i % 50) for i in range(10000)}))'
echo "all programs: ok"
