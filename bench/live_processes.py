"""Processes of `live.py`: the server that is measured, and those that send and probe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import live_http
from harness import BenchError

HERE = Path(__file__).resolve().parent
# For 20 M events.
START_SECONDS = 1_800
DRAIN_SECONDS = 600
SETTLE_SECONDS = 300
TICKS = os.sysconf("SC_CLK_TCK")
CREDITS = """
select attribution_model, sum(credit_micros) as micros from mart_attribution_daily group by 1
"""
MART = "select * from mart_attribution_daily"
MART_ROWS_MAX = 100_000


class Server:
    """`clicktrail serve` on a project."""

    def __init__(self, options, project: Path, *flags: str):
        self.log = project / "serve.log"
        command = [str(options.binary), "--log-format", "json", "serve", "--port", "0",
                   "--threads", str(options.threads), *flags]
        started = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=project, stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=subprocess.STDOUT)
        try:
            self.port = self.wait(started, lambda: self.address())
            self.listening_seconds = time.monotonic() - started
            self.wait(started, lambda: self.status()["ready"])
        except BaseException:
            self.kill()
            raise
        self.ready_seconds = time.monotonic() - started
        self.settle()

    def settle(self) -> None:
        """Waits for the data tests, which run once beside everything after a start."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before, now = -1.0, self.cpu_seconds()
        while now - before > 0.05 and time.monotonic() < deadline:
            time.sleep(0.5)
            before, now = now, self.cpu_seconds()

    def address(self) -> int | None:
        """The port, once the server has told it."""
        for line in self.log.read_text(errors="replace").splitlines():
            if '"listening"' in line and "address" in line:
                return int(json.loads(line)["address"].rpartition(":")[2])
        return None

    def wait(self, started: float, what):
        """Asks again and again; fails when the server ended or takes too long."""
        while True:
            if self.process.poll() is not None or time.monotonic() - started > START_SECONDS:
                text = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
                raise BenchError(f"the server did not start\n{text}")
            if answer := what():
                return answer
            time.sleep(0.01)

    def status(self) -> dict:
        """How far it is."""
        return live_http.get(self.port, "/api/v1/status")["data"]

    def wait_for(self, seq: int) -> dict:
        """The status once the tables hold that frame."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while (status := self.status())["applied_seq"] < seq:
            if time.monotonic() > deadline or not status["phase"] == "live":
                raise BenchError(f"the tables do not reach frame {seq}: {status}")
            time.sleep(0.02)
        return status

    def credits(self) -> dict[str, int]:
        """Millionths of conversions by attribution model."""
        rows = live_http.query(self.port, CREDITS)
        return {row["attribution_model"]: int(row["micros"]) for row in rows}

    def mart(self) -> list[str]:
        """All rows of the mart, in an order of our own."""
        rows = live_http.query(self.port, MART, limit=MART_ROWS_MAX)
        return sorted(json.dumps(row, sort_keys=True) for row in rows)

    def cpu_seconds(self) -> float:
        """User and system time up to now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, field: str) -> int:
        """`VmRSS` or `VmHWM` in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise BenchError("the server is gone")

    def forget_peak(self) -> None:
        """Sets the peak to what is in memory now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """In order: events are stored."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(DRAIN_SECONDS) != 0:
            raise BenchError(f"the server ended with {self.process.returncode}\n"
                             + self.log.read_text(errors="replace")[-2_000:])


class Helper:
    """A process of ours that waits for a line, works, and prints JSON."""

    def __init__(self, script: str, *flags: object):
        command = [sys.executable, str(HERE / script), *map(str, flags)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        if self.process.stdout.readline() != "ready\n":
            self.process.wait()
            raise BenchError(f"{script} did not start")

    def go(self) -> None:
        """The next step."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> dict:
        """What it found; fails when something went wrong on its way."""
        line = self.process.stdout.readline()
        self.process.wait()
        found = json.loads(line) if line else {"problems": ["it ended without a result"]}
        if found["problems"]:
            raise BenchError(f"{self.process.args[1]}: {'; '.join(found['problems'][:3])}")
        return found

    def end(self) -> None:
        """Ends it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
