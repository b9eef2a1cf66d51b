#!/usr/bin/env bash
# Dumps of real programs, read by mbprof and by others' decoders: a leak is found with its size, names and sums agree,
# programs run as they do without, and what cannot be read or written is said in one line.
# Usage: run.sh BIN_DIR LEAKY SOURCE_DIR
set -euo pipefail
bin=$1 leaky=$2 source=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
status=0
fail() {
    echo "$*" >&2
    status=1
}
# near WHAT VALUE TRUTH PERCENT
near() {
    awk -v value="$2" -v truth="$3" -v percent="$4" \
        'BEGIN { exit !(value >= truth * (1 - percent / 100) && value <= truth * (1 + percent / 100)) }' ||
        fail "$1: $2, in truth $3"
}
# profile MEAN NAME COMMAND...: runs it under the drop-in; dumps NAME.1.heap and on
profile() {
    MB_PROFILE=$1 MB_PROFILE_SIGNAL=12 MB_PROFILE_FILE=$work/$2.%n.heap "$bin/mbrun" "${@:3}"
}

# A leak: 4,000 sessions. With a mean of 4K one in seven is a sample: a standard error of 4 %.
profile 4K leak "$leaky" >said
grep -qx 'leaked 4000 objects of 680 bytes' said || fail "leaky says $(<said)"
[ -e leak.3.heap ] && [ ! -e leak.4.heap ] || fail "not three dumps, two by signals and one at exit: $(ls)"
"$bin/mbprof" diff leak.1.heap leak.2.heap >diff
awk '/objects live/ && ++stacks == 2 { print $3, $6 } /^    / && stacks == 2 && !name { name = $1; print name; exit }' diff >top
if grep -q 'cache_reply' diff; then
    # It is full in both; what two estimates of it differ by is little.
    awk '/objects live/ { bytes = $3 } /cache_reply/ { exit !(bytes < 400000) }' diff || fail 'the full cache shows in diff'
fi
{ read -r bytes objects; read -r name; } <top
[ "$name" = begin_session ] || fail "the leak is not on top, but $name"
near 'leaked bytes' "$bytes" $((4000 * 680)) 20
near 'leaked objects' "$objects" 4000 20
grep -q 'handle_requests  .*leaky.c:' diff || fail 'diff shows no callers with their lines'

# With a mean of 1 every object is a sample: as many as there were.
profile 1 all "$leaky" >/dev/null
"$bin/mbprof" diff all.1.heap all.2.heap | grep -q '  2720000 bytes in 4000 objects live; 136000000 in 200000 allocated' ||
    fail "with a mean of 1: $("$bin/mbprof" diff all.1.heap all.2.heap | head -5)"

# pprof's format: protoc decodes it, and names, sums and the samples' types are there.
"$bin/mbprof" pprof -o all.pb.gz all.2.heap
gzip -dc all.pb.gz | protoc --decode=profile.Profile -I "$source/src/cli" profile.proto >all.txt
for name in begin_session cache_reply read_body handle_requests inuse_space bytes; do
    grep -q "string_table: \"$name\"" all.txt || fail "pprof's format lacks $name"
done
[ "$(grep -c '^sample_type' all.txt)" = 4 ] || fail "not four types of sample"
sums() { awk '/^sample \{/ { field = 0 } /^  value:/ { sum[field++] += $2 } END { print sum[0], sum[1], sum[2], sum[3] }' "$1"; }
folded=$(for metric in alloc_objects alloc_space inuse_objects inuse_space; do
    "$bin/mbprof" folded -m $metric all.2.heap | awk '{ sum += $NF } END { printf "%s ", sum + 0 }'
done)
[ "$(sums all.txt) " = "$(sed 's/ *$/ /' <<<"$folded")" ] || fail "sums differ: $(sums all.txt) in pprof's format, $folded folded"
"$bin/mbprof" folded all.2.heap | grep -qE 'main;handle_requests;begin_session [0-9]+$' || fail 'folded stacks'

# pprof reads the dump itself; so does Go's, where there is one.
google-pprof --text --inuse_space "$leaky" leak.2.heap 2>/dev/null | grep -q begin_session || fail 'google-pprof'
if command -v go >/dev/null; then
    go tool pprof -sample_index=inuse_space -top all.pb.gz 2>/dev/null | grep -q begin_session || fail 'go tool pprof'
    go tool pprof -sample_index=inuse_space -top "$leaky" leak.2.heap 2>/dev/null | grep -q begin_session ||
        fail 'go tool pprof, of the dump'
fi

