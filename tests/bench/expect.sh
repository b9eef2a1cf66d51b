# Sourced by the tests of bench/, which have a `fail` of their own: what they expect of output, of
# refusals and of charts.

# expect FILE LINE: exact but for runs of blanks, which only line the columns up.
expect() {
    sed -E 's/ +/ /g; s/^ | $//g' "$1" | grep -xF -- "$2" >/dev/null || fail "no line '$2' in its output"
}

# refuses STATUS TEXT COMMAND...: it fails with that status and says so
refuses() {
    local status=0 wanted=$1 text=$2 output
    shift 2
    output=$("$@" 2>&1) || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: status $status, not $wanted"
    [[ $output == *"$text"* ]] || fail "$*: says '$output', nothing of '$text'"
}

# draw NAME COUNT DIR [SETTING]: bench/NAME.gnuplot draws so many pictures of the data in DIR, and is
# silent. Where there is no gnuplot nothing is drawn.
draw() {
    local name=$1 wanted=$2 dir=$3 drawn
    command -v gnuplot >/dev/null || return 0
    rm -f "$dir"/*.png "$dir"/*.svg
    LC_ALL=C.UTF-8 gnuplot -e "data='$dir'; ${4-} output_dir='$dir'; machine='a test'" \
        "$(dirname "${BASH_SOURCE[0]}")/../../bench/report/$name.gnuplot" >"$dir/log" 2>&1 || fail "gnuplot: $(cat "$dir/log")"
    [ ! -s "$dir/log" ] || fail "gnuplot said: $(cat "$dir/log")"
    drawn=$(find "$dir" -name "$name-*.png" -size +0 -o -name "$name-*.svg" -size +0 | wc -l)
    [ "$drawn" -eq "$wanted" ] || fail "$drawn pictures and not $wanted"
}
