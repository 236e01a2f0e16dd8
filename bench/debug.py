#!/usr/bin/env python3
"""Start-up: `clicktrail version`, and `clicktrail debug` on the demo project with the sample."""

from __future__ import annotations

import harness
from harness import tell

AIM_SECONDS = 0.05
# The first starts read the binary from disk; a person's next hundred do not.
WARM_UP = 2


def run() -> None:
    """See the module."""
    options = harness.arguments("Start-up of clicktrail.", runs=20).parse_args()
    load = harness.settle(options)
    with harness.workspace(options) as work:
        project = harness.copy_project(work / "project")
        export = harness.copy_files(harness.sample_days(None), work / "export")
        commands = {
            "clicktrail version": [str(options.binary), "version"],
            "clicktrail debug": harness.clicktrail(options, "debug", export),
        }
        samples: dict[str, list[harness.Sample]] = {name: [] for name in commands}
        for number in range(WARM_UP + options.runs):
            for name, command in commands.items():
                sample = harness.measure(command, project, work / "debug.log")
                if number >= WARM_UP:
                    samples[name].append(sample)
    rows = []
    for name, runs in samples.items():
        figure = harness.figures(runs)
        rows.append([f"`{name}`", harness.seconds(figure.wall_seconds), figure.wall_spread,
                     harness.seconds(figure.cpu_seconds),
                     harness.mebibytes(figure.peak_rss_bytes)])
        tell(f"{name}: {harness.seconds(figure.wall_seconds)}")
    figure = harness.figures(samples["clicktrail debug"])
    met = "met" if figure.wall_seconds < AIM_SECONDS else "**missed**"
    verdict = f"- Aim: `clicktrail debug` under 50 ms: {met}, {harness.seconds(figure.wall_seconds)}"
    head = ["command", "wall, median", "least – most", "CPU", "peak RSS"]
    body = [harness.table(head, rows), verdict, "\n".join(harness.machine(options, load))]
    harness.publish(options, "debug", "\n\n".join(body))


if __name__ == "__main__":
    harness.main(run)
