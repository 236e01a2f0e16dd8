"""The Storage APIs against the emulator: `import` and `stream` over gRPC, and what goes wrong on the way.

Files that come through the Storage Read API are compared with those that come over REST, row for row. What is sent
through the Storage Write API is counted in the table, after answers were lost, connections cut and numbers repeated.
"""

import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow.parquet
from bigquery import TOKEN, Shop, code, token_server
from bigquery_server import DATASET, EXPORT, PROJECT, BigQuery
from bigquery_storage_proxy import Cutter, Gateway, Refusal, closed_port, stranger
from google.cloud.bigquery_storage_v1 import types
from grpc import StatusCode
from harness import Checks


class Place:
    """A shop whose target is the emulator, with all that stands between."""

    def __init__(self, folder: Path, server: BigQuery, gateway: Gateway) -> None:
        self.server, self.gateway = server, gateway
        self.cutter = Cutter(gateway.port)
        self.shop = Shop(folder, server)
        self.plain = (self.shop.path / "profiles.yml").read_text()
        self.connect(self.cutter.port)

    def connect(self, port: int | None, **more) -> None:
        """Writes the profile; without a port the target has no `storage_api_endpoint`."""
        keys = {"storage_api_endpoint": f"http://127.0.0.1:{port}"} if port else {}
        keys = "".join(f', {key}: "{value}"' for key, value in {**keys, **more}.items())
        api = f'api_endpoint: "{self.server.url}"'
        (self.shop.path / "profiles.yml").write_text(self.plain.replace(api, api + keys))

    def fetch(self, out: str, *more: str, table: str = "events_*", refusals: list[Refusal] | None = None) -> subprocess.CompletedProcess:
        self.gateway.refusals = refusals or []
        said = self.shop.bigquery("import", "bigquery", "--table", f"{EXPORT}.{table}", "--out", out, *more)
        self.gateway.refusals = []
        return said

    def send(self, producer: str, offset: int, *more: str, count: int = 10, refusals: list[Refusal] | None = None):
        """Accepted, duplicate and next number; or what went wrong."""
        self.gateway.refusals = refusals or []
        said = self.shop.bigquery(*sending(producer, offset, count), *more)
        self.gateway.refusals = []
        self.said = said.stderr
        told = json.loads(said.stdout) if said.returncode == 0 else None
        return (told["accepted"], told["duplicate"], told["next_offset"]) if told else code(said)

    def rows(self) -> int:
        return self.shop.rows("select count(*) as n from events_stream")[0].get("n")


def sending(producer: str, offset: int, count: int) -> list[str]:
    return ["stream", "--count", str(count), "--seed", "7", "--producer", producer, "--offset", str(offset), "-o", "json"]


def unlike(place: Place, out: str, names: list[str] | None = None) -> str:
    """How the files of a folder differ in columns or rows from those that came over REST; empty when they do not."""
    folders = [place.shop.path / "rest", place.shop.path / out]
    there = [sorted(file.name for file in folder.iterdir()) for folder in folders]
    names = names or there[0]
    if there[1] != names or not names:
        return f"files {there}"
    for name in names:
        schemas = [pyarrow.parquet.read_schema(folder / name) for folder in folders]
        if not schemas[0].equals(schemas[1]):
            return f"{name}: columns differ"
        rows = [f"select to_json(t) from read_parquet('{folder / name}') t" for folder in folders]
        for one, two in (rows, rows[::-1]):
            other = duckdb.sql(f"{one} except all {two}").limit(1).fetchall()
            if other:
                return f"{name}: {other}"
    return ""


