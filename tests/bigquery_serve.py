"""`serve --target bigquery` against the emulator: pages are those of the tables there, copied again only where they changed.

The project is the demo. Its export is built twice: in the emulator, and here by the embedded engine, whose pages must be
the same. Requests are counted at the proxy.
"""

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote as encoded

from bigquery_equal import profile
from bigquery_server import DATASET, EXPORT, PROJECT, BigQuery, Fault
from dashboard_browser import PAGES, browser, chromium
from harness import Checks, clicktrail
from live_server import Server, run

TABLES = ["fct_credits", "int_conversions", "int_journeys", "int_sessions", "int_touchpoints", "int_users"]
VARS = {"ga4_dataset": EXPORT, "ga4_export": "data/events_*.parquet"}
TOKEN = "s3cret-token"
# Requests are given up after a second, so that a lost connection shows.
IMPATIENT = "priority: interactive, job_retry_deadline_seconds: 1"


def quote(text: str) -> str:
    return encoded(text, safe="")


class Shop:
    """A project, its dataset, and its server."""

    def __init__(self, folder: Path, server: BigQuery) -> None:
        clicktrail(folder, "init", "shop")
        self.path, self.there, self.vars = folder / "shop", server, dict(VARS)
        clicktrail(self.path, "generate", "--out", "data", "--events", "1500", "--days", "4", "--quiet")
        text = profile(server).replace("token: emulator", f"token: {TOKEN}").replace("priority: interactive", IMPATIENT)
        (self.path / "profiles.yml").write_text(text)

    def given(self, target: str) -> list[str]:
        return ["--target", target, "--vars", json.dumps(self.vars)]

    def build(self, target: str, *select: str) -> None:
        for verb in ["seed", "run"] if not select else ["run"]:
            clicktrail(self.path, verb, "--quiet", *select, *self.given(target))

    def serve(self, *more: str) -> Server:
        return Server(self.path, *self.given("bigquery"), "--refresh", "1", *more)

    def sql(self, text: str) -> list[dict]:
        """Rows of a query in BigQuery."""
        said = run(self.path, "query", text, "-o", "json", *self.given("bigquery"))
        if said.returncode:
            raise AssertionError(said.stderr)
        return json.loads(said.stdout, parse_float=Decimal)


