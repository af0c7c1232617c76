"""Requests of scraping jobs through proxies: whose they are, what they cost, and that their passwords go nowhere."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import httpx
import pytest
import requests
import urllib3

import platform_sdk
from platform_sdk.errors import OptionError
from platform_sdk.jobs.scraping import scraping_job
from platform_sdk.options import read
from platform_sdk.outgoing import aiohttp as aiohttp_hook
from platform_sdk.outgoing import httpx as httpx_hook
from platform_sdk.outgoing import requests as requests_hook
from platform_sdk.outgoing import urllib3 as urllib3_hook
from platform_sdk.outgoing.proxies import provider_of
from tests.sdk_jobs.store import Store

HOOKS = (requests_hook, httpx_hook, aiohttp_hook, urllib3_hook)
PASSWORD = "hunter2-of-the-proxy"
PAGE = b"<html><body><p>A chair.</p></body></html>"
SITE = "http://chairs.example/1"
TUNNEL = "https://chairs.example/1"


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    """Serve as a proxy that answers for every site, and refuses to make a tunnel; return host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        def do_CONNECT(self) -> None:
            self.send_error(407)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def on(start: Callable[..., None], proxy: str) -> Iterator[None]:
    """Switch the SDK and all hooks on."""
    prices = {"request": 0.5, "page": 2, "gigabyte": 1e9}
    start(proxy_providers={"acme": {"hosts": [proxy], **prices}, "free": {"hosts": ["*.free.example"]}})
    for hook in HOOKS:
        hook.install()
    yield
    for hook in HOOKS:
        hook.uninstall()


def with_requests(url: str, proxy: str) -> None:
    """Get a page."""
    requests.get(url, proxies={"http": proxy, "https": proxy}, timeout=60)


def with_httpx(url: str, proxy: str) -> None:
    """Get a page."""
    httpx.get(url, proxy=proxy, timeout=60)


def with_urllib3(url: str, proxy: str) -> None:
    """Get a page."""
    urllib3.ProxyManager(proxy, retries=False).request("GET", url)


def with_aiohttp(url: str, proxy: str) -> None:
    """Get a page."""

    async def get() -> None:
        async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy) as response:
            await response.read()

    asyncio.run(get())


def with_aiohttp_of_environment(url: str, proxy: str) -> None:
    """Get a page through the proxy that the environment names."""

    async def get() -> None:
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as response:
            await response.read()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", proxy)
        patch.setenv("https_proxy", proxy)
        asyncio.run(get())


CLIENTS = (with_requests, with_httpx, with_urllib3, with_aiohttp, with_aiohttp_of_environment)


def everything(store: Store) -> str:
    """Return all that was stored, as text."""
    tables = ("scraping_request", "scraping_run", "api_call", "error", "scraping_job", "sdk_ledger")
    return "".join(str(store.rows(f"{table}::text", table)) for table in tables)


@pytest.mark.parametrize("get", CLIENTS)
def test_a_proxy_is_its_providers(
    store: Store, proxy: str, get: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """With what is paid for the request, the page and its bytes; the user and the password are nowhere."""
    with scraping_job(scraper="chairs") as job:
        get(SITE, f"http://customer:{PASSWORD}@{proxy}")
        job.item()
    assert platform_sdk.flush(60)

    columns = "site, status, proxy, requests, response_bytes, cost"
    assert store.rows(columns, "scraping_request") == [("chairs.example", 200, "acme", 1, len(PAGE), 2.5 + len(PAGE))]
    assert PASSWORD not in everything(store) + caplog.text


@pytest.mark.parametrize("get", CLIENTS)
def test_a_tunnel_that_is_refused_is_a_407(store: Store, proxy: str, get: Callable[[str, str], None]) -> None:
    """Though the library has no response, only an exception, which the job ends with."""
    with suppress(Exception), scraping_job(scraper="chairs"):
        get(TUNNEL, f"http://customer:{PASSWORD}@{proxy}")
    assert platform_sdk.flush(60)

    assert store.rows("site, status, proxy, cost", "scraping_request") == [("chairs.example", 407, "acme", 0.5)]
    assert store.rows("outcome, reason") == [("failure", "connection")]
    assert PASSWORD not in everything(store)


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ((407, 407), "connection"),
        ((407, 503, 407), "connection"),
        ((401,), "other"),
        ((403, 403), "forbidden"),
        ((429, 429), "rate_limited"),
        ((503,), "blocked"),
        ((500, 502), "server_error"),
        ((None,), "connection"),
        ((407, 200), None),
        ((404,), None),
        ((), None),
    ],
)
def test_a_run_that_got_nothing_failed(
    store: Store, proxy: str, statuses: tuple[int | None, ...], reason: str | None
) -> None:
    """Where the application raises nothing and finds no item: refusals by the proxy count as those of the site."""
    empty, full = f"empty {statuses}", f"full {statuses}"  # no other run of theirs was before
    with scraping_job(scraper=empty) as job:
        for status in statuses:
            job.response(status, url=SITE, proxy=f"http://{proxy}")
    with scraping_job(scraper=full) as job:
        for status in statuses:
            job.response(status, url=SITE, proxy=f"http://{proxy}")
        job.item()
    assert platform_sdk.flush(60)

    assert store.rows("scraper, outcome, reason, block") == [
        (empty, "failure" if reason else "success", reason, None), (full, "success", None, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        (None, None),
        ("", None),
        ("http://me:secret@eu.FREE.example:22225", "free"),
        ("me:secret@eu.free.example:22225", "free"),
        ("eu.free.example", "free"),
        ("socks5h://10.0.0.7:1080", "other"),
        (b"http://eu.free.example", "free"),
        ("http://[::1", "other"),
        (object(), "other"),
    ],
)
def test_whose_a_proxy_is(address: object, provider: str | None) -> None:
    """By its host, in whatever form it comes; a proxy that is nobody's is other."""
    assert provider_of(address) == provider


