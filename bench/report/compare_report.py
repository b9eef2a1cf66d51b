#!/usr/bin/env -S python3 -B
"""What bench/compare.sh measured, in tables, against the targets, and as pictures.

Question: where does MemoryBucket stand among its peers, and which of its targets are met?
Output:   a table per metric with the medians, of wall time also the minima and maxima; where there
          are MemoryBucket's forms of before, or with another border, what small objects take in
          them; the targets (with --against-best those against the best of all peers); with
          --results the figures as JSON; with --charts compare-time, compare-memory,
          compare-latency and compare-scaling; one that has nothing to show is left out. With
          --unsteady only the rows that compare.sh should measure again."""
import math
import statistics
from typing import NamedTuple

import charts
import sheet
from sheet import MIB, Metric, label, shorten

WALL, PEAK = "wall_ns_per_op", "peak_bytes"
STEADY = 1.5  # the slowest run divided by the fastest: up to this a median is trusted
PERCENTILES = {"p50_ns": "50th percentile", "p90_ns": "90th percentile",
               "p99_ns": "99th percentile", "p99.9_ns": "99.9th percentile",
               "p99.99_ns": "99.99th percentile", "max_ns": "maximum"}
METRICS = (
    Metric(WALL, "ns", "Wall time of an operation in ns"),
    Metric("cpu_ns_per_op", "ns", "CPU time of an operation in ns"),
    Metric(PEAK, "bytes", "Peak memory in MiB", MIB),
    Metric("final_bytes", "bytes", "Memory at the end in MiB", MIB),
    *(Metric(name, "ns", f"Latency, {title} in ns") for name, title in PERCENTILES.items()))


class Target(NamedTuple):
    """What is asked of the better of dropin and called (`library`), and of inlined; None: nothing.
    `workload` and `threads` None: of each. `both`: of dropin and of called."""
    workload: str
    metric: str
    threads: int
    library: float
    inlined: float
    against: str = "best peer"
    both: bool = False


class Rules(NamedTuple):
    """`sections`: the ratios shown of each row, in this order: metric, against what, also where
    nothing is asked. `meaning` explains the ratios to the reader."""
    targets: tuple
    sections: tuple
    meaning: str


THREE = ("mimalloc", "jemalloc", "tcmalloc")
# Never the leanest peer: a general allocator's floor is not what caches for threads are held
# against. (Without --against-best neither counts for memory, either.)
GENERAL = ("glibc", "tbbmalloc")
ROUNDS = tuple(f"round-{count}-{order}" for count in ("100", "10k") for order in ("fifo", "lifo"))
TAILS = tuple((metric, workload) for metric in ("p99.9_ns", "p99.99_ns")
              for workload in ("latency-xfer", "latency-random"))
# Rows with sizes above 512 bytes.
BOTH_SIDES = ("mixed-1000", "mixed-1000-100k", "mixed-16k-1k", "mixed-16k-20k", "mixed-handover",
              "growing-steps", "growing-pieces", "growing-bytes")
LARGE = ("seed-large-once", "seed-large-rounds")
SERVERS = ("server-1000", "server-8000")
SLOWER = 1.03  # at most, than before, of all other rows
# Time: theirs / ours, more is better. Memory: ours / theirs, less is better.
USUAL = Rules(
    (Target("pair", WALL, None, 1.05, 2.0),
     *(Target(workload, WALL, None, 1.05, 1.3) for workload in ROUNDS),
     Target("random-1k", WALL, None, 1.1, 1.2),
     Target("random-100k", WALL, None, 1.1, 1.15),
     Target("xfer", WALL, 2, 1.5, None),
     Target("xfer", WALL, 8, 1.5, None),
     Target("server", WALL, 2, 1.0, None),
     Target("server", WALL, 8, 1.0, None),
     Target("oversubscribed", WALL, 64, 1.0, None),
     Target("oversubscribed", WALL, 256, 1.0, None),
     Target("churn", WALL, None, 1.0, None),
     Target("mixed-1000", WALL, None, 1.0, None, "glibc"),
     Target("mixed-1000-100k", WALL, None, 1.0, None, "glibc"),
     *(Target(workload, metric, None, 1.0, None) for metric, workload in TAILS),
     Target(None, PEAK, None, 1.10, 1.10, "best of three")),
    ((WALL, "best peer", True), (WALL, "glibc", False), ("p99.9_ns", "best peer", True),
     ("p99.99_ns", "best peer", True), (PEAK, "best of three", True)),
    "Targets, by medians. Time and latency: the best peer's (of mixed-1000 also glibc's) "
    "divided by\nMemoryBucket's, more is better. Memory: MemoryBucket's divided by the best of "
    "mimalloc, jemalloc\nand tcmalloc, less is better. Asked: of the better of dropin and "
    "called / of inlined.")
