#!/usr/bin/env bash
# inline.h for aarch64, C and C++, optimised and not, with the shared and the static library: it runs, and the fast
# paths read the thread's cache in place.
# Usage: inline.sh SOURCE_DIR LIBRARY_DIR
set -euo pipefail
source=$1 library=$2 root=$QEMU_LD_PREFIX
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for compiler in "gcc -std=c11" "g++ -std=c++17 -x c++"; do
    for level in -O0 -O2; do
        # shellcheck disable=SC2086 # flags
        aarch64-linux-gnu-$compiler $level --sysroot="$root" -Wall -Wextra -Wshadow -Wconversion -Werror -I"$source/include" \
            -I"$source/tests/support" -c "$source/tests/consumers/inline/consumer.c" -o "$work/consumer.o"
        link=(aarch64-linux-gnu-g++ --sysroot="$root" "$work/consumer.o" -pthread)
        "${link[@]}" -o "$work/shared" -L"$library" -lmemorybucket -Wl,-rpath,"$library"
        "${link[@]}" -o "$work/static" "$library/libmemorybucket.a" -lurcu-bp
        "${link[@]}" -o "$work/all-static" -static-pie "$library/libmemorybucket.a" -lurcu-bp
        for form in shared static all-static; do
            [ "$("$work/$form")" = ok ] || { echo "$compiler $level, $form: fails" >&2; exit 1; }
            [ $level != -O0 ] && [ $form != all-static ] || continue
            for function in hot_alloc hot_free hot_free_sized; do
                code=$(aarch64-linux-gnu-objdump -d --no-show-raw-insn --disassemble=$function "$work/$form")
                [[ $code == *tpidr_el0* ]] && [ "$(grep -cE '\sbl?\s.*<mb_' <<<"$code" || true)" -le 1 ] ||
                    { echo "$compiler, $form: $function is not inlined" >&2; exit 1; }
            done
        done
    done
done
echo "all forms: ok"
