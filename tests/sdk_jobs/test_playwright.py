"""Pages that jobs open in a real browser, by both of Playwright's APIs."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from playwright import async_api, sync_api

import platform_sdk
from platform_sdk import diagnostics
from platform_sdk.jobs.scraping import scraping_job
from platform_sdk.outgoing import playwright as hook
from tests.sdk_jobs.store import Store
from tools.stack.ports import free_port
from tools.stack.programs.search import find

CHALLENGE = b"<html><head><title>Just a moment...</title></head><body><script>fetch('/api/x')</script></body></html>"
CHAIRS = b"<html><head><title>Chairs</title></head><body><p>A chair.</p><a href='/chairs/2'>Next</a>%s</body></html>"
SHELL = (
    b"<html><head><title>Shop</title></head><body><div id=app></div><script>fetch('/api/chairs')</script></body></html>"
)
IMAGE = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
PAGES = {
    "/chairs": CHAIRS % b"", "/chairs/2": CHAIRS % b"", "/challenge": CHALLENGE, "/shell": SHELL, "/api/chairs": b"[]",
    "/images": CHAIRS % b"".join(b"<img src=/image/%d>" % number for number in range(40)),
    "/long": CHAIRS % (b"A chair. " * 3000),
    "/frames": CHAIRS % b"<iframe src=/chairs></iframe>",
    "/polling": CHAIRS % b"<script>fetch('/api/chairs').then(() => fetch('/status/429'))</script>",
    "/worker": CHAIRS % b"<script>navigator.serviceWorker.register('/worker.js')</script>",
    "/worker.js": b"self.addEventListener('fetch', event => event.respondWith(fetch(event.request)))",
}  # fmt: skip
WAIT_MS = 120_000
OPTIONS: dict[str, Any] = {"timeout": WAIT_MS}
KINDS = {"/worker.js": "text/javascript", "/api/chairs": "application/json"}

Scenario = Callable[[Any], Coroutine[Any, Any, None]]
Browse = Callable[..., None]


class Shop(BaseHTTPRequestHandler):
    """A site: /moved leads to /chairs, /status/... has that status, /hang answers never, /file is a download."""

    asked: list[str] = []  # noqa: RUF012 - of all handlers
    over = threading.Event()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path == "/hang":
            self.over.wait(240)
            return
        if path == "/reset":
            self.close_connection = True
            return
        body, kind = PAGES.get(path, IMAGE if path.startswith("/image") else CHAIRS % b""), KINDS.get(path, "text/html")
        status = int(path[8:]) if path.startswith("/status/") else 302 if path == "/moved" else 200
        self.send_response(status)
        if path == "/moved":
            self.send_header("Location", "/chairs")
        if path == "/file":
            self.send_header("Content-Disposition", "attachment; filename=chairs.csv")
        self.send_header("Content-Type", "image/svg+xml" if body is IMAGE else kind)
        self.send_header("Content-Length", str(0 if status == 204 else len(body)))
        self.end_headers()
        self.wfile.write(b"" if status == 204 else body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """Serve the site."""
    Shop.over.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Shop.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def on(start: Callable[..., None]) -> Iterator[None]:
    """Switch the SDK and the hook on."""
    start(proxy_providers={"acme": {"hosts": ["127.0.0.1"], "page": 2}})
    hook.install()
    yield
    hook.uninstall()


class Called:
    """An object of the synchronous API, whose methods are called as the other's are: what they return is awaited."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if not callable(found):
            return Called(found) if hasattr(found, "_impl_obj") else found

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            return Called(result) if hasattr(result, "_impl_obj") else result

        return call


class InSync:
    """A browser of the synchronous API."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._playwright = self._stack.enter_context(sync_api.sync_playwright())
        self._browser = self.launch()

    def launch(self, **options: Any) -> Any:
        """Start another one."""
        return self._playwright.chromium.launch(**OPTIONS, **options)

    def run(self, scenario: Scenario, **options: Any) -> None:
        """Run a scenario, in a browser of its own where there are options."""
        browser = self.launch(**options) if options else self._browser
        try:
            with suppress(StopIteration):
                scenario(Called(browser)).send(None)
        finally:
            for context in browser.contexts:
                context.close()
            if options:
                browser.close()

    def close(self) -> None:
        """End the browser."""
        self._stack.close()


class InAsync:
    """A browser of the asynchronous API."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._playwright = self._runner.run(async_api.async_playwright().start())
        self._browser = self._runner.run(self.launch())

    async def launch(self, **options: Any) -> Any:
        """Start another one."""
        return await self._playwright.chromium.launch(**OPTIONS, **options)

    def run(self, scenario: Scenario, **options: Any) -> None:
        """Run a scenario, in a browser of its own where there are options."""
        self._runner.run(self._run(scenario, **options))

    async def _run(self, scenario: Scenario, **options: Any) -> None:
        browser = await self.launch(**options) if options else self._browser
        try:
            await scenario(browser)
        finally:
            for context in browser.contexts:
                await context.close()
            if options:
                await browser.close()

    def close(self) -> None:
        """End the browser."""
        self._runner.run(self._browser.close())
        self._runner.run(self._playwright.stop())
        self._runner.close()


