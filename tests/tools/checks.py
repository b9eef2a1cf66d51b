"""What the tests of the tools in Python share: how they fail, and how they are left out."""
import shutil
import sys

SKIPPED = 77


def check(good, what):
    if not good:
        raise AssertionError(what)


def need(program):
    if shutil.which(program) is None:
        print(f"{program} is not installed")
        sys.exit(SKIPPED)