AGAINST_BEST = Rules(
    (Target("pair", WALL, None, 1.2, 2.5),
     *(Target(workload, WALL, None, 1.05, 1.3) for workload in ROUNDS),
     Target("random-1k", WALL, None, 1.1, 1.1),
     Target("random-100k", WALL, None, 1.05, None),
     Target("sizes-1k", WALL, None, 1.1, None),
     Target("sizes-100k", WALL, None, 1.05, None),
     Target("seed-small-once", WALL, None, 1.1, None),
     Target("seed-small-rounds", WALL, None, 1.0, None),
     Target("xfer", WALL, 2, 1.1, None),
     Target("xfer", WALL, 8, 1.0, None),
     Target("server", WALL, None, 1.1, None),
     Target("churn", WALL, None, 1.05, None),
     Target("oversubscribed", WALL, None, 1.0, None),
     Target("pool-of-threads", WALL, None, 1.05, None),
     Target("batch", WALL, None, 1.5, None),
     Target("mixed-1000", WALL, 1, 1.05, None, both=True),
     Target("mixed-1000", WALL, 2, 1.05, None, both=True),
     Target("mixed-1000-100k", WALL, None, 1.1, None, both=True),
     *(Target(workload, WALL, None, 1.0, None) for workload in (*LARGE, *BOTH_SIDES[2:])),
     *(Target(workload, WALL, None, 1.1, None) for workload in SERVERS),
     *(Target(workload, metric, None, 1.0, None) for metric, workload in TAILS),
     *(Target(workload, PEAK, None, 1.10, None, "leanest peer")
       for workload in (*LARGE, *BOTH_SIDES, *SERVERS)),
     Target(None, PEAK, None, 1.05, None, "leanest peer"),
     Target("server", PEAK, None, 0.5, None, "median peer")),
    ((WALL, "best peer", True), ("p99.9_ns", "best peer", True), ("p99.99_ns", "best peer", True),
     (PEAK, "leanest peer", True), (PEAK, "median peer", False)),
    "Targets, by medians, against the best of all peers of this run, row by row. Time and "
    "latency: the\nbest peer's divided by MemoryBucket's, more is better; of batch that is the "
    "peer's loop of single\ncalls. Memory: MemoryBucket's divided by that of the leanest peer but "
    "glibc and tbbmalloc,\nof server also by the median of all peers, less is better. Asked: of "
    "the better of dropin and\ncalled / of inlined; with \"both\" of dropin and of called.")


class Line(NamedTuple):
    """A row under a section. `ratios` and `verdicts` are those of FORMS; a verdict is "met",
    "missed", or "-" where nothing is asked or something was not measured."""
    row: tuple
    target: Target
    peer: str
    ratios: list
    verdicts: list

    def library(self):
        """Of the better of dropin and called, or of both."""
        order = ("missed", "-", "met") if self.target.both else ("met", "missed", "-")
        return next(one for one in order if one in self.verdicts[:2])

    def asked(self):
        """What is asked: a pair of ratio and verdict for each."""
        return [(ratio, verdict) for ratio, verdict in (
            (self.target.library, self.library()), (self.target.inlined, self.verdicts[2]))
                if ratio is not None]


def judge(table, rules):
    """The lines of all sections."""
    lines = []
    for metric, against, shows_all in rules.sections:
        nothing = Target(None, metric, None, None, None, against)
        for row in table.rows:
            target = next((one for one in rules.targets
                           if (one.metric, one.against) == (metric, against)
                           and one.workload in (None, row[0]) and one.threads in (None, row[1])),
                          nothing)
            if table.has(row, metric) and (shows_all or target is not nothing):
                lines.append(judge_row(table, row, target))
    return lines


def compared_with(table, row, target):
    """A name and the median that MemoryBucket's are compared with; None and NaN without."""
    if target.against == "median peer":
        medians = [value for one in table.peers()
                   if not math.isnan(value := table.median(row, one, target.metric))]
        return ("the median", statistics.median(medians)) if medians else (None, math.nan)
    candidates = {"best peer": table.peers(), "glibc": ("glibc",), "best of three": THREE,
                  "leanest peer": [one for one in table.peers() if one not in GENERAL]}
    peer = table.best(row, target.metric, candidates[target.against])
    return peer, table.median(row, peer, target.metric)


