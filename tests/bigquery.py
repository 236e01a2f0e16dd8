"""`--target bigquery` against the emulator: debug, build, test, a second build that adds, costs and limits, and what goes wrong.

The project is the demo without unit tests and with three models of its own, so that each way of adding rows is run.
"""

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import duckdb
from bigquery_equal import profile
from bigquery_server import DATASET, EXPORT, MIB, PROJECT, BigQuery, Fault
from harness import Checks, binary, clean_environment

TOKEN = "s3cret-token"

MODELS = {
    "days": "select '{{ var('day') }}' as day, {{ var('number') }} as number, 'x' as note",
    "days_merged": """{{ config(materialized='incremental', unique_key='day') }}
select day, number{% if is_incremental() %}, note{% endif %} from {{ ref('days') }}""",
    "days_exchanged": """{{ config(materialized='incremental', unique_key='day', incremental_strategy='delete+insert',
    on_schema_change='append_new_columns') }}
select day, number{% if is_incremental() %}, note{% endif %} from {{ ref('days') }}""",
    "days_added": "{{ config(materialized='incremental', incremental_strategy='append') }} select day, number from {{ ref('days') }}",
}


SLOW_TESTS = ["staged_rows_are_whole", "events_reconcile_with_staging", "conversions_reconcile_with_staging"]


class Shop:
    """A project and its commands."""

    def __init__(self, folder: Path, server: BigQuery) -> None:
        self.path, self.server = folder / "shop", server
        self.run(["init", "shop"], cwd=folder)
        self.run(["generate", "--out", "data", "--events", "1500", "--days", "4", "--quiet"])
        (self.path / "profiles.yml").write_text(profile(server).replace("token: emulator", f"token: {TOKEN}"))
        for name, sql in MODELS.items():
            (self.path / "models" / f"{name}.sql").write_text(sql + "\n")
        for unit_tests in self.path.glob("models/*/unit_tests.yml"):
            if unit_tests.parent.name != "marts":
                unit_tests.unlink()
        # What was told, to look for secrets in it.
        self.told = ""

    def run(self, arguments: list[str], cwd: Path | None = None, env: dict | None = None) -> subprocess.CompletedProcess:
        said = subprocess.run(
            [str(binary()), *arguments], cwd=cwd or self.path, capture_output=True, text=True,
            env={**clean_environment(), **(env or {})},
        )
        self.told = getattr(self, "told", "") + said.stdout + said.stderr
        return said

    def bigquery(self, *arguments: str, day: str = "2026-01-01", number: int = 1, **more) -> subprocess.CompletedProcess:
        settings = {"ga4_dataset": EXPORT, "day": day, "number": number, **more}
        return self.run([*arguments, "--target", "bigquery", "--vars", json.dumps(settings)])

    def rows(self, sql: str) -> list[dict]:
        said = self.bigquery("query", sql, "-o", "json")
        return json.loads(said.stdout) if said.returncode == 0 else [{"error": said.stderr}]


def is_query(text: str):
    return lambda method, path, body: text in body.get("configuration", {}).get("query", {}).get("query", "")


def code(said: subprocess.CompletedProcess) -> str:
    """The first error code in what was said."""
    found = re.search(r"E\d{4}", said.stderr + said.stdout)
    return found.group(0) if found else f"none, exit code {said.returncode}: {said.stderr[-800:]}"


