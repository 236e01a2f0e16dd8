"""`clicktrail up` in a terminal, as a person uses it: keys, changed files, a broken model, the browser it opens."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from harness import Checks, binary, clean_environment

WITHIN_SECONDS = 90
BROWSER = '#!/bin/sh\necho "$1" >> "$OPENED"\n'


class Terminal:
    """A process whose terminal we are."""

    def __init__(self, folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
        self.said = ""
        master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [str(binary()), *arguments], cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.master = master

    def read(self, seconds: float) -> None:
        if not select.select([self.master], [], [], seconds)[0]:
            return
        try:
            text = os.read(self.master, 65536).decode(errors="replace")
        except OSError:  # The other side is gone.
            return
        self.said += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)

    def hears(self, words: str, after: int = 0) -> int:
        """Waits for words said after a place; returns where they end."""
        end = time.monotonic() + WITHIN_SECONDS
        while (found := self.said.find(words, after)) < 0:
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"`{words}` was not said (exit code {self.process.poll()}):\n{self.said[after:][-3000:]}")
            self.read(0.2)
        return found + len(words)

    def press(self, key: str) -> int:
        place = len(self.said)
        os.write(self.master, key.encode())
        return place

    def ended(self) -> int:
        end = time.monotonic() + WITHIN_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.1)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()


def opened(file: Path, count: int) -> list[str]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        lines = file.read_text().split() if file.exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.05)
    return lines


def status_of(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(url, timeout=20).status
    except urllib.error.HTTPError as answer:
        return answer.code


def main() -> None:
    checks = Checks("up in a terminal")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = folder / "tools"
        tools.mkdir()
        for program in ("xdg-open", "open"):
            (tools / program).write_text(BROWSER)
            (tools / program).chmod(0o755)
        asked = folder / "opened"
        environment = clean_environment() | {
            "PATH": f"{tools}:{os.environ['PATH']}", "DISPLAY": ":0", "OPENED": str(asked), "TERM": "xterm-256color",
        }
        terminal = Terminal(folder, ["up", "--demo", "--port", "0"], environment)
        try:
            talk(checks, terminal, folder / "clicktrail-demo", asked)
        finally:
            if terminal.process.poll() is None:
                os.killpg(terminal.process.pid, signal.SIGKILL)
                terminal.process.wait()
        again = Terminal(folder, ["up", "--demo", "--port", "0", "--no-open"], environment)
        again.hears("using the demo in")
        again.hears("ready:")
        again.press("\x03")
        checks.equal("a second start finds the demo; Ctrl-C ends it with 0", again.ended(), 0)
    checks.finish()


def talk(checks: Checks, terminal: Terminal, project: Path, asked: Path) -> None:
    terminal.hears("making a demo in clicktrail-demo")
    terminal.hears("dashboard: http://")
    address = re.search(r"dashboard: (http://\S+)", terminal.said)[1]
    place = terminal.hears("ready:")
    place = terminal.hears("q quits, r builds again, space opens the browser", place)
    checks.equal("the browser is opened once, at the address that is told", opened(asked, 1), [address])
    terminal.press(" ")
    checks.equal("space opens it again", opened(asked, 2), [address, address])

    place = terminal.press("r")
    place = terminal.hears("building again", place)
    place = terminal.hears("ready:", place)
    checks.equal("r builds again, at the same address", status_of(f"{address}/api/v1/overview"), 200)

    model = project / "models" / "marts" / "mart_attribution_daily.sql"
    text = model.read_text()
    model.write_text(text.replace("select", "selekt", 1))
    place = terminal.hears("building again", place)
    place = terminal.hears("mart_attribution_daily.sql", place)
    said = terminal.said[place - 400 : place]
    checks.holds("a broken model is told with its file", "" if "error" in said else said)
    place = terminal.hears("change the project, or press r to try again", place)
    checks.equal("its pages say so, too", status_of(f"{address}/api/v1/overview"), 503)
    checks.equal("and the pages themselves answer", status_of(f"{address}/"), 200)

    model.write_text(text)
    place = terminal.hears("building again", place)
    terminal.hears("ready:", place)
    checks.equal("mended: it goes on by itself", status_of(f"{address}/api/v1/overview"), 200)

    settings = project / "dbt_project.yml"
    kept = settings.read_text()
    place = len(terminal.said)
    settings.write_text(kept.replace("vars:", "vars: [", 1))
    place = terminal.hears("waiting for the next change of the project", place)
    settings.write_text(kept)
    terminal.hears("ready:", place)
    checks.equal("settings that can't be read are waited for", status_of(f"{address}/api/v1/overview"), 200)
    checks.equal("rebuilding opens no further browser", len(opened(asked, 2)), 2)

    terminal.press("q")
    checks.equal("q ends it with 0", terminal.ended(), 0)


if __name__ == "__main__":
    sys.exit(main())
