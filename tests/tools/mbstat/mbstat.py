#!/usr/bin/env python3
"""mbstat, seen from outside: what it prints, its live view in a real terminal, its page in a browser.

Usage: mbstat.py CASE MBSTAT WORKER    CASE: formats, find, damaged, command_line, record, report,
                                       browser, view, plain_view, ends, trim, prometheus, cost
Status 77: the machine lacks a program that the case needs.
"""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from checks import check, need

WORDS_OF_HEADER = 64
AT_VERSION, AT_TOTAL_BYTES, AT_NAME, AT_POOLS = 1, 3, 6, 13
MBSTAT = WORKER = None


PATIENCE_S = 120  # for what comes at once unless the machine is busy


def wait_until(is_so, what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not is_so():
        check(time.monotonic() < end, f"{what} did not come")
        time.sleep(0.05)


class Worker:
    """A process that publishes, in a session of its own below a new folder."""

    def __init__(self, threads=2, *more, export="1", folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="mbstat-")
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=self.folder, LC_ALL="C.UTF-8")
        self.environment.pop("MB_EXPORT", None)
        environment = dict(self.environment)
        if export:
            environment["MB_EXPORT"] = export
        self.process = subprocess.Popen([WORKER, str(threads), *more], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=environment)
        self.pid = int(self.process.stdout.readline())
        self.path = Path(self.folder, "memorybucket", str(self.pid))
        if export:
            wait_until(lambda: self.run("--once", str(self.pid)).returncode == 0, "a publication")

    def run(self, *arguments, **more):
        return subprocess.run([MBSTAT, *arguments], env=self.environment, text=True,
                              capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, **more)

    def output(self, *arguments):
        done = self.run(*arguments)
        check(done.returncode == 0 and done.stderr == "", f"{arguments}: {done}")
        return done.stdout

    def output_with(self, good, *arguments):
        """Its output once that is good: the process may not have published since it worked."""
        end = time.monotonic() + PATIENCE_S
        while not good(text := self.output(*arguments)):
            check(time.monotonic() < end, text)
            time.sleep(0.1)
        return text

    def refused(self, text, *arguments, status=1):
        done = self.run(*arguments)
        lines = done.stderr.splitlines()
        check(done.returncode == status, f"{arguments}: {done}")
        check(len(lines) == 1 and lines[0].startswith("mbstat: ") and text in lines[0],
              f"{arguments}: {text!r} is expected, {done.stderr!r} came")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(PATIENCE_S)
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- what it prints ------------------------------------------------------------------------------

def formats():
    with Worker() as worker:
        name, pid = "worker", str(worker.pid)
        def is_at_work(text):
            reading = json.loads(text)
            return reading["totals"]["threads"] == 2 and len(reading["pools"]) == 4

        first = json.loads(worker.output_with(is_at_work, "--json", pid))["totals"]["published_ns"]
        text = worker.output("--once", pid)
        check(f"process {pid} ({name})" in text and re.search(r"^ +128 ", text, re.M), text)
        check(re.search(r"^ +128 ", worker.output("-1", name[:15]), re.M), "not found by its name")

        lines = worker.output("--json", "--count=3", "--interval=0.2", pid).splitlines()
        readings = [json.loads(line) for line in lines]
        check(len(readings) == 3, lines)
        for reading in readings:
            check(reading["pid"] == worker.pid and reading["totals"]["threads"] == 2, reading)
            check([pool["size_bytes"] for pool in reading["pools"]] == [16, 32, 64, 128], reading)
            check(len(reading["threads"]) == 2, reading["threads"])
            tasks = {int(task) for task in os.listdir(f"/proc/{pid}/task")}
            check({row["thread"] for row in reading["threads"]} <= tasks, reading["threads"])
            for pool in reading["pools"]:
                free = sum(pool[word] for word in ("magazines", "parked", "central", "loose",
                                                   "sorted", "orphaned", "quarantined"))
                check(pool["live"] in (0, pool["carved"] - free), pool)
        times = [reading["totals"]["published_ns"] for reading in readings]
        check(first <= times[0] and times == sorted(times), times)
        worker.output_with(lambda text: json.loads(text)["totals"]["published_ns"] > first,
                           "--json", pid)

        metrics = worker.output("--prometheus", pid)
        check(f'memorybucket_info{{pid="{pid}",name="{name}"}} 1' in metrics, metrics)
        check('memorybucket_pool_slots{size="128",state="live"}' in metrics, metrics)
        check(worker.path.stat().st_mode & 0o777 == 0o600, "the file's mode")
        check(worker.path.parent.stat().st_mode & 0o777 == 0o700, "the folder's mode")
    check(not worker.path.exists(), "the file is still there")


