#!/usr/bin/env python3
"""mbreplay, seen from outside: it does what was recorded, on each allocator, and says what goes wrong.

Usage: replay.py CASE MBREPLAY TRACES BROKEN [MBSTAT LIVE]    CASE: summary, replay, others, refused, broken, chart,
                                                full, interrupted, complete, advise, live
TRACES writes traces, BROKEN is an allocator with faults, LIVE is a process to look at. Status 77: the machine lacks what the case needs.
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

KINDS = ("churn", "handover", "phases", "lives", "server", "compiler")
MBREPLAY = TRACES = BROKEN = FOLDER = MBSTAT = LIVE = None


def trace(kind, events=8000):
    """One that TRACES writes, or a recorded one."""
    recorded = Path(__file__).resolve().parents[2] / f"traces/{kind}.mbtrace"
    path = recorded if recorded.exists() else Path(FOLDER, f"{kind}-{events}.mbt")
    if not path.exists():
        subprocess.run([TRACES, kind, str(events), path], check=True)
    return str(path)


def run(*arguments, environment=None, **more):
    return subprocess.run([MBREPLAY, *arguments], text=True, capture_output=True, timeout=600,
                          stdin=subprocess.DEVNULL, env=dict(os.environ, **(environment or {})), **more)


def replayed(*arguments, environment=None):
    done = run("--json", *arguments, environment=environment)
    check(done.returncode == 0, f"{arguments}: {done}")
    return json.loads(done.stdout), done.stderr


def refused(text, *arguments, status=1, environment=None):
    done = run(*arguments, environment=environment)
    lines = done.stderr.splitlines()
    check(done.returncode == status, f"{arguments}: {done}")
    check(len(lines) == 1 and text in lines[0], f"{arguments}: {text!r} is expected, {lines!r} came")
    return done.stdout


def processes():
    """Those that replay: by the first argument that no user gives."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"--in-child" in path.read_bytes() and FOLDER.encode() in path.with_name("environ").read_bytes():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


# ---- what it does --------------------------------------------------------------------------------

def summary():
    done = run("--summary", trace("handover", 20000))
    check(done.returncode == 0 and done.stderr == "", done)
    check("\n2 threads, at most 2 at once" in done.stdout, done.stdout)
    check("\n1 thread, at most 1 at once" in run("--summary", trace("churn")).stdout, "one thread")
    allocations, frees = map(int, re.search(r"(\d+) allocations .*?(\d+) frees, 0 resizes",
                                            done.stdout).groups())
    live = int(re.search(r"at the end (\d+) objects", done.stdout)[1])
    check(allocations - frees == live and 19998 <= allocations + frees <= 26000, done.stdout)
    row = re.search(r"^64 +(\d+) +100.0 .* (\S+)$", done.stdout, re.M)
    check(row and int(row[1]) == allocations and row[2] == "100.0", done.stdout)
    check(re.search(r"^all +(\d+)", done.stdout, re.M)[1] == str(allocations), done.stdout)


def replay():
    for kind in KINDS:
        got, said = replayed("--rounds=2", "--allocators=system,memorybucket", trace(kind),
                             environment={"MB_STATS": "1"})
        check([one["name"] for one in got["allocators"]] == ["system", "memorybucket"], got)
        system, ours = got["allocators"]
        check("libc" in system["library"] and "libmemorybucket-malloc" in ours["library"], got)
        for one in system["rounds"] + ours["rounds"]:
            check(one["operations"] == got["operations"] and one["ns"] > 0, got)
            check(one["bytes"] == system["rounds"][0]["bytes"], got)
            check(one["peak_bytes"] >= one["end_bytes"], got)
            check(one["peak_bytes"] > got["live_bytes_max"] * 0.5, got) # not each page is written to
        check(len(ours["rounds"]) == 2 and said.count("MemoryBucket") >= 2, said)
    text = run("-r1", "-a", "memorybucket,system", trace("churn"))
    check(text.returncode == 0 and re.search(r"^system .* [\d.]+ ", text.stdout, re.M), text)
    check(re.search(r"^memorybucket( +\S+){4} +1\.00 +\S+ +1\.00 ", text.stdout, re.M), text)


