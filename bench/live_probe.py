#!/usr/bin/env python3
"""Measures freshness: sends ten events, asks the mart for them, ten times a second.

A process of `live.py`, apart from the load, so that neither waits for the other. Each probe has a
visitor and an order of its own. Its time counts from when it was due to the answer of a query
that may not be answered before the tables hold the events (`min_seq`). Probes that could not
start within a second, as all probers still wait, are skipped and counted.
Prints a line when it is ready; a line from standard input starts it, a second one ends the
warm-up, a third one ends it. Then it prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from functools import partial
from pathlib import Path

import live_events
import live_http

EVERY_SECONDS = 0.1
PROBERS = 6  # the server answers eight queries at a time
SKIPPED_AFTER_SECONDS = 1.0
HEAD = partial(live_http.head, "POST", "/v1/events", content_type="application/x-ndjson")
SQL = "select sum(conversions) from mart_attribution_daily"


class Probes:
    """What all probers share."""

    def __init__(self, port: int, lines: bytes):
        self.port, self.lines = port, lines
        self.lock = threading.Lock()
        self.taken = self.skipped = 0
        self.start = 0.0
        self.ends = threading.Event()
        self.sent = 0
        self.fresh: list[float] = []
        self.acks: list[float] = []
        self.problems: list[str] = []

    def next(self) -> tuple[int, float]:
        """Number and due time of the next probe."""
        with self.lock:
            while True:
                number, due = self.taken, self.start + self.taken * EVERY_SECONDS
                self.taken += 1
                if time.monotonic() - due <= SKIPPED_AFTER_SECONDS:
                    return number, due
                self.skipped += 1

    def prober(self) -> None:
        """One connection: probe after probe."""
        connection = live_http.Connection(self.port)
        body = live_events.body(self.lines, live_events.PROBE_EVENTS, 1, HEAD)
        try:
            while True:
                number, due = self.next()
                live_http.sleep_until(due)
                if self.ends.is_set():
                    return
                connection.send(body.numbered(1 + number))
                status, answer = connection.receive()
                acked = time.monotonic()
                if status in (429, 503):
                    with self.lock:
                        self.skipped += 1
                    continue
                said = json.loads(answer)
                if status != 200 or said["accepted"] != live_events.PROBE_EVENTS:
                    raise ConnectionError(f"status {status}: {answer[:300].decode()}")
                with self.lock:
                    self.sent += 1
                asked = json.dumps({"sql": SQL, "min_seq": said["seq"]}).encode()
                connection.send([live_http.head("POST", "/api/v1/query", len(asked)), asked])
                status, answer = connection.receive()
                done = time.monotonic()
                # 503: not in the tables when the server gave up waiting. The true time is longer.
                if status not in (200, 503):
                    raise ConnectionError(f"status {status}: {answer[:300].decode()}")
                if status == 200 and json.loads(answer)["meta"]["seq"] < said["seq"]:
                    raise ConnectionError(f"older than asked for: {answer[:300].decode()}")
                with self.lock:
                    self.fresh.append(done - due)
                    self.acks.append(acked - due)
        except (OSError, ValueError, KeyError) as error:
            with self.lock:
                self.problems.append(repr(error))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lines", type=Path, required=True)
    options = parser.parse_args()
    probes = Probes(options.port, options.lines.read_bytes())
    print("ready", flush=True)
    sys.stdin.readline()
    probes.start = time.monotonic()
    probers = [threading.Thread(target=probes.prober) for _ in range(PROBERS)]
    for prober in probers:
        prober.start()
    sys.stdin.readline()
    with probes.lock:
        probes.fresh, probes.acks, probes.skipped = [], [], 0
    sys.stdin.readline()
    probes.ends.set()
    for prober in probers:
        prober.join()
    print(json.dumps({
        "sent": probes.sent, "skipped": probes.skipped, "problems": probes.problems,
        "fresh": sorted(probes.fresh), "acks": sorted(probes.acks),
    }))


if __name__ == "__main__":
    main()
