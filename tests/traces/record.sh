#!/usr/bin/env bash
# Records the traces of real programs that lie here anew: a server under load, with threads that parse what others free,
# and a compiler. They differ each time, and so do the figures that are made with them.
# Usage: record.sh MBRUN [FOLDER]      writes server.mbtrace and compiler.mbtrace into FOLDER, or beside this script
set -euo pipefail
[ $# -ge 1 ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
mbrun=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "${2:-$here}")
for program in redis-server redis-benchmark redis-cli gcc; do
    command -v "$program" >/dev/null || { echo "record.sh: $program is not installed" >&2; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The driver starts the compiler itself, cc1, so mbrun stands between the two.
(cd "$here/../.." && gcc -S -O1 -D_GNU_SOURCE -Iinclude -Isrc src/core/lock.c -o /dev/null \
    -wrapper "$mbrun,--record,$work/compiler.mbtrace")

cd "$work"
"$mbrun" --record server.mbtrace redis-server --port 0 --unixsocket redis.sock --save '' --appendonly no \
    --io-threads 4 --io-threads-do-reads yes --lazyfree-lazy-user-flush yes >log 2>&1 &
server=$!
for _ in $(seq 100); do
    [ -S redis.sock ] && break
    sleep 0.1
done
redis-benchmark -s redis.sock -c 50 -n 1400 -r 1000 -P 4 -d 100 -t set,get,lpush,lpop,sadd,hset,zpopmin -q >benchmark
redis-cli -s redis.sock flushall >/dev/null
redis-benchmark -s redis.sock -c 50 -n 800 -r 1000 -P 4 -d 100 -t set,get -q >>benchmark
redis-cli -s redis.sock shutdown nosave
wait "$server"
mv compiler.mbtrace server.mbtrace "$folder/"
