#!/usr/bin/env python3
"""What docs/monitoring has for Prometheus: its rules, its dashboard, and a real scrape of the example.

Usage: monitoring.py rules|names|scrape SOURCE_DIR METRICS_SERVER
Status 77: Prometheus is not installed.
"""
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from checks import check, need


def promtool(*arguments, folder):
    done = subprocess.run(["promtool", *arguments], cwd=folder, text=True, capture_output=True,
                          timeout=600)
    check(done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}")


def dashboard_expressions(folder):
    dashboard = json.loads((folder / "dashboard.json").read_text())
    variables = {"$instance": ".*", "$__rate_interval": "1m"}
    expressions = []
    for panel in dashboard["panels"]:
        check(panel["title"] and panel["description"], panel)
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in variables.items():
                expression = expression.replace(name, value)
            check("$" not in expression, expression)
            expressions.append(expression)
    check(len(expressions) >= 10, "the dashboard is nearly empty")
    return expressions


class Served:
    """The example, as it serves on a port of its own."""

    def __init__(self, command):
        self.process = subprocess.Popen([command, "0"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def get(self, path="/metrics", method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        check(self.process.wait(300) == 0, "its status")


def rules(folder, _):
    need("promtool")
    promtool("check", "rules", "alerts.yml", folder=folder)
    promtool("test", "rules", "alerts_test.yml", folder=folder)
    promtool("check", "config", "prometheus.yml", folder=folder)
    with tempfile.TemporaryDirectory() as work:
        records = [{"record": f"panel:{number}", "expr": expression}
                   for number, expression in enumerate(dashboard_expressions(folder))]
        # JSON is YAML, too.
        Path(work, "panels.yml").write_text(
            json.dumps({"groups": [{"name": "panels", "rules": records}]}))
        promtool("check", "rules", "panels.yml", folder=work)


def names(folder, command):
    """What rules and panels ask for exists, and docs/monitoring.md explains each metric."""
    with Served(command) as served:
        text = served.get()
        for path, method in (("/", "GET"), ("/metrics", "POST"), ("/metrics/", "GET")):
            try:
                served.get(path, method)
                check(False, f"{method} {path} is served")
            except urllib.error.HTTPError as error:
                check(error.code == 404, error)
    metrics = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    asked = "\n".join(dashboard_expressions(folder)) + (folder / "alerts.yml").read_text()
    for name in set(re.findall(r"\bmemorybucket_\w+", asked)):
        check(name in metrics, f"{name} does not exist")
    page = (folder.parent / "monitoring.md").read_text()
    explained = set(re.findall(r"^\| `(memorybucket_\w+)", page, re.M))
    check(explained == metrics, f"in docs/monitoring.md or not: {explained ^ metrics}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, query):
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]["result"]
    except (urllib.error.URLError, ConnectionError):
        return [] # it is not up yet


def scraped(work):
    """False where another program has taken the port meanwhile, which Prometheus cannot choose itself."""
    port = free_port()
    with open(Path(work, "log"), "w") as log:
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            wanted = 'memorybucket_pool_slots{job="memorybucket",size="64",state="magazines"}'
            end = time.monotonic() + 300
            found = []
            while not found and time.monotonic() < end and prometheus.poll() is None:
                time.sleep(0.3)
                found = ask(port, wanted)
            said = Path(work, "log").read_text()
            if prometheus.poll() is not None and "address already in use" in said:
                return False
            check(found, said)
            check(float(found[0]["value"][1]) >= 1, found)
            check(ask(port, "up")[0]["value"][1] == "1", "the target is down")
            check(ask(port, "memorybucket_info")[0]["metric"]["name"] == "metrics_server", "name")
            return True
        finally:
            prometheus.terminate()
            prometheus.wait(300)


def scrape(folder, command):
    """A real Prometheus scrapes the example, with the page's configuration but for the port."""
    need("prometheus")
    with tempfile.TemporaryDirectory() as work, Served(command) as served:
        configuration = (folder / "prometheus.yml").read_text()
        check("127.0.0.1:9464" in configuration and "15s" in configuration, configuration)
        configuration = configuration.replace("127.0.0.1:9464", f"127.0.0.1:{served.port}")
        Path(work, "prometheus.yml").write_text(configuration.replace("15s", "1s"))
        shutil.copy(folder / "alerts.yml", work)
        check(any(scraped(work) for _ in range(10)), "no port to listen on")


CASES = {"rules": rules, "names": names, "scrape": scrape}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in CASES:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    CASES[sys.argv[1]](Path(sys.argv[2], "docs/monitoring"), sys.argv[3])
    return 0


if __name__ == "__main__":
    sys.exit(main())
