#!/usr/bin/env -S python3 -B
"""The command line, the port, and the surroundings: what is refused is said clearly, what is usual works.

Usage: options.py SERVER [--sanitized] [--only CHECK,...]"""
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from client import Client, wait_until
from harness import expect, expect_served, run
from server import Failure, Server

# What is given, and a word of the complaint besides.
BAD = (
    *((["-p", value], "65535") for value in ("65536", "-1", "x", "", "11211x", "99999999999999999999")),
    *((["-l", value], "IPv4") for value in ("localhost", "256.0.0.1", "", "127.0.0.1:1")),
    *((["-m", value], "number") for value in ("0", "x", "-5", "1.5", "64m", "99999999999999999999")),
    *((["-c", value], "number") for value in ("0", "x", "-1", "9999999999")),
    *((["-t", value], "number") for value in ("0", "x", "-4", "1000000", "4 ")),
    *((["-I", value], "number") for value in ("10", "x", "4g", "1mm", "-1", "99999999999999999999m")),
    (["-U", "11211"], "0"), (["-U", "x"], "0"),
    (["--allocator=tcmalloc"], "mb or malloc"), (["--allocator="], "mb or malloc"),
    (["--metrics-port=x"], "65535"), (["--metrics-port=70000"], "65535"),
    (["word"], "word"), (["-m", "64", "64"], "64"), (["--", "-x"], "-x"),
)
# What getopt complains about, and the server says where help is.
UNKNOWN = ("-Z", "--nonsense", "--nonsense=1", "-p", "-m", "--metrics-port", "--help=1", "-t")
OPTIONS = ("-p", "-l", "-m", "-c", "-t", "-v", "-vv", "-U", "-I", "--allocator", "--metrics-port", "--help",
           "--version")


