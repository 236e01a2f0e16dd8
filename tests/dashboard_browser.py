"""Chromium for the dashboard's checks: pages that tell of every console error and every foreign request."""

import importlib.resources
import json
import os
import re
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from playwright.sync_api import Error, sync_playwright

from dashboard_contract import Contract

PAGES = {
    "overview": "/", "models": "/models", "paths": "/paths", "conversions": "/conversions", "live": "/live",
    "health": "/health", "lineage": "/lineage?node=fct_credits", "settings": "/settings",
}
WIDTHS = (375, 768, 1440)
THEMES = ("light", "dark")
# Root in a container has no sandbox; the others keep Chromium from calling home at its start.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]


def chromium() -> str | None:
    """The browser: CHROMIUM, or the first one on the path. None: the checks can't run here."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One Chromium and what went wrong in any of its pages."""

    def __init__(self, playwright, address: str) -> None:
        self.address, self.errors, self.foreign, self.contract = address, [], [], Contract()
        self.chromium = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        self._axe = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()

    def page(self, width: int = 1440, theme: str = "light", quiet: bool = False, **options):
        """A page in a context of its own. `quiet`: its errors are wanted and not collected."""
        context = self.chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **options)
        page = context.new_page()
        if not quiet:
            page.on("console", lambda said: said.type == "error" and self.errors.append(f"{page.url}: {said.text}"))
            page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))
        page.on("request", self._watch)
        page.on("response", self._compare)
        return page

    def _watch(self, request) -> None:
        url = urlparse(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and f"{url.scheme}://{url.netloc}" != self.address:
            self.foreign.append(request.url)

    def _compare(self, response) -> None:
        """Holds what the page was told against the API's description, the JSON inside its first HTML too."""
        kind = response.headers.get("content-type", "")
        path = response.url.removeprefix(self.address)
        if path.startswith("/api/v1/") and "json" in kind:
            self._judge(response, path, response.status, kind, lambda: response.body())
        elif kind.startswith("text/html"):
            self._judge(response, None, 200, "application/json", lambda: inside(response.text()))

    def _judge(self, response, path: str | None, status: int, kind: str, read) -> None:
        try:
            body = read()
        except Error:
            # The page went on before its body could be read: the same question to the server stands for it.
            if path and response.request.method == "GET":
                self.contract.ask(self.address, path)
            return
        if path is None and body is not None:
            path, body = body["path"], json.dumps(body["body"])
        if body is not None:
            self.contract.judge(response.request.method, path, status, kind, body)

    def open(self, path: str, **options):
        page = self.page(**options)
        page.goto(self.address + path)
        settled(page)
        return page

    def violations(self, page, part: str | None = None) -> list[str]:
        """What axe finds on a page or in a part of it, one line each."""
        page.evaluate(self._axe)
        found = page.evaluate("([part, rules]) => axe.run(part ?? document, {runOnly: rules})", [part, RULES])
        return [f"{v['id']}: {v['nodes'][0]['html'][:120]} ({len(v['nodes'])})" for v in found["violations"]]


def inside(html: str) -> dict | None:
    """The JSON that a page's HTML brings along."""
    found = re.search(r'<script[^>]* id="page"[^>]*>(.*?)</script>', html, re.S)
    return json.loads(found[1]) if found else None


@contextmanager
def browser(address: str):
    with sync_playwright() as playwright:
        made = Browser(playwright, address)
        try:
            yield made
        finally:
            made.chromium.close()


def until(page, expression: str, seconds: float = 20):
    """Asks until the expression is true. The content policy forbids the browser's own way of waiting for one, which is `eval`."""
    end = time.monotonic() + seconds
    while not (found := page.evaluate(expression)):
        if time.monotonic() > end:
            raise AssertionError(f"{page.url}: not within {seconds} s: {expression}")
        page.wait_for_timeout(25)
    return found


def settled(page, seconds: float = 20) -> None:
    """Waits until the page has painted its data: no skeleton is left, and the main part has words."""
    until(page, "!!document.querySelector('main') && !document.querySelector('main .skeleton') && document.querySelector('main').innerText.length > 20", seconds)


def cells(page, selector: str = "[data-cell]") -> dict[str, str]:
    """Exact values of a page's cells by their name, as they stand in the DOM."""
    return page.evaluate("s => Object.fromEntries([...document.querySelectorAll(s)].map(e => [e.dataset.cell, e.dataset.exact]))", selector)


def embedded(page) -> dict:
    """The JSON inside the first HTML."""
    return json.loads(page.evaluate("document.getElementById('page').textContent"))
