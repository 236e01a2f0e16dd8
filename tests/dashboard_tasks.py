"""What people come to do, without a mouse; every dialog for every eye; what leaves a page: CSV, pictures, SQL, paper."""

import json
import re
from pathlib import Path

from dashboard_browser import PAGES, THEMES, WIDTHS, cells, embedded, settled, until
from dashboard_stream import streaming
from harness import Checks

# Tabs until something is reached; more would be a way that nobody goes.
TABS_MAX = 120
PAPER = {"overview": "/?f=channel:Email|Direct", "models": "/models", "paths": "/paths"}
# Width of an A4 page between its margins, in CSS pixels.
PAPER_PX = 703
ACTIVE = "document.activeElement"


class Keys:
    """A reader with a keyboard: goes on by Tab until what is wanted has the focus, and sees on the way where the focus is."""

    def __init__(self, page) -> None:
        self.page, self.unseen = page, []

    def to(self, what: str, back: bool = False) -> None:
        """`what` is a condition on the focused element `e`."""
        for _ in range(TABS_MAX):
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
            found, seen, name = self.page.evaluate("""what => { const e = document.activeElement; const style = getComputedStyle(e), inner = e.querySelector?.('.box');
              const seen = e === document.body || style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 || (inner && parseFloat(getComputedStyle(inner).strokeWidth) >= 2.5) || e.closest('.palette') || e.type === 'date';
              return [new Function('e', `return ${what}`)(e), !!seen, `${e.tagName} ${e.getAttribute('aria-label') ?? e.innerText?.slice(0, 30)}`]; }""", what)
            if not seen:
                self.unseen.append(name)
            if found:
                return
        raise AssertionError(f"{self.page.url}: Tab never leads to {what}")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)


