#!/usr/bin/env bash
# Installs what is missing, builds everything, and runs all tests: release, ASan+UBSan and TSan builds, and a short form
# of those of a build for aarch64, by qemu.
# Usage: tests/run.sh [PRESET...]    PRESET is release, asan, tsan, debug, lto or aarch64, which is then run in full;
#                                    default: release asan tsan, and aarch64 in short
set -euo pipefail
cd "$(dirname "$0")/.."

presets=("$@")
short='' left_out=''
if [ ${#presets[@]} -eq 0 ]; then
    presets=(release asan tsan aarch64)
    short=1
fi
for preset in "${presets[@]}"; do
    case $preset in
    release | asan | tsan | debug | lto | aarch64) ;;
    -h | --help)
        sed -n '2,5s/^# //p' "$0"
        exit 0
        ;;
    *)
        echo "tests/run.sh: $preset: no such preset; there are release, asan, tsan, debug, lto and aarch64" >&2
        exit 2
        ;;
    esac
done

# passed SINCE: the time from then, a value of SECONDS, until now
passed() { printf '%d min %02d s' $(((SECONDS - $1) / 60)) $(((SECONDS - $1) % 60)); }

tests/packages.sh build test
case " ${presets[*]} " in
*" aarch64 "*)
    # Without arm64 packages, or without a way to start arm64 programs, the default goes on with the rest.
    if ! { tests/packages.sh aarch64 && tests/aarch64/root.sh && tests/aarch64/binfmt.sh true; }; then
        [ -n "$short" ] || exit 1
        presets=(release asan tsan)
        left_out="; aarch64 was left out, for the reason above all tests"
        echo "== aarch64: left out"
    fi
    ;;
esac
took=("packages: $(passed 0)")
# The packages' programs, and not others of their names: a version manager's python3 starts in seven times the time.
export PATH=/usr/bin:/bin:$PATH

# Many a test waits for a time that it is about: one more than there are processors.
at_once=$(($(nproc) + 1))
failed=()
for preset in "${presets[@]}"; do
    began=$SECONDS
    echo "== $preset: build"
    log=build/$preset.log
    mkdir -p build
    if ! : >"$log"; then
        echo "tests/run.sh: $PWD/$log cannot be written" >&2
        exit 1
    fi
    build=(cmake --build --preset "$preset")
    test=(ctest --preset "$preset" -j $at_once)
    if [ "$preset" = aarch64 ]; then
        test=(tests/aarch64/binfmt.sh "${test[@]}")
        [ -z "$short" ] || { build+=(--target short) && test+=(-L short); }
    fi
    if ! { cmake --preset "$preset" && "${build[@]}"; } >>"$log" 2>&1; then
        tail -n 40 "$log"
        echo "== $preset: the build failed; all of it is in $log"
        failed+=("$preset (build)")
        continue
    fi
    line="built in $(passed $began)"
    echo "== $preset: $line; tests"
    tests_began=$SECONDS
    "${test[@]}" || failed+=("$preset")
    line+=", tested in $(passed $tests_began)"
    # Once is luck: what runs threads, and takes less than a second, runs twice in each build (tests/deep.sh repeat: all,
    # and more often).
    if [ "$preset" != aarch64 ]; then
        echo "== $preset: what runs threads, once more"
        again_began=$SECONDS
        ctest --preset "$preset" -L 'concurrent|environment' -LE once -j $at_once || failed+=("$preset (repeated)")
        line+=", some again in $(passed $again_began)"
    fi
    echo "== $preset: $(passed $began)"
    took+=("$preset: $(passed $began), $line")
done
printf '%s\n' "${took[@]}"

if [ ${#failed[@]} -gt 0 ]; then
    echo "Failed: ${failed[*]}$left_out"
    exit 1
fi
echo "All tests passed in $(passed 0): ${presets[*]}$left_out"
