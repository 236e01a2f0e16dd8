"""The live stream as a program reads it: numbers without holes, resuming, gaps, and bursts that are not kept back."""

import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

from dashboard_contract import Contract
from harness import Checks
from live_server import now_micros, post_rows, run, visit

# What the server keeps for readers that come back.
RING = 10_000
BURST_SECONDS = 1
ROUNDS = 3


class Reader:
    """One connection, read by a thread. `said` holds the messages as (event, id, data, when)."""

    def __init__(self, address: str, contract: Contract, query: str = "", headers: dict | None = None) -> None:
        self.said, self.contract = [], contract
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        self.connection.request("GET", f"/api/v1/live{query}", headers=headers or {})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        contract.judge("GET", f"/api/v1/live{query}", 200, self.answer.headers["content-type"], "")
        self._socket = self.connection.sock
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        fields = {}
        try:
            for line in self.answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name in ("event", "id", "data"):
                    fields[name] = value
                elif not name and "event" in fields:
                    self.contract.message(fields["event"], fields["data"])
                    self.said.append((fields["event"], fields.get("id"), json.loads(fields["data"]), time.monotonic()))
                    fields = {}
        except (OSError, ValueError, http.client.HTTPException):
            # Closed by the check.
            return

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_) -> None:
        if self._socket:
            self._socket.shutdown(socket.SHUT_RDWR)

    def data(self, event: str) -> list[dict]:
        return [data for name, _, data, _ in list(self.said) if name == event]

    def events(self, replayed: bool | None = None) -> list[dict]:
        told = self.data("events")
        return [event for message in told for event in message["e"] if replayed is None or message["replayed"] == replayed]

    def numbers(self) -> list[int]:
        return [event["seq"] for event in self.events()]

    def waits(self, until, seconds: float = 30) -> bool:
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True




def torn(reader: Reader, after: int, last: int) -> str:
    """What is wrong with the numbers from `after` to `last`: each has to be told once, as an event or inside a gap."""
    at = after
    for event, _, data, _ in list(reader.said):
        spans = [(data["from"], data["to"])] if event == "gap" else [(one["seq"], one["seq"]) for one in data["e"]] if event == "events" else []
        for first, end in spans:
            if first != at + 1:
                return f"{first} follows {at}"
            at = end
    return "" if at == last else f"the last is {at}, not {last}"


def seq(reader: Reader) -> int:
    reader.waits(lambda: reader.data("hello"))
    return reader.data("hello")[0]["seq"]


def sse(checks: Checks, contract: Contract, address: str, project) -> None:
    """Everything a reader is promised. Events are sent as they come from a site."""
    first_words(checks, contract, address, project)
    resumes(checks, contract, address)
    bursts(checks, contract, address)
    filters(checks, contract, address)
    gaps(checks, contract, address)


def told_all(watcher: Reader, sent: int) -> int:
    """Waits until everything sent since the watcher came has been told; the last number."""
    last = seq(watcher) + sent
    watcher.waits(lambda: _reached(watcher) >= last)
    return last


def first_words(checks: Checks, contract: Contract, address: str, project) -> None:
    with Reader(address, contract) as watcher:
        seq(watcher)
        said = run(project, "stream", "--url", address, "--count", "30", "--batch", "10")
        assert said.returncode == 0, said.stderr
        last = told_all(watcher, 30)
    with Reader(address, contract) as reader:
        reader.waits(lambda: len(reader.events()) >= 10 and reader.data("agg") and reader.data("health"))
        checks.equal("a new reader is told the last ten events first, as replayed", [event["seq"] for event in reader.events(replayed=True)], list(range(last - 9, last + 1)))
        checks.equal("the first words are hello, health, agg", [name for name, *_ in reader.said[:3]], ["hello", "health", "agg"])
        checks.equal("the strip has fifteen minutes", len(reader.data("agg")[0]["rates"]), 900)
        reader.waits(lambda: len(reader.data("agg")) >= 3)
        checks.holds("agg comes each second, and its strip only once", "" if len(reader.data("agg")) >= 3 and not any("rates" in one for one in reader.data("agg")[1:]) else str(reader.data("agg")[1:]))


