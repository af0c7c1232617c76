"""Answer HTTP: the landing page, `/metrics`, health, readiness and reload.

Nothing here blocks the event loop: what may take time (a scrape with its probes, compression, a reload) runs in
threads, so that `/-/healthy` answers while a scrape waits for a dependency.
"""

import asyncio
import concurrent.futures
import logging
import math
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.errors import ConfigError

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_SCRAPES = 8
"""Scrapes under way at once; the next one gets 503, so that impatient scrapers cannot pile up threads."""

MOST_HEALTH_REPORTS = 4

GZIP_LEVEL = 1
"""Measured on 448 kB: level 1 leaves 51 kB in 1.2 ms, level 6 leaves 38 kB in 4.0 ms, level 9 34 kB in 10 ms."""

SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


class Site(Protocol):
    """Give the pages their contents."""

    def render(self, accept: str, scrape_timeout_seconds: float | None) -> tuple[bytes, str]:
        """Return the exposition and its content type for an Accept header. Blocks: called in a thread."""

    def not_ready(self) -> list[str]:
        """Return the reasons why the numbers cannot be relied on yet; none when ready. Does not block."""

    def health(self) -> dict[str, object]:
        """Return the health report, as JSON's types. Blocks: called in a thread."""

    def reload(self) -> None:
        """Read the configuration again. Blocks. Raises ConfigError and keeps the old configuration."""


def build_app(site: Site, more: Sequence[Route] = ()) -> Starlette:
    """Return the ASGI application that shows `site`, and what other parts answer."""
    pages = _Pages(site)
    app = Starlette(
        routes=[
            Route("/", pages.landing),
            Route("/metrics", pages.metrics),
            Route("/-/healthy", pages.healthy),
            Route("/-/ready", pages.ready),
            Route("/-/reload", pages.reload, methods=["POST", "PUT"]),
            Route("/api/v1/health", pages.health),
            *more,
        ],
        exception_handlers={Exception: _failed},
    )
    app.router.redirect_slashes = False  # the redirect would repeat the Host header a client made up
    return app


class _Pages:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._scrapes = asyncio.Semaphore(MOST_SCRAPES)
        self._health_reports = asyncio.Semaphore(MOST_HEALTH_REPORTS)
        self._reloading = asyncio.Lock()

    async def landing(self, request: Request) -> Response:
        return HTMLResponse(LANDING_PAGE, headers=PAGE_HEADERS)

    async def metrics(self, request: Request) -> Response:
        if self._scrapes.locked():
            return _busy(f"{MOST_SCRAPES} scrapes are under way, which is the limit; try again")
        accept = ", ".join(request.headers.getlist("Accept"))
        timeout = parse_scrape_timeout(request.headers.get(SCRAPE_TIMEOUT_HEADER))
        compress = accepts_gzip(", ".join(request.headers.getlist("Accept-Encoding")))
        async with self._scrapes:
            try:
                body, content_type = await in_thread(lambda: self._render(accept, timeout, compress))
            except Exception:
                logger.exception("rendering /metrics failed")
                return _text("the metrics could not be rendered; the exporter's log says why\n", 500)
        headers = {**_SAFE, "Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if compress:
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers)

    def _render(self, accept: str, timeout: float | None, compress: bool) -> tuple[bytes, str]:
        body, content_type = self._site.render(accept, timeout)
        return (gzip(body) if compress else body), content_type

    async def healthy(self, request: Request) -> Response:
        return _text("platform-exporter is healthy.\n")

    async def ready(self, request: Request) -> Response:
        reasons = self._site.not_ready()
        if reasons:
            return _text("".join(["not ready:\n", *(f"- {reason}\n" for reason in reasons)]), 503)
        return _text("platform-exporter is ready.\n")

    async def reload(self, request: Request) -> Response:
        """Answer 500 with the reason where the file is refused, as Prometheus does."""
        async with self._reloading:
            try:
                await in_thread(self._site.reload)
            except ConfigError as error:
                return _text(f"the old configuration stays: {error}\n", 500)
        return _text("the configuration was read again\n")

    async def health(self, request: Request) -> Response:
        """Answer 200 whatever the report says: its `status` tells. For a status code, ask `/-/ready`."""
        if self._health_reports.locked():
            return _busy(f"{MOST_HEALTH_REPORTS} health reports are under way, which is the limit; try again")
        async with self._health_reports:
            report = await in_thread(self._site.health)
        return JSONResponse(report, headers={**_SAFE, "Cache-Control": "no-store"})


async def in_thread(function: Callable[[], T]) -> T:
    """Await a blocking function that runs in a daemon thread of its own.

    A pool's threads are joined when the process ends, so that one hanging probe could keep it alive for ever.
    """
    done: concurrent.futures.Future[T] = concurrent.futures.Future()
    done.set_running_or_notify_cancel()  # from here on a cancelled waiter leaves the thread alone

    def run() -> None:
        try:
            done.set_result(function())
        except Exception as error:  # noqa: BLE001 - handed over to whoever awaits it
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)


def parse_scrape_timeout(text: str | None) -> float | None:
    """Return the seconds Prometheus will wait, or None where the header is missing or makes no sense."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether a client takes gzip, and likes it at least as much as no encoding (RFC 9110, 12.5.3)."""
    qualities: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        quality = next((value for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "q"), "1")
        try:
            qualities[coding] = float(quality)
        except ValueError:
            qualities[coding] = 0.0
    wanted = qualities.get("gzip", qualities.get("*", 0.0))
    return wanted > 0 and wanted >= qualities.get("identity", 0.0)


def gzip(body: bytes) -> bytes:
    """Compress in the gzip format, without a time of modification: equal bodies stay equal."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _text(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status, headers={**_SAFE, "Cache-Control": "no-store", **(headers or {})})


def _busy(reason: str) -> Response:
    return _text(f"{reason}\n", 503, {"Retry-After": "1"})


async def _failed(request: Request, error: Exception) -> Response:
    # Starlette raises `error` again after this answer, and the server logs it with its traceback.
    return _text("internal error; the exporter's log says why\n", 500)


_SAFE = {"X-Content-Type-Options": "nosniff"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

PAGE_HEADERS = {**_SAFE, "Content-Security-Policy": _POLICY}
"""For pages of our own: nothing is loaded, nothing runs, nobody may frame them."""

LANDING_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>platform-exporter</title>
<style>
body {{ font-family: system-ui, sans-serif; line-height: 1.5; margin: 0; }}
header {{ background: #8a3315; color: #fff; padding: 1rem; }}
h1 {{ font-size: 1.25rem; margin: 0; }}
main {{ max-width: 45rem; padding: 1rem; }}
li {{ margin: 0.5rem 0; }}
</style>
</head>
<body>
<header><h1>platform-exporter</h1></header>
<main>
<p>Prometheus exporter for web and scraping platforms</p>
<p>Version: {__version__}</p>
<ul>
<li><a href="metrics">Metrics</a>: what Prometheus scrapes</li>
<li><a href="api/v1/health">Health</a>: every component with its state and cause, as JSON</li>
<li><a href="-/healthy">Healthy</a>: whether this process answers</li>
<li><a href="-/ready">Ready</a>: whether every configured source was read once</li>
</ul>
</main>
</body>
</html>
"""
