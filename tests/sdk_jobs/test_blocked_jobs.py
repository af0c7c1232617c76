"""Jobs that get challenges in place of pages: recognised in what the application reads, with any HTTP library."""

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import brotli
import httpx
import pytest
import requests

import platform_sdk
from platform_sdk.jobs.responses import decoded
from platform_sdk.jobs.scraping import scraping_job
from platform_sdk.outgoing import aiohttp as aiohttp_hook
from platform_sdk.outgoing import httpx as httpx_hook
from platform_sdk.outgoing import requests as requests_hook
from platform_sdk.outgoing.blocks import Page
from tests.sdk_jobs.store import Store

CHALLENGE = b"<html><head><title>Just a moment...</title></head><body></body></html>"
PAGE = b"<html><head><title>Chairs</title></head><body><p>%s</p></body></html>" % (b"A chair. " * 600)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve pages: /challenge/..., compressed, has a 200 and no page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = gzip.compress(CHALLENGE if self.path.startswith("/challenge") else PAGE)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def on(start: Callable[..., None]) -> Iterator[None]:
    """Switch the SDK and the hooks of all three libraries on."""
    start()
    hooks = (requests_hook, httpx_hook, aiohttp_hook)
    for hook in hooks:
        hook.install()
    yield
    for hook in hooks:
        hook.uninstall()


def with_requests(urls: list[str]) -> None:
    """Get pages."""
    for url in urls:
        with requests.get(url, timeout=60) as response:
            assert b"<title>" in response.content


def with_httpx(urls: list[str]) -> None:
    """Get pages, one of them as a stream."""
    with httpx.Client(timeout=60) as client:
        for url in urls[:-1]:
            assert b"<title>" in client.get(url).content
        with client.stream("GET", urls[-1]) as response:
            assert b"<title>" in b"".join(response.iter_bytes(10))


def with_httpx_async(urls: list[str]) -> None:
    """Get pages."""

    async def get() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            for url in urls:
                assert b"<title>" in (await client.get(url)).content

    asyncio.run(get())


def with_aiohttp(urls: list[str]) -> None:
    """Get pages."""

    async def get() -> None:
        async with aiohttp.ClientSession() as session:
            for url in urls:
                async with session.get(url) as response:
                    assert b"<title>" in await response.read()

    asyncio.run(get())


@pytest.mark.parametrize("get", [with_requests, with_httpx, with_httpx_async, with_aiohttp])
def test_a_challenge_with_a_200_is_blocked(store: Store, address: str, get: Callable[[list[str]], None]) -> None:
    """The job counts it, the run failed, and so did the call; what the application reads is whole."""
    with scraping_job(scraper="shop", job_id="j"):
        get([f"{address}/challenge/1", f"{address}/challenge/2"])
    assert platform_sdk.flush(60)

    assert store.rows("site, status, block, requests", "scraping_request") == [("127.0.0.1", 200, "cloudflare", 2)]
    assert store.rows("outcome, reason, block") == [("failure", "blocked", "cloudflare")]
    assert store.rows("outcome, reason", "api_call") == [("failure", "blocked")] * 2


@pytest.mark.parametrize("get", [with_requests, with_httpx, with_httpx_async, with_aiohttp])
def test_good_pages_are_not(store: Store, address: str, get: Callable[[list[str]], None]) -> None:
    """They are counted, with the bytes as received."""
    with scraping_job(scraper="shop") as job:
        get([f"{address}/1", f"{address}/2"])
        job.item()
    assert platform_sdk.flush(60)

    assert store.rows("status, block, requests, response_bytes > 0", "scraping_request") == [(200, None, 2, True)]
    assert store.rows("outcome, reason, block") == [("success", None, None)]


def page(status: int, path: str = "/items/17", **headers: str) -> Page:
    """Return a page as a hook hands it over."""
    start = b"<html><body><p>A chair</p></body></html>"
    return Page("GET", path, status, {"content-type": "text/html", **headers}, start, len(start))


LOGIN = {"location": "/login?next=/items/17"}


