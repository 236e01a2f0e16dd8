#!/usr/bin/env python3
"""The live path: from an event sent over HTTP to the answer of a query on the mart.

Stages: freshness at several rates, the highest rate that is sustained, the same with dbt-duckdb,
recovery after kill -9, memory. Each rate has a server of its own on a fresh copy of the demo
project; load and probes are processes of their own. See docs/benchmarks.md.
"""

from __future__ import annotations

import json
import pickle
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import environment
import harness
import live_events
from build import DUCKDB_PROFILE
from harness import BenchError, tell
from live_probe import SKIPPED_AFTER_SECONDS
from live_processes import Helper, Server
from scale import number

HERE = Path(__file__).resolve().parent
RATES = [1_000, 10_000, 50_000, 100_000]
BATCHES = [25, 500]
AIM_FRESH_SECONDS = 0.25
AIM_RATE = 100_000
LAG_LIMIT_SECONDS = 1.0
# A rate counts as offered when so much of it was acknowledged in time.
OFFERED_SHARE = 0.98
# As a shop's server writes events, and with all that the export adds to them.
SHAPES = {"sent": False, "export": True}
WARM_UP_SECONDS = 1.5
SEND_SECONDS = 7_200
# Visitors of this pass over the pool and of later ones are in no table yet, even after 20 M events.
LATER_PASS = 50_000
EXTERNAL = "read_parquet('{{ var('ga4_export') }}', union_by_name = true)"


# -- what is prepared once ------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """Files that all stages use."""

    work: Path
    shop: Path
    """The demo project with its data and its built tables; copied for each server."""
    pools: dict[str, Path]
    """Events to send, by shape."""
    lines: Path
    """Events of a probe."""
    pool_text: str
    base_events: int


def prepare(options, work: Path) -> Prepared:
    """Demo project with tables, events to send, events to probe with."""
    shop = work / "shop"
    harness.capture([str(options.binary), "init", str(shop), "--demo"], work)
    server = Server(options, shop)
    tell(f"first build and start: {harness.seconds(server.ready_seconds)}")
    base = server.status()["tables"].get("events", 0)
    server.stop()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    harness.capture([str(options.binary), "generate", "--out", str(work / "new"), "--format",
                     "ndjson", "--days", "1", "--first-day", today, "--seed", "7", "--events",
                     str(options.pool)], work)
    file = next((work / "new").glob("*.ndjson"))
    (work / "probe").write_bytes(live_events.probe(file))
    pools, texts = {}, []
    for shape, is_whole in SHAPES.items():
        rows = live_events.pool(file, is_whole)
        pools[shape] = work / f"pool-{shape}"
        pools[shape].write_bytes(pickle.dumps(rows))
        orders = sum(row.is_order for row in rows)
        size = sum(len(row.line) for row in rows) / len(rows)
        texts.append(f"{shape} rows of {size:,.0f} bytes")
    text = (f"{len(rows):,} generated events, {1000 * orders / len(rows):.1f} purchases in 1,000, "
            f"as {' and as '.join(texts)}")
    tell(f"pool: {text}")
    return Prepared(work, shop, pools, work / "probe", text, base)


def project_of(prepared: Prepared) -> Path:
    """A fresh copy of the demo project."""
    path = prepared.work / "live"
    harness.remove(path)
    return Path(shutil.copytree(prepared.shop, path))


def load_of(prepared: Prepared, server: Server, options, shape: str, rate: float, batch: int,
            seconds: float, *flags: object) -> Helper:
    """The generator, loaded and waiting."""
    pool = prepared.pools[shape]
    return Helper("live_load.py", "--port", server.port, "--pool", pool, "--rate", rate,
                  "--batch", batch, "--seconds", seconds, "--connections", options.connections,
                  *flags)


def check(server: Server, before: dict[str, int], orders: int, what: str) -> None:
    """Fails unless every attribution model has exactly these conversions more."""
    status, after = server.status(), server.credits()
    more = {name: micros - before.get(name, 0) for name, micros in after.items()}
    if not more or set(more.values()) != {orders * 1_000_000}:
        raise BenchError(f"{what}: {orders} orders sent, credits in millionths: {more}\n{status}")
    if status["live_batch_mismatch"]:
        raise BenchError(f"{what}: live_batch_mismatch is {status['live_batch_mismatch']}")