def others():
    """All that are installed; the missing ones have a line."""
    got, said = replayed("-r1", trace("lives"))
    names = [one["name"] for one in got["allocators"]]
    for name in ("mimalloc", "jemalloc", "tcmalloc"):
        check((name in names) != (f"{name} is left out" in said), said)
    check({"system", "memorybucket"} <= set(names), names)
    if len(names) < 5:
        print(said)
        sys.exit(77)
    check(len({one["library"] for one in got["allocators"]}) == 5, got)
    by_path = next(one["library"] for one in got["allocators"] if one["name"] == "jemalloc")
    got, _ = replayed("-r1", "-a", by_path, trace("churn"))
    check(got["allocators"][0]["library"] == by_path, got)


def advised(path):
    done = run("--advise", "--json", path)
    check(done.returncode == 0 and done.stderr == "", done)
    return json.loads(done.stdout)


def measured(path, settings):
    """The refills and the peak of a replay with these settings."""
    report = Path(FOLDER, "stats")
    got, _ = replayed("-r1", "-a", "memorybucket", path, environment=dict(settings, MB_STATS=str(report)))
    rows = [line.split() for line in report.read_text().splitlines()]
    report.unlink()
    names = next(row for row in rows if row[0] == "slot")
    # The last process writes behind the one that was asked where its malloc is.
    last = max(i for i, row in enumerate(rows) if row[0] == "MemoryBucket:")
    pools = [dict(zip(names, row)) for row in rows[last:] if row[0].isdigit()]
    return sum(int(pool["refills"]) for pool in pools), got["allocators"][0]["peak_bytes"]


# As docs/replay.md says: refills within a fifth of what they are without the advice, and 10; and the change of
# the peak within an eighth of the memory, or a MiB.
REFILLS_ERROR, REFILLS_LEAST, MEMORY_ERROR, MEMORY_LEAST = 5, 10, 8, 1 << 20


def advise():
    for kind, settings in (("handover", {"MB_MAGAZINE_SIZE"}), ("phases", {"MB_MAGAZINE_SIZE"}),
                           ("lives", {"MB_THREAD_CACHE_MAX"}), ("buffers", {"MB_POOL_MAX"}),
                           ("server", {"MB_MAGAZINE_SIZE", "MB_THREAD_CACHE_MAX"})):
        path = trace(kind, 600000 if kind == "buffers" else 200000)
        advice = advised(path)
        now, then = advice["now"], advice["then"]
        check(set(advice["settings"]) == settings, advice)
        check(then["refills"] * 2 < now["refills"] or then["bytes"] * 2 < now["bytes"], advice)
        refills_now, peak_now = measured(path, {})
        refills_then, peak_then = measured(path, advice["settings"])
        print(f"{kind}: refills {now['refills']} -> {then['refills']} foretold, {refills_now} -> "
              f"{refills_then} measured; bytes {now['bytes']} -> {then['bytes']}, {peak_now} -> {peak_then}")
        for foretold, real in ((now["refills"], refills_now), (then["refills"], refills_then)):
            check(abs(foretold - real) <= now["refills"] / REFILLS_ERROR + REFILLS_LEAST, f"{kind}: refills")
        change = (peak_then - peak_now) - (then["bytes"] - now["bytes"])
        check(abs(change) <= max(now["bytes"] / MEMORY_ERROR, MEMORY_LEAST), f"{kind}: memory, {change}")
    content = advised(trace("churn", 200000))
    check(content["settings"] == {} and content["now"] == content["then"], content)
    text = run("--advise", trace("handover", 200000)).stdout
    check(re.search(r"^    MB_MAGAZINE_SIZE=49-64:\d+$", text, re.M), text)
    check("There is nothing to set" in run("--advise", trace("churn", 200000)).stdout, "nothing to set")


