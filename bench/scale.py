#!/usr/bin/env python3
"""Many events: speed and memory of `clicktrail generate`, then of a full build of its files."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import harness
from harness import BenchError, Sample, tell

AIM_EVENTS = 20_000_000
AIM_PEAK_BYTES = 4 * 1024**3
# Export, warehouse and spill together, with room to spare: a trial took about 220 bytes.
DISK_BYTES_PER_EVENT = 600
SCALES = {"K": 1_000, "M": 1_000_000}


def number(text: str) -> int:
    """`20M` as `clicktrail generate --events` reads it."""
    scale = SCALES.get(text[-1].upper(), 1)
    digits = text[:-1] if scale > 1 else text
    return int(digits.replace("_", "")) * scale


def generate(options, export: Path, log: Path) -> tuple[Sample, dict]:
    """Writes the export; what it cost and what it holds."""
    command = [str(options.binary), "generate", "--out", str(export), "--events", options.events,
               "--days", str(options.days), "--threads", str(options.threads), "--quiet",
               "--output", "json"]
    sample = harness.measure(command, export.parent, log)
    text = log.read_text()
    return sample, json.loads(text[text.index("{"): text.rindex("}") + 1])


def check(options, project: Path) -> int:
    """Fails unless each attribution model credits every counted conversion; gives their number."""
    sql = """
    select 'conversions' as name, count(*) as conversions from int_conversions where is_counted
    union all
    select attribution_model, cast(sum(credit_micros) / 1000000 as bigint) from fct_credits
    group by attribution_model
    """
    answer = harness.capture([str(options.binary), "query", sql, "-o", "csv"], project)
    found = {row["name"]: int(row["conversions"]) for row in csv.DictReader(io.StringIO(answer))}
    if len(found) < 2 or len(set(found.values())) != 1 or not found["conversions"]:
        raise BenchError(f"conversions and credits differ: {found}")
    return found["conversions"]


def require_disk(options) -> None:
    """Says so before, not after, an hour."""
    free = shutil.disk_usage(options.work or "/tmp").free
    needed = number(options.events) * DISK_BYTES_PER_EVENT
    if free < needed:
        raise BenchError(f"{needed / 1e9:.0f} GB of disk needed, {free / 1e9:.0f} GB free\n"
                         "hint: --work names a folder on another disk")


def row(name: str, samples: list[Sample], events: int, size_bytes: int) -> list[str]:
    """One line of the table."""
    figure = harness.figures(samples)
    return [name, harness.seconds(figure.wall_seconds), figure.wall_spread,
            f"{events / figure.wall_seconds:,.0f}", harness.seconds(figure.cpu_seconds),
            harness.mebibytes(figure.peak_rss_bytes), harness.mebibytes(size_bytes)]


def report(options, load: float, samples: tuple, holds: dict, sizes: tuple,
           conversions: int) -> str:
    """The section of the page."""
    generated, built = samples
    rows = [row("`clicktrail generate`", generated, holds["events"], sizes[0]),
            row("`clicktrail build`", built, holds["events"], sizes[1])]
    head = ["command", "wall, median", "least – most", "events/s", "CPU", "peak RSS", "on disk"]
    peak = harness.figures(built).peak_rss_bytes
    met = "met" if peak <= AIM_PEAK_BYTES else "**missed**"
    aim = (f"- Aim: 20 M events in at most 4 GiB: {met}, {harness.mebibytes(peak)}"
           if holds["events"] > 0.9 * AIM_EVENTS else
           "- Aim: 20 M events in at most 4 GiB: not measured at this size")
    lines = [
        f"- {holds['events']:,} events of {holds['users']:,} users in {options.days} days; "
        f"{conversions:,} counted conversions, credited whole by every attribution model.",
        aim, *harness.machine(options, load)]
    return "\n\n".join([harness.table(head, rows), "\n".join(lines)])


def run() -> None:
    """See the module."""
    parser = harness.arguments("Generator and full build at scale.", runs=1)
    parser.add_argument("--events", default="20M", help="default: %(default)s")
    parser.add_argument("--days", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--memory", help="passed to `clicktrail build`, e.g. 2G")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the built project there, "
                        "e.g. for live_memory.py --project DIR")
    options = parser.parse_args()
    require_disk(options)
    load = harness.settle(options)
    flags = ["--exclude", *harness.NO_TESTS]
    if options.memory:
        flags += ["--memory", options.memory]
    generated, built = [], []
    with harness.workspace(options) as work:
        project = harness.copy_project(work, "project")
        # Where the project looks for it: what is kept is whole.
        export = project / "data"
        for _ in range(options.runs):
            harness.remove(export, project / "warehouse", project / "target")
            sample, holds = generate(options, export, work / "generate.log")
            generated.append(sample)
            tell(f"generated {holds['events']:,} events: {harness.seconds(sample.wall_seconds)}")
            harness.remove()
            command = harness.clicktrail(options, "build", "data/events_*.parquet", *flags)
            built.append(harness.measure(command, project, work / "build.log"))
            tell(f"built: {harness.seconds(built[-1].wall_seconds)}, "
                 f"{harness.mebibytes(built[-1].peak_rss_bytes)}")
        conversions = check(options, project)
        sizes = harness.folder_bytes(export), harness.folder_bytes(project / "warehouse")
        body = report(options, load, (generated, built), holds, sizes, conversions)
        if options.keep:
            shutil.move(project, options.keep)
    harness.publish(options, "scale", body)


if __name__ == "__main__":
    harness.main(run)
