# Sourced by the tests of bench/: what they expect of output, of refusals and of pictures. They have a
# `fail` of their own, or that of tests_report.

# tests_report NAME SOURCE_DIR: $report is that report, and $work a folder that goes when the test ends.
# $charts is what tells it to draw pictures there, where that can be. fail says what is wrong and goes on; the test ends
# with the status $failures.
tests_report() {
    tested=$1 report=$2/bench/report/$1.py failures=0 charts=()
    work=$(mktemp -d)
    ! has_gnuplot || charts=(--charts "$work")
    trap 'rm -rf "$work"' EXIT
    fail() {
        echo "$tested: $*" >&2
        failures=1
    }
}

# expect FILE LINE: exact but for runs of blanks, which only line the columns up.
expect() {
    sed -E 's/ +/ /g; s/^ | $//g' "$1" | grep -xF -- "$2" >/dev/null || fail "no line '$2' in its output"
}

# reports INPUT... <LINES: $report writes each of the lines to $work/out, and figures to $work/json
reports() {
    local line
    "$report" "$@" --results "$work/json" "${charts[@]}" >"$work/out" || fail "status $?"
    while IFS= read -r line; do
        expect "$work/out" "$line"
    done
}

# refuses STATUS TEXT COMMAND...: it fails with that status and says so
refuses() {
    local status=0 wanted=$1 text=$2 output
    shift 2
    output=$("$@" 2>&1) || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: status $status, not $wanted"
    [[ $output == *"$text"* ]] || fail "$*: says '$output', nothing of '$text'"
}

# drawn NAME COUNT DIR: NAME's pictures in DIR are as many, each as PNG and as well-formed SVG.
drawn() {
    local name=$1 wanted=$2 dir=$3 found
    found=$(find "$dir" -name "$name-*.png" -size +0 | wc -l)
    [ "$found" -eq "$wanted" ] || fail "$found pictures and not $wanted"
    python3 - "$dir" "$name" "$wanted" <<'PYTHON' || fail "an SVG is not as it should be"
import glob, sys, xml.dom.minidom
files = glob.glob(f"{sys.argv[1]}/{sys.argv[2]}-*.svg")
assert len(files) == int(sys.argv[3]), files
for file in files:
    xml.dom.minidom.parse(file)
PYTHON
    rm -f "$dir"/*.png "$dir"/*.svg
}

# shows FILE TEXT...: the SVG has each text, as a whole
shows() {
    local file=$1 text
    shift
    for text in "$@"; do
        grep -qF -- ">$text<" "$file" || fail "$file does not show '$text'"
    done
}

# has_gnuplot: pictures can be drawn here; otherwise the reports are run without
has_gnuplot() { command -v gnuplot >/dev/null; }

# fake_gnuplot FILE: makes a gnuplot that draws no more than how its pictures end, which the reports look at
fake_gnuplot() {
    cat >"$1" <<'END'
#!/bin/sh
sed -n "s/^set output ['\"]\(.*\)['\"]$/\1/p" | while read -r path; do
    case $path in
    *.svg) echo '</svg>' ;;
    *.png) printf 'IEND\256\102\140\202' ;;
    esac >"$path"
done
END
    chmod +x "$1"
}
