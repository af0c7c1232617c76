"""A browser that looks at the dashboards of a running Grafana, as a person who has signed in."""

import base64
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tools.screenshots.faults import Seen, View

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTLED_SECONDS = 180.0
"""How long a dashboard may take until all its panels are drawn."""
HIGHEST_WEBP = 16_383
"""In pixels: of what is higher a browser writes nothing."""
PICTURE_QUALITY = 45
"""Of WebP, in percent: text is clear, and all pictures are below 2 MB."""
FACTS, UNDRAWN = (files("tools.screenshots").joinpath(name).read_text() for name in ("facts.js", "undrawn.js"))
REPLACE = """([text, other]) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.data.includes(text)) node.data = node.data.replaceAll(text, other);
  }
}"""


class ScreenshotError(Exception):
    """Raised when there is no Grafana or no browser, or a dashboard does not load; says what to do."""


def find_browser(given: Path | None = None) -> Path:
    """Return the program of an installed Chromium or Chrome. Raises ScreenshotError where there is none."""
    if given and not os.access(given, os.X_OK):
        raise ScreenshotError(f"browser {given} is not a program: expected the path of Chromium or Chrome")
    found = given or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        raise ScreenshotError(
            f"no browser found, looked in PATH for {', '.join(BROWSERS)}: install one "
            "(Debian: apt-get install chromium), or name its program with --browser"
        )
    return Path(found)


def sign_in(url: str, *, user: str, password: str | None, token: str | None) -> requests.Session:
    """Return a session that Grafana knows. Raises ScreenshotError where none answers or it refuses."""
    session = requests.Session()
    advice = "start one with `make up` (it needs a program `grafana`), or name a running one with --url"
    try:
        health = session.get(f"{url}/api/health", timeout=10)
        if health.status_code != 200 or "database" not in health.text:
            raise ScreenshotError(f"{url} is not a healthy Grafana (status {health.status_code}): {advice}")
        if token:
            session.headers["Authorization"] = f"Bearer {token}"
        else:
            session.post(f"{url}/login", json={"user": user, "password": password or ""}, timeout=30)
        known = session.get(f"{url}/api/dashboards/home", timeout=10)
    except requests.RequestException as error:
        raise ScreenshotError(f"no Grafana answers at {url}: {advice}") from error
    if known.status_code != 200:
        who = "the token" if token else user
        advice = "name a file with what it knows: --password-file or --token-file"
        raise ScreenshotError(f"Grafana at {url} refused {who} (status {known.status_code}): {advice}")
    return session