def find():
    with Worker() as worker, Worker(folder=worker.folder) as other:
        listed = worker.output("--list").splitlines()
        check({worker.pid, other.pid} <= {int(line.split()[0]) for line in listed[1:]}, listed)
        worker.refused(str(other.pid), "--once", "worker")
        worker.refused("is called nothing", "--once", "nothing")
        worker.refused("no process", "--once", "999999999")
        worker.refused("does not publish", "--once", str(os.getpid()))
        other.process.kill()
        other.process.wait()
        check(other.path.exists(), "what a killed process leaves")
        worker.refused("has ended", "--once", str(other.pid))
        check("mbstat --clean" in worker.output("--list"), "a stale file is not named")
        check(f"removed {other.path}" in worker.output("--clean"), "nothing was removed")
        check(not other.path.exists() and worker.path.exists(), "the wrong file was removed")
        # An earlier process of the number of one that lives now.
        stale = bytearray(worker.path.read_bytes())
        struct.pack_into("<2Q", stale, 8 * 4, os.getpid(), 1)
        own = worker.path.with_name(str(os.getpid()))
        own.write_bytes(stale)
        worker.refused("another one has its number", "--once", str(os.getpid()))
        # What a program left that became another one: the number and the start are the same.
        start = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        struct.pack_into("<2Q", stale, 8 * 4, os.getpid(), start)
        own.write_bytes(stale)
        worker.refused("has become another program", "--once", str(os.getpid()))
        # Its name does nothing to the terminal.
        struct.pack_into("<16s", stale, 8 * AT_NAME, b"a\x1b[1m\x7f\xc2\x9bb\xc3\xa9")
        own.write_bytes(stale)
        worker.refused("(a?[1m???b\u00e9) has become", "--once", str(os.getpid()))
        if os.geteuid() != 0:
            worker.refused("belongs to user", "--once", "1")
    with Worker(export=None) as worker:
        worker.refused("does not publish", "--once", str(worker.pid))
        # In the folder that all of a user's processes have, another test's may publish.
        done = worker.run("--list")
        listed = [line.split()[0] for line in done.stdout.splitlines()]
        check(str(worker.pid) not in listed, done)
        check(done.returncode == 0 if listed else "no process of yours" in done.stderr, done)


def damaged():
    def refuse(worker, good, text, change):
        content = bytearray(good)
        changed = change(content)
        content = content if changed is None else changed
        # A new file, as the worker still writes to the old one.
        worker.path.unlink()
        worker.path.write_bytes(content)
        worker.refused(text, "--once", str(worker.pid))

    def word(at, value):
        return lambda content: struct.pack_into("<Q", content, 8 * at, value)

    with Worker() as worker:
        good = worker.path.read_bytes()
        refuse(worker, good, "is truncated", lambda content: content[:100])
        refuse(worker, good, "is truncated", lambda content: content[:-5000])
        refuse(worker, good, "is truncated", lambda content: b"")
        refuse(worker, good, "holds no statistics", lambda content: b"x" * len(content))
        refuse(worker, good, "newer MemoryBucket", word(AT_VERSION, 2))
        refuse(worker, good, "older MemoryBucket", word(AT_VERSION, 0))
        for value in (0, 1 << 40, 1 << 63, len(good)):
            refuse(worker, good, "is damaged", word(AT_POOLS, value))
        for value in (0, 1 << 63, 1 << 61):
            refuse(worker, good, "is damaged", word(AT_POOLS + 1, value))
        worker.path.unlink()
        worker.path.symlink_to("/etc/passwd")
        worker.refused(str(worker.path), "--once", str(worker.pid))


