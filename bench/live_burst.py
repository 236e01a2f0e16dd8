#!/usr/bin/env python3
"""What an event costs `clicktrail serve`: a burst, sent as fast as it is taken or at a rate, until the tables hold it.

Several binaries take turns (`--binary NEW --against OLD`), each on a project of its own `init`, so that two versions are compared on
one machine in one run. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import harness
import live
from harness import tell
from live_processes import TICKS, Server
from scale import number

# Threads by the name that they give themselves; the others are those of the HTTP server.
THREADS = {"stage": "stage", "apply": "apply", "store": "store", "eventlog": "log"}
OTHERS = "HTTP and the rest"


@dataclass(frozen=True)
class Burst:
    """One run."""

    per_second: float
    """Events by the time until all are in the tables."""
    acked_per_second: float
    micros: float
    """CPU time of the server for each event."""
    by_thread: dict[str, float]
    generator_micros: float
    peak_bytes: int


def thread_seconds(pid: int) -> Counter:
    """CPU time by kind of thread, of those that live."""
    seconds: Counter = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "stat").read_text()
        except OSError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        fields = text.rpartition(")")[2].split()
        if name in THREADS:
            seconds[THREADS[name]] += (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def burst(options, prepared: live.Prepared, events: int) -> Burst:
    """Sends events to a fresh server; fails unless every attribution model credits exactly the orders among them."""
    server = Server(options, live.project_of(prepared))
    try:
        before, first = server.credits(), server.status()["events"]
        load = live.load_of(prepared, server, options, options.shape, options.rate, options.batch,
                            live.SEND_SECONDS, "--events", events)
        threads, cpu = thread_seconds(server.process.pid), server.cpu_seconds()
        server.forget_peak()
        start = time.monotonic()
        load.go()
        sent = load.result()
        acked = time.monotonic() - start
        server.wait_for(server.status()["durable_seq"])
        took = time.monotonic() - start
        total = server.cpu_seconds() - cpu
        own = thread_seconds(server.process.pid) - threads
        came = server.status()["events"] - first
        live.check(server, before, sent["orders"], "burst")
        own[OTHERS] = total - sum(own.values())
        return Burst(came / took, came / acked, total / came * 1e6,
                     {name: value / came * 1e6 for name, value in own.items()},
                     sent["cpu_seconds"] / came * 1e6, server.memory("VmHWM"))
    finally:
        server.kill()


def row(name: str, runs: list[Burst]) -> list[str]:
    """Medians of a binary's runs."""
    def of(what) -> float:
        return median(what(run) for run in runs)
    kinds = [*THREADS.values(), OTHERS]
    return [name, f"{of(lambda run: run.per_second):,.0f}",
            f"{of(lambda run: run.acked_per_second):,.0f}",
            f"{of(lambda run: run.micros):.1f} µs",
            *(f"{of(lambda run, kind=kind: run.by_thread.get(kind, 0.0)):.1f}" for kind in kinds),
            f"{of(lambda run: run.generator_micros):.1f} µs",
            harness.mebibytes(max(run.peak_bytes for run in runs))]


def run() -> None:
    """See the module."""
    parser = harness.arguments("What an event costs the live path.", runs=3)
    parser.add_argument("--against", type=Path, help="an earlier binary, which takes turns")
    parser.add_argument("--events", default="1M", help="of a burst; default: %(default)s")
    parser.add_argument("--rate", type=int, default=0,
                        help="events a second; default: as fast as they are taken")
    parser.add_argument("--batch", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--shape", choices=list(live.SHAPES), default="sent",
                        help="of the rows; default: %(default)s")
    parser.add_argument("--pool", type=int, default=120_000, help=argparse.SUPPRESS)
    parser.add_argument("--connections", type=int, default=16, help="default: %(default)s")
    options = parser.parse_args()
    load = harness.settle(options)
    with harness.workspace(options) as work:
        contenders = {"this version": options}
        if options.against:
            earlier = copy.copy(options)
            # Copied like the other one: a compiler beside the benchmark changes nothing.
            earlier.binary = Path(shutil.copy2(options.against, work / "earlier"))
            contenders[f"earlier: {options.against.name}"] = earlier
        prepared = {}
        for name, own in contenders.items():
            folder = work / str(len(prepared))
            os.mkdir(folder)
            prepared[name] = live.prepare(own, folder)
        runs: dict[str, list[Burst]] = {name: [] for name in contenders}
        for turn in range(options.runs):
            names = list(contenders)
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                found = burst(contenders[name], prepared[name], int(number(options.events)))
                runs[name].append(found)
                tell(" | ".join(row(name, [found])))
        head = ["", "in tables/s", "acked/s", "server, CPU an event", *THREADS.values(), OTHERS,
                "generator", "peak RSS"]
        pace = f"{options.rate:,} a second" if options.rate else "as fast as they are taken"
        lines = [f"- {options.events} events, {options.shape} rows in batches of {options.batch} "
                 f"over {options.connections} connections, {pace}; {prepared['this version'].pool_text}",
                 "- Every run: each attribution model credits exactly the orders sent"]
        if options.against:
            new, old = (runs[name] for name in contenders)
            ratio = median(one.per_second for one in new) / median(one.per_second for one in old)
            cpu = median(one.micros for one in old) / median(one.micros for one in new)
            faster = "" if options.rate else f"{ratio:.2f} × the events a second of the earlier version, "
            lines.insert(0, f"- **{faster}{cpu:.2f} × less CPU an event than the earlier version**")
        body = "\n\n".join([
            harness.table(head, [row(name, found) for name, found in runs.items()]),
            "\n".join([*lines, *harness.machine(options, load)])])
    harness.publish(options, "live_rounds" if options.rate else "live_burst", body)


if __name__ == "__main__":
    harness.main(run)
