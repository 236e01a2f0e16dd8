#!/usr/bin/env python3
"""Attribution of paths: `clicktrail fit --paths` against ChannelAttribution on the same file."""

from __future__ import annotations

import csv
import json
import os
import statistics
from pathlib import Path

import environment
import harness
from harness import BenchError, Sample, tell

PEER = Path(__file__).resolve().parent / "attribution_peer.py"
OURS, THEIRS = "clicktrail", "ChannelAttribution"
AIM = 20.0
# Our names of the heuristics, and the columns of theirs.
HEURISTICS = {"first_touch": "first_touch", "last_touch": "last_touch", "linear": "linear_touch"}
# Floats of a sum of a million terms differ in their last digits.
TOLERANCE = 1e-9
# Ours and numpy's solution of the same equations; ours are written to millionths of a conversion.
EXACT = 1e-6
SEED = 7


def ours(options, file: Path, out: Path, models: str, threads: int, order: int = 1) -> list[str]:
    """Our command."""
    return [str(options.binary), "fit", "--paths", str(file), "--models", models, "--out", str(out),
            "--order", str(order), "--replicates", "0", "--threads", str(threads), "--quiet"]


def rows(out: Path) -> list[dict[str, str]]:
    """What we wrote."""
    with out.open() as file:
        return list(csv.DictReader(file))


def same_heuristics(out: Path, peer: Path) -> float:
    """Fails unless both give the same credits; the largest relative difference."""
    theirs = {row["channel_name"]: row for row in json.loads(peer.read_text())["rows"]}
    worst = 0.0
    for row in rows(out):
        column = HEURISTICS[row["attribution_model"]]
        for our, their in [("conversions", f"{column}_conversions"), ("value", f"{column}_value")]:
            one, other = float(row[our]), float(theirs[row["channel"]][their])
            worst = max(worst, abs(one - other) / max(abs(other), 1.0))
    if worst > TOLERANCE or len(theirs) * len(HEURISTICS) != len(rows(out)):
        raise BenchError(f"heuristics differ by {worst}")
    return worst


def near_markov(out: Path, peers: list[Path], exact: Path) -> tuple[float, float]:
    """Fails unless ours is the exact solution that numpy finds; largest difference of ours from that, and of theirs, both
    relative to a channel's conversions."""
    solution = json.loads(exact.read_text())

    def apart(found: dict[str, float]) -> float:
        return max(abs(found[channel] - right) / right for channel, right in solution.items())

    off = apart({row["channel"]: float(row["conversions"]) for row in rows(out)})
    if off > EXACT:
        raise BenchError(f"Markov differs from the exact solution by {off:.1e}")
    runs = [{row["channel_name"]: float(row["total_conversions"])
             for row in json.loads(peer.read_text())["rows"]} for peer in peers]
    return off, max(map(apart, runs))