def command_line():
    with Worker() as worker:
        pid = str(worker.pid)
        for value in ("0", "-1", "x", "0.01", "1e9", "nan", "", "0x10", " 5", "+5"):
            worker.refused("accepted: 0.1 to 3600", f"--interval={value}", pid, status=2)
        for value in ("0", "-1", "x", "1.5", "", "99999999999999999999"):
            worker.refused("accepted: 1 to", f"--count={value}", pid, status=2)
        worker.refused("name a process", status=2)
        worker.refused("one process only", "1", "2", status=2)
        worker.refused("take no process", "--list", pid, status=2)
        worker.refused("do not go together", "--json", "--record=x", pid, status=2)
        worker.refused("--from needs --report", "--from=x", status=2)
        worker.refused("no terminal", pid)
        worker.refused("unrecognized option '--nothing'", "--nothing", pid, status=2)
        check("Usage: mbstat" in worker.output("--help"), "no help")
        for path in ("/dev/full", "/nowhere/file"):
            worker.refused(path, f"--record={path}", "--count=1", pid)
            worker.refused(path, f"--report={path}", "--count=1", pid)
        with open("/dev/full", "w") as full:
            done = subprocess.run([MBSTAT, "--json", pid], env=worker.environment, stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        check(done.returncode == 1 and "No space left" in done.stderr, done)
        for option in ("--help", "--version"):
            with open("/dev/full", "w") as full:
                done = subprocess.run([MBSTAT, option], stdout=full, stderr=subprocess.PIPE, text=True)
            check(done.returncode == 1 and done.stderr.endswith("No space left on device\n"), done)


# ---- recordings and pages ------------------------------------------------------------------------

def record():
    with Worker() as worker:
        recording = Path(worker.folder, "recording")
        for number in (signal.SIGINT, signal.SIGTERM):
            recorder = subprocess.Popen([MBSTAT, f"--record={recording}", "--interval=0.1",
                                         str(worker.pid)], env=worker.environment)
            wait_until(lambda: recording.exists() and recording.read_text().count("\n") >= 3,
                       "three readings")
            recorder.send_signal(number)
            check(recorder.wait(PATIENCE_S) == 0, "a signal ends a recording")
            for line in recording.read_text().splitlines():
                json.loads(line)
            recording.unlink()
        # The process ends first.
        recorder = subprocess.Popen([MBSTAT, f"--record={recording}", "--interval=0.1",
                                     str(worker.pid)], env=worker.environment)
        wait_until(lambda: recording.exists() and "\n" in recording.read_text(), "a reading")
        worker.process.kill()
        check(recorder.wait(PATIENCE_S) == 0, "the end of the process ends a recording")
        for line in recording.read_text().splitlines():
            json.loads(line)


def make_report(worker, readings=5):
    recording, page = Path(worker.folder, "recording"), Path(worker.folder, "page.html")
    worker.output(f"--record={recording}", f"--count={readings}", "--interval=0.2", str(worker.pid))
    # A name that would end the script, were it not written otherwise.
    recording.write_text(recording.read_text().replace('"worker"', '"</script><b>"'))
    worker.output(f"--report={page}", f"--from={recording}")
    return page


def report():
    with Worker() as worker:
        text = make_report(worker).read_text()
        check(not re.search(r"\b(?:src|href)=\"(?!data:)|@import|url\(", text), "it asks for files")
        embedded = re.search(r'id="readings">(.*?)</script>', text, re.S)[1]
        check(len(json.loads(embedded)) == 5, "five readings")
        check("prefers-color-scheme: dark" in text, "no dark colours")
        live = Path(worker.folder, "live.html")
        worker.output(f"--report={live}", "--count=2", "--interval=0.1", str(worker.pid))
        check("</html>" in live.read_text(), "the page is cut")
        bad = Path(worker.folder, "bad")
        for content in ("", "nothing\n", '{"format":1,"pid":1'):
            bad.write_text(content)
            worker.refused("is no reading", f"--report={live}", f"--from={bad}")
        worker.refused("No such file", f"--report={live}", "--from=/nowhere")
        worker.refused("is no reading", f"--report={live}", "--from=/dev/zero")
        worker.refused("Is a directory", f"--report={live}", f"--from={worker.folder}")
        # What was there stays where nothing comes of it.
        check("</html>" in live.read_text(), "a page is lost to a recording that is none")
        recording = Path(worker.folder, "recording")
        before = recording.read_text()
        worker.refused("is the recording itself", f"--report={recording}", f"--from={recording}")
        worker.refused("there is no process", f"--record={recording}", "999999999")
        check(recording.read_text() == before, "a recording is lost")


def dump(worker, page):
    """What a browser makes of the page."""
    return subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
         "--disable-dev-shm-usage", "--dump-dom",
         f"--user-data-dir={worker.folder}/profile", "--enable-logging=stderr",
         "--virtual-time-budget=2000", page.as_uri()],
        text=True, capture_output=True, timeout=300)


