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

# The library's names in a header, without its comments.
names_in() {
    awk '{ text = text $0 "\n" } END { gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", text); print text }' "src/$1" |
        { grep -oE '\bmbi_[a-z_0-9]+' || true; } | LC_ALL=C sort -u
}

# height FILE RUNG, uses BUILD FILE SYMBOL, defines BUILD FILE SYMBOL, upcall SYMBOL
while IFS= read -r file; do
    echo "height $file $(rung "$file")"
    [[ $file != *.h ]] || names_in "$file" | sed "s|^|names $file |"
done < <(cd src && find . -name '*.[ch]' | sed 's|^\./||') >"$facts"
names_in core/upcalls.h | sed 's/^/upcall /' >>"$facts"
for build in memorybucket_parts memorybucket_dropin_parts; do
    objects=$build_dir/CMakeFiles/$build.dir/src
    [ -d "$objects" ] || continue
    while IFS= read -r object; do
        file=${object#"$objects/"}
        file=${file%.o}
        [ -e "src/$file" ] || continue # left behind by a file that was renamed
        nm -g -P "$object" | awk -v build="$build" -v file="$file" \
            '{ print ($2 ~ /^[Uvw]$/ ? "uses" : "defines"), build, file, $1 }'
    done < <(find "$objects" -name '*.o')
done >>"$facts"
grep -q '^defines' "$facts" || { echo "no object files in $build_dir" >&2; exit 1; }

awk '
    $1 == "height" { height[$2] = $3; next }
    $1 == "upcall" { upcall[$2] = 1; next }
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
