#!/usr/bin/env bash
# A cold release build of the workspace: wall time, CPU, peak memory of the largest process, and
# cargo's own timing page. Takes the better part of an hour on two cores; run it on a quiet machine.
#
#   bench/cold_build.sh [FOLDER]     the target folder, which must not exist; default: a new one
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -ge 1 ]; then
    target=$1
    if [ -e "$target" ]; then
        echo "error: $target exists, so the build would not be cold" >&2
        exit 1
    fi
    mkdir -p "$target"
else
    target=$(mktemp -d -t clicktrail-cold-XXXXXX)
fi
target=$(cd "$target" && pwd)

# Downloads are not measured.
cargo fetch --locked --manifest-path "$root/Cargo.toml"
sync

echo "target folder: $target"
echo "load average:  $(cut -d' ' -f1-3 /proc/loadavg)"
echo "cores:         $(nproc)"
echo "toolchain:     $(rustc --version), $(cargo --version)"
echo "commit:        $(git -C "$root" rev-parse --short HEAD)"

cd "$root"
CARGO_TARGET_DIR=$target python3 - <<'PYTHON'
import os
import resource
import subprocess
import sys
import time

started = time.perf_counter()
code = subprocess.call(
    ["cargo", "build", "--release", "--timings", "--locked", "--offline", "--bin", "clicktrail"])
wall = time.perf_counter() - started
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = usage.ru_utime + usage.ru_stime
print(f"wall:          {wall:.0f} s")
print(f"CPU:           {cpu:.0f} s")
print(f"peak RSS:      {usage.ru_maxrss / 1024:.0f} MiB, largest process")
if code == 0:
    binary = os.path.join(os.environ["CARGO_TARGET_DIR"], "release", "clicktrail")
    print(f"binary:        {os.path.getsize(binary) / 1024 / 1024:.0f} MiB")
sys.exit(code)
PYTHON
echo "timings:       $target/cargo-timings/cargo-timing.html"
