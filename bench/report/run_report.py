#!/usr/bin/env -S python3 -B
"""What bench/run.sh measured: the server's figures as a table, all figures as JSON, one picture.

Output:   the table of redis-server; with --results the figures of both as JSON; with --charts the
          picture headline."""
import json
import math

import charts
import sheet
from sheet import Metric

ALLOCATORS = ("system", "memorybucket-dropin")
SERVED = ("pool_live_objects", "system_live_objects")
METRICS = (
    Metric("requests_per_second", "1/s", "Requests a second", ranked=False),
    Metric("p99_ms", "ms", "Latency, 99th percentile in ms"),
    Metric("resident_bytes", "bytes", "Resident memory"),
    *(Metric(name, "objects", "Live objects", ranked=False) for name in SERVED))
TESTS = ("set", "get", "lpush", "lrange_100")
TABLE = [((test, 1), name, f"{test.upper()} {title}") for name, title in (
    ("requests_per_second", "requests/s"), ("p99_ms", "p99 ms")) for test in TESTS]
TABLE.append((("after-load", 1), "resident_bytes", "resident bytes"))
PANELS = {
    "small-once": "Small (64 bytes), freed at once",
    "small-rounds": "Small (64 bytes), freed after each round",
    "large-once": "Large (1024 bytes), freed at once",
    "large-rounds": "Large (1024 bytes), freed after each round"}


def print_server(table):
    print(f"{'':24} {'own allocator':30} {'MemoryBucket':30} ratio")
    for row, name, title in TABLE:
        decimals = 3 if name == "p99_ms" else 0
        cells = []
        for one in ALLOCATORS:
            values = table.values.get((row, one, name), [math.nan])
            median, low, high = (f"{value:.{decimals}f}" for value in (
                table.median(row, one, name), min(values), max(values)))
            cells.append(f"{median} ({low}-{high})")
        own, ours = (table.median(row, one, name) for one in ALLOCATORS)
        print(f"{title:24} {cells[0]:30} {cells[1]:30} {ours / (own + 1e-9):.2f}")
    pool, other = (table.median(("after-load", 1), ALLOCATORS[1], name) for name in SERVED)
    print(f"Of the {pool + other:.0f} allocations that are live in the server at its end the pools "
          f"serve {pool:.0f} ({100 * pool / (pool + other):.1f} %), the next allocator {other:.0f}.")


def draw(rows, directory, machine):
    names = ("memorybucket", "system")
    medians = {(row["workload"], row["threads"], row["allocator"]): row["median"]
               for row in map(json.loads, rows) if row["metric"] == "cpu_ns_per_pair"}
    panels = [(title, [charts.Item(f"{threads} thread{'s' * (threads > 1)}",
                                    [medians[workload, threads, name] for name in names])
                       for threads in sorted({key[1] for key in medians if key[0] == workload})])
              for workload, title in PANELS.items()]
    charts.bars(f"{directory}/headline", "CPU time of one allocate/free pair in ns (10,000 a round): "
                "lower is better", machine, charts.styles(names), panels=panels, text="{:.3g}")


def main():
    arguments = sheet.parse_arguments(__doc__, (
        ("HEADLINE_FILE", "the rows of headline, one JSON object a line"),
        ("RAW_FILE", "what bench/headline/redis.sh measured")))
    with open(arguments.HEADLINE_FILE, encoding="utf-8") as lines:
        rows = lines.read().splitlines()
    table = sheet.Sheet(arguments.RAW_FILE, METRICS)
    print_server(table)
    if arguments.results:
        sheet.write_json(arguments.results, rows + table.json_rows("redis", digits=10))
    if arguments.charts:
        try:
            draw(rows, arguments.charts, arguments.machine)
        except (KeyError, TypeError, ValueError) as error:
            sheet.fail(f"{arguments.HEADLINE_FILE}: rows are missing, or are none: {error}")


sheet.run(main)
