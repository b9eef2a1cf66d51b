#!/usr/bin/env -S python3 -B
"""What bench/run.sh measured: the server's figures as a table, all figures as JSON, one picture.

Output:   the table of redis-server; with --results the figures of both as JSON; with --charts the
          picture headline."""
import math

import charts
import sheet
from sheet import Metric

ALLOCATORS = ("system", "memorybucket-dropin")
SERVED = ("pool_live_objects", "system_live_objects")
HEADLINE_METRICS = (
    Metric("cpu_ns_per_pair", "ns", "CPU time of a pair"),
    Metric("wall_ns_per_pair", "ns", "Wall time of a pair"))
SERVER_METRICS = (
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
    "large-rounds": "Large (1024 bytes), freed after each round",
    "large-once-32k": "Large, freed at once, MB_POOL_MAX=32K",
    "large-rounds-32k": "Large, freed after each round, MB_POOL_MAX=32K"}


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
    share = 100 * pool / (pool + other)
    print(f"Of the {pool + other:.0f} allocations that are live in the server at its end the pools "
          f"serve {pool:.0f} ({share:.1f} %), the next allocator {other:.0f}.")


def draw(table, directory, machine):
    names = ("memorybucket", "system")
    panels = [(title, [charts.Item(f"{row[1]} thread{'s' * (row[1] > 1)}",
                                   [table.median(row, name, "cpu_ns_per_pair") for name in names])
                       for row in table.rows if row[0] == workload])
              for workload, title in PANELS.items()]
    charts.bars(f"{directory}/headline", "CPU time of one allocate/free pair in ns (10,000 a "
                "round): lower is better", machine, charts.styles(names), panels=panels,
                text="{:.3g}")


def main():
    arguments = sheet.parse_arguments(__doc__, (
        ("HEADLINE_FILE", "what headline measured"),
        ("REDIS_FILE", "what bench/headline/redis.sh measured")))
    headline = sheet.Sheet(arguments.HEADLINE_FILE, HEADLINE_METRICS)
    server = sheet.Sheet(arguments.REDIS_FILE, SERVER_METRICS)
    print_server(server)
    if arguments.results:
        sheet.write_json(arguments.results, headline.json_rows("headline")
                         + server.json_rows("redis", digits=10))
    if arguments.charts:
        draw(headline, arguments.charts, arguments.machine)


sheet.run(main)
