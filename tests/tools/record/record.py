#!/usr/bin/env python3
"""mbrun --record, seen from outside: what is in the trace, however the program does and ends.

Usage: record.py CASE MBRUN RECORDED DUMP   CASE: names, cross, short_threads, many_threads, forks, exec, closes,
                                            ends, signals, stepped, terminal, limit, full, usage, completion
Status 77: the machine lacks what the case needs.
"""
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from checks import SKIPPED, check

MBRUN = RECORDED = DUMP = None
FOLDER = Path(tempfile.mkdtemp(prefix="mbrun-record-"))
TRACE = FOLDER / "a trace"


class Trace:
    """What the dump says of a trace: its header's fields, and its events."""

    def __init__(self, path=TRACE):
        done = subprocess.run([DUMP, path], capture_output=True, text=True)
        check(done.returncode == 0, f"the trace is refused: {done.stderr}")
        self.fields, self.events = {}, []
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "event":
                time_ns, thread, kind, number, size, alignment, zeroed = rest.split()
                self.events.append((int(time_ns), int(thread), kind, int(number), int(size), int(alignment),
                                    zeroed == "1"))
            else:
                self.fields[word] = rest
        times = [event[0] for event in self.events]
        check(times == sorted(times), "events are not in the order of time")
        check(int(self.fields["duration_ns"]) + 64 >= max(times, default=0), "it lasts less than its events")

    def sizes(self, kind="allocate"):
        return Counter(event[4] for event in self.events if event[2] == kind)

    def freed(self, size):
        """How many objects of the size were freed, and by how many threads other than the allocating one."""
        live, freed, by_others = {}, 0, 0
        for _, thread, kind, number, bytes_, _, _ in self.events:
            if kind == "allocate":
                live[number] = (bytes_, thread)
            elif kind == "free":
                bytes_, owner = live.pop(number)
                freed += bytes_ == size
                by_others += bytes_ == size and owner != thread
        return freed, by_others


def mbrun(*words, **more):
    return subprocess.run([MBRUN, *map(str, words)], capture_output=True, text=True, **more)


def record(*words, status=0, said="", options=()):
    """Runs RECORDED; nothing but `said` may come on stderr."""
    TRACE.unlink(missing_ok=True)
    done = mbrun("--record", TRACE, *options, RECORDED, *words)
    check(done.returncode == status, f"{words}: status {done.returncode}, {done.stderr}")
    check(said in done.stderr and done.stderr.count("\n") == (said != ""), f"{words}: stderr {done.stderr!r}")
    left = [name for name in os.listdir(FOLDER) if name != TRACE.name]
    check(not left, f"files are left: {left}")
    return Trace()


def run_names():
    trace = record("names")
    check(trace.fields["program"] == f"{RECORDED} names", trace.fields["program"])
    by_size = {event[4]: event for event in trace.events if event[2] == "allocate"}
    for size, alignment, zeroed in (
            (10001, 0, False), (10101, 0, True), (10201, 0, False), (10240, 256, False), (10403, 64, False),
            (10501, 4096, False), (10601, 4096, False), (12288, 4096, False), (10801, 0, False), (10901, 0, False),
            (11008, 128, False), (11101, 0, False), (11201, 0, False)):
        check(size in by_size, f"no allocation of {size} bytes")
        check(by_size[size][5:] == (alignment, zeroed), f"{size} bytes: {by_size[size]}")
        check(size == 10201 or trace.freed(size)[0] == 1, f"{size} bytes are not freed")
    check(trace.sizes("resize") == {200001: 1, 10211: 1}, f"realloc: {trace.sizes('resize')}")
    number = by_size[10201][3]
    check(any(event[2:4] == ("free", number) and event[0] >= by_size[10201][0] for event in trace.events),
          "what realloc returned is not freed")


def run_cross():
    trace = record("cross")
    check(trace.sizes()[12001] == 5000, trace.sizes()[12001])
    check(trace.freed(12001) == (5000, 5000), f"freed by others: {trace.freed(12001)}")
    check(trace.fields["threads"] == "2" and trace.fields["count_exit"] == "1", "threads")


def run_short_threads():
    trace = record("short_threads")
    check(all(trace.sizes()[size] == 2000 for size in (12101, 12102, 12103)), "allocations are missing")
    check(all(trace.freed(size) == (2000, 0) for size in (12101, 12103)), "frees")
    check(trace.freed(12102)[0] == 2000, "frees in destructors")
    # One that allocates behind the recorder's own destructor is a thread of its own for that.
    check(int(trace.fields["threads"]) <= 5, f"{trace.fields['threads']} threads at once")
    check(int(trace.fields["count_start"]) == int(trace.fields["count_exit"]) + 1, "starts and exits")


def run_many_threads():
    trace = record("many_threads")
    check(int(trace.fields["count_start"]) == 17, "threads")
    live = int(trace.fields["count_allocate"]) - int(trace.fields["count_free"])
    check(live < 200 and int(trace.fields["count_allocate"]) >= 64000, f"{live} objects are left")