def judge_row(table, row, target):
    peer, theirs = compared_with(table, row, target)
    is_memory = target.metric == PEAK
    ratios, verdicts = [], []
    for form in sheet.FORMS:
        ours = table.median(row, form, target.metric)
        asked = target.inlined if form == "inlined" else target.library
        ratio = math.nan
        if ours > 0 and theirs > 0:
            ratio = ours / theirs if is_memory else theirs / ours
        ratios.append(ratio)
        verdicts.append("-" if math.isnan(ratio) or asked is None else
                        "met" if (ratio <= asked if is_memory else ratio >= asked) else "missed")
    return Line(row, target, peer, ratios, verdicts)


def print_targets(table, lines, meaning):
    if not table.peers():
        print("\nTargets: no peer was measured, so no targets can be judged.\n"
              "0 targets met, 0 missed")
        return
    print(f"\n{meaning}")
    print(f"{'target':37}  {'against':10}  {'asked':14}  " + "".join(
        f"{form:14}  " for form in sheet.FORMS) + "dropin or called")
    for line in lines:
        target, asked = line.target, "-"
        if target.library is not None:
            inlined = "-" if target.inlined is None else f"{target.inlined:.2f}"
            asked = f"{'<=' if target.metric == PEAK else '>='} {target.library:.2f}" \
                    f"{', both' if target.both else f' / {inlined}'}"
        cells = (f"  {'-':14}" if math.isnan(ratio) else
                 f"  {ratio:7.3f} {'' if verdict == '-' else verdict:6}"
                 for ratio, verdict in zip(line.ratios, line.verdicts))
        print(f"{f'{label(line.row)} {target.metric}':37}  {line.peer or '-':10}  {asked:14}"
              f"{''.join(cells)}  {line.library()}")
    verdicts = [verdict for line in lines for _, verdict in line.asked()]
    print("A line counts once for the better of dropin and called (\"both\": for the worse), and "
          "once for\ninlined where that is asked.")
    if "-" in verdicts:
        print(f"{verdicts.count('-')} targets could not be judged, for want of an allocator")
    print(f"{verdicts.count('met')} targets met, {verdicts.count('missed')} missed")


def compared_form(table, name):
    """What a form of MemoryBucket is compared with: itself before, and where that was not measured
    itself without a variant; None: with nothing."""
    form = name.partition("-")[0]
    base = next((one for one in (f"{form}-before", form) if one in table.allocators), name)
    return base if base != name else None


def print_small(table):
    """Small objects before and now, by the border. Nothing without forms to compare."""
    pairs = [(one, base) for one in table.ours() if (base := compared_form(table, one))]
    ratios = {row: [table.ratio(row, WALL, *pair) for pair in pairs] for row in table.rows
              if row[0] not in (*LARGE, *BOTH_SIDES, *SERVERS) and table.has(row, WALL)}
    if not pairs or not ratios:
        return
    print("\nSmall objects: wall time divided by that of the form in the second line, the median "
          f"of the\nrounds' ratios; at most {SLOWER}. Noise: above that by no more than twice the "
          "median's\nstandard error.")
    width = max(len("workload@threads"), *(len(label(row)) for row in ratios))
    for title, names in zip(("workload@threads", "divided by"), zip(*pairs)):
        print(title.ljust(width) + "".join(f"  {one:>14}" for one in names))
    for row, cells in ratios.items():
        print(label(row).ljust(width) + "".join(
            f"  {'-':>14}" if math.isnan(one.value) else
            f"  {one.value:7.3f} {one.verdict(SLOWER):6}" for one in cells).rstrip())
    for at, (one, base) in enumerate(pairs):
        values = [cells[at].value for cells in ratios.values() if not math.isnan(cells[at].value)]
        if values:
            print(f"{one}: {statistics.geometric_mean(values):.3f} of {base} on geometric average, "
                  f"{min(values):.3f} to {max(values):.3f}")
    verdicts = [one.verdict(SLOWER) for cells in ratios.values() for one in cells]
    print(f"{verdicts.count('met')} no slower, {verdicts.count('noise')} within the noise, "
          f"{verdicts.count('missed')} slower")


def missed(lines, row, metric):
    """What a picture says of a row's targets for this metric; nothing if none is missed."""
    texts = []
    for line in lines:
        asked = [(f"{ratio:.2f}" if verdict == "missed" else "-", verdict)
                 for ratio, verdict in line.asked()]
        if (line.row, line.target.metric) == (row, metric) and "missed" in dict(asked).values():
            texts.append(" / ".join(text for text, _ in asked)
                         + " of glibc" * (line.target.against == "glibc"))
    return f"missed: {', '.join(texts)}" if texts else ""


