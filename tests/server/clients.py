#!/usr/bin/env -S python3 -B
"""Clients that behave badly, or are many: each gets its due, and the others go on being served.

Usage: clients.py SERVER [--sanitized] [--deep] [--seed N] [--only CHECK,...]"""
import os
import signal
import socket
import struct
import time

from client import Client, wait_until
from harness import expect, expect_served, run
from server import Failure, raise_file_limit

BIG = 900_000  # bytes of a value; a reply to one get of it fills any socket's buffer
MEGABYTE = 1 << 20
TOO_MANY = b"ERROR Too many open connections\r\n"


def fill(port, keys, size=BIG):
    """Stores values that say where a byte belongs; returns them by their keys."""
    values = {}
    with Client(port) as client:
        for number in range(keys):
            key = b"big%d" % number
            values[key] = (b"%d:" % number) * (size // len(b"%d:" % number))
            expect(client.set(key, values[key]), b"STORED", f"set {key.decode()}")
    return values


def latency_of_others(port, seconds, limit):
    """A client of its own asks for so long, each answer within the limit; returns the longest time."""
    worst, deadline = 0.0, time.monotonic() + seconds
    with Client(port, seconds=limit) as client:
        while time.monotonic() < deadline:
            began = time.monotonic()
            expect(client.set(b"other", b"value"), b"STORED", "the other client's set")
            expect(client.get(b"other"), b"value", "the other client's get")
            worst = max(worst, time.monotonic() - began)
    return worst


def expect_prompt(setting, port, seconds):
    """Long limits: the machine may be busy, and a server that stalls does so for as long as its client."""
    worst = latency_of_others(port, seconds, setting.scaled(120))
    if worst > setting.scaled(60):
        raise Failure(f"a client has waited for {worst:.1f} seconds")


def item(key, value):
    """As a get answers it."""
    return b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(value), value)


