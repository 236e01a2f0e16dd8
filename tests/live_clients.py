"""What existing senders send to a running server ends in the marts: gtag.js, a Measurement Protocol library,
and a stream whose server is killed and started again meanwhile."""

import json
import logging
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import live_server as live
from ga4mp import GtagMP
from harness import Checks, binary, clean_environment
from live_server import Server, now_micros, query, visit

SITE, STRANGER = "https://shop.example", "https://evil.example"
KEY, SECRET = "G-TEST123456", "0123456789abcdef0123"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
CLICK_ID = "Cj0KCQjw" + "aB3-_" * 12


class Browser:
    """gtag.js of one visitor, as captured in 2025: names, order and escaping of the fields are its own."""

    def __init__(self, server: Server, number: int, *, consent: str = "G111", origin: str = SITE) -> None:
        self.server, self.consent, self.origin, self.hits = server, consent, origin, 0
        now = int(time.time())
        self.cid, self.sid, self.page_load = f"{1_000_000_000 + number}.{now}", now - 60, (now - 60) * 1000

    def query(self, location: str, *, name: str | None = None, referrer: str = "", **extra) -> str:
        self.hits += 1
        fields = {
            "v": "2", "tid": KEY, "gtm": "45je5b1v9100000000za200zd9100000000", "_p": self.page_load,
            "gcs": self.consent, "gcd": "13r3r3r2r5l1" if self.consent == "G111" else "13p3p3p2p5l1", "npa": 0,
            "dma_cps": "syphamo", "dma": 1, "tag_exp": "101509157~103116026~103200004", "cid": self.cid, "ul": "en-us",
            "sr": "1920x1080", "uaa": "x86", "uab": 64, "uafvl": "Chromium%3B140.0.7339.80%7CNot%253DA%253FBrand%3B24.0",
            "uamb": 0, "uam": "", "uap": "Linux", "uapv": "6.1.0", "uaw": 0, "are": 1, "frm": 0, "pscdl": "noapi",
            "_eu": "AAAAAAQ", "_s": self.hits, "sid": self.sid, "sct": 1, "seg": 0 if self.hits == 1 else 1,
            "dl": location, "dr": referrer, "dt": "Trail shoes – Shop & more", **({"en": name} if name else {}),
        }  # fmt: skip
        return urlencode({**fields, **extra}, quote_via=quote) + "&tfd=1310"

    def _headers(self, **more: str) -> dict:
        own = {"Origin": self.origin, "Referer": self.origin + "/", "Sec-Fetch-Site": "cross-site", "User-Agent": CHROME}
        return own | more

    def get(self, query: str, *, image: bool = False) -> live.Answer:
        headers = self._headers()
        if image:
            del headers["Origin"]
        return self.server.send("GET", f"/g/collect?{query}", None, headers)

    def post(self, query: str, lines: list[str] = ()) -> live.Answer:
        # A fetch of a string says text/plain; without a body it says nothing.
        headers = self._headers(**({"Content-Type": "text/plain;charset=UTF-8"} if lines else {}))
        return self.server.send("POST", f"/g/collect?{query}", "\r\n".join(lines).encode(), headers)


