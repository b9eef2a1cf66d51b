#!/usr/bin/env python3
"""Prints what gcovr has counted, and what of it is zero; see run.sh.

Usage: report.py [--branches] COVERAGE.json UNCOVERED.txt
       report.py --check UNCOVERED.txt    only: is each line that is listed still in its function?

UNCOVERED.txt: reasons, each a comment, and below it the regions that it is for, one a line:
    FILE FUNCTION LINES FIRST-LINE
FIRST-LINE is the region's first line as it stands in the source, LINES how many of code it has. "~" before FILE: reached
in some runs and not in others. Exit status 1: a region is not listed, or has grown.
"""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from nearest import function_names, nearest, read_lines


class Region:
    """Lines of one function, one after the other, that were not reached."""

    def __init__(self, file, function, first, text):
        self.file, self.function, self.first, self.last, self.lines, self.text = file, function, first, first, 1, text

    def key(self):
        return self.file, self.function, self.text

    def __str__(self):
        return f"{self.file}:{self.first}-{self.last} {self.function}: {self.text}"

    def entry(self):
        return f"{self.file} {self.function} {self.lines} {self.text}"


def read_listed(path):
    """The listed regions: key -> [lines, sometimes, reason, line number in the list] of each."""
    listed, reason, in_reason = {}, "", False
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if line.startswith("#"):
                reason = f"{reason} {line[1:].strip()}" if in_reason else line[1:].strip()
                in_reason = True
                continue
            in_reason = False
            if not line:
                continue
            fields = line.removeprefix("~").split(None, 3)
            if len(fields) != 4 or not fields[2].isdigit() or not reason:
                sys.exit(f"{path}:{number}: not FILE FUNCTION LINES FIRST-LINE below a reason")
            name, function, lines, text = fields
            listed.setdefault((name, function, text), []).append([int(lines), line.startswith("~"), reason, number])
    return listed


def check(path):
    """Complains of what is listed and not in the sources any more, and says what is nearest to it; how many are there."""
    listed, gone = read_listed(path), 0
    for (name, function, text), entries in listed.items():
        source = read_lines(name)
        there = [line.strip() == text and its_function == function
                 for line, its_function in zip(source, function_names(source))]
        for entry in entries[sum(there):]:
            gone += 1
            print(f"{path}:{entry[3]}: {name}, {function}: not there {len(entries)} times: {text}\n"
                  f"    nearest: {nearest(name, function, text)}", file=sys.stderr)
    print(f"{sum(len(entries) for entries in listed.values())} lines that no test reaches, {gone} of them gone")
    sys.exit(gone > 0)


def percent(part, whole):
    return f"{100 * part / whole:6.1f}" if whole else "     -"


def row(name, lines, reached, branches, taken):
    print(f"{name:34} {lines:6} {percent(reached, lines)} {branches:8} {percent(taken, branches)}")


def main():
    arguments = [word for word in sys.argv[1:] if word != "--branches"]
    if len(arguments) != 2:
        sys.exit(__doc__)
    if arguments[0] == "--check":
        check(arguments[1])
    with open(arguments[0], encoding="utf-8") as file:
        files = json.load(file)["files"]
    listed = read_listed(arguments[1])

    regions, half_taken, total = [], [], [0, 0, 0, 0]
    print(f"{'file':34} {'lines':>6} {'%':>6} {'branches':>8} {'%':>6}")
    for file in sorted(files, key=lambda each: each["file"]):
        name = file["file"]
        with open(name, encoding="utf-8") as source_file:
            source = source_file.read().split("\n")
        names = function_names(source)
        code = [line for line in file["lines"] if not line["gcovr/noncode"]]
        counts = [len(code), sum(line["count"] > 0 for line in code), 0, 0]
        region = None
        for line in code:
            number = line["line_number"]
            function, text = names[number - 1], source[number - 1].strip()
            taken = sum(branch["count"] > 0 for branch in line["branches"])
            counts[2] += len(line["branches"])
            counts[3] += taken
            if line["count"] > 0:
                region = None
                if taken < len(line["branches"]):
                    half_taken.append(f"{name}:{number} {function}: {taken} of {len(line['branches'])}: {text}")
            elif region and region.function == function:
                region.last, region.lines = number, region.lines + 1
            else:
                region = Region(name, function, number, text)
                regions.append(region)
        row(name, *counts)
        total = [sum(pair) for pair in zip(total, counts)]
    row("all", *total)
    print("A header's branches count once for each function that they are inlined into.")

    if len(arguments) < len(sys.argv) - 1:
        print("\nBranches taken in part:")
        print("\n".join(half_taken))

    print("\nNot reached:")
    new = []
    for region in regions:
        known = listed.get(region.key(), [])
        match = next((entry for entry in known if region.lines <= entry[0]), None)
        if match:
            known.remove(match)
            print(f"{region}\n    {match[2]}")
        else:
            new.append(region)
    for key, entries in sorted(listed.items()):
        for _, sometimes, _, number in entries:
            if not sometimes:
                print(f"{arguments[1]}:{number}: {key[0]} {key[1]}: reached now, and still listed: {key[2]}")
    if new:
        print(f"\nNot reached, and not listed in {arguments[1]}: write a test, or add these lines with a reason")
        for region in new:
            print(f"{region}\n{region.entry()}")
        sys.exit(1)


main()
