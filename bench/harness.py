"""What every benchmark needs: one measured process, a quiet machine, a table, a section of a page.

Importable without the pinned environment, and small on purpose: Linux counts the memory of the
process that starts a child as the least peak of that child, so this one never loads duckdb.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo"
SAMPLE = ROOT.parent / "shared" / "data" / "ga4_sample"
PAGE = ROOT / "docs" / "benchmarks.md"
BINARY = Path("/root/tgt-lead/release/clicktrail")

THREADS = 2
# One-minute load above which another process disturbs the figures: most of one core.
LOAD_LIMIT = 0.7
MIB = 1024 * 1024
# Left out of every measured build: builds are compared without data tests.
NO_TESTS = ["resource_type:test", "resource_type:unit_test"]


class BenchError(Exception):
    """The benchmark cannot go on; the text says what to do."""


@dataclass(frozen=True)
class Sample:
    """One process, from start to exit."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


def measure(command: list[str], cwd: Path, log: Path, env: dict[str, str] | None = None) -> Sample:
    """Runs `command` to its end; its output goes to `log`. Fails when it fails.

    CPU is user + system of the process and the children it waited for. The peak is that of the
    largest of these processes, never their sum.
    """
    with log.open("wb") as output:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall_seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise BenchError(f"exit code {child.returncode}: {' '.join(command)}\n{tail}")
    return Sample(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def capture(command: list[str], cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Standard output of a process that is not measured. Fails when it fails."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise BenchError(
            f"exit code {done.returncode}: {' '.join(command)}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


# -- arguments and machine ----------------------------------------------------------------------


def arguments(description: str, runs: int) -> argparse.ArgumentParser:
    """The flags that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--binary", type=Path, default=BINARY, help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=runs, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=THREADS, help="default: %(default)s")
    parser.add_argument("--work", type=Path, help="folder for temporary data, default: a new one")
    parser.add_argument("--page", type=Path, default=PAGE, help="page that --update-docs writes")
    parser.add_argument("--update-docs", action="store_true", help="rewrite our section of it")
    parser.add_argument("--wait", type=float, default=0, metavar="MINUTES",
                        help="wait so long for a quiet machine; default: 0")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    return parser


def settle(options: argparse.Namespace) -> float:
    """Checks the arguments, pins to `--threads` cores, waits for quiet; returns the load."""
    if not options.binary.is_file():
        raise BenchError(f"no binary at {options.binary}\nhint: --binary target/release/clicktrail")
    if options.runs < 1:
        raise BenchError("--runs must be 1 or more")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < options.threads:
        raise BenchError(f"--threads {options.threads}, but only {len(cores)} cores")
    # Children inherit this: no engine can use more cores than the others.
    os.sched_setaffinity(0, cores[: options.threads])
    deadline = time.monotonic() + 60 * options.wait
    while os.getloadavg()[0] > LOAD_LIMIT and time.monotonic() < deadline:
        time.sleep(5)
    load = os.getloadavg()[0]
    if load > LOAD_LIMIT:
        tell(f"warning: load average is {load:.2f}, above {LOAD_LIMIT}: figures would be wrong")
        if not options.force:
            raise BenchError("the machine is busy\nhint: --wait 10, or --force for a trial")
    return load


def machine(options: argparse.Namespace, load: float) -> list[str]:
    """What a reader needs to judge the figures, as Markdown list items; inside the workspace."""
    cpu, memory = "unknown CPU", 0
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
    built = time.strftime("%Y-%m-%d %H:%M", time.gmtime(options.binary.stat().st_mtime))
    version = capture([str(options.binary), "--version"]).strip()
    with options.binary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    lines = [
        f"- Machine: {cpu}, {os.cpu_count()} cores, {options.threads} used, "
        f"{memory / MIB / 1024:.1f} GiB, {platform.system()} {platform.release()}",
        f"- Load average at the start: {load:.2f}",
        f"- Binary: {version}, built {built} UTC, sha256 {digest}; checkout {options.checkout}",
        f"- Measured {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, "
        f"{options.runs} run{'s' if options.runs > 1 else ''}: `{' '.join(command_line())}`",
    ]
    if load > LOAD_LIMIT:
        lines.insert(0, f"- **The machine was busy (load {load:.2f}): not to be published.**")
    return lines


def checkout() -> str:
    """The commit that the demo is copied from, and whether files differ from it."""
    commit = capture(["git", "rev-parse", "--short", "HEAD"]).strip()
    changed = capture(["git", "status", "--porcelain", "--", "demo", "crates"])
    return commit + (" with uncommitted changes" if changed else "")


def command_line() -> list[str]:
    """How this benchmark was called, without the folder it was called from."""
    name = Path(sys.argv[0]).name
    return [*(["python3"] if name.endswith(".py") else []), f"bench/{name}", *sys.argv[1:]]


# -- project and data -----------------------------------------------------------------------------


@contextmanager
def workspace(options: argparse.Namespace):
    """A temporary folder that is gone afterwards, with copies of the binary and the demo.

    All runs use these, so that a checkout or a compiler at work beside us changes nothing.
    """
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="clicktrail-bench-", dir=options.work)).resolve()
    try:
        options.binary = Path(shutil.copy2(options.binary, path / "clicktrail"))
        ignored = shutil.ignore_patterns("target", "warehouse", "data", "*.duckdb", "logs")
        shutil.copytree(DEMO, path / "demo", ignore=ignored)
        options.checkout = checkout()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def copy_project(work: Path, name: str) -> Path:
    """A fresh copy of the demo project in the workspace."""
    return Path(shutil.copytree(work / "demo", work / name))


def sample_days(days: int | None) -> list[Path]:
    """The first `days` daily files of the sample, all of them by default."""
    files = sorted(SAMPLE.glob("events_*.parquet"))
    if not files:
        raise BenchError(f"no sample in {SAMPLE}")
    return files if days is None else files[:days]


def copy_files(files: list[Path], to: Path) -> str:
    """Copies files into the folder `to`; returns the glob that finds them."""
    to.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy2(file, to / file.name)
    return str(to / "events_*.parquet")


def ga4_vars(export: str) -> str:
    """The `--vars` that point the models at an export; YAML, for clicktrail and dbt alike."""
    return f'{{ga4_export: "{export}"}}'


def clicktrail(options: argparse.Namespace, verb: str, export: str, *flags: str) -> list[str]:
    """A command of ours on that export."""
    return [str(options.binary), verb, "--vars", ga4_vars(export), "--threads",
            str(options.threads), *flags]


def remove(*paths: Path) -> None:
    """Removes files and folders that may be absent, then lets the disk come to rest."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    os.sync()


def folder_bytes(path: Path) -> int:
    """Size of all files below `path`."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


# -- figures --------------------------------------------------------------------------------------


def seconds(value: float) -> str:
    """Three digits, whatever the size: `9.87 s`, `12.3 s`, `4.56 ms`."""
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def mebibytes(value: float) -> str:
    """`345 MiB`."""
    return f"{value / MIB:,.0f} MiB"


def spread(values: list[float]) -> str:
    """Least and greatest."""
    return f"{seconds(min(values))} – {seconds(max(values))}"


@dataclass(frozen=True)
class Figures:
    """Medians of several samples; the peak is the greatest one."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    wall_spread: str


def figures(samples: list[Sample]) -> Figures:
    """Sums up the runs of one contender."""
    walls = [sample.wall_seconds for sample in samples]
    return Figures(
        statistics.median(walls),
        statistics.median(sample.cpu_seconds for sample in samples),
        max(sample.peak_rss_bytes for sample in samples),
        spread(walls),
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column holds names, the others figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


# -- report ---------------------------------------------------------------------------------------


def tell(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def publish(options: argparse.Namespace, name: str, body: str) -> None:
    """Prints the section; with `--update-docs`, puts it between its markers on the page too."""
    print(body)
    if not options.update_docs:
        return
    start, end = f"<!-- bench:{name}:start -->", f"<!-- bench:{name}:end -->"
    page = options.page.read_text()
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise BenchError(f"{options.page} needs `{start}` and `{end}`, once each")
    head, rest = page.split(start)
    tail = rest.split(end)[1]
    options.page.write_text(f"{head}{start}\n{body.strip()}\n{end}{tail}")
    tell(f"updated section {name} of {options.page}")


def main(run) -> None:
    """Runs a benchmark; exit code 1 when it could not or must not give figures."""
    try:
        run()
    except BenchError as error:
        tell(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
