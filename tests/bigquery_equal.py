"""One project, four ways to run it, the same rows in every table.

Embedded engine = dbt with DuckDB = `clicktrail --target bigquery` = dbt with BigQuery, the last two on the emulator. On
generated data of the newest schema, and on days of the public sample (thinned by person), whose schema is old and odd.
All tables of the project are compared, whichever models it has. Every statement sent is parsed as GoogleSQL by sqlglot.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
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


def dbt(project: Path, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors", *arguments, "--profiles-dir", "."]
    environment = {**clean_environment(), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    if said.returncode != 0:
        sys.exit(f"{' '.join(command)} failed\n{said.stdout}{said.stderr}")
    print("  " + said.stdout.strip().splitlines()[-1])


def thin(file: Path, out: Path) -> None:
    """Writes the events of every SAMPLE_PERSONS-th person."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    keep = [zlib.crc32((person or "").encode()) % SAMPLE_PERSONS == 0 for person in table["user_pseudo_id"].to_pylist()]
    pyarrow.parquet.write_table(table.filter(pyarrow.array(keep)), out)


def compare(checks: Checks, database, project: Path, what: str) -> None:
    """All tables of the embedded warehouse with those of the three others."""
    manifest = json.loads((project / "target" / "manifest.json").read_text())
    names = sorted(
        node["alias"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "seed"
        or (node["resource_type"] == "model" and node["config"]["materialized"] in ("table", "incremental"))
    )
    built = {log.parent.name for log in (project / "warehouse").glob("*/_delta_log")}
    checks.equal(f"{what}: tables that were not built", [name for name in names if name not in built], [])
    for name in names:
        database.sql(f"create or replace temp view embedded as select * from read_parquet('{fetch(project, 'local', name)}')")
        kinds = {row[0]: row[1] for row in database.sql("describe select * from embedded").fetchall()}
        others = {
            "dbt-duckdb": f"duckdb_built.main.{quoted(name)}",
            "BigQuery": f"read_parquet('{fetch(project, 'bigquery', name)}')",
            "dbt-bigquery": f"read_parquet('{fetch(project, 'dbt', name)}')",
        }
        rows = database.sql("select count(*) from embedded").fetchall()[0][0]
        for other, relation in others.items():
            theirs = [row[0] for row in database.sql(f"describe select * from {relation}").fetchall()]
            checks.equal(f"{what}: {name}: columns of {other}", sorted(theirs), sorted(kinds))
            if set(theirs) != set(kinds):
                continue
            # Widths of numbers and zones of timestamps differ by engine; values may not.
            cast = ", ".join(f"cast({quoted(column)} as {kind}) as {quoted(column)}" for column, kind in kinds.items())
            database.sql(f"create or replace temp view other as select {cast} from {relation}")
            found = difference(database, "embedded", "other", list(kinds))
            checks.holds(f"{what}: {name}: {rows} rows, {other} has the same", found)


def fetch(project: Path, target: str, name: str) -> Path:
    out = project / "target" / f"{target}_{name}.parquet"
    dataset = {"local": "", "bigquery": f"{DATASET}.", "dbt": f"{DBT_DATASET}."}[target]
    clicktrail(project, "query", f"select * from {dataset}{name}", "--target", target, "--out", str(out))
    return out


def run(checks: Checks, server: BigQuery, project: Path, what: str, files: list[Path], settings: dict) -> None:
    """Builds four times and compares."""
    for file in files:
        server.load_parquet(file, settings["ga4_dataset"], file.stem)
    server.requests.clear()
    (project / "profiles.yml").write_text(profile(server))
    settings = {"ga4_export": str(files[0].parent / "events_*.parquet"), **settings}
    lacks = settings.pop("lacks", [])
    ours = json.dumps(settings)
    told = json.dumps({**settings, "ga4_missing_columns": {"events_*": lacks}})
    start = time.monotonic()
    for target in ["local", "bigquery"]:
        for verb in ["seed", "run"]:
            clicktrail(project, verb, "--quiet", "--target", target, "--vars", ours)
    print(f"  {what}: embedded and BigQuery built in {time.monotonic() - start:.0f} s")
    for target in ["duckdb", "dbt"]:
        for verb in ["seed", "run"]:
            dbt(project, verb, "--target", target, "--vars", told, "--target-path", "target/dbt")
    print(f"  {what}: all four built in {time.monotonic() - start:.0f} s")
    database = duckdb.connect()
    database.sql("set TimeZone = 'UTC'")
    database.sql(f"attach '{project / 'dbt.duckdb'}' as duckdb_built (read_only)")
    compare(checks, database, project, what)
    database.close()


def parsed(statements: list[str]) -> str:
    """Which statement is no GoogleSQL; empty when all are."""
    for sql in statements:
        try:
            sqlglot.parse(sql, read="bigquery")
        except sqlglot.errors.ParseError as fault:
            return f"{str(fault).splitlines()[0]} in {sql[:200]}"
    return ""


def main() -> None:
    checks = Checks("bigquery_equal")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    server = BigQuery()
    try:
        for dataset in [EXPORT, "ga4_sample", DATASET, DBT_DATASET]:
            server.create_dataset(dataset)
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder) / "demo"
            clicktrail(Path(folder), "init", "demo")
            clicktrail(project, "generate", "--out", "data", "--events", "3000", "--days", "12", "--quiet")
            files = sorted((project / "data").glob("events_*.parquet"))
            run(checks, server, project, "demo", files, {"ga4_dataset": EXPORT})
            checks.holds(f"all {len(server.statements())} statements are GoogleSQL", parsed(server.statements()))
        if not SAMPLE.is_dir():
            print("skipped: the sample is not there")
            checks.finish()
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder) / "sample"
            clicktrail(Path(folder), "init", "sample")
            (project / "data").mkdir(exist_ok=True)
            for day in SAMPLE_DAYS:
                thin(SAMPLE / f"events_{day}.parquet", project / "data" / f"events_{day}.parquet")
            files = sorted((project / "data").glob("events_*.parquet"))
            settings = {"ga4_dataset": "ga4_sample", "timezone": "America/Los_Angeles", "lacks": SAMPLE_LACKS}
            run(checks, server, project, "sample", files, settings)
            checks.holds("all statements are GoogleSQL", parsed(server.statements()))
    finally:
        server.close()
    checks.finish()


if __name__ == "__main__":
    binary()
    main()
