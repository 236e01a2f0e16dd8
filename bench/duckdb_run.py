"""Runs a SQL script, or one query as CSV, in this process. Needs the pinned environment.

    python duckdb_run.py DATABASE script FILE
    python duckdb_run.py DATABASE query SQL
"""

import csv
import sys
from pathlib import Path

import duckdb


def main() -> None:
    """See above."""
    database, verb, what = sys.argv[1:]
    with duckdb.connect(database, read_only=verb == "query") as connection:
        if verb == "script":
            connection.execute(Path(what).read_text())
        else:
            result = connection.execute(what)
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(column[0] for column in result.description)
            writer.writerows(result.fetchall())


main()