class Live:
    """LIVE at work, beside which stands mbstat; then its refills in a thousand operations."""

    def __init__(self, kind, settings):
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=FOLDER, MB_EXPORT="1", **settings)
        self.process = subprocess.Popen([LIVE, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=self.environment)

    def mbstat(self, *arguments):
        return subprocess.run([MBSTAT, *arguments, str(self.process.pid)], text=True, capture_output=True,
                              env=self.environment, timeout=300)

    def advised(self, names):
        """The advice for these options: the process may not have published yet, or not worked for a moment."""
        for _ in range(1000):
            done = self.mbstat("--advise", "--json", "--interval=0.3")
            if done.returncode == 0 and set(json.loads(done.stdout)["settings"]) == names:
                return json.loads(done.stdout)
            time.sleep(0.1)
        raise AssertionError(done)

    def end(self):
        operations, refills = map(int, self.process.communicate(timeout=300)[0].split())
        return 1000 * refills / operations


def follows(kind, names):
    """Whether the refills in a thousand operations change as the advice says, to a tenth of all."""
    one = Live(kind, {})
    advice = one.advised(names)
    for _ in range(1000): # as above
        text = one.mbstat("--advise", "--interval=0.3").stdout
        if "MB_MAGAZINE_SIZE=57-64:2048" in text:
            break
    check("MB_MAGAZINE_SIZE=57-64:2048" in text, text)
    check("goes together" in one.mbstat("--advise", "--once").stderr, "--advise --once")
    before = one.end()
    after = Live(kind, advice["settings"]).end()
    foretold = advice["refills_per_second_then"] / advice["refills_per_second"]
    print(f"{kind}: {foretold:.3f} of the refills foretold, {after:.4f} of {before:.4f} measured")
    most = before * (foretold + 0.1)
    least = 0 if "MB_THREAD_CACHE_MAX" in names else before * (foretold - 0.1)
    return least <= after <= most


def live():
    """What mbstat proposes helps as it says. It goes by a third of a second, in which another program may have had the
    processors, and so it may try again."""
    for kind, names in (("handover", {"MB_MAGAZINE_SIZE"}), ("tides", {"MB_MAGAZINE_SIZE", "MB_THREAD_CACHE_MAX"})):
        check(any(follows(kind, names) for _ in range(5)), "refills")


# ---- what it refuses -----------------------------------------------------------------------------

def refused_files():
    good = Path(trace("lives")).read_bytes()
    for name, data, text in (("short", good[:50], "bad"), ("cut", good[:-100], "cut"),
                             ("foreign", b"#!/bin/sh\n" * 50, "foreign"), ("nothing", b"", "nothing"),
                             ("newer", good[:8] + struct.pack("<I", 2) + good[12:], "newer"),
                             ("damaged", good[:-5000] + bytes(100) + good[-4900:], "damaged")):
        path = Path(FOLDER, name)
        path.write_bytes(data)
        for option in ("-r1", "--summary", "--advise"):
            check(refused(str(path), option, "-a", "system", str(path)) == "", name)
    refused("No such file", f"{FOLDER}/absent")
    refused("irectory", FOLDER)
    refused("nothing in it", "-a", "system", trace("none"))


def refused_all():
    refused_files()
    churn = trace("churn")
    refused("name one trace", status=2)
    refused("name one trace", churn, churn, status=2)
    for option, value in (("rounds", "0"), ("rounds", "101"), ("rounds", "x"), ("rounds", "-1"),
                          ("chart", "chart.pdf"), ("chart", "svg")):
        refused(f"--{option}={value} is not valid; accepted:", f"--{option}={value}", churn, status=2)
    refused("unrecognized option", "--nothing", churn, status=2)
    refused("accepted: system,", "-a", "system,hoard", churn, status=2)
    refused("accepted: system,", "-a", "", churn, status=2)
    refused("No such file", "-a", "./libabsent.so", churn)
    refused("has no malloc", "-a", TRACES, churn)
    refused("colon", "-a", f"{FOLDER}/a b.so", churn)
    check("Usage: mbreplay" in run("--help").stdout, "--help")
    elsewhere = Path(FOLDER, "bin")
    elsewhere.mkdir()
    shutil.copy(MBREPLAY, elsewhere)
    done = subprocess.run([elsewhere / "mbreplay", "-r1", "-a", "memorybucket", churn], text=True,
                          capture_output=True)
    check(done.returncode == 1 and done.stderr.count("\n") == 1 and "not installed" in done.stderr, done)


def broken():
    lives = trace("lives")
    for flaw, text in (("overlap", "lost what was written"), ("dirty", "not zero"),
                       ("none", "no memory for a request"), ("crash", "signal 11")):
        out = refused(text, "-r2", "-a", f"system,{BROKEN}", lives, environment={"BROKEN": flaw})
        check("system" in out and "replay_broken" not in out, out)
    replayed("-r1", "-a", BROKEN, lives)


# ---- files and signals ---------------------------------------------------------------------------

def chart():
    churn = trace("churn")
    for kind, magic in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        path = Path(FOLDER, f"chart.{kind}")
        out = refused("no gnuplot", "-r1", "-a", "system", "-c", path, churn,
                      environment={"PATH": FOLDER})
        check("system" in out and not path.exists(), out)
        need("gnuplot")
        done = run("-r1", "-a", "system,memorybucket", "-c", path, churn)
        check(done.returncode == 0 and done.stderr == "", done)
        check(path.read_bytes().startswith(magic), "the picture's format")
    drawn = Path(FOLDER, "chart.svg").read_text()
    check(drawn.count("memorybucket") >= 3 and "ns an operation" in drawn, drawn[:2000])
    refused("No such file", "-r1", "-a", "system", "-c", f"{FOLDER}/absent/a.svg", churn)


def full():
    for option in ("--json", "--rounds=1", "--summary", "--advise"):
        with open("/dev/full", "w") as nowhere:
            done = subprocess.run([MBREPLAY, option, "-a", "system", trace("churn")], stdout=nowhere,
                                  stderr=subprocess.PIPE, text=True)
        check(done.returncode == 1 and done.stderr.count("\n") == 1
              and "standard output: No space" in done.stderr, done)


def interrupted():
    """Whatever ends it, and whenever, no process is left."""
    lives = trace("lives", 2000000) # a minute and more of rounds
    for number, way in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL) * 4):
        one = subprocess.Popen([MBREPLAY, "-r100", "-a", "system,memorybucket", lives],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                               env=dict(os.environ, REPLAY_FOLDER=FOLDER))
        time.sleep(0.03 * number)
        # Ctrl-C reaches the children, too; the others only the process that has them.
        (os.killpg if way == signal.SIGINT else os.kill)(one.pid, way)
        check(one.wait(300) == -way, one)
        end = time.monotonic() + 120
        while processes() and time.monotonic() < end:
            time.sleep(0.02)
        check(processes() == [], f"{way}: {processes()} are left")
        one.stderr.close()


