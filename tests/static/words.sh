#!/usr/bin/env bash
# No text uses a retired word: tests/static/words lists them, and docs/architecture.md has the words in use.
# Usage: words.sh SOURCE_DIR [PATH...]    PATH: look at these files and folders of the sources only
set -euo pipefail
[ $# -ge 1 ] && [ -d "$1/tests/static" ] || { sed -n '3s/^# //p' "$0" >&2; exit 2; }
cd "$1"
shift
table=tests/static/words
status=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# files PLACE...: those below the places that are asked for
files() {
    find "$@" -type f ! -path "$table" | LC_ALL=C sort | while read -r file; do
        for path in "${asked[@]}"; do
            [[ $file != "$path" && $file != "$path"/* ]] || echo "$file"
        done
    done
}
asked=("$@")
[ $# -gt 0 ] || asked=(src include docs bench tests *.md)

# numbered: the lines of the files on stdin, each behind FILE:LINE:
numbered() { xargs -r grep -HnI '' || true; }

# comments: only what stands in comments of C and C++
comments() {
    xargs -r awk '
        FNR == 1 { inside = 0 }
        {
            line = $0
            text = ""
            while (line != "") {
                if (inside) {
                    end = index(line, "*/")
                    text = text " " (end ? substr(line, 1, end - 1) : line)
                    line = end ? substr(line, end + 2) : ""
                    inside = !end
                } else if (match(line, /\/[*\/]/)) {
                    inside = substr(line, RSTART, 2) == "/*"
                    text = text (inside ? "" : substr(line, RSTART + 2))
                    line = inside ? substr(line, RSTART + 2) : ""
                } else {
                    line = ""
                }
            }
            if (text != "") print FILENAME ":" FNR ":" text
        }'
}

files src include | comments >"$work/comments"
{ files *.md docs bench | grep -v '\.svg$' || true; } | numbered >"$work/pages"
cat "$work/comments" "$work/pages" >"$work/prose"
{ files src include docs bench tests *.md | grep -v '\.svg$' || true; } | numbered >"$work/names"

# Columns are two spaces or more apart.
while IFS=$'\t' read -r texts pattern word instead; do
    [ -s "$work/$texts" ] || [ -e "$work/$texts" ] || { echo "$table: $texts are no texts" >&2; status=1; continue; }
    [ "$word" = - ] || grep -qE "^\| ([^|]*[ ,/])?$word[ ,/|]" docs/architecture.md || {
        echo "$table: '$word' is no word of docs/architecture.md" >&2
        status=1
    }
    grep -E "^[^:]*:[0-9]*:(.*[^A-Za-z0-9_])?($pattern)([^A-Za-z0-9_]|\$)" "$work/$texts" >"$work/found" || continue
    echo "$(wc -l <"$work/found") times '$pattern'; say $instead:" >&2
    head -n "${WORDS_SHOWN:-5}" "$work/found" | cut -c 1-160 >&2
    status=1
done < <(sed -E -e '/^(#|$)/d' -e 's/  +/\t/g' "$table")
exit $status