def run_forks():
    trace = record("forks")
    check(trace.sizes()[13001] == 15100 and trace.freed(13001)[0] == 15100, "the parent's allocations")
    check(trace.sizes()[13002] == 0, "a child was recorded")
    check(trace.sizes()[10001] == 0, "a child's program was recorded")


def run_exec():
    trace = record("exec")
    check(trace.sizes()[15001] == 0 and trace.sizes()[10001] == 1, "not of the last program alone")
    check(trace.fields["program"].endswith(" names-unread"), trace.fields["program"])
    TRACE.unlink()
    done = mbrun("--record", TRACE, "sh", "-c", f"exec env A=1 '{RECORDED}' names")
    check(done.returncode == 0 and Trace().sizes()[10001] == 1, f"through sh and env: {done.stderr}")


def run_closes():
    trace = record("closes")
    check(trace.sizes()[15101] == 20000, "closed descriptors end the recording")


def run_ends():
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        trace = record("killed", int(number), status=-number)
        check(trace.sizes()[15201] == 20000, f"signal {number}: {trace.sizes()[15201]} of 20000 allocations")
        check(trace.freed(15201)[0] == 20000, f"signal {number}: frees")
    trace = record("exits", 7, status=7)
    check(trace.sizes()[15301] == 20000 and trace.fields["truncated"] == "0", "_exit")


def wait_ready(process):
    check(process.stdout.readline() == b"ready\n", "the program did not start")


PATIENCE_S = 300


def run_signals():
    """What is sent to mbrun alone reaches the program."""
    process = subprocess.Popen([MBRUN, "--record", TRACE, RECORDED, "forever"], stdout=subprocess.PIPE)
    wait_ready(process)
    process.send_signal(signal.SIGUSR1)
    check(process.stdout.readline() == b"signal\n", "it gets no SIGUSR1")
    process.send_signal(signal.SIGINT)
    check(process.wait(PATIENCE_S) == 11, f"status {process.returncode}")
    check(Trace().sizes()[14001] > 0, "the trace")
    # An ignored one stays ignored.
    TRACE.unlink()
    process = subprocess.Popen(["sh", "-c", 'trap "" TERM; exec "$@"', "sh", MBRUN, "-r", TRACE, RECORDED, "forever"],
                               stdout=subprocess.PIPE)
    wait_ready(process)
    process.terminate()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    check(process.wait(PATIENCE_S) == 10, f"status {process.returncode}")


    # What mbrun ignores for itself, the program does not; and its status is seen although SIGCHLD was ignored.
    def ignore_ends():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    for _ in range(20):
        TRACE.unlink(missing_ok=True)
        done = subprocess.run([MBRUN, "-r", TRACE, "sh", "-c", "grep SigIgn /proc/self/status; exit 9"],
                              preexec_fn=ignore_ends, capture_output=True, text=True)
        check(done.returncode == 9 and done.stderr == "", f"status {done.returncode}, {done.stderr}")
        ignored = int(done.stdout.split()[1], 16)
        check(not ignored >> (signal.SIGXFSZ - 1) & 1, f"ignored: {done.stdout}")


def run_stepped():
    """A signal handler that allocates, at each instruction of the recorder: all is there, and once."""
    TRACE.unlink(missing_ok=True)
    done = mbrun("--record", TRACE, Path(RECORDED).parent / "stepped", "60")
    if done.returncode == 77:
        print("no stepping through a program here")
        sys.exit(SKIPPED)
    check(done.returncode == 0 and done.stderr == "", f"status {done.returncode}, {done.stderr}")
    resized, others, handlers, timers = map(int, done.stdout.split())
    trace = Trace()
    allocated, grown = trace.sizes(), trace.sizes("resize")
    check(handlers > 20000, f"the handler came only {handlers} times")
    for size, count in ((17041, others), (18041, timers)):
        check(allocated[size] == trace.freed(size)[0] == count,
              f"{count} of {size} bytes: {allocated[size]} allocated, {trace.freed(size)[0]} freed")
    for size, count in ((17001, resized), (18001, handlers)):
        check(allocated[size] == grown[size + 20] == trace.freed(size)[0] == count,
              f"{count} of {size} bytes: {allocated[size]} allocated, {grown[size + 20]} resized, "
              f"{trace.freed(size)[0]} freed")
    check(trace.fields["threads"] == "1", f"{trace.fields['threads']} threads")
    # A handler that does not come back leaves a record half written: all later ones are there.
    TRACE.unlink()
    done = mbrun("--record", TRACE, Path(RECORDED).parent / "stepped", "120", "left")
    check(done.returncode == 0 and done.stderr == "", f"left: status {done.returncode}, {done.stderr}")
    trace, made = Trace(), int(done.stdout)
    check(trace.sizes()[19041] == trace.freed(19041)[0] == made, f"left: {trace.sizes()[19041]} of {made}")
    check(trace.fields["count_start"] == "121" and trace.fields["count_exit"] == "120", "left: threads")
    # In the middle of a thread's first record: one thread, which ends.
    TRACE.unlink()
    done = mbrun("--record", TRACE, Path(RECORDED).parent / "stepped", "120", "first")
    check(done.returncode == 0 and done.stderr == "", f"first: status {done.returncode}, {done.stderr}")
    trace = Trace()
    check(trace.fields["count_start"] == "121" and trace.fields["count_exit"] == "120", "first: threads")
    check(trace.sizes()[18001] == trace.freed(18001)[0] > 120, f"first: {trace.sizes()[18001]} of the handlers'")


