"""What the test programs beside this file share: arguments, and running one check after the other.

A check is a function that takes a Setting and raises Failure; the output has the first line of its
documentation.
"""
import argparse
import os
import random
import sys
import time
import traceback

from client import Client
from server import Failure, Server


class Setting:
    """What a check may use: the server, how slow this build is, and a generator of its own."""

    def __init__(self, options, name):
        self.command = os.path.realpath(options.server)
        self.sanitized = options.sanitized
        self.deep = options.deep
        self.seconds = options.seconds
        self.seed = options.seed
        self.random = random.Random(f"{options.seed} {name}")

    def start(self, *options, **more):
        return Server(self.command, *options, **more)

    def scaled(self, seconds):
        """A time limit: sanitized builds and busy machines take longer."""
        return seconds * (5 if self.sanitized else 1)

    def some(self, number, deep=None):
        """How often: fewer in sanitized builds, more for tests/deep.sh."""
        if self.deep:
            return deep or number
        return max(1, number // 3) if self.sanitized else number


def expect(got, wanted, what):
    """Says no more of long bytes than where they begin to differ."""
    if got != wanted:
        if isinstance(got, bytes) and isinstance(wanted, bytes):
            same = len(os.path.commonprefix([got, wanted]))
            got, wanted = (each[max(0, same - 40):same + 80] for each in (got, wanted))
        raise Failure(f"{what}: {wanted!r} is expected, {got!r} came")


def expect_served(port, seconds=120):
    """A client that comes now is served."""
    with Client(port, seconds=seconds) as client:
        expect(client.set(b"served", b"yes"), b"STORED", "a new client's set")
        expect(client.get(b"served"), b"yes", "a new client's get")


def run(documentation, checks, arguments=None):
    """Runs all checks, or those named by --only; the exit status is 1 when one failed."""
    parser = argparse.ArgumentParser(description=documentation,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="the path of mbcached")
    parser.add_argument("--sanitized", action="store_true",
                        help="memory is not judged, and time limits are longer")
    parser.add_argument("--deep", action="store_true", help="larger numbers, for tests/deep.sh")
    parser.add_argument("--seconds", type=float, default=0,
                        help="for checks that go on as long as they are let")
    parser.add_argument("--seed", type=int, default=int(time.time()),
                        help="the same seed makes the same bytes")
    parser.add_argument("--only", default="", help="CHECK,...")
    for name, settings in (arguments or {}).items():
        parser.add_argument(name, **settings)
    options = parser.parse_args()
    known = {check.__name__: check for check in checks}
    names = list(filter(None, options.only.split(","))) or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--only {','.join(unknown)}: no such check; there are {', '.join(known)}")
    print(f"seed {options.seed}")
    failed = 0
    for name in names:
        began = time.monotonic()
        setting = Setting(options, name)
        setting.options = options
        try:
            known[name](setting)
            result = "passed"
        except Failure as failure:
            result = f"FAILED: {failure}"
        except (OSError, ValueError, IndexError, AssertionError):
            result = f"FAILED: {traceback.format_exc()}"
        failed += result != "passed"
        what = known[name].__doc__.splitlines()[0]
        print(f"{name}, {time.monotonic() - began:.1f} s: {what} {result}", flush=True)
    sys.exit(1 if failed else 0)
