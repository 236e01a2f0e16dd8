"""dbt with DuckDB builds from the same project and data the same rows as the embedded engine.

`dbt build` runs all data tests and unit tests there too. Every table that both sides keep, and every report, is compared as a
bag of rows, value by value; those of MARTS have to be there and to have the same types as well. In other
tables a type may differ, as engines give whole numbers in SQL different widths; it is told, not judged.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
from harness import Checks, clean_environment, clicktrail, demo, difference, quoted

MARTS = {"mart_first_click", "mart_last_click", "mart_attribution_daily", "fct_credits"}


def dbt_build(project: Path) -> Path:
    """Runs dbt on the project; gives DuckDB's file."""
    database = project / "dbt.duckdb"
    environment = {
        **clean_environment(),
        "DUCKDB_PATH": str(database),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    dbt = str(Path(sys.executable).with_name("dbt"))
    command = [dbt, "--no-use-colors", "build", "--target", "duckdb", "--profiles-dir", ".", "--target-path", "target/dbt"]
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    if said.returncode != 0:
        sys.exit(f"dbt build failed\n{said.stdout}{said.stderr}")
    print("  " + said.stdout.strip().splitlines()[-1])
    return database


def compare(checks: Checks, database, project: Path, name: str) -> None:
    exported = project / "target" / f"{name}.parquet"
    clicktrail(project, "query", f"select * from {quoted(name)}", "--out", str(exported))
    database.sql(f"create or replace temp view embedded as select * from read_parquet('{exported}')")
    dbt = f"main.{quoted(name)}"
    kinds = [
        {row[0]: row[1] for row in database.sql(f"describe select * from {relation}").fetchall()}
        for relation in ["embedded", dbt]
    ]
    checks.equal(f"{name}: columns", list(kinds[0]), list(kinds[1]))
    if kinds[0].keys() != kinds[1].keys():
        return
    other = [f"{column} {kind}, {kinds[1][column]} in dbt" for column, kind in kinds[0].items() if kind != kinds[1][column]]
    if name in MARTS:
        checks.holds(f"{name}: types", "; ".join(other))
    elif other:
        print(f"  note  {name}: {'; '.join(other)}")
    checks.holds(f"{name}: rows (first: embedded)", difference(database, "embedded", dbt, list(kinds[0])))


def main() -> None:
    checks = Checks("dbt_duckdb")
    with tempfile.TemporaryDirectory() as folder:
        project = demo(Path(folder))
        database = duckdb.connect(str(dbt_build(project)))
        tables = {log.parent.name for log in (project / "warehouse").glob("*/_delta_log")}
        theirs = {row[0] for row in database.sql("select table_name from duckdb_tables()").fetchall()}
        checks.equal("the same tables", sorted(tables), sorted(theirs))
        checks.equal("marts that are missing", sorted(MARTS - tables), [])
        views = {row[0] for row in database.sql("select view_name from duckdb_views() where not internal").fetchall()}
        reports = {name for name in views if name.startswith("mart_")}
        checks.holds("reports are views", "" if reports else "there is none")
        for name in sorted(tables & theirs) + sorted(reports):
            compare(checks, database, project, name)
        database.close()
    checks.finish()


if __name__ == "__main__":
    main()