def contend(options, work: Path, python: Path, file: Path, threads: int) -> dict:
    """All runs at one number of threads; each round starts with another contender."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:threads])
    samples: dict[str, list[Sample]] = {}
    peers: dict[str, list[Path]] = {"heuristics": [], "Markov": []}
    for run in range(options.runs):
        jobs = []
        for what, models in [("heuristics", "first,last,linear"), ("Markov", "markov")]:
            peer = work / f"peer_{what}_{run}.json"
            peers[what].append(peer)
            arguments = [] if what == "heuristics" else ["1", str(threads), str(run)]
            jobs.append((f"{OURS}, {what}",
                         ours(options, file, work / f"ours_{what}.csv", models, threads)))
            jobs.append((f"{THEIRS}, {what}",
                         [str(python), str(PEER), what.lower(), str(file), str(peer), *arguments]))
        if run % 2:
            jobs.reverse()
        for name, command in jobs:
            tell(f"{threads} threads, run {run + 1} of {options.runs}: {name}")
            samples.setdefault(name, []).append(harness.measure(command, work, work / "log.txt"))
    os.sched_setaffinity(0, cores)
    exact = work / "exact.json"
    harness.capture([str(python), str(PEER), "exact", str(file), str(exact)])
    calls = {what: statistics.median(json.loads(peer.read_text())["seconds"] for peer in found)
             for what, found in peers.items()}
    return {
        "samples": samples,
        "calls": calls,
        "heuristics": same_heuristics(work / "ours_heuristics.csv", peers["heuristics"][0]),
        "markov": near_markov(work / "ours_Markov.csv", peers["Markov"], exact),
    }


def large(options, work: Path, python: Path) -> tuple[Sample, str]:
    """Journeys of a hundred million touches: what one fit of all models takes."""
    file = work / "large.parquet"
    harness.capture([str(python), str(PEER), "generate", str(file), str(options.journeys), str(SEED)])
    tell(f"fit of {options.journeys:,} journeys")
    out = work / "large.csv"
    command = ours(options, file, out, "first,last,linear,markov,shapley", options.threads)
    command.remove("--quiet")
    sample = harness.measure(command, work, work / "large.txt")
    told = next(line for line in (work / "large.txt").read_text().splitlines() if "journeys" in line)
    size = harness.mebibytes(file.stat().st_size)
    return sample, f"{told.strip()}; file of {size}"


def report(options, load: float, found: dict[int, dict], big: tuple[Sample, str] | None,
           versions: dict[str, str]) -> str:
    """The section of the page."""
    table, verdicts = [], []
    for threads, result in found.items():
        medians = {name: harness.figures(runs) for name, runs in result["samples"].items()}
        for name, figure in medians.items():
            what = name.split(", ")[1]
            base = medians[f"{OURS}, {what}"]
            table.append([
                name, str(threads), harness.seconds(figure.wall_seconds), figure.wall_spread,
                f"{figure.wall_seconds / base.wall_seconds:.1f} ×",
                harness.seconds(figure.cpu_seconds), harness.mebibytes(figure.peak_rss_bytes),
            ])
        for what in ("heuristics", "Markov"):
            base = medians[f"{OURS}, {what}"].wall_seconds
            ratio = medians[f"{THEIRS}, {what}"].wall_seconds / base
            call = result["calls"][what] / base
            verdicts.append(
                f"- Aim: {AIM:g} × faster on {what}, {threads} thread{'s' if threads > 1 else ''}: "
                f"{'met' if ratio >= AIM else '**missed**'}, {ratio:.1f} ×; its call alone, without "
                f"Python's start and reading, takes {call:.1f} × the time of our whole process")
        ours_off, theirs_off = result["markov"]
        verdicts.append(
            f"- {threads} thread{'s' if threads > 1 else ''}: heuristics differ by {result['heuristics']:.1e} "
            f"at most, relative; from the exact solution that numpy finds, our Markov by {ours_off:.1e} of a channel's "
            f"conversions, the simulated one by up to {theirs_off:.2%}")
    if big:
        sample, told = big
        verdicts.append(
            f"- All models on {told}: {harness.seconds(sample.wall_seconds)}, peak "
            f"{harness.mebibytes(sample.peak_rss_bytes)}, {options.threads} threads")
    head = ["contender", "threads", "wall, median", "least – most", "wall ÷ ours", "CPU", "peak RSS"]
    pins = ", ".join(f"{name} {version}" for name, version in versions.items())
    context = [f"- {options.rows:,} journeys of 20 channels, 5 touches each on average, one Parquet file",
               *harness.machine(options, load), f"- Contenders: {pins}"]
    return "\n\n".join([harness.table(head, table), "\n".join([*verdicts, *context])])


def run() -> None:
    """See the module."""
    parser = harness.arguments("Attribution of paths against ChannelAttribution.", runs=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="journeys; default: %(default)s")
    parser.add_argument("--journeys", type=int, default=20_000_000,
                        help="journeys of the large file, 0: none; default: %(default)s")
    options = parser.parse_args()
    venv = environment.ensure(environment.PATHS, [environment.CHANNEL_ATTRIBUTION])
    load = harness.settle(options)
    with harness.workspace(options) as work:
        python, file = venv / "python", work / "paths.parquet"
        harness.capture([str(python), str(PEER), "generate", str(file), str(options.rows), str(SEED)])
        counts = sorted({1, options.threads})
        found = {threads: contend(options, work, python, file, threads) for threads in counts}
        big = large(options, work, python) if options.journeys else None
        versions = environment.versions(venv, environment.CHANNEL_ATTRIBUTION_SHOWN)
        body = report(options, load, found, big, versions)
    harness.publish(options, "attribution", body)


if __name__ == "__main__":
    harness.main(run)
