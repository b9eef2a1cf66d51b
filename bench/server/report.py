#!/usr/bin/env -S python3 -B
"""What bench/server/run.sh measured, in tables, against the targets, and as a picture.

Question: what do allocators make of a cache server under load, in requests, latency and memory?
Output:   a table for each phase with the medians of the rounds, and the targets; with --results the
          figures as JSON; with --charts the picture server, or with --tune server-tune.

The targets, for MemoryBucket (memorybucket) against the best other allocator by its median;
memcached is another server, and counts for its memory alone. In requests and p99, which differ by
tens of percent from round to round, MemoryBucket is held in each round against the allocator that
was best in the other rounds: of several equal ones the best of all rounds is the luckiest.
  requests  in steady and in mixed, that allocator's requests a second divided by MemoryBucket's: at
            most 1
  p99       in steady and in mixed, MemoryBucket's divided by that allocator's: at most 1
  memory    in filled and in mixed, bytes per item beyond payload, divided by that allocator's: at
            most 1; in mixed also by memcached's
What is judged is the median of the rounds' ratios. A target is missed when that exceeds 1 by more
than twice its standard error; by less, that is noise, and is called so."""
import math
import pathlib
import statistics
import sys
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "report"))
# pylint: disable=wrong-import-position,import-error
import charts
import sheet
from sheet import MIB, Metric, label

REQUESTS, P99, OVERHEAD, RESIDENT = ("requests_per_second", "p99_us", "overhead_bytes",
                                     "resident_bytes")
METRICS = (
    Metric(REQUESTS, "1/s", "requests/s", ranked=False),
    Metric("p50_us", "us", "p50 us"),
    Metric(P99, "us", "p99 us"),
    Metric("p999_us", "us", "p99.9 us"),
    Metric("cpu_us", "us", "CPU us"),
    Metric("alloc_percent", "percent", "alloc %"),
    Metric("hit_percent", "percent", "hits %", ranked=False),
    Metric(OVERHEAD, "bytes", "bytes/item", signed=True),
    Metric("used_bytes", "bytes", "handed out", signed=True),
    Metric(RESIDENT, "bytes", "MiB", MIB))
PHASES = {
    "filled": "all items stored, sizes as in Facebook's ETC pool",
    "steady": "nine gets to a set, keys by Zipf",
    "mixed": "all items stored anew in other sizes, then the same load",
    "flushed": "after flush_all and mb_trim; memcached has no such command",
    "memcaslap": "libmemcached's client, all values checked",
    "usr-filled": "all items stored, sizes as in Facebook's USR pool",
    "usr-steady": "nine gets to a set, keys by Zipf",
    "limit": "more items than -m has room for: nine gets to a set",
    "limit-mixed": "the same once the sizes have changed",
    "crowd": "many connections, each opened anew after 100 requests"}
OURS, MEMCACHED = "memorybucket", "memcached"


class Target(NamedTuple):
    row: tuple
    metric: str
    peer: str
    ratio: sheet.Ratio


def print_phase(table, row):
    metrics = [metric for metric in METRICS if table.has(row, metric.name)]
    runs = max(len(values) for key, values in table.values.items() if key[0] == row)
    print(f"\n{row[0]}, {row[1]} connections: {PHASES.get(row[0], row[0])}; "
          f"median of {runs} round{'s' * (runs > 1)}")
    width = max(len("allocator"), *(len(one) for one in table.allocators))
    print("allocator".ljust(width) + "".join(f"  {metric.title:>10}" for metric in metrics))
    for one in table.allocators:
        cells = [sheet.shorten(table.median(row, one, metric.name) / metric.divisor)
                 if (row, one, metric.name) in table.values else "-" for metric in metrics]
        if any(cell != "-" for cell in cells):
            print(one.ljust(width) + "".join(f"  {cell:>10}" for cell in cells))


def best_of(table, row, metric, peers):
    if metric == REQUESTS:
        return max((one for one in peers if (row, one, metric) in table.values),
                   key=lambda one: table.median(row, one, metric), default=None)
    return table.best(row, metric, peers)


def fair_ratio(table, row, metric, peers):
    """Of rounds, each with the peer that is best in all others; with a single one, in that."""
    ours = table.values[row, OURS, metric]
    theirs = [values for one in peers if (values := table.values.get((row, one, metric)))]
    sign = -1 if metric == REQUESTS else 1
    ratios = []
    for turn in range(min(len(ours), *map(len, theirs))):
        best = min(theirs, key=lambda values, turn=turn: sign * statistics.median(
            values[:turn] + values[turn + 1:] or values))
        if best[turn] > 0 and ours[turn] > 0:
            ratios.append((ours[turn] / best[turn]) ** sign)
    return sheet.Ratio(statistics.median(ratios) if ratios else math.nan,
                       sheet.median_error(ratios))


