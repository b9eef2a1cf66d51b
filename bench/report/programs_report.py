#!/usr/bin/env -S python3 -B
"""What bench/programs.sh measured, in tables, against the targets, and as pictures.

Question: what do real programs gain or lose on the drop-in, beside the other allocators?
Output:   a table per metric with the medians, of times also the minima and maxima, and the targets;
          with --results the figures as JSON; with --charts programs-cpu, programs-memory and
          programs-wall; one that has nothing to show is left out.

The targets, for MemoryBucket (dropin), program by program, against the best peer by its median:
  cpu     the program's CPU time is at most 1.02 of that peer's
  memory  its peak of resident memory is at most 1.05 of that peer's
What is judged is the median of the rounds' ratios: in a round all allocators run within seconds, and
a machine whose speed drifts is then the same for both. A target is missed when the ratio exceeds it
by more than twice the standard error of that median; by less, that is noise, and is called so."""
import math
from typing import NamedTuple

import charts
import sheet
from sheet import MIB, Metric, label

CPU, PEAK, WALL = "cpu_s", "peak_bytes", "wall_s"
METRICS = (
    Metric(WALL, "s", "Wall time in s, of a server that of its load"),
    Metric(CPU, "s", "CPU time of the program in s, user and system"),
    Metric(PEAK, "bytes", "Peak memory of the program in MiB", MIB))
ASKED = {CPU: 1.02, PEAK: 1.05, WALL: None}


class Line(NamedTuple):
    """A program's ratio to the best peer; `error` is the standard error of the ratio. `verdict`: "met",
    "noise", "missed", or "-" where nothing is asked or something was not measured."""
    row: tuple
    metric: str
    peer: str
    ratio: float
    error: float
    verdict: str


def judge(table, row, metric):
    peer = table.best_peer(row, metric)
    ratio, asked = table.ratio(row, metric, "dropin", peer), ASKED[metric]
    return Line(row, metric, peer, *ratio, ratio.verdict(asked) if asked else "-")


def print_targets(lines):
    print("\nTargets: MemoryBucket's (dropin) divided by the best peer's, the median of the rounds' "
          "ratios with\nits standard error; less is better. Noise: above what is asked by no more "
          "than twice that error.")
    print(f"{'target':24}  {'against':12}  {'asked':7}  {'ratio':>7}  {'error':>6}")
    for line in lines:
        asked = ASKED[line.metric]
        cells = ["-" if math.isnan(value) else f"{value:.3f}" for value in (line.ratio, line.error)]
        print(f"{f'{label(line.row)} {line.metric}':24}  {line.peer or '-':12}  "
              f"{f'<= {asked:.2f}' if asked else '-':7}  {cells[0]:>7}  {cells[1]:>6}  "
              f"{line.verdict}".rstrip())
    judged = [line.verdict for line in lines if ASKED[line.metric]]
    if "-" in judged:
        print(f"{judged.count('-')} targets could not be judged, for want of an allocator")
    print(f"{judged.count('met')} targets met, {judged.count('noise')} within the noise, "
          f"{judged.count('missed')} missed")


def draw(table, lines, directory, machine):
    names = table.ours() + table.peers()
    missed = {(line.row, line.metric): f"missed: {line.ratio:.2f}"
              for line in lines if line.verdict == "missed"}
    for name, metric, heading in (("cpu", CPU, "CPU time of real programs"),
                                  ("memory", PEAK, "Peak memory of real programs"),
                                  ("wall", WALL, "Wall time of real programs")):
        groups = []
        for row in table.rows:
            best = table.median(row, table.best_peer(row, metric), metric)
            if best > 0:
                groups.append(charts.Item(
                    row[0], [table.median(row, one, metric) / best for one in names],
                    missed.get((row, metric), "")))
        charts.bars(f"{directory}/programs-{name}", f"{heading}, the best other allocator's = 1: "
                    "lower is better", machine, charts.styles(names), groups, high=2.56, cut=2,
                    line=1)


def main():
    arguments = sheet.parse_arguments(
        __doc__, (("RAW_FILE", "what bench/programs.sh measured"),))
    table = sheet.Sheet(arguments.RAW_FILE, METRICS)
    for metric in METRICS:
        table.print_table(metric.name)
        if metric.unit == "s":
            table.print_table(metric.name, ranges=True)
    lines = [judge(table, row, metric) for metric in ASKED for row in table.rows
             if table.has(row, metric)]
    print_targets(lines)
    if arguments.results:
        sheet.write_json(arguments.results, table.json_rows("programs", digits=6))
    if arguments.charts:
        draw(table, lines, arguments.charts, arguments.machine)


sheet.run(main)
