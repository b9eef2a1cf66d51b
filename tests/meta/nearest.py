#!/usr/bin/env python3
"""Says where a line of the sources went that a list of tests names: prints "FILE:LINE: TEXT" of what is most like it now.

Usage: nearest.py FILE FUNCTION TEXT    from the project's root; FUNCTION may be empty

A line that has all of TEXT comes first, wherever it is in src/ and include/; then one that shares most words with it.
Of two that are equally like it, the one in FUNCTION wins, then the one in FILE. TEXT "NAME(" stands for the head of a
function: only heads are compared, by their names.
"""
import difflib
import glob
import re
import sys


def function_names(source):
    """For each line the function that it is in: the last one whose head stands at the left margin."""
    names, name = [], "-"
    for line in source:
        head = re.sub(r"__attribute__\(\(.*?\)\) ?", "", line)
        match = re.match(r"[A-Za-z_)].*?\b(\w+)\(", head)
        if match and not line.rstrip().endswith(";"):
            name = match.group(1)
        names.append(name)
    return names


def read_lines(name):
    """The lines of a file; none when there is no such file."""
    try:
        with open(name, encoding="utf-8") as file:
            return file.read().split("\n")
    except OSError:
        return []


def words_of(text):
    return re.findall(r"[A-Za-z0-9]+|[^\sA-Za-z0-9_]", text)


def nearest(name, function, text):
    """"FILE:LINE: TEXT" of the line of the sources that is most like the text."""
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(words_of(text))
    heads_only = re.fullmatch(r"\w+\(", text)
    best = (0, "nothing like it in src/ and include/")
    for path in sorted(glob.glob("src/**/*.[ch]", recursive=True) + glob.glob("include/**/*.h*", recursive=True)):
        source = read_lines(path)
        before = "-"
        for number, (line, its_function) in enumerate(zip(source, function_names(source)), 1):
            is_head, before = its_function != before, its_function
            if not line.strip() or (heads_only and not is_head):
                continue
            score = 2.0
            if text not in line:
                matcher.set_seq1(words_of(its_function + "(" if heads_only else line))
                score = matcher.ratio()
            score += 0.1 * (path == name) + 0.1 * (path == name and its_function == function)
            if score > best[0]:
                best = (score, f"{path}:{number}: {line.strip()}")
    return best[1]


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    print(nearest(*sys.argv[1:]))
