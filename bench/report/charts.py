"""Pictures of bars and of lines, drawn by gnuplot, each as PNG and as SVG; none without data.

Everything is placed by numbers here, in pixels from the upper left corner, so that gnuplot has
nothing to arrange: a picture grows with its rows, and a panel has as many groups of bars as leave
each bar room for its value.
"""
import colorsys
import itertools
import math
import os
import subprocess
from typing import NamedTuple

from sheet import fail

WIDTH, LEFT, RIGHT = 1200, 56, 14
BAR_MIN = 13.5  # pixels, for a value that is written along it
GROUP_MIN = 112  # pixels, for a workload's name below
FORMATS = {
    "svg": "svg noenhanced size {0},{1} font 'DejaVu Sans,12' background '#ffffff'",
    "png": "pngcairo noenhanced size {0},{1} font 'DejaVu Sans,12' fontscale 0.75",
}
GREY, RED, PALE_RED = "#5a5a5a", "#b3261e", "#fbe6e4"

# MemoryBucket's forms are the blues.
KNOWN = {"inlined": "#08519c", "called": "#3f8fcb", "dropin": "#9ecae8", "memorybucket": "#2f7ebc",
         "glibc": "#8a8a8a", "system": "#bdbdbd", "mimalloc": "#e0a23c", "jemalloc": "#b8604f",
         "tcmalloc": "#6f9f5e", "tbbmalloc": "#9678ae"}
OURS = ("inlined", "called", "dropin", "memorybucket")
POINTS = (4, 6, 8, 10, 12, 1, 2, 3)  # gnuplot's square, circle, triangles, diamond, crosses


class Style(NamedTuple):
    name: str
    title: str
    colour: str
    point: int


class Item(NamedTuple):
    """A group of bars, with a value for each style, NaN: none; or a panel of lines, with a list of
    points for each style, which may be empty. `missed`: what is said of a target."""
    title: str
    values: list
    missed: str = ""


def _distance(one, other):
    """Between two colours '#rrggbb', near to how the eye sees it (Thiadmer Riemersma's formula)."""
    (r1, g1, b1), (r2, g2, b2) = (bytes.fromhex(colour[1:]) for colour in (one, other))
    mean = (r1 + r2) / 2
    return math.sqrt((2 + mean / 256) * (r1 - r2) ** 2 + 4 * (g1 - g2) ** 2
                     + (2 + (255 - mean) / 256) * (b1 - b2) ** 2)


def _is_ours(name):
    return name.partition("-")[0] in OURS


def styles(names):
    """A style for each allocator. A peer that is not known here gets the colour that is farthest
    from all others, so that any number of peers can be told apart."""
    candidates = ["#" + "".join(f"{round(255 * part):02x}"
                                for part in colorsys.hls_to_rgb(hue / 24, light, saturation))
                  for hue, light, saturation in itertools.product(
                      range(24), (0.3, 0.45, 0.6, 0.75), (0.35, 0.6))]
    colours = {name: KNOWN[name] for name in names if name in KNOWN}
    away = ["#ffffff", "#000000"] + [KNOWN[name] for name in OURS]
    for name in names:
        if name not in colours:
            taken = away + list(colours.values())
            colours[name] = max(candidates, key=lambda one: min(_distance(one, other)
                                                                for other in taken))
    peers = [name for name in names if not _is_ours(name)]
    titles = {"memorybucket": "MemoryBucket", "system": "malloc and free of the C library"}
    return [Style(name, titles.get(name, f"MemoryBucket, {name}" if _is_ours(name) else name),
                  colours[name],
                  7 if _is_ours(name) else POINTS[peers.index(name) % len(POINTS)])
            for name in names]


