#!/usr/bin/env bash
# memcheck and AddressSanitizer see the life of every object: they report planted faults, and nothing of what is right.
# Usage: tools.sh SOURCE_DIR LIBRARY_DIR
set -euo pipefail
source=$1 library=$2
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
build() { # build COMPILER OUTPUT FLAG...
    "$1" -std=c11 -g -O1 "${@:3}" -I"$source/include" "$here/tools.c" -o "$work/$2" -L"$library" -lmemorybucket \
        -Wl,-rpath,"$library"
}
# expect WHAT TEXT COMMAND...: its output has the text, and the place of the fault; no text: it says nothing
expect() {
    local what=$1 text=$2 said
    shift 2
    said=$("$@" 2>&1 >/dev/null) || true
    if [ -z "$text" ]; then
        [ -z "$said" ] || { echo "$what: says $said" >&2; status=1; }
    elif [[ $said != *"$text"* || $said != *tools.c:* ]]; then
        printf '%s: does not say "%s" and where:\n%s\n' "$what" "$text" "$said" >&2
        status=1
    fi
}

build gcc plain
memcheck=(valgrind -q --leak-check=full "$work/plain")
expect 'memcheck, use after free' 'bytes inside a block of size 40 free' "${memcheck[@]}" use_after_free
expect 'memcheck, overflow' '0 bytes after a block of size 40 alloc' "${memcheck[@]}" overflow
expect 'memcheck, double free' 'Invalid free()' "${memcheck[@]}" double_free
expect 'memcheck, leak' 'are definitely lost in loss record' "${memcheck[@]}" leak
expect 'memcheck, nothing' '' "${memcheck[@]}" nothing
# The quarantines are of small slots: no other pool may stand in for them.
said=$(MB_POOL_MAX=32K MB_REGION_SIZE=64M MB_STATS=1 "${memcheck[@]}" many 2>&1 >/dev/null)
awk '$1 == 504 { small = 1 } $1 + 0 > 512 { upper = 1 } END { exit !small || upper }' <<<"$said" \
    || { printf 'memcheck, many: not by small pools alone:\n%s\n' "$said" >&2; status=1; }

# Where clang's own symbolizer is not installed.
ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer || command -v addr2line)
export ASAN_SYMBOLIZER_PATH
for compiler in gcc clang; do
    build $compiler sanitized -fsanitize=address
    expect "ASan ($compiler), use after free" 'heap-use-after-free' "$work/sanitized" use_after_free
    expect "ASan ($compiler), overflow" 'heap-buffer-overflow' "$work/sanitized" overflow
    expect "ASan ($compiler), double free" 'attempting double-free' "$work/sanitized" double_free
    expect "ASan ($compiler), leak" '400 byte(s) leaked in 10 allocation(s)' "$work/sanitized" leak
    expect "ASan ($compiler), nothing" '' "$work/sanitized" nothing
    # The pools, annotated, where they are asked for.
    pools=(env MB_CHECK=double_free,size "$work/sanitized")
    expect "ASan ($compiler) on the pools, use after free" 'use-after-poison' "${pools[@]}" use_after_free
    expect "ASan ($compiler) on the pools, overflow" 'use-after-poison' "${pools[@]}" overflow
    expect "ASan ($compiler) on the pools, nothing" '' "${pools[@]}" nothing
done
exit $status
