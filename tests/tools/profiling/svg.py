"""A flame graph is what it should be: valid XML; every box has a tooltip and lies in the picture;
labels fit their boxes; a box lies upon one that is as wide or wider; the given functions are there.
Usage: svg.py FILE FUNCTION..."""

import re
import sys
import xml.etree.ElementTree as ElementTree

LETTER = 6.6
svg = ElementTree.parse(sys.argv[1]).getroot()
tag = "{http://www.w3.org/2000/svg}"
assert svg.tag == tag + "svg", svg.tag
width, height = float(svg.get("width")), float(svg.get("height"))

boxes, names = [], {}
for group in svg.iter(tag + "g"):
    title = group.find(tag + "title").text
    match = re.fullmatch(r"(.*): ([0-9.]+) % \(.*\)", title)
    assert match, title
    rect = group.find(tag + "rect")
    x, y, w = (float(rect.get(key)) for key in ("x", "y", "width"))
    assert x >= 0 and x + w <= width and 0 <= y < height, title
    boxes.append((x, y, w, title))
    names[match[1]] = max(names.get(match[1], 0), float(match[2]))
    text = group.find(tag + "text")
    if text is not None:
        assert len(text.text) * LETTER <= w, "the label %r does not fit" % text.text
        assert match[1].startswith(text.text.removesuffix("..")), title

lowest = max(y for x, y, w, title in boxes)
rows = {}
for x, y, w, title in boxes:
    rows.setdefault(y, []).append((x, w, title))
step = min((abs(a - b) for a in rows for b in rows if a != b), default=0)
for x, y, w, title in boxes:
    if y != lowest:
        below = rows.get(y + step, [])
        assert any(bx - 0.11 <= x and x + w <= bx + bw + 0.11 for bx, bw, _ in below), title + " floats"
for row in rows.values():
    row.sort()
    for (x, w, title), (next_x, _, _) in zip(row, row[1:]):
        assert x + w <= next_x + 0.11, title + " overlaps its neighbour"

assert names["all"] == 100, names
for function in sys.argv[2:]:
    assert function in names, "%s is not in the graph; there are %s" % (function, sorted(names))
