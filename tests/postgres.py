"""`publish` to a PostgreSQL server of this machine: the same rows, all at once or not at all, and what goes wrong.

Skipped, and said so, where Debian's package postgresql is missing.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import duckdb
from harness import Checks, binary, clean_environment, demo, difference, quoted
from postgres_server import ADMIN, DATABASE, PASSWORD, Server, Session, programs

SCHEMA = "Shöp marts"
NULL = "~null~"
MARK = "replaced by clicktrail publish"

# Two tables that say which generation they are of, and one of odd values.
MODELS = {
    "pair_one": "select {{ var('generation', 0) }} as generation, value as number{{ var('more', '') }} from generate_series(1, 200)",
    "pair_two": "select {{ var('generation', 0) }} as generation, value as number from generate_series(1, 300)",
    "oddities": r"""
select 1 as id, cast('NaN' as double) as fraction, cast('NaN' as real) as short_fraction, '' as note, cast(0.000000001 as decimal(38,9)) as amount,
  cast(9007199254740993 as bigint) as large, cast('0001-01-01' as date) as day, cast('2026-01-02T03:04:05.000006' as timestamp) as wall,
  arrow_cast('2026-01-02T03:04:05.000006Z', 'Timestamp(Microsecond, Some("UTC"))') as instant,
  true as yes, ['a', null, ''] as list, named_struct('n', cast(9007199254740993 as bigint), 'text', 'say "ä\b"') as thing
union all select 2, cast('Infinity' as double), cast(-0.0 as real), E'tab\there\nnew \\N line\r', cast('-99999999999999999999999999999.123456789' as decimal(38,9)),
  -9223372036854775808, cast('9999-12-31' as date), cast('1969-12-31T23:59:59.999999' as timestamp),
  arrow_cast('1969-12-31T23:59:59.999999Z', 'Timestamp(Microsecond, Some("UTC"))'),
  false, [], named_struct('n', cast(null as bigint), 'text', 'ö😀')
union all select 3, cast('-Infinity' as double), cast(1e-45 as real), 'Größe 😀 "quoted" ''single''', cast(12.5 as decimal(38,9)),
  9223372036854775807, cast('1970-01-01' as date), cast('2000-01-01T00:00:00' as timestamp),
  arrow_cast('2000-01-01T00:00:00Z', 'Timestamp(Microsecond, Some("UTC"))'), null, null, null
union all select 4, 0.1, cast(3.4e38 as real), null, null, null, null, null, null, null, ['x'], null
""",
}


class Shop:
    """The demo project with models of our own, and a target on the server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.path, self.server, self.told = demo(folder), server, ""
        for name, sql in MODELS.items():
            (self.path / "models" / f"{name}.sql").write_text("{{ config(materialized='table', tags=['ours']) }}\n" + sql)
        self.profile()

    def profile(self, **changed) -> None:
        """Writes the target `pg`; a key with `None` is left out."""
        target = {
            "type": "postgres", "host": "localhost", "port": self.server.port, "user": "publisher", "schema": SCHEMA,
            "password": "{{ env_var('SHOP_PASSWORD') }}", "dbname": DATABASE, "threads": 4, **changed,
        }
        target = {key: value for key, value in target.items() if value is not None}
        outputs = {"local": {"type": "clicktrail", "path": "warehouse", "threads": 0}, "pg": target}
        (self.path / "profiles.yml").write_text(json.dumps({"clicktrail_demo": {"target": "local", "outputs": outputs}}))

    def start(self, *arguments: str, password: str = PASSWORD) -> subprocess.Popen:
        return subprocess.Popen(
            [binary(), *arguments], cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**clean_environment(), "SHOP_PASSWORD": password},
        )

    def run(self, *arguments: str, **more) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **more)
        out, err = process.communicate()
        self.told += out + err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def publish(self, *select: str, **more) -> subprocess.CompletedProcess:
        return self.run("publish", "--to", "pg", *select, **more)

    def build(self, generation: int, more: str = "") -> None:
        said = self.run("run", "-s", "tag:ours", "--quiet", "--vars", json.dumps({"generation": generation, "more": more}))
        if said.returncode != 0:
            sys.exit(said.stderr)

    def refused(self, checks: Checks, what: str, wanted: str, *select: str, password: str = PASSWORD, **changed) -> str:
        """A publish with a changed target that has to fail with a code."""
        self.profile(**changed)
        said = self.publish(*(select or ("-s", "pair_two")), password=password)
        self.profile()
        found = re.search(r"E\d{4}", said.stderr)
        checks.equal(f"{what}: {wanted}", (said.returncode, found and found.group(0)), (1, wanted))
        if not found or found.group(0) != wanted:
            print(said.stderr)
        return said.stderr


