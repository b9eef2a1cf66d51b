#!/usr/bin/env bash
# Coverage-guided fuzzing of the calls (api) and of the environment (config), with clang's libFuzzer under
# ASan and UBSan. Starts from tests/random/fuzz/corpus, which it leaves as it is: an input a line, in base64.
# Usage: tests/random/fuzz/run.sh [--seconds N] [--jobs N] [--upper] [api] [config]    default: both, 300 seconds each
#        tests/random/fuzz/run.sh --build                                    only builds, and unpacks
#        tests/random/fuzz/run.sh --print FILE       an input of api, such as a crash, as C that compiles alone; where it
#        fails in the release build too, build/release/bin/property --input FILE makes it short first
#        tests/random/fuzz/run.sh --merge [api] [config]    makes the corpus small again, with what was found added
# --seconds is for each of them, --jobs how many processes of each run at once (default 1). --upper moves the border to
# 32 KiB, and calls ask for sizes up to it. A finding is left in build/fuzz/findings; status 1.
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")/../../.."

out=build/fuzz
seconds=300 jobs=1 mode=run upper=''
targets=()
die() {
    echo "tests/random/fuzz/run.sh: $*" >&2
    exit 2
}
number() { [[ ${2:-} =~ ^[1-9][0-9]{0,6}$ ]] || die "$1 wants a number from 1 on, not '${2:-}'"; }
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) number "$1" "${2:-}"; seconds=$2; shift ;;
    --jobs) number "$1" "${2:-}"; jobs=$2; shift ;;
    --upper) upper=-upper ;;
    --build) mode=build ;;
    --merge) mode=merge ;;
    --print)
        [ -n "${2:-}" ] || die "--print wants a file"
        mode=print input=$(cd "$called_from" && realpath -e -- "${2:-}") || die "--print wants a file"
        shift
        ;;
    api | config) targets+=("$1") ;;
    -h | --help) sed -n '2,10s/^# //p' "$0"; exit 0 ;;
    *) die "$1: no such option or target; targets are api and config" ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || targets=(api config)

mkdir -p $out/findings
exec 9>$out/.lock
flock 9
log=$out/build.log
if ! { cmake -S . -B $out -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS_RELWITHDEBINFO='-O1 -g1' -DMEMORYBUCKET_BENCH=OFF \
        -DMEMORYBUCKET_WERROR=ON -DMEMORYBUCKET_SANITIZE=address,undefined,fuzzer-no-link &&
    cmake --build $out --target fuzz_api fuzz_config fuzz_faulty memorybucket_static; } >$log 2>&1; then
    tail -n 30 $log
    die "the build failed; all of it is in $PWD/$log"
fi
kept=$out/kept # the corpus, unpacked: an input a file
for target in "${targets[@]}"; do
    packed=tests/random/fuzz/corpus/$target.base64
    [ $packed -nt $kept/$target ] || continue
    rm -rf $kept/$target
    mkdir -p $kept/$target
    number=0
    while read -r line; do
        number=$((number + 1))
        base64 -d <<<"$line" >$kept/$target/$number
    done <$packed
    touch $kept/$target
done
flock -u 9
[ $mode != build ] || exit 0

# Small magazines and blocks: short programs go far. The library does nothing by the clock, so that an
# input does the same each time.
export MB_MAGAZINE_SIZE=8 PROPERTY_BLOCK_BYTES=4096 MB_DECAY_MS=-1
[ -z "$upper" ] || export MB_POOL_MAX=32768 # config sets it itself
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
if [ $mode = print ]; then
    exec $out/bin/fuzz_api --print "$input"
fi

# Impossible sizes are asked for on purpose, and ASan says so each time.
quiet() { grep -avE 'WARNING: AddressSanitizer failed to allocate|requested allocation size' || true; }
length_of() { [ "$1" = api ] && echo 360 || echo 160; }

found=()
for target in "${targets[@]}"; do
    fuzz=("$out/bin/fuzz_$target" -max_len="$(length_of "$target")" -timeout=300
        -artifact_prefix="$out/findings/$target$upper-" -print_final_stats=1)
    scratch=$out/corpus/$target$upper
    mkdir -p "$scratch"
    if [ $mode = merge ]; then
        rm -rf $out/merged
        mkdir $out/merged
        # As few inputs as reach all that these reach.
        "${fuzz[@]}" -set_cover_merge=1 $out/merged $kept/$target "$scratch" 2>&1 | quiet | tail -n 1
        packed=tests/random/fuzz/corpus/$target.base64
        find $out/merged -type f -exec sh -c 'base64 -w 0 "$1" && echo' sh {} \; | LC_ALL=C sort >$packed
        echo "$packed: $(wc -l <$packed) inputs"
        continue
    fi
    log=$out/$target$upper.log
    running=()
    for ((job = 1; job <= jobs; job++)); do
        "${fuzz[@]}" -max_total_time="$seconds" "$scratch" $kept/$target >"$log.$job" 2>&1 &
        running+=($!)
    done
    for ((job = 1; job <= jobs; job++)); do
        status=0
        wait "${running[job - 1]}" || status=$?
        executions=$(sed -nE 's/^stat::number_of_executed_units: *//p' "$log.$job")
        coverage=$(grep -aoE 'cov: [0-9]+ ft: [0-9]+' "$log.$job" | tail -n 1 || true)
        echo "$target$upper: ${executions:-?} executions; coverage: ${coverage:-?} (edges, features); log: $PWD/$log.$job"
        if [ "$status" -ne 0 ]; then
            quiet <"$log.$job" | tail -n 40
            found+=("$target")
        fi
    done
done
if [ ${#found[@]} -gt 0 ]; then
    echo "Found: ${found[*]}; inputs are in $PWD/$out/findings (tests/random/fuzz/run.sh ${upper:+--upper }--print FILE shows api's as C)"
    exit 1
fi