def gtag(checks: Checks, server: Server) -> dict[str, Browser]:
    taken = []
    buyer, clicker, refuser = Browser(server, 1), Browser(server, 2), Browser(server, 3, consent="G100")
    landing = SITE + "/?utm_source=newsletter&utm_medium=email&utm_campaign=autumn%20sale%2B&utm_content=a%26b"
    first = {"_fv": 1, "_nsi": 1, "_ss": 1, "_ee": 1}
    taken.append(buyer.get(buyer.query(landing, name="page_view", referrer="https://mail.example/", **first)))
    taken.append(buyer.post(buyer.query(SITE + "/p/1", name="view_item", _et=2211, pr1="idSKU1~nmTrail shoe~pr49.95")))
    batch = ["en=scroll&epn.percent_scrolled=90&_et=811", "en=add_to_cart&pr1=idSKU1~nmTrail%20shoe~qt2~pr49.95&cu=EUR"]
    taken.append(buyer.post(buyer.query(SITE + "/cart"), [*batch, ""]))
    sale = {"cu": "USD", "ep.transaction_id": "T-1001", "epn.value": "99.9", "_c": 1}
    taken.append(buyer.post(buyer.query(SITE + "/thanks", name="purchase", pr1="idSKU1~qt2~pr49.95", **sale)))

    search = f"{SITE}/?gclid={CLICK_ID}&gad_source=1"
    taken.append(clicker.post(clicker.query(search, name="page_view", referrer="https://www.google.com/", **first)))
    # Too long for the query: what does not fit goes into the body, the name stays.
    items = "&".join(f"pr{n}=idSKU{n}~nm{quote('Long name of an article ' * 4)}~qt1~pr10" for n in range(1, 41))
    overflow = "cu=USD&ep.transaction_id=T-1002&epn.value=400&" + items
    taken.append(clicker.post(clicker.query(SITE + "/thanks", name="purchase"), [overflow]))

    taken.append(refuser.post(refuser.query(landing, name="page_view", **first)))
    taken.append(refuser.get(refuser.query(SITE + "/thanks", name="purchase", **sale | {"ep.transaction_id": "T-1003"})))
    pixel = Browser(server, 4)
    taken.append(pixel.get(pixel.query(SITE + "/?utm_source=bing&utm_medium=cpc", name="page_view", **first), image=True))
    taken.append(pixel.get(pixel.query(SITE + "/a", name="scroll") + "&richsstsse"))
    checks.equal("gtag: answers", [answer.status for answer in taken], [204] * len(taken))
    checks.equal("gtag: bodies", [answer.body for answer in taken if answer.body], [])
    listed = {answer.headers["Access-Control-Allow-Origin"] for answer in taken[:-2]}
    checks.equal("gtag: the page may read answers", listed, {SITE})
    keyed = Browser(server, 5)
    path = f"/{KEY}/g/collect?{keyed.query(SITE + '/?utm_source=x&utm_medium=social', name='page_view', **first)}"
    checks.equal("gtag: below a key", server.send("POST", path, b"", keyed._headers()).status, 204)
    checks.equal("gtag: service worker", server.send("GET", "/_/service_worker/5b1/sw_iframe.html").status, 404)
    return {"buyer": buyer, "clicker": clicker, "refuser": refuser, "pixel": pixel, "keyed": keyed}


def cross_origin(checks: Checks, server: Server) -> Browser:
    """Pages of a listed origin may send, others neither ask nor send."""
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    told = server.send("OPTIONS", "/g/collect", None, asks | {"Origin": SITE})
    checks.equal("preflight: listed", (told.status, told.headers["Access-Control-Allow-Origin"]), (204, SITE))
    checks.holds("preflight: methods", "" if "POST" in (told.headers["Access-Control-Allow-Methods"] or "") else "no POST")
    checks.equal("preflight: header fields", told.headers["Access-Control-Allow-Headers"], "content-type")
    checks.equal("preflight: caches", told.headers["Vary"], "Origin")
    for origin in (STRANGER, SITE + ".evil.example", "http://shop.example", "null"):
        told = server.send("OPTIONS", "/g/collect", None, asks | {"Origin": origin})
        allowed = told.headers["Access-Control-Allow-Origin"]
        checks.equal(f"preflight: {origin}", (told.status, allowed), (403, None))
    stranger = Browser(server, 9, origin=STRANGER)
    told = stranger.post(stranger.query(STRANGER + "/?utm_source=spam&utm_medium=cpc", name="page_view", _ss=1))
    checks.equal("foreign page: refused", (told.status, told.headers["Access-Control-Allow-Origin"]), (403, None))
    rows = b'{"sql": "select 1"}'
    told = server.send("POST", "/api/v1/query", rows, {"Content-Type": "application/json", "Origin": SITE})
    checks.equal("pages may not query", told.status, 403)
    return stranger