def judge(table):
    """A target for each phase that was measured on MemoryBucket and on what it is held against."""
    peers = [one for one in table.allocators if one not in (OURS, MEMCACHED, "dropin")]
    asked = [(phase, metric, peers) for metric in (REQUESTS, P99) for phase in ("steady", "mixed")]
    asked += [("filled", OVERHEAD, peers), ("mixed", OVERHEAD, peers),
              ("mixed", OVERHEAD, [MEMCACHED])]
    targets = []
    for phase, metric, candidates in asked:
        for row in (row for row in table.rows if row[0] == phase):
            peer = best_of(table, row, metric, candidates)
            if peer and (row, OURS, metric) in table.values:
                ratio = (table.ratio(row, metric, OURS, peer) if metric == OVERHEAD
                         else fair_ratio(table, row, metric, candidates))
                targets.append(Target(row, metric, peer, ratio))
    return targets


def print_targets(targets):
    if not targets:
        return
    print("\nTargets: MemoryBucket's divided by the best other allocator's (of requests a second the "
          "other way\nround), the median of the rounds' ratios with its standard error; at most 1 is "
          "asked. Noise: above\nthat by no more than twice the error. In requests and p99 a round is held "
          "against the allocator\nthat is best in the other rounds; named is the best of all.")
    verdicts = [one.ratio.verdict(1) for one in targets]
    for one, verdict in zip(targets, verdicts):
        print(f"{f'{label(one.row)} {one.metric}':34}  {one.peer:12}  {one.ratio.value:7.3f}  "
              f"{one.ratio.error:6.3f}  {verdict}")
    print(f"{verdicts.count('met')} targets met, {verdicts.count('noise')} within the noise, "
          f"{verdicts.count('missed')} missed")


def row_of(table, phase):
    return next((row for row in table.rows if row[0] == phase), None)


def groups(table, names, bars):
    """A group of bars for each (phase, metric, title, divisor) that was measured."""
    return [charts.Item(title, [table.median(row_of(table, phase), one, metric) / divisor
                                for one in names])
            for phase, metric, title, divisor in bars
            if row_of(table, phase) and table.has(row_of(table, phase), metric)]


def draw(table, directory, machine):
    names = table.allocators[:]
    names.sort(key=lambda one: (one != OURS, one != "dropin")) # and the others as they are
    panels = [(title, groups(table, names, bars)) for title, bars in (
        ("Thousand requests a second: higher is better", (
            ("steady", REQUESTS, "steady", 1e3), ("mixed", REQUESTS, "sizes changed", 1e3),
            ("memcaslap", REQUESTS, "memcaslap", 1e3))),
        ("Latency in ms: lower is better", (
            ("steady", "p50_us", "p50", 1e3), ("steady", P99, "p99", 1e3),
            ("steady", "p999_us", "p99.9", 1e3))),
        ("Bytes an item takes beyond its key and value: lower is better", (
            ("filled", OVERHEAD, "filled", 1), ("mixed", OVERHEAD, "sizes changed", 1),
            ("usr-filled", OVERHEAD, "USR", 1))),
        ("MiB in memory: lower is better", (
            ("filled", RESIDENT, "filled", MIB), ("mixed", RESIDENT, "sizes changed", MIB),
            ("flushed", RESIDENT, "flushed", MIB))))]
    charts.bars(f"{directory}/server", "A cache server under load, by its allocator; memcached "
                "has its own slabs", machine, charts.styles(names), panels=panels, text="{:.3g}")


def draw_tune(table, directory, machine):
    """Groups by magazine, bars by cache: an allocator is called magazine-M.cache-C."""
    magazines, caches = (sorted({one.split(".")[part] for one in table.allocators})
                         for part in (0, 1))
    order = {"16": 0, "260K": 0, "default": 1}
    for settings in magazines, caches:
        settings.sort(key=lambda one: order.get(one.partition("-")[2], 2))
    panels = []
    for title, phase, metric, divisor in (
            ("Thousand requests a second, steady: higher is better", "steady", REQUESTS, 1e3),
            ("p99 in ms, steady: lower is better", "steady", P99, 1e3),
            ("The allocator's share of the CPU time, %, sizes changed", "mixed", "alloc_percent", 1),
            ("MiB in memory, sizes changed: lower is better", "mixed", RESIDENT, MIB)):
        row = row_of(table, phase)
        if row and table.has(row, metric):
            panels.append((title, [charts.Item(
                one, [table.median(row, f"{one}.{cache}", metric) / divisor for cache in caches])
                for one in magazines]))
    charts.bars(f"{directory}/server-tune", "The cache server on MemoryBucket, MB_MAGAZINE_SIZE and "
                "MB_THREAD_CACHE_MAX turned", machine, charts.styles(caches), panels=panels,
                text="{:.3g}")


def main():
    arguments = sheet.parse_arguments(
        __doc__, (("RAW_FILE", "what bench/server/run.sh measured"),),
        (("--tune", "the file is of bench/server/run.sh --tune"),))
    table = sheet.Sheet(arguments.RAW_FILE, METRICS)
    table.allocators.sort(key=lambda one: (one == MEMCACHED, one != OURS))
    for row in table.rows:
        print_phase(table, row)
    if not arguments.tune:
        print_targets(judge(table))
    if arguments.results:
        bench = "server-tune" if arguments.tune else "server"
        sheet.write_json(arguments.results, table.json_rows(bench, digits=6))
    if arguments.charts:
        (draw_tune if arguments.tune else draw)(table, arguments.charts, arguments.machine)


sheet.run(main)
