#!/usr/bin/env -S python3 -B
"""What bench/memory.sh measured, in tables, against the targets, and as pictures.

Question: what stays in memory after a peak, and what do threads keep; which targets are met?
Output:   a table per metric with the medians, of times also the minima and maxima, and the targets;
          with --results the figures as JSON; with --charts memory-peak, memory-sleepers,
          memory-decay, memory-transfer and memory-exit; one that has nothing to show is left out.

The targets, for MemoryBucket (dropin), by medians:
  back      all freed and purged, resident memory is beyond the start by at most 5 % of the start
            and the metadata that the peak leaves: a bit for each object, 4 bytes for each 64 KiB,
            and two pages for each pool in use
  ninety    with sizes above 512 bytes, a random 90 % freed and purged: resident at most what
            jemalloc keeps, in the same run
  decay     below a tenth of the peak within 3 seconds
  burst     resident after a phase at most what the C library's malloc holds, in the same run
  transfer  the slope is at most two of its standard errors, or 0.1 % of resident memory a second.
            Either is enough: the error is tiny where memory moves by a page or two, and large where
            it comes and goes, and neither is a leak. Memory that shrinks does not grow."""
import math
import os

import charts
import sheet
from sheet import MIB, Metric, label

KIB, US, MS = 1024.0, 1e3, 1e6
STATES = {"start": "at the start", "peak": "at the peak", "freed": "after the frees",
          "purged": "after the purge", "after_phase": "after a phase, at most,",
          "after_exit": "after the exits"}


def resident(state):
    """The three metrics of a state."""
    return [Metric(f"{state}{kind}_bytes", "bytes", f"{title} {STATES[state]} in MiB", MIB)
            for kind, title in (("", "Resident"), ("_anonymous", "Anonymous"),
                                ("_lazyfree", "Lazily free"))]


METRICS = (
    Metric("objects", "objects", "Objects", ranked=False),
    Metric("asked_bytes", "bytes", "Asked for at the peak in MiB", MIB),
    Metric("record_bytes", "bytes", "The program's own record in MiB", MIB),
    *resident("start"), *resident("peak"), *resident("freed"), *resident("purged"),
    Metric("beyond_start_bytes", "bytes", "Resident after the purge beyond the start in MiB", MIB,
           signed=True),
    Metric("purge_ns", "ns", "Time of the purge call in ms", MS),
    Metric("watched_s", "s", "Watched for seconds"),
    Metric("below_tenth_s", "s",
           "Seconds until below a tenth of the peak (all that were watched: never)"),
    Metric("after_3s_bytes", "bytes", "Resident 3 s after the frees in MiB", MIB),
    Metric("after_1s_bytes", "bytes", "Resident after 1 s in MiB", MIB),
    Metric("end_bytes", "bytes", "Resident at the end in MiB", MIB),
    Metric("slope_kib_per_s", "KiB/s", "Slope of resident memory after the first second in KiB/s",
           signed=True, ranked=False),
    Metric("slope_error_kib_per_s", "KiB/s", "Standard error of the slope in KiB/s", ranked=False),
    Metric("objects_per_s", "1/s", "Million objects a second", 1e6, ranked=False),
    Metric("asleep_bytes_per_thread", "bytes", "Resident per sleeping thread in KiB", KIB,
           signed=True),
    Metric("purged_bytes_per_thread", "bytes",
           "Resident per sleeping thread after the purge in KiB", KIB, signed=True),
    Metric("exit_p50_ns", "ns", "Exit of a thread, 50th percentile in us", US),
    Metric("exit_p99_ns", "ns", "Exit of a thread, 99th percentile in us", US),
    Metric("exit_max_ns", "ns", "Exit of a thread, maximum in us", US),
    Metric("exit_cpu_ns", "ns", "CPU time of a thread's exit, wake-up and all, in us", US),
    Metric("exit_all_ns", "ns", "Wall time until all threads are joined in ms", MS),
    Metric("kept_bytes", "bytes", "Kept beyond its phase in MiB", MIB),
    *resident("after_phase"), *resident("after_exit"))
