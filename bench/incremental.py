#!/usr/bin/env python3
"""What a second build costs: one day added, nothing changed, the last days read again.

Each run is one life of a project: cold build without the last day, that day's file arrives,
build; build again; build with `--rebuild-days`; then everything cold, which must give equal rows.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import harness
from harness import BenchError, Sample, tell

REBUILD_DAYS = 3
MARTS = ["mart_attribution_daily", "fct_credits", "mart_first_click", "mart_last_click"]
LEFT_OUT = ["--exclude", *harness.NO_TESTS]


def query(options, project: Path, sql: str) -> str:
    """The answer as CSV."""
    return harness.capture([str(options.binary), "query", sql, "-o", "csv"], project)


def marts(options, project: Path) -> dict[str, list[str]]:
    """All rows of the marts, in an order of our own."""
    return {
        name: sorted(query(options, project, f"select * from {name}").splitlines())
        for name in MARTS
    }


def events_of_days(options, project: Path) -> dict[str, int]:
    """Events of each day, as `YYYYMMDD`."""
    sql = "select cast(event_date as varchar) as day, count(*) as events from int_events group by 1"
    rows = csv.DictReader(io.StringIO(query(options, project, sql)))
    return {row["day"].replace("-", ""): int(row["events"]) for row in rows}


def one_life(options, work: Path, files: list[Path], late: Path) -> tuple[dict, dict]:
    """Samples by the name of the step, and events by day."""
    samples: dict[str, Sample] = {}
    project = harness.copy_project(work, "project")
    export = harness.copy_files([file for file in files if file != late], work / "export")

    def build(step: str, *flags: str) -> None:
        harness.remove()
        command = harness.clicktrail(options, "build", export, *flags, *LEFT_OUT)
        samples[step] = harness.measure(command, project, work / "build.log")
        tell(f"{step}: {harness.seconds(samples[step].wall_seconds)}")

    build(f"{len(files) - 1} days, cold")
    harness.copy_files([late], work / "export")
    build("one day added")
    build("nothing changed")
    build(f"`--rebuild-days {REBUILD_DAYS}`", "--rebuild-days", str(REBUILD_DAYS))
    grown = marts(options, project)
    harness.remove(project / "warehouse", project / "target")
    build(f"{len(files)} days, cold")
    cold = marts(options, project)
    for name in MARTS:
        if not cold[name] or grown[name] != cold[name]:
            raise BenchError(f"{name}: {len(grown[name])} lines grown day by day, "
                             f"{len(cold[name])} when built cold, and they differ")
    events = events_of_days(options, project)
    harness.remove(work / "project", work / "export")
    return samples, events


def report(options, load: float, lives: list[dict], events: dict, files: int, late: str) -> str:
    """The section of the page."""
    full = f"{files} days, cold"
    steps = {step: harness.figures([life[step] for life in lives]) for step in lives[0]}
    rows = []
    for step, figure in steps.items():
        share = figure.wall_seconds / steps[full].wall_seconds
        rows.append([step, harness.seconds(figure.wall_seconds), figure.wall_spread,
                     f"{100 * share:.1f} %", harness.seconds(figure.cpu_seconds),
                     harness.mebibytes(figure.peak_rss_bytes)])
    head = ["build", "wall, median", "least – most", "of a full build", "CPU", "peak RSS"]
    day, total = events[late], sum(events.values())
    verdict = (f"- The added day {late} holds {day:,} of {total:,} events, "
               f"{100 * day / total:.1f} %; the marts are equal to those of a cold build.")
    lines = [verdict, *harness.machine(options, load)]
    return "\n\n".join([harness.table(head, rows), "\n".join(lines)])


def run() -> None:
    """See the module."""
    parser = harness.arguments("Second builds after a change.", runs=5)
    parser.add_argument("--days", type=int, help="only the first days of the sample")
    parser.add_argument("--late", metavar="YYYYMMDD", help="the day that is added; default: last")
    options = parser.parse_args()
    files = harness.sample_days(options.days)
    late = files[-1]
    if options.late:
        named = [file for file in files if file.stem == f"events_{options.late}"]
        if not named:
            raise BenchError(f"no file of {options.late} among {len(files)} days")
        late = named[0]
    if len(files) < 2:
        raise BenchError("--days must be 2 or more")
    load = harness.settle(options)
    with harness.workspace(options) as work:
        lives = []
        for number in range(options.runs):
            tell(f"run {number + 1}/{options.runs}")
            samples, events = one_life(options, work, files, late)
            lives.append(samples)
        day = late.stem.removeprefix("events_")
        body = report(options, load, lives, events, len(files), day)
    harness.publish(options, "incremental", body)


if __name__ == "__main__":
    harness.main(run)
