"""For every eye: colours that the system forces, no motion, names of any length and direction on a phone, charts that fill later."""

import json
import time

from dashboard_browser import PAGES, settled, until
from dashboard_stream import send, streaming
from harness import Checks
from live_server import now_micros, post_rows, visit

LONG = {
    "300 letters": "spring_sale_" + "x" * 288,
    "300 Arabic letters": ("حملة الربيع " * 25)[:300],
    "emoji and a turn of direction": "🛒🎉 \u202eelas\u202c 👩‍👩‍👧‍👦 " * 12,
    "one word that breaks nowhere": "W" * 300,
}
PHONE = 375
# A row that holds a long name may take a few lines, not the page.
ROW_PX = 140


def forced_colors(checks: Checks, web) -> None:
    """High contrast: where one is, what is pressed and what charts say can be told from the rest."""
    for theme in ("light", "dark"):
        found = []
        for name, path in PAGES.items():
            page = web.page(theme=theme, forced_colors="active", bypass_csp=True, width=1000)
            # A theme that was picked before steps back.
            page.add_init_script(f"localStorage.setItem('theme', '{'light' if theme == 'dark' else 'dark'}')")
            page.goto(web.address + path)
            settled(page)
            ink, told = page.evaluate("""() => {
              const ink = getComputedStyle(document.body).color, told = [];
              for (const text of document.querySelectorAll('.chart text')) if (getComputedStyle(text).fill !== ink) told.push('chart text ' + text.textContent);
              const borders = new Set([...document.querySelectorAll('.bar-top nav a')].map(a => getComputedStyle(a).borderBottomColor));
              if (document.querySelector('.bar-top nav [aria-current]') && borders.size !== 2) told.push('no link of the page is marked');
              for (const group of document.querySelectorAll('.segments')) {
                const grounds = new Set([...group.children].map(e => getComputedStyle(e).backgroundColor));
                if (group.querySelector('[aria-current=true], [aria-pressed=true]') && grounds.size !== 2) told.push('nothing is marked in ' + group.innerText);
              }
              for (const dot of document.querySelectorAll('.swatch-dot')) if (dot.offsetParent && getComputedStyle(dot).backgroundColor === getComputedStyle(document.body).backgroundColor) told.push('a swatch has no colour');
              return [ink, told];
            }""")
            found += [f"{name}: {what}" for what in dict.fromkeys(told)]
            found += [f"{name}: {line}" for line in web.violations(page)]
            page.context.close()
        checks.holds(f"forced colours, {theme}: everything can be told apart on every page", "; ".join(found[:4]))


def no_motion(checks: Checks, web, project) -> None:
    """Who asked for no motion gets none, also when numbers change under their eyes."""
    page = web.page(reduced_motion="reduce")
    page.add_init_script("window.moves = []; addEventListener('animationstart', e => window.moves.push(e.animationName), true); addEventListener('transitionrun', e => window.moves.push(e.propertyName), true)")
    page.goto(f"{web.address}/")
    settled(page)
    streaming(page)
    before = page.locator("[data-kpi=sessions]").get_attribute("data-exact")
    send(web, project, "--count", "20")
    until(page, f"document.querySelector('[data-kpi=sessions]').dataset.exact !== '{before}'", 20)
    page.get_by_role("link", name="Models", exact=True).hover()
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Live", exact=True).click()
    settled(page)
    page.wait_for_timeout(300)
    checks.equal("reduced motion: nothing moves", page.evaluate("[window.moves, document.getAnimations().length]"), [[], 0])
    page.context.close()


def long_names(checks: Checks, web) -> None:
    """Names of 300 letters, from right to left, with emoji, on a phone: cut for the eye, whole for who asks, and the page stays as it is."""
    stamp = now_micros()
    for number, name in enumerate(LONG.values()):
        rows = visit(910_000 + number, stamp - 60_000_000, device=f"long{number}.{stamp}")
        for row in rows:
            row["collected_traffic_source"] = {"manual_campaign_name": name, "manual_source": name, "manual_medium": "cpc"}
        assert post_rows(web.address, rows).status == 200
    time.sleep(1)
    for theme in ("light", "dark"):
        page = web.page(width=PHONE, theme=theme, bypass_csp=True)
        for path in ("/?by=campaign", "/?by=source&v=rev", "/models?by=campaign", "/paths?by=campaign", "/conversions", "/live", "/?by=campaign&f=campaign:" + "y" * 120):
            page.goto(web.address + path)
            settled(page)
            page.wait_for_timeout(200)
            wide, tall = page.evaluate("px => [document.documentElement.scrollWidth - innerWidth, [...document.querySelectorAll('tbody tr')].filter(r => r.offsetHeight > px).map(r => r.innerText.slice(0, 40))]", ROW_PX)
            checks.equal(f"{path[:40]} {theme}: long names make neither the page wide nor a row tall", [max(0, wide), tall], [0, []])
            if path == "/?by=campaign" and theme == "light":
                whole = page.evaluate("[...document.querySelectorAll('[data-panel=credit-by-campaign] bdi')].map(e => e.textContent)")
                missing = [what for what, name in LONG.items() if name.strip() not in [text.strip() for text in whole]]
                checks.equal("names are whole in the page, each in an isolated run of text", missing, [])
            if path in ("/?by=campaign", "/models?by=campaign"):
                checks.holds(f"axe finds nothing on {path} with long names, {theme}", "; ".join(web.violations(page)[:3]))
        page.context.close()


def late_sparks(checks: Checks, web) -> None:
    """A sparkline that had nothing to draw draws what comes, in the same place."""
    page, empty = web.page(), [True]

    def answer(route):
        body = route.fetch().json()
        for kpi in body["data"]["kpis"]:
            kpi["spark"] = [] if empty[0] else kpi["spark"]
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page.route("**/api/v1/overview*", answer)
    page.goto(f"{web.address}/settings")
    settled(page)
    page.get_by_role("link", name="Overview", exact=True).click()
    settled(page)
    shape = "(() => { const svg = document.querySelector('[data-kpi=sessions] svg'); const box = svg.getBoundingClientRect(), card = svg.closest('.kpi').getBoundingClientRect(); return [box.width, box.height, card.width, card.height]; })()"
    before = page.evaluate(shape)
    checks.equal("a sparkline without values is a line and no more", page.locator("[data-kpi=sessions] svg path").count(), 0)
    empty[0] = False
    page.get_by_role("link", name="90d").click()
    until(page, "document.querySelector('[data-kpi=sessions] svg path.now')?.getAttribute('d').length > 10")
    checks.equal("values that come later are drawn in the same place", page.evaluate(shape), before)
    page.context.close()


def lineage_begins(checks: Checks, web) -> None:
    """A graph wider than the window begins where one wants to look: at what is picked, at what is selected, else at its sources."""
    page = web.page(width=PHONE)
    seen = "name => { const box = document.querySelector('.dag-scroll').getBoundingClientRect(), node = [...document.querySelectorAll('.dag .node')].find(n => n.textContent.includes(name)).querySelector('.box').getBoundingClientRect(); return node.left >= box.left - 1 && node.right <= box.right + 1; }"
    for path, name in (("/lineage?node=mart_attribution_daily", "mart_attribution_daily"), ("/lineage?node=int_sessions", "int_sessions"), ("/lineage?select=mart_last_click", "mart_last_click"), ("/lineage", "ga4.events")):
        page.goto(web.address + path)
        settled(page)
        page.wait_for_timeout(300)
        checks.equal(f"{path} on a phone begins at {name}", page.evaluate(seen, name), True)
    page.context.close()
