"""A real `clicktrail serve` for the live checks: started, asked, killed, and compared with a build."""

import atexit
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path

from harness import binary, clean_environment, clicktrail

READY_WITHIN_SECONDS = 60
STOP_WITHIN_SECONDS = 60
DAY = 86_400_000_000


def empty_project(folder: Path, name: str = "shop") -> Path:
    """The demo's models without its export: what the tables hold came over HTTP."""
    clicktrail(folder, "init", name, "--demo")
    project = folder / name
    shutil.rmtree(project / "data")
    settings = project / "dbt_project.yml"
    text, times = re.subn(r"(?m)^  ga4_export:.*$", '  ga4_export: ""', settings.read_text())
    assert times == 1, "the demo's ga4_export has moved"
    settings.write_text(text)
    return project


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    """A command that may fail: exit code and words are the check's matter."""
    command = [str(binary()), *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, env=clean_environment(), timeout=120)


class Answer:
    def __init__(self, status: int, headers, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def send(address: str, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> Answer:
    """One request; every status is an answer, a connection that breaks is an OSError or HTTPException."""
    # A proxy of the developer's own is no business of the check.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(address + path, data=body, headers=headers or {}, method=method)
    try:
        with opener.open(request, timeout=60) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as answer:
        with answer:
            return Answer(answer.code, answer.headers, answer.read())


def post_rows(address: str, rows: list[dict], headers: dict | None = None) -> Answer:
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return send(address, "POST", "/v1/events", body, {"Content-Type": "application/x-ndjson"} | (headers or {}))


class Server:
    """One process. Its words come in through a thread, with the times of its two messages."""

    def __init__(self, project: Path, *arguments: str, port: int = 0) -> None:
        self.project, self.said, self.address = project, [], ""
        self.started, self.listening_after, self.ready_after = time.monotonic(), None, None
        command = [str(binary()), "serve", "--port", str(port), *arguments]
        self.process = subprocess.Popen(
            command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=clean_environment()
        )
        # A check that breaks off leaves no server behind.
        atexit.register(lambda: self.process.poll() is None and self.process.kill())
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            found = re.match(r"listening on (http://\S+?);", line)
            if found:
                self.listening_after, self.address = time.monotonic() - self.started, found[1]
            if line.startswith("ready:"):
                self.ready_after = time.monotonic() - self.started

    def words(self) -> str:
        return "\n".join(self.said)

    def _wait(self, what) -> "Server":
        end = time.monotonic() + READY_WITHIN_SECONDS
        while what() is None:
            if self.process.poll() is not None:
                self._reader.join(5)
                raise AssertionError(f"serve ended with {self.process.returncode}: {self.words()}")
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"serve was not there after {READY_WITHIN_SECONDS} s: {self.words()}")
            time.sleep(0.005)
        return self

    def listening(self) -> "Server":
        return self._wait(lambda: self.listening_after)

    def ready(self) -> "Server":
        return self._wait(lambda: self.ready_after)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """The exit code of a process that ends by itself."""
        try:
            code = self.process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"serve did not end within {STOP_WITHIN_SECONDS} s: {self.words()}") from None
        self._reader.join(5)
        return code

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> Answer:
        return send(self.address, method, path, body, headers)

    def post_rows(self, rows: list[dict]) -> Answer:
        return post_rows(self.address, rows)

    def status(self) -> dict:
        return self.send("GET", "/api/v1/status").json()["data"]

    def settled(self, seconds: float = 60) -> dict:
        """The status once the tables hold all that is on disk."""
        end = time.monotonic() + seconds
        while True:
            status = self.status()
            if status["ready"] and status["applied_seq"] >= status["durable_seq"]:
                return status
            if time.monotonic() > end:
                raise AssertionError(f"the tables did not follow: {status}")
            time.sleep(0.02)

    def rows(self, sql: str, min_seq: int | None = None) -> list[dict]:
        asked = {"sql": sql, "limit": 100_000} | ({} if min_seq is None else {"min_seq": min_seq})
        answer = self.send("POST", "/api/v1/query", json.dumps(asked).encode(), {"Content-Type": "application/json"})
        if answer.status != 200:
            raise AssertionError(f"{sql}: {answer.status} {answer.body.decode()}")
        found = answer.json()
        assert not found["meta"]["truncated"], f"{sql}: more rows than an answer holds"
        return found["data"]

    def tables(self) -> dict[str, list[str]]:
        """Every live table with its rows."""
        names = [name for name in self.settled()["tables"] if name != "events"]
        return {name: bag(self.rows(f"select * from {name}")) for name in names}