def _text(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _from_top(pixels):
    return f"(1 - {pixels:.1f} / height)"


class _Picture:
    """A script for gnuplot that grows from top to bottom."""

    def __init__(self, heading, machine, names, marks):
        self.script, self.blocks = [], []
        self.bottom = 44  # pixels from the top to what comes next
        self.say(heading, WIDTH / 2, 22, "center font ',16'")
        for line in machine.split("\n"):
            self.say(line, WIDTH / 2, self.bottom, f"center font ',11' tc rgb '{GREY}'")
            self.bottom += 16
        self.bottom += 8
        lines, at = [[]], 0
        for style in names:  # the key, as many rows as it takes
            width = 34 + 7.4 * len(style.title)
            if lines[-1] and at + width > WIDTH - LEFT - RIGHT:
                lines.append([])
                at = 0
            lines[-1].append((style, at))
            at += width
        for line in lines:
            last, at = line[-1]
            start = (WIDTH - at - 20 - 7.4 * len(last.title)) / 2
            for style, at in line:
                point = style.point if marks else 5
                self.say(style.title, start + at, self.bottom,
                         f"left offset 1.2,0 point pt {point} ps 1.3 lc rgb '{style.colour}'")
            self.bottom += 20

    def add(self, line):
        self.script.append(line)

    def say(self, text, x, y, how):
        self.add(f"set label {_text(text)} at screen {x / WIDTH:.5f}, screen {_from_top(y)} {how}")

    def block(self, rows):
        """Data, each row a list; returns its name."""
        name = f"$block{len(self.blocks)}"
        lines = (" ".join(_text(one) if isinstance(one, str) else f"{one:.9g}" for one in row)
                 for row in rows)
        self.blocks.append("\n".join([f"{name} << END", *lines, "END"]))
        return name

    def frames(self, titles, columns, left, above, height, below):
        """A frame for each panel, some side by side: its left, top, right and bottom. A title is a
        text and its colour."""
        width, top = WIDTH / columns, self.bottom
        for number, (title, colour) in enumerate(titles):
            top = top if number % columns else self.bottom
            at = width * (number % columns)
            frame = (at + left, top + above, at + width - RIGHT, top + above + height)
            for side, place in (("l", frame[0] / WIDTH), ("r", frame[2] / WIDTH),
                                ("t", _from_top(frame[1])), ("b", _from_top(frame[3]))):
                self.add(f"set {side}margin at screen {place}")
            self.say(title, (frame[0] + frame[2]) / 2, frame[1] - 13,
                     f"center font ',13' tc rgb '{colour}'")
            self.bottom = frame[3] + below
            yield frame

    def plot(self, parts):
        self.add("plot " + ", \\\n     ".join(parts))
        self.add("unset label; unset object; unset arrow; unset logscale")

    def draw(self, path):
        """All of it into PATH.png and PATH.svg."""
        height = math.ceil(self.bottom + 6)
        script = ["set encoding utf8", f"height = {height}.0", *self.blocks]
        for form, terminal in FORMATS.items():
            script += [f"set terminal {terminal.format(WIDTH, height)}",
                       f"set output {_text(f'{path}.{form}')}", "reset", "set multiplot",
                       "set style fill solid 1 noborder; unset key; set border 3\n"
                       "set tics nomirror; set grid ytics lt 1 lw 1 lc rgb '#e4e4e4'", *self.script,
                       "unset multiplot", "unset output"]
        # Where it cannot write a picture, it writes that to its standard output.
        done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", encoding="utf-8",
                              errors="replace", env=os.environ | {"LC_ALL": "C.UTF-8"},
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0 or done.stderr:
            fail(f"gnuplot could not draw {path}.*: {' '.join(done.stderr.split())}", 1)
        for kind, end in ("svg", b"</svg>"), ("png", b"IEND\xae\x42\x60\x82"):
            with open(f"{path}.{kind}", "rb") as picture:  # gnuplot is silent about a full disk
                if not picture.read().rstrip().endswith(end):
                    fail(f"{path}.{kind} is cut short: is the disk full?", 1)


def bars(path, heading, machine, names, groups=(), panels=(), high=None, low=0, log=False,
         cut=None, line=None, text="{:.2f}"):
    """Groups of bars, in as many and as even panels as they need, or in `panels`, a list of
    (title, groups), two beside each other. The axis goes from `low` to `high`, None: to the largest
    value; what is above `cut` is cut off there, and has its value all the same. A reference line is
    drawn at `line`."""
    panels = [panel for panel in panels if panel[1]]
    if not groups and not panels:
        return
    picture = _Picture(heading, machine, names, marks=False)
    columns = 2 if panels else 1
    if not panels:
        room = max(GROUP_MIN, (len(names) + 1) * BAR_MIN)
        most = max(1, int((WIDTH - LEFT - RIGHT) / room))
        size = math.ceil(len(groups) / math.ceil(len(groups) / most))
        panels = [("", groups[i:i + size]) for i in range(0, len(groups), size)]
    size = max(len(groups) for _, groups in panels)
    slot = (WIDTH / columns - LEFT - RIGHT) / size
    bar = min(1 / (len(names) + 1), 60 / slot)
    above = 8 + 22 * any(title for title, _ in panels)
    below = 38 + 16 * any(group.missed for _, groups in panels for group in groups)
    titles = [(title, "black") for title, _ in panels]
    frames = picture.frames(titles, columns, LEFT, above, 150, below)
    for (left, _, _, bottom), (_, panel) in zip(frames, panels):
        values = [value for group in panel for value in group.values if not math.isnan(value)]
        picture.add(f"set xrange [-0.5:{size - 0.5}]; unset xtics\n" + "set logscale y\n" * log +
                    f"set yrange [{low}:{high or 1.3 * max(values, default=1):.6g}]\n"
                    f"set ytics {'autofreq' if log or not cut else f'0, 1, {cut}'} font ',10'")
        if line is not None:
            picture.add(f"set arrow from graph 0, first {line} to graph 1, first {line} "
                        "nohead back lc rgb '#9a9a9a'")
        rows = []
        for at, group in enumerate(panel):
            middle = left + (at + 0.5) * slot
            picture.say(group.title, middle, bottom + 13, "center font ',11'")
            if at:
                picture.add(f"set arrow from {at - 0.5}, graph 0 to {at - 0.5}, graph 1 nohead "
                            "lc rgb '#e4e4e4'")
            if group.missed:
                picture.say(group.missed, middle, bottom + 45, f"center font ',11' tc rgb '{RED}'")
                picture.add(f"set object rectangle from {at - 0.5}, graph 0 to {at + 0.5}, graph 1 "
                            f"behind fs solid noborder fc rgb '{PALE_RED}'")
            for i, (style, value) in enumerate(zip(names, group.values)):
                if not math.isnan(value):
                    x = at + (i - (len(names) - 1) / 2) * bar
                    rows.append([x, max(low, min(value, cut or math.inf)), 0.92 * bar,
                                 int(style.colour[1:], 16), text.format(value)])
        block = picture.block(rows)
        picture.plot([f"{block} using 1:2:3:4 with boxes lc rgb variable",
                      f"{block} using 1:2:5 with labels font ',10' "
                      + ("center offset 0,0.6" if bar * slot >= 40
                         else "rotate by 90 left offset 0,0.35")])
    picture.draw(path)


def lines(path, heading, machine, names, panels, xlabel, settings="", labels=(), marks=True,
          height=300):
    """Panels, two beside each other. `labels`: the words below the x axis, each with its place;
    `settings`: gnuplot's, for all panels."""
    if not panels:
        return
    picture = _Picture(heading, machine, names, marks)
    titles = [(f"{panel.title}: {panel.missed}", RED) if panel.missed else (panel.title, "black")
              for panel in panels]
    words = ", ".join(f"{_text(word)} {at}" for at, word in labels)
    frames = picture.frames(titles, min(2, len(panels)), LEFT + 10, 34, height, 48)
    for (left, _, right, bottom), panel in zip(frames, panels):
        picture.say(xlabel, (left + right) / 2, bottom + 34, f"center font ',11' tc rgb '{GREY}'")
        picture.add(f"set xtics {f'({words})' if words else 'autofreq'} font ',11'\n"
                    "set ytics autofreq font ',11'\n"
                    f"set xrange [*:*] noextend; set yrange [0:*]\n{settings}")
        picture.plot([
            f"{picture.block(points)} using 1:2 with lines{'points' if marks else ''} "
            f"lc rgb '{style.colour}' lw {2.5 if _is_ours(style.name) else 1.5}"
            + (f" pt {style.point} ps 1" if marks else "")
            for style, points in zip(names, panel.values) if points])
    picture.draw(path)
