#!/usr/bin/env python3
"""Whose statistics are published, and where they cannot be.

Usage: users.py CASE MBSTAT WORKER    CASE: secure, squatted, other, full
Status 77: not root, or the machine lets no mount namespace be made.
"""
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from checks import SKIPPED, check, need

USER, OWNER = 61234, 61235  # nobody's numbers
MBSTAT = WORKER = None


class Folder:
    """A folder that the user owns, with a copy of the worker that all may run."""

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="mbstat-users-"))
        self.path.chmod(0o755)
        self.worker, self.session = self.path / "worker", self.path / "session"
        shutil.copy(WORKER, self.worker)
        self.worker.chmod(0o755)
        self.session.mkdir(0o700)
        os.chown(self.session, USER, USER)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)
        for user in (USER, OWNER):
            shutil.rmtree(shared_folder(user), ignore_errors=True)


def shared_folder(user):
    return Path(f"/dev/shm/memorybucket-{user}")


def environment(session):
    more = {"XDG_RUNTIME_DIR": str(session)} if session else {}
    kept = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    return {**kept, "MB_EXPORT": "1", **more}


class Publisher:
    """The worker at work as a user, until the end of the block; then its messages are in `said`."""

    def __init__(self, command, session=None, user=USER):
        groups = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.process = subprocess.Popen([*command, "2"], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment(session), **groups)
        self.pid = int(self.process.stdout.readline())
        self.said = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _, self.said = self.process.communicate(timeout=300)
        check(self.process.returncode == 0, f"the worker ended with {self.process.returncode}")


def published(publisher, *folders, tries=2000):
    """Whether the process has a file in one of the folders."""
    for _ in range(tries):
        if any((folder / str(publisher.pid)).exists() for folder in folders):
            return True
        time.sleep(0.05)
    return False


def not_published(publisher, *folders):
    """Whether it has none in the moment in which it would."""
    return not published(publisher, *folders, tries=40)


def read_by(user, pid, *prefix):
    groups = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    return subprocess.run([*prefix, MBSTAT, "--once", str(pid)], text=True, capture_output=True,
                          timeout=300, stdin=subprocess.DEVNULL, env=environment(None), **groups)


def refused(done, text):
    lines = done.stderr.splitlines()
    check(done.returncode == 1 and len(lines) == 1 and text in lines[0],
          f"{text!r} is expected, {done} came")


def secure():
    """In a set-user-ID program the variable has no effect."""
    with Folder() as folder:
        folders = [folder.session / "memorybucket", shared_folder(USER), shared_folder(OWNER)]
        with Publisher([folder.worker], folder.session) as publisher:
            check(published(publisher, folders[0]), "an ordinary program does not publish")
        os.chown(folder.worker, OWNER, OWNER)
        folder.worker.chmod(0o4755)
        if os.statvfs(folder.worker).f_flag & os.ST_NOSUID:
            sys.exit(SKIPPED)
        with Publisher([folder.worker], folder.session) as publisher:
            status = Path(f"/proc/{publisher.pid}/status").read_text()
            effective = status.split("Uid:")[1].split()[1]
            check(effective == str(OWNER), f"it runs as {effective}")
            check(not_published(publisher, *folders), "a set-user-ID program publishes")
        check(publisher.said == "", publisher.said)


def squatted():
    """A folder that is another user's, or open to others, gets no file."""
    with Folder() as folder:
        shared = shared_folder(USER)
        shared.mkdir(0o755)  # root's
        (folder.session / "memorybucket").mkdir()
        os.chown(folder.session / "memorybucket", USER, USER)
        (folder.session / "memorybucket").chmod(0o770)
        with Publisher([folder.worker], folder.session) as publisher:
            check(not_published(publisher, folder.session / "memorybucket", shared), "published")
            refused(read_by(USER, publisher.pid), "does not publish")
        lines = publisher.said.splitlines()
        check(len(lines) == 1 and "not published in" in lines[0]
              and f"{shared}: other users have rights to it" in lines[0], publisher.said)
        # The first folder alone is not to be used.
        os.chown(shared, USER, USER)
        shared.chmod(0o700)
        with Publisher([folder.worker], folder.session) as publisher:
            check(published(publisher, shared), "not published in the second folder")
            check(not_published(publisher, folder.session / "memorybucket"), "nor in the first")
        check(publisher.said == "", publisher.said)


def other():
    """Only the same user reads, and root."""
    with Folder() as folder:
        with Publisher([folder.worker]) as publisher:
            file = shared_folder(USER) / str(publisher.pid)
            check(published(publisher, file.parent), "not published")
            check(stat.S_IMODE(file.stat().st_mode) == 0o600 and file.stat().st_uid == USER, "mode")
            refused(read_by(OWNER, publisher.pid), f"belongs to user {USER}: only that user")
            for user in (USER, None):
                done = read_by(user, publisher.pid)
                check(done.returncode == 0 and f"process {publisher.pid} " in done.stdout, done)
            # A file of another user's in the place of the process's.
            file.unlink()
            file.write_bytes(b"x" * 65536)
            refused(read_by(None, publisher.pid), "is no file of that process")


def full():
    """Where no file system has room the program goes on, and says so once."""
    need("unshare")
    namespace = ["unshare", "--mount", "sh", "-c",
                 "mount -t tmpfs -o size=16k none /dev/shm && exec \"$0\" \"$@\"", WORKER]
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        sys.exit(SKIPPED)
    with Publisher(namespace, user=None) as publisher:
        shared = Path(f"/proc/{publisher.pid}/root", str(shared_folder(os.geteuid()))[1:])
        check(not_published(publisher, shared), "published")
        check(shared.is_dir() and not list(shared.iterdir()), "something was left there")
        inside = ["nsenter", "--mount", f"--target={publisher.pid}"]
        refused(read_by(None, publisher.pid, *inside), "does not publish")
    lines = publisher.said.splitlines()
    check(len(lines) == 1 and "its file system is full" in lines[0], publisher.said)
    # One of the two is enough.
    with tempfile.TemporaryDirectory() as session:
        with Publisher(namespace, session, user=None) as publisher:
            check(published(publisher, Path(session, "memorybucket")), "not published")
        check(publisher.said == "", publisher.said)


def main():
    global MBSTAT, WORKER
    if len(sys.argv) != 4 or sys.argv[1] not in CASES:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("only root can be several users")
        return SKIPPED
    MBSTAT, WORKER = (os.path.realpath(path) for path in sys.argv[2:])
    CASES[sys.argv[1]]()
    return 0


CASES = {case.__name__: case for case in (secure, squatted, other, full)}

if __name__ == "__main__":
    sys.exit(main())