def good_ways(checks: Checks, shop: Shop, server: BigQuery) -> None:
    said = shop.bigquery("debug")
    checks.equal("debug: all is well", said.returncode, 0)
    for text in [f"{PROJECT}.{DATASET}", "4 tables, events_2026", "a token of the target", "MiB"]:
        checks.holds(f"debug tells {text}", "" if text in said.stdout else said.stdout + said.stderr)
    before = len(server.statements())
    said = shop.bigquery("run", "--dry-run")
    checks.equal("dry run: exit code", said.returncode, 0)
    checks.holds("dry run tells the sum", "" if "in all" in said.stderr else said.stderr)
    checks.equal("dry run makes nothing", server.tables(DATASET), {})
    dry = [body["configuration"].get("dryRun") for _, path, body in server.requests if "configuration" in body][-1]
    checks.equal("dry run only asks", (dry, before < len(server.statements())), (True, True))
    said = shop.bigquery("build", "-s", "+int_events", "--max-bytes", "50M")
    checks.equal("a build above the limit", (said.returncode, code(said)), (1, "E3106"))
    checks.equal("it makes nothing", server.tables(DATASET), {})
    # Tests that read the staging views anew take the emulator a minute each.
    said = shop.bigquery("build", "-o", "json", "--exclude", *SLOW_TESTS)
    document = json.loads(said.stdout)
    bad = [node for node in document["results"] if node["status"] in ("error", "fail", "skipped")]
    checks.holds(f"build: {len(document['results'])} nodes are well", json.dumps(bad)[:3000] if bad else "")
    costs = {node["name"]: (node.get("cost") or {}).get("bytes_billed") for node in document["results"]}
    checks.equal("build tells bytes of a model", costs.get("days_added"), 10 * MIB)
    tables = server.tables(DATASET)
    checks.equal("a view and a table", (tables.get("stg_events"), tables.get("mart_last_click")), ("VIEW", "TABLE"))
    sent = [body["configuration"] for _, _, body in server.requests if "query" in body.get("configuration", {})]
    checks.holds("days are constants", "" if any("_TABLE_SUFFIX between '00000000'" in one["query"]["query"] for one in sent) else "none")
    labels = {key for one in sent for key in one.get("labels", {})}
    checks.equal("jobs have labels", sorted(labels), ["clicktrail_invocation_id", "clicktrail_node"])
    layout = next(sql for sql in server.statements() if "`int_events` partition by" in sql)
    checks.holds("partition and cluster", "" if "partition by `event_date` cluster by `person_key`" in layout else layout[:200])
    said = shop.bigquery("show", "-s", "mart_last_click", "--limit", "2", "-o", "json")
    checks.equal("show", (said.returncode, len(json.loads(said.stdout or "[]"))), (0, 2))


def second_build(checks: Checks, shop: Shop, server: BigQuery) -> None:
    both = [("2026-01-01", 5), ("2026-01-02", 6)]
    for day, number in both:
        said = shop.bigquery("run", "-s", "days+", "--quiet", day=day, number=number)
        checks.holds(f"run of {day}", "" if said.returncode == 0 else said.stderr)
    rows = [(row.get("day"), row.get("number")) for row in shop.rows("select day, number from days_merged order by day")]
    checks.equal("merge: a key is replaced, another is added", rows, both)
    rows = [(row.get("number"), row.get("note")) for row in shop.rows("select * from days_exchanged order by day")]
    checks.equal("delete+insert, with a new column", rows, [(5, "x"), (6, "x")])
    rows = [row.get("number") for row in shop.rows("select number from days_added order by number")]
    checks.equal("append: every run adds", rows, [1, 5, 6])
    checks.holds("no table is left behind", "".join(name for name in server.tables(DATASET) if name.endswith("__added")))


