"""One project, four ways to run it, the same rows in every table and every mart, and the same unit tests.

Embedded engine = dbt with DuckDB = `clicktrail --target bigquery` = dbt with BigQuery, the last two on the emulator. On
generated data of the newest schema, with every seed filled, amounts in another currency and fitted models; and on days of the
public sample (thinned by person), whose schema is old and odd, with all vars as they come. All tables of the project are
compared, whichever models it has. Every statement sent is parsed as GoogleSQL by sqlglot.

The two projects are run side by side, each with an emulator of its own, as an emulator works on one statement at a time.
`DBT_UNIT_TESTS=1` has dbt run the unit tests on it, too, after `clicktrail` has.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import sqlglot
from bigquery_server import DATASET, EXPORT, PROJECT, BigQuery
from harness import Checks, binary, clean_environment, clicktrail, difference, quoted

SAMPLE = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "ga4_sample"
SAMPLE_DAYS = ["20201219", "20201220"]
# Every so manieth person of the sample: its days are too large for an emulator.
SAMPLE_PERSONS = 60
# What the sample's schema lacks; `clicktrail` finds that by itself, dbt is told.
SAMPLE_LACKS = [
    "collected_traffic_source", "batch_page_id", "batch_ordering_id", "batch_event_index", "session_traffic_source_last_click",
]
DBT_DATASET = "dbt_shop"
DBT = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors"]

DEMO_VARS = {
    "ga4_dataset": EXPORT,
    "reporting_currency": "EUR",
    "attribution_models": [
        "first_touch", "last_touch", "first_click", "last_click", "last_paid", "linear", "time_decay", "position_based", "w_shaped",
        "markov", "shapley",
    ],
}
# Rates and costs with more digits than are kept, names outside ASCII, rules that hold from a day on.
DEMO_SEEDS = {
    "ad_spend": [
        ["2026-09-02", "google", "cpc", "brand", "120.123457", "USD", "310", "9000"],
        ["2026-09-02", "Google", "CPC", "Brand", "0.000001", "USD", "1", "1"],
        ["2026-09-03", "facebook", "paid_social", "Größe wählen", "33.335", "EUR", "10", "900"],
    ],
    "exchange_rates": [["2026-09-01", "USD", "0.912345678"], ["2026-09-05", "USD", "0.987654321"], ["2026-09-03", "GBP", "1.15"]],
    "own_source_categories": [["partner.example", "SHOPPING"], ["bing", ""]],
    "own_channel_rules": [
        ["1", "Größe", "Größe & Co", "google", "cpc", "", "", ""],
        ["2", "mail", "Letters", "%", "email", "%", "2026-09-04", "2026-09-08"],
    ],
}
# The sample has none of what these are made of: spend, rates, own rules and fits are empty as delivered, and it has neither
# refunds nor Google's own source of a session; and each of its few buyers came by a click.
SAMPLE_EMPTY = {
    "ad_spend", "exchange_rates", "stg_exchange_rates", "own_source_categories", "own_channel_rules", "fit_channel_weights", "int_spend",
    "weights_markov", "weights_shapley", "int_refunds", "fct_refunds", "mart_refunds_daily", "mart_roas", "mart_parity", "int_untouched",
}

PROFILE = """
clicktrail_demo:
  target: local
  outputs:
    local: {{type: clicktrail, path: warehouse, threads: 2}}
    duckdb: {{type: duckdb, path: dbt.duckdb, threads: 1}}
    bigquery:
      {{type: bigquery, method: oauth-secrets, token: emulator, project: {project}, dataset: {dataset}, location: EU,
        api_endpoint: "{url}", threads: 2, priority: interactive}}
    dbt:
      {{type: bigquery, method: oauth-secrets, token: emulator, project: {project}, dataset: {dbt}, location: EU,
        api_endpoint: "{emulator}", threads: 2, priority: interactive}}
"""


def profile(server: BigQuery) -> str:
    """Ours through the proxy; dbt, whose uploads the proxy does not know, straight to the emulator."""
    emulator = f"http://127.0.0.1:{server.emulator_port}"
    return PROFILE.format(project=PROJECT, dataset=DATASET, dbt=DBT_DATASET, url=server.url, emulator=emulator)


def environment() -> dict[str, str]:
    return {**clean_environment(), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


def dbt(project: Path, *arguments: str) -> None:
    command = [*DBT, *arguments, "--profiles-dir", "."]
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment())
    if said.returncode != 0:
        sys.exit(f"{' '.join(command)} failed\n{said.stdout}{said.stderr}")
    print(f"  {project.name}: {said.stdout.strip().splitlines()[-1]}")


def thin(file: Path, out: Path) -> None:
    """Writes the events of every SAMPLE_PERSONS-th person."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    keep = [zlib.crc32((person or "").encode()) % SAMPLE_PERSONS == 0 for person in table["user_pseudo_id"].to_pylist()]
    pyarrow.parquet.write_table(table.filter(pyarrow.array(keep)), out)