def memory_note(lines):
    """A second line below the heading of memory's picture, where a target is missed that is not of
    the usual ones: what it is asked of."""
    missed_by = {(line.target.against, line.target.library) for line in lines
                 if line.library() == "missed"}
    notes = {"leanest peer": "of the leanest peer but glibc and tbbmalloc",
             "median peer": "of the median peer"}
    shown = []
    for against, text in notes.items():
        asked = sorted(ratio for name, ratio in missed_by if name == against)
        if asked:
            shown.append(f"{' or '.join(f'{ratio:.2f}' for ratio in asked)} "
                         + "is asked " * (not shown) + text)
    return "\n" * bool(shown) + "; ".join(shown)


def draw(table, lines, directory, machine):
    names = table.ours()[::-1] + table.peers()
    style = charts.styles(names)
    subtitle = machine
    late = [line for line in lines if "missed" in (verdict for _, verdict in line.asked())]
    if late:
        subtitle += "; missed is what was asked of the better of dropin and called"
        subtitle += " (of mixed-1000: of both)" * any(line.target.both for line in late)
        subtitle += " / of inlined"

    for name, metric, is_speed, cut, heading, note in (
            ("time", WALL, True, 2,
             "Speed by wall time, the best other allocator's = 1: higher is better", ""),
            ("memory", PEAK, False, 4,
             "Peak memory, the best other allocator's = 1: lower is better", memory_note(lines))):
        groups = []
        for row in table.rows:
            best = table.median(row, table.best_peer(row, metric), metric)
            if best > 0:
                values = [table.median(row, one, metric) for one in names]
                values = [(best / value if value > 0 else math.nan) if is_speed else value / best
                          for value in values]
                groups.append(charts.Item(f"{row[0]}\n{row[1]} thread{'s' * (row[1] > 1)}", values,
                                           missed(lines, row, metric)))
        charts.bars(f"{directory}/compare-{name}", heading, subtitle + note, style, groups,
                    high=1.28 * cut, cut=cut, line=1)

    percentiles = [(at, name.removesuffix("_ns")) for at, name in enumerate(PERCENTILES)]
    panels = [charts.Item(
        label(row), [[(at, value / 1e9) for at, name in percentiles
                      if (value := table.median(row, one, f"{name}_ns")) > 0] for one in names],
        ", ".join(f"{name} {text}" for _, name in percentiles
                  if (text := missed(lines, row, f"{name}_ns"))))
              for row in table.rows if table.has(row, "p50_ns")]
    charts.lines(f"{directory}/compare-latency",
                 "Latency of one operation by percentile: lower is better", subtitle, style, panels,
                 "percentile", "set logscale y; set yrange [*:*]; set format y '%.0s %cs'\n"
                 "set xrange [-0.2:5.2]", percentiles)

    rows = sorted(row for row in table.rows if row[0] == "server" and table.has(row, WALL))
    points = [[(row[1], 1000 / value) for row in rows
               if (value := table.median(row, one, WALL)) > 0] for one in names]
    if len(rows) > 1:  # one point is no line
        charts.lines(f"{directory}/compare-scaling",
                     "Server pattern (Larson): million operations a second, higher is better",
                     machine, style, [charts.Item("server", points)], "threads",
                     f"set logscale x 2; set xrange [{rows[0][1] * 0.9}:{rows[-1][1] * 1.1}]",
                     [(row[1], str(row[1])) for row in rows], height=460)


def print_unsteady(table):
    """The rows in which the wall time of a form or of the best peer, whose medians are compared,
    differs too much from run to run; each with the allocator that differs most."""
    for row in table.rows:
        spread, allocator = max((table.spread(row, one, WALL), one)
                                for one in (*table.ours(), table.best_peer(row, WALL) or ""))
        if spread > STEADY:
            print(f"{label(row)} ({allocator} {shorten(spread)})")


def main():
    arguments = sheet.parse_arguments(
        __doc__, (("RAW_FILE", "what bench/compare.sh measured"),),
        (("--against-best", "judge by the best of all peers, in time, latency and memory"),
         ("--unsteady", f"print the rows whose spread exceeds {STEADY}, and nothing else")))
    if arguments.unsteady and (arguments.against_best or arguments.results or arguments.charts):
        sheet.fail("--unsteady prints rows and nothing else, so no other option goes with it")
    table = sheet.Sheet(arguments.RAW_FILE, METRICS)
    if arguments.unsteady:
        print_unsteady(table)
        return
    for metric in METRICS:
        table.print_table(metric.name)
        if metric.name == WALL:
            table.print_table(WALL, ranges=True)
    print_small(table)
    rules = AGAINST_BEST if arguments.against_best else USUAL
    lines = judge(table, rules)
    print_targets(table, lines, rules.meaning)
    if arguments.results:
        sheet.write_json(arguments.results, table.json_rows("compare"))
    if arguments.charts:
        draw(table, lines, arguments.charts, arguments.machine)


sheet.run(main)