def faults(checks: Checks, shop: Shop, server: BigQuery) -> None:
    def with_fault(what: str, fault: Fault, expected: str, *command: str) -> str:
        server.faults = [fault]
        said = shop.bigquery(*(command or ("run", "-s", "days_added")))
        server.faults = []
        checks.equal(what, "fine" if said.returncode == 0 else code(said), expected)
        return said.stderr + said.stdout

    count = len(shop.rows("select * from days_added"))
    insert = is_query("insert into")
    with_fault("503 three times: tried again", Fault(insert, "503", 3, "backendError"), "fine")
    with_fault("answer lost before the work", Fault(insert, "drop_before"), "fine")
    with_fault("answer lost after the work", Fault(insert, "drop_after"), "fine")
    checks.equal("each of them added its row once", len(shop.rows("select * from days_added")), count + 3)
    with_fault("rate limit: tried again", Fault(insert, "403", 1, "rateLimitExceeded"), "fine")
    text = with_fault("access denied", Fault(insert, "403", 1, "accessDenied", "Access Denied: Table x"), "E3102")
    checks.holds("the hint names roles", "" if "Data Editor" in text else text)
    with_fault("quota", Fault(insert, "403", 1, "quotaExceeded"), "E3104")
    with_fault("the job fails in the service", Fault(insert, "fail", 1, "backendError"), "E3105")
    with_fault("token refused", Fault(lambda *_: True, "401", 9, "authError"), "E3101")
    checks.equal("what failed added nothing", len(shop.rows("select * from days_added")), count + 4)
    said = shop.bigquery("run", "-s", "base_events", ga4_dataset="nowhere")
    checks.equal("a missing dataset", code(said), "E3103")
    server.create_dataset("empty")
    said = shop.bigquery("run", "-s", "base_events", ga4_dataset="empty")
    checks.equal("a dataset without tables of the export", code(said), "E4004")
    broken = shop.path / "models" / "broken.sql"
    broken.write_text("-- a comment\nselect\n    nmber\nfrom {{ ref('days') }}\n")
    said = shop.bigquery("run", "-s", "broken")
    checks.equal("unknown column: code", code(said), "E3001")
    checks.holds("unknown column: file", "" if "models/broken.sql" in said.stderr else said.stderr)
    broken.unlink()
    slow = profile(server).replace("priority: interactive", "priority: interactive, job_retry_deadline_seconds: 1")
    kept = (shop.path / "profiles.yml").read_text()
    (shop.path / "profiles.yml").write_text(slow)
    with_fault("a storm of 503", Fault(lambda *_: True, "503", 10_000, "backendError"), "E3105")
    (shop.path / "profiles.yml").write_text(kept.replace(server.url, "http://bigquery.example"))
    said = shop.bigquery("query", "select 1")
    checks.equal("an endpoint without encryption", code(said), "E3108")
    (shop.path / "profiles.yml").write_text(kept)
    log = (shop.path / "target" / "logs" / "clicktrail.log").read_text()
    checks.holds("the token is told nowhere", "it is" if TOKEN in shop.told + log else "")


def both_ways(checks: Checks, shop: Shop, server: BigQuery) -> None:
    """import, stream, publish."""
    fetch = ["import", "bigquery", "--table", f"{EXPORT}.events_*", "--from", "2026-09-01", "--to", "2026-09-03", "--out", "fetched"]
    server.faults = [Fault(lambda _, path, __: "events_20260903/data" in path, "403", 1, "accessDenied")]
    said = shop.bigquery(*fetch)
    checks.equal("import: stopped at the third table", (code(said), len(list((shop.path / "fetched").iterdir()))), ("E3102", 2))
    server.faults = []
    said = shop.bigquery(*fetch)
    checks.holds("import: goes on", "" if "1 table fetched" in said.stderr and "2 kept" in said.stderr else said.stderr)
    names = [file.name for file in sorted((shop.path / "fetched").iterdir())]
    checks.equal("import: whole files only", names, [f"events_2026090{day}.parquet" for day in (1, 2, 3)])
    database = duckdb.connect()
    parts = "event_date, event_timestamp, event_name, user_pseudo_id, to_json(event_params), to_json(device), to_json(coalesce(items, []))"
    here = [f"select {parts} from read_parquet('{shop.path / place}/{names[0]}')" for place in ("data", "fetched")]
    count = database.sql(f"select count(*) from ({here[0]})").fetchall()[0][0]
    other = [database.sql(f"{one} except all {two}").fetchall()[:1] for one, two in (here, here[::-1])]
    checks.equal(f"import: the same {count} rows, nested ones too", other, [[], []])
    database.close()

    def send(*more: str, offset: int = 0) -> tuple:
        said = shop.bigquery("stream", "--count", "10", "--seed", "7", "--producer", "p", "--offset", str(offset), "-o", "json", *more)
        told = json.loads(said.stdout) if said.stdout else {"accepted": said.stderr}
        return told.get("accepted"), told.get("duplicate"), told.get("next_offset")

    rows = lambda: shop.rows("select count(*) as n from events_stream")[0].get("n")  # noqa: E731
    checks.equal("stream: ten events", (send(), rows()), ((10, 0, 10), 10))
    checks.equal("stream: the same numbers again add nothing", (send(), rows()), ((0, 10, 10), 10))
    server.faults = [Fault(lambda _, path, __: path.startswith("/upload"), "drop_after")]
    checks.equal("stream: an answer lost after the work", (send(offset=10)[2], rows()), (20, 20))
    server.faults = []
    checks.equal("stream --insert", (send("--insert", offset=20), rows()), ((10, 0, 30), 30))
    said = shop.bigquery("run", "-s", "base_events", live_stream="yes")
    checks.holds("a view reads the stream", "" if said.returncode == 0 else said.stderr)

    given = ["--vars", '{ga4_export: "data/events_*.parquet", day: "2026-01-01", number: 1}']
    for verb in ["seed", "run"]:
        said = shop.run([verb, "--quiet", *given])
        checks.holds(f"{verb} here", "" if said.returncode == 0 else said.stderr)
    said = shop.run(["query", "select count(*) as n from mart_last_click", "-o", "json", *given])
    local = json.loads(said.stdout)[0]["n"] if said.returncode == 0 else said.stderr
    for again in ["new tables", "tables that are there"]:
        said = shop.run(["publish", "--to", "bigquery", *given])
        found = shop.rows("select count(*) as n from mart_last_click")[0].get("n")
        checks.equal(f"publish: {again}", (said.returncode, found), (0, local))
    checks.equal("publish: nothing is left behind", [name for name in server.tables(DATASET) if "__" in name], [])
    said = shop.run(["publish", "--out", "out", "--format", "csv", *given])
    checks.holds("publish: files", "" if (shop.path / "out" / "mart_last_click.csv").is_file() else said.stderr)
    said = shop.run(["publish", "--out", "models", "--format", "csv", *given])
    checks.equal("publish: a folder of other files is refused", (said.returncode, (shop.path / "models").is_dir()), (2, True))