@pytest.fixture(scope="module", params=[InSync, InAsync])
def api(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return one API after the other."""
    OPTIONS["executable_path"] = find("chromium").path
    browser = request.param()
    yield browser
    browser.close()


@pytest.fixture
def browse(api: Any) -> Browse:
    """Return a function that runs a scenario with a browser."""
    return cast(Browse, api.run)


def real(page: Any) -> Any:
    """Return Playwright's own object."""
    return page.real if isinstance(page, Called) else page


async def opened(browser: Any) -> Any:
    """Return a new page, with deadlines for a busy machine."""
    page = await browser.new_page()
    real(page).set_default_timeout(WAIT_MS)
    return page


def counted(store: Store, columns: str = "site, status, block, sum(requests)::int", by: str = "1, 2, 3") -> list[Any]:
    """Return what was counted of requests."""
    assert platform_sdk.flush(60)
    return store.rows(columns, "scraping_request", f"true GROUP BY {by}")


def test_pages_are_counted(store: Store, shop: str, browse: Browse) -> None:
    """Each document once, with status, site and bytes; not its images or frames."""

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs") as job:
            page = await opened(browser)
            assert (await page.goto(f"{shop}/images")).status == 200
            await page.goto(f"{shop}/frames")
            await page.goto(f"{shop}/status/404")
            await page.reload()
            await page.go_back()
            await page.goto("about:blank")
            job.item()

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 3), ("127.0.0.1", 404, None, 2)]
    assert store.rows("outcome, response_bytes > 800") == [("success", True)]
    assert store.count("api_call") == 0


def test_redirects_are_requests(store: Store, shop: str, browse: Browse) -> None:
    """As with other libraries."""

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            await (await opened(browser)).goto(f"{shop}/moved")

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 1), ("127.0.0.1", 302, None, 1)]


def test_a_challenge_with_a_200_is_blocked(store: Store, shop: str, browse: Browse) -> None:
    """It is recognised by its document; a page that its scripts fill is none."""
    hook.install(fetches=True)

    async def scenario(browser: Any) -> None:
        page = await opened(browser)
        with scraping_job(scraper="chairs"):
            await page.goto(f"{shop}/challenge")
            await page.goto(f"{shop}/challenge", wait_until="networkidle")
        with scraping_job(scraper="shell"):
            await page.goto(f"{shop}/shell", wait_until="networkidle")

    browse(scenario)

    assert counted(store, "scraper, block, sum(requests)::int", "1, 2") == [
        ("chairs", "cloudflare", 2),
        ("shell", None, 2),
    ]
    assert store.rows("scraper, outcome, reason, block") == [
        ("chairs", "failure", "blocked", "cloudflare"), ("shell", "success", None, None),
    ]  # fmt: skip


def test_bodies_are_not_asked_for_twice(store: Store, shop: str, browse: Browse) -> None:
    """What is read of a document, the browser has."""
    Shop.asked.clear()

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            page = await opened(browser)
            response = await page.goto(f"{shop}/chairs")
            assert b"A chair" in await response.body()

    browse(scenario)

    assert Shop.asked.count("/chairs") == 1