def same_rows(checks: Checks, shop: Shop, folder: Path, tables: list[str]) -> None:
    """Rows there are the rows of the Parquet files that `publish --out` writes."""
    database = duckdb.connect()
    database.sql("set timezone = 'UTC'")
    for name in tables:
        out = folder / f"{name}.parquet"
        said = shop.run("query", f"select * from {quoted(name)}", "--out", str(out))
        if said.returncode != 0:
            checks.holds(name, said.stderr)
            continue
        database.sql(f"create or replace table ours as select * from read_parquet('{out}')")
        columns = {row[0]: row[1] for row in database.sql("describe ours").fetchall()}
        file = folder / f"{name}.csv"
        shop.server.csv(f"select * from {quoted(SCHEMA)}.{quoted(name)}", file, NULL)
        kinds = {column: kind if "[" not in kind and "(" not in kind or kind.startswith("DECIMAL") else "JSON" for column, kind in columns.items()}
        # Values of nested columns are compared as JSON, in one spelling.
        theirs = [f"json({quoted(column)}) as {quoted(column)}" if kind == "JSON" else f"{quoted(column)}::{kind} as {quoted(column)}" for column, kind in kinds.items()]
        ours = [f"to_json({quoted(column)}) as {quoted(column)}" if kind == "JSON" else quoted(column) for column, kind in kinds.items()]
        database.sql(f"create or replace table read as select * from read_csv('{file}', all_varchar = true, header = true, nullstr = '{NULL}', allow_quoted_nulls = false, quote = '\"', escape = '\"', delim = ',')")
        database.sql(f"create or replace view theirs as select {', '.join(theirs)} from read")
        database.sql(f"create or replace view wanted as select {', '.join(ours)} from ours")
        count = database.sql("select count(*) from ours").fetchall()[0][0]
        checks.holds(f"{name}: {count} rows", difference(database, "wanted", "theirs", list(columns)))


def good_ways(checks: Checks, shop: Shop, folder: Path) -> None:
    server = shop.server
    said = shop.publish("-s", "tag:marts,config.materialized:table", "tag:ours")
    checks.holds("the first publish", "" if said.returncode == 0 and ", new" in said.stderr else said.stderr)
    tables = server.sql(f"select relname from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = '{SCHEMA}' order by 1")
    checks.holds("marts are there", "" if "mart_last_click" in tables and "oddities" in tables else str(tables))
    same_rows(checks, shop, folder, tables)
    kinds = server.sql("select attname, format_type(atttypid, atttypmod) from pg_attribute join pg_class c on c.oid = attrelid where relname = 'oddities' and attnum > 0 order by attnum")
    wanted = ["id|bigint", "fraction|double precision", "short_fraction|real", "note|text", "amount|numeric(38,9)", "large|bigint", "day|date",
              "wall|timestamp without time zone", "instant|timestamp with time zone", "yes|boolean", "list|jsonb", "thing|jsonb"]
    checks.equal("types", kinds, wanted)
    odd = server.sql(f"select fraction, note = '', amount, list, thing->>'n' from {quoted(SCHEMA)}.oddities order by id limit 1")
    checks.equal("odd values as they are", odd, ['NaN|t|0.000000001|["a", null, ""]|9007199254740993'])
    left = server.sql(f"select note is null, list from {quoted(SCHEMA)}.oddities where id = 4")
    checks.equal("a null is no empty text", left, ['t|["x"]'])
    before = server.sql("select oid from pg_class where relname = 'pair_one'")
    shop.build(2)
    said = shop.publish("-s", "tag:ours")
    checks.holds("the second publish", "" if said.returncode == 0 and ", new" not in said.stderr else said.stderr)
    checks.equal("the table is the same table", server.sql("select oid from pg_class where relname = 'pair_one'"), before)
    same_rows(checks, shop, folder, list(MODELS))


