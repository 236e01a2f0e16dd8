"""What was acknowledged stays, whatever happens to the server: kill -9, a full disk, a damaged log.

    tests/live_faults.py              all checks, 40 kills
    KILLS=200 tests/live_faults.py kills
    SEED=7 tests/live_faults.py       the same kills and damages again, as far as the machine allows
"""

import collections
import contextlib
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import live_server as live
from harness import Checks
from live_server import DAY, Server, nonces, now_micros, post_rows, query, run, visit

KILLS = int(os.environ.get("KILLS", "40"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
SENDERS = 3
# More kills take longer; the tables at the end must fit into one answer of the API.
PAUSE_SECONDS = max(0.1, KILLS / 500)
# Sent events after which senders send slowly, for the same reason.
MANY_EVENTS = 35_000
BROKEN = (OSError, http.client.HTTPException)


class Senders:
    """Threads that post visits until they are acknowledged, or give one up now and then."""

    def __init__(self, address: str, dice: random.Random) -> None:
        self.address, self.ends, self.lock = address, threading.Event(), threading.Lock()
        self.sent, self.acked = set(), []
        self.threads = [
            threading.Thread(target=self._send, args=(number, random.Random(dice.random()))) for number in range(SENDERS)
        ]
        for thread in self.threads:
            thread.start()

    def _send(self, sender: int, dice: random.Random) -> None:
        number = sender
        while not self.ends.is_set():
            number += SENDERS
            # Not too many devices, so that visits revise somebody's journey; some come very late, on few days.
            age = dice.randrange(DAY // 8) + (dice.randrange(1, 9) * 50 * DAY if dice.random() < 0.2 else 0)
            rows = visit(number, now_micros() - age, device=f"d{number % 1000}", buys=number % 2 == 0)
            with self.lock:
                self.sent.update(nonces(rows))
            for _ in range(dice.choice([1, 50, 50, 50])):
                if self._is_acknowledged(rows):
                    with self.lock:
                        self.acked.append(rows)
                    break
                if self.ends.wait(PAUSE_SECONDS):
                    break
            # Where starts are slow the kills take long: the tables must stay small enough to be read whole.
            self.ends.wait(PAUSE_SECONDS * (20 if len(self.sent) > MANY_EVENTS else 1))

    def _is_acknowledged(self, rows: list[dict]) -> bool:
        try:
            answer = post_rows(self.address, rows)
            told = answer.json() if answer.status == 200 else {}
            return told.get("accepted", 0) + told.get("duplicate", 0) == len(rows)
        except BROKEN:
            return False

    def stop(self) -> None:
        self.ends.set()
        for thread in self.threads:
            thread.join()


def killed(project: Path, port: int, dice: random.Random, typical: float) -> tuple[str, float | None]:
    """Starts a server and kills it at some moment: which one, and how long it took to be ready."""
    server = Server(project, "--store-every", "1", port=port)
    moment = dice.choice(["starting", "working", "storing", "stopping"])
    if moment == "starting":
        time.sleep(dice.uniform(0, 1.1) * typical)
    else:
        server.ready()
        time.sleep(dice.uniform(0.9, 1.3) if moment == "storing" else dice.uniform(0, 0.9))
        if moment == "stopping":
            server.process.terminate()
            time.sleep(dice.uniform(0, 0.15))
    if server.process.poll() is not None:
        # It was faster than we.
        moment = f"had ended ({server.process.returncode})"
    server.kill()
    return moment, server.ready_after


def kills(checks: Checks, project: Path, dice: random.Random) -> None:
    """kill -9 at any moment, again and again, while events come."""
    port, began = live.free_port(), time.monotonic()
    moments, ready = collections.Counter(), []
    senders = Senders(f"http://127.0.0.1:{port}", dice)
    try:
        for number in range(KILLS):
            if number and number % 50 == 0:
                print(f"  {number} kills after {time.monotonic() - began:.0f} s", flush=True)
            moment, after = killed(project, port, dice, statistics.median(ready) if ready else 1.0)
            moments[moment] += 1
            ready += [after] if after else []
        took = time.monotonic() - began
        server = Server(project, port=port).ready()
    finally:
        senders.stop()
    ready.append(server.ready_after)
    acked = {nonce for rows in senders.acked for nonce in nonces(rows)}
    print(f"  {KILLS} kills in {took:.0f} s: {dict(moments)}; {len(acked)} events acknowledged of {len(senders.sent)}")
    print(f"  ready after {statistics.median(ready):.2f} s (median), {max(ready):.2f} s (most), of {len(ready)} starts")
    bad_ends = [moment for moment in moments if "(" in moment and "(0)" not in moment]
    checks.equal("kills: servers that ended of themselves did so well", bad_ends, [])
    before = server.tables()
    resent = [row for rows in senders.acked for row in rows]
    dice.shuffle(resent)
    answers = [server.post_rows(resent[at : at + 2_000]).status for at in range(0, len(resent), 2_000)]
    checks.equal("kills: all sent again is taken", set(answers), {200})
    checks.holds("kills: and changes no table", live.differences(before, server.tables()))
    checks.equal("kills: the audit finds no difference", server.status()["live_batch_mismatch"], 0)
    checks.equal("kills: exit code at the end", server.stop(), 0)
    same_as_built(checks, "kills", project, before, senders.acked, senders.sent)


def same_as_built(checks: Checks, what: str, project: Path, before: dict, acked: list, sent: set) -> None:
    """The invariants: acknowledged is stored, stored was sent, once each, and live tables are built ones."""
    stored = collections.Counter(nonces(query(project, "select event_params from events_stream")))
    missing = {nonce for rows in acked for nonce in nonces(rows)} - stored.keys()
    told = f"{len(missing)} are not, such as {min(missing)}" if missing else ""
    checks.holds(f"{what}: acknowledged events are stored", told)
    checks.equal(f"{what}: stored events that nobody sent", len(stored.keys() - sent), 0)
    after = live.built(project, before)
    checks.equal(f"{what}: events count once", query(project, "select count(*) as n from int_events"), [{"n": len(stored)}])
    checks.holds(f"{what}: live tables are those of a build", live.differences(before, after))
    checks.holds(f"{what}: there is something to compare", "" if before["fct_credits"] and before["int_sessions"] else "no")


def stop_and_start(checks: Checks, project: Path, dice: random.Random) -> None:
    """SIGTERM under load, and what a second process may do meanwhile."""
    port = live.free_port()
    server = Server(project, "--store-every", "3600", port=port).ready()
    senders = Senders(server.address, dice)
    for command in (["serve", "--port", "0"], ["build"], ["run"], ["repair"]):
        said = live.run(project, *command)
        told = f"exit code {said.returncode}: {said.stderr[-300:]}"
        checks.equal(f"second process: {command[0]} is refused", said.returncode, 1)
        is_told = any(word in said.stderr for word in ("another", "in use", "other process"))
        checks.holds(f"second process: {command[0]} says why", "" if is_told else told)
    time.sleep(1)
    checks.equal("stop: exit code", server.stop(), 0)
    senders.stop()
    stored = set(nonces(query(project, "select event_params from events_stream")))
    acked = {nonce for rows in senders.acked for nonce in nonces(rows)}
    checks.equal("stop: acknowledged events that are not stored", len(acked - stored), 0)
    checks.holds("stop: some were acknowledged", "" if acked else "none")
    server = Server(project).ready()
    tables = server.tables()
    server.stop()
    same_as_built(checks, "stop", project, tables, senders.acked, senders.sent)


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """A tmpfs, or None where mounting is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    said = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if said.returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all but so many bytes."""
    ballast = folder / ".ballast"
    with open(ballast, "ab") as file, contextlib.suppress(OSError):
        while (free := shutil.disk_usage(folder).free) > leave:
            file.write(bytes(min(free - leave, 1 << 20)))
            file.flush()
    return ballast


def until_refused(server: Server, acked: list, number: int) -> int | None:
    """Posts until a batch is not taken: its status."""
    for at in range(number, number + 4_000, 20):
        batch = [visit(each, now_micros() - each * 1_000, buys=each % 9 == 0) for each in range(at, at + 20)]
        answer = server.post_rows([row for rows in batch for row in rows])
        if answer.status != 200:
            return answer.status
        acked += batch
    return None


def full_disk(checks: Checks, project: Path, _: random.Random) -> None:
    acked, sent = [], set()
    with small_disk(project / "warehouse", "64m") as disk:
        if disk is None:
            print("  skipped: full disk, as this user may not mount a tmpfs")
            return
        server = Server(project, "--store-every", "1").ready()
        for round_number, (what, leave) in enumerate([("nearly full", 5 << 20), ("full", 0)]):
            checks.equal(f"{what}: taken before", server.post_rows(visit(1, 10**15 + round_number * DAY)).status, 200)
            acked.append(visit(1, 10**15 + round_number * DAY))
            ballast = fill(disk, leave)
            checks.equal(f"{what}: refused", until_refused(server, acked, 10_000 * (round_number + 1)), 503)
            # Stores are tried and fail meanwhile.
            time.sleep(2.5)
            rows = server.rows("select count(*) as n from int_sessions")
            checks.equal(f"{what}: reads go on", rows, [{"n": len(acked)}])
            checks.equal(f"{what}: alive", server.process.poll(), None)
            ballast.unlink()
            time.sleep(1.5)
            late = visit(2, 10**15 + round_number * DAY)
            checks.equal(f"{what}: taken again with space", server.post_rows(late).status, 200)
            acked.append(late)
        ballast = fill(disk, 0)
        server.stop()
        checks.holds("full: stopping ends", "" if server.process.returncode is not None else "no")
        ballast.unlink()
        server = Server(project).ready()
        tables = server.tables()
        checks.equal("full: exit code at the end", server.stop(), 0)
        sent = {nonce for rows in acked for nonce in nonces(rows)}
        # What was refused with 503 is not acknowledged; nobody resends it here.
        same_as_built(checks, "full disk", project, tables, acked, sent)


def streamed(checks: Checks, project: Path, dice: random.Random) -> None:
    """`clicktrail stream` with all that networks do; and clocks that are wrong."""
    server = Server(project, "--store-every", "1").ready()
    # Each day of a late event costs a build some 70 ms, so only some are late. Events without consent come
    # first: fewer events than these would have no sessions.
    knobs = ["--late", "0.01", "--late-by", "9600", "--duplicates", "0.2", "--reorder", "500", "--url", server.address]
    for seed in (dice.randrange(10**6), dice.randrange(10**6)):
        for _ in range(2):
            said = live.run(project, "stream", "--count", "3000", "--batch", "100", "--seed", str(seed), *knobs)
            checks.equal(f"stream of seed {seed}: exit code", said.returncode, 0)
    status = server.settled()
    checks.holds("stream: copies and late events came", "" if status["duplicates"] and status["late"] else str(status))
    hour, now = 3_600_000_000, now_micros()
    good = visit(1, now)
    wrong = {
        "future_ts": [now + 25 * hour, now * 1000, now + 10 * 365 * DAY],
        "bad_timestamp": [0, -now, now // 1000, now // 1_000_000],
    }
    bad = [row | {"event_timestamp": at} for times in wrong.values() for at, row in zip(times, visit(2, now))]
    old = [row | {"event_timestamp": row["event_timestamp"] - 4_000 * DAY} for row in visit(3, now - hour)]
    told = server.post_rows(good + bad + old).json()
    checks.equal("clock: taken and refused", (told["accepted"], len(told["rejected"])), (len(good + old), len(bad)))
    checks.equal("clock: only bad ones give 400", server.post_rows(bad).status, 400)
    tables = server.tables()
    checks.equal("stream: exit code of the server", server.stop(), 0)
    letters = query(project, "select reason, count(*) as n from events_dead_letter group by reason order by reason")
    expected = [{"reason": reason, "n": 2 * len(wrong[reason])} for reason in sorted(wrong)]
    checks.equal("clock: dead letters", letters, expected)
    checks.holds("stream: live tables are those of a build", live.differences(tables, live.built(project, tables)))


def numbered(checks: Checks, project: Path, _: random.Random) -> None:
    """A sender that numbers its events, dead letters and a kill before anything is stored."""

    def produce(offset: int, rows: list[dict]) -> tuple[int, bool]:
        headers = {"X-Clicktrail-Producer": "shop-1", "X-Clicktrail-Offset": str(offset)}
        answer = post_rows(server.address, rows, headers)
        return answer.status, bool(answer.json().get("already_exists"))

    visits = [visit(number, now_micros() - number * 60_000_000) for number in range(3)]
    size, wrong = len(visits[0]), [row | {"event_timestamp": 0} for row in visit(9, now_micros())]
    server = Server(project, "--store-every", "3600").ready()
    checks.equal("numbered: first", produce(0, visits[0]), (200, False))
    checks.equal("numbered: sent again", produce(0, visits[0]), (200, True))
    checks.equal("numbered: gap", produce(2 * size, visits[2]), (409, False))
    checks.equal("letters: some of a batch", post_rows(server.address, visit(8, now_micros()) + wrong[:2]).status, 200)
    checks.equal("letters: a whole batch", post_rows(server.address, wrong).status, 400)
    server.kill()
    server = Server(project, "--store-every", "3600").ready()
    checks.equal("numbered, after a kill: gap", produce(2 * size, visits[2]), (409, False))
    checks.equal("numbered, after a kill: sent again", produce(0, visits[0]), (200, True))
    checks.equal("numbered, after a kill: next", produce(size, visits[1]), (200, False))
    checks.equal("numbered, after a kill: the one after", produce(2 * size, visits[2]), (200, False))
    server.kill()
    server = Server(project).ready()
    found = server.rows("select count(*) as n from int_sessions")
    checks.equal("numbered: sessions of what was acknowledged", found, [{"n": 4}])
    checks.equal("numbered: exit code", server.stop(), 0)
    letters = query(project, "select reason, count(*) as n from events_dead_letter group by reason")
    checks.equal("letters: kept once, through two kills", letters, [{"reason": "bad_timestamp", "n": 2 + len(wrong)}])


def flipped(checks: Checks, project: Path, dice: random.Random) -> None:
    """A bit of a stored event flips on disk: told by name, never in the marts."""
    server = Server(project).ready()
    server.post_rows(visit(1, now_micros()))
    checks.equal("flipped: exit code", server.stop(), 0)
    # Models of what is stored are made at the next start.
    checks.equal("flipped: exit code", Server(project).ready().stop(), 0)
    checks.equal("flipped: files as they were written", run(project, "debug", "--files").returncode, 0)
    for table in ("events_stream", "int_sessions"):
        [file] = (project / "warehouse").rglob(f"{table}/**/*.parquet")
        whole, times = file.read_bytes(), file.stat()
        place = dice.randrange(len(whole))

        def rewritten(content: bytes) -> None:
            """A disk that flips a bit leaves the file's time as it is; with a new time, what is made from it would be made anew."""
            file.write_bytes(content)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

        rewritten(whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :])
        for command in (["debug", "--files"], ["serve", "--port", "0"]):
            said = run(project, *command)
            told = said.stdout + said.stderr
            checks.equal(f"flipped, {table}: {command[0]} is refused", said.returncode, 1)
            checks.holds(f"flipped, {table}: {command[0]} names it", "" if table in told and file.name in told else told)
        rewritten(whole)
    server = Server(project).ready()
    checks.equal("flipped back: starts", server.stop(), 0)


def letters(checks: Checks, project: Path, _: random.Random) -> None:
    """Refused events are listed, and sent again once they are good: the clock has caught up with this one."""
    server = Server(project).ready()
    ahead = 3_000_000
    early = [row | {"event_timestamp": now_micros() + DAY + ahead} for row in visit(1, now_micros())]
    never = [row | {"event_timestamp": 0} for row in visit(2, now_micros())]
    checks.equal("letters: ahead of the clock", post_rows(server.address, early).status, 400)
    checks.equal("letters: without a time", post_rows(server.address, never).status, 400)
    checks.equal("letters: exit code", server.stop(), 0)
    listed = json.loads(run(project, "dlq", "list", "--output", "json").stdout)
    checks.equal("letters: listed", sorted((row["reason"], row["events"]) for row in listed), [("bad_timestamp", len(never)), ("future_ts", len(early))])
    time.sleep(ahead / 1e6)
    server = Server(project).ready()

    def replay(*arguments: str) -> tuple[int, dict]:
        said = run(project, "dlq", "replay", "--url", server.address, "--output", "json", *arguments)
        return said.returncode, json.loads(said.stdout)

    code, told = replay("--reason", "future_ts", "--dry-run")
    checks.equal("letters: a dry run", (code, told["good"], told["accepted"]), (0, len(early), 0))
    checks.equal("letters: sends nothing", server.rows("select count(*) as n from int_sessions"), [{"n": 0}])
    code, told = replay()
    checks.equal("letters: sent again", (code, told["accepted"], told["refused"]), (1, len(early), len(never)))
    server.settled()
    checks.equal("letters: in the tables", server.rows("select count(*) as n from int_sessions"), [{"n": 1}])
    replay()
    server.settled()
    checks.equal("letters: once more changes nothing", server.rows("select count(*) as n from int_conversions"), [{"n": 1}])
    checks.equal("letters: exit code at the end", server.stop(), 0)


def main() -> None:
    checks, dice = Checks("live_faults"), random.Random(SEED)
    import live_damage
    import live_load

    parts = {
        "kills": kills, "stop": stop_and_start, "full_disk": full_disk, "streamed": streamed,
        "numbered": numbered, "letters": letters, "flipped": flipped, "damage": live_damage.damage, "bodies": live_load.bodies, "bot": live_load.bot,
    }  # fmt: skip
    print(f"seed {SEED}")
    with tempfile.TemporaryDirectory() as folder:
        base = live.empty_project(Path(folder), "base")
        for name in sys.argv[1:] or parts:
            project = Path(folder) / name
            shutil.copytree(base, project)
            began = time.monotonic()
            parts[name](checks, project, random.Random(dice.random()))
            print(f"  {name} took {time.monotonic() - began:.0f} s")
    checks.finish()


if __name__ == "__main__":
    main()
