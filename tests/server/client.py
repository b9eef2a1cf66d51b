"""A memcached client for the tests: sends bytes as they are given, reads replies with a time limit."""
import socket
import time

from server import Failure

REPLY_SECONDS = 120  # a server that stalls does so for ever, and a machine may be busy


class Client:
    """One connection. What comes is kept in `buffer` until a read function has taken it."""

    def __init__(self, port, receive_buffer=0, seconds=REPLY_SECONDS):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seconds = seconds
        self.socket.settimeout(seconds)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = bytearray()
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def _receive(self, what):
        try:
            data = self.socket.recv(262144)
        except TimeoutError:
            raise Failure(f"no {what} within {self.seconds} seconds; {self._came()}") from None
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
        self.buffer += data
        return bool(data)

    def _came(self):
        return f"until then came {bytes(self.buffer[-200:])!r}"

    def _take(self, count):
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def read_until(self, end):
        """All up to and with `end`."""
        start = 0
        while (at := self.buffer.find(end, start)) < 0:
            start = max(0, len(self.buffer) - len(end))
            if not self._receive(f"{end!r}"):
                raise Failure(f"the connection ended before {end!r}; {self._came()}")
        return self._take(at + len(end))

    def read_exactly(self, count):
        while len(self.buffer) < count:
            if not self._receive(f"{count} bytes"):
                raise Failure(f"the connection ended before {count} bytes; {self._came()}")
        return self._take(count)

    def read_to_end(self):
        """All until the server closes the connection."""
        while self._receive("end of the connection"):
            pass
        return self._take(len(self.buffer))

    def read_for(self, seconds):
        """What comes until nothing has come for so long, or the connection has ended."""
        self.socket.settimeout(seconds)
        try:
            while self._receive("more"):
                pass
        except Failure:
            pass
        self.socket.settimeout(self.seconds)
        return self._take(len(self.buffer))

    def ask(self, line):
        """Sends a line and returns the line that comes, both without their ends."""
        self.send(line + b"\r\n")
        return self.read_until(b"\r\n")[:-2]

    def get(self, key):
        """The value of a key, or None."""
        self.send(b"get " + key + b"\r\n")
        line = self.read_until(b"\r\n")
        if line == b"END\r\n":
            return None
        words = line.split()
        if words[0] != b"VALUE" or words[1] != key:
            raise Failure(f"get {key!r}: {line!r}")
        value = self.read_exactly(int(words[3]) + 7)
        if value[-7:] != b"\r\nEND\r\n":
            raise Failure(f"get {key!r}: the value ends with {value[-7:]!r}")
        return value[:-7]

    def set(self, key, value, exptime=0):
        """Stores a value; returns the reply without its end."""
        self.send(b"set %s 0 %d %d\r\n%s\r\n" % (key, exptime, len(value), value))
        return self.read_until(b"\r\n")[:-2]

    def stats(self, kind=b""):
        """The lines of `stats`, or of `stats KIND`, as a dictionary of texts."""
        self.send(b"stats " + kind + b"\r\n" if kind else b"stats\r\n")
        found = {}
        while (line := self.read_until(b"\r\n")) != b"END\r\n":
            words = line.decode().split(None, 2)
            if words[0] != "STAT":
                raise Failure(f"stats {kind!r}: {line!r}")
            found[words[1]] = words[2].rstrip() if len(words) > 2 else ""
        return found

    def close(self):
        self.socket.close()


def wait_until(condition, what, seconds=REPLY_SECONDS):
    """Looks again until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds} seconds: {what}")
        time.sleep(0.01)