def measurement_protocol(checks: Checks, server: Server) -> GtagMP:
    """`ga4mp` from PyPI; all that is changed is where it sends to."""
    # It advises at length on params that GA4 would like, too.
    logging.disable(logging.WARNING)
    library = GtagMP(api_secret=SECRET, measurement_id=KEY, client_id="77777.88888")
    library._base_domain = server.address + "/mp/collect"
    library._validation_domain = server.address + "/debug/mp/collect"
    library.store.set_user_property("tier", "gold")

    def event(name: str, **params) -> dict:
        made = library.create_new_event(name)
        for key, value in params.items():
            made.set_event_param(key, value)
        return made

    page = event("page_view", page_location=SITE + "/?utm_source=crm&utm_medium=email&utm_campaign=welcome")
    purchase = event("purchase", currency="USD", value=25.5, transaction_id="T-2001")
    item = purchase.create_new_item("SKU9", "Cap")
    item.set_parameter("price", 25.5)
    item.set_parameter("quantity", 1)
    purchase.add_item_to_event(item)
    tell(checks, "ga4mp: a page view", lambda: library.send([page]))
    tell(checks, "ga4mp: a purchase", lambda: library.send([purchase]))
    many = [event("select_content", content_type="x", item_id=str(number)) for number in range(60)]
    tell(checks, "ga4mp: sixty events, 25 a request", lambda: library.send(many))
    tell(checks, "ga4mp: validation", lambda: library.send([event("share", method="mail")], validation_hit=True))

    def postponed() -> None:
        # The library sends `events` as one object here, not as a list.
        library.send([event("sign_up", method="later")], postpone=True)
        library.postponed_send()

    tell(checks, "ga4mp: a postponed event", postponed)
    return library


def tell(checks: Checks, what: str, act) -> None:
    try:
        act()
    except Exception as error:  # Any way in which a library may give up.
        body = error.read().decode() if hasattr(error, "read") else ""
        checks.holds(what, f"{type(error).__name__}: {error} {body}")
    else:
        checks.holds(what, "")


def in_the_marts(checks: Checks, server: Server, browsers: dict[str, Browser], stranger: Browser) -> None:
    server.settled()
    touches = {
        row["user_pseudo_id"]: (row["source"], row["medium"], row["campaign"], row["channel"])
        for row in server.rows("select * from int_touchpoints order by touched_at desc")
    }
    sessions = {row["user_pseudo_id"]: row for row in server.rows("select * from int_sessions")}
    sales = {row["transaction_id"]: row for row in server.rows("select * from int_conversions")}
    ids = {name: browser.cid for name, browser in browsers.items()}
    expected = {
        ids["buyer"]: ("newsletter", "email", "autumn sale+", "Email"),
        ids["clicker"]: ("google", "cpc", None, "Paid Search"),
        ids["pixel"]: ("bing", "cpc", None, "Paid Search"),
        ids["keyed"]: ("x", "social", None, "Organic Social"),
        "77777.88888": ("crm", "email", "welcome", "Email"),
    }
    for person, (source, medium, campaign, channel) in expected.items():
        found = touches.get(person, (None,) * 4)
        name = next((name for name, cid in ids.items() if cid == person), "ga4mp")
        checks.equal(f"touch of {name}", (found[0], found[1], found[3]), (source, medium, channel))
        if campaign:
            checks.equal(f"campaign of {name}", found[2], campaign)
    checks.equal("sessions: one each, nobody else's", sorted(sessions), sorted(expected))
    buyer = sessions.get(ids["buyer"], {})
    checks.equal("session of buyer: page views", buyer.get("page_views"), 1)
    checks.equal("session of buyer: its own id", str(buyer.get("ga_session_id")), str(browsers["buyer"].sid))
    # page_view, session_start, first_visit, view_item, scroll, add_to_cart, purchase.
    checks.equal("session of buyer: events", buyer.get("events"), 7)
    clicks = server.rows("select click_id from int_touchpoints where user_pseudo_id = '" + ids["clicker"] + "'")
    checks.equal("click id of clicker", clicks, [{"click_id": CLICK_ID}])
    revenue = {number: float(row["revenue"] or 0) for number, row in sales.items()}
    checks.equal("conversions", revenue, {"T-1001": 99.9, "T-1002": 400, "T-1003": 99.9, "T-2001": 25.5})
    checks.equal("conversion without consent has no visitor", sales.get("T-1003", {}).get("user_pseudo_id"), None)
    credits = server.rows(
        "select channel, sum(credit_micros) as credit from fct_credits where attribution_model = 'last_click' group by 1"
    )
    credits = {row["channel"]: int(row["credit"]) for row in credits if row["channel"] != "(no touch)"}
    checks.equal("credits by last click", credits, {"Email": 2_000_000, "Paid Search": 1_000_000})
    checks.holds("nothing of the stranger", "" if stranger.cid not in touches else "a touch")