SAME_WORK = ("objects", "asked_bytes", "kept_bytes")
SMALL_POOLS = 32  # of the drop-in: every second one
UPPER_POOLS = 57  # every second one up to 1 KiB, and five a doubling up to 32 KiB
# The tables, in this order; of times also minima and maxima. What is not here is in the JSON only.
TABLES = ("peak_bytes", "freed_bytes", "purged_bytes", "beyond_start_bytes", "purge_ns",
          "below_tenth_s", "after_3s_bytes", "after_1s_bytes", "after_phase_bytes", "end_bytes",
          "slope_kib_per_s", "slope_error_kib_per_s", "objects_per_s", "asleep_bytes_per_thread",
          "purged_bytes_per_thread", "exit_p50_ns", "exit_p99_ns", "exit_max_ns", "exit_cpu_ns",
          "exit_all_ns", "after_exit_bytes")


def check_same_work(table):
    for name in SAME_WORK:
        for row in table.rows:
            values = {value for one in table.allocators
                      for value in table.values.get((row, one, name), ())}
            if len(values) > 1:
                sheet.fail(f"{row[0]}: {name} differs between runs or allocators: "
                           "not the same work")


def print_lazily_free(table):
    for row in table.rows:
        for one in table.allocators:
            lazy = table.median(row, one, "purged_lazyfree_bytes")
            if lazy > 0:
                print(f"{row[0]}, {one}: {lazy / MIB:.1f} MiB of it may be taken by the kernel "
                      "when it is short")


# Each section of targets: the workloads' prefix or names, its heading, the width and decimals of
# its columns, and for a row what they show, the value that is judged, and the most it may be.

def judge_back(table, row):
    start, peak, beyond, objects = (table.median(row, "dropin", name) for name in (
        "start_bytes", "peak_bytes", "beyond_start_bytes", "objects"))
    pools = 1
    if row[0].startswith("peak-mixed"):
        pools = SMALL_POOLS
    if row[0].startswith("peak-mixed-32k"):
        pools += UPPER_POOLS
    metadata = 0.125 * objects + 4.0 / (64 << 10) * peak + 2 * 4096 * pools
    allowed = 0.05 * start + metadata
    return (start / MIB, peak / MIB, beyond / MIB, beyond / peak * 100, metadata / MIB,
            allowed / MIB), beyond, allowed


def judge_ninety(table, row):
    kept, allowed = (table.median(row, one, "purged_bytes") for one in ("dropin", "jemalloc"))
    return (kept / MIB, allowed / MIB), kept, allowed


def judge_decay(table, row):
    seconds = table.median(row, "dropin", "below_tenth_s")
    return (seconds, 3.0), seconds, 3.0


def judge_burst(table, row):
    after, allowed = (table.median(row, one, "after_phase_bytes") for one in ("dropin", "glibc"))
    return (after / MIB, allowed / MIB), after, allowed


def judge_growth(table, row):
    slope, error, end = (table.median(row, "dropin", name) for name in (
        "slope_kib_per_s", "slope_error_kib_per_s", "end_bytes"))
    noise, share = 2 * error, 0.001 * end / 1024
    enough = noise if math.isnan(share) else share if math.isnan(noise) else max(noise, share)
    return (slope, noise, share), slope, enough


NINETY_JUDGED = tuple(f"peak-{size}-ninety" for size in ("700", "4096", "20480", "mixed-32k"))
SECTIONS = (
    ("peak-", "After all is freed and purged: beyond the start at most 5 % of the start and the "
     "metadata, MiB\nworkload                    start       peak     beyond  % of peak"
     "     metadata      allowed", "9.2 9.2 9.2 9.3 11.2 11.2", judge_back),
    (NINETY_JUDGED, "After a random 90 % is freed and purged: resident at most what jemalloc keeps, "
     "MiB\nworkload                     kept    allowed", "9.2 9.2", judge_ninety),
    ("decay-", "Below a tenth of the peak, seconds\nworkload                     time    allowed",
     "9.2 9.2", judge_decay),
    ("burst", "Resident after a phase, at most that with glibc, MiB\n"
     "workload                  at most    allowed", "9.2 9.2", judge_burst),
    ("transfer-", "Growth after the first second, at most two standard errors or 0.1 % of resident "
     "a second, KiB/s\nworkload                    slope   2 errors      0.1 %", "9.2 9.2 9.2",
     judge_growth))


def is_about(prefix, workload):
    """Whether a section judges the workload. Of peaks that are left in part only those named."""
    return workload.startswith(prefix) and (prefix == NINETY_JUDGED
                                            or not workload.endswith("-ninety"))


