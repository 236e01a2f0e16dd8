"""The drive of `scripts/record-demo`: Chromium through the pages, frames into a film, pages into pictures."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from dashboard_browser import browser, settled, until  # noqa: E402
from harness import binary, clean_environment  # noqa: E402

SIZE = {"width": 1280, "height": 800}
BYTES_MAX = 5_000_000
READY_WITHIN_SECONDS = 120
STILLS = [("overview", "/"), ("models", "/models"), ("paths", "/paths"), ("live", "/live"), ("health", "/health"), ("lineage", "/lineage?node=fct_credits"), ("settings", "/settings")]


class Up:
    """`clicktrail up --demo` in a folder of its own."""

    def __init__(self, folder: str) -> None:
        # Pages from disk instead of those in the binary, for who is working on them.
        environment = clean_environment() | {key: value for key, value in os.environ.items() if key == "CLICKTRAIL_WEB_DIR"}
        command = [str(binary()), "up", "--demo", "--no-open", "--port", "0"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=environment)
        self.address, self.said = "", []
        threading.Thread(target=self._listen, daemon=True).start()
        end = time.monotonic() + READY_WITHIN_SECONDS
        while not self.address:
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit("clicktrail up did not start:\n" + "".join(self.said))
            time.sleep(0.02)

    def _listen(self) -> None:
        for line in self.process.stdout:
            self.said.append(line)
            found = re.search(r"http://(127\.0\.0\.1|localhost):\d+", line)
            if found and not self.address:
                self.address = found[0]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Frames:
    """Screenshots at an even pace, held where the film rests."""

    def __init__(self, page, folder: Path) -> None:
        self.page, self.folder, self.count = page, folder, 0

    def take(self) -> None:
        self.page.screenshot(path=self.folder / f"{self.count:05}.png")
        self.count += 1

    def rest(self, seconds: float) -> None:
        """Lets the page live for a while: what moves on it is seen."""
        for _ in range(round(seconds * RATE)):
            start = time.monotonic()
            self.take()
            self.page.wait_for_timeout(max(0, 1000 / RATE - (time.monotonic() - start) * 1000))


RATE = 5


def caption(page, text: str) -> None:
    """A line at the foot of the film that says what is seen; the page itself knows nothing of it."""
    page.evaluate("""text => { let c = document.getElementById('caption'); if (!c) { c = document.body.appendChild(document.createElement('div')); c.id = 'caption';
        Object.assign(c.style, {position: 'fixed', left: '50%', bottom: '22px', transform: 'translateX(-50%)', background: '#14181f', color: '#fff', padding: '10px 18px', borderRadius: '8px', font: '600 16px system-ui', zIndex: 99, whiteSpace: 'nowrap'}); } c.textContent = text; }""", text)


def drive(web, folder: Path) -> str:
    """The film's way through the pages; the address of the journey that it ends with."""
    page = web.page(quiet=True, width=SIZE["width"], reduced_motion="reduce")
    page.set_viewport_size(SIZE)
    film = Frames(page, folder)
    page.goto(f"{web.address}/")
    # The first start generates events and builds the tables; the page fills itself then.
    settled(page, READY_WITHIN_SECONDS)
    until(page, "!!document.querySelector('.stream-state .pulse.live')", 30)
    caption(page, "clicktrail up --demo: one process, GA4 events to attribution")
    film.rest(3)
    caption(page, "events arrive, and the numbers move without a reload")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    film.rest(6)
    page.evaluate("scrollTo(0, 0)")
    film.rest(1.5)
    page.get_by_role("link", name="Live", exact=True).click()
    settled(page)
    caption(page, "each event: on disk, in the marts, on this page in a fraction of a second")
    film.rest(5)
    page.keyboard.press("p")
    caption(page, "paused: the stream goes on, nothing is lost")
    film.rest(3)
    page.keyboard.press("p")
    film.rest(1.5)
    page.keyboard.press("g")
    page.keyboard.press("m")
    settled(page)
    caption(page, "does the answer depend on the attribution model?")
    film.rest(3.5)
    page.get_by_role("button", name="Revenue").first.click()
    film.rest(1.5)
    page.keyboard.press("g")
    page.keyboard.press("p")
    settled(page)
    caption(page, "how people arrive; every total reconciles")
    film.rest(3.5)
    page.goto(f"{web.address}/conversions")
    settled(page)
    caption(page, "every number opens its conversions")
    film.rest(2)
    long = "[...document.querySelectorAll('[data-panel=conversions] tbody tr')].sort((a, b) => b.cells[4].innerText - a.cells[4].innerText)[0].querySelector('a').getAttribute('href')"
    journey = page.evaluate(long)
    page.goto(web.address + journey)
    page.wait_for_selector(".touches")
    caption(page, "and every conversion says why: each touch, kept or dropped, with its rule")
    film.rest(4.5)
    page.goto(f"{web.address}/lineage?node=fct_credits")
    settled(page)
    caption(page, "down to the SQL: the models are a dbt project")
    film.rest(3)
    page.get_by_role("button", name="SQL", exact=True).click()
    page.locator("[data-panel=node-fct_credits]").scroll_into_view_if_needed()
    film.rest(2.5)
    page.keyboard.press("g")
    page.keyboard.press("h")
    settled(page)
    caption(page, "and the tests that hold it together")
    film.rest(2.5)
    page.context.close()
    return journey


def stills(web, out: Path, journey: str) -> None:
    for name, path in [*STILLS, ("journey", journey), ("conversions", "/conversions")]:
        page = web.open(path, width=1280, reduced_motion="reduce", quiet=True)
        page.set_viewport_size({"width": 1280, "height": 860})
        page.wait_for_timeout(6000 if name == "live" else 700)
        page.screenshot(path=out / f"{name}.png")
        page.context.close()
    page = web.open("/", width=1280, theme="dark", reduced_motion="reduce", quiet=True)
    page.wait_for_timeout(500)
    page.screenshot(path=out / "overview-dark.png")
    page.context.close()
    page = web.open("/", width=375, reduced_motion="reduce", quiet=True)
    page.set_viewport_size({"width": 375, "height": 812})
    page.wait_for_timeout(500)
    page.screenshot(path=out / "overview-phone.png")
    page.context.close()
    for picture in out.glob("*.png"):
        # A palette is enough for flat colours and a third of the size.
        small = picture.with_suffix(".small.png")
        subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-i", picture, "-vf", "split[a][b];[a]palettegen=max_colors=200[p];[b][p]paletteuse=dither=none", small], check=True)
        small.replace(picture)


def film(frames: Path, out: Path) -> None:
    """VP9, two tries: a smaller one when the first is too large."""
    for quality in ("34", "44"):
        subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-framerate", str(RATE), "-i", frames / "%05d.png", "-c:v", "libvpx-vp9", "-crf", quality, "-b:v", "0", "-row-mt", "1", "-deadline", "good", "-cpu-used", "4", "-pix_fmt", "yuv420p", out / "demo.webm"], check=True)
        if (out / "demo.webm").stat().st_size <= BYTES_MAX:
            return
    sys.exit("the film is larger than 5 MB")


def main() -> None:
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as frames:
        up = Up(folder)
        try:
            with browser(up.address) as web:
                journey = drive(web, Path(frames))
                stills(web, out, journey)
        finally:
            up.stop()
        film(Path(frames), out)
    for file in sorted(out.iterdir()):
        print(f"{file.stat().st_size / 1000:8.0f} kB  {file}")


if __name__ == "__main__":
    main()
