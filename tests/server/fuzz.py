#!/usr/bin/env -S python3 -B
"""Random bytes: what is nearly right is answered as memcached answers it, and junk harms no other client.

Each round has its own generator, made of the seed and its number: --seed S --round R repeats one. A
session that is answered otherwise is made as small as it will go, and printed in the form of the files
in sessions/.

Usage: fuzz.py SERVER [--sanitized] [--seconds S] [--seed S] [--rounds N] [--round R] [--only CHECK]
               [--itself]"""
import concurrent.futures
import random
import shutil
import time

import replies
from client import Client
from conformance import answer_of, read_differences
from grammar import Grammar, junk_bytes
from harness import expect, expect_served, run
from server import Failure, Server
from session import Session

COMMANDS = 30
TRIES = 10
SECONDS_TO_REDUCE = 15


def rounds_of(setting, usual):
    """Numbers of rounds: one that was asked for, or so many, or as many as fit into the time."""
    if setting.options.round is not None:
        yield setting.options.round
        return
    deadline = time.monotonic() + setting.seconds if setting.seconds else None
    number = 0
    while time.monotonic() < deadline if deadline else number < (setting.options.rounds or usual):
        yield number
        number += 1


class _Pair:
    def __init__(self, servers, at_both):
        self.servers = servers
        self.at_both = at_both
        self.differences = read_differences()

    def difference(self, session):
        """Where the servers differ in each of some tries: clocks tick, and memcached has its moods."""
        concerned = [each for each in self.differences if each.concerns(session)]
        for _ in range(TRIES):
            expected, got = self.at_both.map(
                lambda server: answer_of(server, session, session.deliveries[0], concerned),
                self.servers)
            found = replies.difference(expected, got)
            if not found:
                return None
        return found

    def reduce(self, session):
        """Leaves out what can be left out, in ever smaller pieces."""
        lines, deadline = session.text.split(b"\n"), time.monotonic() + SECONDS_TO_REDUCE
        size = len(lines) // 2
        while size and time.monotonic() < deadline:
            at = 1  # behind the delivery
            while at < len(lines) and time.monotonic() < deadline:
                shorter = Session(session.name, b"\n".join(lines[:at] + lines[at + size:]))
                try:
                    differs = self.difference(shorter)
                except Failure:
                    differs = None
                if differs:
                    lines = shorter.text.split(b"\n")
                else:
                    at += size
            size //= 2
        return Session(session.name, b"\n".join(lines))


def differential(setting):
    """Random sessions are answered as memcached answers them."""
    memcached = shutil.which("memcached")
    if not memcached:
        raise Failure("memcached is not installed")
    other = memcached if setting.options.itself else setting.command
    with (Server(memcached) as one, Server(other) as server,
          concurrent.futures.ThreadPoolExecutor(max_workers=2) as at_both):
        pair = _Pair((one, server), at_both)
        for number in rounds_of(setting, setting.some(300)):
            generator = Grammar(random.Random(f"{setting.seed} session {number}"))
            session = Session("random", generator.session(COMMANDS))
            try:
                first = pair.difference(session)
                if not first:
                    continue
            except Failure as failure:
                raise Failure(f"--seed {setting.seed} --round {number}: {failure}\nof the session\n"
                              f"{session.text.decode()}") from None
            smallest = pair.reduce(session)
            found = pair.difference(smallest) or f"{first}\nwhich did not come again at the end"
            raise Failure(f"--seed {setting.seed} --round {number} (- memcached, + the server):\n"
                          f"{found}\nof the session\n{smallest.text.decode()}")


def junk(setting):
    """Random bytes from many connections: others find what they stored, and nothing is left over."""
    with setting.start("-m", "64") as server:
        with Client(server.port) as steady:
            expect(steady.ask(b"mn"), b"MN", "mn")
            before = server.descriptors()
            for number in rounds_of(setting, setting.some(100)):
                generator = random.Random(f"{setting.seed} junk {number}")
                value = generator.randbytes(generator.randrange(2000))
                expect(steady.set(b"steady", value), b"STORED", f"round {number}: set")
                clients = [Client(server.port) for _ in range(generator.randrange(1, 6))]
                for client in clients:
                    try:
                        data = junk_bytes(generator)
                        for at in range(0, len(data), 1000):
                            client.socket.sendall(data[at:at + 1000])
                            if generator.random() < 0.2:
                                client.read_for(0.001)
                    except OSError:
                        pass  # the server may close the connection of such a client
                for client in clients:
                    client.close()
                expect(steady.get(b"steady"), value, f"round {number}: get")
                if not server.runs():
                    raise Failure(f"round {number}: the server ended")
            _descriptors_return(server, before)
        expect_served(server.port)


def _descriptors_return(server, before):
    deadline = time.monotonic() + 120
    while server.descriptors() > before:
        if time.monotonic() > deadline:
            raise Failure(f"{server.descriptors()} descriptors are open, {before} were before")
        time.sleep(0.05)


if __name__ == "__main__":
    run(__doc__, [differential, junk], {
        "--rounds": {"type": int, "default": 0, "help": "how many, instead of the usual number"},
        "--round": {"type": int, "default": None, "help": "only this one"},
        "--itself": {"action": "store_true", "help": "memcached with itself: is there chance in it?"}})