# Real programs do what they do without, and their dumps can be read. Children have their own.
python='import subprocess; d = {i: str(i) * 9 for i in range(60000)}; print(subprocess.check_output(["sort"], input=b"b\na\n"))'
PYTHONMALLOC=malloc profile 32K 'python.%p' python3 -c "$python" >got
python3 -c "$python" | cmp - got || fail 'python3 prints something else'
profile 32K 'gxx.%p' g++ -x c++ -O1 -o gxx - <<<'#include <iostream>
int main() { std::cout << "built\n"; }'
[ "$(./gxx)" = built ] || fail 'g++ builds something else'
for heap in python.*.heap gxx.*.heap; do
    "$bin/mbprof" top -n 2 -m alloc_space "$heap" >top || fail "mbprof top $heap"
    "$bin/mbprof" pprof "$heap" | gzip -t || fail "mbprof pprof $heap"
done
[ "$(ls gxx.*.heap | wc -l)" -ge 3 ] || fail 'the compiler and the linker have no dumps'

# What is wrong is said in one line, and the status tells.
# refuses STATUS TEXT ARGUMENT...
refuses() {
    local expected=$1 text=$2 got=0
    "$bin/mbprof" "${@:3}" >out 2>err || got=$?
    [ $got = "$expected" ] || fail "mbprof ${*:3}: status $got, and not $expected"
    [[ $(wc -l <err) = 1 && $(<err) == "mbprof: "*"$text"* ]] || fail "mbprof ${*:3} says: $(<err)"
    [ ! -s out ] || fail "mbprof ${*:3} prints something"
}
refuses 1 'No such file' top nowhere.heap
refuses 1 'Is a directory' top .
refuses 1 'is not a heap profile' top said
: >empty
refuses 1 'is not a heap profile' top empty
sed 's/^# memorybucket 1:/# memorybucket 2:/' leak.1.heap >newer
refuses 1 'reads up to 1' top newer
head -n 4 leak.1.heap >cut
refuses 1 'is not whole' top cut
head -c "$(($(wc -c <leak.1.heap) - 7))" leak.1.heap >cut
refuses 1 'is not whole' folded cut
sed '3s/[0-9]*:/x:/' leak.1.heap >damaged
refuses 1 'is not whole' top damaged
others=(python.*.heap) # python3 may be a script that starts others
refuses 1 'lacks' diff leak.2.heap "${others[0]}"
refuses 1 'No space left' top -o /dev/full leak.1.heap
refuses 1 'cannot be written' pprof -o /dev/full leak.1.heap
# What was there stays where nothing comes of it.
echo old >kept
refuses 1 'lacks' diff -o kept leak.2.heap "${others[0]}"
refuses 1 'is not a heap profile' top -o kept /dev/zero
[ "$(<kept)" = old ] || fail 'an output is lost'
cp leak.1.heap copy.heap
refuses 1 'is the dump itself' top -o copy.heap ./copy.heap
cmp -s leak.1.heap copy.heap || fail 'a dump is lost'
refuses 2 'inuse_space' top -m heap leak.1.heap
refuses 2 '1 to 1000000' top -n 0 leak.1.heap
refuses 2 'no such command' list leak.1.heap
refuses 2 'unrecognized option' --nothing
refuses 2 'two, the earlier one first' diff leak.1.heap

# The library: a place that cannot be written to, a full disk, a value that is none, and checked mode.
# says TEXT VARIABLE=VALUE...: the program still ends with 0
says() {
    env "${@:2}" "$bin/mbrun" true 2>err || fail "${*:2}: status $?"
    [[ $(wc -l <err) = 1 && $(<err) == "memorybucket: "*"$1"* ]] || fail "${*:2} says: $(<err)"
}
says 'could not be written to /nowhere/1: ENOENT' MB_PROFILE=1M MB_PROFILE_FILE=/nowhere/%n
says 'could not be written to /dev/full: ENOSPC' MB_PROFILE=1M MB_PROFILE_FILE=/dev/full
limit=$(ulimit -S -f) # where the hard one is less than unlimited, no more can be set
trap '' XFSZ
ulimit -S -f 1
says "could not be written to $work/part: EFBIG" MB_PROFILE=1M MB_PROFILE_FILE="$work/part"
ulimit -S -f "$limit"
trap - XFSZ
[ ! -e part ] || fail 'a dump that is not whole stays'
trap '' USR2
says 'MB_PROFILE_SIGNAL=12: the signal cannot be taken, or is in use' MB_PROFILE=1M MB_PROFILE_FILE="$work/at-exit" MB_PROFILE_SIGNAL=12
trap - USR2
says 'MB_PROFILE=0 is not valid' MB_PROFILE=0
says 'MB_PROFILE_FILE=heap is not valid' MB_PROFILE=1M MB_PROFILE_FILE=heap
says 'checked mode is on' MB_PROFILE=1M MB_CHECK=1
exit $status
