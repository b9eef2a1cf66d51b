#!/usr/bin/env -S python3 -B
"""A session means the same however its bytes are cut into packets.

Usage: packets.py SERVER [--sanitized] [--deep] [--seed N]"""
import time

from client import Client
from harness import expect, run

# One of each kind. Nothing in the answers depends on the time, or on how often it is played.
CONVERSATION = b"".join((
    b"delete n noreply\r\ndelete m noreply\r\nset a 5 0 10\r\n01234\r\n789\r\nget a none a\r\n",
    b"add a 0 0 1\r\nx\r\nappend a 0 0 2 noreply\r\n\r\n\r\nget a\r\nset n 0 0 1\r\n7\r\nincr n 12\r\n",
    b"decr n 100 noreply\r\nincr n x\r\nms m 3 T0 k Oabc F9\r\nm\rm\r\nmg m v f k s t Oxyz\r\n",
    b"mg none v q\r\nmn\r\nms m 1 MA q\r\n+\r\nmg m v\r\n",
    b"set bad 0 0 3\r\nlonger\r\nget bad\r\nunknown command\r\n \r\nset b -1 0 1\r\n1\r\n",
    b"set " + b"k" * 251 + b" 0 0 1\r\n1\r\n",
    b"touch a 0\r\ngat 0 a\r\nmd m\r\nmd m q\r\nverbosity 0\r\nversion\r\n",
    b"mg none k v\r\nset empty 0 0 0\r\n\r\nget empty\r\nquit\r\n"))


def play(port, pieces, pause):
    with Client(port) as client:
        for piece in pieces[:-1]:
            client.send(piece)
            time.sleep(pause)
        client.send(pieces[-1])
        return client.read_to_end()


def every_position(setting):
    """Cut in two at every position."""
    with setting.start("-t", "2") as server:
        whole = play(server.port, [CONVERSATION], 0)
        for at in range(1, len(CONVERSATION)):
            got = play(server.port, [CONVERSATION[:at], CONVERSATION[at:]], 0.0003)
            expect(got, whole, f"cut at {at}, behind {CONVERSATION[max(0, at - 20):at]!r}")


def every_byte(setting):
    """Each byte a packet of its own."""
    with setting.start("-t", "1") as server:
        whole = play(server.port, [CONVERSATION], 0)
        pieces = [CONVERSATION[at:at + 1] for at in range(len(CONVERSATION))]
        expect(play(server.port, pieces, 0.0003), whole, "byte by byte")


def random_positions(setting):
    """Cut into many at random."""
    with setting.start("-t", "2") as server:
        whole = play(server.port, [CONVERSATION], 0)
        for _ in range(setting.some(60, 1000)):
            count = setting.random.randrange(2, 12)
            cuts = sorted(setting.random.sample(range(1, len(CONVERSATION)), count))
            pieces = [CONVERSATION[one:other]
                      for one, other in zip([0] + cuts, cuts + [len(CONVERSATION)])]
            expect(play(server.port, pieces, 0.0002), whole, f"cut at {cuts}")


if __name__ == "__main__":
    run(__doc__, [every_position, every_byte, random_positions])
