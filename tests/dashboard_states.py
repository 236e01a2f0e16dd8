"""States that data seldom is in, given to the page by hand: the server's answer is changed on its way."""

import json

from dashboard_browser import settled
from harness import Checks


def altered(web, change, path: str = "/", then: str = "Overview", status: int = 200):
    """A page whose answers of `/api/v1/overview` went through `change(body)`."""
    page = web.page(quiet=status != 200)

    def answer(route):
        found = route.fetch()
        body = found.json()
        body = change(body) or body
        kind = "application/json" if status == 200 else "application/problem+json"
        route.fulfill(status=status, content_type=kind, body=json.dumps(body))

    page.route("**/api/v1/overview*", answer)
    # Through another page, so that the question is asked and not read from the HTML.
    page.goto(f"{web.address}/settings")
    settled(page)
    page.get_by_role("link", name=then, exact=True).click()
    return page


def told(status: int, code: str, title: str, detail: str, **more) -> dict:
    """A problem as the server tells it."""
    return {"type": f"urn:clicktrail:problem:{code}", "title": title, "status": status, "detail": detail, "code": code, "docs": f"clicktrail explain {code}", **more}


def kpi_words(page, name: str) -> str:
    return page.locator(f"[data-kpi={name}] .delta").inner_text()


def states(checks: Checks, web) -> None:
    def figures(body):
        kpis = {kpi["key"]: kpi for kpi in body["data"]["kpis"]}
        kpis["conversions"].update(value="12", previous="0", low_volume=False)
        kpis["revenue"].update(value="-250.5", previous="100")
        kpis["sessions"].update(value="500", previous="500")
        kpis["conversion_rate"].update(value=0.024, previous=0.026)
        kpis["average_order_value"].update(value=None, previous=None, spark=[])

    page = altered(web, figures)
    settled(page)
    checks.holds("zero before is new", "" if kpi_words(page, "conversions").startswith("new") else kpi_words(page, "conversions"))
    checks.holds("no change is same, and grey", "" if page.locator("[data-kpi=sessions] .delta.same").count() else kpi_words(page, "sessions"))
    checks.holds("rates change in points", "" if "0.20\u202fpp" in kpi_words(page, "conversion_rate") else kpi_words(page, "conversion_rate"))
    words = page.locator("[data-kpi=revenue] .big").inner_text()
    checks.holds("refunds make revenue negative, with its sign", "" if words.startswith("−") else words)
    checks.equal("nothing to divide by is a dash", page.locator("[data-kpi=average_order_value] .big").inner_text(), "–")
    page.context.close()

    page = altered(web, lambda body: [kpi.update(low_volume=True, value="3", previous="9") for kpi in body["data"]["kpis"] if kpi["key"] == "conversions"] and None)
    settled(page)
    checks.holds("few conversions: marked, without colour", "" if page.locator("[data-kpi=conversions] .delta.low").count() and "low volume" in kpi_words(page, "conversions") else kpi_words(page, "conversions"))
    page.context.close()

    def one_row(body):
        body["data"]["series"]["days"] = body["data"]["series"]["days"][:1]
        body["data"]["credit"]["rows"] = body["data"]["credit"]["rows"][:1]

    page = altered(web, one_row)
    settled(page)
    checks.holds("one day and one row are drawn", "" if page.locator("[data-panel=series-conversions] circle.dot").count() == 1 else "no dot")
    page.context.close()

    def nothing(body):
        body["meta"]["empty"] = {"reason": "no_data", "text": "no events are loaded", "remove": None}

    page = altered(web, nothing)
    page.wait_for_selector(".state")
    words = page.locator("main").inner_text()
    checks.holds("an empty project says what to run", "" if words.count("clicktrail ") >= 3 else words)
    page.context.close()

    def failing(body):
        tables = body["meta"]["sql_tables"][body["data"]["credit"]["sql_id"]]
        body["meta"]["tests"] = {"pass": 95, "warn": 0, "fail": 1, "error": 0, "skipped": 0, "at": "2026-11-24T01:30:00Z", "failing": [{"name": "unique_mart", "status": "fail", "failures": 2, "nodes": tables[:1], "tables": tables[:1]}]}
        body["meta"]["sql_tables"][body["data"]["series"]["sql_id"]] = ["something_else"]

    page = altered(web, failing)
    settled(page)
    checks.equal("a failing test marks the panels that depend on it, and no other", [page.locator(f"[data-panel={name}] .badge.warn").count() for name in ("credit-by-channel", "series-conversions")], [1, 0])
    page.context.close()

    def unsound(body):
        body["data"]["credit"]["reconciled"] = False

    page = altered(web, unsound)
    settled(page)
    checks.equal("sums that do not reconcile turn the panel red", page.locator(".panel.broken").count(), 1)
    page.context.close()

    problem = told(410, "E6128", "expired link", "this snapshot is no longer kept", hint="open the newest")
    page = altered(web, lambda body: problem, status=410)
    page.wait_for_selector(".notice.bad")
    words = page.locator(".notice.bad").inner_text()
    checks.holds("an expired snapshot says so and offers the newest", "" if "E6128" in words and "newest" in words.lower() else words)
    page.context.close()

    progress = {"phase": "building", "done": 7, "total": 18, "current": "int_sessions", "seconds": 1.2, "error": None}
    building = told(503, "E6120", "not ready", "tables are being built", progress=progress)
    page = altered(web, lambda body: building, status=503)
    page.wait_for_selector("progress")
    words = page.locator(".notice").inner_text()
    checks.holds("a build shows how far it is", "" if "7 of 18" in words and "int_sessions" in words else words)
    page.context.close()

    page = web.page()
    page.add_init_script("const quick = fetch; window.fetch = async (...a) => { if (String(a[0]).includes('/models')) await new Promise(r => setTimeout(r, 1200)); return quick(...a); }")
    page.goto(f"{web.address}/settings")
    settled(page)
    page.get_by_role("link", name="Models", exact=True).click()
    page.wait_for_selector(".elapsed", timeout=3000)
    checks.holds("a slow answer shows how long it has taken", "")
    page.context.close()

    page = web.open("/?f=campaign:no-such-campaign")
    words = page.locator("main").inner_text()
    checks.holds("an empty answer names the filter that did it", "" if "no-such-campaign" in words and page.get_by_role("button", name="Remove filters").count() else words[:200])
    page.context.close()
