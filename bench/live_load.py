#!/usr/bin/env python3
"""Sends events at a steady rate over several connections; a process of `live.py`.

Open loop: request i is due at start + i × batch ÷ rate, whether or not those before it were
answered, and its latency counts from then. `--rate 0` sends as fast as the server takes them.
Prints one line when it is ready, starts at a line from standard input, ends with one of JSON.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import sys
import threading
import time
from functools import partial
from pathlib import Path

import live_events
import live_http

HEAD = partial(live_http.head, "POST", "/v1/events", content_type="application/x-ndjson")
RETRY_SECONDS = 0.05


class Load:
    """What all senders share."""

    def __init__(self, options: argparse.Namespace, bodies: list[live_events.Body]):
        self.options, self.bodies = options, bodies
        self.lock = threading.Lock()
        self.taken = 0
        self.start = 0.0
        self.events = self.orders = self.in_time = 0
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.problems: list[str] = []
        self.finished = 0.0
        self.seq = 0
        self.event_limit = options.events or float("inf")

    def next(self) -> tuple[int, float, live_events.Body] | None:
        """Number, due time and body of the next request; `None` at the end."""
        options = self.options
        with self.lock:
            index = self.taken
            body = self.bodies[index % len(self.bodies)]
            pace = options.batch / options.rate if options.rate else 0.0
            due = self.start + index * pace
            end = self.start + options.seconds
            if index * options.batch >= self.event_limit or max(due, time.monotonic()) >= end:
                return None
            self.taken += 1
        return index, due, body

    def sender(self) -> None:
        """One connection: request after request."""
        connection = live_http.Connection(self.options.port)
        latencies, statuses, in_time = [], {}, 0
        first_pass = self.options.first_pass
        events = orders = seq = 0
        end = self.start + self.options.seconds
        try:
            while (turn := self.next()) is not None:
                index, due, body = turn
                live_http.sleep_until(due)
                begun = due if self.options.rate else time.monotonic()
                # A body is in the hands of one sender only: the pool is much longer than they are.
                parts = body.numbered(first_pass + index // len(self.bodies))
                while True:
                    connection.send(parts)
                    status, answer = connection.receive()
                    statuses[status] = statuses.get(status, 0) + 1
                    if status not in (429, 503):
                        break
                    time.sleep(RETRY_SECONDS)
                now = time.monotonic()
                if status != 200:
                    raise ConnectionError(f"status {status}: {answer[:300].decode()}")
                said = json.loads(answer)
                if said["rejected"] or said["accepted"] != body.events:
                    raise ConnectionError(f"not all taken: {answer[:300].decode()}")
                latencies.append(now - begun)
                events, orders = events + body.events, orders + body.orders
                in_time += body.events if now <= end else 0
                seq = max(seq, said["seq"])
        except (OSError, ValueError) as error:
            with self.lock:
                self.problems.append(repr(error))
        with self.lock:
            self.latencies += latencies
            for status, count in statuses.items():
                self.statuses[status] = self.statuses.get(status, 0) + count
            self.events, self.orders = self.events + events, self.orders + orders
            self.in_time += in_time
            self.seq = max(self.seq, seq)
            self.finished = max(self.finished, time.monotonic())


def bodies_of(rows: list[live_events.Row], batch: int) -> list[live_events.Body]:
    """The pool in requests; what is left over at its end is not sent."""
    return [
        live_events.body(
            b"".join(row.line for row in rows[at: at + batch]), batch,
            sum(row.is_order for row in rows[at: at + batch]), HEAD)
        for at in range(0, len(rows) - batch + 1, batch)
    ]


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--events", type=int, help="stop after so many")
    parser.add_argument("--first-pass", type=int, default=1, help="number of the first pass")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    with options.pool.open("rb") as file:
        bodies = bodies_of(pickle.load(file), options.batch)
    if len(bodies) < 2 * options.connections:
        sys.exit(f"a pool of {len(bodies)} requests is too small for {options.connections} senders")
    load = Load(options, bodies)
    print("ready", flush=True)
    sys.stdin.readline()
    before = cpu_seconds()
    load.start = time.monotonic()
    senders = [threading.Thread(target=load.sender) for _ in range(options.connections)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    print(json.dumps({
        "events": load.events, "orders": load.orders, "seq": load.seq,
        "events_in_time": load.in_time, "seconds": load.finished - load.start,
        "cpu_seconds": cpu_seconds() - before, "statuses": load.statuses,
        "problems": load.problems, "latencies": sorted(load.latencies),
        "bytes": sum(len(part) for part in bodies[0].parts) // options.batch,
    }))


if __name__ == "__main__":
    main()