def reading(checks: Checks, place: Place) -> None:
    said = place.fetch("rest", "--api", "rest")
    checks.equal("REST: no call of the Storage APIs", (said.returncode, place.gateway.calls), (0, []))
    asked = len(place.server.requests)
    said = place.fetch("storage")
    checks.holds("storage: the files are those of REST", unlike(place, "storage") or ("" if said.returncode == 0 else said.stderr))
    checks.holds("storage: several streams", "" if " streams" in said.stderr else said.stderr)
    over_rest = [path for _, path, _ in place.server.requests[asked:] if "/data?" in path]
    checks.equal("storage: no rows over REST", over_rest, [])
    headers = [headers for method, headers in place.gateway.calls if method == "ReadRows"][0]
    checks.equal("storage: the token is sent", headers.get("authorization"), f"Bearer {TOKEN}")
    checks.holds("storage: the stream is named for routing", "" if headers["x-goog-request-params"].startswith("read_stream=projects%2F") else str(headers))
    said = place.fetch("storage")
    checks.holds("storage: what is there is kept", "" if "0 tables fetched" in said.stderr and "4 kept" in said.stderr else said.stderr)

    # Connections of a table: one for the session, then one for each stream.
    place.gateway.requests.clear()
    place.cutter.limits = [None, 120_000, None, 120_000]
    said = place.fetch("cut")
    place.cutter.limits = []
    checks.holds("two connections cut: the same files", unlike(place, "cut") or ("" if said.returncode == 0 else said.stderr))
    offsets = [types.ReadRowsRequest.deserialize(request).offset for method, request in place.gateway.requests if method == "ReadRows"]
    checks.equal("two connections cut: read on from the row", (place.cutter.cuts, len([one for one in offsets if one]) > 0), (2, True))
    flaky = [Refusal("CreateReadSession", StatusCode.UNAVAILABLE, times=2), Refusal("ReadRows", StatusCode.UNAVAILABLE, times=3, after=True)]
    said = place.fetch("flaky", refusals=flaky)
    checks.holds("errors that pass: the same files", unlike(place, "flaky") or ("" if said.returncode == 0 else said.stderr))


def reading_refused(checks: Checks, place: Place) -> None:
    for name, status in [("denied", StatusCode.PERMISSION_DENIED), ("unknown", StatusCode.UNIMPLEMENTED)]:
        refusal = Refusal("CreateReadSession", status, "no bigquery.readsessions.create", times=9)
        said = place.fetch(name, refusals=[refusal])
        checks.holds(f"{name}: over REST, the same files", unlike(place, name) or ("" if said.returncode == 0 else said.stderr))
        told = [line for line in said.stderr.splitlines() if "over REST" in line and "no bigquery.readsessions.create" in line]
        checks.equal(f"{name}: told once, and not asked again", (len(told), refusal.times), (1, 8))
    said = place.fetch("must", "--api", "storage", refusals=[Refusal("CreateReadSession", StatusCode.PERMISSION_DENIED, times=9)])
    checks.equal("--api storage: no way out", code(said), "E3102")
    for day, kind in [(1, "TIME"), (2, "STRING")]:
        table = {"tableReference": {"projectId": PROJECT, "datasetId": EXPORT, "tableId": f"mixed_2026010{day}"}}
        table["schema"] = {"fields": [{"name": "t", "type": kind}]}
        place.server.call("POST", f"/bigquery/v2/projects/{PROJECT}/datasets/{EXPORT}/tables", table)
    place.gateway.calls.clear()
    said = place.fetch("mixed", table="mixed_*")
    told = [line for line in said.stderr.splitlines() if "over REST" in line]
    checks.equal("a column that only REST gives alike is about its table", (len(told), "`t` has the type TIME" in "".join(told)), (1, True))
    checks.equal("the next table comes through the API again", [method for method, _ in place.gateway.calls if method == "CreateReadSession"], ["CreateReadSession"])
    place.connect(None)
    said = place.fetch("plain")
    checks.holds("no storage_api_endpoint: over REST", unlike(place, "plain") or ("" if "storage_api_endpoint" in said.stderr else said.stderr))
    place.connect(place.cutter.port)


def reading_broken(checks: Checks, place: Place) -> None:
    for status, expected in [(StatusCode.UNAUTHENTICATED, "E3101"), (StatusCode.NOT_FOUND, "E3103"), (StatusCode.INVALID_ARGUMENT, "E3109")]:
        said = place.fetch("broken", refusals=[Refusal("CreateReadSession", status, times=9)])
        checks.equal(f"{status.name} is {expected}", code(said), expected)
    said = place.fetch("broken", table="nothing")
    checks.holds("a table that is not there", "" if said.returncode and "does not exist" in said.stderr else said.stderr)
    place.connect(place.cutter.port, job_retry_deadline_seconds="1")
    for status, expected in [(StatusCode.UNAVAILABLE, "E3105"), (StatusCode.RESOURCE_EXHAUSTED, "E3104")]:
        said = place.fetch("broken", refusals=[Refusal("ReadRows", status, times=999)])
        checks.equal(f"{status.name} for good is {expected}", code(said), expected)
    checks.equal("what failed leaves no file", list((place.shop.path / "broken").iterdir()), [])
    place.connect(closed_port(), job_retry_deadline_seconds="1")
    said = place.fetch("broken")
    checks.equal("nobody at the endpoint", (code(said), "--api rest" in said.stderr), ("E3105", True))
    place.connect(place.server.port, job_retry_deadline_seconds="1")
    said = place.fetch("broken")
    checks.equal("the endpoint speaks something else", code(said), "E3105")
    server = stranger()
    place.connect(None, storage_api_endpoint=f"https://localhost:{server.port}", job_retry_deadline_seconds="1")
    said = place.fetch("broken")
    checks.equal("a certificate that nobody signed", (code(said), "certificate" in said.stderr), ("E3105", True))
    server.stop(0)
    place.connect(None, storage_api_endpoint="http://bigquery.example")
    checks.equal("an endpoint without encryption", code(place.fetch("broken")), "E3108")
    place.connect(place.cutter.port)


