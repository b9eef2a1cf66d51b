"""Signals end the scripts of bench/perf, and with them the program they run, soon; the probes of
contention.sh go away (run.sh looks), and a Ctrl-C still shows what there is so far.
Usage: signals.py SCRIPTS CONTENDED DROPIN"""

import glob
import os
import signal
import subprocess
import sys
import tempfile
import time

scripts, contended, dropin = sys.argv[1:4]
sleeper = "/usr/bin/sleep"
every = 50
contended_threads = 8


def processes_of(session):
    """Names of the living processes of a session, by /proc."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as stat:
                front, _, back = stat.read().rpartition(")")
                fields = back.split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[3]) == session:
            found.append(front.partition("(")[2])
    return found


def cpu_seconds_of(session, name):
    """What the processes of that name in the session have taken."""
    ticks = 0
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as stat:
                front, _, back = stat.read().rpartition(")")
        except OSError:
            continue
        fields = back.split()
        if int(fields[3]) == session and front.partition("(")[2] == name:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def contention_was_recorded(directory):
    """Waits until contention.sh, whose files are in this directory, must have recorded an event; False
    if threads do not meet in a minute, as with one processor. The kernel counts the hits of each probe, and perf for each
    thread and processor apart."""
    with open("/proc/mounts") as mounts:
        tracing = next(fields[1] for fields in map(str.split, mounts) if fields[2] == "tracefs")
    enough = every * contended_threads * os.cpu_count()
    for _ in range(1200 if len(os.sched_getaffinity(0)) > 1 else 0):
        with open(tracing + "/uprobe_profile") as profile:
            hits = [int(line.split()[2]) for line in profile if line.split()[0].startswith(directory)]
        if any(count >= enough for count in hits):
            return True
        time.sleep(0.05)
    print("threads have hardly met: what contention.sh shows is not looked at")
    return False


def check(number, to_group, script, options, program, shows=None):
    # A session of its own, with the interrupt as a terminal would leave it: not ignored.
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([os.path.join(scripts, script), *options, "--", *program],
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   start_new_session=True, restore_signals=True, cwd=directory,
                                   env=dict(os.environ, MB_MAGAZINE_SIZE="64", TMPDIR=directory))
        name = os.path.basename(program[0])
        while name not in processes_of(process.pid) and process.poll() is None:
            time.sleep(0.05)
        if script == "contention.sh":
            shows = shows if contention_was_recorded(directory) else None
        elif script == "record.sh": # until there must be samples
            while cpu_seconds_of(process.pid, name) < 1 and process.poll() is None:
                time.sleep(0.05)
        else:
            time.sleep(1)
        what = "%s with %s to %s" % (script, number.name, "its group" if to_group else "itself")
        assert process.poll() is None, what + ": ended before the signal"
        (os.killpg if to_group else os.kill)(process.pid, number)
        try:
            status = process.wait(300)
        finally:
            output.seek(0)
            text = output.read()
            for _ in range(1200): # what was killed may be on its way out
                left = processes_of(process.pid)
                if not left:
                    break
                time.sleep(0.05)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert status == 128 + number, "%s: status %s\n%s" % (what, status, text)
        assert not left, "%s: left running: %s" % (what, left)
        assert shows is None or shows in text, "%s: does not show %r\n%s" % (what, shows, text)
        assert not glob.glob(os.path.join(directory, "tmp.*")), what + ": left temporary files"
        print("ok:", what)


endless = [contended, "--bulks", "1000000"]
for number in signal.SIGINT, signal.SIGTERM:
    for to_group in False, True:
        check(number, to_group, "contention.sh", ["--allocator", dropin, "--every", str(every)], endless, "slot 64")
    check(number, False, "record.sh", ["-F", "99"], endless, "samples by")
    check(number, False, "stat.sh", [], [sleeper, "1000"])
    check(number, False, "versus.sh", ["--a", "glibc", "--b", dropin], [sleeper, "1000"])