def shown(worker, page):
    """The same of a page that is right."""
    done = dump(worker, page)
    check("CONSOLE" not in done.stderr, done.stderr)
    check(done.stdout.count("<svg ") == 4, "four charts")
    check(done.stdout.count("<polyline ") == 12, "their lines")
    marks = re.findall(r"<text [^>]*>([^<]*)</text>", done.stdout)
    check(marks.count("0") == 8 and all(re.fullmatch(r"0|[0-9.]+( ([KMGTP]?i?B|d|h|min|s)|[KMGTP])?", mark)
                                        for mark in marks), marks)
    return done.stdout


def browser():
    need("chromium")
    with Worker() as worker:
        text = shown(worker, make_report(worker))
        check("MemoryBucket: &lt;/script&gt;&lt;b&gt;" in text, "the name as a text")
        check(len(re.findall(r"<td>128</td>", text)) == 1, "the table of pools")
        # A recording that is damaged inside of a line says so on its page.
        recording, page = Path(worker.folder, "recording"), Path(worker.folder, "damaged.html")
        recording.write_text(recording.read_text().replace('"live":', '"live"x', 1))
        worker.output(f"--report={page}", f"--from={recording}")
        check(">The recording is damaged: " in dump(worker, page).stdout, "a damaged recording")
        text = shown(worker, make_report(worker, 1))
        check(text.count(">1 s</text>") == 4, "a single reading has an axis of a second")


# ---- the live view -------------------------------------------------------------------------------

class Terminal:
    """A tmux of its own, in which a shell runs mbstat."""
    number = 0

    def __init__(self, worker, *arguments, columns=80, lines=24, **variables):
        Terminal.number += 1
        self.socket = f"mbstat-{os.getpid()}-{Terminal.number}"
        self.environment = dict(worker.environment, **variables)
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), "sh")
        self.tmux("set-option", "-g", "status", "off")
        names = " ".join(f"{name}={value}" for name, value in variables.items())
        self.keys(f"PS1='ready> '; clear; {names} {MBSTAT} {' '.join(arguments)}", "Enter")

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-L", self.socket, *arguments], env=self.environment,
                              check=True, text=True, capture_output=True, timeout=PATIENCE_S).stdout

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def wait(self, pattern, holds=lambda screen: True):
        """Until it shows that, and what it shows holds: it may be looked at while it is drawn."""
        seen = ""

        def shows():
            nonlocal seen
            seen = self.screen()
            return re.search(pattern, seen, re.M) and holds(seen)
        try:
            wait_until(shows, pattern)
        except AssertionError:
            print(seen)
            raise
        return seen

    def wait_for_end(self, status):
        """mbstat has ended with this status, and the terminal is as it was."""
        self.wait(r"^ready> *$")
        self.keys("echo status=$?; stty -a | grep -c ' icanon'", "Enter")
        self.wait(rf"^status={status}\n1$")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], check=False)


def fits(screen, columns=80):
    """Each pool has its line, whole: the bar is at the end of it."""
    lines = [line for line in screen.splitlines() if "[" in line]
    return lines and all(len(line) <= columns and re.search(r"\[[#.]{5}\] *\d+<?$", line)
                         for line in lines)


def view():
    need("tmux")
    with Worker(export="trim") as worker, Terminal(worker, "worker", "-i", "0.3") as terminal:
        terminal.wait(r"^ +128 .*\]", fits)
        terminal.wait(rf"mbstat worker \({worker.pid}\)", lambda screen: "committed" in screen)
        terminal.wait(r"^ +16 .*<$") # the first pool is chosen
        terminal.keys("Down")
        terminal.wait(r"^ +32 .*<$")
        terminal.keys("s")
        terminal.wait(r"^ +128 .*\n +64 .*\n +32 .*<\n +16 ") # by live bytes
        terminal.keys("Enter")
        terminal.wait(r"requests of up to 32 bytes")
        terminal.wait(r"^live .*[▁▂▃▄▅▆▇█]{3}")
        terminal.keys("Escape")
        terminal.wait(r"^ +128 .*\]")
        terminal.keys("t")
        terminal.wait(r"thread name +state", lambda screen: len(re.findall(r"at work +[0-9]", screen)) == 2)
        terminal.keys("h")
        terminal.wait("asks the process to trim")
        terminal.keys("h")
        terminal.keys("p")
        terminal.wait("PAUSED")
        terminal.keys("p")
        terminal.keys("T")
        terminal.wait("asked: it trims")
        terminal.tmux("resize-window", "-x", "120", "-y", "10")
        terminal.wait(r"\A.*\n(.*\n){8}s sort")
        terminal.tmux("resize-window", "-x", "20", "-y", "4")
        time.sleep(0.7)
        terminal.tmux("resize-window", "-x", "80", "-y", "24")
        terminal.wait(r"^ +128 .*\]", fits)
        terminal.keys("q")
        terminal.wait_for_end(0)