def call(setting, arguments, **more):
    return subprocess.run([setting.command, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=setting.scaled(60), check=False, **more)


def expect_refused(setting, arguments, words, status=(1, 2), **more):
    """Ends with an error's status, says why on stderr in a few lines, and nothing on stdout."""
    try:
        done = call(setting, arguments, **more)
    except subprocess.TimeoutExpired:
        raise Failure(f"{arguments} is accepted") from None
    if done.returncode not in status:
        raise Failure(f"{arguments}: status {done.returncode}, and it says {done.stderr!r}")
    lines = done.stderr.splitlines()
    said = done.stderr.replace(setting.command, "mbcached") # getopt gives the path
    if not 1 <= len(lines) <= 3 or "mbcached: " not in said:
        raise Failure(f"{arguments}: it says {done.stderr!r}")
    for word in words:
        if word not in done.stderr:
            raise Failure(f"{arguments}: it says {done.stderr!r}, without {word!r}")
    expect(done.stdout, "", f"{arguments}: stdout")


def bad_values(setting):
    """A value that is not accepted is named, and what is accepted."""
    for arguments, accepted in BAD:
        option = arguments[0].split("=")[0]
        value = arguments[-1].split("=")[-1]
        names = [value, accepted]
        if option.startswith("-") and len(option) == 2 and len(arguments) == 2:
            names.append(option)
        expect_refused(setting, ["-p", "0", *arguments], names)


def unknown(setting):
    """What is no option, or lacks its value, is named, and where help is."""
    for argument in UNKNOWN:
        expect_refused(setting, [argument], ["--help", argument.split("=")[0].lstrip("-")])


def helps(setting):
    """--help names every option, and --version the version: on stdout, with status 0."""
    for arguments in (["--help"], ["-h"]):
        done = call(setting, arguments)
        expect((done.returncode, done.stderr), (0, ""), str(arguments))
        for option in OPTIONS:
            if option not in done.stdout:
                raise Failure(f"{arguments} says nothing of {option}")
        if any(len(line) > 100 for line in done.stdout.splitlines()):
            raise Failure(f"{arguments} has lines of more than 100 columns")
    for arguments in (["--version"], ["-V"]):
        done = call(setting, arguments)
        expect((done.returncode, done.stderr), (0, ""), str(arguments))
        expect(done.stdout.startswith("mbcached "), True, f"{arguments} says {done.stdout!r}")


def settings(setting):
    """What is asked for is what stats shows; both allocators serve."""
    for options, wanted in (
            (["-m", "32", "-c", "77", "-t", "3", "-I", "2m"],
             {"maxbytes": 32 << 20, "maxconns": 77, "num_threads": 3, "item_size_max": 2 << 20}),
            (["-m16", "-c5", "-t1", "-I4096"],
             {"maxbytes": 16 << 20, "maxconns": 5, "num_threads": 1, "item_size_max": 4096}),
            (["-U", "0", "--allocator=malloc", "-m16"], {"maxbytes": 16 << 20}),
            (["--allocator=mb", "-v"], {"verbosity": 1}), (["-vv"], {"verbosity": 2})):
        with setting.start(*options) as server, Client(server.port) as client:
            shown = client.stats(b"settings")
            for name, value in wanted.items():
                expect(shown.get(name), str(value), f"{options}: stats settings {name}")
            expect(client.set(b"a", b"1"), b"STORED", f"{options}: set")
            expect(client.get(b"a"), b"1", f"{options}: get")
            threads = client.stats().get("threads")
            expect(threads, shown.get("num_threads"), f"{options}: stats threads")


def port_in_use(setting):
    """A port in use is named: by another program, and by another mbcached."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        expect_refused(setting, ["-p", port], [port, "in use"])
        expect_refused(setting, ["-p", "0", f"--metrics-port={port}"], [port, "in use"])
    with setting.start() as server:
        expect_refused(setting, ["-p", str(server.port)], [str(server.port), "in use"])
        for _ in range(8):
            expect_served(server.port)
    expect_refused(setting, ["-p", "0", "-l", "192.0.2.1"], ["192.0.2.1"])


def files_limit(setting):
    """Few open files: it goes on serving those that it can, and the others once files are free."""
    with setting.start("-c", "1000", "-t", "2", preexec=lambda: limit_files(120)) as server:
        clients = [Client(server.port) for _ in range(150)]
        for client in clients:
            client.send(b"mn\r\n")
        served = set()

        def are_served():
            served.update(client for client in clients if client.read_for(0.001) == b"MN\r\n")
            return len(served) >= 20
        wait_until(are_served, "20 clients are served with 120 open files")
        before = cpu_seconds(server)
        time.sleep(1)
        took = cpu_seconds(server) - before
        if took > 0.5:
            raise Failure(f"the server takes {took:.1f} s of CPU in a second in which no file may be opened")
        for client in clients:
            client.close()
        wait_until(lambda: is_served(server.port), "clients are served once others have gone")


def cpu_seconds(server):
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_files(count):
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def is_served(port):
    try:
        expect_served(port, 1)
        return True
    except (Failure, ConnectionError):
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORTS = 10  # tried: another program may take one that was free


def start_on_free_port(command, **more):
    """A process that serves, and its port."""
    for _ in range(PORTS):
        port = free_port()
        process = subprocess.Popen([*command, "-p", str(port), "-vv"], **more)
        try:
            wait_until(lambda: process.poll() is not None or is_served(port), "it serves")
        except Failure:
            process.kill()
            process.wait()
            raise
        if process.poll() is None:
            return process, port
    raise Failure(f"it ends by itself, with status {process.returncode}")


@contextlib.contextmanager
def start_with_metrics(setting, *options):
    """A server, and its port of /metrics."""
    for left in range(PORTS - 1, -1, -1):
        port = free_port()
        try:
            server = setting.start(*options, f"--metrics-port={port}").start()
            break
        except Failure as failure:
            if left == 0 or "in use" not in str(failure):
                raise
    try:
        yield server, port
    except BaseException:
        server.kill()
        raise
    server.stop()


def no_terminal(setting):
    """Without a terminal, and with stdin, stdout and stderr closed, it serves and ends."""
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    process, port = start_on_free_port([*shell, setting.command], start_new_session=True)
    try:
        # What it says must not go to a client whose descriptor has stderr's number.
        with Client(port) as client:
            for _ in range(20):
                expect(client.ask(b"mn"), b"MN", "mn")
            client.send(b"set a 0 0 1\r\n1\r\nget a\r\nnonsense\r\nquit\r\n")
            wanted = b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\nERROR\r\n"
            expect(client.read_to_end(), wanted, "answers without a terminal")
        process.terminate()
        expect(process.wait(setting.scaled(60)), 0, "status")
    finally:
        process.kill()
        process.wait()


def stderr_gone(setting):
    """The reader of its stderr goes away: it goes on serving."""
    process, port = start_on_free_port([setting.command], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        process.stderr.close()
        for _ in range(5):
            expect_served(port)
        process.terminate()
        expect(process.wait(setting.scaled(60)), 0, "status")
    finally:
        process.kill()
        process.wait()


def ordinary_user(setting):
    """Another user than root starts it, and root does."""
    if os.geteuid() != 0:
        with setting.start() as server:
            expect_served(server.port)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(setting.command, f"{folder}/mbcached")
        os.chmod(copy, 0o755)

        def become_nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        with Server(copy, preexec=become_nobody) as server:
            expect_served(server.port)
            with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
                expect("Uid:\t65534" in file.read(), True, "runs as another user")


def metrics(setting):
    """GET /metrics has figures in Prometheus's form, and junk on that port harms nothing."""
    with start_with_metrics(setting) as (server, port):
        expect_served(server.port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
            expect(answer.headers["Content-Type"].split(";")[0], "text/plain", "its type")
        names = set()
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, value = line.rsplit(" ", 1)
            float(value)
            names.add(name.split("{")[0])
            if not name.replace("_", "a").split("{")[0].isalnum():
                raise Failure(f"metrics: {line!r}")
        if len(names) < 10:
            raise Failure(f"metrics has {sorted(names)} only")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/other", timeout=60)
            raise Failure("any path has metrics")
        except urllib.error.HTTPError as error:
            expect(error.code, 404, "another path")
        for junk in (b"\0\xff" * 1000, b"GET /metrics\r\n\r\n", b"GET " + b"x" * 100_000,
                     b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"):
            with socket.create_connection(("127.0.0.1", port)) as probe:
                try:
                    probe.sendall(junk)
                except OSError:
                    pass
        time.sleep(0.1)
        expect_served(server.port)
        # One that stays open does not keep the server from ending.
        kept = socket.create_connection(("127.0.0.1", port))
        kept.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        kept.recv(1000)
    kept.close()


def metrics_bounded(setting):
    """Connections to the port of /metrics count among those that -c allows."""
    with start_with_metrics(setting, "-c", "5") as (server, port):
        kept = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        with socket.create_connection(("127.0.0.1", port), timeout=60) as probe:
            expect(probe.recv(100), b"ERROR Too many open connections\r\n", "one too many")
        with Client(server.port) as client:
            expect(client.read_to_end(), b"ERROR Too many open connections\r\n", "a client too many")
        for each in kept:
            each.close()
        wait_until(lambda: is_served(server.port), "clients are served once others have gone")


def own_commands(setting):
    """stats allocator has the allocator's figures, and mb_trim gives memory back."""
    with setting.start("-m", "64") as server, Client(server.port) as client:
        for number in range(200):
            expect(client.set(b"k%d" % number, b"x" * 50_000), b"STORED", "set")
        figures = client.stats(b"allocator")
        if len(figures) < 4:
            raise Failure(f"stats allocator has {figures} only")
        expect(client.ask(b"flush_all"), b"OK", "flush_all")
        answer = client.ask(b"mb_trim")
        if answer.startswith((b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR")):
            raise Failure(f"mb_trim: {answer!r}")
        expect_served(server.port)


def allocator_variables(setting):
    """It starts also where a variable has the allocator come up before main."""
    with tempfile.TemporaryDirectory() as folder: # what it publishes is nothing for others to see
        for name in ("MB_EXPORT", "MB_BACKGROUND"):
            os.environ.update({name: "1", "XDG_RUNTIME_DIR": folder})
            try:
                with setting.start("-m", "16") as server:
                    expect_served(server.port)
            finally:
                del os.environ[name], os.environ["XDG_RUNTIME_DIR"]


if __name__ == "__main__":
    run(__doc__, [bad_values, unknown, helps, settings, port_in_use, files_limit, no_terminal, stderr_gone,
                  ordinary_user, metrics, metrics_bounded, own_commands, allocator_variables])