def token_server(give: Callable[[str], str]) -> tuple[ThreadingHTTPServer, str]:
    """A server that answers each form with the token that `give` makes of it, and its address."""

    class Endpoint(BaseHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

        def do_POST(self) -> None:
            token = give(self.rfile.read(int(self.headers["content-length"])).decode())
            text = json.dumps({"access_token": token, "expires_in": 3600}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/token"


def service_account(checks: Checks, shop: Shop, server: BigQuery) -> None:
    """A key file: the request for a token is signed, and the token is sent."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    import jwt

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    asked: list[dict] = []

    def give(form: str) -> str:
        form = parse_qs(form)
        claims = jwt.decode(form["assertion"][0], key.public_key(), algorithms=["RS256"], audience=uri)
        asked.append({"grant": form["grant_type"][0], **claims})
        return TOKEN

    endpoint, uri = token_server(give)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "robot@shop", "private_key": pem, "private_key_id": "k1", "token_uri": uri}
    (shop.path / "key.json").write_text(json.dumps(account))
    kept = (shop.path / "profiles.yml").read_text()
    (shop.path / "profiles.yml").write_text(kept.replace(f"method: oauth-secrets, token: {TOKEN}", "method: service-account, keyfile: key.json"))
    said = shop.bigquery("debug")
    checks.holds("service account: debug", "" if "service account robot@shop" in said.stdout else said.stdout + said.stderr)
    checks.equal("service account: one token, asked for by a signed request", [(one["iss"], one["exp"] - one["iat"]) for one in asked], [("robot@shop", 3600)])
    (shop.path / "key.json").write_text(json.dumps({**account, "private_key": "no key"}))
    checks.equal("service account: a key that is none", code(shop.bigquery("query", "select 1")), "E3108")
    checks.holds("the key is told nowhere", "it is" if pem.splitlines()[1] in shop.told else "")
    (shop.path / "profiles.yml").write_text(kept)
    endpoint.shutdown()


def main() -> None:
    checks = Checks("bigquery")
    server = BigQuery()
    try:
        server.create_dataset(EXPORT)
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(Path(folder), server)
            for file in sorted((shop.path / "data").glob("events_*.parquet")):
                server.load_parquet(file, EXPORT, file.stem)
            good_ways(checks, shop, server)
            second_build(checks, shop, server)
            faults(checks, shop, server)
            both_ways(checks, shop, server)
            service_account(checks, shop, server)
    finally:
        server.close()
    checks.finish()


if __name__ == "__main__":
    main()