def bag(rows: list[dict]) -> list[str]:
    """Rows as texts in one order; a decimal is the same number as a text or as JSON number."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d+", value):
            return f"{Decimal(value).normalize():f}"
        if isinstance(value, float):
            return f"{Decimal(repr(value)).normalize():f}"
        return value

    return sorted(json.dumps(plain(row), sort_keys=True) for row in rows)


def query(project: Path, sql: str) -> list[dict]:
    """Rows by `clicktrail query`, of a project that nobody serves."""
    said = run(project, "query", sql, "-o", "json")
    if said.returncode != 0:
        raise AssertionError(f"{sql}: exit code {said.returncode}\n{said.stderr}")
    return json.loads(said.stdout)


def built(project: Path, names) -> dict[str, list[str]]:
    """The same tables by `clicktrail build` and `clicktrail query`, every model from nothing, data tests and all."""
    clicktrail(project, "build", "--full-refresh", "--quiet")
    return {name: bag(query(project, f"select * from {name}")) for name in names}


def differences(left: dict[str, list[str]], right: dict[str, list[str]]) -> str:
    """How two sets of tables differ, in words; empty when they do not."""
    found = []
    for name in sorted(left.keys() | right.keys()):
        one, other = left.get(name, []), right.get(name, [])
        if one != other:
            extra, missing = sorted(set(one) - set(other)), sorted(set(other) - set(one))
            found.append(
                f"{name}: {len(one)} and {len(other)} rows; "
                f"only in the first {extra[:1]}, only in the second {missing[:1]}"
            )
    return "; ".join(found)


def now_micros() -> int:
    return time.time_ns() // 1000


def param(key: str, value) -> dict:
    kind = "int_value" if isinstance(value, int) else "string_value"
    return {"key": key, "value": {kind: value}}


CAMPAIGNS = ["google&utm_medium=cpc&gclid=G{n}", "newsletter&utm_medium=email", "bing&utm_medium=organic", ""]


def visit(number: int, at: int, *, device: str = "", extra: int = 2, buys: bool = True) -> list[dict]:
    """A visitor's session in the shape of the export: landing, views, and a purchase."""
    person = device or f"c{number}.{at // DAY}"
    campaign = CAMPAIGNS[number % len(CAMPAIGNS)].format(n=number)
    landing = "https://shop.example/" + (f"?utm_source={campaign}&utm_campaign=spring" if campaign else "")
    names = ["session_start", "page_view", *["scroll"] * extra, *(["purchase"] if buys else [])]
    rows = []
    for index, name in enumerate(names):
        row = {
            "event_timestamp": at + index * 1_000_000,
            "event_name": name,
            "user_pseudo_id": person,
            "stream_id": "web",
            "platform": "WEB",
            "event_params": [
                param("ga_session_id", at // 1_000_000),
                param("ga_session_number", 1),
                param("page_location", landing if index < 2 else "https://shop.example/cart"),
                # Ours, to find each event again.
                param("nonce", f"{number}-{at}-{index}"),
            ],
        }
        if name == "purchase":
            row["event_params"] += [param("currency", "USD"), param("value", 10 + number % 90)]
            row["ecommerce"] = {"transaction_id": f"T{number}-{at}", "purchase_revenue_in_usd": 10.5 + number % 90}
        rows.append(row)
    return rows


def nonces(rows: list[dict]) -> list[str]:
    return [entry["value"]["string_value"] for row in rows for entry in row["event_params"] if entry["key"] == "nonce"]


def log_files(project: Path) -> list[Path]:
    return sorted(path for path in (project / "warehouse" / ".live" / "log").iterdir() if path.name[0].isdigit())
