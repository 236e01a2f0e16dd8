"""Other readers see in the warehouse what `clicktrail query` sees.

Builds the demo project, then reads every table with the `deltalake` package (the log, as the reference
implementation understands it) and with DuckDB (the Parquet files that the log names), and compares
columns, row counts, sums and rows.
"""

import tempfile
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from harness import Checks, clicktrail, demo, difference, quoted

NUMBERS = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "DECIMAL")


def columns_of(database, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in database.sql(f"describe select * from {relation}").fetchall()}


def sums(database, relation: str, columns: dict[str, str]) -> list:
    """Row count, then the exact sum of each number column."""
    wanted = [name for name, kind in columns.items() if kind.startswith(NUMBERS)]
    parts = ["count(*)", *(f"sum({quoted(name)})" for name in wanted)]
    return list(database.sql(f"select {', '.join(parts)} from {relation}").fetchall()[0])


def parquet_relation(table: DeltaTable) -> str:
    """The table's current files as DuckDB reads them; what the log no longer names is left out."""
    files = ", ".join("'" + uri.removeprefix("file://").replace("'", "''") + "'" for uri in table.file_uris())
    if not table.metadata().partition_columns:
        return f"read_parquet([{files}])"
    types = {field.name: field.type.type for field in table.schema().fields}
    kinds = ", ".join(f"'{name}': '{types[name]}'" for name in table.metadata().partition_columns)
    return f"read_parquet([{files}], hive_partitioning = true, hive_types = {{{kinds}}})"


def compare(checks: Checks, database, project: Path, name: str) -> None:
    exported = project / "target" / f"{name}.parquet"
    clicktrail(project, "query", f"select * from {quoted(name)}", "--out", str(exported))
    database.sql(f"create or replace view ours as select * from read_parquet('{exported}')")
    ours = columns_of(database, "ours")
    table = DeltaTable(str(project / "warehouse" / name))
    database.register("by_deltalake", table.to_pyarrow_table())
    readers = ["by_deltalake"]
    # A table without rows has no file that DuckDB could be given.
    if table.file_uris():
        database.sql(f"create or replace view by_duckdb as select * from {parquet_relation(table)}")
        readers.append("by_duckdb")
    checks.equal(f"{name}: rows in the log", table.count(), sums(database, "ours", {})[0])
    for reader in readers:
        theirs = columns_of(database, reader)
        checks.equal(f"{name} {reader}: columns", sorted(theirs), sorted(ours))
        if sorted(theirs) != sorted(ours):
            continue
        checks.equal(f"{name} {reader}: types", theirs, {name: ours[name] for name in theirs})
        checks.equal(f"{name} {reader}: count and sums", sums(database, reader, ours), sums(database, "ours", ours))
        checks.holds(f"{name} {reader}: rows", difference(database, "ours", reader, sorted(ours)))
    database.unregister("by_deltalake")


def main() -> None:
    checks = Checks("delta_readers")
    with tempfile.TemporaryDirectory() as folder:
        project = demo(Path(folder))
        database = duckdb.connect()
        tables = sorted(log.parent.name for log in (project / "warehouse").glob("*/_delta_log"))
        for name in tables:
            compare(checks, database, project, name)
    checks.finish()


if __name__ == "__main__":
    main()