def complete():
    """What bash offers for a line, by the file that is installed."""
    source = Path(__file__).resolve().parents[3] / "src/cli/completion/mbreplay"

    def offered(*words):
        script = (f'source "{source}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mbreplay "$1"; '
                  'echo "${COMPREPLY[*]}"')
        return subprocess.run(["bash", "-c", script, "bash", MBREPLAY, *words], check=True, text=True,
                              stdout=subprocess.PIPE, cwd=FOLDER).stdout.split()

    names = set(re.findall(r"--[a-z]+=?", run("--help").stdout.replace("mbrun --record", "")))
    check(set(offered("-")) >= names and len(names) >= 6, offered("-"))
    check(offered("--sum") == ["--summary"], offered("--sum"))
    check(offered("-a", "system,mi") == ["system,mimalloc"], offered("-a", "system,mi"))
    check(offered("--allocators", "=", "j") == ["jemalloc"], offered("--allocators", "=", "j"))
    Path(FOLDER, "one.mbt").touch()
    check(offered("o") == ["one.mbt"], offered("o"))


def main():
    global MBREPLAY, TRACES, BROKEN, MBSTAT, LIVE, FOLDER
    cases = {"summary": summary, "replay": replay, "others": others, "refused": refused_all,
             "broken": broken, "chart": chart, "full": full, "interrupted": interrupted, "complete": complete,
             "advise": advise, "live": live}
    if len(sys.argv) not in (5, 7) or sys.argv[1] not in cases:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    MBREPLAY, TRACES, BROKEN = map(os.path.abspath, sys.argv[2:5])
    MBSTAT, LIVE = map(os.path.abspath, sys.argv[5:]) if len(sys.argv) == 7 else (None, None)
    with tempfile.TemporaryDirectory(prefix="replay-") as FOLDER:
        cases[sys.argv[1]]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