def test_long_pages_are_not_read(store: Store, shop: str, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not challenges: only refusals are looked at."""
    read: list[int] = []
    for kind in (sync_api.Response, async_api.Response):
        monkeypatch.setattr(kind, "body", counting(kind.body, read))

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            page = await opened(browser)
            await page.goto(f"{shop}/long")
            assert read == []
            await page.goto(f"{shop}/chairs")
            assert read == [1]

    browse(scenario)

    assert counted(store, "status, sum(response_bytes) > 20000", "1") == [(200, True)]


def counting(method: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    """Return a method that counts its calls."""

    def call(self: Any) -> Any:
        calls.append(1)
        return method(self)

    return call


def test_the_application_says_what_is_useless(store: Store, shop: str, browse: Browse) -> None:
    """By a function of the response; one that fails says nothing. It is not asked where no body is to be read."""
    hook.install(blocked=lambda response: "A chair" in response.text)

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            page = await opened(browser)
            await page.goto(f"{shop}/chairs")
            hook.install(blocked=lambda response: bool(1 / 0))
            await page.goto(f"{shop}/chairs")
            hook.install(blocked=lambda response: True, bodies=False)
            await page.goto(f"{shop}/chairs")

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, "custom", 1), ("127.0.0.1", 200, None, 2)]


def test_clicks_lead_to_pages(store: Store, shop: str, browse: Browse) -> None:
    """And keys; also where nothing waits for them but what is looked for next."""

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            page = await opened(browser)
            await page.goto(f"{shop}/chairs")
            await page.click("a")
            await page.wait_for_url("**/chairs/2")
            await page.press("a", "Enter")
            await page.wait_for_load_state("networkidle")

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 3)]


def test_what_scripts_fetch(store: Store, shop: str, browse: Browse) -> None:
    """It is counted where that is asked for, of the page's own site, with its status."""

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            page = await opened(browser)
            await page.goto(f"{shop}/polling", wait_until="networkidle")
            hook.install(fetches=True)
            await page.goto(f"{shop}/polling", wait_until="networkidle")

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 3), ("127.0.0.1", 429, None, 1)]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/hang", "timeout"), ("/reset", "connection"), (None, "connection")],
)  # fmt: skip
def test_navigations_that_fail(store: Store, shop: str, browse: Browse, path: str | None, reason: str) -> None:
    """Count once, without a status; the run has the reason, and the application the exception."""
    url = f"{shop}{path}" if path else f"http://127.0.0.1:{free_port()}/"

    async def scenario(browser: Any) -> None:
        page = await opened(browser)
        with scraping_job(scraper="chairs"):
            await page.goto(url, timeout=2_000 if path == "/hang" else WAIT_MS)

    with pytest.raises((sync_api.Error, async_api.Error)):
        browse(scenario)

    assert counted(store) == [("127.0.0.1", None, None, 1)]
    assert store.rows("outcome, reason") == [("failure", reason)]


def test_downloads_and_empty_answers(store: Store, shop: str, browse: Browse) -> None:
    """Both end a navigation by an exception, and are answered all the same."""

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            page = await opened(browser)
            for path in ("/file", "/status/204"):
                with suppress(sync_api.Error, async_api.Error):
                    await page.goto(f"{shop}{path}")

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 1), ("127.0.0.1", 204, None, 1)]


def test_nothing_outside_of_jobs(store: Store, shop: str, browse: Browse) -> None:
    """Neither before one nor after it, in the same page."""

    async def scenario(browser: Any) -> None:
        page = await opened(browser)
        await page.goto(f"{shop}/chairs")
        with scraping_job(scraper="chairs"):
            await page.goto(f"{shop}/chairs")
        await page.goto(f"{shop}/chairs")
        await page.click("a")
        await page.wait_for_load_state("networkidle")

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 1)]
    assert store.count("api_call") == 0


def test_pages_opened_before_and_closed_within(store: Store, shop: str, browse: Browse) -> None:
    """Of several contexts, opened before the hook was installed too; a page that is closed has been counted."""
    hook.uninstall()

    async def scenario(browser: Any) -> None:
        pages = [await opened(await browser.new_context()) for _ in range(2)]
        hook.install()
        with scraping_job(scraper="chairs"):
            for page in pages:
                await page.goto(f"{shop}/chairs", wait_until="commit")
                await page.close()

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 2)]


def test_persistent_contexts(store: Store, shop: str, api: Any, tmp_path: Path) -> None:
    """They have no browser, and may have a proxy."""
    proxy = {"server": shop, "bypass": "127.0.0.1"}

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            context = await browser.browser_type.launch_persistent_context(tmp_path, **OPTIONS, proxy=proxy)
            await (await opened(context)).goto(f"{shop}/chairs")
            await context.close()

    api.run(scenario)

    assert counted(store, "status, proxy, sum(requests)::int", "1, 2") == [(200, "acme", 1)]


