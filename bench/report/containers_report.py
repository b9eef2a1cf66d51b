#!/usr/bin/env -S python3 -B
"""What bench/containers.sh measured: tables, and a picture.

Question: what do C++'s containers and owners gain or lose on MemoryBucket, beside the other allocators?
Output:   a table per metric with the medians, of the CPU time also the minima and maxima, and of each
          form of MemoryBucket the gain over the best peer; with --results the figures as JSON; with
          --charts containers-time. No target is set.

The gain is the median of the rounds' ratios, the best peer's time divided by ours: in a round all
allocators run within seconds, and a machine whose speed drifts is then the same for both."""
import charts
import sheet
from sheet import MIB, Metric, label

TIME = "cpu_ns_per_op"
METRICS = (
    Metric(TIME, "ns", "CPU time of an operation in ns"),
    Metric("wall_ns_per_op", "ns", "Wall time of an operation in ns"),
    Metric("peak_bytes", "bytes", "Peak resident memory in MiB", MIB),
    Metric("final_bytes", "bytes", "Resident memory at the end in MiB", MIB))


def print_gains(table):
    ours = table.ours()
    if not ours or not table.peers():
        return
    print("\nGain over the best peer in CPU time, the median of the rounds' ratios; above 1 MemoryBucket is faster")
    print(f"{'workload@threads':24}  {'best peer':10}" + "".join(f"  {one:>8}" for one in ours))
    for row in table.rows:
        peer = table.best_peer(row, TIME)
        cells = [table.ratio(row, TIME, peer, one).value for one in ours]
        print(f"{label(row):24}  {peer or '-':10}" + "".join(f"  {cell:>8.2f}" for cell in cells))


def draw(table, directory, machine):
    names = table.ours() + table.peers()
    groups = []
    for row in table.rows:
        best = table.median(row, table.best_peer(row, TIME), TIME)
        if best > 0:
            groups.append(charts.Item(label(row), [table.median(row, one, TIME) / best for one in names]))
    if groups:
        charts.bars(f"{directory}/containers-time", "CPU time of C++ containers, the best other "
                    "allocator's = 1: lower is better", machine, charts.styles(names), groups,
                    high=2.56, cut=2, line=1)


def main():
    arguments = sheet.parse_arguments(__doc__, (("RAW_FILE", "what bench/containers.sh measured"),))
    table = sheet.Sheet(arguments.RAW_FILE, METRICS)
    for metric in METRICS:
        table.print_table(metric.name)
    table.print_table(TIME, ranges=True)
    print_gains(table)
    if arguments.results:
        sheet.write_json(arguments.results, table.json_rows("containers"))
    if arguments.charts:
        draw(table, arguments.charts, arguments.machine)


sheet.run(main)