class Browser:
    """One window; what fails in it is collected by view."""

    def __init__(self, context: Any, url: str) -> None:
        self._url = url
        self._page = context.new_page()
        self._page.set_default_timeout(1000 * SETTLED_SECONDS)
        self._screen = context.new_cdp_session(self._page)
        self._address = ""
        self._requests: list[str] = []
        self._console: list[str] = []
        self._page.on("requestfailed", self._failed)
        self._page.on("response", self._answered)
        self._page.on("console", self._said)
        self._page.on("pageerror", lambda error: self._console.append(str(error).partition("\n")[0]))

    def look(self, view: View, *, unfold: bool) -> Seen:
        """Open a dashboard and return what is seen when all panels are drawn; with unfold, also in closed sections.

        What is open already is only made wider or narrower. Raises ScreenshotError where it takes SETTLED_SECONDS.
        """
        self._requests.clear()
        self._console.clear()
        self._page.set_viewport_size({"width": view.width, "height": view.height})
        # The longest refresh there is: one that comes while a page still loads begins it again.
        query = f"from=now-{view.range}&to=now&theme={view.theme}&refresh=15m{view.more}"
        address = f"{self._url}/d/platform-{view.board}/{view.board}?{query}"
        if address != self._address:
            self._page.goto(address, wait_until="commit")
            self._address = address
        self._settle(view)
        closed = self._page.get_by_role("button", name="Expand row")
        if unfold and closed.count():
            while closed.count():
                closed.first.click()
            self._settle(view)
        panels = self._page.evaluate(FACTS)
        return Seen(view, panels, tuple(dict.fromkeys(self._requests)), tuple(dict.fromkeys(self._console)))

    def variable_of_link(self, board: str, name: str) -> str:
        """Return the value that the first link on the page to a dashboard gives a variable, empty without a link."""
        links = self._page.locator(f'a[href*="/d/platform-{board}/"][href*="var-{name}="]')
        address = links.first.get_attribute("href") if links.count() else ""
        return parse_qs(urlsplit(address).query).get(f"var-{name}", [""])[0]

    def show(self, html: str, width: int) -> None:
        """Show a page of our own instead, a mail for instance."""
        self._page.set_viewport_size({"width": width, "height": 100})
        self._page.set_content(html)
        self._page.set_viewport_size({"width": width, "height": self._height()})

    def replace(self, text: str, other: str) -> None:
        """Show another text in place of one, wherever the page has it."""
        self._page.evaluate(REPLACE, [text, other])

    def picture(self, path: Path, height: int | None = None) -> None:
        """Write what is shown, the whole page or at most so much of its top, as WebP: a third of a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        size = self._page.viewport_size
        height = min(height or HIGHEST_WEBP, size["height"])
        shown = {"x": 0, "y": 0, "scale": 1, "width": size["width"], "height": height}
        options = {"format": "webp", "quality": PICTURE_QUALITY, "clip": shown}
        path.write_bytes(base64.b64decode(self._screen.send("Page.captureScreenshot", options)["data"]))

    def _settle(self, view: View) -> None:
        """Make the window as high as the page, for Grafana draws only what is in view, until all is drawn."""
        deadline, seen_drawn = time.monotonic() + SETTLED_SECONDS, 0
        while seen_drawn < 5:
            height = max(self._height(), view.height)
            undrawn = self._page.evaluate(UNDRAWN)
            if self._page.viewport_size["height"] < height:
                self._page.set_viewport_size({"width": view.width, "height": height})
                undrawn = ["what came into view"]
            seen_drawn = 0 if undrawn else seen_drawn + 1
            if time.monotonic() > deadline:
                what = ", ".join((*undrawn, *self._requests))
                raise ScreenshotError(f"{view}: not drawn within {SETTLED_SECONDS:.0f} s: {what}")
            self._page.wait_for_timeout(100)  # lets the browser's messages in

    def _height(self) -> int:
        return int(self._page.evaluate("document.documentElement.scrollHeight"))

    def _failed(self, request: Any) -> None:
        # Grafana itself cancels what a newer request replaces.
        if "ERR_ABORTED" not in (request.failure or ""):
            self._requests.append(f"{self._path(request)}: {request.failure}")

    def _answered(self, response: Any) -> None:
        # 207 is /api/ds/query's answer where some of several queries failed.
        if response.status >= 400 or response.status == 207:
            self._requests.append(f"{self._path(response.request)}: status {response.status}")

    def _said(self, message: Any) -> None:
        # Failed requests are counted as such.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self._console.append(message.text.partition("\n")[0][:200])

    def _path(self, request: Any) -> str:
        return f"{request.method} {request.url.removeprefix(self._url).partition('?')[0]}"


@contextmanager
def opened(program: Path, url: str, session: requests.Session) -> Iterator[Browser]:
    """Start the browser and sign it in. Raises ScreenshotError where Playwright, which drives it, is missing."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise ScreenshotError("Playwright is missing: pip install -e '.[screenshots]'") from error
    token = session.headers.get("Authorization")
    headers = {"Authorization": str(token)} if token else {}
    # Nothing else is reached: neither by what Grafana might ask of its makers, nor by the token.
    others = f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {urlsplit(url).hostname}"
    try:
        # Ends the browser, too.
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=[others])
            context = browser.new_context(locale="en-GB", extra_http_headers=headers)
            context.add_cookies([{"name": one.name, "value": one.value or "", "url": url} for one in session.cookies])
            yield Browser(context, url)
    except Error as error:
        raise ScreenshotError(f"{program}: {error.message.splitlines()[0]}") from error
