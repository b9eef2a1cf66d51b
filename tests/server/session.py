"""Reads a session from its file, and plays it to a server.

A session is what one client sends. Each line of the file is sent as it stands, with \\r\\n behind it, except:
    # ...            a comment; so is an empty line
    @wait N          wait N seconds, once all of the above is answered
    @sync            wait until all of the above is answered
    @options ...     both servers are started with these options
    @memcached ...   and memcached with these, too
    @delivery NAME   only this delivery, one of DELIVERIES
    @stay            do not send `quit` at the end: the server may take it for data, or has closed
and within a line:
    \\r \\n \\t \\xHH \\\\   these bytes; a \\ at the very end: no \\r\\n follows
    {TEXT*N}         TEXT, N times
    {cas KEY}        the unique number that the item has by now; {cas KEY -1}: one less
"""
import os
import re
import time

from client import Client
from server import Failure

DELIVERIES = ("at-once", "by-line", "by-byte")
# How many pieces `by-byte` makes at most: a session of many bytes comes in larger pieces.
PIECES_MAX = 3000
QUIET_SECONDS = 1

ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)")
REPEAT = re.compile(rb"\{([^{}]+)\*([0-9]+)\}")
CAS = re.compile(rb"\{cas ([^{} ]+)(?: ([+-][0-9]+))?\}")
META_CAS = re.compile(rb"HD c([0-9]+)")
SIMPLE = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


def _unescape(found):
    text = found.group(1)
    if text[:1] == b"x":
        return bytes([int(text[1:], 16)])
    return SIMPLE[text]


class Session:
    def __init__(self, name, text):
        self.name = name
        self.text = text
        self.options = []
        self.memcached_options = []
        self.deliveries = DELIVERIES
        self.stays = False
        self.waits = 0
        self.steps = []  # bytes to send, or seconds to wait
        for number, line in enumerate(text.split(b"\n"), 1):
            try:
                self._read(line)
            except (KeyError, ValueError, IndexError) as error:
                raise Failure(f"{name}, line {number}: {error!r}") from None

    @staticmethod
    def of_file(path):
        with open(path, "rb") as file:
            return Session(os.path.splitext(os.path.basename(path))[0], file.read())

    def _read(self, line):
        if not line or line.startswith(b"#"):
            return
        if line.startswith(b"@"):
            word, *values = line[1:].decode().split()
            if word == "wait":
                self.waits += float(values[0])
                self.steps.append(float(values[0]))
            elif word == "sync":
                self.steps.append(0.0)
            elif word == "options":
                self.options = values
            elif word == "memcached":
                self.memcached_options = values
            elif word == "delivery":
                self.deliveries = (DELIVERIES[DELIVERIES.index(values[0])],)
            elif word == "stay":
                self.stays = True
            else:
                raise ValueError(f"@{word}: no such directive")
            return
        if line.endswith(b"\\") and not line.endswith(b"\\\\"):
            line = line[:-1]
        else:
            line += b"\r\n"
        line = REPEAT.sub(lambda found: found.group(1) * int(found.group(2)), line)
        self.steps.append(ESCAPE.sub(_unescape, line))

    def play(self, port, delivery):
        """Returns the bytes that the server answered, and whether it closed the connection."""
        return _Play(port, delivery).run(self)


class _Play:
    """One session at one server in one delivery."""

    def __init__(self, port, delivery):
        self.port = port
        self.delivery = delivery
        self.client = Client(port)
        self.unsent = []
        self.syncs = 0
        self.answer = b""

    def run(self, session):
        with self.client:
            try:
                for step in session.steps:
                    if isinstance(step, float):
                        self._sync()
                        time.sleep(step)
                    else:
                        data = CAS.sub(self._cas, step)  # which may have sent what was unsent
                        self.unsent.append(data)
                if not session.stays:
                    self.unsent.append(b"quit\r\n")
                self._flush()
            except ConnectionError:
                pass  # closed by the server: the end says so
            read = self.client.read_for if session.stays else self.client.read_to_end
            self.answer += read(QUIET_SECONDS) if session.stays else read()
            return self.answer, self.client.ended

    def _flush(self):
        data = b"".join(self.unsent)
        if self.delivery == "at-once":
            pieces = [data]
        elif self.delivery == "by-line":
            pieces = self.unsent
        else:
            size = 1 + len(data) // PIECES_MAX
            pieces = [data[at:at + size] for at in range(0, len(data), size)]
        for piece in pieces:
            self.client.send(piece)
        self.unsent = []

    def _sync(self):
        """Until all that was sent is answered: a miss that gives its opaque back stands behind it."""
        self.syncs += 1
        self.unsent.append(b"md no-such-key O%d\r\n" % self.syncs)
        self._flush()
        self.answer += self.client.read_until(b"NF O%d\r\n" % self.syncs)

    def _cas(self, found):
        """Asks another connection, so that the session's own answers stay as they are."""
        self._sync()
        with Client(self.port) as other:
            answer = other.ask(b"mg " + found.group(1) + b" c u")
        number = META_CAS.match(answer)
        if not number:
            raise Failure(f"{{cas {found.group(1).decode()}}}: the server says {answer!r}, "
                          f"behind {self.answer[-100:]!r}")
        return b"%d" % (int(number.group(1)) + int(found.group(2) or 0))
