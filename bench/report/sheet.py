#!/usr/bin/env -S python3 -B
"""What a script measured: read from a raw file, printed as tables, written as JSON.

A raw file has one value a line, its fields separated by tabs:
    allocator  workload  threads  metric  unit  value
A row is a workload with its number of threads. Rows and allocators keep the order in which the file
first names them. Exit statuses of the reports: 0, also when targets are missed, which is a finding
and not a failure; 1 when a file cannot be opened or drawn; 2 for input that cannot be used.
Run by itself, this file prints the machine in a line.
"""
import argparse
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from typing import NamedTuple

# MemoryBucket's, also as FORM-VARIANT; every other allocator is a peer.
FORMS = ("dropin", "called", "inlined")
MIB = float(1 << 20)
FIELDS = ("allocator", "workload", "threads", "metric", "unit", "value")
THREADS_MAX = 65536


class Metric(NamedTuple):
    """Less is better, unless it is not `ranked`. Tables show the values divided by `divisor`."""
    name: str
    unit: str
    title: str
    divisor: float = 1
    signed: bool = False
    ranked: bool = True


class Ratio(NamedTuple):
    """`error`: its standard error."""
    value: float
    error: float

    def verdict(self, most):
        """Noise is above `most` by no more than twice the error."""
        return ("-" if math.isnan(self.value) else "met" if self.value <= most
                else "noise" if self.value - most <= 2 * self.error else "missed")


def program():
    return os.path.basename(sys.argv[0]).removesuffix(".py")


def fail(message, status=2):
    """Ends the report: 1, something failed; 2, the input cannot be used."""
    print(f"{program()}: {message}", file=sys.stderr)
    sys.exit(status)


