"""The stream in more than one tab, at more than one speed, and for longer than anybody would look on."""

import time
from pathlib import Path

from dashboard_browser import settled, until
from dashboard_stream import TOLD, delays_of, kpi, send, streaming, told, watch
from harness import Checks
from live_server import now_micros

TABS = 7
HEAP_GROWTH_BYTES = 10_000_000
# Everything that the page's own copy of the stream holds: the ring is not on the page, only its last ten rows are.
NUMBERS = "async () => { const { live } = await import(document.querySelector('script[type=module]').src.replace('main.js', 'live.js')); return live.ring.map((event) => event.seq); }"
GAPS = NUMBERS.replace("live.ring.map((event) => event.seq)", "live.gaps.map((gap) => [gap.from, gap.to])")
# Counts connections of the stream that a page opens.
COUNTED = "window.opened = 0; const Real = EventSource; window.EventSource = class extends Real { constructor(...a) { super(...a); window.opened++; } };"


def holes(numbers: list[int], first: int, last: int, gaps: list[list[int]] = ()) -> str:
    """Whether the numbers of a page's ring after `first` are all of them once, in order; those of gaps that were told may be absent."""
    kept = [number for number in numbers if number > first]
    skipped = {number for start, end in gaps for number in range(start, end + 1)}
    expected = [number for number in range(first + 1, last + 1) if number not in skipped]
    return "" if kept == expected else f"{len(kept)} of {len(expected)}, {len(set(kept))} different"


def rates(checks: Checks, web, project: Path) -> None:
    """Slow and fast streams: nothing lost, nothing twice. How soon is printed; 20 a second is judged elsewhere."""
    page = web.open("/live")
    streaming(page)
    for rate, count, batch in ((1, 5, 1), (20, 100, 1), (200, 1000, 5)):
        before = told(page)
        watch(page)
        send(web, project, "--count", str(count), "--rate", str(rate), "--batch", str(batch))
        until(page, f"{TOLD} >= {before + count}", 30)
        page.wait_for_timeout(300)
        checks.holds(f"{count} events at {rate}/s are all told, in order, none twice", holes(page.evaluate(NUMBERS), before, before + count))
        p50, p95, most, rows = delays_of(page)
        print(f"        event to pixel at {rate}/s: p50 {p50:.0f} ms, p95 {p95:.0f} ms, most {most:.0f} ms, {rows} rows")
    page.context.close()


def tabs(checks: Checks, web, project: Path) -> None:
    """Seven tabs of one browser share one connection: a browser has six for a host, and pages need some of them."""
    first = web.page()
    context = first.context
    context.add_init_script(COUNTED)
    pages = [first]
    first.goto(f"{web.address}/live")
    streaming(first)
    for number in range(TABS - 1):
        page = context.new_page()
        page.on("pageerror", lambda error: web.errors.append(f"tab: {error}"))
        page.goto(f"{web.address}/{'' if number % 2 else 'live'}", timeout=30_000)
        settled(page)
        pages.append(page)
    for page in pages:
        streaming(page)
    checks.equal(f"{TABS} tabs are on the stream through one connection", sum(page.evaluate("window.opened") for page in pages), 1)
    live = [page for page in pages if page.url.endswith("/live")]
    for page in live:
        until(page, "document.querySelectorAll('[data-panel=live-events] tr[data-seq]').length === 10")
    checks.holds("a tab that comes later has the last ten events too", "")
    before = told(first)
    # Each tab on the overview asks for it again: with a connection for each tab these would wait for ever.
    overview = [page for page in pages if not page.url.endswith("/live")]
    sessions = [kpi(page, "sessions") for page in overview]
    send(web, project, "--count", "60", "--rate", "60", "--batch", "5")
    for page in live:
        until(page, f"{TOLD} >= {before + 60}", 30)
        checks.holds("a tab is told every event once", holes(page.evaluate(NUMBERS), before, before + 60))
    for page, value in zip(overview, sessions):
        until(page, f"Number(document.querySelector('[data-kpi=sessions]').dataset.exact) !== {value}", 30)
    checks.holds("and every overview moved", "")

    # The tab with the connection goes: another takes it over where it was.
    leader = next(page for page in pages if page.evaluate("window.opened"))
    leader.close()
    pages.remove(leader)
    live = [page for page in live if page is not leader]
    send(web, project, "--count", "40", "--rate", "40", "--batch", "5")
    for page in live:
        until(page, f"{TOLD} >= {before + 100}", 30)
        checks.holds("the tab with the connection went, and nothing is lost in another", holes(page.evaluate(NUMBERS), before, before + 100))
    checks.equal("one tab took the connection over", sum(page.evaluate("window.opened") for page in pages), 1)
    context.close()