def expired(checks: Checks, place: Place) -> None:
    """A token that ends early is replaced by another one."""
    given: list[str] = []

    def give(_: str) -> str:
        given.append(f"{TOKEN}-{len(given)}")
        return given[-1]

    endpoint, uri = token_server(give)
    profile = place.shop.path / "profiles.yml"
    keys = f'refresh_token: r, client_id: c, client_secret: s, token_uri: "{uri}"'
    profile.write_text(profile.read_text().replace(f"token: {TOKEN}", keys))
    place.gateway.calls.clear()
    said = place.fetch("expired", table="events_20260901", refusals=[Refusal("ReadRows", StatusCode.UNAUTHENTICATED, after=True)])
    sent = [headers["authorization"] for _, headers in place.gateway.calls]
    checks.equal("a token that ends early: another one", (said.returncode, len(given), sent[0], sent[-1]), (0, 2, f"Bearer {given[0]}", f"Bearer {given[-1]}"))
    checks.holds("a token that ends early: the same file", unlike(place, "expired", names=["events_20260901.parquet"]))
    place.connect(place.cutter.port)
    endpoint.shutdown()


def writing(checks: Checks, place: Place) -> None:
    uploads = lambda: len([path for _, path, _ in place.server.requests if path.startswith("/upload")])  # noqa: E731
    checks.equal("ten events", (place.send("p", 0), place.rows()), ((10, 0, 10), 10))
    checks.equal("they went through the Storage Write API", len([1 for method, _ in place.gateway.calls if method == "AppendRows"]), 1)
    count = uploads()
    checks.equal("the same numbers again add nothing", (place.send("p", 0), place.rows(), uploads() - count), ((0, 10, 10), 10, 0))
    checks.equal("numbers that overlap add the rest", (place.send("p", 5), place.rows()), ((5, 5, 15), 15))
    said = place.send("p", 100), place.rows()
    checks.equal("a gap is refused", (said[0].startswith("E"), said[1]), (True, 15))
    checks.holds("a gap is told", "" if "events 15 to 99 of the producer `p` are missing" in place.said else place.said)
    lost = [Refusal("AppendRows", StatusCode.UNAVAILABLE, after=True)]
    checks.equal("an answer lost after the work", (place.send("p", 15, refusals=lost)[2], place.rows()), (25, 25))
    before = [Refusal("AppendRows", StatusCode.UNAVAILABLE), Refusal("CreateWriteStream", StatusCode.UNAVAILABLE)]
    checks.equal("calls lost before the work", (place.send("p", 25, refusals=before), place.rows()), ((10, 0, 35), 35))
    # Connections: to make a stream, to write, to close it. The server's greeting is some 60 bytes, its answer follows.
    found, cuts = [], place.cutter.cuts
    for number, limit in enumerate([20, 60, 80, 100, 150]):
        place.cutter.limits = [None, limit]
        found.append((place.send("p", 35 + 10 * number)[2], place.rows()))
    place.cutter.limits = []
    checks.equal("connections cut", (found, place.cutter.cuts - cuts > 2), ([(end, end) for end in range(45, 95, 10)], True))
    count = uploads()
    checks.equal("--load", (place.send("l", 0, "--load"), place.rows()), ((10, 0, 10), 95))
    checks.equal("--load again", (place.send("l", 0, "--load"), place.rows()), ((0, 10, 10), 95))
    checks.equal("--load sends load jobs", uploads() - count > 1, True)
    said = place.send("l", 0)
    checks.equal("load jobs stay load jobs", (said, place.rows(), "stays with them" in place.said), ((0, 10, 10), 95, True))