def tasks(checks: Checks, web) -> None:
    """From the first page to the source rows of one conversion, through every control, by keys alone."""
    page = web.page(bypass_csp=True)
    keys, at = Keys(page), lambda: page.url.removeprefix(web.address)
    page.goto(web.address)
    settled(page)
    keys.press("Tab", "Enter")
    checks.equal("the first Tab skips to the content", page.evaluate(f"{ACTIVE}.id"), "main")

    keys.to("e.innerText === '+ Filter'")
    keys.press("Enter")
    page.wait_for_selector("dialog[open]")
    keys.to("e.id === 'filter-dim'")
    keys.press("ArrowDown", "ArrowUp")
    keys.to("e.placeholder === 'find a value'")
    keys.type("ema")
    until(page, "document.querySelectorAll('dialog tbody tr').length === 1")
    keys.to("e.innerText === 'only'")
    keys.press("Enter")
    until(page, "location.search === '?f=channel:Email'")
    checks.equal("a filter is added", at(), "/?f=channel:Email")
    settled(page)
    keys.to("e.className === 'words'")
    keys.press("Enter")
    keys.press("End")
    keys.type("|Direct")
    keys.press("Enter")
    until(page, "decodeURIComponent(location.search) === '?f=channel:Email|Direct'")
    keys.to("e.className === 'drop'")
    keys.press("Enter")
    until(page, "location.search === ''")
    checks.equal("and edited, and taken away", at(), "/")

    keys.to("e.getAttribute('aria-label') === 'Choose days'", back=True)
    keys.press("Enter")
    page.wait_for_selector("dialog[open]")
    keys.to("e.type === 'date'")
    keys.press("ArrowDown")
    keys.to("e.type === 'submit'")
    keys.press("Enter")
    until(page, "/d=\\d{4}-\\d\\d-\\d\\d\\.\\./.test(location.search)")
    checks.holds("days are chosen", "")
    keys.press("f")
    until(page, "location.search === ''")

    keys.to("e.innerText.startsWith('Last click') && e.closest('thead')")
    keys.press("Enter")
    until(page, "location.search === '?sort=-last_click'")
    checks.equal("a table is sorted", page.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"), "descending")
    checks.holds("and the head keeps the focus", "" if page.evaluate(f"{ACTIVE}.innerText").startswith("Last click") else page.evaluate(f"{ACTIVE}.outerHTML")[:80])
    keys.to("e.getAttribute('aria-label') === 'Menu of Credit by channel'", back=True)
    keys.press("Enter", "ArrowDown", "ArrowDown", "ArrowDown", "Enter")
    checks.holds("a panel shows its SQL", "" if "select" in page.locator("dialog[open] pre").inner_text() else "no SQL")
    keys.press("Escape")
    checks.equal("and gives the focus back", page.evaluate(f"{ACTIVE}.getAttribute('aria-label')"), "Menu of Credit by channel")

    keys.to("e.dataset.kpi === 'conversions'", back=True)
    keys.press("Enter")
    until(page, "location.pathname === '/conversions'")
    settled(page)
    keys.to("e.closest('tbody th')")
    keys.press("Enter")
    until(page, "location.pathname.startsWith('/c/')")
    page.wait_for_selector(".touches")
    keys.to("e.innerText.startsWith('Events ')")
    rows = page.locator("[data-panel=journey-source] tbody tr").count()
    checks.holds("two steps from a KPI to the source rows", "" if rows else "no source rows")
    keys.to("e.innerText === 'SQL'")
    keys.press("Enter")
    checks.holds("and to the SQL", "" if "fct_credits" in page.locator("[data-panel=journey-source] pre").inner_text() else "no SQL")

    keys.press("g", "d")
    until(page, "location.pathname === '/lineage'")
    settled(page)
    keys.to("e.id === 'select'")
    keys.type("+fct_credits")
    keys.press("Enter")
    until(page, "new URLSearchParams(location.search).get('select') === '+fct_credits'")
    settled(page)
    keys.to("e.classList.contains('node') && e.textContent.includes('int_journeys')")
    keys.press("Enter")
    until(page, "location.search.includes('node=int_journeys')")
    checks.holds("a node of the graph is picked", "")
    keys.press("g", "l")
    until(page, "location.pathname === '/live'")
    settled(page)
    keys.press("p")
    until(page, "[...document.querySelectorAll('[aria-pressed=true]')].some(b => b.innerText.includes('Resume'))", 5)
    checks.holds("the stream is paused", "")
    keys.press("p")
    checks.equal("the focus could be seen all the way", sorted(set(keys.unseen))[:5], [])
    page.context.close()


def dialogs(checks: Checks, web, journey: str) -> None:
    """axe on everything that opens, in both themes, on a phone, a tablet and a screen."""
    def by(name):
        return lambda page: page.get_by_role("button", name=name).first.click()

    def event(page):
        streaming(page)
        page.locator("[data-panel=live-events] tr[data-seq] button").first.click()
        until(page, "document.querySelector('dialog[open] pre')?.innerText.includes('event_timestamp')")

    things = {
        "filter dialog": ("/", by("+ Filter")), "days dialog": ("/", by("Choose days")), "share menu": ("/", by("Share")),
        "panel menu": ("/settings", by("Menu of Channel rules")), "word explained": ("/", lambda page: page.locator(".definition button").first.click()),
        "SQL dialog": ("/settings", lambda page: (page.get_by_role("button", name="Menu of Channel rules").click(), page.get_by_role("menuitem", name="Show SQL").click())),
        "keyboard dialog": (journey, lambda page: page.keyboard.press("?")), "palette": ("/health", lambda page: (page.keyboard.press("Control+k"), page.keyboard.type("e"), page.wait_for_timeout(400))),
        "event dialog": ("/live", event),
    }
    for name, (path, open_it) in things.items():
        found = []
        for theme in THEMES:
            page = web.page(theme=theme, bypass_csp=True, reduced_motion="reduce")
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(web.address + path)
                settled(page)
                open_it(page)
                page.wait_for_timeout(100)
                # A menu covers what is below it for as long as it is open: the page itself is judged elsewhere.
                sheet = ".sheet" if page.locator(".sheet").count() else None
                found += [f"{theme} {width}: {line}" for line in web.violations(page, sheet)]
                box = page.evaluate("(() => { const e = document.querySelector('dialog[open], .sheet'); if (!e) return null; const b = e.getBoundingClientRect(); return [b.left, innerWidth - b.right]; })()")
                found += [] if box and min(box) >= 0 else [f"{theme} {width}: stands at {box}"]
            page.context.close()
        checks.holds(f"axe finds nothing in the {name}, 2 themes × 3 widths, and it is inside the window", "; ".join(found[:3]))


def leaving(checks: Checks, web, journey: str) -> None:
    """Every panel of every page gives its rows and its picture."""
    for name, path in {**PAGES, "journey": journey}.items():
        page, wrong, panels = web.open(path, accept_downloads=True, reduced_motion="reduce"), [], 0
        if name == "live":
            streaming(page)
        for panel in page.locator("[data-panel]").all():
            menu = panel.locator("button[aria-haspopup=menu]")
            if not menu.count():
                continue
            panels += 1
            title = panel.get_attribute("data-panel")
            for item, good in (("Download CSV", lambda data: data.count(b"\r\n") >= 1), ("Download picture", lambda data: data[:8] == b"\x89PNG\r\n\x1a\n" and len(set(data)) > 100 and len(data) > 2500)):
                menu.last.click()
                with page.expect_download() as download:
                    page.get_by_role("menuitem", name=item).click()
                if not good(Path(download.value.path()).read_bytes()):
                    wrong.append(f"{title}: {item}")
        checks.holds(f"{name}: rows and picture of all {panels} panels", ", ".join(wrong) if wrong or not panels else "")
        page.context.close()


def reproduced(checks: Checks, web, sql) -> None:
    """What a page says of its numbers on the command line is true: `clicktrail query` runs every query it tells."""
    for path in ("/", "/models?by=source&cut=in", "/paths?collapse=1", "/settings"):
        page = web.open(path)
        told = embedded(page)["body"]["meta"]["sql"]
        rows = {name: sql(text) for name, text in told.items() if not name.startswith("paths.sankey")}
        empty = [name for name, found in rows.items() if not found]
        checks.equal(f"{path}: {len(rows)} queries of the page run on the command line", empty, [])
        if path == "/":
            shown = {name: value for name, value in cells(page).items() if name.endswith("|last_click") and not name.startswith("total")}
            found = {f"{row['name']}|last_click": str(row["conversions"]) for row in rows["overview.credit"] if row["model"] == "last_click"}
            same = {name: float(value) for name, value in shown.items() if float(value)} == {name: float(value) for name, value in found.items()}
            checks.holds("and give the page's numbers", "" if same else f"{shown} is not {found}")
        page.context.close()


def paper(checks: Checks, web, journey: str) -> None:
    """Prints as a report: light, no controls, the address with its filters and the definition, nothing cut off."""
    for name, path in {**PAPER, "journey": journey}.items():
        page = web.open(path, theme="dark", bypass_csp=True, width=PAPER_PX)
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        page.wait_for_timeout(200)
        seen = page.evaluate("""() => { const visible = e => e.checkVisibility({checkOpacity: true}), shown = s => [...document.querySelectorAll(s)].filter(visible);
          return { controls: shown('nav, .controls, .toasts, .panel header .btn').length, address: shown('.printed').map(e => e.innerText).join(), ground: getComputedStyle(document.body).backgroundColor,
            ink: getComputedStyle(document.body).color, wide: document.documentElement.scrollWidth - innerWidth, definition: shown('.definition').length,
            cut: shown('table').filter(t => t.getBoundingClientRect().right > innerWidth + 1).map(t => t.getAttribute('aria-label')) }; }""")
        pdf = page.pdf(format="A4", prefer_css_page_size=True)
        pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
        wrong = [] if seen["controls"] == 0 else [f"{seen['controls']} controls"]
        wrong += [] if page.url in seen["address"] else [f"address: {seen['address']!r}"]
        wrong += [] if (seen["ground"], seen["ink"]) == ("rgb(255, 255, 255)", "rgb(20, 24, 31)") else [f"{seen['ground']} {seen['ink']}"]
        wrong += [] if seen["definition"] and seen["wide"] <= 0 and not seen["cut"] else [f"definition {seen['definition']}, {seen['wide']} px too wide, cut: {seen['cut']}"]
        checks.holds(f"{name} on paper: {pages} pages, light, without controls, with its address, nothing cut", "; ".join(wrong) if wrong or not 1 <= pages <= 6 else "")
        page.context.close()


def updated(checks: Checks, web) -> None:
    """A server that comes back as another version: open tabs say so and keep where they are."""
    page, builds = web.page(quiet=True), iter(["one", "two"])
    hello = lambda build: f"retry: 100\nevent: hello\ndata: {json.dumps({'build': build, 'seq': 1, 'ready': True, 'phase': 'live'})}\n\n"
    page.route("**/api/v1/live*", lambda route: route.fulfill(content_type="text/event-stream", body=hello(next(builds, "two"))))
    page.goto(f"{web.address}/?d=14&by=source")
    settled(page)
    button = page.get_by_role("button", name="Reload")
    button.wait_for(timeout=15_000)
    checks.holds("another version: open tabs are told", "" if "updated" in page.locator(".toast").first.inner_text() else page.locator(".toast").first.inner_text())
    page.unroute("**/api/v1/live*")
    button.click()
    settled(page)
    checks.equal("and reload where they are", page.url, f"{web.address}/?d=14&by=source")
    page.context.close()


def shared(checks: Checks, web) -> None:
    """Attribution models that divide a conversion: parts are shown as parts, and any two can be compared."""
    page = web.open("/models?cut=in")
    known = [model["name"] for model in embedded(page)["body"]["meta"]["definition"]["models_known"]]
    columns = page.evaluate("[...document.querySelectorAll('[data-panel=models-table] thead th')].length")
    checks.equal("every attribution model of the tables has its column", columns, len(known) + 2)
    page.get_by_label("First attribution model").select_option("last_touch")
    until(page, "location.search === '?m=last_touch,last_click&cut=in'")
    settled(page)
    page.get_by_label("Second attribution model").select_option("first_touch")
    until(page, "location.search === '?m=last_touch,first_touch&cut=in'")
    settled(page)
    until(page, "document.querySelector('[data-panel=models-shift] h2').innerText.startsWith('Last touch against first touch')")
    checks.holds("any two are compared", "")
    page.get_by_label("First attribution model").select_option("first_touch")
    until(page, "location.search === '?m=first_touch,last_touch&cut=in'")
    checks.holds("picking the other one swaps them", "")
    page.context.close()