def resets(client):
    """Closes with a reset, as a process that is killed with unread bytes does."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def half_closed(setting):
    """A client that has closed its side gets every answer; half a command gets none."""
    with setting.start() as server:
        values = fill(server.port, 3)
        before = server.descriptors()
        for _ in range(20):
            with Client(server.port) as client:
                client.send(b"set a 0 0 1\r\n1\r\nget a\r\nget big0 big1 big2\r\n"
                            b"incr a 1\r\nversion\r\nincr a")
                client.socket.shutdown(socket.SHUT_WR)
                answer = client.read_to_end()
                wanted = b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n" + b"".join(
                    item(key, value) for key, value in values.items())
                version = answer[answer.rfind(b"VERSION"):]
                expect(answer, wanted + b"END\r\n2\r\n" + version, "answers to a half-closed client")
        for half in (b"set a 0 0 100\r\nabc", b"set a 0 0 3\r\nabc", b"get a", b"ms a 5\r\nabcd",
                     b"\r", b"set a 0 0 1"):
            with Client(server.port) as client:
                client.send(half)
                client.socket.shutdown(socket.SHUT_WR)
                expect(client.read_to_end(), b"", f"answer to the half command {half!r}")
        with Client(server.port) as client:
            expect(client.get(b"a"), b"2", "what half commands have changed")
        wait_until(lambda: server.descriptors() <= before, "the connections are closed")


def slow_readers(setting):
    """Clients that read nothing: memory is bounded, others are served, and all comes in the end."""
    readers = setting.some(20, 60)
    # Whole answers of each: far more than may wait in the server, some as one command of many keys.
    with setting.start("-m", "64", "-t", "2") as server:
        values = fill(server.port, 10)
        before = server.resident_bytes()
        asked = b"get " + b" ".join(list(values) * 3) + b"\r\n"
        singles = b"".join(b"get %s\r\n" % key for key in values) * 3
        clients = [Client(server.port, receive_buffer=65536) for _ in range(readers)]
        for number, client in enumerate(clients):
            client.send(asked if number % 2 else singles)
        worst = latency_of_others(server.port, 1.0, setting.scaled(120))
        grown = server.resident_bytes() - before
        # What a socket takes is the kernel's; in the server may wait one large item, and some more.
        if not setting.sanitized and grown > readers * 4 * MEGABYTE:
            raise Failure(f"{readers} clients that read nothing cost {grown >> 20} MiB, of 4 allowed each")
        if worst > setting.scaled(60):
            raise Failure(f"{readers} clients read nothing, and another one waited {worst:.1f} seconds")
        for number, client in enumerate(clients[:2]):
            items = [item(key, value) for key, value in values.items()] * 3
            wanted = b"".join(items if number % 2 else [each + b"END\r\n" for each in items])
            wanted += b"END\r\n" if number % 2 else b""
            expect(client.read_exactly(len(wanted)), wanted, "what a slow reader gets in the end")
        for client in clients:
            client.close()
        expect_served(server.port)


def endless_writer(setting):
    """A client that goes on asking and never reads is not read from any more: memory is bounded."""
    with setting.start("-m", "64", "-t", "1") as server:
        fill(server.port, 1, 10_000)
        before = server.resident_bytes()
        with Client(server.port, receive_buffer=4096) as client:
            client.socket.setblocking(False)
            asked, sent, stopped = b"get big0\r\n" * 1000, 0, None
            deadline = time.monotonic() + setting.scaled(120)
            while stopped is None or time.monotonic() - stopped < 0.5:
                try:
                    sent += client.socket.send(asked[sent % len(asked):])
                    stopped = None
                except BlockingIOError:
                    stopped = stopped or time.monotonic()
                    time.sleep(0.01)
                if time.monotonic() > deadline or sent > 100 * MEGABYTE:
                    raise Failure(f"of a client that reads nothing {sent} bytes were taken, and more")
            grown = server.resident_bytes() - before
            if not setting.sanitized and grown > 16 * MEGABYTE:
                raise Failure(f"a client that reads nothing costs {grown >> 20} MiB")
            expect_prompt(setting, server.port, 0.3)
        expect_served(server.port)


def killed(setting):
    """Clients killed in the middle of a set, or of a long answer, leave nothing behind."""
    with setting.start("-m", "64") as server:
        fill(server.port, 4)
        before = server.descriptors()
        for number in range(setting.some(20, 100)):
            with_value = Client(server.port)
            with_value.send(b"set half 0 0 500000\r\n" + b"x" * setting.random.randrange(500000))
            reading = Client(server.port, receive_buffer=4096)
            reading.send(b"get big0 big1 big2 big3\r\n" * 3)
            for client in (with_value, reading):
                if number % 2:
                    resets(client)
                else:
                    client.close()
        whole = b"y" * 300000
        for _ in range(setting.some(8, 50)):
            child = os.fork()
            if child == 0:
                try:
                    with Client(server.port) as client:
                        while True:
                            client.send(b"set killed 0 0 300000\r\n%s\r\nget killed\r\n" % whole)
                finally:
                    os._exit(0)
            time.sleep(setting.random.random() * 0.05)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with Client(server.port) as client:
            expect(client.get(b"half"), None, "a value that never came whole")
            expect(client.get(b"killed") in (None, whole), True, "a killed client's value is whole or none")
        wait_until(lambda: server.descriptors() <= before, "the connections are closed")


def unfinished(setting):
    """Values that are begun and never end take half of -m at most: the rest is there for others."""
    refusal = b"SERVER_ERROR out of memory storing object\r\n"
    with setting.start("-m", "64", "-t", "2") as server:
        clients, refused = [], set()
        for number in range(60):
            client = Client(server.port)
            client.send(b"%s half%d %s\r\nabc" % ((b"ms", number, b"1000000") if number % 2 else
                                                 (b"set", number, b"0 0 1000000")))
            clients.append(client)
        for client in clients:
            client.send(b"d" * 5)

        def note_refused():
            """The server may take its time: what it says later is read with the end's answer."""
            for client in clients:
                answer = b"" if client in refused else client.read_for(0.002)
                if answer == refusal:
                    refused.add(client)
                elif answer:
                    raise Failure(f"an unfinished value is answered with {answer!r}")
            return len(refused) >= 25
        wait_until(note_refused, "of 60 unfinished values of 1 MB 25 are refused with -m 64")
        with Client(server.port) as client:
            for number in range(500):
                expect(client.set(b"small%d" % number, b"s" * 10_000), b"STORED", "another's set")
            kept = sum(client.get(b"small%d" % number) is not None for number in range(500))
            expect(kept, 500, "items of another client that are there")
        rest = b"e" * (1_000_000 - 8) + b"\r\nmn\r\n"
        answers = []
        for client in clients:
            client.send(rest)
            answer = client.read_until(b"MN\r\n")
            if client not in refused and answer.startswith(refusal):
                answer = answer.removeprefix(refusal)
                refused.add(client)
            answers.append(answer)
            client.close()
        for answer in answers:
            if answer not in (b"HD\r\nMN\r\n", b"STORED\r\nMN\r\n", b"MN\r\n"):
                raise Failure(f"the end of an unfinished value is answered with {answer!r}")
        expect(sum(answer == b"MN\r\n" for answer in answers), len(refused), "values swallowed")
        if len(refused) > 30:
            raise Failure(f"of 60 unfinished values of 1 MB {len(refused)} are refused with -m 64")
        with Client(server.port) as client:
            client.send(b"set again 0 0 1000000\r\nabc")
            expect(client.read_for(0.1), b"", "a value that begins when others have ended")


def long_unfinished(setting):
    """Values that never end give up their place after a minute, if others want it (--deep)."""
    if not setting.deep:
        return
    with setting.start("-m", "64", "-t", "2") as server:
        clients = [Client(server.port) for _ in range(40)]
        for number, client in enumerate(clients):
            client.send(b"set half%d 0 0 1000000\r\nabc" % number)

        def others_are_served():
            with Client(server.port) as other:
                other.send(b"set other 0 0 1000000\r\n" + b"o" * 500_000)
                time.sleep(0.2) # so that it comes in two parts
                other.send(b"o" * 500_000 + b"\r\n")
                return other.read_until(b"\r\n") == b"STORED\r\n"

        wait_until(lambda: not others_are_served(), "all places are taken")
        wait_until(others_are_served, "a large value is stored", 90)
        for client in clients:
            client.close()


