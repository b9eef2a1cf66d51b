#!/usr/bin/env -S python3 -B
"""-m is kept: when memory is full, old items make room for new ones, whatever the sizes are and were.

Usage: memory.py SERVER [--sanitized] [--deep] [--seed N] [--only CHECK,...]"""
import threading

from client import Client
from harness import expect, expect_served, run
from server import Failure

MEGABYTE = 1 << 20
# What a full server may have beside the items and what it had when it was empty: connections, tables,
# and a quarter of -m that is the allocator's.
BESIDE = 6 * MEGABYTE


def value_of(number, size):
    """Bytes that say whose they are."""
    word = b"%d." % number
    return (word * (size // len(word) + 1))[:size]


def store(client, name, sizes):
    """Stores the items NAME0, NAME1, ... in pipelines; each must be stored. Returns how many."""
    count, pending = 0, []
    for size in sizes:
        pending.append(b"set %s%d 0 0 %d\r\n%s\r\n" % (name, count, size, value_of(count, size)))
        count += 1
        if len(pending) * size > 200_000 or len(pending) == 500:
            store_pipeline(client, pending)
            pending = []
    store_pipeline(client, pending)
    return count


def store_pipeline(client, pending):
    client.send(b"".join(pending))
    wanted = b"STORED\r\n" * len(pending)
    expect(client.read_exactly(len(wanted)), wanted, "a pipeline of sets")


def kept_of(client, name, count, sizes):
    """How many of the items are there; each that is must be right."""
    kept = 0
    for number in range(count):
        value = client.get(b"%s%d" % (name, number))
        if value is not None:
            expect(value, value_of(number, sizes[number]), f"the value of {name.decode()}{number}")
            kept += 1
    return kept


def expect_bounded(setting, server, empty, megabytes, what):
    """`empty` is what was resident at the start."""
    resident = server.resident_bytes()
    limit = empty + megabytes * MEGABYTE * 5 // 4 + BESIDE
    if not setting.sanitized and resident > limit:
        raise Failure(f"{what}: {resident >> 20} MiB are resident with -m {megabytes}, "
                      f"of {limit >> 20} allowed")


def full(setting):
    """Three times as much as fits: memory is bounded, the newest are there, the oldest gone."""
    megabytes = 64 if setting.deep else 16
    with setting.start("-m", str(megabytes), "-t", "2") as server, Client(server.port) as client:
        empty = server.resident_bytes()
        sizes = []
        total = 0
        while total < 3 * megabytes * MEGABYTE:
            sizes.append(setting.random.choice((10, 100, 100, 500, 1000, 4000, 20000)))
            total += sizes[-1]
        count = store(client, b"a", sizes)
        expect_bounded(setting, server, empty, megabytes, "full")
        newest = range(count - 100, count)
        found = sum(client.get(b"a%d" % number) == value_of(number, sizes[number])
                    for number in newest)
        if found < 95:
            raise Failure(f"of the newest 100 items {found} are there")
        old = kept_of(client, b"a", min(count, 2000), sizes)
        if old > 1000:
            raise Failure(f"of the oldest 2000 items {old} are there")
        stats = client.stats()
        if int(stats["evictions"]) == 0:
            raise Failure("stats tells of no evictions")
        if int(stats["limit_maxbytes"]) != megabytes * MEGABYTE:
            raise Failure(f"stats says limit_maxbytes {stats['limit_maxbytes']}")
        # A cache that gives away most of its room is none.
        if int(stats["bytes"]) < megabytes * MEGABYTE // 4:
            raise Failure(f"with -m {megabytes} {int(stats['bytes']) >> 20} MiB of items are kept")


def hot(setting):
    """What is read all the time stays, while what is stored once and never read makes room."""
    with setting.start("-m", "16", "-t", "1") as server, Client(server.port) as client:
        for number in range(200):
            expect(client.set(b"hot%d" % number, value_of(number, 1000)), b"STORED", "set")
        for part in range(60):
            store(client, b"cold%d." % part, [1000] * 1000)
            client.send(b"".join(b"get hot%d\r\n" % number for number in range(200)) + b"mn\r\n")
            client.read_until(b"MN\r\n")
        kept = sum(client.get(b"hot%d" % number) is not None for number in range(200))
        if kept < 150:
            raise Failure(f"of 200 items that were read all the time {kept} are there")


def all_read(setting):
    """Where every item was read lately, room is made nevertheless, and soon."""
    with setting.start("-m", "16", "-t", "2") as server, Client(server.port) as client:
        empty = server.resident_bytes()
        for part in range(6):
            count = store(client, b"r%d." % part, [1000] * 5000)
            for start in range(0, count, 100):
                keys = b" ".join(b"r%d.%d" % (part, start + number) for number in range(100))
                client.send(b"get " + keys + b"\r\n")
                client.read_until(b"END\r\n")
            kept = sum(client.get(b"r%d.%d" % (part, number)) is not None
                       for number in range(count - 200, count))
            if kept < 150:
                raise Failure(f"of the newest 200 items {kept} are there")
        expect_bounded(setting, server, empty, 16, "all read")


def sizes_change(setting):
    """The sizes change, small to large and back: each mix gets the room that the last one had."""
    with setting.start("-m", "16", "-t", "2") as server, Client(server.port) as client:
        empty = server.resident_bytes()
        for name, size, total in ((b"small", 60, setting.some(12)), (b"large", 100_000, 40),
                                  (b"middle", 3000, 40),
                                  (b"tiny", 20, setting.some(4)), (b"huge", 900_000, 40),
                                  (b"again", 200, setting.some(24))):
            count = store(client, name, [size] * (total * MEGABYTE // size))
            expect_bounded(setting, server, empty, 16, name.decode())
            kept = kept_of(client, name, count, [size] * count) if count < 15_000 else None
            if kept is not None and kept * size < 4 * MEGABYTE:
                raise Failure(f"-m 16: of {count} items of {size} bytes {kept} are there")
        # Room for the largest there is, which no slot of another size gives.
        expect(client.set(b"largest", b"x" * 1_000_000), b"STORED", "a large item in a full cache")
        expect(client.get(b"largest"), b"x" * 1_000_000, "a large item in a full cache")


def many_at_once(setting):
    """Several clients fill it at once, and change what the others have stored."""
    def fill(number, failures):
        try:
            with Client(server.port) as client:
                for part in range(setting.some(12)):
                    sizes = [setting.random.choice((50, 500, 5000, 50000)) for _ in range(300)]
                    store(client, b"p%d." % (part % 3), sizes)
                    client.send(b"append p0.1 0 0 1\r\nx\r\nincr p0.2 1\r\n"
                                b"delete p1.%d\r\nmn\r\n" % number)
                    client.read_until(b"MN\r\n")
        except (Failure, OSError) as failure:
            failures.append(failure)

    with setting.start("-m", "16", "-t", "4") as server:
        empty = server.resident_bytes()
        failures = []
        threads = [threading.Thread(target=fill, args=(number, failures)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        expect_bounded(setting, server, empty, 16, "filled by many")
        expect_served(server.port)


def flushed(setting):
    """After flush_all the room is there for others, and what was stored is not."""
    with setting.start("-m", "32", "-t", "2") as server, Client(server.port) as client:
        empty = server.resident_bytes()
        for _ in range(setting.some(3)):
            count = store(client, b"f", [1000] * setting.some(20_000))
            expect(client.ask(b"flush_all"), b"OK", "flush_all")
            for number in range(0, count, 97):
                expect(client.get(b"f%d" % number), None, "an item behind flush_all")
        expect_bounded(setting, server, empty, 32, "after flush_all")
        expect_served(server.port)


if __name__ == "__main__":
    run(__doc__, [full, hot, all_read, sizes_change, many_at_once, flushed])