class Four:
    """A project that is built four ways, with an emulator of its own."""

    def __init__(self, checks: Checks, folder: Path, name: str, settings: dict, lacks: list[str], empty: set[str]) -> None:
        self.checks, self.name, self.empty = checks, name, empty
        self.path, self.start = folder / name, time.monotonic()
        clicktrail(folder, "init", name)
        self.data = self.path / "data"
        self.data.mkdir(exist_ok=True)
        settings = {"ga4_export": str(self.data / "events_*.parquet"), **settings}
        self.ours = json.dumps(settings)
        self.told = json.dumps({**settings, "ga4_missing_columns": {"events_*": lacks}})
        self.dataset = settings["ga4_dataset"]

    def took(self, what: str) -> None:
        now = time.monotonic()
        print(f"  {self.name}: {what} in {now - self.start:.0f} s", flush=True)
        self.start = now

    def serve(self) -> None:
        self.server = BigQuery()
        for dataset in [self.dataset, DATASET, DBT_DATASET]:
            self.server.create_dataset(dataset)
        for file in sorted(self.data.glob("events_*.parquet")):
            self.server.load_parquet(file, self.dataset, file.stem)
        (self.path / "profiles.yml").write_text(profile(self.server))
        self.took("emulator started, export loaded")

    def run(self, target: str) -> None:
        for verb in ["seed", "run"]:
            clicktrail(self.path, verb, "--quiet", "--target", target, "--vars", self.ours)
        self.took(f"clicktrail --target {target}")

    def dbt(self, target: str, verb: str, *more: str) -> None:
        dbt(self.path, verb, *more, "--target", target, "--vars", self.told, "--target-path", f"target/{target}")
        self.took(f"dbt {verb} --target {target}")

    def build(self) -> None:
        """The three others; the embedded tables are there."""
        both = ["--resource-type", "seed", "--resource-type", "model"]
        self.dbt("duckdb", "build", *both)
        self.run("bigquery")
        self.dbt("dbt", "build", *both)

    def compare(self) -> None:
        """All tables and marts of the embedded warehouse with those of the three others."""
        nodes = json.loads((self.path / "target" / "manifest.json").read_text())["nodes"].values()
        kept = [node for node in nodes if node["resource_type"] in ("seed", "model")]
        tables = {node["alias"] for node in kept if node["config"]["materialized"] in ("seed", "table", "incremental")}
        marts = {node["alias"] for node in kept if "marts" in node["config"]["tags"] and node["config"]["materialized"] == "view"}
        built = {log.parent.name for log in (self.path / "warehouse").glob("*/_delta_log")}
        self.checks.equal(f"{self.name}: tables that were not built", sorted(tables - built), [])
        self.checks.holds(f"{self.name}: tables and marts", "" if len(tables) > 20 and len(marts) > 5 else f"{tables} {marts}")
        database = duckdb.connect(str(self.path / "dbt.duckdb"))
        database.sql("set TimeZone = 'UTC'")
        for name in sorted(tables | marts):
            self.compare_one(database, name)
        database.close()
        self.took("compared")

    def compare_one(self, database, name: str) -> None:
        what = f"{self.name}: {name}"
        database.sql(f"create or replace temp view embedded as select * from read_parquet('{self.fetch('local', name)}')")
        kinds = {row[0]: row[1] for row in database.sql("describe select * from embedded").fetchall()}
        rows = database.sql("select count(*) from embedded").fetchall()[0][0]
        self.checks.equal(f"{what}: is empty", rows == 0, name in self.empty)
        others = {
            "dbt-duckdb": f"main.{quoted(name)}",
            "BigQuery": f"read_parquet('{self.fetch('bigquery', name)}')",
            "dbt-bigquery": f"read_parquet('{self.fetch('dbt', name)}')",
        }
        for other, relation in others.items():
            theirs = {row[0]: row[1] for row in database.sql(f"describe select * from {relation}").fetchall()}
            self.checks.equal(f"{what}: columns of {other}", sorted(theirs), sorted(kinds))
            if set(theirs) != set(kinds):
                continue
            # Widths of numbers and zones of timestamps differ by engine; values may not.
            cast = ", ".join(f"cast({quoted(column)} as {kind}) as {quoted(column)}" for column, kind in kinds.items())
            database.sql(f"create or replace temp view other as select {cast} from {relation}")
            found = lost_digits(database, relation, theirs, kinds) or difference(database, "embedded", "other", list(kinds))
            self.checks.holds(f"{what}: {rows} rows, {other} has the same", found)

    def fetch(self, target: str, name: str) -> Path:
        out = self.path / "target" / f"{target}_{name}.parquet"
        dataset = {"local": "", "bigquery": f"{DATASET}.", "dbt": f"{DBT_DATASET}."}[target]
        # Views read the export anew by the vars that they were made with.
        given = ["--target", target, "--vars", self.ours]
        clicktrail(self.path, "query", f"select * from {dataset}{name}", *given, "--out", str(out))
        return out

    def unit_tests(self, by: str) -> None:
        """One fixture for each rule, with the vars as they come or as the fixture has them; the embedded engine and DuckDB
        run them in every build."""
        given = ["test", "--select", "test_type:unit", "--vars", json.dumps({"ga4_dataset": self.dataset})]
        if by == "clicktrail":
            command = [str(binary()), *given, "--target", "bigquery", "--quiet"]
        else:
            command = [*DBT, *given, "--target", "dbt", "--profiles-dir", ".", "--target-path", "target/unit"]
        said = subprocess.run(command, cwd=self.path, capture_output=True, text=True, env=environment())
        self.checks.holds(f"unit tests by {by} on BigQuery", "" if said.returncode == 0 else (said.stdout + said.stderr)[-4000:])
        self.took(f"unit tests by {by}")

    def parse(self) -> None:
        """Each statement sent is GoogleSQL."""
        statements = self.server.statements()
        self.checks.holds(f"{self.name}: all {len(statements)} statements are GoogleSQL", parsed(statements))
        self.took("parsed")


