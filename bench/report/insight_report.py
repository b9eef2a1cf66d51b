#!/usr/bin/env -S python3 -B
"""What bench/insight.sh measured: what a heap profile and published statistics cost while they are on.

Question: by how much do operations take longer, in processor time and in time?
Output:   for each workload the median without, and what it costs, in per cent, with an interval that has
          the true figure in 95 of 100 cases. The profile is to cost less than 2 % in processor time on
          all workloads, publishing less than 1 % on xfer; 'noise' where the interval has the target in it.

A round has two runs off and two on, and their ratio. The cost is the mean of the middle half of all
rounds' ratios, and the interval is of 2,000 samples of as many rounds (Efron's bootstrap, 1979)."""
import random
import statistics

import sheet
from sheet import Metric, label, shorten

CPU = "cpu_ns_per_op"
METRICS = (Metric(CPU, "ns", "CPU time of an operation in ns"),
           Metric("wall_ns_per_op", "ns", "Wall time of an operation in ns"),
           Metric("peak_bytes", "bytes", "Peak resident memory in MiB", sheet.MIB),
           Metric("final_bytes", "bytes", "Resident memory at the end in MiB", sheet.MIB))
FEATURES = {"profile": "Taking a heap profile with a sample in 512 KiB",
            "export": "Publishing statistics"}
SAMPLES = 2000


def target(feature, row):
    """In per cent; None: none is set."""
    return 2 if feature == "profile" else 1 if row[0] == "xfer" else None


def middle_mean(values):
    values = sorted(values)
    cut = len(values) // 4
    return statistics.fmean(values[cut:len(values) - cut])


def pairs_of_rounds(values):
    return [one + other for one, other in zip(values[::2], values[1::2])]


def cost(table, row, feature, name):
    """In per cent: the estimate, and the interval's ends; None without a round."""
    off, on = (pairs_of_rounds(table.values.get((row, f"{feature}-{state}", name), ()))
               for state in ("off", "on"))
    ratios = [100 * (with_it / without - 1) for without, with_it in zip(off, on) if without > 0]
    if not ratios:
        return None
    chance = random.Random(1)  # the same file gives the same figures
    means = sorted(middle_mean(chance.choices(ratios, k=len(ratios))) for _ in range(SAMPLES))
    return middle_mean(ratios), means[SAMPLES // 40], means[-SAMPLES // 40]


def verdict(most, estimate, low, high):
    if most is None:
        return "-"
    return ("met" if high < most else "missed" if low > most
            else f"noise, {'below' if estimate < most else 'above'}")


def print_costs(table, feature):
    print(f"\n{FEATURES[feature]} costs, in per cent (in 95 of 100 cases from ... to)")
    print(f"{'workload@threads':18}  {'off, CPU ns':>11}  {'CPU time':>22}  {'time':>22}  target")
    for row in table.rows:
        off = table.median(row, f"{feature}-off", CPU)
        cells = [cost(table, row, feature, name) for name in (CPU, "wall_ns_per_op")]
        if cells[0] is None:
            continue
        shown = [f"{one[0]:+.2f} ({one[1]:+.2f} to {one[2]:+.2f})" if one else "-" for one in cells]
        most = target(feature, row)
        said = "-" if most is None else f"{most}: {verdict(most, *cells[0])}"
        print(f"{label(row):18}  {shorten(off):>11}  {shown[0]:>22}  {shown[1]:>22}  {said}")


def main():
    arguments = sheet.parse_arguments(__doc__, (("RAW_FILE", "what bench/insight.sh measured"),),
                                      pictures=False)
    table = sheet.Sheet(arguments.RAW_FILE, METRICS)
    for feature in FEATURES:
        print_costs(table, feature)
    if arguments.results:
        sheet.write_json(arguments.results, table.json_rows("insight"))


sheet.run(main)
