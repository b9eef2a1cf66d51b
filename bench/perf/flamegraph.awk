# flamegraph.awk: draws folded stacks as an SVG.
#
# Usage: awk -v title=TEXT -v unit=ns|cycles|bytes [-v samples=N] -f flamegraph.awk SORTED SORTED
# SORTED are the lines of fold.awk or of `mbprof folded`, sorted by `LC_ALL=C sort`, and read twice: for the total and
# the height, then for the boxes. In sorted order all stacks that share their first frames are
# neighbours, so a box ends where a line no longer has that frame at that height.

BEGIN {
    width = 1200; margin = 10; head = 54; foot = 14
    box = 17; letter = 6.6 # a monospaced letter of 11 pixels is 6.6 wide
    hairline = 0.2
}

# No ranges of characters: gawk takes them by its locale, and refuses those beyond it.
function escape(text) {
    gsub(/[^[:print:]]/, "?", text)
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    gsub(/"/, "\\&quot;", text)
    return text
}

function clip(text, pixels,    letters) {
    letters = int((pixels - 4) / letter)
    if (length(text) <= letters) return text
    return letters < 4 ? "" : substr(text, 1, letters - 2) ".."
}

function amount(value) {
    if (unit == "ns") return sprintf("%.1f ms", value / 1e6)
    if (unit == "bytes") return sprintf("%.1f KiB", value / 1024)
    return sprintf("%.1f million %s", value / 1e6, unit)
}

# The allocator is green, the kernel grey, all else some orange, the same for the same name.
function colour(text,    sum, i) {
    if (text ~ /_\[k\]$/) return "#b8b8c0"
    if (text ~ /^(mb_|mbi_|thread_cache_|pool_|batch_)/) return "#7ccf7c"
    if (text ~ /^(malloc|free|calloc|realloc|cfree|_int_malloc|_int_free|operator (new|delete))/) return "#a8dda0"
    for (i = 1; i <= length(text) && i <= 24; i++) sum = (sum * 31 + index(letters_known, substr(text, i, 1))) % 9973
    return sprintf("rgb(%d,%d,%d)", 225 + sum % 30, 130 + sum % 89, 60 + sum % 41)
}

function close_box(level, end,    x, w, y, text, label) {
    x = margin + begin[level] / total * (width - 2 * margin)
    w = (end - begin[level]) / total * (width - 2 * margin)
    if (w < hairline) return
    y = head + (deepest - level) * box
    text = frame[level]
    label = clip(text, w)
    printf "<g><title>%s: %.2f %% (%s)</title>", escape(text),
        100 * (end - begin[level]) / total, amount(end - begin[level])
    printf "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>", x, y, w, box - 1,
        (level == 0 ? "#d8d8d8" : colour(text))
    if (label != "") printf "<text x=\"%.1f\" y=\"%d\">%s</text>", x + 2, y + 12, escape(label)
    print "</g>"
}

{
    value = $NF + 0
    stack = $0
    sub(/ [^ ]*$/, "", stack)
    frames = split(stack, part, ";")
}
NR == FNR {
    total += value
    if (frames > deepest) deepest = frames
    next
}
FNR == 1 {
    letters_known = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:<>~"
    height = head + (deepest + 1) * box + foot
    print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" " \
        "font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"11\">\n", width, height, width, height
    print "<style>rect { stroke: white; stroke-width: 0.5 } g:hover rect { stroke: black }</style>"
    printf "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height
    printf "<text x=\"%d\" y=\"22\" font-size=\"15\">%s</text>\n", margin, escape(title)
    printf "<text x=\"%d\" y=\"40\" fill=\"#555\">%s</text>\n", margin,
        escape((samples != "" ? samples " samples, " : "") amount(total) (unit == "ns" ? " of CPU time" : "") \
            ". Width: share of it; above a box: what it called." \
            (unit == "bytes" ? "" : " Green: allocator; grey: kernel."))
    frame[0] = "all"
    begin[0] = 0
    open_levels = 0
}
{
    same = 0
    while (same < frames && same < open_levels && part[same + 1] == frame[same + 1]) same++
    for (level = open_levels; level > same; level--) close_box(level, position)
    for (level = same + 1; level <= frames; level++) {
        frame[level] = part[level]
        begin[level] = position
    }
    open_levels = frames
    position += value
}
END {
    if (total == 0) exit 1
    for (level = open_levels; level >= 0; level--) close_box(level, position)
    print "</svg>"
}
