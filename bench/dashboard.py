#!/usr/bin/env python3
"""The dashboard: how long each page's answer takes, how soon `up --demo` has numbers, how much a browser loads.

Every answer is computed: each question carries a key (`sort`) that the server ignores but that makes it new to its cache.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import signal
import statistics
import subprocess
import time
from pathlib import Path
from urllib.parse import urlparse

import harness

PAGES = {
    "overview": "/api/v1/overview?", "overview, filtered": "/api/v1/overview?f=channel:Direct&", "models": "/api/v1/models?",
    "models by campaign": "/api/v1/models?by=campaign&", "paths": "/api/v1/paths?", "conversions": "/api/v1/conversions?",
    "journey": "/api/v1/conversions/{id}/explain?", "health": "/api/v1/health?", "lineage": "/api/v1/lineage?", "settings": "/api/v1/settings?",
    "values to filter by": "/api/v1/filters/campaign?",
}
AIM_SECONDS, AIM_LARGE_SECONDS, AIM_UP_SECONDS, AIM_BYTES = 0.05, 0.2, 5.0, 150 * 1024
READY_WITHIN_SECONDS = 600
KINDS = {".js", ".mjs", ".css", ".svg", ".html"}
WEB = harness.ROOT / "crates" / "server" / "web"


class Server:
    """A `clicktrail` that listens; its address comes from what it says."""

    def __init__(self, command: list[str], cwd: Path, log: Path) -> None:
        self.started, self.log = time.perf_counter(), log
        self.process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log.open("wb"), stderr=subprocess.STDOUT)
        self.address = urlparse(self._wait(self._address))
        self.answers_after = time.perf_counter() - self.started
        self.connection = http.client.HTTPConnection(self.address.netloc, timeout=120)

    def _wait(self, what):
        end = time.monotonic() + READY_WITHIN_SECONDS
        while not (found := what()):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise harness.BenchError(f"the server was not there:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.005)
        return found

    def _address(self) -> str | None:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.log.read_text(errors="replace"))
        return found[0] if found else None

    def get(self, path: str) -> tuple[int, bytes, float]:
        started = time.perf_counter()
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        return answer.status, body, time.perf_counter() - started

    def ready(self) -> Server:
        """Until the overview has numbers."""
        self._wait(lambda: self.get("/api/v1/overview")[0] == 200)
        self.ready_after = time.perf_counter() - self.started
        return self

    def stop(self) -> None:
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def timed(server: Server, runs: int) -> dict[str, list[float]]:
    """Seconds of each page's answers, the first one of a new server among them."""
    _, body, _ = server.get("/api/v1/conversions?limit=1")
    identity = json.loads(body)["data"]["rows"][0]["id"]
    samples = {}
    for name, path in PAGES.items():
        samples[name] = []
        for number in range(runs):
            status, body, seconds = server.get(f"{path.format(id=identity)}sort=run{number}")
            if status != 200:
                raise harness.BenchError(f"{path} answered {status}: {body[:300]!r}")
            samples[name].append(seconds)
    return samples


def serve(options, project: Path, log: Path, *flags: str) -> Server:
    return Server([str(options.binary), "serve", "--port", "0", "--threads", str(options.threads), *flags], project, log).ready()


def sample_project(options, work: Path) -> Path:
    """The demo's models over the 33 days of the sample, built."""
    project = harness.copy_project(work, "project")
    export = harness.copy_files(harness.sample_days(None), work / "export")
    settings = project / "dbt_project.yml"
    text, times = re.subn(r"(?m)^  ga4_export:.*$", f'  ga4_export: "{export}"', settings.read_text())
    if times != 1:
        raise harness.BenchError("the demo's ga4_export has moved")
    settings.write_text(text)
    harness.capture([str(options.binary), "build", "--quiet", "--exclude", *harness.NO_TESTS], project)
    return project


def up(options, work: Path) -> tuple[Server, Server]:
    """A first and a second start of the demo."""
    starts = []
    for number in (1, 2):
        server = Server([str(options.binary), "up", "--demo", "--no-open", "--port", "0"], work, work / f"up{number}.log").ready()
        server.stop()
        starts.append(server)
    return starts[0], starts[1]


def gzipped() -> int:
    """Bytes of all files, each packed as the server does."""
    return sum(len(gzip.compress(file.read_bytes(), 9)) for file in WEB.rglob("*") if file.suffix in KINDS)


def rows_of(server: Server, table: str) -> int:
    _, body, _ = server.get("/api/v1/health")
    return next((row["rows"] for row in json.loads(body)["data"]["tables"] if row["name"] == table), 0)


def section(name: str, samples: dict[str, list[float]], aim: float) -> str:
    rows = [
        [page, harness.seconds(statistics.median(runs)), harness.spread(runs), "met" if statistics.median(runs) <= aim else "**missed**"]
        for page, runs in samples.items()
    ]
    return f"{name}:\n\n" + harness.table(["page", "median", "least – most", f"aim {harness.seconds(aim)}"], rows)


def run() -> None:
    """See the module."""
    parser = harness.arguments("The dashboard's answers.", runs=15)
    parser.add_argument("--large", type=Path, help="a built project of many events, measured with serve --read-only")
    parser.add_argument("--large-only", action="store_true", help="only that one")
    options = parser.parse_args()
    load = harness.settle(options)
    parts, verdicts = [], []
    with harness.workspace(options) as work:
        if not options.large_only:
            first, second = up(options, work)
            rows = [[what, harness.seconds(start.answers_after), harness.seconds(start.ready_after)] for what, start in (("first start", first), ("second start", second))]
            parts.append("`up --demo`, from the start of the process:\n\n" + harness.table(["", "listens", "the overview has numbers"], rows))
            met = "met" if first.ready_after <= AIM_UP_SECONDS else "**missed**"
            verdicts.append(f"- Aim: numbers within {AIM_UP_SECONDS:.0f} s of the first start: {met}, {harness.seconds(first.ready_after)}")
            size = gzipped()
            verdicts.append(f"- Aim: all files of the dashboard within 150 KiB gzip: {'met' if size <= AIM_BYTES else '**missed**'}, {size / 1024:.1f} KiB")
            project = sample_project(options, work)
            for what, flags in (("33 days of the sample, `serve`", []), ("33 days of the sample, `serve --read-only`", ["--read-only"])):
                server = serve(options, project, work / "serve.log", *flags)
                parts.append(section(f"{what}, {rows_of(server, 'int_events'):,} events", timed(server, options.runs), AIM_SECONDS))
                server.stop()
        if options.large:
            server = serve(options, options.large, work / "large.log", "--read-only")
            name = f"{rows_of(server, 'int_events'):,} events, {rows_of(server, 'int_sessions'):,} sessions, {rows_of(server, 'int_conversions'):,} conversions, `serve --read-only`"
            parts.append(section(name, timed(server, options.runs), AIM_LARGE_SECONDS))
            server.stop()
        body = "\n\n".join([*parts, "\n".join([*verdicts, *harness.machine(options, load)])])
    harness.publish(options, "dashboard", body)


if __name__ == "__main__":
    harness.main(run)