def still_tabs(checks: Checks, web, project: Path) -> None:
    """A tab that rested while another had the connection is told what it missed."""
    one = web.page()
    context = one.context
    context.add_init_script(COUNTED + "window.__hide = (v) => { Object.defineProperty(document, 'hidden', {value: v, configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }; const later = setTimeout; window.setTimeout = (f, ms, ...r) => later(f, ms === 30000 ? 300 : ms, ...r);")
    one.goto(f"{web.address}/live")
    streaming(one)
    other = context.new_page()
    other.goto(f"{web.address}/live")
    settled(other)
    streaming(other)
    before = told(one)
    one.evaluate("window.__hide(true)")
    until(other, "window.opened === 1", 10)
    checks.holds("a tab that rests leaves the connection to one that is seen", "")
    send(web, project, "--count", "30", "--rate", "60")
    until(other, f"{TOLD} >= {before + 30}", 30)
    one.evaluate("window.__hide(false)")
    until(one, f"{TOLD} >= {before + 30}", 10)
    checks.holds("and is told what it missed when it is seen again", holes(one.evaluate(NUMBERS), before, before + 30))
    checks.equal("through the other's connection", one.evaluate("window.opened"), 1)
    context.close()


def one_day(checks: Checks, web, project: Path) -> None:
    """A page left open for a day: its strip slides, and it keeps no more than it shows."""
    page = web.page()
    page.clock.install()
    page.goto(f"{web.address}/live")
    page.clock.run_for(2_000)
    settled(page)
    streaming(page)
    send(web, project, "--count", "20")
    page.wait_for_timeout(500)
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")

    def heap() -> int:
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    spans = "async () => { const { live } = await import(document.querySelector('script[type=module]').src.replace('main.js', 'live.js')); return [live.rates.length, live.rates[0].at, live.rates.at(-1).at]; }"
    _, before_first, before_last = page.evaluate(spans)
    used = heap()
    for _ in range(24):
        page.clock.fast_forward(3_600_000)
        page.wait_for_timeout(120)
    streaming(page)
    start = time.monotonic()
    while time.monotonic() - start < 4:
        page.clock.run_for(250)
        page.wait_for_timeout(200)
    count, first, last = page.evaluate(spans)
    checks.holds("a day later both ends of the strip have moved", "" if first > before_first and last - before_last >= 86_000_000 and count <= 900 else f"{first - before_first} and {last - before_last} ms, {count} seconds")
    grown = heap() - used
    print(f"        heap after a day: {used / 1e6:.1f} MB, {grown / 1e6:+.1f} MB")
    checks.holds("the heap has grown by less than 10 MB", "" if grown < HEAP_GROWTH_BYTES else f"{grown} bytes")
    # And events, while paused: what goes through the page does not stay in it, and the count goes on.
    before, used = told(page), heap()
    page.keyboard.press("p")
    start = now_micros()
    send(web, project, "--count", "12000", "--rate", "600", "--batch", "10")
    page.clock.run_for(1_000)
    end = time.monotonic() + 60
    while told(page) < before + 12_000 and time.monotonic() < end:
        page.clock.run_for(100)
        page.wait_for_timeout(100)
    page.clock.run_for(1_000)
    checks.equal("paused: all 12,000 are counted", page.locator(".paused-note b").inner_text(), "12,000 new")
    page.keyboard.press("p")
    page.clock.run_for(500)
    kept = len(page.evaluate(NUMBERS))
    checks.holds("resumed: the last of them are there, in order", holes(page.evaluate(NUMBERS), before + 2_000, before + 12_000, page.evaluate(GAPS)))
    grown = heap() - used
    print(f"        heap after 12,000 more events in {(now_micros() - start) / 1e6:.1f} s: {grown / 1e6:+.1f} MB, {kept} events kept")
    checks.holds("of any number of events the last 10,000 stay", "" if kept <= 10_000 and told(page) >= before + 12_000 else f"{kept} kept, {told(page) - before} told")
    # Faster than they can be listed: what is skipped is counted all the same.
    before = told(page)
    page.keyboard.press("p")
    send(web, project, "--count", "12000", "--rate", "3000", "--batch", "100")
    end = time.monotonic() + 60
    while told(page) < before + 12_000 and time.monotonic() < end:
        page.clock.run_for(100)
        page.wait_for_timeout(100)
    page.clock.run_for(1_000)
    checks.equal("paused in a burst: all 12,000 are counted", page.locator(".paused-note b").inner_text(), "12,000 new")
    page.keyboard.press("p")
    page.context.close()
