#!/usr/bin/env bash
# Calls point downward, too: what a file uses and a file above it defines is declared in src/core/upcalls.h, and all that
# is declared there is used so. Heights are the rungs of sources.sh; what is used and defined, the object files say, and
# for inline functions, which the files above compile, the headers.
# Usage: layers.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source_dir=$1 build_dir=$2
cd "$source_dir"
eval "$(sed -n '/^rung() {/,/^}/p' tests/static/sources.sh)"
facts=$(mktemp)
trap 'rm -f "$facts"' EXIT

# names_in WORD HEADER...: WORD HEADER SYMBOL for each of the library's names in it, without its comments
names_in() {
    (cd src && awk -v word="$1" '
        function tell(count, i, names) {
            gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", text)
            count = split(text, names, /[^A-Za-z_0-9]+/)
            for (i = 1; i <= count; i++)
                if (names[i] ~ /^mbi_[a-z_0-9]+$/ && !told[file, names[i]]++) print word, file, names[i]
            text = ""
        }
        FNR == 1 { tell(); file = FILENAME }
        { text = text $0 "\n" }
        END { tell() }' "${@:2}")
}

# height FILE RUNG, names FILE SYMBOL, uses BUILD FILE SYMBOL, defines BUILD FILE SYMBOL, upcall FILE SYMBOL
mapfile -t files < <(cd src && find . -name '*.[ch]' | sed 's|^\./||')
headers=()
for file in "${files[@]}"; do
    rung "$file"
    echo "height $file $rung"
    [[ $file != *.h ]] || headers+=("$file")
done >"$facts"
names_in names "${headers[@]}" >>"$facts"
names_in upcall core/upcalls.h >>"$facts"
for build in memorybucket_parts memorybucket_dropin_parts; do
    objects=$build_dir/CMakeFiles/$build.dir/src
    [ -d "$objects" ] || continue
    mapfile -t files < <(cd "$objects" && find . -name '*.c.o' | sed 's|^\./||; s|\.o$||')
    present=()
    for file in "${files[@]}"; do
        [ ! -e "src/$file" ] || present+=("$file.o") # others are left behind by a file that was renamed
    done
    # FILE.c.o: SYMBOL TYPE ...
    (cd "$objects" && nm -A -g -P "${present[@]}") |
        awk -v build="$build" '{ sub(/\.o:$/, "", $1); print ($3 ~ /^[Uvw]$/ ? "uses" : "defines"), build, $1, $2 }'
done >>"$facts"
grep -q '^defines' "$facts" || { echo "no object files in $build_dir" >&2; exit 1; }

awk '
    $1 == "height" { height[$2] = $3; next }
    $1 == "upcall" { upcall[$3] = 1; next }
    $1 == "defines" { definer[$2, $4] = $3; builds[$2] = 1; next }
    $1 == "uses" { user[++users] = $3; used[users] = $4; in_build[users] = $2; next }
    { header[++headers] = $2; named[headers] = $3 }
    function stem(file) { sub(/\.[ch]$/, "", file); return file }
    function judge(file, symbol, build, by) {
        by = definer[build, symbol]
        if (by == "" || height[by] <= height[file] || stem(by) == stem(file)) return
        if (symbol in upcall) { met[symbol] = 1; return }
        if (!told[file, symbol]++) print file " uses " symbol ", which " by " above it defines" > "/dev/stderr"
        bad = 1
    }
    END {
        for (i = 1; i <= users; i++) judge(user[i], used[i], in_build[i])
        for (i = 1; i <= headers; i++)
            if (header[i] != "core/upcalls.h") for (build in builds) judge(header[i], named[i], build)
        for (symbol in upcall) if (!(symbol in met) && !(builds_lack_it(symbol))) {
            print "core/upcalls.h declares " symbol ", which no file below its definition uses" > "/dev/stderr"
            bad = 1
        }
        exit bad
    }
    # In a build without the drop-in nothing can be said of what only that defines.
    function builds_lack_it(symbol, build) {
        if ("memorybucket_dropin_parts" in builds) return 0
        for (build in builds) if ((build, symbol) in definer) return 0
        return 1
    }' "$facts"