def test_a_job_may_be_told_of_its_proxy(store: Store) -> None:
    """Where no hook sees it; a provider without prices costs nothing that is known."""
    with scraping_job(scraper="chairs") as job:
        job.response(200, url=SITE, proxy=f"http://me:{PASSWORD}@a.free.example:1")
        job.disallowed("https://chairs.example/private", 3)
        job.item()
    assert platform_sdk.flush(60)

    columns = "site, status, proxy, requests, cost, disallowed"
    assert store.rows(columns, "scraping_request") == [
        ("chairs.example", 200, "free", 1, None, 0), ("chairs.example", None, None, 0, None, 3),
    ]  # fmt: skip


def answer(url: str, status: int = 200, **headers: str) -> httpx.Response:
    """Return a response to a request that has just ended."""
    return httpx.Response(status, headers=headers, request=httpx.Request("GET", url))


def test_requests_before_retry_after_are_early(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that begin while a site asked to wait; not those on their way then, of other sites, or afterwards."""
    now = [1000.0]
    monkeypatch.setattr("platform_sdk.jobs.traffic.monotonic", lambda: now[0])
    site, other = "https://hasty.example/1", "https://patient.example/1"
    with scraping_job(scraper="chairs") as job:
        job.response(answer(site, 429, **{"Retry-After": "120"}))
        for at, url in ((1000.5, site), (1060, site), (1060, other), (1119, site), (1121, site)):
            now[0] = at
            job.response(answer(url))
        job.item()
    assert platform_sdk.flush(60)

    columns, each = "site, status, sum(requests)::int, sum(early)::int", "true GROUP BY 1, 2"
    assert store.rows(columns, "scraping_request", each) == [
        ("hasty.example", 200, 4, 2), ("hasty.example", 429, 1, 0), ("patient.example", 200, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"acme": {}},
        {"acme": {"hosts": []}},
        {"acme": {"hosts": ["https://me:secret@acme.example"]}},
        {"acme": {"hosts": ["acme.example"], "requests": 1}},
        {"acme": {"hosts": ["acme.example"], "request": -1}},
    ],
)
def test_invalid_providers_are_refused(given: object) -> None:
    """By name, without what stands there: it may hold a password."""
    with pytest.raises(OptionError, match=r"for proxy_providers, provider 'acme': expected names with") as raised:
        read({"dsn": "postgresql://h/d", "app": "a", "proxy_providers": given}, {})

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "hosts", "problem"),
    [
        (("other",), ("a.example",), "invalid provider 'other' for proxy_providers: expected a printable name"),
        (("_other_",), ("a.example",), "invalid provider '_other_'"),
        (("ac\nme",), ("a.example",), r"invalid provider 'ac\nme'"),
        (("\x1b[2J",), ("a.example",), r"invalid provider '\x1b[2J'"),
        ((" ",), ("a.example",), "invalid provider ' '"),
        (
            ("acme", "free"), ("*.A.example", "*.a.EXAMPLE"),
            "invalid host '*.a.example' for proxy_providers, provider 'free': expected each host once, 'acme' has it",
        ),
    ],
)  # fmt: skip
def test_providers_are_told_apart(names: tuple[str, ...], hosts: tuple[str, ...], problem: str) -> None:
    """No two have one host, in any spelling; none has the name of proxies that are nobody's, or hides a line."""
    given = {name: {"hosts": [host]} for name, host in zip(names, hosts, strict=True)}
    with pytest.raises(OptionError) as raised:
        read({"dsn": "postgresql://h/d", "app": "a", "proxy_providers": given}, {})

    assert problem in str(raised.value)


def test_a_provider_may_have_a_host_and_its_domain() -> None:
    """The narrower one counts; a host with a port is another than the same without; twice in one list is once."""
    given = {"acme": {"hosts": ["*.a.example", "*.A.example"]}, "free": {"hosts": ["b.a.example", "b.a.example:1"]}}

    assert read({"dsn": "postgresql://h/d", "app": "a", "proxy_providers": given}, {}).proxy_providers == given
