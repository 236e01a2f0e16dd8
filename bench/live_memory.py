#!/usr/bin/env python3
"""`clicktrail serve` on a property with a long history: starts, memory, pages, freshness.

The history is that of `scale.py --keep DIR`, given as `--project DIR`, or is made first. The project
is changed: it holds the events that were sent afterwards. See docs/benchmarks.md.
"""

from __future__ import annotations

import json
import pickle
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import harness
import live_events
import live_http
import scale
from harness import BenchError, tell
from live_load import HEAD
from live_processes import Helper, Server

AIM_BYTES = 4 * 1024**3
WARM_UP_SECONDS = 1.5
LIMIT_SECONDS = 3_600
PAGES = ["overview?d=14", "models?d=14", "paths?d=14", "conversions?d=14", "overview?d=60"]
QUERIES = {
    "mart_attribution_daily": "select channel, sum(conversions) from mart_attribution_daily group by 1",
    "int_sessions, all rows": "select count(*) as sessions, max(session_ended_at) from int_sessions",
}
VISITORS = "select distinct user_pseudo_id as id from int_sessions where user_pseudo_id is not null"


@dataclass
class Found:
    """What was measured, in order."""

    rows: list[list[str]] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    def add(self, server: Server, what: str, *figures: str) -> None:
        """A step with the memory after it; what comes next has a peak of its own."""
        resident, peak = server.memory("VmRSS"), server.memory("VmHWM")
        self.peaks.append(peak)
        self.rows.append([what, *figures, harness.mebibytes(resident), harness.mebibytes(peak)])
        tell(" | ".join(self.rows[-1]))
        server.forget_peak()


def made(options, work: Path) -> Path:
    """A project with that many events, built."""
    scale.require_disk(options)
    project = harness.copy_project(work, "project")
    _, holds = scale.generate(options, project / "data", work / "generate.log")
    tell(f"generated {holds['events']:,} events")
    command = harness.clicktrail(options, "build", "data/events_*.parquet", "--exclude",
                                 *harness.NO_TESTS)
    built = harness.measure(command, project, work / "build.log")
    tell(f"built in {harness.seconds(built.wall_seconds)}")
    return project


def pool(options, work: Path) -> tuple[Path, Path]:
    """Events of new visitors, and those of a probe."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    harness.capture([str(options.binary), "generate", "--out", str(work / "new"), "--format",
                     "ndjson", "--days", "1", "--first-day", today, "--seed", "7", "--events",
                     str(options.pool)], work)
    file = next((work / "new").glob("*.ndjson"))
    (work / "probe").write_bytes(live_events.probe(file))
    (work / "pool").write_bytes(pickle.dumps(live_events.pool(file, False)))
    return work / "pool", work / "probe"


def percentiles(values: list[float]) -> str:
    """p50 and p99 of sorted values."""
    if not values:
        raise BenchError("no probe was answered")
    return " / ".join(harness.seconds(values[min(len(values) - 1, int(share * len(values)))])
                      for share in (0.5, 0.99))


def probed(server: Server, probe: Path, seconds: float, work=lambda: None) -> tuple[str, float]:
    """Event to mart of probes beside `work`, and the seconds that it took."""
    helper = Helper("live_probe.py", "--port", server.port, "--lines", probe)
    try:
        helper.go()
        time.sleep(WARM_UP_SECONDS)
        helper.go()
        started = time.monotonic()
        work()
        took = time.monotonic() - started
        time.sleep(max(0.0, seconds - took))
        helper.go()
        found = helper.result()
    finally:
        helper.end()
    fresh = sorted(found["fresh"] + [1.0] * found["skipped"])
    return ("≥ " if found["skipped"] else "") + percentiles(fresh), took


def returning(server: Server, visitors: list[str], seconds: float) -> None:
    """One event each of visitors with a history, at a steady rate."""
    connection = live_http.Connection(server.port)
    start, batch, seq = time.monotonic(), 10, 0
    for at in range(0, len(visitors), batch):
        now = int(time.time() * 1e6)
        rows = [json.dumps({
            "event_name": "page_view", "event_timestamp": now + number, "user_pseudo_id": visitor,
            "event_params": {"ga_session_id": now // 1_000_000,
                             "page_location": "https://shop.example/?utm_source=news&utm_medium=email"},
        }) for number, visitor in enumerate(visitors[at: at + batch])]
        body = "\n".join(rows).encode()
        live_http.sleep_until(start + seconds * at / len(visitors))
        connection.send([HEAD(len(body)), body])
        status, answer = connection.receive()
        if status != 200:
            raise BenchError(f"status {status}: {answer.decode()}")
        seq = json.loads(answer)["seq"]
    server.wait_for(seq)


def timed(ask) -> str:
    """How long the first answer and one of a state that is known take."""
    times = []
    for _ in range(2):
        started = time.monotonic()
        ask()
        times.append(time.monotonic() - started)
    return " / ".join(map(harness.seconds, times))


def reading(server: Server) -> list[list[str]]:
    """Pages and queries."""
    asked = {f"/api/v1/{page}": lambda page=page: live_http.get(server.port, f"/api/v1/{page}")
             for page in PAGES}
    asked |= {name: lambda sql=sql: live_http.query(server.port, sql)
              for name, sql in QUERIES.items()}
    rows = []
    for name, ask in asked.items():
        rows.append([f"`{name}`" if name.startswith("/") else name, timed(ask)])
        tell(" | ".join(rows[-1]))
    return rows


def sent(options, server: Server, pool: Path, found: Found) -> None:
    """New visitors' events as fast as they are taken."""
    started = time.monotonic()
    load = Helper("live_load.py", "--port", server.port, "--pool", pool, "--rate", 0, "--batch",
                  500, "--seconds", LIMIT_SECONDS, "--events", scale.number(options.stream))
    try:
        load.go()
        result = load.result()
    finally:
        load.end()
    server.wait_for(result["seq"])
    seconds = time.monotonic() - started
    found.add(server, f"{result['events']:,} events of new visitors, as fast as taken",
              f"{result['events'] / seconds:,.0f} events/s")


