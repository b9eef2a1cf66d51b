#!/usr/bin/env -S python3 -B
"""The colours of bench/report/charts.py: each allocator has its own, however many there are.

Usage: charts.py SOURCE_DIR"""
import sys

sys.path.insert(0, f"{sys.argv[1]}/bench/report")
import charts  # noqa: E402

KNOWN = ["inlined", "called", "called-32k", "dropin", "dropin-before", "glibc",
         "mimalloc", "jemalloc", "tcmalloc", "tbbmalloc"]
EXTRA = [f"extra{i}" for i in range(16)]

styles = charts.styles(KNOWN + EXTRA)
assert [style.name for style in styles] == KNOWN + EXTRA
colours = [style.colour for style in styles]
for at, one in enumerate(colours):
    for other in colours[:at]:
        assert charts._distance(one, other) > 60, (one, other)  # black to white: 765
# Those that are known have the same colour in each picture.
assert charts.styles(["dropin", "x", "glibc"])[2].colour == styles[KNOWN.index("glibc")].colour
assert styles[KNOWN.index("called-32k")].title == "MemoryBucket, called-32k"
# Lines that share a mark are far apart in the list.
marks = [style.point for style in styles if not charts._is_ours(style.name)]
assert all(len(set(marks[i:i + 8])) == len(marks[i:i + 8]) for i in range(len(marks)))
