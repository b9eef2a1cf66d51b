#!/usr/bin/env bash
# Words that every slow path reads, or that many threads write, lie in cache lines of their own: nothing else in the
# library that is written shares them. Each is a struct that says who writes it and who reads it.
# Usage: lines.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
[ $# -eq 2 ] && [ -d "$2/lib" ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
isolation_bytes=$(sed -n 's/.*ISOLATION_BYTES = \([0-9]*\).*/\1/p' "$1/src/core/base.h")
status=0

# check LIBRARY VARIABLE...
check() {
    local library=$1
    shift
    nm -t d -S --defined-only "$library" | awk -v words="$*" -v line_bytes="$isolation_bytes" -v library="$library" '
        function line_of(address) { return int(address / line_bytes) }
        NF == 4 && $3 ~ /^[bBdD]$/ {
            count++; name[count] = $4; first[count] = line_of($1); last[count] = line_of($1 + $2 - 1)
        }
        END {
            wanted = split(words, word, " ")
            for (i = 1; i <= wanted; i++) {
                found = 0
                for (one = 1; one <= count; one++) {
                    if (name[one] != word[i]) continue
                    found++
                    for (other = 1; other <= count; other++) {
                        if (other != one && first[other] <= last[one] && last[other] >= first[one]) {
                            print library ": " name[one] " shares a line with " name[other] > "/dev/stderr"
                            bad = 1
                        }
                    }
                }
                if (found != 1) {
                    print library ": " found " variables are called " word[i] > "/dev/stderr"
                    bad = 1
                }
            }
            exit bad
        }' || status=1
}

# Read by every slow path: hints of pool, decay and excess, and how much is committed, limited and in the centre.
read_on_slow_paths="mbi_pools_hints mbi_decay_hints hints mbi_centre mbi_committed"
# Read and written where threads' caches grow and shrink.
budget="mbi_budget"
check "$2/lib/libmemorybucket.so" $read_on_slow_paths $budget
if [ -e "$2/lib/libmemorybucket-malloc.so" ]; then
    # And what each large request reads.
    check "$2/lib/libmemorybucket-malloc.so" $read_on_slow_paths $budget mbi_next mbi_large_hints
fi
exit $status