def run_terminal():
    """Ctrl-C in a terminal: the program gets it once, and the trace is finished."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(MBRUN, [MBRUN, "--record", str(TRACE), RECORDED, "forever"])
    check(b"ready" in os.read(terminal, 100), "the program did not start")
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    check(os.WIFEXITED(status) and os.WEXITSTATUS(status) == 10, f"status {status:#x}")
    trace = Trace()
    check(trace.sizes()[14001] > 0 and trace.fields["truncated"] == "0", "the trace")


def run_limit():
    # So long that it fills more chunks than may wait for mbrun, which takes no more.
    trace = record("churn", 1500000, options=("--record-max", "256K"), said="--record-max")
    check(trace.fields["truncated"] == "1", "not marked as truncated")
    check(TRACE.stat().st_size <= 256 * 1024, "larger than the limit")
    check(TRACE.stat().st_size >= 128 * 1024 and len(trace.events) > 20000, "far below the limit")


def run_full():
    """A file system that is full: the program goes on, and what fits is a trace."""
    mounted = FOLDER / "small"
    mounted.mkdir()
    script = 'mount -t tmpfs -o size=256k none "$0" || exit 77; "$@"; status=$?; cp "$0/trace" "$0/../copy"; exit $status'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, mounted, MBRUN, "--record", mounted / "trace", RECORDED,
                           "churn", "500000"], capture_output=True, text=True)
    if "unshare failed" in done.stderr or done.returncode == 77:
        print("no file system can be mounted here")
        sys.exit(SKIPPED)
    check(done.returncode == 125 and done.stdout == "done\n", f"status {done.returncode} {done.stderr}")
    check("No space left on device" in done.stderr and done.stderr.count("\n") == 1, done.stderr)
    trace = Trace(FOLDER / "copy")
    check(trace.fields["truncated"] == "1" and len(trace.events) > 10000, "what fits")


def run_usage():
    def refused(*words, said, status=125):
        done = mbrun(*words)
        check(done.returncode == status, f"{words}: status {done.returncode}")
        lines = [line for line in done.stderr.splitlines() if said in line]
        check(len(lines) == 1, f"{words}: {done.stderr}")
        check(not TRACE.exists() or TRACE.read_text() == "old", f"{words}: a trace")
        check(os.listdir(FOLDER) in ([], [TRACE.name]), f"{words}: files are left")

    for size in ("0", "x", "255K", "2T", "-1", "1KB", "99999999999999999999", ""):
        refused("--record", TRACE, "--record-max", size, "true", said=f"--record-max: {size}: a size from 256K to 1T")
    refused("--record-max", "1M", "true", said="needs --record")
    refused("--record", TRACE, said="mbrun: name a program; mbrun --help says more")
    refused("--nothing", "true", said="mbrun: unrecognized option '--nothing'")
    refused("--record", FOLDER / "none" / "trace", "true", said="none/trace: No such file")
    refused("--record", "/dev/full", "true", said="/dev/full: is no regular file")
    refused("--record", FOLDER, "true", said="is no regular file")
    refused("--record", TRACE, "/nonexistent/program", said="/nonexistent/program: No such file", status=127)
    refused("--record", TRACE, FOLDER, said="Permission denied", status=126)
    # A trace that was there stays, until there is a new one.
    TRACE.write_text("old")
    refused("--record", TRACE, "/nonexistent/program", said="/nonexistent/program", status=127)
    done = mbrun("-r", TRACE, "-m", "1M", "--", RECORDED, "names")
    check(done.returncode == 0 and Trace().sizes()[10001] == 1, done.stderr)
    mask = os.umask(0)
    os.umask(mask)
    check(TRACE.stat().st_mode & 0o777 == 0o666 & ~mask, f"mode {TRACE.stat().st_mode:o}")


def run_completion():
    """What bash offers at the end of a line."""
    script = Path(__file__).resolve().parents[3] / "src/cli/completion/mbrun"
    code = f"""source {script}
        words() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mbrun '{MBRUN}'; echo " ${{COMPREPLY[*]}} "; }}
        words mbrun --rec
        words mbrun --record {FOLDER}/a
        words mbrun -m 2
        words mbrun --record {FOLDER}/a -m 1M bas
        words mbrun cat --rec"""
    (FOLDER / "ab").touch()
    offered = subprocess.run(["bash", "-c", code], capture_output=True, text=True).stdout.splitlines()
    for at, wanted in enumerate((" --record --record-max ", f" {FOLDER}/ab ", " 256M ", " bash ", "  ")):
        check(wanted in offered[at], f"{offered[at]} for {wanted}")


def main():
    global MBRUN, RECORDED, DUMP
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    MBRUN, RECORDED, DUMP = sys.argv[2:]
    try:
        globals()["run_" + sys.argv[1]]()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
