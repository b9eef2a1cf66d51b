"""Starts and ends a server for the tests: mbcached, or Debian's memcached, on a free port of loopback.

What starts one must stop it, best by `with`: that ends the server with SIGTERM, unless it has ended, and
complains about an exit status other than 0 and about anything that a sanitizer reported.
"""
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time

LISTENING = re.compile(rb"^mbcached: listening on [0-9.]+:([0-9]+)$", re.M)
SANITIZER = re.compile(rb"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:")
START_SECONDS = 120
STOP_SECONDS = 120


class Failure(Exception):
    """What a test has found: the text says what was done, what was expected and what came."""


def raise_file_limit(wanted):
    """As many descriptors as the hard limit allows, up to `wanted`; returns how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > wanted:
        limit = max(soft, wanted)
    else:
        limit = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


class Server:
    """One process. `command` is the path of a server; `options` are its options, besides the port."""

    def __init__(self, command, *options, preexec=None):
        self.command = command
        self.options = list(options)
        self.preexec = preexec
        self.is_memcached = os.path.basename(command) == "memcached"
        self.port = None
        self.metrics_port = None
        self.process = None
        self.stderr = b""
        self.is_over = False
        self._reader = None
        self._folder = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, traceback):
        if kind is not None:
            self.kill()
        elif not self.is_over:
            self.stop()

    def start(self):
        """Returns once connections are accepted."""
        environment = dict(os.environ)
        argv = [self.command]
        if self.is_memcached:
            self._folder = tempfile.TemporaryDirectory()
            environment["MEMCACHED_PORT_FILENAME"] = f"{self._folder.name}/port"
            argv += ["-p", "-1", "-l", "127.0.0.1", "-U", "0"]
            if os.geteuid() == 0:
                argv += ["-u", "root"]
        else:
            argv += ["-p", "0"]
        argv += self.options
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=environment,
                                        preexec_fn=self.preexec)
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + START_SECONDS
        while self.port is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Failure(f"{' '.join(argv)} does not start{self._said()}")
            time.sleep(0.005)
            self.port = self._find_port()
        return self

    def _find_port(self):
        if not self.is_memcached:
            found = LISTENING.search(self.stderr)
            return int(found.group(1)) if found else None
        try:
            with open(f"{self._folder.name}/port", encoding="ascii") as file:
                return int(file.read().rsplit(":", 1)[1])
        except (OSError, IndexError):
            return None

    def _read_stderr(self):
        while True:
            data = os.read(self.process.stderr.fileno(), 65536)
            if not data:
                return
            self.stderr += data

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def runs(self):
        return self.process.poll() is None

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM must end it in that time, with status 0. Returns how long that took."""
        if not self.runs():
            self._finish()
            status = self.process.returncode
            raise Failure(f"{self.command} ended by itself, status {status}{self._said()}")
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.wait(began, seconds)

    def wait(self, began, seconds=STOP_SECONDS):
        """Waits for the end of a server that was told to end at `began`."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.command} still runs {seconds} s after SIGTERM{self._said()}") from None
        took = time.monotonic() - began
        self._finish()
        if status != 0 or SANITIZER.search(self.stderr):
            raise Failure(f"{self.command} ended with status {status}{self._said()}")
        return took

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._finish()

    def _finish(self):
        if self.is_over:
            return
        self.is_over = True
        self._reader.join()
        self.process.stderr.close()
        if self._folder:
            self._folder.cleanup()

    def _said(self):
        text = self.stderr.decode(errors="replace")
        return f", and said:\n{text[-6000:]}" if text else ", and said nothing"
