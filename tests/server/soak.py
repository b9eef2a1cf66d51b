#!/usr/bin/env -S python3 -B
"""Days of a cache in seconds, or in the hour that tests/deep.sh takes: all kinds of clients at once, every
value checked, and memory that is flat in the end.

Usage: soak.py SERVER [--sanitized] [--seconds S] [--seed N]"""
import random
import statistics
import threading
import time

from client import Client, wait_until
from grammar import junk_bytes
from harness import expect, expect_served, run
from server import Failure

MEGABYTES = 32
RESIDENT_MAX = (MEGABYTES * 5 // 4 + 64) << 20
KEYS = 200


class Actor(threading.Thread):
    """A kind of client: does `act` again and again until told to end."""

    def __init__(self, port, number, seed, end):
        super().__init__(name=f"{type(self).__name__} {number}")
        self.port = port
        self.number = number
        self.random = random.Random(f"{seed} {self.name}")
        self.end = end
        self.acts = 0
        self.failure = None
        self.client = None

    def run(self):
        try:
            self.begin()
            while not self.end.is_set():
                self.act()
                self.acts += 1
            if self.client:
                self.client.close()
        except (Failure, OSError, ValueError) as failure:
            self.failure = Failure(f"{self.name}, act {self.acts}: {failure!r}")
            self.end.set()

    def begin(self):
        self.client = Client(self.port)


class Owner(Actor):
    """Has keys of its own, and knows what each must hold, unless it was evicted or flushed."""

    def begin(self):
        super().begin()
        self.values = {}
        self.moves = [self._set, self._set, self._get, self._get, self._get, self._append, self._cas,
                      self._remove, self._replace, self._meta, self._count]

    def act(self):
        key = b"own%d.%d" % (self.number, self.random.randrange(KEYS))
        self.random.choice(self.moves)(key)

    def _value(self):
        size = self.random.choice((1, 10, 100, 100, 400, 2000, 20_000, 200_000))
        return (b"%d/%d;" % (self.acts, self.number) * (size // 4 + 1))[:size]

    def _set(self, key):
        value = self._value()
        expect(self.client.set(key, value), b"STORED", "set")
        self.values[key] = value

    def _get(self, key):
        """A miss is believed: a key may be evicted at any time."""
        got = self.client.get(key)
        if got is not None:
            expect(got, self.values.get(key), f"get {key.decode()}")
        else:
            self.values.pop(key, None)

    def _append(self, key):
        self.client.send(b"append %s 0 0 3\r\nend\r\n" % key)
        answer = self.client.read_until(b"\r\n")
        if answer == b"STORED\r\n":
            if key not in self.values:
                raise Failure(f"append finds {key.decode()}, which is not there")
            self.values[key] += b"end"
        else:
            expect(answer, b"NOT_STORED\r\n", "append")
            self.values.pop(key, None)

    def _replace(self, key):
        value = self._value()
        self.client.send(b"replace %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        answer = self.client.read_until(b"\r\n")
        if answer == b"STORED\r\n":
            self.values[key] = value
        else:
            expect(answer, b"NOT_STORED\r\n", "replace")
            self.values.pop(key, None)

    def _cas(self, key):
        answer = self.client.ask(b"mg %s c" % key)
        if not answer.startswith(b"HD c"):
            expect(answer, b"EN", "mg")
            self.values.pop(key, None)
            return
        value = self._value()
        self.client.send(b"cas %s 0 0 %d %s\r\n%s\r\n" % (key, len(value), answer[4:], value))
        answer = self.client.read_until(b"\r\n")
        if answer == b"STORED\r\n":
            self.values[key] = value
        else: # no other client writes it
            expect(answer, b"NOT_FOUND\r\n", "cas")
            self.values.pop(key, None)

    def _remove(self, key):
        answer = self.client.ask(b"delete " + key)
        if answer == b"DELETED" and key not in self.values:
            raise Failure(f"{key.decode()} is deleted, which is not there")
        if answer not in (b"DELETED", b"NOT_FOUND"):
            raise Failure(f"delete: {answer!r}")
        self.values.pop(key, None)

    def _meta(self, key):
        value = self._value()
        self.client.send(b"ms %s %d T1000 k Oabc\r\n%s\r\n" % (key, len(value), value))
        self.client.send(b"mg %s v k t Oabc\r\n" % key)
        expect(self.client.read_until(b"\r\n"), b"HD k%s Oabc\r\n" % key, "ms")
        answer = self.client.read_until(b"\r\n")
        if answer.startswith(b"VA"):
            expect(self.client.read_exactly(len(value) + 2), value + b"\r\n", "mg")
            self.values[key] = value
        else:
            expect(answer, b"EN k%s Oabc\r\n" % key, "mg") # evicted meanwhile
            self.values.pop(key, None)

    def _count(self, key):
        """A number of its own, which each answer must continue."""
        name = key + b".n"
        answer = self.client.ask(b"incr %s 3" % name)
        if answer == b"NOT_FOUND":
            self.values.pop(name, None)
            expect(self.client.set(name, b"0"), b"STORED", "set")
            self.values[name] = 0
        else:
            if name not in self.values:
                raise Failure(f"incr finds {name.decode()}, which is not there")
            self.values[name] += 3
            expect(int(answer), self.values[name], "incr")


class Counter(Actor):
    """Counts one number up together with others. Whenever it is lost, to a flush or for room, one of them begins
    another one, from a multiple of its own on: so all know which number an answer counts. In each the counter's own
    answers rise, and no two counters ever get the same one: so there are never more answers than the largest says."""

    NUMBER_BITS = 32
    lock = threading.Lock()
    numbers = 0
    answers = {}  # of each number: how many, and the largest

    def begin_number(self):
        with Counter.lock:
            Counter.numbers += 1
            number = Counter.numbers
        digits = b"%d" % (number << Counter.NUMBER_BITS)
        self.client.send(b"add together 0 0 %d\r\n%s\r\n" % (len(digits), digits))
        expect(self.client.read_until(b"\r\n") in (b"STORED\r\n", b"NOT_STORED\r\n"), True, "add")

    def note(self, number, counted):
        with Counter.lock:
            count, largest = Counter.answers.get(number, (0, 0))
            Counter.answers[number] = count + 1, max(largest, counted)
            if not 0 < number <= Counter.numbers or count >= max(largest, counted):
                raise Failure(f"number {number}: {count + 1} counters were told up to {max(largest, counted)}")

    def act(self):
        seen = {}
        for _ in range(50):
            answer = self.client.ask(b"incr together 1")
            if answer == b"NOT_FOUND":
                self.begin_number()
                continue
            number, counted = divmod(int(answer), 1 << Counter.NUMBER_BITS)
            self.note(number, counted)
            if counted <= seen.get(number, 0):
                raise Failure(f"number {number}: {counted} after {seen[number]}")
            seen[number] = counted
        time.sleep(0.005)


class Filler(Actor):
    """Fills the cache, with another size each time."""

    def act(self):
        size = self.random.choice((30, 200, 1000, 7000, 60_000, 500_000))
        count = 1_000_000 // size
        body = b"f" * size
        for start in range(0, min(count, 2000), 200):
            here = min(200, count - start)
            self.client.send(b"".join(
                b"set fill%d 0 %d %d\r\n%s\r\n" % (self.random.randrange(100_000),
                                                 self.random.choice((0, 1, 100)), size, body)
                for _ in range(here)))
            wanted = b"STORED\r\n" * here
            expect(self.client.read_exactly(len(wanted)), wanted, "filling")
        time.sleep(0.02)


class Churner(Actor):
    """Connects, asks, and goes; in many ways."""

    def begin(self):
        pass

    def act(self):
        with Client(self.port) as client:
            end = self.random.randrange(4)
            if end == 0:
                client.send(b"version\r\nquit\r\n")
                expect(client.read_to_end().startswith(b"VERSION"), True, "version, quit")
            elif end == 1:
                client.send(b"set churn 0 0 10\r\nabc")
            elif end == 2:
                client.send(b"get fill1 fill2 fill3\r\n" * 10)
        time.sleep(0.002)


class SlowReader(Actor):
    """Asks for much, and reads little of it, late."""

    def begin(self):
        pass

    def act(self):
        with Client(self.port, receive_buffer=4096) as client:
            expect(client.set(b"slow", b"s" * 400_000), b"STORED", "set")
            client.send(b"get slow\r\n" * 20)
            self.end.wait(self.random.random())
            if self.random.random() < 0.5:
                answer = client.read_exactly(5)
                expect(answer in (b"VALUE", b"END\r\n"), True, f"get answers {answer!r}")


class Junk(Actor):
    """Sends what is no protocol."""

    def begin(self):
        pass

    def act(self):
        with Client(self.port) as client:
            try:
                client.send(junk_bytes(self.random))
                client.read_for(0.005)
            except OSError:
                pass
        time.sleep(0.01)


class Watcher(Actor):
    """Reads the statistics, and flushes now and then."""

    def act(self):
        for kind in (b"", b"settings", b"items", b"allocator"):
            self.client.stats(kind)
        if self.random.random() < 0.02:
            expect(self.client.ask(b"flush_all"), b"OK", "flush_all")
        self.end.wait(0.05)


KINDS = ((Owner, 4), (Counter, 2), (Filler, 1), (Churner, 2), (SlowReader, 3), (Junk, 1),
         (Watcher, 1))


def soak(setting):
    """All kinds of clients at once: every answer is right, and memory is bounded and flat."""
    seconds = setting.seconds or 5
    with setting.start("-m", str(MEGABYTES), "-t", "3", "-c", "200") as server:
        expect_served(server.port)
        before = server.descriptors()
        end = threading.Event()
        actors = [kind(server.port, number, setting.seed, end)
                  for kind, count in KINDS for number in range(count)]
        for actor in actors:
            actor.start()
        wait_until(lambda: end.is_set() or is_full(server) and all(actor.acts for actor in actors),
                   "the cache is full, and each has come to act", 600)
        samples, began = [], time.monotonic()
        while time.monotonic() - began < seconds and not end.wait(min(1, seconds / 60)):
            if not server.runs():
                end.set()
            else:
                samples.append(server.resident_bytes())
        end.set()
        for actor in actors:
            actor.join(300)
            if actor.is_alive():
                raise Failure(f"{actor.name} still waits for an answer")
        for actor in actors:
            if actor.failure:
                raise actor.failure
        idle = [actor.name for actor in actors if actor.acts == 0]
        if idle:
            raise Failure(f"{', '.join(idle)} did not come to act")
        wait_until(lambda: server.descriptors() <= before, "the connections are closed")
        expect_served(server.port)
        for kind, _ in KINDS:
            acts = sum(actor.acts for actor in actors if isinstance(actor, kind))
            print(f"{kind.__name__}: {acts} acts")
        judge_memory(setting, samples)


def is_full(server):
    """What comes from here on has the place of something else: memory is to be flat."""
    with Client(server.port) as client:
        return int(client.stats()["evictions"]) > 0


def judge_memory(setting, samples):
    third = len(samples) // 3
    middle = statistics.median(samples[third:2 * third])
    last = statistics.median(samples[2 * third:])
    print(f"resident: {middle / 1e6:.1f} MB in the middle, {last / 1e6:.1f} MB at the end, "
          f"{max(samples) / 1e6:.1f} MB at most")
    if setting.sanitized:
        return
    if max(samples) > RESIDENT_MAX:
        raise Failure(f"{max(samples) >> 20} MiB are resident with -m {MEGABYTES}, "
                      f"of {RESIDENT_MAX >> 20} allowed")
    if last > middle * 1.1 + (4 << 20):
        raise Failure(f"memory grows: from {middle / 1e6:.1f} MB to {last / 1e6:.1f} MB")


if __name__ == "__main__":
    run(__doc__, [soak])