def run() -> None:
    """See the module."""
    parser = harness.arguments("Starts and memory of `serve` after a long history.", runs=1)
    parser.add_argument("--project", type=Path, help="a built project, which is changed")
    parser.add_argument("--events", default="20M", help="without --project; default: %(default)s")
    parser.add_argument("--days", type=int, default=60, help="of them; default: %(default)s")
    parser.add_argument("--stream", default="1M", help="events sent live; default: %(default)s")
    parser.add_argument("--returning", type=int, default=5_000, metavar="N",
                        help="visitors with a history who come again; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10, help="of probes; default: %(default)s")
    parser.add_argument("--pool", type=int, default=60_000, help="events to send again and "
                        "again, as new visitors; default: %(default)s")
    options = parser.parse_args()
    load = harness.settle(options)
    found = Found()
    with harness.workspace(options) as work:
        project = options.project or made(options, work)
        events, probe = pool(options, work)
        body = measured(options, load, project.resolve(), events, probe, found)
    harness.publish(options, "live_memory", body)


def measured(options, load: float, project: Path, events: Path, probe: Path, found: Found) -> str:
    """The section of the page."""
    server = Server(options, project)
    started = time.monotonic()
    try:
        history = server.status()["tables"]["events"]
        found.add(server, f"start with {history:,} events",
                  f"ready after {harness.seconds(server.ready_seconds)}")
        pages = reading(server)
        found.add(server, "pages and queries below", "–")
        fresh, _ = probed(server, probe, options.seconds)
        found.add(server, "only probes", f"event to mart {fresh}")
        rows = live_http.query(server.port, f"{VISITORS} limit {options.returning}",
                               limit=options.returning)
        visitors = [row["id"] for row in rows]
        fresh, took = probed(server, probe, options.seconds,
                             lambda: returning(server, visitors, options.seconds))
        found.add(server, f"{len(visitors):,} visitors of the history come again, "
                  f"{len(visitors) / took:,.0f} a second", f"event to mart {fresh}")
        sent(options, server, events, found)
        # An audit each minute.
        live_http.sleep_until(started + 65)
        status = server.wait_for(server.status()["durable_seq"])
        if status["live_batch_mismatch"]:
            raise BenchError(f"live_batch_mismatch: {status}")
        found.add(server, "after an audit", "–")
        mart = server.mart()
        server.kill()
        server = Server(options, project)
        found.add(server, "start after kill -9",
                  f"ready after {harness.seconds(server.ready_seconds)}")
        if server.mart() != mart:
            raise BenchError("the mart after kill -9 differs from the one before")
        peak = max(found.peaks)
    finally:
        server.kill()
    met = "met" if peak <= AIM_BYTES else "**missed**"
    lines = [f"- Aim: at most 4 GiB: {met}, {harness.mebibytes(peak)} at the highest",
             "- The mart after kill -9, built from tables and log, equals the live one before; "
             "live_batch_mismatch 0",
             f"- Disk free after it: {shutil.disk_usage(project).free / 1e9:.0f} GB",
             *harness.machine(options, load)]
    return "\n\n".join([
        harness.table(["step", "figure", "RSS after it", "peak RSS in it"], found.rows),
        harness.table(["read", "first / again"], pages), "\n".join(lines)])


if __name__ == "__main__":
    harness.main(run)
