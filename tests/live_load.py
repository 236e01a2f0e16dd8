"""Too much of something: a thousand large bodies at once, a visitor with a hundred thousand events."""

import random
import selectors
import socket
import statistics
import time
from pathlib import Path

from harness import Checks
from live_server import Server, now_micros, visit

CONNECTIONS, BODY_BYTES = 1_000, 8_000_000
# 256 MB of bodies may be held at one time; the rest is what sockets, threads and the tables take.
GROWTH_BYTES_MAX = 450_000_000
BOT_EVENTS, BOT_BATCH = 100_000, 5_000
PROBES = 60


def resident_bytes(server: Server) -> int:
    """Of the process, as Linux counts; 0 elsewhere."""
    try:
        lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


class Flood:
    """Connections that each send all of a large body but its last byte."""

    def __init__(self, address: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        self.selector, self.left, self.sent = selectors.DefaultSelector(), {}, 0
        head = f"POST /v1/events HTTP/1.1\r\nHost: {host}\r\nContent-Length: {BODY_BYTES}\r\n\r\n".encode()
        self.bytes = memoryview(head + b" " * (BODY_BYTES - 1))
        for _ in range(CONNECTIONS):
            one = socket.create_connection((host, int(port)))
            one.setblocking(False)
            self.left[one] = 0
            self.selector.register(one, selectors.EVENT_WRITE)

    def push(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.selector.get_map():
            for key, _ in self.selector.select(0.1):
                self._send(key.fileobj)

    def _send(self, one: socket.socket) -> None:
        at = self.left[one]
        try:
            count = one.send(self.bytes[at : at + 262_144])
        except BlockingIOError:
            return
        except OSError:
            # Refused and closed, as it should be when there is no room.
            self.selector.unregister(one)
            return
        self.left[one] = at + count
        self.sent += count
        if self.left[one] == len(self.bytes):
            self.selector.unregister(one)

    def close(self) -> None:
        for one in self.left:
            one.close()


def bodies(checks: Checks, project: Path, _: random.Random) -> None:
    server = Server(project).ready()
    before = resident_bytes(server)
    if not before:
        print("  skipped: memory under large bodies, as /proc is not there")
        server.stop()
        return
    flood, most, answers = Flood(server.address), 0, set()
    for _ in range(12):
        flood.push(0.5)
        most = max(most, resident_bytes(server))
        answers.add(server.send("GET", "/healthz").status)
    checks.equal("bodies: reads go on", answers, {200})
    print(f"  {flood.sent / 1e6:,.0f} MB sent on {CONNECTIONS:,} connections; memory grew by {(most - before) / 1e6:,.0f} MB")
    checks.holds("bodies: more came than may be held", "" if flood.sent > 256_000_000 else str(flood.sent))
    checks.holds("bodies: memory is bounded", "" if most - before < GROWTH_BYTES_MAX else f"{most - before:,} bytes")
    flood.close()
    time.sleep(1)
    checks.equal("bodies: events are taken afterwards", server.post_rows(visit(1, now_micros())).status, 200)
    checks.equal("bodies: exit code", server.stop(), 0)


def bot_rows(first: int, now: int) -> list[dict]:
    def row(number: int) -> dict:
        session = {"key": "ga_session_id", "value": {"int_value": 1 + number // 500}}
        return {
            "event_name": "page_view", "event_timestamp": now - number * 1_000_000, "user_pseudo_id": "bot",
            "event_params": [session],
        }  # fmt: skip

    return [row(number) for number in range(first, first + BOT_BATCH)]


def bot(checks: Checks, project: Path, _: random.Random) -> None:
    """Other visitors are in the marts as quickly as ever while one visitor floods."""
    server, now = Server(project).ready(), now_micros()
    answers = {server.post_rows(bot_rows(first, now)).status for first in range(0, BOT_EVENTS, BOT_BATCH)}
    checks.equal("bot: taken", answers, {200})
    server.settled()
    waits, converted = [], []
    for number in range(PROBES):
        # The bot goes on between any two visitors.
        server.post_rows(bot_rows(BOT_EVENTS + number, now)[:5])
        began = time.monotonic()
        seq = server.post_rows(visit(number, now_micros(), buys=True)).json()["seq"]
        found = server.rows("select count(*) as n from int_conversions", min_seq=seq)
        waits.append(time.monotonic() - began)
        converted += [row["n"] for row in found]
        time.sleep(0.05)
    checks.equal("bot: other visitors are in the marts at once", converted, list(range(1, PROBES + 1)))
    slow = sum(wait > 1 for wait in waits)
    print(f"  beside {BOT_EVENTS:,} events of a bot: median {1000 * statistics.median(waits):.0f} ms, longest {max(waits):.2f} s")
    # The bot itself is computed now and then, and its round may be felt by those who come meanwhile.
    checks.holds("bot: nobody else waits for it", "" if slow <= PROBES // 20 else f"{slow} of {PROBES} waited over 1 s")
    checks.equal("bot: exit code", server.stop(), 0)
