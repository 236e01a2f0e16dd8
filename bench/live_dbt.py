"""Freshness of dbt with DuckDB: ten events into a table of the database, `dbt run`, a query.

Run by the Python of `.venv-bench`; prints the seconds of each run as JSON. Arguments: database,
project, profiles, threads, runs, ga4_export.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb

SQL = "select sum(conversions) from mart_attribution_daily"
MODELS = "select count(distinct attribution_model) from mart_attribution_daily"
# The last ten events of a buyer up to the purchase, as those of a new visitor.
INSERT = """
insert into ga4_events
with orders as (
    select user_pseudo_id, event_timestamp from ga4_events
    where event_name = 'purchase' and ecommerce.transaction_id is not null
    and user_pseudo_id is not null
),
numbered as (
    select e, row_number() over (
        partition by o.user_pseudo_id, o.event_timestamp order by e.event_timestamp desc
    ) as place, o.user_pseudo_id || o.event_timestamp as name
    from orders as o inner join ga4_events as e
    on e.user_pseudo_id = o.user_pseudo_id and e.event_timestamp <= o.event_timestamp
),
chosen as (select max(name) as name from numbered where place = 10)
select unnest(struct_update(e, user_pseudo_id := 'bench.{number}'))
from numbered semi join chosen using (name) where place <= 10
"""


def value(connection, sql: str):
    """The only value of an answer."""
    return connection.execute(sql).fetchall()[0][0]


def one_run(database: str, command: list[str], project: str, number: int, log: Path) -> dict:
    """Seconds from the insert to the answer, and conversions before and after."""
    connection = duckdb.connect(database)
    before = value(connection, SQL)
    started = time.perf_counter()
    inserted = connection.execute(INSERT.format(number=number)).fetchall()[0][0]
    connection.close()
    with log.open("w") as output:
        done = subprocess.run(command, cwd=project, stdout=output, stderr=subprocess.STDOUT,
                              env=os.environ)
    if done.returncode != 0:
        sys.exit(f"dbt run failed\n{log.read_text()}")
    connection = duckdb.connect(database, read_only=True)
    after = value(connection, SQL)
    seconds = time.perf_counter() - started
    models = value(connection, MODELS)
    added = float(after - before) / models
    connection.close()
    if inserted != 10 or added != 1:
        sys.exit(f"{inserted} events inserted, {added} conversions more; not 10 and 1")
    return {"seconds": seconds}


def main() -> None:
    """See the module."""
    database, project, profiles, threads, runs, export = sys.argv[1:]
    dbt = str(Path(sys.executable).with_name("dbt"))
    flags = ["--profiles-dir", profiles, "--threads", threads]
    connection = duckdb.connect(database)
    connection.execute("create table ga4_events as select * from "
                       f"read_parquet('{export}', union_by_name = true)")
    connection.close()
    for verb in ("seed", "run"):
        done = subprocess.run([dbt, verb, *flags], cwd=project, capture_output=True, text=True,
                              env=os.environ)
        if done.returncode != 0:
            sys.exit(f"dbt {verb} failed\n{done.stdout}{done.stderr}")
    log = Path(project) / "dbt.log"
    print(json.dumps([
        one_run(database, [dbt, "run", *flags], project, number, log)
        for number in range(int(runs))
    ]))


if __name__ == "__main__":
    main()