def touched(setting):
    """A new time holds, also when the item is replaced at the same moment."""
    with setting.start("-t", "2") as server:
        others = [Client(server.port) for _ in range(8)]
        with Client(server.port) as client:
            for number in range(setting.some(200, 5000)):
                expect(client.set(b"n", b"1"), b"STORED", "set")
                expect(client.set(b"a", b"1"), b"STORED", "set")
                for other in others:
                    other.send(b"append a 0 0 1\r\nx\r\nincr n 1\r\n" * 10)
                seconds = 1000 * (1 + number % 5)
                client.send(b"touch a %d\r\nmg n T%d\r\n" % (seconds, seconds))
                expect(client.read_exactly(13), b"TOUCHED\r\nHD\r\n", "touch, and mg with T")
                for other in others:
                    other.send(b"mn\r\n")
                    other.read_until(b"MN\r\n")
                for key in (b"a", b"n"):
                    answer = client.ask(b"mg %s t" % key)
                    if not seconds - 60 < int(answer[4:]) <= seconds:
                        raise Failure(f"{key.decode()}, touched with {seconds}, says {answer!r}")
        for other in others:
            other.close()


def slow_writers(setting):
    """Clients that send a byte now and then hold up no other."""
    with setting.start("-t", "1") as server:
        slow = [Client(server.port) for _ in range(30)]
        text = b"set slow 0 0 20\r\n" + b"s" * 20 + b"\r\n"
        for at in range(len(text)):
            for client in slow:
                client.send(text[at:at + 1])
            if at % 10 == 0:
                expect_prompt(setting, server.port, 0.05)
        for client in slow:
            expect(client.read_until(b"\r\n"), b"STORED\r\n", "a slow writer's answer")
            client.close()


def idle(setting):
    """Many connections that say nothing: each is served when it speaks, and none is left."""
    wanted = setting.some(300, 10_000)
    limit = raise_file_limit(wanted + 200)
    if limit < wanted + 200:
        if setting.deep or limit < 200:
            raise Failure(f"{wanted + 200} open files are needed (ulimit -n), and {limit} are allowed")
        wanted = limit - 150
    with setting.start("-c", str(wanted + 50)) as server:
        before, empty = server.descriptors(), server.resident_bytes()
        clients = [Client(server.port) for _ in range(wanted)]
        for client in clients[::10]:
            client.send(b"version\r\n")
        for client in clients[::10]:
            client.read_until(b"\r\n")
        each = (server.resident_bytes() - empty) / wanted
        if not setting.sanitized and each > 16384:
            raise Failure(f"an idle connection costs {each:.0f} bytes, of 16384 allowed")
        expect_prompt(setting, server.port, 0.5)
        for number, client in enumerate(clients):
            client.send(b"set idle%d 0 0 1\r\nx\r\n" % number)
        for client in clients:
            expect(client.read_until(b"\r\n"), b"STORED\r\n", "an idle client's set")
        for client in clients:
            client.close()
        wait_until(lambda: server.descriptors() <= before, "they are closed", setting.scaled(120))
        expect_served(server.port)


def too_many(setting):
    """-c is reached: the next one is told so, the others are served, and a place is used again."""
    with setting.start("-c", "20", "-t", "2") as server:
        clients, refused = [], 0
        for _ in range(40):
            client = Client(server.port)
            try:
                client.send(b"mn\r\n")
                answer = client.read_until(b"\r\n")
            except (Failure, ConnectionError):
                answer = b""
            if answer == b"MN\r\n":
                clients.append(client)
                continue
            refused += 1
            # A reset may take the text away from a client that has written already.
            if answer not in (TOO_MANY, b""):
                raise Failure(f"a client too many is told {answer!r}")
            client.close()
        if not 15 <= len(clients) <= 20:
            raise Failure(f"{len(clients)} clients are served with -c 20")
        with Client(server.port) as client:
            expect(client.read_to_end(), TOO_MANY, "what a client too many gets that says nothing")
        for client in clients:
            expect(client.ask(b"mn"), b"MN", "those that are there")
        for client in clients[:5]:
            client.close()

        def served():
            try:
                expect_served(server.port)
                return True
            except (Failure, ConnectionError):
                return False
        wait_until(served, "a client gets the place of one that has gone")
        for client in clients[5:]:
            client.close()


def churn(setting):
    """Connections that come and go: none is lost, none is left."""
    with setting.start() as server:
        expect_served(server.port)
        before = server.descriptors()
        for number in range(setting.some(1000, 20_000)):
            with Client(server.port) as client:
                if number % 3:
                    expect(client.ask(b"mn"), b"MN", f"connection {number}")
                if number % 5 == 0:
                    resets(client)
        wait_until(lambda: server.descriptors() <= before, "the connections are closed")


if __name__ == "__main__":
    run(__doc__, [half_closed, slow_readers, endless_writer, killed, unfinished, long_unfinished, touched,
                  slow_writers, idle, too_many, churn])
