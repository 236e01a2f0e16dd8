#!/usr/bin/env python3
"""Start-up: `clicktrail version`, and `clicktrail debug` on the demo project with the sample."""

from __future__ import annotations

import harness

VERSION, DEBUG = "clicktrail version", "clicktrail debug"
AIM_SECONDS = 0.05
# The first starts read the binary from disk; a person's next hundred do not.
WARM_UP = 2


def report(options, load: float, samples: dict) -> str:
    """The section of the page."""
    medians = {name: harness.figures(runs) for name, runs in samples.items()}
    rows = [
        [f"`{name}`", harness.seconds(figure.wall_seconds), figure.wall_spread,
         harness.seconds(figure.cpu_seconds), harness.mebibytes(figure.peak_rss_bytes)]
        for name, figure in medians.items()
    ]
    wall = medians[DEBUG].wall_seconds
    met = "met" if wall < AIM_SECONDS else "**missed**"
    verdict = f"- Aim: `{DEBUG}` under 50 ms: {met}, {harness.seconds(wall)}"
    head = ["command", "wall, median", "least – most", "CPU", "peak RSS"]
    lines = [verdict, *harness.machine(options, load)]
    return "\n\n".join([harness.table(head, rows), "\n".join(lines)])


def run() -> None:
    """See the module."""
    options = harness.arguments("Start-up of clicktrail.", runs=20).parse_args()
    load = harness.settle(options)
    with harness.workspace(options) as work:
        project = harness.copy_project(work, "project")
        export = harness.copy_files(harness.sample_days(None), work / "export")
        commands = {
            VERSION: [str(options.binary), "version"],
            DEBUG: harness.clicktrail(options, "debug", export),
        }
        samples: dict[str, list[harness.Sample]] = {name: [] for name in commands}
        for number in range(WARM_UP + options.runs):
            for name, command in commands.items():
                sample = harness.measure(command, project, work / "debug.log")
                if number >= WARM_UP:
                    samples[name].append(sample)
        body = report(options, load, samples)
    harness.publish(options, "debug", body)


if __name__ == "__main__":
    harness.main(run)