def writing_open(checks: Checks, place: Place) -> None:
    """A stream that its sender could not close."""
    def left_open(producer: str, offset: int, count: int = 10):
        refusals = [Refusal("FinalizeWriteStream", StatusCode.PERMISSION_DENIED, times=9)]
        return place.send(producer, offset, refusals=refusals, count=count)

    rows = place.rows()
    checks.equal("a stream stays open", (left_open("o", 0), "stays open" in place.said), ((10, 0, 10), True))
    streams = lambda: len([1 for method, _ in place.gateway.calls if method == "CreateWriteStream"])  # noqa: E731
    made = streams()
    checks.equal("the next sender goes on with it", (left_open("o", 10), streams() - made), ((10, 0, 20), 0))
    checks.equal("a larger batch over both", (left_open("o", 3, count=22), place.rows()), ((5, 17, 25), rows + 25))
    checks.equal("a batch within", (left_open("o", 12), place.rows()), ((0, 10, 22), rows + 25))
    said = left_open("o", 30)
    checks.equal("a gap", (said[:1], "event 25 to 29" in place.said or "events 25 to 29" in place.said, place.rows()), ("E", False, rows + 25))
    said = place.send("o", 30)
    checks.equal("a gap, told", (said[:1], "events 25 to 29" in place.said, place.rows()), ("E", True, rows + 25))
    checks.equal("and filled", (left_open("o", 25), place.rows()), ((10, 0, 35), rows + 35))
    gone = [Refusal(method, StatusCode.NOT_FOUND, times=9) for method in ("AppendRows", "FinalizeWriteStream")]
    said = place.send("o", 35, refusals=gone)
    checks.equal("a stream that is forgotten adds nothing", (said[:1], "from number 25 on" in place.said, place.rows()), ("E", True, rows + 35))
    checks.equal("--load closes a stream first", (place.send("o", 30, "--load"), place.rows()), ((5, 5, 40), rows + 40))


def writing_refused(checks: Checks, place: Place) -> None:
    rows = place.rows()
    denied = lambda: [Refusal("CreateWriteStream", StatusCode.PERMISSION_DENIED, times=99)]  # noqa: E731
    checks.equal("refused: by load jobs", (place.send("r", 0, refusals=denied()), "load jobs" in place.said), ((10, 0, 10), True))
    checks.equal("refused: again adds nothing", (place.send("r", 0), place.rows()), ((0, 10, 10), rows + 10))
    checks.equal("refused later: what is in is known", (place.send("p", 80, refusals=denied()), place.rows()), ((5, 5, 90), rows + 15))
    checks.equal("refused later: again adds nothing", (place.send("p", 80), place.rows()), ((0, 10, 90), rows + 15))
    for status, expected in [(StatusCode.UNAUTHENTICATED, "E3101"), (StatusCode.INVALID_ARGUMENT, "E3109")]:
        said = place.send("e", 0, refusals=[Refusal("AppendRows", status, times=9)])
        checks.equal(f"append: {status.name} is {expected}", said, expected)
    place.connect(closed_port(), job_retry_deadline_seconds="1")
    said = place.send("n", 0)
    checks.equal("nobody at the endpoint: no load job instead", (said, place.rows()), ("E3105", rows + 15))
    place.connect(None)
    checks.equal("no storage_api_endpoint: by load jobs", (place.send("n", 0), place.rows()), ((10, 0, 10), rows + 25))
    place.connect(place.cutter.port)


def writing_together(checks: Checks, place: Place) -> None:
    rows = place.rows()
    command = [*sending("two", 0, 60), "--batch", "7"]

    def sender(_: int) -> list[subprocess.CompletedProcess]:
        """Sends; when the emulator is busy with another sender, again, as the error says."""
        said = [place.shop.bigquery(*command)]
        while said[-1].returncode and len(said) < 5:
            said.append(place.shop.bigquery(*command))
        return said

    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(sender, range(3)))
    checks.equal("three senders at once", [one[-1].stderr for one in said if one[-1].returncode], [])
    checks.equal("three senders of the same numbers add each once", place.rows(), rows + 60)


def main() -> None:
    checks = Checks("bigquery_storage")
    server = BigQuery()
    gateway = Gateway(server.grpc_port)
    try:
        server.create_dataset(EXPORT)
        server.create_dataset(DATASET)
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder), server, gateway)
            for file in sorted((place.shop.path / "data").glob("events_*.parquet")):
                server.load_parquet(file, EXPORT, file.stem)
            for check in (reading, reading_refused, reading_broken, expired, writing, writing_open, writing_refused, writing_together):
                check(checks, place)
            log = (place.shop.path / "target" / "logs" / "clicktrail.log").read_text()
            checks.holds("the token is told nowhere", "it is" if TOKEN in place.shop.told + log else "")
    finally:
        gateway.close()
        server.close()
    checks.finish()


if __name__ == "__main__":
    main()
