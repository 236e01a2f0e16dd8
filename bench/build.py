#!/usr/bin/env python3
"""Full build of the sample: clicktrail, one DuckDB script and dbt-duckdb, on the same models.

Per contender and run: project prepared and seeds loaded (not measured), then one process that
builds every model into an empty warehouse (measured). Runs are interleaved and each round
starts with another contender, so that a drifting machine hits all of them.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Callable

import duckdb_script
import environment
import harness
from harness import BenchError, Sample, tell

OURS, SCRIPT, DBT = "clicktrail", "DuckDB script", "dbt-duckdb"
AIMS = {SCRIPT: 3.0, DBT: 8.0}
AIM_PEAK_BYTES = 1024**3

DUCKDB_PROFILE = """\
clicktrail_demo:
  target: bench
  outputs:
    bench:
      type: duckdb
      path: {database}
      threads: {threads}
      settings: {{threads: {threads}}}
"""

# The whole mart, so that equal totals cannot hide a moved conversion. As text, so that dates and
# decimals of the engines print alike.
MART = """
select
    cast(date as varchar) as date, attribution_model, event_name, channel, source, medium,
    campaign, currency, cast(conversions as varchar) as conversions,
    cast(revenue as varchar) as revenue, cast(credit_micros as varchar) as credit_micros
from mart_attribution_daily
"""
EXACT = ("conversions", "revenue", "credit_micros")


@dataclass(frozen=True)
class Contender:
    """Someone who builds the models."""

    name: str
    prepare: Callable[[], None]
    """Empties the warehouse and loads the seeds; not measured."""
    command: list[str]
    cwd: Path
    env: dict[str, str]
    mart: Callable[[], str]
    """`mart_attribution_daily` as CSV."""


def ours(options, work: Path, export: str) -> Contender:
    """`clicktrail build` into Delta tables."""
    project = harness.copy_project(work, "ours")
    left_out = ["--exclude", *harness.NO_TESTS, "resource_type:seed"]

    def prepare() -> None:
        harness.remove(project / "warehouse", project / "target")
        harness.capture(harness.clicktrail(options, "seed", export), project)

    def mart() -> str:
        return harness.capture([str(options.binary), "query", MART, "-o", "csv"], project)

    command = harness.clicktrail(options, "build", export, *left_out)
    return Contender(OURS, prepare, command, project, {}, mart)


def mart_of_duckdb(python: Path, database: Path) -> Callable[[], str]:
    """Reads the mart from a database file, in its own process."""
    runner = str(harness.ROOT / "bench" / "duckdb_run.py")
    return lambda: harness.capture([str(python), runner, str(database), "query", MART])


def script(options, work: Path, export: str, venv: Path) -> Contender:
    """The compiled models as one script in one fresh DuckDB process."""
    project = harness.copy_project(work, "script")
    harness.capture(
        harness.clicktrail(options, "compile", export, "--target", "duckdb", "--exclude",
                           *harness.NO_TESTS), project)
    seeds, models = duckdb_script.scripts(project, options.threads)
    (project / "seeds.sql").write_text(seeds)
    (project / "models.sql").write_text(models)
    database = project / "bench.duckdb"
    run = [str(venv / "python"), str(harness.ROOT / "bench" / "duckdb_run.py"), str(database),
           "script"]

    def prepare() -> None:
        harness.remove(database, project / "bench.duckdb.wal")
        harness.capture([*run, str(project / "seeds.sql")], project)

    command = [*run, str(project / "models.sql")]
    mart = mart_of_duckdb(venv / "python", database)
    return Contender(SCRIPT, prepare, command, project, {}, mart)


def dbt(options, work: Path, export: str, venv: Path) -> Contender:
    """`dbt run` with dbt-duckdb; `dbt seed` before it leaves a warm partial parse."""
    project = harness.copy_project(work, "dbt")
    database = project / "bench.duckdb"
    profiles = work / "profiles"
    profiles.mkdir()
    (profiles / "profiles.yml").write_text(
        DUCKDB_PROFILE.format(database=database, threads=options.threads))
    flags = ["--profiles-dir", str(profiles), "--vars", harness.ga4_vars(export), "--threads",
             str(options.threads)]
    env = environment.DBT_ENVIRONMENT

    def prepare() -> None:
        harness.remove(database, project / "bench.duckdb.wal", project / "target")
        harness.capture([str(venv / "dbt"), "seed", *flags], project, env)

    command = [str(venv / "dbt"), "run", *flags]
    mart = mart_of_duckdb(venv / "python", database)
    return Contender(DBT, prepare, command, project, env, mart)


def rows_of(text: str) -> list[tuple]:
    """Rows of a mart in an order of our own, with exact numbers."""
    return sorted(
        tuple(Decimal(value or 0) if name in EXACT else value for name, value in row.items())
        for row in csv.DictReader(io.StringIO(text)))


def totals_of(rows: list[tuple]) -> dict[str, tuple[Decimal, ...]]:
    """Conversions, revenue and credits of each attribution model."""
    totals: dict[str, list[Decimal]] = {}
    for row in rows:
        sums = totals.setdefault(row[1], [Decimal(0)] * len(EXACT))
        for index, value in enumerate(row[-len(EXACT):]):
            sums[index] += value
    return {name: tuple(sums) for name, sums in sorted(totals.items())}


def compare(marts: dict[str, list[tuple]]) -> None:
    """Fails unless all contenders built the same mart, which must not be empty."""
    expected = marts[OURS]
    if not expected:
        raise BenchError("mart_attribution_daily is empty: nothing was measured")
    for name, rows in marts.items():
        if totals_of(rows) != totals_of(expected):
            raise BenchError(
                f"{name} has other totals\n  {OURS}: {totals_of(expected)}\n"
                f"  {name}: {totals_of(rows)}")
        if rows != expected:
            moved = sorted(set(rows) ^ set(expected))[:5]
            raise BenchError(f"{name} has equal totals but other rows, such as {moved}")


def compare_orders(rows: list[tuple], days: set[str]) -> str:
    """Fails unless orders and revenue of each day are those published with the sample."""
    found: dict[str, list[Decimal]] = {}
    for row in rows:
        if row[1] == "last_click" and row[2] == "purchase":
            sums = found.setdefault(row[0], [Decimal(0), Decimal(0)])
            sums[0] += row[-3]
            sums[1] += row[-2]
    wanted = {
        line["date"]: [Decimal(line["orders"]), Decimal(line["revenue_usd"])]
        for line in csv.DictReader((harness.SAMPLE / "orders_per_day.csv").open())
        if line["date"].replace("-", "") in days
    }
    nothing = [Decimal(0), Decimal(0)]
    for day in sorted(found.keys() | wanted.keys()):
        if found.get(day, nothing) != wanted.get(day, nothing):
            raise BenchError(f"{day}: {found.get(day)} orders and revenue, not {wanted.get(day)}")
    orders = sum((sums[0] for sums in wanted.values()), Decimal(0))
    revenue = sum((sums[1] for sums in wanted.values()), Decimal(0))
    return f"{orders} orders, {revenue:,} USD"


def rounds(contenders: list[Contender], runs: int, work: Path) -> tuple[dict, dict]:
    """All runs, interleaved; samples and marts by name."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    marts: dict[str, list[tuple]] = {}
    for number in range(runs):
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            contender.prepare()
            sample = harness.measure(
                contender.command, contender.cwd, work / f"{contender.name}.log", contender.env)
            samples[contender.name].append(sample)
            tell(f"run {number + 1}/{runs} {contender.name}: "
                 f"{harness.seconds(sample.wall_seconds)}, "
                 f"{harness.mebibytes(sample.peak_rss_bytes)}")
            if number == 0:
                marts[contender.name] = rows_of(contender.mart())
        if number == 0:
            compare(marts)
    return samples, marts