def print_targets(table):
    """Returns the rows that missed theirs."""
    verdicts = {}
    if "dropin" not in table.allocators:
        print("\nTargets: MemoryBucket was not measured.")
    else:
        print("\nTargets, for MemoryBucket (dropin), by medians")
        for prefix, heading, widths, judge in SECTIONS:
            for row in table.rows:
                if (row, "dropin", "start_bytes") not in table.values \
                        or not is_about(prefix, row[0]):
                    continue
                if heading:
                    print(heading)
                    heading = None
                columns, value, most = judge(table, row)
                verdicts[row] = ("-" if math.isnan(value) or math.isnan(most)
                                 else "met" if value <= most else "missed")
                print(f"{row[0]:22}" + "".join(
                    f"  {'-':>{int(float(width))}}" if math.isnan(shown) else f"  {shown:{width}f}"
                    for width, shown in zip(widths.split(), columns)) + f"  {verdicts[row]}")
    counts = list(verdicts.values())
    if "-" in counts:
        print(f"{counts.count('-')} targets could not be judged, as what they need was not "
              "measured: there is no purge call, or the run was too short")
    print(f"{counts.count('met')} targets met, {counts.count('missed')} missed")
    return [row for row, verdict in verdicts.items() if verdict == "missed"]


def read_series(path):
    """Points of one allocator's run; none where there is no file."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as lines:
        try:
            return [[float(number) for number in line.split()] for line in lines]
        except ValueError as error:
            sheet.fail(f"{path}: {error}")


def draw(table, missed, series, directory, machine):
    style = charts.styles(table.allocators)
    peaks = []
    for row in table.rows:
        if row[0].startswith("peak-"):
            size, order = row[0].removeprefix("peak-"), "fifo"
            if size.endswith(("-random", "-ninety")):
                size, _, order = size.rpartition("-")
            values = []
            for one in table.allocators:
                after = "purged" if (row, one, "purged_bytes") in table.values else "freed"
                values.append(100 * table.median(row, one, f"{after}_bytes")
                              / table.median(row, one, "peak_bytes"))
            peaks.append(charts.Item(f"{size}{' bytes' * size.isdigit()}\n{order}",
                                     values, "target missed" * (row in missed)))
    sleepers = [charts.Item(f"{row[0]}\n{phase}",
                             [table.median(row, one, name) / KIB for one in table.allocators])
                for name, phase in (("asleep_bytes_per_thread", "asleep"),
                                    ("purged_bytes_per_thread", "after the purge"))
                for row in table.rows if table.has(row, name)]
    for name, groups, low, high, heading in (
            ("peak", peaks, 0.1, 1000, "Resident memory after the objects were freed and the purge "
             "call, % of the peak: lower is better"),
            ("sleepers", sleepers, 1, 10000, "Resident memory per thread that has freed everything "
             "and sleeps, KiB: lower is better")):
        charts.bars(f"{directory}/memory-{name}", heading, machine, style, groups, high=high,
                    low=low, log=True, text="{:.3g}")

    for name, prefix, xlabel, settings, heading in (
            ("decay", "decay-", "seconds", "",
             "Resident memory after a peak was freed, MiB: lower is better"),
            ("transfer", "transfer-", "seconds", "",
             "Resident memory while objects are handed over, MiB: lower is better"),
            ("exit", "exit", "share of the threads", "set logscale y; set yrange [*:*]",
             "Time from a thread function's end to the thread being gone, us: lower is better")):
        panels = []
        for row in table.rows:
            if row[0].startswith(prefix):
                points = [read_series(f"{series}/{row[0]}-{one}.dat") for one in table.allocators]
                if any(points):
                    panels.append(charts.Item(row[0], points, "target missed" * (row in missed)))
        charts.lines(f"{directory}/memory-{name}", heading, machine, style, panels, xlabel,
                     settings, marks=False)


def main():
    arguments = sheet.parse_arguments(__doc__, (
        ("RAW_FILE", "what bench/memory.sh measured"),
        ("SERIES_DIR", "the programs' own series, WORKLOAD-ALLOCATOR.dat; they may be missing")))
    table = sheet.Sheet(arguments.RAW_FILE, METRICS)
    check_same_work(table)
    for name in TABLES:
        table.print_table(name)
        if name == "purged_bytes":
            print_lazily_free(table)
        if name.endswith("_ns"):
            table.print_table(name, ranges=True)
    missed = print_targets(table)
    if arguments.results:
        sheet.write_json(arguments.results, table.json_rows("memory"))
    if arguments.charts:
        draw(table, missed, arguments.SERIES_DIR, arguments.charts, arguments.machine)


sheet.run(main)