def stored(checks: Checks, project: Path, browsers: dict[str, Browser]) -> None:
    rows = query(project, "select * from events_stream")
    refuser = browsers["refuser"]
    checks.holds("no trace of who refused", "" if refuser.cid not in json.dumps(rows) else "the client id is stored")
    checks.holds("no trace of the secret", "" if SECRET not in json.dumps(rows) else "it is stored")
    items = [row["items"] for row in rows if (row["ecommerce"] or {}).get("transaction_id") == "T-1002"]
    checks.equal("items of the long purchase", [len(each) for each in items], [40])


def restarts(checks: Checks, project: Path) -> None:
    """The server is killed, then stopped, while `clicktrail stream` sends; the client goes on by itself."""
    port, visits = live.free_port(), [visit(number, now_micros() - number * 1_000_000) for number in range(300)]
    rows = [row for each in visits for row in each]
    file = project / "visits.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = Server(project, "--store-every", "1", port=port).ready()
    sending = [str(binary()), "stream", "--file", str(file), "--rate", "150/s", "--url", server.address, "-o", "json"]
    client = subprocess.Popen(sending, cwd=project, env=clean_environment(), stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    server.kill()
    server = Server(project, "--store-every", "1", port=port).ready()
    time.sleep(0.5)
    checks.equal("restart: the client still sends", client.poll(), None)
    checks.equal("restart: SIGTERM", server.stop(), 0)
    server = Server(project, port=port).ready()
    told = json.loads(client.communicate(timeout=120)[0] or "{}")
    checks.equal("restart: exit code of the client", client.returncode, 0)
    whole = (told.get("sent"), told.get("accepted", 0) + told.get("duplicate", 0), told.get("rejected"))
    checks.equal("restart: sent and acknowledged", whole, (len(rows), len(rows), 0))
    tables = server.tables()
    checks.equal("restart: sessions", len(tables["int_sessions"]), len(visits))
    checks.equal("restart: conversions", len(tables["int_conversions"]), len(visits))
    server.stop()
    checks.holds("restart: live tables are those of a build", live.differences(tables, live.built(project, tables)))
    checks.equal("restart: events", query(project, "select count(*) as n from int_events"), [{"n": len(rows)}])


def main() -> None:
    checks = Checks("live_clients")
    with tempfile.TemporaryDirectory() as folder:
        project = live.empty_project(Path(folder))
        server = Server(project, "--write-key", KEY, "--write-secret", SECRET, "--origin", SITE).ready()
        browsers = gtag(checks, server)
        stranger = cross_origin(checks, server)
        measurement_protocol(checks, server)
        in_the_marts(checks, server, browsers, stranger)
        tables = server.tables()
        checks.equal("exit code", server.stop(), 0)
        stored(checks, project, browsers)
        checks.holds("live tables are those of a build", live.differences(tables, live.built(project, tables)))
        restarts(checks, live.empty_project(Path(folder), "restarts"))
    checks.finish()


if __name__ == "__main__":
    main()