def generations(rows: list[str]) -> bool:
    """Whether a reader saw both tables whole and of one generation."""
    return len(rows) == 2 and rows[0].split("|")[1] == "200" and rows[1].split("|")[1] == "300" and rows[0].split("|")[0] == rows[1].split("|")[0]


READ = "; ".join(f"select generation, count(*) from {quoted(SCHEMA)}.{name} group by generation" for name in ("pair_one", "pair_two"))


def atomic(checks: Checks, shop: Shop) -> None:
    """Readers see one generation; a publish that is killed leaves the one before. A trigger makes each row slow."""
    server = shop.server
    server.sql("create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01); return new; end $$")
    for name in ("pair_one", "pair_two"):
        server.sql(f"create trigger slow before insert on {quoted(SCHEMA)}.{name} for each row execute function slow()")
    early, reader = Session(server), Session(server)
    early.ask("begin isolation level repeatable read")
    early.ask("select count(*) from pg_class")
    shop.build(3)
    process = shop.start("publish", "--to", "pg", "-s", "tag:ours")
    seen, wrong = set(), []
    while process.poll() is None:
        rows = [*reader.ask("begin isolation level repeatable read"), *reader.ask(READ), *reader.ask("commit")]
        seen.add(rows[0] if rows else "nothing")
        wrong.extend([] if generations(rows) else [rows])
    checks.equal("the slow publish", process.returncode, 0)
    checks.holds(f"a reader sees one generation, {len(seen)} in all", str(wrong[:2]) if wrong or len(seen) > 2 else "")
    checks.equal("it is the next one in the end", reader.ask(READ), ["3|200", "3|300"])
    checks.equal("a transaction of before sees what was", early.ask(READ), ["2|200", "2|300"])
    early.ask("commit")
    shop.build(4)
    for what, end in [("killed", signal.SIGKILL), ("interrupted", signal.SIGINT)]:
        process = shop.start("publish", "--to", "pg", "-s", "tag:ours")
        copying(checks, reader, f"{what} while rows are copied")
        process.send_signal(end)
        process.communicate()
        checks.equal(f"{what}: exit code", process.returncode, -9 if end == signal.SIGKILL else 130)
        gone(checks, reader, what)
        checks.equal(f"{what}: all is as before", reader.ask(READ), ["3|200", "3|300"])
    process = shop.start("publish", "--to", "pg", "-s", "tag:ours")
    copying(checks, reader, "the server ends the connection")
    reader.ask("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'clicktrail'")
    _, told = process.communicate()
    checks.holds("the connection is ended: E3206 or E3204", "" if process.returncode == 1 and re.search("E320[46]", told) else told)
    checks.equal("the connection is ended: all is as before", reader.ask(READ), ["3|200", "3|300"])
    for name in ("pair_one", "pair_two"):
        server.sql(f"drop trigger slow on {quoted(SCHEMA)}.{name}")
    said = shop.publish("-s", "tag:ours")
    checks.equal("the next publish", (said.returncode, reader.ask(READ)), (0, ["4|200", "4|300"]))
    reader.close()
    early.close()


def copying(checks: Checks, session: Session, what: str) -> None:
    for _ in range(600):
        if session.ask("select 1 from pg_stat_progress_copy where tuples_processed > 5"):
            return
        time.sleep(0.02)
    checks.holds(what, "no copy was seen")


def gone(checks: Checks, session: Session, what: str) -> None:
    for _ in range(600):
        if not session.ask("select 1 from pg_stat_activity where application_name = 'clicktrail'"):
            return
        time.sleep(0.02)
    checks.holds(f"{what}: the server lets go", "the connection is still there")