def test_browsers_that_run_already(store: Store, shop: str, browse: Browse) -> None:
    """They are connected to by their port."""
    port = free_port()

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            other = await browser.browser_type.connect_over_cdp(f"http://127.0.0.1:{port}", timeout=WAIT_MS)
            context = other.contexts[0]
            page = await opened(Called(context) if isinstance(other, Called) else context)
            await page.goto(f"{shop}/chairs")
            await page.close()
            await other.close()

    browse(scenario, args=[f"--remote-debugging-port={port}"])

    assert counted(store) == [("127.0.0.1", 200, None, 1)]


def test_service_workers(store: Store, shop: str, browse: Browse) -> None:
    """A document that one answers counts once."""

    async def scenario(browser: Any) -> None:
        page = await opened(browser)
        await page.goto(f"{shop}/worker")
        await page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
        with scraping_job(scraper="chairs"):
            await page.goto(f"{shop}/worker")

    browse(scenario)

    assert counted(store) == [("127.0.0.1", 200, None, 1)]


def test_jobs_side_by_side(store: Store, shop: str, api: Any) -> None:
    """Each has its own page's requests, though all share a browser's context."""

    async def scrape(context: Any, number: int) -> None:
        with scraping_job(scraper=f"chairs{number}"):
            page = await opened(context)
            for _ in range(number):
                await page.goto(f"{shop}/chairs")

    async def scenario(browser: Any) -> None:
        context = await browser.new_context()
        if isinstance(api, InSync):
            for number in (1, 2, 3):
                await scrape(context, number)
        else:
            await asyncio.gather(*(scrape(context, number) for number in (1, 2, 3)))

    api.run(scenario)

    assert counted(store, "scraper, sum(requests)::int", "1") == [("chairs1", 1), ("chairs2", 2), ("chairs3", 3)]


@pytest.mark.parametrize("where", ["launch", "context"])
def test_proxies(store: Store, shop: str, browse: Browse, where: str) -> None:
    """Requests through one are its provider's, whether the browser or a context has it."""
    proxy = {"server": shop, "username": "me", "password": "secret"}

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            context = await browser.new_context(**({"proxy": proxy} if where == "context" else {}))
            with suppress(sync_api.Error, async_api.Error):
                await (await opened(context)).goto("http://chairs.example/status/403")

    browse(scenario, **({"proxy": proxy} if where == "launch" else {}))

    assert counted(store, "site, proxy, sum(requests)::int", "1, 2") == [("chairs.example", "acme", 1)]


def test_a_page_that_crashes_is_an_error(store: Store, shop: str, browse: Browse) -> None:
    """Of the job that drives it; the application has its exception."""

    async def scenario(browser: Any) -> None:
        page = await opened(browser)
        with scraping_job(scraper="chairs", job_id="j", record_errors=False):
            await page.goto(f"{shop}/chairs")
            crashed: list[Any] = []
            real(page).on("crash", lambda _: crashed.append(1))
            with suppress(sync_api.Error, async_api.Error):
                await page.goto("chrome://crash")
            while not crashed:  # Playwright's loop runs while the application waits for something
                with suppress(sync_api.Error, async_api.Error):
                    await page.wait_for_timeout(20)

    browse(scenario)

    assert platform_sdk.flush(60)
    assert store.rows("error_type, endpoint, job_id", "error") == [("PageCrashed", "chairs", "j")]


def test_errors_of_the_hook_stay_in_it(
    store: Store, shop: str, browse: Browse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The application gets its page, and the log says what is wrong."""

    def fail(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(hook, "_is_document", fail)
    monkeypatch.setattr(hook, "provider_of", fail)
    monkeypatch.setattr(diagnostics, "_last", {})

    async def scenario(browser: Any) -> None:
        with scraping_job(scraper="chairs"):
            assert (await (await opened(browser)).goto(f"{shop}/chairs")).status == 200

    browse(scenario)

    assert "playwright: RuntimeError: ours" in caplog.text


def test_uninstall() -> None:
    """Playwright is left as it was found, and its coroutines are known as such."""
    apis = (async_api, sync_api)
    methods = [(getattr(api, kind), name) for api in apis for kind, name, _ in hook._METHODS]
    patched = [kind.__dict__[name] for kind, name in methods]
    hook.install()
    again = [kind.__dict__[name] for kind, name in methods]
    hook.uninstall()
    found = [kind.__dict__[name] for kind, name in methods]

    assert patched == again
    assert all(method.__wrapped__ is original for method, original in zip(patched, found, strict=True))
    assert asyncio.iscoroutinefunction(patched[0])
