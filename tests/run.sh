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
# The packages' programs, and not others of their names: a version manager's python3 starts in seven times the time.
export PATH=/usr/bin:/bin:$PATH

# passed SINCE: the time from then, a value of SECONDS, until now
passed() { printf '%d min %02d s' $(((SECONDS - $1) / 60)) $(((SECONDS - $1) % 60)); }

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
    test=(ctest --preset "$preset" -j "$(nproc)")
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
    echo "== $preset: built in $(passed $began); tests"
    "${test[@]}" || failed+=("$preset")
    # Once is luck: what runs threads, and takes less than a second, runs three times in each build.
    [ "$preset" = aarch64 ] ||
        ctest --preset "$preset" -L 'concurrent|environment' -LE once --repeat until-fail:2 -j "$(nproc)" || failed+=("$preset (repeated)")
    echo "== $preset: $(passed $began)"
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "Failed: ${failed[*]}$left_out"
    exit 1
fi
echo "All tests passed in $(passed 0): ${presets[*]}$left_out"