def columns(checks: Checks, shop: Shop) -> None:
    """Columns that come and go; views and grants stay."""
    server, here = shop.server, quoted(SCHEMA)
    server.sql(f"create view public.sums as select generation, sum(number) as sum from {here}.pair_one group by 1")
    server.sql(f"create role analyst; grant select on {here}.pair_one to analyst")
    shop.build(5, ", 'x' as note, now() as at")
    said = shop.publish("-s", "pair_one")
    checks.holds("new columns are told", "" if said.returncode == 0 and "with `note`, `at`" in said.stderr else said.stderr)
    checks.equal("the view stays", server.sql("select * from public.sums"), ["5|20100"])
    checks.equal("the grant stays", server.sql(f"select has_table_privilege('analyst', '{here}.pair_one', 'select')"), ["t"])
    checks.equal("a new column has values", server.sql(f"select count(note) from {here}.pair_one"), ["200"])
    shop.build(6)
    said = shop.publish("-s", "pair_one")
    checks.holds("columns that went are told", "" if said.returncode == 0 and "without `note`, `at`" in said.stderr else said.stderr)
    model = shop.path / "models" / "pair_one.sql"
    text = model.read_text()
    model.write_text(text.replace("value as number", "value as count"))
    shop.build(7)
    told = shop.refused(checks, "a view reads a column that went", "E3207", "-s", "tag:ours")
    checks.holds("the view is named", "" if "view sums" in told and "drop the view" in told else told)
    checks.equal("nothing is replaced then", server.sql(READ), ["6|200", "4|300"])
    model.write_text(text)
    shop.build(8)


def strangers(checks: Checks, shop: Shop) -> None:
    """Names that are taken, and rights."""
    server, here = shop.server, quoted(SCHEMA)
    server.sql("create schema taken authorization publisher; create table taken.pair_two (a int); insert into taken.pair_two values (1)")
    server.sql("create view taken.oddities as select 1; alter table taken.pair_two owner to publisher")
    told = shop.refused(checks, "a table of somebody else", "E3207", schema="taken")
    checks.holds("how to let it be replaced", "" if MARK in told else told)
    checks.equal("it is left alone", server.sql("select a from taken.pair_two"), ["1"])
    shop.refused(checks, "a view of that name", "E3207", "-s", "oddities", schema="taken")
    server.sql(f"""create role writer login password '{PASSWORD.replace("'", "''")}'; grant usage on schema {here} to writer;
        grant select, insert, delete on {here}.pair_two to writer""")
    shop.profile(user="writer")
    said = shop.publish("-s", "pair_two")
    checks.holds("who may insert and delete may publish", "" if said.returncode == 0 else said.stderr)
    shop.refused(checks, "a table without rights", "E3202", "-s", "tag:ours", user="writer")
    shop.refused(checks, "a schema without rights", "E3202", user="writer", schema="new")
    checks.equal("all is as it was", server.sql(READ), ["6|200", "8|300"])
    server.sql("grant publisher to writer")
    shop.profile(user="writer", role="publisher")
    said = shop.publish("-s", "tag:ours")
    checks.holds("with a role", "" if said.returncode == 0 else said.stderr)
    shop.refused(checks, "a role that is not there", "E3203", role="nobody here")
    other = Session(server)
    other.ask(f"begin; select pg_advisory_xact_lock(hashtextextended('clicktrail publish {SCHEMA}', 0))")
    shop.refused(checks, "another publish at work", "E3206")
    other.close()