# -- freshness ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """One rate."""

    shape: str
    rate: int
    batch: int
    seconds: float
    fresh: list[float]
    """Sorted; a skipped probe counts as the second that it waited in vain."""
    acks: list[float]
    skipped: int
    acked_per_second: float
    applied_per_second: float
    """All events by the time until all were in the tables, which goes on after the load."""
    lag_seconds: float
    drained_seconds: float
    server_cores: float
    generator_cores: float
    peak_bytes: int
    busy: int
    """Answers 429 and 503."""

    @property
    def is_sustained(self) -> bool:
        """Whether the tables kept up with what was offered."""
        is_offered = self.acked_per_second >= OFFERED_SHARE * self.rate
        return is_offered and self.lag_seconds < LAG_LIMIT_SECONDS


def stage(options, prepared: Prepared, shape: str, rate: int, batch: int,
          seconds: float) -> Stage:
    """Load and probes on a fresh server; `rate` 0 is probes only."""
    server = Server(options, project_of(prepared))
    helpers: list[Helper] = []
    try:
        before = server.credits()
        probe = Helper("live_probe.py", "--port", server.port, "--lines", prepared.lines)
        helpers.append(probe)
        load = (load_of(prepared, server, options, shape, rate, batch, seconds) if rate
                else None)
        helpers += [load] if load else []
        probe.go()
        time.sleep(WARM_UP_SECONDS)
        server.forget_peak()
        first, cpu, started = server.status(), server.cpu_seconds(), time.monotonic()
        if load:
            load.go()
        probe.go()
        time.sleep(seconds)
        # Asked before anything is waited for: the lag of a tired server grows away quickly.
        last = server.status()
        elapsed = time.monotonic() - started
        server_cores = (server.cpu_seconds() - cpu) / elapsed
        probe.go()
        sent = load.result() if load else None
        events = server.wait_for(server.status()["durable_seq"])["events"] - first["events"]
        all_in_seconds = max(time.monotonic() - started, seconds)
        probed = probe.result()
        server.wait_for(server.status()["durable_seq"])
        orders = probed["sent"] + (sent["orders"] if sent else 0)
        name = f"{rate:,} events/s in batches of {batch}"
        check(server, before, orders, name)
        # Each skipped probe would have taken a second at least.
        fresh = sorted(probed["fresh"] + [SKIPPED_AFTER_SECONDS] * probed["skipped"])
        return Stage(
            shape, rate, batch, seconds, fresh, sent["latencies"] if sent else probed["acks"],
            probed["skipped"], sent["events_in_time"] / seconds if sent else 0.0,
            events / all_in_seconds, last["lag_seconds"], all_in_seconds - elapsed,
            server_cores, sent["cpu_seconds"] / sent["seconds"] if sent else 0.0,
            server.memory("VmHWM"),
            sum(count for code, count in sent["statuses"].items() if code != "200") if sent else 0)
    finally:
        for helper in helpers:
            helper.end()
        server.kill()


