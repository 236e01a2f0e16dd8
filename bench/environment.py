"""The pinned Python environment of the contenders: `.venv-bench`, made when it is not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness import ROOT, capture, tell

FOLDER = ROOT / ".venv-bench"
# In this order: DuckDB first, so that dbt-duckdb takes the version we compare with.
DUCKDB = ["duckdb==2.0.0"]
DBT = ["--only-binary", ":all:", "dbt-core==1.12.0", "dbt-duckdb==1.11.1"]
SHOWN = ["duckdb", "dbt-core", "dbt-duckdb"]

# Apart from the others: what ChannelAttribution needs has nothing to do with dbt.
PATHS = ROOT / ".venv-bench-paths"
# It imports matplotlib without naming it among what it needs.
CHANNEL_ATTRIBUTION = ["ChannelAttribution==2.2.5", "pandas==2.3.3", "pyarrow==22.0.0", "matplotlib==3.11.2"]
CHANNEL_ATTRIBUTION_SHOWN = ["ChannelAttribution", "pandas", "pyarrow"]

# No dbt run of ours may wait for the network.
DBT_ENVIRONMENT = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1", "NO_COLOR": "1",
}


def ensure(root: Path = FOLDER, steps: list[list[str]] | None = None) -> Path:
    """The folder with `python` and `dbt`, complete; a half-made one is made again."""
    steps = steps or [DUCKDB, DBT]
    folder, pins = root / "bin", "\n".join(pin for step in steps for pin in step)
    done = root / "pins.txt"
    if done.is_file() and done.read_text() == pins:
        return folder
    tell(f"making {root}")
    capture([sys.executable, "-m", "venv", "--clear", str(root)])
    # The folder ignores itself, so no project file has to name it.
    (root / ".gitignore").write_text("*\n")
    pip = [str(folder / "pip"), "--disable-pip-version-check", "install", "--quiet"]
    for step in steps:
        capture([*pip, *step])
    done.write_text(pins)
    return folder


def versions(folder: Path, names: list[str] | None = None) -> dict[str, str]:
    """What is installed, asked from the environment itself."""
    code = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    )
    return json.loads(capture([str(folder / "python"), "-c", code, *(names or SHOWN)]))