def resumes(checks: Checks, contract: Contract, address: str) -> None:
    """A reader that comes back is told what it missed, once."""
    with Reader(address, contract) as watcher:
        seq(watcher)
        for number in range(8):
            post_rows(address, visit(700_000 + number, now_micros() - 5_000_000))
        last = told_all(watcher, 8 * 5)
    wanted = list(range(last - 19, last + 1))
    with Reader(address, contract, f"?after={last - 20}") as reader:
        reader.waits(lambda: len(reader.events()) >= 20)
        checks.equal("`after` goes on after that number", reader.numbers(), wanted)
        checks.equal("the ids are the numbers", [identity for name, identity, *_ in reader.said if name == "events"][-1], str(last))
    with Reader(address, contract, "?after=1", headers={"Last-Event-ID": str(last - 20)}) as reader:
        reader.waits(lambda: len(reader.events()) >= 20)
        checks.equal("Last-Event-ID goes before `after`", reader.numbers(), wanted)
    with Reader(address, contract, f"?after={last}") as reader:
        reader.waits(lambda: len(reader.data("agg")) >= 2)
        checks.equal("one who missed nothing is told nothing", reader.numbers(), [])
        post_rows(address, visit(710_000, now_micros() - 5_000_000))
        checks.holds("and then what comes", torn(reader, last, told_all(reader, 5)))
    with Reader(address, contract, f"?after={last + 1_000_000}") as reader:
        reader.waits(lambda: len(reader.events()) >= 10)
        checks.equal("a number of another process counts as none", len(reader.events()), 10)


def bursts(checks: Checks, contract: Contract, address: str) -> None:
    """Three events and then silence: the last is there at once. The machine does other things, so the best round is judged."""
    waited = []
    with Reader(address, contract) as reader:
        last = seq(reader)
        for number in range(ROUNDS):
            rows = visit(720_000 + number, now_micros() - 5_000_000, extra=0)
            start = time.monotonic()
            post_rows(address, rows)
            last += len(rows)
            there = reader.waits(lambda: last in reader.numbers())
            waited.append(time.monotonic() - start if there else 60)
            if waited[-1] <= BURST_SECONDS:
                break
        print(f"        a burst of {len(rows)} and silence: whole after {min(waited) * 1000:.0f} ms")
        checks.holds(f"a burst and silence is told whole within {BURST_SECONDS} s", "" if min(waited) <= BURST_SECONDS else str(waited))


def filters(checks: Checks, contract: Contract, address: str) -> None:
    with Reader(address, contract, "?type=purchase") as reader:
        seq(reader)
        post_rows(address, visit(730_000, now_micros() - 5_000_000))
        reader.waits(lambda: reader.events(replayed=False))
        checks.equal("`type` tells events of that name only", {event["name"] for event in reader.events()}, {"purchase"})
    with Reader(address, contract, "?channel=Email") as reader:
        seq(reader)
        # Every fourth visit comes from the newsletter.
        post_rows(address, [row for number in range(4) for row in visit(730_010 + number, now_micros() - 5_000_000)])
        reader.waits(lambda: reader.events(replayed=False))
        checks.equal("`channel` tells events of that channel only", {event["channel"] for event in reader.events()}, {"Email"})


def gaps(checks: Checks, contract: Contract, address: str) -> None:
    """A cursor that fell out of the ring: the hole is told with its bounds, and everything after it."""
    with Reader(address, contract) as watcher:
        before = seq(watcher)
        sent, number = 0, 740_000
        while sent <= RING:
            rows = [row for inner in range(100) for row in visit(number + inner, now_micros() - 60_000_000, extra=6, buys=False)]
            answer = post_rows(address, rows)
            assert answer.status == 200, answer.body
            sent, number = sent + len(rows), number + 100
        last = before + sent
        checks.holds(f"{sent} events as fast as they go: each is told once or lies in a gap", "" if watcher.waits(lambda: _reached(watcher) == last) else f"{_reached(watcher)} of {last}")
        checks.holds("and nothing twice", torn(watcher, min(watcher.numbers()) - 1, last))
    with Reader(address, contract, f"?after={before}") as reader:
        reader.waits(lambda: _reached(reader) == last)
        checks.holds("a cursor too old gets a gap, then all that is kept", torn(reader, before, last))
        told = reader.data("gap")
        checks.holds("the gap begins after the cursor", "" if told and told[0]["from"] == before + 1 else str(told[:2]))
        missing = last - RING - before
        checks.holds("nothing that the ring holds is in it", "" if told and told[0]["to"] >= before + missing else f"{told[:2]}, {missing} left the ring")


def _reached(reader: Reader) -> int:
    ends = [data["to"] for data in reader.data("gap")] + reader.numbers()
    return max(ends, default=0)