def connections(checks: Checks, shop: Shop) -> None:
    server = shop.server
    tls = {name: str(server.tls / f"{name}.crt") for name in ("authority", "stranger")}
    for path in (server.tls, *map(Path, tls.values())):
        path.chmod(0o755)
    for what, changed in {
        "sslmode disable": {"sslmode": "disable"}, "sslmode require": {"sslmode": "require"},
        "sslmode verify-full": {"sslmode": "verify-full", "sslrootcert": tls["authority"]},
        "sslmode verify-ca, another name": {"sslmode": "verify-ca", "sslrootcert": tls["authority"], "host": "127.0.0.1"},
        "keys as dbt writes them": {"database": DATABASE, "dbname": None, "pass": "{{ env_var('SHOP_PASSWORD') }}", "password": None,
                                    "keepalives_idle": 0, "connect_timeout": 10, "retries": 1, "search_path": "public"},
        "a Unix socket": {"host": str(server.data), "user": ADMIN, "password": None},
    }.items():
        shop.profile(**changed)
        said = shop.publish("-s", "pair_two")
        checks.holds(what, "" if said.returncode == 0 else said.stderr)
    shop.refused(checks, "a certificate of a stranger", "E3205", sslmode="verify-full", sslrootcert=tls["stranger"])
    shop.refused(checks, "a certificate that no browser knows", "E3205", sslmode="verify-full")
    shop.refused(checks, "another name than the certificate's", "E3205", sslmode="verify-full", sslrootcert=tls["authority"], host="127.0.0.1")
    shop.refused(checks, "require with a root is verify-ca", "E3205", sslmode="require", sslrootcert=tls["stranger"])
    shop.refused(checks, "no such certificate", "E3208", sslmode="verify-full", sslrootcert="missing.crt")
    shop.refused(checks, "a wrong password", "E3201", password="s3cret-wrong")
    shop.refused(checks, "no password", "E3201", password="")
    shop.refused(checks, "no such user", "E3201", user="nobody")
    shop.refused(checks, "no such database", "E3203", dbname="missing")
    shop.refused(checks, "nobody listens", "E3204", port=1)
    shop.refused(checks, "no such host", "E3204", host="missing.invalid")
    shop.refused(checks, "a name too long", "E3208", schema="x" * 64)
    shop.refused(checks, "a wrong sslmode", "E4004", sslmode="sometimes")
    shop.refused(checks, "a port that is none", "E4004", port=70000)
    shop.refused(checks, "no user", "E4004", user=None)
    shop.refused(checks, "no schema", "E1005", schema=None)
    said = shop.run("publish", "--to", "local", "-s", "pair_two")
    checks.holds("a target that takes no tables", "" if said.returncode == 1 and "takes no published tables" in said.stderr else said.stderr)
    for command in (["build"], ["query", "select 1"], ["compile"], ["serve"], ["ls"], ["publish", "--out", "x"]):
        said = shop.run(*command, "--target", "pg")
        good = said.returncode == 1 and "takes published tables only" in said.stderr and "publish --to pg" in said.stderr
        checks.holds(f"{command[0]} with such a target is refused", "" if good else said.stderr)
    said = shop.run("debug", "--target", "pg")
    checks.holds("debug says what the target is for", "" if "publish --to pg" in said.stdout else said.stdout)


def secrets(checks: Checks, shop: Shop) -> None:
    logs = "".join(path.read_text(errors="replace") for path in (shop.path / "target").rglob("*") if path.suffix in (".log", ".json"))
    for secret in (PASSWORD, "s3cret-wrong"):
        checks.holds("no password is told or logged", "it is" if secret in shop.told + logs or json.dumps(secret)[1:-1] in logs else "")


def main() -> None:
    checks, bin_dir = Checks("postgres"), programs()
    if bin_dir is None:
        print("postgres: skipped, there is no PostgreSQL server on this machine (Debian's package postgresql)")
        return
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), bin_dir) as server:
        word = PASSWORD.replace("'", "''")
        server.sql(f"create role publisher login password '{word}'", "postgres")
        server.sql(f"create database {DATABASE}", "postgres")
        server.sql(f"grant create on database {DATABASE} to publisher")
        work = Path(folder) / "work"
        work.mkdir()
        shop = Shop(work, server)
        shop.build(1)
        good_ways(checks, shop, work)
        atomic(checks, shop)
        columns(checks, shop)
        strangers(checks, shop)
        connections(checks, shop)
        secrets(checks, shop)
    checks.finish()


if __name__ == "__main__":
    main()
