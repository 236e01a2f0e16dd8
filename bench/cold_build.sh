#!/usr/bin/env bash
# A cold release build of the workspace: wall time, CPU, peak memory of the largest process, and
# cargo's own timing page. Takes long on two cores; run it on a quiet machine.
#
#   bench/cold_build.sh [--update-docs] [FOLDER]
#
# FOLDER is the target folder, which must not exist; by default a new one. It is kept.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
update_docs=
target=
for argument in "$@"; do
    case $argument in
        --update-docs) update_docs=1 ;;
        -*) echo "error: unknown flag $argument" >&2; exit 2 ;;
        *) target=$argument ;;
    esac
done
if [ -n "$target" ] && [ -e "$target" ]; then
    echo "error: $target exists, so the build would not be cold" >&2
    exit 1
fi
target=${target:-$(mktemp -d -t clicktrail-cold-XXXXXX)}
mkdir -p "$target"
target=$(cd "$target" && pwd)

# Downloads are not measured.
cargo fetch --locked --manifest-path "$root/Cargo.toml"
sync

cd "$root"
export PYTHONPATH=$root/bench CARGO_TARGET_DIR=$target UPDATE_DOCS=$update_docs
python3 - <<'PYTHON'
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import harness

sys.argv = ["cold_build.sh"]
target = Path(os.environ["CARGO_TARGET_DIR"])
load, commit = os.getloadavg()[0], harness.checkout()
started = time.perf_counter()
code = subprocess.call(
    ["cargo", "build", "--release", "--timings", "--locked", "--offline", "--bin", "clicktrail"])
wall = time.perf_counter() - started
if code != 0:
    sys.exit(code)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
options = SimpleNamespace(
    binary=target / "release" / "clicktrail", threads=os.cpu_count(), runs=1,
    checkout=commit, page=harness.PAGE, update_docs=bool(os.environ["UPDATE_DOCS"]))
rows = [[
    "`cargo build --release`", harness.seconds(wall),
    harness.seconds(usage.ru_utime + usage.ru_stime), harness.mebibytes(usage.ru_maxrss * 1024),
    harness.mebibytes(options.binary.stat().st_size)]]
head = ["command", "wall", "CPU", "peak RSS, largest process", "binary"]
toolchain = harness.capture(["rustc", "--version"]).strip()
lines = [f"- Toolchain: {toolchain}", *harness.machine(options, load)]
body = harness.table(head, rows) + "\n\n" + "\n".join(lines)
harness.main(lambda: harness.publish(options, "cold_build", body))
harness.tell(f"timings: {target}/cargo-timings/cargo-timing.html")
PYTHON