def report(options, load: float, samples: dict, versions: dict, checked: str) -> str:
    """The section of the page."""
    medians = {name: harness.figures(runs) for name, runs in samples.items()}
    base = medians[OURS]
    rows = []
    for name, figure in medians.items():
        rows.append([
            name, harness.seconds(figure.wall_seconds), figure.wall_spread,
            f"{figure.wall_seconds / base.wall_seconds:.2f} ×",
            harness.seconds(figure.cpu_seconds),
            f"{figure.cpu_seconds / base.cpu_seconds:.2f} ×",
            harness.mebibytes(figure.peak_rss_bytes),
        ])
    head = ["contender", "wall, median", "least – most", "wall ÷ ours", "CPU", "CPU ÷ ours",
            "peak RSS"]
    verdicts = []
    for name, aim in AIMS.items():
        if name not in medians:
            continue
        ratio = medians[name].wall_seconds / base.wall_seconds
        verdicts.append(f"- Aim: {aim:g} × faster than {name}: "
                        f"{'met' if ratio >= aim else '**missed**'}, {ratio:.2f} ×")
    met = "met" if base.peak_rss_bytes <= AIM_PEAK_BYTES else "**missed**"
    peak = harness.mebibytes(base.peak_rss_bytes)
    verdicts.append(f"- Aim: peak of at most 1 GiB: {met}, {peak}")
    pins = ", ".join(f"{name} {version}" for name, version in versions.items())
    context = [f"- {checked}", *harness.machine(options, load), f"- Contenders: {pins}"]
    return "\n\n".join([harness.table(head, rows), "\n".join([*verdicts, *context])])


def run() -> None:
    """See the module."""
    parser = harness.arguments("Full build against DuckDB and dbt-duckdb.", runs=5)
    parser.add_argument("--days", type=int, help="only the first days of the sample")
    parser.add_argument("--without-dbt", action="store_true", help="leave dbt out, for a trial")
    options = parser.parse_args()
    venv = environment.ensure()
    load = harness.settle(options)
    with harness.workspace(options) as work:
        files = harness.sample_days(options.days)
        export = harness.copy_files(files, work / "export")
        contenders = [ours(options, work, export), script(options, work, export, venv)]
        if not options.without_dbt:
            contenders.append(dbt(options, work, export, venv))
        samples, marts = rounds(contenders, options.runs, work)
        orders = compare_orders(marts[OURS], {file.stem.removeprefix("events_") for file in files})
        days = f"{len(files)} day{'s' if len(files) > 1 else ''}"
        checked = (f"{days}: {orders}, on each day as published; all contenders built the same "
                   f"{len(marts[OURS]):,} rows of mart_attribution_daily")
        body = report(options, load, samples, environment.versions(venv), checked)
    harness.publish(options, "build", body)


if __name__ == "__main__":
    harness.main(run)