class Sheet:
    """`values[row, allocator, metric name]` is a list, one value a run; absent without runs."""

    def __init__(self, path, metrics):
        self.metrics = {metric.name: metric for metric in metrics}
        self.rows, self.allocators, self.values = [], [], {}
        try:
            # Lines end in newlines alone: a carriage return belongs to its field, and is refused.
            with open(path, encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
                for number, line in enumerate(lines, 1):
                    problem = self._read(line)
                    if problem:
                        fail(f"{path}: line {number}: {problem}")
        except OSError as error:
            fail(f"{path}: {error.strerror}")
        if not self.values:
            fail(f"{path}: it holds no values")

    def _read(self, line):
        """Adds one line; returns what is wrong with it."""
        if not line.endswith("\n"):
            return "cut short, it does not end in a newline"
        if "\0" in line:
            return "it holds a zero byte"
        fields = line[:-1].split("\t")
        if len(fields) != len(FIELDS):
            return f"{len(fields)} fields between tabs; there are 6: {', '.join(FIELDS)}"
        allocator, workload, threads, name, unit, value = fields
        # Names go into JSON and into gnuplot's input as they are: only plain characters are taken.
        for what, text in (("an allocator", allocator), ("a workload", workload)):
            if not re.fullmatch(r"[A-Za-z0-9._+-]{1,39}", text):
                return f"'{text}' is no name of {what}: 1 to 39 letters, digits and . _ + -"
        if not re.fullmatch(r"[0-9]{1,9}", threads) or not 1 <= int(threads) <= THREADS_MAX:
            return f"'{threads}' is no number of threads from 1 to {THREADS_MAX}"
        metric = self.metrics.get(name)
        if metric is None:
            return f"'{name}' is no metric"
        if unit != metric.unit:
            return f"the unit of {name} is {metric.unit}, not '{unit}'"
        sign = "-?" if metric.signed else ""
        number = re.fullmatch(sign + r"[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?", value)
        if not number or not math.isfinite(float(value)):
            return f"'{value}' is no value: a number{'' if metric.signed else ' of at least 0'}"
        row = (workload, int(threads))
        for known, name_of in ((self.rows, row), (self.allocators, allocator)):
            if name_of not in known:
                known.append(name_of)
        self.values.setdefault((row, allocator, name), []).append(float(value))
        return None

    def median(self, row, allocator, name):
        """NaN when it was not measured."""
        values = self.values.get((row, allocator, name))
        return statistics.median(values) if values else math.nan

    def spread(self, row, allocator, name):
        """The greatest value divided by the least; 1 when it was not measured."""
        values = self.values.get((row, allocator, name), [1])
        return max(values) / min(values) if min(values) > 0 else math.inf if max(values) > 0 else 1

    def ratio(self, row, name, one, other):
        """The median of the rounds' ratios, of one allocator divided by the other: in a round all
        run within seconds, and a machine whose speed drifts is then the same for both."""
        ratios = [ours / theirs
                  for ours, theirs in zip(self.values.get((row, one, name), ()),
                                          self.values.get((row, other, name), ())) if theirs > 0]
        return Ratio(statistics.median(ratios) if ratios else math.nan, median_error(ratios))

    def has(self, row, name):
        return any((row, allocator, name) in self.values for allocator in self.allocators)

    def best(self, row, name, candidates):
        """The candidate with the lowest median; None when none was measured."""
        measured = [one for one in candidates if (row, one, name) in self.values]
        return min(measured, key=lambda one: self.median(row, one, name), default=None)

    def peers(self):
        return [one for one in self.allocators if not is_ours(one)]

    def ours(self):
        """MemoryBucket's forms, and behind each its variants."""
        return [one for form in FORMS for one in self.allocators if one.partition("-")[0] == form]

    def best_peer(self, row, name):
        return self.best(row, name, self.peers())

    def print_table(self, name, ranges=False):
        """The medians, or the minima and maxima; nothing when there are no values to show."""
        metric = self.metrics[name]
        runs = [len(values) for key, values in self.values.items() if key[2] == name]
        if not runs or ranges and max(runs) < 2:
            return
        ranked = metric.ranked and not ranges
        count = (f"{max(runs)} run{'s' * (max(runs) > 1)}" if min(runs) == max(runs)
                 else f"{min(runs)} to {max(runs)} runs")
        print(f"\n{metric.title}, {'min-max' if ranges else 'median'} of {count}"
              f"{'; * is the best peer' if ranked else ''}")
        width = max(len("workload@threads"), *(len(label(row)) for row in self.rows))
        cell_width = 15 if ranges else 11
        blank = "" if ranges else " "
        print("workload@threads".ljust(width)
              + "".join(f"  {one:>{cell_width}}{blank}" for one in self.allocators))
        for row in self.rows:
            if not self.has(row, name):
                continue
            best = self.best_peer(row, name) if ranked else None
            line = label(row).ljust(width)
            for one in self.allocators:
                values = self.values.get((row, one, name))
                shown = [shorten(value / metric.divisor) for value in (
                    (min(values), max(values)) if ranges else (statistics.median(values),))
                         ] if values else ["-"]
                line += f"  {'-'.join(shown):>{max(len(one), cell_width)}}"
                line += "*" if one == best else blank
            print(line)

    def json_rows(self, bench, digits=4):
        """One JSON object a row, allocator and metric."""
        return [
            f'{{"bench": "{bench}", "workload": "{row[0]}", "allocator": "{allocator}", '
            f'"threads": {row[1]}, "metric": "{name}", "unit": "{metric.unit}", '
            f'"runs": {len(values)}, "min": {min(values):.{digits}g}, '
            f'"median": {statistics.median(values):.{digits}g}, "max": {max(values):.{digits}g}}}'
            for row in self.rows for allocator in self.allocators
            for name, metric in self.metrics.items()
            if (values := self.values.get((row, allocator, name)))]


def is_ours(allocator):
    return allocator.partition("-")[0] in FORMS


def median_error(values):
    """The standard error of a median, by the distance of the quartiles, of which outliers know
    nothing; NaN for fewer than 3."""
    if len(values) < 3:
        return math.nan
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return 1.2533 * (high - low) / 1.349 / math.sqrt(len(values))


def label(row):
    return f"{row[0]}@{row[1]}"


def shorten(value):
    """At least three significant digits, and no more than two after the point."""
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(": ", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine_line():
    return f"{processor()}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}"


def write_json(path, rows):
    """The rows with the machine before them; the file appears as a whole, or not at all."""
    compiler = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=False)
    machine = {
        "cpu": processor(), "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "compiler": compiler.stdout.partition("\n")[0],
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
    try:
        with open(f"{path}.new", "w", encoding="utf-8") as out:
            out.write(f'{{"machine": {json.dumps(machine, ensure_ascii=False)},\n"results": [\n'
                      + ",\n".join(rows) + "\n]}\n")
        os.replace(f"{path}.new", path)
    except OSError as error:
        error.filename = error.filename or path  # a full disk is found without its name
        raise


def parse_arguments(description, inputs, flags=(), pictures=True):
    """`inputs` names the files it reads, `flags` options without a value, each with its help."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in inputs:
        parser.add_argument(name, help=text)
    parser.add_argument("--results", metavar="FILE", help="write the figures as JSON")
    if pictures:
        parser.add_argument("--charts", metavar="DIR", help="draw the pictures into this directory")
        parser.add_argument("--machine", default=machine_line(), help="what the pictures say of it")
    for name, text in flags:
        parser.add_argument(name, action="store_true", help=text)
    return parser.parse_args()


def run(main):
    """Calls it; what cannot be written, gnuplot's absence too, is said in one line."""
    try:
        main()
        sys.stdout.flush()
    except OSError as error:
        message = f"{error.filename or 'standard output'}: {error.strerror}"
        print(f"{program()}: {message}", file=sys.stderr)
        os._exit(1)  # and not once more what could not be written


if __name__ == "__main__":
    print(machine_line())
