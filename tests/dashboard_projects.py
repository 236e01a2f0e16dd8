"""Real projects in states that a shop gets into: nothing yet, one event, nothing before, a failing test, a stream that
stopped, an address with a secret, tables that another process builds."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from dashboard_browser import browser, cells, chromium, settled, until
from harness import Checks, clicktrail
from live_server import DAY, Server, empty_project, now_micros, run, visit

PICTURES = os.environ.get("CLICKTRAIL_PICTURES")
SECRET = "a-secret-of-readers-for-the-check"


def look(page, name: str) -> str:
    """The words of a page; its picture is kept where CLICKTRAIL_PICTURES says."""
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)
    return page.locator("main").inner_text()


def told(checks: Checks, what: str, words: str, *wanted: str) -> None:
    missing = [text for text in wanted if text.lower() not in words.lower()]
    checks.holds(what, f"{missing} are not in: {words[:300]}" if missing else "")


def young(checks: Checks, folder: Path) -> None:
    """A project without data, then with one event, then with one purchase: pages follow without a reload."""
    project = empty_project(folder, "young")
    server = Server(project).ready()
    with browser(server.address) as web:
        page = web.open("/")
        told(checks, "no events: the overview says what to run", look(page, "empty"), "clicktrail stream", "clicktrail import" if "clicktrail import" in page.content() else "clicktrail ")
        for path in ("/models", "/paths", "/conversions", "/live", "/health", "/lineage", "/settings"):
            other = web.open(path)
            words = look(other, f"empty-{path[1:]}")
            checks.holds(f"no events: {path} has words and no broken figure", "" if len(words) > 40 and not any(bad in words for bad in ("NaN", "undefined", "Infinity", "[object")) else words[:300])
            other.context.close()

        server.post_rows(visit(1, now_micros() - 60_000_000, extra=0, buys=False)[:1])
        until(page, "document.querySelector('[data-kpi=sessions]')?.dataset.exact === '1'", 15)
        words = look(page, "one-event")
        told(checks, "one event: a session without conversions, seen without a reload", words, "no conversion")
        checks.holds("one event: no figure is broken", "" if not any(bad in words for bad in ("NaN", "undefined", "Infinity")) else words[:300])

        server.post_rows(visit(2, now_micros() - 30_000_000, extra=0))
        until(page, "document.querySelector('[data-kpi=conversions]')?.dataset.exact === '1'", 15)
        settled(page)
        words = look(page, "one-purchase")
        total = cells(page)
        checks.equal("one purchase: last click has it, nobody saw its first", (total["total|first_click"], total["total|last_click"]), ("0", "1"))
        checks.equal("one purchase: it is told as left out of first click", page.locator("[data-left-out]").get_attribute("data-left-out"), "1")
        told(checks, "one purchase: marked as a low volume", words, "low volume")

        # Sessions long ago, so that the period before is known to have had no conversion.
        server.post_rows(visit(3, now_micros() - 45 * DAY, extra=0, buys=False))
        server.settled()
        other = web.open("/?d=14")
        words = look(other, "nothing-before")
        checks.holds("nothing before: new, no infinite change", "" if other.locator("[data-kpi=conversions] .delta").inner_text().startswith("new") and "∞" not in words else words[:300])
        checks.equal("no error on any console", web.errors[:5], [])
    server.stop()


def stopped(checks: Checks, folder: Path) -> None:
    """The last event is ten minutes old."""
    project = empty_project(folder, "stopped")
    server = Server(project).ready()
    server.post_rows(visit(1, now_micros() - 600_000_000, extra=0))
    server.settled()
    with browser(server.address) as web:
        page = web.open("/health")
        told(checks, "a stream that stopped is told on Health", look(page, "stopped"), "the stream stopped")
        page = web.page(quiet=True)
        page.goto(f"{web.address}/?snap=0-0")
        page.wait_for_selector(".notice.bad")
        words = look(page, "expired")
        told(checks, "an address pinned to a state that is gone says so", words, "E6128")
        page.locator(".notice.bad").get_by_role("button").or_(page.locator(".notice.bad a")).first.click()
        until(page, "!document.querySelector('.notice.bad') && !!document.querySelector('[data-kpi=conversions]')", 10)
        checks.holds("and leads to the newest", "" if "snap=" not in page.url else page.url)
    server.stop()


def failing(checks: Checks, folder: Path) -> None:
    """A data test upstream of some panels fails."""
    clicktrail(folder, "init", "failing", "--demo")
    project = folder / "failing"
    clicktrail(project, "build", "--quiet")
    (project / "tests" / "no_sessions_at_all.sql").write_text("select session_key from {{ ref('int_sessions') }} limit 3\n")
    said = run(project, "build")
    checks.equal("a failing test makes the build exit with 1", said.returncode, 1)
    # A server knows the tests that were there when it started.
    for table in ("fct_credits", "int_sessions", "mart_first_click"):
        (project / "tests" / f"nothing_in_{table}.sql").write_text(f"select 1 as one from {{{{ ref('{table}') }}}} limit 1\n")
    server = Server(project, "--read-only").ready()
    with browser(server.address) as web:
        page = web.open("/")
        look(page, "failing-overview")
        marked = page.evaluate("[...document.querySelectorAll('[data-panel]')].filter(p => p.querySelector('.badge.warn')).map(p => p.dataset.panel)")
        checks.holds("the panels that read the tested table are marked", "" if "series-sessions" in marked or "series-conversions" in marked else str(marked))
        # Counts of tests come with the stream, at times after its first words.
        until(page, "document.title !== 'Overview · Clicktrail'")
        checks.equal("the tab's title counts the test", page.title(), "⚠ 1 Overview · Clicktrail")
        page = web.open("/health")
        told(checks, "Health names the test, its rows and how to run it", look(page, "failing-health"), "no_sessions_at_all", "✗ failed", "skipped")
        checks.holds("and what was skipped is not in the way", "" if page.locator("[data-panel=health-tests] tbody tr").count() < 15 else "too many rows")
        page.get_by_role("button", name="copy command").first.click()
        exactly(checks, web, project, server)
    server.stop()


def marked(web, path: str) -> set[str]:
    page = web.open(path)
    names = page.evaluate("[...document.querySelectorAll('[data-panel]')].filter(p => p.querySelector('.badge.warn[href]')).map(p => p.dataset.panel)")
    page.context.close()
    return set(names)


def exactly(checks: Checks, web, project: Path, server: Server) -> None:
    """The mark stands on the panels whose tables are the tested one or are made from it, and on no other."""
    (project / "tests" / "no_sessions_at_all.sql").unlink()
    for table, wanted in (("fct_credits", {"series-conversions", "credit-by-channel"}), ("int_sessions", {"series-conversions", "credit-by-channel", "settings-channels"}), ("mart_first_click", set())):
        test = project / "tests" / f"nothing_in_{table}.sql"
        run(project, "test", "-s", test.stem)
        end = time.monotonic() + 10
        while time.monotonic() < end and not any(one["name"] == test.stem for one in server.send("GET", "/api/v1/settings").json()["meta"]["tests"]["failing"]):
            time.sleep(0.1)
        found = marked(web, "/") | marked(web, "/settings")
        checks.equal(f"a test of {table} fails: the mark is on exactly what is made from it", found, wanted)


def reading(checks: Checks, folder: Path) -> None:
    """`serve --read-only`: waits for tables, follows builds of other processes, takes no events."""
    clicktrail(folder, "init", "reading", "--demo")
    project = folder / "reading"
    server = Server(project, "--read-only").listening()
    with browser(server.address) as web:
        page = web.page(quiet=True)
        page.goto(web.address)
        until(page, "document.querySelector('main')?.innerText.includes('clicktrail build')", 10)
        look(page, "waiting")
        checks.equal("before the first build: not ready", server.send("GET", "/readyz").status, 503)
        clicktrail(project, "build", "--quiet")
        until(page, "document.querySelector('[data-kpi=conversions]')", 20)
        checks.holds("the page shows the tables as soon as they are built", "")
        shown = page.locator("[data-kpi=conversions]").get_attribute("data-exact")
        said = json.loads(run(project, "export", "overview", "-o", "json").stdout)
        checks.equal("and the same number as clicktrail export", shown, said["data"]["kpis"][0]["value"])
        before = said["data"]["credit"]["rows"]
        clicktrail(project, "build", "--quiet", "--vars", "{lookback_days: 2}")
        server_side = lambda: server.send("GET", "/api/v1/overview").json()["data"]["credit"]["rows"]
        until(page, "true", 1)
        for _ in range(50):
            if server_side() != before:
                break
            page.wait_for_timeout(100)
        checks.holds("a build by another process changes the page's numbers", "" if server_side() != before else "the same rows")
        checks.equal("events are refused", server.post_rows(visit(1, now_micros())).status, 404)
        page.goto(f"{web.address}/live")
        settled(page)
        told(checks, "Live says that this server takes no events", look(page, "reading-live"), "only shows tables")
    checks.equal("it ends with 0", server.stop(), 0)


def secret(checks: Checks, folder: Path) -> None:
    """A server for others: nothing without the secret, everything after signing in once."""
    project = empty_project(folder, "secret")
    server = Server(project, "--bind", "0.0.0.0", "--read-secret", SECRET, "--write-secret", f"{SECRET}-w").ready()
    port = server.address.rsplit(":", 1)[1]
    server.address = f"http://127.0.0.1:{port}"
    checks.equal("pages need the secret", server.send("GET", "/").status, 401)
    checks.equal("answers need the secret", server.send("GET", "/api/v1/overview").status, 401)
    checks.equal("a wrong one is refused", server.send("GET", "/?token=wrong-secret-wrong").status, 401)
    with browser(server.address) as web:
        page = web.page(quiet=True)
        page.goto(web.address)
        checks.holds("without it, the page says how to sign in", "" if "token" in page.content() else page.content()[:300])
        page.goto(f"{web.address}/models?d=14&token={SECRET}")
        settled(page)
        checks.holds("signed in: the address keeps its keys and loses the secret", "" if "d=14" in page.url and SECRET not in page.url and page.url.split("?")[0].endswith("/models") else page.url)
        page.goto(f"{web.address}/live")
        until(page, "document.querySelector('.stream-state .pulse.live')", 10)
        checks.holds("the stream follows, too", "")
    server.stop()


def projects(checks: Checks) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in (young, stopped, failing, reading, secret):
            part(checks, folder)


if __name__ == "__main__":
    if not chromium():
        print("SKIPPED: tests/dashboard_projects.py: there is no Chromium (apt-get install chromium), so nothing was looked at")
        sys.exit(1 if os.environ.get("CI") == "true" else 0)
    everything = Checks("dashboard, real projects")
    projects(everything)
    everything.finish()