@pytest.mark.parametrize(
    ("chain", "outcome"),
    [
        ([page(301, location="/items/17/"), page(302, **LOGIN), page(200, "/login")], ("failure", "blocked", "login")),
        ([page(302, **LOGIN)], ("failure", "blocked", "login")),
        ([page(301, location="/items/17/"), page(403)], ("failure", "forbidden", None)),
        ([page(301, location="/items/17/"), page(200)], ("success", None, None)),
        ([page(301, location="/items/17/")], ("success", None, None)),
    ],
)
def test_redirects_are_not_pages(store: Store, chain: list[Page], outcome: tuple[str, str | None, str | None]) -> None:
    """What a site answers in the end decides, however many redirects are before it, and whatever robots.txt says."""
    with scraping_job(scraper="redirected") as job:
        job.observe("shop.example", page(200, "/robots.txt"), size_bytes=10, retry=False)
        for _ in range(5):
            for each in chain:
                job.observe("shop.example", each, size_bytes=40, retry=False)
    assert platform_sdk.flush(60)

    assert store.rows("outcome, reason, block") == [outcome]


@pytest.mark.parametrize("text", [CHALLENGE, CHALLENGE + b" " * 1_000_000, PAGE])
def test_bodies_in_brotli_are_decoded(text: bytes) -> None:
    """As far as they are looked at, where there is the library that made the client ask for it."""
    assert decoded(brotli.compress(text), "br") == text[:4096]


def test_a_stream_is_not_read(store: Store, address: str) -> None:
    """Nothing is known of its body, and the application can read all of it."""
    with scraping_job(scraper="shop"), requests.get(f"{address}/challenge", stream=True, timeout=60) as response:
        assert response.raw.tell() == 0
        assert b"Just a moment" in response.content
    assert platform_sdk.flush(60)

    assert store.rows("status, block, requests", "scraping_request") == [(200, None, 1)]


def test_nothing_is_looked_for_outside_of_jobs(store: Store, address: str) -> None:
    """An external API is none that is scraped."""
    requests.get(f"{address}/challenge", timeout=60)
    assert platform_sdk.flush(60)

    assert store.rows("outcome", "api_call") == [("success",)]
    assert store.count("scraping_request") == 0


def test_the_job_may_say_what_is_useless(store: Store) -> None:
    """By a function of the response, beside what the SDK recognises; one that fails says nothing."""
    response = httpx.Response(200, html="<p>Sold out</p>", request=httpx.Request("GET", "https://shop.example/1"))
    with scraping_job(scraper="shop", blocked=lambda page: "Sold out" in page.text) as job:
        job.response(response)
    with scraping_job(scraper="faulty", blocked=lambda page: bool(1 / 0)) as job:
        job.response(response)
    assert platform_sdk.flush(60)

    assert store.rows("scraper, outcome, block") == [("faulty", "success", None), ("shop", "failure", "custom")]


def test_a_page_much_smaller_than_its_route_is_blocked(store: Store) -> None:
    """After twenty pages of the route; small pages of a route that has always small ones are not."""
    with scraping_job(scraper="shop") as job:
        for size, route in ((9000, "large"), (900, "little")):
            for number in range(21):
                page = b"<html><p>%s</p></html>" % (b"x" * (size - number))
                url = f"https://small.example/{route}/{number}"
                job.response(httpx.Response(200, html=page.decode(), request=httpx.Request("GET", url)))
        for route in ("large", "little"):
            url = f"https://small.example/{route}/99"
            job.response(httpx.Response(200, html="<p>%s</p>" % ("x" * 500), request=httpx.Request("GET", url)))
        job.item()
    assert platform_sdk.flush(60)

    assert store.rows("block, requests", "scraping_request") == [("small", 1), (None, 43)]


def test_a_run_that_lost_its_items_failed(store: Store) -> None:
    """After three runs with items; a scraper that never counts any says nothing by 0."""
    for scraper, items in (*(("often", 2),) * 3, ("often", 0), *(("never", 0),) * 4):
        with scraping_job(scraper=scraper) as job:
            job.response(200, url="https://shop.example/list")
            job.item(items)
    assert platform_sdk.flush(60)

    assert store.rows("scraper, block, count(*)", where="reason = 'blocked' GROUP BY 1, 2") == [
        ("often", "no_items", 1)
    ]
    assert store.count(where="outcome = 'success'") == 7