def until(what: Callable[[], bool], seconds: float = 60) -> str:
    """Waits for something; a complaint when it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return ""
        time.sleep(0.1)
    return f"not within {seconds} s"


def page(server: Server, path: str) -> dict:
    answer = server.send("GET", f"/api/v1/{path}")
    if answer.status != 200:
        raise AssertionError(f"{path}: {answer.status} {answer.body[:600]!r}")
    return answer.json()


def read_again(server: BigQuery, since: int) -> list[str]:
    """Tables whose rows were asked for."""
    paths = [path for _, path, _ in server.requests[since:]]
    return sorted({found[1] for path in paths if (found := re.search(r"/tables/(\w+)/data", path))})


def queries(server: BigQuery, since: int) -> int:
    return sum("configuration" in body or "/queries/" in path for _, path, body in server.requests[since:])


def before_tables(checks: Checks, shop: Shop, there: BigQuery) -> None:
    """No dataset, no rights, no tables."""
    said = run(shop.path, "serve", "--port", "0", *shop.given("bigquery"))
    checks.equal("no dataset: it ends", said.returncode, 1)
    checks.holds("and says how to make it", "" if "E3103" in said.stderr and "clicktrail build --target bigquery" in said.stderr else said.stderr)
    there.create_dataset(DATASET)
    for what, reason, status, code in [("no rights", "accessDenied", "403", "E3102"), ("credentials that ended", "authError", "401", "E3101")]:
        there.faults = [Fault(lambda method, path, body: "/tables/" in path, status, 10_000, reason)]
        said = run(shop.path, "serve", "--port", "0", *shop.given("bigquery"))
        there.faults = []
        checks.holds(f"{what}: it ends with {code}", "" if said.returncode == 1 and code in said.stderr else f"{said.returncode}: {said.stderr}")
    said = run(shop.path, "serve", "--port", "0", "--also", "stg_events", *shop.given("bigquery"))
    checks.holds("a view can't be copied", "" if said.returncode == 1 and "stg_events" in said.stderr and "no table" in said.stderr else said.stderr)
    said = run(shop.path, "serve", "--port", "0", "--refresh", "5", *shop.given("local"))
    checks.holds("flags about copies need a target in BigQuery", "" if said.returncode == 2 and "not in BigQuery" in said.stderr else said.stderr)
    said = run(shop.path, "up", "--no-open", "--port", "0", *shop.given("bigquery"))
    checks.holds("`up` does not take it", "" if said.returncode == 1 and "E4003" in said.stderr else said.stderr)
    server = shop.serve().listening()
    missing = "`clicktrail build --target bigquery` makes them"
    checks.holds("no tables: told how to build", until(lambda: missing in server.words(), 20) and server.words())
    answer = server.send("GET", "/api/v1/overview")
    checks.equal("a page has none, and says so", (answer.status, missing in answer.json()["progress"]["current"]), (503, True))
    shop.build("bigquery")
    checks.holds("a build in BigQuery makes it ready", until(lambda: server.ready_after is not None))
    checks.equal("it ends with 0", server.stop(), 0)
    shutil.rmtree(shop.path / "target" / "bigquery")


def as_there(checks: Checks, shop: Shop, server: Server) -> None:
    """What pages say is what SQL in BigQuery says."""
    overview = page(server, "overview?cut=in")
    data, told = overview["data"], overview["meta"]["definition"]
    days = f"between '{data['period']['from']}' and '{data['period']['to']}'"
    of = f"event_name = '{told['conversion']}' and conversion_date {days}"
    counted = shop.sql(f"select count(*) as n, sum(case when currency = '{told['currency']}' then revenue end) as r from int_conversions where is_counted and {of}")[0]
    shown = {kpi["key"]: kpi["value"] for kpi in data["kpis"]}
    checks.equal("overview: conversions and revenue", (int(shown["conversions"]), Decimal(shown["revenue"])), (counted["n"], Decimal(counted["r"])))
    checks.holds("overview: there are some", "" if counted["n"] else "none")
    sessions = shop.sql(f"select count(*) as n from int_sessions where session_date {days}")[0]["n"]
    checks.equal("overview: sessions", int(shown["sessions"]), sessions)
    for what, answer in [("overview", data), ("models", page(server, "models?cut=in")["data"])]:
        rows = shop.sql(f"select channel, attribution_model as m, sum(credit_micros) as c from fct_credits where {of} group by 1, 2")
        wanted = {(row["m"], row["channel"]): Decimal(row["c"]) / 10**6 for row in rows if row["m"] in answer["credit"]["models"]}
        found = {(m, row["name"]): Decimal(value["conversions"]) for row in answer["credit"]["rows"] for m, value in row["values"].items()}
        checks.equal(f"{what}: credit by channel of {len(answer['credit']['models'])} attribution models", {key: one for key, one in found.items() if one}, {key: one for key, one in wanted.items() if one})
    paths = page(server, "paths")["data"]
    chosen = f"select conversion_id from int_conversions where is_counted and {of}"
    rows = shop.sql(f"select n, count(*) as c from (select conversion_id, count(*) as n from int_journeys where conversion_id in ({chosen}) group by 1) as j group by n")
    found = {row["touches"]: int(row["conversions"]) for row in paths["lengths"]["rows"] if row["touches"]}
    checks.equal("paths: conversions by number of touches", found, {row["n"]: row["c"] for row in rows})
    health = page(server, "health")["data"]
    rows = {str(row["d"]): row["n"] for row in shop.sql("select session_date as d, count(*) as n from int_sessions group by 1")}
    checks.equal("health: sessions by day", {row["date"]: int(row["sessions"]) for row in health["days"]}, rows)
    listed = {row["name"]: row["rows"] for row in health["tables"]}
    names = [*TABLES, "int_events", "mart_last_click"]
    wanted = shop.sql(" union all ".join(f"select '{name}' as name, count(*) as n from {name}" for name in names))
    checks.equal("health: rows of tables, copied or not", {name: listed.get(name) for name in names}, {row["name"]: row["n"] for row in wanted})


def as_here(checks: Checks, shop: Shop, server: Server) -> None:
    """Whole pages are those of the embedded engine's tables."""
    shop.build("local")
    local = Server(shop.path, "--read-only", *shop.given("local")).ready()
    pages = ["overview", "overview?by=campaign&d=3", "overview?f=medium:cpc", "models?by=source", "paths", "paths?collapse=1&conv=purchase", "conversions?limit=200", "settings", "filters/channel"]
    conversion = page(local, "conversions?limit=1")["data"]["rows"][0]["id"]
    explained = f"conversions/{quote(conversion)}/explain"
    for path in [*pages, explained]:
        left, right = page(server, path)["data"], page(local, path)["data"]
        if path == "settings":
            left, right = [{key: value for key, value in one.items() if key != "vars"} for one in (left, right)]
        if path == explained:
            checks.equal("the journey's events are not copied", (left.pop("events"), "--also int_events" in left.pop("events_note")), ([], True))
            checks.holds("the embedded engine lists them", "" if right.pop("events") and right.pop("events_note") is None else "no")
            left.pop("events_more"), right.pop("events_more")
        differs = {key: (left.get(key), right.get(key)) for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
        checks.holds(f"{path.replace(quote(conversion), 'ID')}: the same page", json.dumps(differs)[:1500] if differs else "")
    local.stop()


def questions(checks: Checks, shop: Shop, server: Server) -> None:
    def ask(sql: str):
        answer = server.send("POST", "/api/v1/query", json.dumps({"sql": sql}).encode(), {"Content-Type": "application/json"})
        return answer.status, answer.json()

    status, answer = ask("select count(*) as n, sum(credit_micros) as c from fct_credits")
    there = shop.sql("select count(*) as n, sum(credit_micros) as c from fct_credits")
    checks.equal("a query reads the copies", (status, [{key: int(value) for key, value in row.items()} for row in answer.get("data", [])]), (200, there))
    for sql in ["select * from mart_last_click", "select count(*) from int_events"]:
        status, answer = ask(sql)
        text = json.dumps(answer)
        checks.holds(f"{sql}: not copied, and what to do", "" if status == 400 and "--also" in text and "clicktrail query --target bigquery" in text else f"{status} {text}")
    answer = server.post_rows([{"event_name": "page_view"}])
    checks.equal("events are refused", answer.status, 404)
    checks.equal("an event's page says that events are not here", "--also int_events" in json.dumps(server.send("GET", "/api/v1/events/x").json()), True)


def replace(there: BigQuery, table: str) -> None:
    """Replaces a table by itself, past the proxy."""
    query = {"query": f"create or replace table {DATASET}.{table} as select * from {DATASET}.{table}", "useLegacySql": False}
    answer = there.call("POST", f"/bigquery/v2/projects/{PROJECT}/jobs", {"configuration": {"query": query}})
    if answer["status"].get("errorResult"):
        raise AssertionError(answer["status"])


def changing(there: BigQuery, table: str) -> Callable[[str, str, dict], bool]:
    """Matches the first request for a table's rows, and changes the table just before it."""

    def matches(method: str, path: str, body: dict) -> bool:
        if f"/{table}/data" not in path:
            return False
        replace(there, table)
        return True

    return matches


def tests_of_it(checks: Checks, shop: Shop, server: Server) -> None:
    """Health has tests of this target, not of another that ran in the same folder."""
    run(shop.path, "test", "-s", "int_users", *shop.given("local"))
    checks.equal("tests of another target are not shown", page(server, "health")["data"]["tests"], None)
    run(shop.path, "test", "-s", "int_users,test_type:data", *shop.given("bigquery"))
    counts = lambda: (page(server, "health")["data"]["tests"] or {}).get("counts") or {}  # noqa: E731
    checks.holds("those of this one are", until(lambda: counts().get("pass", 0) > 0, 10) and str(counts()))


def follows(checks: Checks, shop: Shop, server: Server, there: BigQuery) -> None:
    """Builds are followed; what did not change is not read; a lost connection leaves what was there."""
    since = len(there.requests)
    looks = lambda: sum(path.endswith("/tables/fct_credits") for _, path, _ in there.requests[since:])  # noqa: E731
    checks.holds("versions are asked for, again and again", until(lambda: looks() >= 3))
    checks.equal("nothing changed: no rows are read, no query is run", (read_again(there, since), queries(there, since)), ([], 0))

    other = shop.serve().ready()
    checks.equal("a second server of the folder reads no rows again", (other.stop(), read_again(there, since)), (0, []))

    before, since = page(server, "overview"), len(there.requests)
    shop.vars["lookback_days"] = 1
    shop.build("bigquery", "-s", "int_conversions")
    told = "a build is under way in BigQuery: int_journeys is older than int_conversions"
    checks.holds("half a build is not shown", until(lambda: told in (server.status().get("stale") or ""), 20) and str(server.status()))
    checks.equal("pages are of the state before", page(server, "overview")["meta"]["snapshot_id"], before["meta"]["snapshot_id"])
    checks.equal("no rows were read", read_again(there, since), [])
    shop.build("bigquery", "-s", "int_conversions+")
    checks.holds("the rest of it is shown without a restart", until(lambda: page(server, "overview")["meta"]["snapshot_id"] != before["meta"]["snapshot_id"]))
    checks.equal("nothing is stale", (server.status().get("stale"), page(server, "health")["data"]["stream"]["stale"]), (None, None))
    made = ["fct_credits", "int_conversions", "int_journeys"]
    again = read_again(there, since)
    checks.holds(f"only what was built is read again: {again}", "" if set(made) <= set(again) and not set(again) & {"int_sessions", "int_users"} else str(again))
    as_there(checks, shop, server)

    before, since = page(server, "overview")["meta"]["snapshot_id"], len(there.requests)
    there.faults = [Fault(changing(there, "fct_credits"), "none", 1)]
    replace(there, "fct_credits")
    checks.holds("a table that changes while it is read", until(lambda: page(server, "overview")["meta"]["snapshot_id"] != before))
    again = [path for _, path, _ in there.requests[since:] if "/fct_credits/data" in path]
    checks.equal("is read a second time, and alone", (len(again), read_again(there, since)), (2, ["fct_credits"]))
    copy = sorted((shop.path / "target" / "bigquery").glob("*/fct_credits/_delta_log/*.json"))[-1]
    held = json.loads(copy.read_text().splitlines()[0])["commitInfo"]["clicktrail"]["bigquery"]["version"]
    newest = there.call("GET", f"/bigquery/v2/projects/{PROJECT}/datasets/{DATASET}/tables/fct_credits")["lastModifiedTime"]
    checks.equal("what is shown is the newer one", held, newest)

    before = page(server, "overview")
    there.faults = [Fault(lambda *_: True, "drop_before", 10**9)]
    checks.holds("connection lost: the server says so", until(lambda: "can't be reached" in (server.status().get("stale") or ""), 30) and str(server.status()))
    checks.equal("pages stay", page(server, "overview")["data"], before["data"])
    checks.holds("Health says it, too", "" if "can't be reached" in page(server, "health")["data"]["stream"]["stale"] else "no")
    told = lambda: len(re.findall("can't be reached", server.words()))  # noqa: E731
    checks.holds("so does the terminal", until(lambda: told() > 0, 10) and server.words())
    time.sleep(3)
    checks.equal("once", told(), 1)
    checks.holds("and the log", "" if "could not be copied" in (shop.path / "target" / "logs" / "clicktrail.log").read_text() else "no")
    there.faults = [Fault(lambda *_: True, "401", 10**9, "authError")]
    checks.holds("credentials that end while it runs", until(lambda: "credentials" in (server.status().get("stale") or ""), 30))
    there.faults = []
    checks.holds("it goes on when the connection is back", until(lambda: server.status().get("stale") is None, 30))


def in_browser(checks: Checks, server: Server, there: BigQuery) -> None:
    """Open pages say that they are not the newest, and stop saying so, by themselves."""
    conversion = page(server, "conversions?limit=1")["data"]["rows"][0]["id"]
    with browser(server.address) as web:
        journey = web.open(f"/c/{quote(conversion)}")
        checks.holds("a journey says where its events are", "" if "--also int_events" in journey.inner_text("main") else journey.inner_text("main"))
        shown = web.open("/")
        notice = shown.locator("[data-stale]")
        checks.equal("nothing to say", notice.count(), 0)
        there.faults = [Fault(lambda *_: True, "drop_before", 10**9)]
        notice.wait_for(timeout=30_000)
        checks.holds("a lost connection shows on an open page", "" if "can't be reached" in notice.inner_text() else notice.inner_text())
        checks.holds("accessible", "; ".join(web.violations(shown)))
        there.faults = []
        notice.wait_for(state="detached", timeout=30_000)
        for path in PAGES.values():
            web.open(path)
        checks.equal("no errors, no other servers", (web.errors, web.foreign), ([], []))
        checks.holds("answers are as the API's description says", "; ".join(web.contract.wrong[:5]))


def starts_again(checks: Checks, shop: Shop, there: BigQuery) -> None:
    """Copies outlive the server; more tables by name; what is too large."""
    damaged = next((shop.path / "target" / "bigquery").glob("*/int_users/_delta_log/*0.json"))
    damaged.write_text(damaged.read_text()[:40])
    since = len(there.requests)
    server = shop.serve("--also", "mart_last_click", "--also", "int_events").ready()
    checks.equal("a second start reads only what it has not, and what is damaged", read_again(there, since), ["int_events", "int_users", "mart_last_click"])
    conversion = page(server, "conversions?limit=1")["data"]["rows"][0]["id"]
    journey = page(server, f"conversions/{quote(conversion)}/explain")["data"]
    checks.holds("--also int_events: a journey has its events", "" if journey["events"] and journey["events_note"] is None else str(journey["events_note"]))
    since = len(there.requests)
    shutil.rmtree(shop.path / "target" / "bigquery")
    checks.holds("a folder that was deleted is filled again", until(lambda: set(TABLES) <= set(read_again(there, since))))
    checks.holds("and read", until(lambda: server.send("GET", "/api/v1/overview?d=5").status == 200, 20))
    there.faults = [Fault(lambda method, path, body: "/fct_credits/data" in path, "503", 10**9, "backendError")]
    before = page(server, "overview")["meta"]["snapshot_id"]
    shop.vars["lookback_days"] = 2
    shop.build("bigquery", "-s", "int_conversions+")
    checks.holds("rows that stop coming half-way", until(lambda: "can't be reached" in (server.status().get("stale") or ""), 30) and str(server.status()))
    checks.equal("leave all tables as they were", page(server, "overview")["meta"]["snapshot_id"], before)
    there.faults = []
    checks.holds("and are all there later", until(lambda: page(server, "overview")["meta"]["snapshot_id"] != before))
    as_there(checks, shop, server)
    checks.equal("it ends with 0", server.stop(), 0)
    said = run(shop.path, "serve", "--port", "0", "--copy-rows", "10", *shop.given("bigquery"))
    checks.holds("a table that is too large", "" if said.returncode == 1 and "--copy-rows" in said.stderr and PROJECT in said.stderr else said.stderr)


def main() -> None:
    checks = Checks("bigquery serve")
    there = BigQuery()
    try:
        there.create_dataset(EXPORT)
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(Path(folder), there)
            for file in sorted((shop.path / "data").glob("events_*.parquet")):
                there.load_parquet(file, EXPORT, file.stem)
            before_tables(checks, shop, there)
            since = len(there.requests)
            server = shop.serve().ready()
            checks.equal("the six tables of pages are read, nothing else", read_again(there, since), TABLES)
            checks.equal("without a query", queries(there, since), 0)
            as_there(checks, shop, server)
            as_here(checks, shop, server)
            questions(checks, shop, server)
            tests_of_it(checks, shop, server)
            follows(checks, shop, server, there)
            if chromium():
                in_browser(checks, server, there)
            else:
                print("skipped: there is no Chromium, so pages were not looked at")
            checks.equal("it ends with 0", server.stop(), 0)
            checks.holds("the token is told nowhere", "it is" if TOKEN in server.words() + (shop.path / "target" / "logs" / "clicktrail.log").read_text() else "")
            starts_again(checks, shop, there)
    finally:
        there.close()
    checks.finish()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