def lost_digits(database, relation: str, theirs: dict[str, str], kinds: dict[str, str]) -> str:
    """A column with values that its type in the embedded engine can't hold; empty when there is none."""
    for column, kind in kinds.items():
        if theirs[column] == kind:
            continue
        back = f"cast(cast({quoted(column)} as {kind}) as {theirs[column]})"
        sql = f"select {quoted(column)} from {relation} where {quoted(column)} is distinct from {back} limit 1"
        rows = database.sql(sql).fetchall()
        if rows:
            return f"{column} is {theirs[column]} there and has {rows[0][0]}, which is no {kind}"
    return ""


def parsed(statements: list[str]) -> str:
    """Which statement is no GoogleSQL; empty when all are."""
    for sql in dict.fromkeys(statements):
        try:
            sqlglot.parse(sql, read="bigquery")
        except sqlglot.errors.ParseError as fault:
            return f"{str(fault).splitlines()[0]} in {sql[:200]}"
    return "" if statements else "none was sent"


def run_demo(checks: Checks, folder: Path) -> None:
    demo = Four(checks, folder, "demo", DEMO_VARS, [], set())
    clicktrail(demo.path, "generate", "--out", "data", "--events", "3000", "--days", "12", "--seed", "14", "--quiet")
    for name, rows in DEMO_SEEDS.items():
        with (demo.path / "seeds" / f"{name}.csv").open("a") as out:
            csv.writer(out, lineterminator="\n").writerows(rows)
    demo.serve()
    try:
        demo.run("local")
        fit = ["fit", "--min-conversions", "1", "--build", "--quiet", "--target", "local", "--vars", demo.ours]
        clicktrail(demo.path, *fit)
        demo.took("clicktrail fit")
        demo.build()
        demo.compare()
        demo.unit_tests("clicktrail")
        demo.parse()
    finally:
        demo.server.close()


def run_sample(checks: Checks, folder: Path) -> None:
    if not SAMPLE.is_dir():
        print("skipped: the sample is not there")
        return
    settings = {"ga4_dataset": "ga4_sample", "timezone": "America/Los_Angeles"}
    sample = Four(checks, folder, "sample", settings, SAMPLE_LACKS, SAMPLE_EMPTY)
    for day in SAMPLE_DAYS:
        thin(SAMPLE / f"events_{day}.parquet", sample.data / f"events_{day}.parquet")
    sample.serve()
    try:
        sample.run("local")
        sample.build()
        sample.compare()
        # Minutes, for the same SQL on the same emulator once more.
        if os.environ.get("DBT_UNIT_TESTS") == "1":
            sample.unit_tests("dbt")
        sample.parse()
    finally:
        sample.server.close()


def main() -> None:
    checks = Checks("bigquery_equal")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, checks, Path(folder)) for run in (run_demo, run_sample)]
        for one in both:
            one.result()
    checks.finish()


if __name__ == "__main__":
    binary()
    main()
