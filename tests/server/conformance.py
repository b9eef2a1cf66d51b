#!/usr/bin/env -S python3 -B
"""Real clients cannot tell mbcached from memcached: sessions get the same answers from both.

Each file in sessions/ is played in three deliveries: all at once, line by line, and byte by byte. What
Debian's memcached answers is what is expected, at the time of the test. The file `differences` lists
where mbcached may answer otherwise, and why; one that does not occur any more is a failure too.

Usage: conformance.py SERVER [--only SESSION,...] [--show] [--itself]
    --show    prints what memcached answers to each session
    --itself  plays to memcached twice: do the sessions depend on chance?
"""
import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import sys

import replies
from client import Client
from server import Failure, Server
from session import Session

HERE = os.path.dirname(os.path.abspath(__file__))
TRIES = 10  # the clocks of two servers tick at different times, and the machine may be busy


class Difference:
    """One line of the file: session, what memcached and what mbcached says, and the reason."""

    def __init__(self, line):
        words = [word.strip() for word in re.split("\t+", line)]
        self.session, self.theirs, self.ours, self.reason = words
        self.used = False

    def concerns(self, session):
        return self.session in ("*", session.name)

    def apply(self, text, pattern, other):
        """The line as it is compared: None where the other server has no such line."""
        if pattern == "-" or not re.search(pattern, text):
            return text
        self.used = True
        return None if other == "-" else re.sub(pattern, "<as listed>", text)


def read_differences():
    with open(f"{HERE}/differences", encoding="utf-8") as file:
        return [Difference(line) for line in file if line.strip() and not line.startswith("#")]


def allow(texts, differences, is_memcached):
    kept = []
    for text in texts:
        for each in differences:
            if text is not None:
                sides = (each.theirs, each.ours) if is_memcached else (each.ours, each.theirs)
                text = each.apply(text, *sides)
        if text is not None:
            kept.append(text)
    return kept


def answer_of(server, session, delivery, differences):
    reset(server)
    answer, ended = session.play(server.port, delivery)
    lines = allow(replies.normalise(answer), differences, server.is_memcached)
    return lines + ["<closed>" if ended else "<open>"]


def reset(server):
    """The next session finds an empty server whose flush_all is over."""
    with Client(server.port) as client:
        if client.ask(b"flush_all") != b"OK":
            raise Failure(f"{server.command} does not answer OK to flush_all")


def compare(pair, session, differences, show):
    """Plays one session to both servers; returns a list of complaints."""
    concerned = [each for each in differences if each.concerns(session)]
    complaints = []
    for delivery in session.deliveries:
        for attempt in range(TRIES):
            with concurrent.futures.ThreadPoolExecutor(max_workers=2) as at_both:
                expected, got = at_both.map(
                    lambda server: answer_of(server, session, delivery, concerned), pair)
            found = replies.difference(expected, got)
            if not found:
                break
        if show and delivery == session.deliveries[0]:
            print(f"== {session.name}\n" + "\n".join(expected))
        if found:
            complaints.append(f"{session.name}, {delivery} (- memcached, + the server):\n{found}")
    return complaints


def run_group(commands, sessions, differences, show):
    """Sessions of the same options, one after the other."""
    complaints = []
    try:
        first = sessions[0]
        theirs = first.options + first.memcached_options
        ours = theirs if commands[0] == commands[1] else first.options
        with Server(commands[0], *theirs) as one, Server(commands[1], *ours) as other:
            for session in sessions:
                try:
                    complaints += compare((one, other), session, differences, show)
                except Failure as failure:
                    complaints.append(f"{session.name}: {failure}")
                    if not other.runs():
                        break
    except Failure as failure:
        complaints.append(f"{', '.join(session.name for session in sessions)}: {failure}")
    return complaints


def groups_of(sessions):
    """Those that wait run beside the others, each at its own servers."""
    groups = {}
    for session in sessions:
        key = session.name if session.waits else tuple(session.options)
        groups.setdefault(key, []).append(session)
    return list(groups.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--itself", action="store_true")
    options = parser.parse_args()
    memcached = shutil.which("memcached")
    if not memcached:
        print("memcached is not installed")
        return 77
    wanted = set(filter(None, options.only.split(",")))
    sessions = [Session.of_file(path) for path in sorted(glob.glob(f"{HERE}/sessions/*.txt"))]
    if unknown := wanted - {session.name for session in sessions}:
        parser.error(f"--only {','.join(sorted(unknown))}: no such session")
    if wanted:
        sessions = [session for session in sessions if session.name in wanted]
    differences = [] if options.itself else read_differences()
    commands = (memcached, memcached if options.itself else options.server)
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        runs = [pool.submit(run_group, commands, group, differences, options.show)
                for group in groups_of(sessions)]
        complaints = [complaint for run in runs for complaint in run.result()]
    for complaint in complaints:
        print(complaint)
    if not wanted and not complaints:
        for each in differences:
            is_needed = each.session != "random" and not each.reason.startswith("sometimes")
            if is_needed and not each.used: # "random" is fuzz.py's
                complaints.append(each)
                print(f"differences: {each.session}: {each.theirs} / {each.ours} occurs no more")
    print(f"{len(sessions)} sessions, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