def percentile(values: list[float], share: float) -> float:
    """A value of the sorted list."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("inf")


def freshness(found: Stage, share: float) -> str:
    """A percentile, marked when probes were skipped: it then is a lower bound."""
    return ("≥ " if found.skipped else "") + harness.seconds(percentile(found.fresh, share))


def stage_row(found: Stage) -> list[str]:
    """One line of the table."""
    name = (f"{found.rate:,}/s, batches of {found.batch}, {found.shape} rows" if found.rate
            else "only probes")
    peak = harness.mebibytes(found.peak_bytes)
    per_second = [f"{found.acked_per_second:,.0f}" if found.rate else "–",
                  f"{found.applied_per_second:,.0f}"]
    generator = f"{found.generator_cores:.2f}" if found.rate else "–"
    return [name, freshness(found, 0.5), freshness(found, 0.99),
            *(harness.seconds(percentile(found.acks, share)) for share in (0.5, 0.99)),
            *per_second, harness.seconds(found.lag_seconds), f"{found.server_cores:.2f}",
            generator, peak]


def tell_stage(found: Stage) -> None:
    """Progress."""
    row = stage_row(found)
    tell(f"{row[0]}: fresh {row[1]} / {row[2]}, ack {row[3]} / {row[4]}, acked {row[5]}/s, applied "
         f"{row[6]}/s, lag {row[7]}, server {row[8]} and generator {row[9]} cores, peak {row[10]}, "
         f"drained in {harness.seconds(found.drained_seconds)}, {len(found.fresh)} probes, "
         f"{found.skipped} skipped, {found.busy} refused")


def sustained(options, prepared: Prepared, stages: list[Stage], shape: str) -> list[Stage]:
    """Tries rates, each for `--sustained` seconds, near the edge that the stages have shown."""
    loaded = [found for found in stages if found.rate and found.shape == shape]
    batch = max(loaded, key=lambda found: found.applied_per_second).batch
    known = [found for found in loaded if found.batch == batch]
    kept = [found.rate for found in known if found.is_sustained]
    lost = [found for found in known if not found.is_sustained]
    # A server that is behind shows what it can do; a bit more than with the load beside it.
    rate = 0.9 * lost[0].applied_per_second if lost else 1.2 * max(kept, default=1_000)
    rate = max(rate, 1.05 * max(kept, default=0))
    least, most, tried = 0.0, float("inf"), []
    for _ in range(options.tries):
        rate = max(1_000, round(rate, -3))
        tried.append(stage(options, prepared, shape, int(rate), batch, options.sustained))
        tell_stage(tried[-1])
        if tried[-1].is_sustained:
            least = rate
        else:
            most = rate
        if not least:
            rate *= 0.75
        else:
            rate = 1.2 * rate if most == float("inf") else (least + most) / 2
    return tried


# -- dbt, recovery, memory ------------------------------------------------------------------------


def dbt(options, prepared: Prepared, venv: Path) -> list[float]:
    """Seconds from ten events in a DuckDB table to the mart, by dbt-duckdb."""
    project = harness.copy_project(prepared.work, "dbt")
    sources = project / "models" / "sources.yml"
    text = sources.read_text()
    if text.count(EXTERNAL) != 1:
        raise BenchError(f"{sources} reads its events in another way than this script knows")
    # A bracket keeps dbt-duckdb from taking it for a file name.
    sources.write_text(text.replace(EXTERNAL, "(select * from ga4_events)"))
    profiles, database = prepared.work / "profiles", project / "bench.duckdb"
    profiles.mkdir(exist_ok=True)
    (profiles / "profiles.yml").write_text(
        DUCKDB_PROFILE.format(database=database, threads=options.threads))
    command = [str(venv / "python"), str(HERE / "live_dbt.py"), str(database), str(project),
               str(profiles), str(options.threads), str(options.runs),
               str(prepared.shop / "data" / "ga4" / "events_*.parquet")]
    runs = json.loads(harness.capture(command, project, environment.DBT_ENVIRONMENT))
    found = [run["seconds"] for run in runs]
    tell(f"dbt-duckdb: {harness.seconds(statistics.median(found))} ({harness.spread(found)})")
    return found


def send(options, prepared: Prepared, server: Server, events: int, first_pass: int = 1) -> dict:
    """Sends so many events as fast as they are taken; waits until the tables hold them."""
    batch = max(options.batches)
    load = load_of(prepared, server, options, "sent", 0, batch, SEND_SECONDS, "--events", events,
                   "--first-pass", first_pass)
    try:
        load.go()
        sent = load.result()
    finally:
        load.end()
    server.wait_for(sent["seq"])
    return sent


@dataclass(frozen=True)
class Life:
    """Memory and starts."""

    events: int
    """In the tables, those of the demo included."""
    unstored: int
    resident_bytes: int
    peak_bytes: int
    taken_per_second: float
    start_seconds: float
    start_resident_bytes: int
    recovery_seconds: float
    recovery_listening_seconds: float
    recovery_peak_bytes: int


def life(options, prepared: Prepared) -> Life:
    """Events into the tables, an orderly restart, events into the log only, a crash, a start."""
    project = project_of(prepared)
    keeps = ["--store-every", "86400"]
    server = Server(options, project)
    try:
        before = server.credits()
        started = time.monotonic()
        sent = send(options, prepared, server, number(options.events))
        rate = sent["events"] / (time.monotonic() - started)
        check(server, before, sent["orders"], "memory")
        resident, peak = server.memory("VmRSS"), server.memory("VmHWM")
        mart = server.mart()
        server.stop()
        tell(f"memory after {sent['events']:,} events: {harness.mebibytes(resident)}, "
             f"{harness.mebibytes(peak)} at most; {rate:,.0f} events/s")
        server = Server(options, project, *keeps)
        start, start_resident = server.ready_seconds, server.memory("VmRSS")
        if server.mart() != mart:
            raise BenchError("the mart built from the tables differs from the live one before")
        events = server.status()["tables"].get("events", 0)
        middle = server.credits()
        new = send(options, prepared, server, number(options.unstored), LATER_PASS)
        check(server, middle, new["orders"], "events in the log")
        mart = server.mart()
        server.kill()
        server = Server(options, project, *keeps)
        if server.mart() != mart:
            raise BenchError("the mart after kill -9 differs from the one before")
        tell(f"start with {events:,} events: {harness.seconds(start)}; after kill -9 with "
             f"{new['events']:,} more in the log: {harness.seconds(server.ready_seconds)}")
        return Life(events, new["events"], resident, peak, rate, start, start_resident,
                    server.ready_seconds, server.listening_seconds, server.memory("VmHWM"))
    finally:
        server.kill()


# -- report ---------------------------------------------------------------------------------------


def met(is_met: bool) -> str:
    """For the eye."""
    return "met" if is_met else "**missed**"


def verdicts(options, stages: list[Stage], tried: list[Stage],
             dbt_seconds: list[float]) -> list[str]:
    """What the figures say."""
    lines = []
    quiet = next((found for found in stages if not found.rate and found.fresh), None)
    if quiet and dbt_seconds:
        ours, theirs = statistics.median(quiet.fresh), statistics.median(dbt_seconds)
        lines.append(
            f"- **Event to mart: {harness.seconds(ours)} live, {harness.seconds(theirs)} with "
            f"dbt-duckdb ({harness.spread(dbt_seconds)}): {theirs / ours:,.0f} × fresher**")
    aimed = [found for found in stages if found.rate == AIM_RATE]
    for found in aimed:
        p99 = percentile(found.fresh, 0.99)
        good = found.is_sustained and p99 < AIM_FRESH_SECONDS
        lines.append(f"- Aim: {AIM_RATE:,} events/s in batches of {found.batch}, {found.shape} "
                     f"rows, with p99 under 250 ms: {met(good)}, {found.applied_per_second:,.0f} events/s in the "
                     f"tables, p99 {freshness(found, 0.99)}")
    for shape in SHAPES:
        of_shape = [found for found in tried if found.shape == shape]
        if not of_shape:
            continue
        best = max((found for found in of_shape if found.is_sustained),
                   key=lambda found: found.rate, default=None)
        said = ("none of these" if best is None else
                f"**{best.rate:,} events/s**, event to mart {freshness(best, 0.5)} at p50, "
                f"{freshness(best, 0.99)} at p99")
        rates = ", ".join(f"{found.rate:,}" for found in of_shape)
        lines.append(f"- Highest rate sustained for {options.sustained:g} s, {shape} rows in "
                     f"batches of {of_shape[0].batch}, lag below 1 s at the end: {said} (tried: {rates})")
    return lines


def life_table(found: Life) -> str:
    """Memory and starts."""
    rows = [
        [f"{found.events:,} events in the tables, sent live", "–",
         harness.mebibytes(found.resident_bytes), harness.mebibytes(found.peak_bytes)],
        ["start with them, after an orderly stop", harness.seconds(found.start_seconds),
         harness.mebibytes(found.start_resident_bytes), "–"],
        [f"start with them, after kill -9, and {found.unstored:,} more in the log only",
         harness.seconds(found.recovery_seconds), "–",
         harness.mebibytes(found.recovery_peak_bytes)],
    ]
    return harness.table(["memory and recovery", "until ready", "RSS", "peak RSS"], rows)


def report(options, load: float, prepared: Prepared, stages: list[Stage], tried: list[Stage],
           dbt_seconds: list[float], living: Life | None) -> str:
    """The section of the page."""
    head = ["offered", "event to mart, p50", "p99", "acknowledged, p50", "p99", "acked/s",
            "in tables/s", "lag at the end", "server, cores", "generator, cores", "peak RSS"]
    parts = [harness.table(head, [stage_row(found) for found in stages])] if stages else []
    lines = verdicts(options, stages, tried, dbt_seconds)
    if living:
        parts.append(life_table(living))
        listening = harness.seconds(living.recovery_listening_seconds)
        lines.append(f"- After kill -9, events were taken {listening} from the start on; sent as "
                     f"fast as taken: {living.taken_per_second:,.0f} events/s")
    skipped = sum(found.skipped for found in [*stages, *tried])
    busy = sum(found.busy for found in [*stages, *tried])
    lines += [
        f"- Sent: {prepared.pool_text}; {prepared.base_events:,} events in the tables before; "
        f"{options.seconds:g} s a row; {options.connections} connections",
        f"- Probes that could not start within a second, as those before them waited: {skipped}; "
        f"requests told to come again: {busy}",
        "- Every stage: each attribution model credits exactly the orders sent, "
        "live_batch_mismatch 0; "
        + ("live mart equal to the rebuilt one after stop and after kill -9" if living else
           "no restart in this run"),
        *harness.machine(options, load)]
    return "\n\n".join([*parts, "\n".join(lines)])


def run() -> None:
    """See the module."""
    parser = harness.arguments("Freshness, rates, recovery and memory of `serve`.", runs=3)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="default: %(default)s")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)),
                        help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=8, help="of a rate; default: %(default)s")
    parser.add_argument("--sustained", type=float, default=20, metavar="SECONDS",
                        help="of a try for the highest rate; default: %(default)s")
    parser.add_argument("--tries", type=int, default=3,
                        help="0 leaves it out; default: %(default)s")
    parser.add_argument("--events", default="300K", help="into the tables, e.g. 20M; 0 leaves "
                        "memory and recovery out; default: %(default)s")
    parser.add_argument("--unstored", default="100K", help="in the log only; default: %(default)s")
    parser.add_argument("--pool", type=int, default=120_000, help="events to send again and again, "
                        "as new visitors; default: %(default)s")
    parser.add_argument("--connections", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--without-dbt", action="store_true", help="leave dbt out, for a trial")
    options = parser.parse_args()
    rates = [int(text) for text in options.rates.split(",") if text]
    options.batches = [int(text) for text in options.batches.split(",")]
    if options.pool < 2 * options.connections * max(options.batches):
        raise BenchError("--pool is too small for these connections and batches")
    venv = None if options.without_dbt else environment.ensure()
    load = harness.settle(options)
    with harness.workspace(options) as work:
        prepared = prepare(options, work)
        stages = []
        loads = [(shape, rate, batch) for shape in SHAPES for batch in options.batches
                 for rate in rates]
        for shape, rate, batch in [("sent", 0, 0), *loads]:
            stages.append(stage(options, prepared, shape, rate, batch, options.seconds))
            tell_stage(stages[-1])
        dbt_seconds = dbt(options, prepared, venv) if venv else []
        tried = [found for shape in SHAPES if options.tries and rates
                 for found in sustained(options, prepared, stages, shape)]
        living = life(options, prepared) if number(options.events) else None
        body = report(options, load, prepared, stages, tried, dbt_seconds, living)
    harness.publish(options, "live", body)


if __name__ == "__main__":
    harness.main(run)
