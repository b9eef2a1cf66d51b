#!/usr/bin/env bash
# inline.h with gcc and clang, C and C++, optimised and not, on the shared and the static library; a
# library that does not fit fails at link time, and at the program's start; link-time optimisation
# inlines without the header.
# Usage: run.sh SOURCE_DIR LIBRARY_DIR
set -euo pipefail
source=$1 library=$2
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}
flags=(-Wall -Wextra -Wshadow -Wconversion -Werror -pthread -I"$source/include" -I"$source/tests/support")
read -ra urcu < <(pkg-config --libs liburcu-bp)

# inlined FUNCTION PROGRAM: it reads the thread's cache itself, and enters the library in one place at most
inlined() {
    local code ways_out
    code=$(objdump -d --no-show-raw-insn --disassemble="$1" "$2")
    ways_out=$(grep -cE '(call|jmp) .*<mb_' <<<"$code" || true)
    [[ $code == *"<$1>:"* && $code == *%fs:* ]] && [ "$ways_out" -le 1 ]
}

for compiler in "gcc -std=c11" "clang -std=c11" "g++ -std=c++17 -x c++" "clang++ -std=c++17 -x c++"; do
    for level in -O0 -O2; do
        $compiler $level "${flags[@]}" -c consumer.c -o "$work/consumer.o" || fail "$compiler $level: does not compile"
        symbols=$(nm "$work/consumer.o")
        [[ $symbols == *"U mb_inline_cache_v"* ]] || fail "$compiler $level: does not depend on the layout's version"
        ${compiler%% *} "$work/consumer.o" -o "$work/shared" -L"$library" -lmemorybucket -Wl,-rpath,"$library" -pthread
        ${compiler%% *} "$work/consumer.o" -o "$work/static" "$library/libmemorybucket.a" "${urcu[@]}" -pthread
        for form in shared static; do
            [ "$("$work/$form")" = ok ] || fail "$compiler $level, $form: fails"
            [ $level != -O0 ] || continue
            for function in hot_alloc hot_free hot_free_sized; do
                inlined $function "$work/$form" || fail "$compiler, $form: $function is not inlined"
            done
        done
    done
done

# The drop-in, preloaded, takes the library's place whole.
[ "$(LD_PRELOAD=$library/libmemorybucket-malloc.so "$work/shared")" = ok ] || fail "fails with the drop-in preloaded"

# Another version of the layout.
sed 's/mb_inline_cache_v[0-9]*/mb_inline_cache_v999/g' "$source/include/memorybucket/inline.h" >"$work/inline.h"
cp "$source/include/memorybucket/memorybucket.h" "$work/"
sed 's|<memorybucket/inline.h>|"inline.h"|' consumer.c >"$work/other.c"
gcc -std=c11 -O2 -pthread -I"$work" -I"$source/tests/support" -c "$work/other.c" -o "$work/other.o"
for form in "-L$library -lmemorybucket" "$library/libmemorybucket.a ${urcu[*]}"; do
    if gcc "$work/other.o" -o "$work/other" $form -pthread 2>"$work/errors"; then
        fail "a header of another version links with $form"
    fi
    errors=$(<"$work/errors")
    [[ $errors == *mb_inline_cache_v999* ]] || fail "the linker does not name the version: $errors"
done
# A program that was linked to a library of that version does not start with this one.
printf '__thread void *mb_inline_cache_v999; %s' "$(printf 'void %s(void); void %s(void) {}\n' \
    {mb_alloc,mb_free,mb_inline_call_alloc,mb_inline_call_free,mb_inline_call_free_sized,mb_usable_size,mb_stats_get}{,} | sort -u)" >"$work/stub.c"
mkdir "$work/lib"
soname=$(objdump -p "$library/libmemorybucket.so" | awk '$1 == "SONAME" { print $2 }')
gcc -shared -fPIC "$work/stub.c" -o "$work/lib/$soname" -Wl,-soname,"$soname"
gcc "$work/other.o" -o "$work/other" "$work/lib/$soname" -pthread
if LD_LIBRARY_PATH=$library "$work/other" >"$work/out" 2>&1; then
    fail "a program for another version runs"
fi
out=$(<"$work/out")
[[ $out == *'undefined symbol: mb_inline_cache_v999'* ]] || fail "the loader does not name the version: $out"

# Link-time optimisation: the archive as the lto preset builds it, and no inline.h.
lto=(-std=c11 -O2 -flto -fvisibility=hidden -D_GNU_SOURCE -I"$source/src" -I"$source/include" -I"$source/tests/support")
for file in "$source"/src/api/*.c "$source"/src/core/*.c "$source"/src/tcache/*.c "$source"/src/check/*.c "$source"/src/insight/*.c; do
    gcc "${lto[@]}" -DNDEBUG -c "$file" -o "$work/$(basename "$file" .c).lto.o"
done
gcc-ar rcs "$work/libmemorybucket.a" "$work"/*.lto.o
sed 's|<memorybucket/inline.h>|<memorybucket/memorybucket.h>|' consumer.c >"$work/plain.c"
gcc "${lto[@]}" -c "$work/plain.c" -o "$work/plain.o"
gcc -O2 -flto "$work/plain.o" -o "$work/lto" "$work/libmemorybucket.a" "${urcu[@]}" -pthread
[ "$("$work/lto")" = ok ] || fail "link-time optimisation: fails"
for function in hot_alloc hot_free; do
    inlined $function "$work/lto" || fail "link-time optimisation: $function is not inlined"
done
echo "all forms: ok"
