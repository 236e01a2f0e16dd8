"""Part of live_faults: a stopped server's log, bit by bit damaged. Nothing may be lost without a word."""

import random
import re
import shutil
from pathlib import Path

import live_server as live
from harness import Checks
from live_server import Server, log_files, now_micros, visit

FRAMES = 30
HEADER = 64
RANDOM_FLIPS = 8


def frames(file: Path) -> list[tuple[int, int]]:
    """Place and length of each frame of a segment, after the format in crates/eventlog/README.md."""
    content, at, found = file.read_bytes(), HEADER, []
    while at + HEADER <= len(content):
        length = HEADER + int.from_bytes(content[at + 44 : at + 48], "little")
        found.append((at, length))
        at += length
    return found


def flip(file: Path, at: int, bit: int = 0) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1 << bit
    file.write_bytes(content)


def cut(file: Path, at: int) -> None:
    file.write_bytes(file.read_bytes()[:at])


def killed_with_a_log(project: Path) -> list[int]:
    """A server that was killed before it stored anything; the session of each frame, in order."""
    server = Server(project, "--store-every", "3600").ready()
    sessions = []
    for number in range(FRAMES):
        at = now_micros() - (FRAMES - number) * 60_000_000
        answer = server.post_rows(visit(number, at))
        assert answer.status == 200, answer.body
        sessions.append(at // 1_000_000)
    server.kill()
    return sessions


class Case:
    """A copy of the project, to be damaged."""

    def __init__(self, checks: Checks, base: Path, name: str) -> None:
        self.checks, self.name = checks, f"damage: {name}"
        self.project = base.with_name(f"{base.name}-{re.sub('[^a-z]+', '-', name)}")
        shutil.copytree(base, self.project)
        self.file = log_files(self.project)[-1]

    def holds(self, what: str, complaint: str) -> None:
        self.checks.holds(f"{self.name}: {what}", complaint)

    def start(self) -> tuple[Server | None, str]:
        """A server that is ready, or None and what was said."""
        server = Server(self.project)
        try:
            return server.ready(), server.words()
        except AssertionError:
            if server.process.returncode != 1:
                self.holds("a refusal has exit code 1", f"{server.process.returncode}")
            return None, server.words()

    def sessions(self, server: Server) -> list[int]:
        found = [row["ga_session_id"] for row in server.rows("select ga_session_id from int_sessions")]
        return sorted(int(session) for session in found)

    def starts(self, expected: list[int], said: str = "") -> None:
        """It starts, has exactly these sessions, takes events, and has said this."""
        server, words = self.start()
        if server is None:
            self.holds("starts", words)
            return
        self.holds("says so", "" if said in words else words)
        found = self.sessions(server)
        self.holds("has what was acknowledged", self.compared(found, expected))
        answer = server.post_rows(visit(999, now_micros()))
        self.holds("takes events", "" if answer.status == 200 else str(answer.status))
        self.holds("shows them", "" if len(self.sessions_after(server)) == len(expected) + 1 else "no")
        server.kill()

    def sessions_after(self, server: Server) -> list[int]:
        server.settled()
        return self.sessions(server)

    def compared(self, found: list[int], expected: list[int]) -> str:
        lost, extra = set(expected) - set(found), set(found) - set(expected)
        return "" if found == sorted(expected) else f"{len(lost)} sessions are lost, {len(extra)} were never sent"

    def refuses(self, *, offset: int | None = None, file: Path | None = None) -> None:
        server, words = self.start()
        if server is not None:
            found = self.sessions(server)
            server.kill()
            self.holds("refuses", f"it started, with {len(found)} of {FRAMES} sessions; said: {words}")
            return
        named = (file or self.file).name
        self.holds("names the file", "" if named in words else words)
        if offset is not None:
            numbers = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", words)}
            self.holds(f"names the offset {offset}", "" if offset in numbers else words)
        self.holds("speaks of repair", "" if "clicktrail repair" in words else words)

    def repaired(self, kept: list[int], lost: str) -> None:
        said = live.run(self.project, "repair")
        told = f"exit code {said.returncode}: {said.stdout}{said.stderr}"
        self.holds("repair", "" if said.returncode == 0 else told)
        self.holds("repair says what is lost", "" if lost in said.stdout else told)
        quarantine = self.project / "warehouse" / ".live" / "quarantine"
        if "no acknowledged" not in lost and " 0 bytes" not in said.stdout:
            self.holds("bytes are kept aside", "" if any(quarantine.glob("**/*")) else told)
        self.starts(kept)


def without(sessions: list[int], *lost: int) -> list[int]:
    return [session for index, session in enumerate(sessions) if index not in lost]


def damage(checks: Checks, project: Path, dice: random.Random) -> None:
    sessions = killed_with_a_log(project)
    places = frames(log_files(project)[-1])
    checks.equal("damage: one frame for each request", len(places), FRAMES)

    torn(checks, project, sessions, places, dice)
    middle(checks, project, sessions, places, dice)
    around(checks, project, sessions, dice)
    stored_elsewhere(checks, project)


def torn(checks, project, sessions, places, dice) -> None:
    """Bytes behind the last acknowledged frame: a write that did not come to its end."""
    at, length = places[-1]
    within = HEADER + dice.randrange(1, length - HEADER)
    for name, kept in [("one byte", 1), ("half a header", 40), ("half a frame", within)]:
        case = Case(checks, project, f"torn tail of {name}")
        content = case.file.read_bytes()
        case.file.write_bytes(content + content[at : at + kept])
        case.starts(sessions, said=f"{kept} bytes of")


def middle(checks, project, sessions, places, dice) -> None:
    index = dice.randrange(1, FRAMES - 2)
    at, length = places[index]
    for name, place in [("header", at + dice.randrange(HEADER)), ("payload", at + dice.randrange(HEADER, length))]:
        case = Case(checks, project, f"a bit of a frame's {name}")
        flip(case.file, place, dice.randrange(8))
        case.refuses(offset=at)
        number = index + 1
        case.repaired(without(sessions, index), f"frames {number} to {number} are lost")
    last, length = places[-1]
    case = Case(checks, project, "cut in the last acknowledged frame")
    cut(case.file, last + dice.randrange(1, length))
    case.refuses(offset=last)
    case.repaired(without(sessions, FRAMES - 1), f"frames {FRAMES} to {FRAMES} are lost")
    case = Case(checks, project, "cut between two frames")
    cut(case.file, at)
    # Nothing in a file is bad; the folder lacks frames.
    case.refuses(file=case.file.parent)
    case.repaired(sessions[:index], f"frames {index + 1} to {FRAMES} are lost")


def around(checks, project, sessions, dice) -> None:
    case = Case(checks, project, "segment header")
    flip(case.file, dice.randrange(HEADER))
    case.refuses()
    case.repaired(sessions, "no acknowledged frame was in it")
    case = Case(checks, project, "ack file")
    flip(case.file.with_name("acked"), dice.randrange(HEADER))
    case.starts(sessions)
    for number in range(RANDOM_FLIPS):
        case = Case(checks, project, "flip " + "abcdefghijklmnopqrstuvwxyz"[number])
        place = dice.randrange(case.file.stat().st_size)
        flip(case.file, place, dice.randrange(8))
        case.refuses()


def stored_elsewhere(checks, project) -> None:
    """All is stored, then somebody deletes the log: its numbers must not begin anew in silence."""
    case = Case(checks, project, "log deleted after storing")
    server, _ = case.start()
    server.post_rows(visit(500, now_micros()))
    expected = case.sessions_after(server)
    server.stop()
    shutil.rmtree(case.file.parent)
    server, words = case.start()
    if server is None:
        case.holds("the refusal tells of the log", "" if "log" in words else words)
        return
    at = now_micros() - 7_200_000_000
    if server.post_rows(visit(501, at)).status == 200:
        expected = [*expected, at // 1_000_000]
    case.holds("what is acknowledged then shows", case.compared(case.sessions_after(server), expected))
    server.stop()
    server, words = case.start()
    case.holds("starts again", "" if server else words)
    if server is not None:
        case.holds("what was acknowledged is still there", case.compared(case.sessions(server), expected))
        server.kill()