def plain_view():
    need("tmux")
    with Worker() as worker:
        with Terminal(worker, "worker", TERM="vt100", NO_COLOR="1", LC_ALL="C") as terminal:
            terminal.wait(r"^ +128 .*\]", fits)
            terminal.keys("Enter")
            terminal.wait(r"^live .*#")
            terminal.keys("T")
            terminal.wait("does not allow it")
            terminal.keys("q")
            terminal.wait_for_end(0)
        with Terminal(worker, "worker", TERM="nothing") as terminal:
            terminal.wait(r"^mbstat: the terminal TERM=nothing is not known")
            terminal.wait_for_end(1)
        with Terminal(worker, "worker", "--count=2", "--interval=0.2") as terminal:
            terminal.wait_for_end(0)


def ends():
    """Whatever ends it, the terminal is as it was."""
    need("tmux")
    with Worker() as worker:
        for name, status in (("INT", 130), ("TERM", 143)):
            with Terminal(worker, "worker") as terminal:
                terminal.wait(r"^ +128 .*\]")
                if name == "INT":
                    terminal.keys("C-c")
                else:
                    shell = terminal.tmux("list-panes", "-F", "#{pane_pid}").strip()
                    child = Path(f"/proc/{shell}/task/{shell}/children").read_text()
                    os.kill(int(child), signal.SIGTERM)
                terminal.wait_for_end(status)
        with Terminal(worker, "worker", "--interval=0.2") as terminal:
            terminal.wait(r"^ +128 .*\]")
            worker.process.stdin.close()
            worker.process.wait(PATIENCE_S)
            terminal.wait(r"has ended, or publishes no more")
            terminal.wait_for_end(1)


# ---- the process ---------------------------------------------------------------------------------

def trim():
    with Worker(1, "sleep", export="1") as worker:
        before = json.loads(worker.output("--json", str(worker.pid)))
        time.sleep(1)
        after = json.loads(worker.output("--json", str(worker.pid)))
        check(after["totals"]["publications"] == before["totals"]["publications"],
              "a process that sleeps publishes")
        check(after["age_ns"] >= before["age_ns"] + 9e8, "its figures grow older")


def prometheus():
    need("promtool")
    with Worker() as worker:
        text = worker.output("--prometheus", str(worker.pid))
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=PATIENCE_S)
        check(done.returncode == 0 and done.stdout + done.stderr == "", done)


def cost():
    """A refresh each second of a process with 1,000 threads: under 2 % of a processor. What else runs there costs it
    time, too, and so the best of some tries counts."""
    with Worker(1000, "one") as worker:
        worker.output_with(lambda text: len(json.loads(text)["threads"]) >= 900,
                           "--json", str(worker.pid))
        seconds = 5
        for left in range(9, -1, -1):
            before = os.times()
            lines = worker.output("--json", f"--count={seconds + 1}", str(worker.pid)).splitlines()
            after = os.times()
            used = (after.children_user + after.children_system
                    - before.children_user - before.children_system)
            check(len(json.loads(lines[-1])["threads"]) >= 900, lines[-1])
            print(f"{100 * used / seconds:.2f} % of a processor")
            if used / seconds < 0.02:
                break
            check(left > 0, f"{used} s in {seconds} s")


def main():
    global MBSTAT, WORKER
    if len(sys.argv) != 4 or sys.argv[1] not in CASES:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    MBSTAT, WORKER = (os.path.realpath(path) for path in sys.argv[2:])
    CASES[sys.argv[1]]()
    return 0


CASES = {case.__name__: case for case in (
    formats, find, damaged, command_line, record, report, browser, view, plain_view, ends, trim,
    prometheus, cost)}

if __name__ == "__main__":
    sys.exit(main())
