#!/usr/bin/env -S python3 -B
"""SIGTERM under load: the server ends within seconds and loses no reply.

What a client may count on: each answer is whole, or is not there at all, and the connection ends
behind the last one.

Usage: drain.py SERVER [--sanitized] [--deep] [--seed N] [--only CHECK,...]"""
import functools
import signal
import socket
import threading
import time

from client import Client, wait_until
from harness import expect, run
from server import Failure

SECONDS = 120  # to the end: two, and what a busy machine takes; one that stalls does so for ever
GRACE_SECONDS = 2  # so long the server waits for clients that do not read


class Load(threading.Thread):
    """One client that stores and reads, step by step, until the connection ends."""

    def __init__(self, port, number, value_bytes):
        super().__init__()
        self.client = Client(port)
        self.key = b"key%d" % number
        self.value_bytes = value_bytes
        self.acknowledged = 0
        self.failure = None

    def run(self):
        try:
            self._ask_on()
        except Failure as failure:
            # An end in place of an answer is what SIGTERM brings; a part of an answer is not.
            if self.client.buffer or not self.client.ended:
                self.failure = failure
        except ConnectionError:
            pass
        finally:
            self.client.close()

    def _ask_on(self):
        while True:
            value = b"%d" % (self.acknowledged + 1)
            value += b"." * (self.value_bytes - len(value))
            expect(self.client.set(self.key, value), b"STORED", "set under load")
            self.acknowledged += 1
            got = self.client.get(self.key)
            if got != value:
                raise Failure(f"stored was {value[:20]!r}, and get says {got and got[:20]!r}")


def terminate(server):
    began = server.terminated = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    return began


def in_time(check):
    """Makes a check try again when what it finds may come of its clients' not being run for as long as the server waits
    for them."""
    @functools.wraps(check)
    def tries(setting):
        for left in range(9, -1, -1):
            servers = []
            start = setting.start
            setting.start = lambda *options, start=start, **more: servers.append(start(*options, **more)) or servers[-1]
            try:
                return check(setting)
            except Failure:
                terminated = getattr(servers[-1], "terminated", None) if servers else None
                if left == 0 or terminated is None or time.monotonic() - terminated < 0.8 * GRACE_SECONDS:
                    raise
            finally:
                setting.start = start
    return tries


@in_time
def under_load(setting):
    """Many clients store and read: each has whole answers, and reads what it was told is stored."""
    for _ in range(setting.some(2, 10)):
        with setting.start("-m", "64", "-t", "4") as server:
            loads = [Load(server.port, number, setting.random.choice((20, 1000, 100_000)))
                     for number in range(12)]
            for load in loads:
                load.start()
            wait_until(lambda: sum(load.acknowledged for load in loads) > 200, "a load")
            time.sleep(setting.random.random() * 0.2)
            began = terminate(server)
            for load in loads:
                load.join()
            server.wait(began, setting.scaled(SECONDS))
            for load in loads:
                if load.failure:
                    raise load.failure


@in_time
def pipelines(setting):
    """What the server had received is answered: all of a pipeline that came before SIGTERM."""
    for _ in range(setting.some(3, 10)):
        with setting.start("-t", "2") as server:
            clients = [Client(server.port) for _ in range(8)]
            count = 400
            for client in clients:
                client.send(b"version\r\n")
                client.read_until(b"\r\n")
                client.send(b"".join(b"set p%d 0 0 5\r\nvalue\r\n" % number
                                     for number in range(count)))
            time.sleep(setting.random.choice((0, 0.002, 0.2)))
            began = terminate(server)
            for client in clients:
                expect(client.read_to_end(), b"STORED\r\n" * count, "answers to what had been sent")
                client.close()
            server.wait(began, setting.scaled(SECONDS))


@in_time
def long_answers(setting):
    """An answer that is under way comes whole, though its client reads slowly."""
    with setting.start("-t", "1") as server:
        value = b"0123456789" * 90_000
        with Client(server.port) as client:
            expect(client.set(b"big", value), b"STORED", "set")
        reader = Client(server.port, receive_buffer=16384)
        reader.send(b"get big big\r\nget big\r\n")
        reader.read_until(b"\r\n")
        began = terminate(server)
        time.sleep(0.2)
        answer = b"VALUE big 0 900000\r\n" + reader.read_to_end()
        item = b"VALUE big 0 900000\r\n" + value + b"\r\n"
        expect(answer, item * 2 + b"END\r\n" + item + b"END\r\n", "the answer that was under way")
        reader.close()
        server.wait(began, setting.scaled(SECONDS))


def stalled(setting):
    """Clients that are idle, stall in half a command, or read nothing, do not hold it up."""
    with setting.start("-t", "2") as server:
        with Client(server.port) as client:
            expect(client.set(b"big", b"x" * 900_000), b"STORED", "set")
        clients = [Client(server.port, receive_buffer=4096) for _ in range(30)]
        for client in clients[10:20]:
            client.send(b"set half 0 0 1000\r\nabc")
        for client in clients[20:]:
            client.send(b"get big big big\r\n" * 20)
        time.sleep(0.2)
        began = terminate(server)
        for client in clients[:20]:
            expect(client.read_to_end(), b"", "what idle clients get")
        server.wait(began, setting.scaled(SECONDS))
        for client in clients:
            client.close()


def late_client(setting):
    """A client that comes while it ends is not left waiting."""
    with setting.start("-t", "2") as server:
        slow = Client(server.port, receive_buffer=4096)
        expect(slow.set(b"big", b"x" * 900_000), b"STORED", "set")
        slow.send(b"get big\r\n" * 4)
        time.sleep(0.1)
        began = terminate(server)
        time.sleep(0.2)
        try:
            with Client(server.port, seconds=SECONDS) as late:
                late.send(b"mn\r\n")
                answer = late.read_to_end()
                if answer not in (b"", b"MN\r\n"):
                    raise Failure(f"a client that comes too late gets {answer!r}")
        except ConnectionError:
            pass
        slow.close()
        server.wait(began, setting.scaled(SECONDS))


def twice(setting):
    """A second SIGTERM, and SIGINT, change nothing."""
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                          (signal.SIGINT, signal.SIGINT)):
        with setting.start() as server, Client(server.port) as client:
            client.send(b"version\r\n")
            client.read_until(b"\r\n")
            began = time.monotonic()
            server.process.send_signal(first)
            server.process.send_signal(second)
            expect(client.read_to_end(), b"", "what an idle client gets")
            client.close()
            server.wait(began, setting.scaled(SECONDS))


def use_port_again(setting):
    with setting.start() as server:
        clients = [Client(server.port) for _ in range(5)]
        for client in clients:
            expect(client.ask(b"mn"), b"MN", "mn")
    with setting.start("-p", str(server.port)) as again, Client(again.port) as client:
        expect(again.port, server.port, "the port")
        expect(client.ask(b"mn"), b"MN", "mn")
    for client in clients:
        client.close()
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", server.port)) == 0:
            raise Failure(f"port {server.port} is open behind the server's end")


def port_is_free(setting):
    """Behind the end the port can be used again at once."""
    for left in range(4, -1, -1):
        try:
            return use_port_again(setting)
        except Failure: # another program may have taken it meanwhile
            if left == 0:
                raise


if __name__ == "__main__":
    run(__doc__, [under_load, pipelines, long_answers, stalled, late_client, twice, port_is_free])
