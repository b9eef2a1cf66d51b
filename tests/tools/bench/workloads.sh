#!/usr/bin/env bash
# Every workload of bench/compare.sh and containers.sh runs on malloc, on the drop-in, and on the native calls, with the
# border at 512 bytes and at 32 KiB; its checks of who serves and of what the objects hold can fail.
# Usage: workloads.sh BIN_DIR DROPIN_LIBRARY
set -euo pipefail
. "$(dirname "$0")/expect.sh"
bin=$1 dropin=$2
fail() {
    echo "$*" >&2
    exit 1
}

while read -r threads program arguments; do
    for way in malloc dropin called inlined {dropin,called,inlined}-moved; do
        case $way in
        malloc) preload='' expected=libc.so.6 suffix=malloc ;;
        dropin*) preload=$dropin expected=$dropin suffix=malloc ;;
        *) preload='' expected=libmemorybucket.so suffix=${way%-moved} ;;
        esac
        case $way in
        dropin-moved) border=512 ;;
        *-moved) border=32K ;;
        *) border='' ;;
        esac
        rows=$(env LD_PRELOAD="$preload" ${border:+MB_POOL_MAX=$border} "$bin/$program-$suffix" --name smoke --threads "$threads" \
            --expect "$expected" --work 1 --pin $arguments) || fail "$program, $way: failed"
        for metric in wall_ns_per_op cpu_ns_per_op peak_bytes final_bytes; do
            [[ $rows == *"smoke	$threads	$metric	"* ]] || fail "$program, $way: no $metric"
        done
    done
done <<'END'
1 pair
1 round 100 fifo
1 round 10000 lifo
1 random 1000 512
2 random 1000 1000
1 random 1000 geometric
1 random 1000 log-uniform
1 handover
8 handover
1 growing steps
1 growing pieces
1 growing bytes
5 seed 64 rounds
1 seed 1024 once
16 xfer
2 server 512
8 server 8000
16 churn
64 oversubscribed
8 pool
1 burst
1 batch batch
1 batch loop
8 latency xfer
1 latency random
8 containers vector
1 containers map
2 containers unique_ptr
1 containers pmr-string
END

pair=$bin/pair-malloc
refuses 2 usage "$pair"
refuses 2 usage "$pair" --name x --expect libc.so.6 --frobnicate 1
refuses 2 'accepted is a number from 1 to 10000' "$pair" --name x --expect libc.so.6 --work 0
refuses 1 'and not libjemalloc' "$pair" --name x --expect libjemalloc
refuses 1 'and not libc.so.6' env LD_PRELOAD="$dropin" "$pair" --name x --expect libc.so.6
# A library that is there, and passes every request on to the C library, as where a sanitizer is.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'int __lsan_do_recoverable_leak_check(void) { return 0; }' |
    cc -x c -shared -fPIC -o "$work/sanitizer.so" -
refuses 1 'not from its pools' env LD_PRELOAD="$work/sanitizer.so $dropin" "$pair" --name x \
    --expect libmemorybucket-malloc
refuses 1 'stdout: No space left' bash -c "$pair --name x --expect libc.so.6 --work 1 >/dev/full"
refuses 2 'accepted are steps, pieces and bytes' "$bin/growing-malloc" --name x --expect libc.so.6 twice
refuses 1 'accepted is an even number' "$bin/xfer-malloc" --name x --expect libc.so.6 --threads 3

# compare.sh says no before it installs, builds or measures anything.
compare=$(dirname "$0")/../../../bench/compare.sh
refuses 2 '--frobnicate: no such option' "$compare" --frobnicate
refuses 2 'no value for it' "$compare" --only
refuses 2 'there are: pair@1' "$compare" --only nothing
refuses 2 'there are: pair@1' "$compare" --against-best --only nothing
refuses 2 '--against-all: no such option' "$compare" --against-all
refuses 2 'names none' "$compare" --only ''
refuses 2 'accepted is a number from 5' "$compare" --rounds 04
refuses 2 'there are glibc' "$compare" --allocators frob
refuses 2 'names none' "$compare" --allocators ,
refuses 2 'asked for twice' "$compare" --allocators glibc,glibc
refuses 2 'is not a file' "$compare" --extra x=/nonexistent
refuses 2 'accepted is NAME=PATH' "$compare" --extra /nonexistent
refuses 2 'cannot be preloaded' "$compare" --extra x="$0"
refuses 2 "MemoryBucket's forms are called so" "$compare" --extra called-x="$dropin"
listed=$("$compare" --list)
for row in sizes-{1k,100k}@1 seed-small-{once,rounds}@{1,2,4,5,8,10,16} xfer@{2,4,8,16} server@{1,2,4,8,16} \
    churn@{1,2,4,8,16} pool-of-threads@8 burst@1 mixed-1000@{1,2,4,8,16} mixed-16k-{1k,20k}@1 mixed-handover@{2,8} \
    growing-{steps,pieces,bytes}@1 server-{1000,8000}@{1,2,8}; do
    [[ $listed$'\n' == *$'\n'$row$'\n'* ]] || fail "--list lacks $row"
done
echo "all workloads: ok"
