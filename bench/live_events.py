"""Events to send, made of what `clicktrail generate` writes.

A pool is a list of rows in the order in which many visitors at one time would send them. It is
sent again and again; each pass puts its own number where the rows have `MARK`: in the visitor's
id and in order ids. So a pass brings only visitors and orders that no pass before it had.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

# Five digits of a visitor's ten; equal in length to what takes its place.
MARK = b"@@@@@"
PASSES_MAX = 10 ** len(MARK)
# Visits of the pool begin within this time before now.
SPAN_SECONDS = 600
PROBE_EVENTS = 10


@dataclass(frozen=True)
class Row:
    """One event as a line of JSON with marks in it."""

    line: bytes
    is_order: bool


def visitors_of(file: Path) -> list[list[dict]]:
    """Events of each visitor by time. Left out: copies, visitors without an id, and purchases that
    the demo project counts once or not at all (repeated orders, orders without id)."""
    visitors: dict[str, list[dict]] = {}
    lines, orders = set(), set()
    for line in file.read_bytes().splitlines():
        row = None if line in lines else json.loads(line)
        lines.add(line)
        if row is None or not row.get("user_pseudo_id"):
            continue
        if row["event_name"] == "purchase":
            order = (row.get("ecommerce") or {}).get("transaction_id")
            key = (row["user_pseudo_id"], order)
            if not order or key in orders:
                continue
            orders.add(key)
        visitors.setdefault(row["user_pseudo_id"], []).append(row)
    return [sorted(rows, key=moment) for rows in visitors.values()]


def moment(row: dict) -> int:
    """Microseconds since 1970."""
    return int(row["event_timestamp"])


def as_sent(row: dict) -> dict:
    """The row as a shop's server writes it: params as a plain object, nothing that the export adds."""
    kept = {key: row[key] for key in ("event_name", "event_timestamp", "user_pseudo_id")}
    kept["event_params"] = {
        param["key"]: value for param in row.get("event_params") or []
        if (value := next((v for v in param["value"].values() if v is not None), None)) is not None}
    order = row.get("ecommerce") or {}
    if order.get("transaction_id"):
        kept["ecommerce"] = {key: order[key] for key in (
            "transaction_id", "purchase_revenue", "purchase_revenue_in_usd")
            if order.get(key) is not None}
    return kept


def moved(row: dict, micros: int, visitor: bytes, is_whole: bool = True) -> bytes:
    """The row at another time and of a visitor whose id has a mark, as a line."""
    row = dict(row) if is_whole else as_sent(row)
    old = row["user_pseudo_id"]
    row["user_pseudo_id"] = f"{visitor.decode()}.{old.rpartition('.')[2]}"
    row["event_timestamp"] = str(moment(row) + micros)
    if row.get("user_first_touch_timestamp"):
        row["user_first_touch_timestamp"] = str(int(row["user_first_touch_timestamp"]) + micros)
    line = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()
    order = (row.get("ecommerce") or {}).get("transaction_id")
    if row["event_name"] == "purchase":
        line = line.replace(order.encode(), order.encode() + b"-" + MARK)
    return line + b"\n"


def pool(file: Path, is_whole: bool, seed: int = 1) -> list[Row]:
    """All visitors of a generated file, their visits spread over the last minutes and mixed; rows
    as the export has them, or as a shop's server writes them."""
    dice, now = random.Random(seed), int(time.time() * 1e6)
    timed: list[tuple[int, Row]] = []
    for number, rows in enumerate(visitors_of(file)):
        last = now - int(dice.random() * SPAN_SECONDS * 1e6)
        micros = last - moment(rows[-1])
        # Where in the pool a visit lies has nothing to do with its times: the rows before and
        # after one of its rows belong to other visitors, at every rate.
        begin, length = dice.random(), dice.random() * 0.5
        for place, row in enumerate(rows):
            line = moved(row, micros, MARK + b"%05d" % number, is_whole)
            at = begin + length * place / len(rows)
            timed.append((at, Row(line, row["event_name"] == "purchase")))
    timed.sort(key=lambda pair: pair[0])
    return [row for _, row in timed]


def probe(file: Path) -> bytes:
    """Ten events of one visitor, the last of them a purchase; lines with marks."""
    now = int(time.time() * 1e6)
    for rows in visitors_of(file):
        ends = [at for at, row in enumerate(rows) if row["event_name"] == "purchase"]
        if ends and ends[0] + 1 >= PROBE_EVENTS:
            taken = rows[ends[0] + 1 - PROBE_EVENTS: ends[0] + 1]
            micros = now - moment(taken[-1])
            # No visitor of a pool has such a name.
            return b"".join(moved(row, micros, MARK + b"90000001") for row in taken)
    raise ValueError(f"no visitor of {file} buys after {PROBE_EVENTS} events")


@dataclass
class Body:
    """One request, ready to send: the same bytes object holds the number of the pass each time."""

    parts: list
    number: bytearray
    events: int
    orders: int

    def numbered(self, passes: int) -> list:
        """The parts of the request in that pass."""
        self.number[:] = b"%05d" % passes
        return self.parts


def body(lines: bytes, events: int, orders: int, head) -> Body:
    """A request of these lines; `head` makes its head from the number of bytes."""
    number = bytearray(MARK)
    parts: list = [head(len(lines))]
    for index, part in enumerate(lines.split(MARK)):
        if index:
            parts.append(number)
        parts.append(part)
    return Body(parts, number, events, orders)
