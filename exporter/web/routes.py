"""The exporter's own routes: the landing page, `/metrics`, health, readiness and reload.

Nothing here blocks the event loop: what may take time (a scrape with its probes, compression, a reload) runs in
threads, so that `/-/healthy` answers while a scrape waits for a dependency.
"""

import asyncio
import html
import logging
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.errors import ConfigError
from exporter.web.responses import PAGE_HEADERS, SAFE_HEADERS, in_thread, is_foreign, text

logger = logging.getLogger(__name__)

MOST_SCRAPES = 8
"""Concurrent scrapes; the next one gets 503, so that impatient scrapers cannot pile up threads."""

MOST_HEALTH_REPORTS = 4

GZIP_LEVEL = 1
"""Measured on 448 kB: level 1 leaves 51 kB in 1.2 ms, level 6 leaves 38 kB in 4.0 ms, level 9 34 kB in 10 ms."""

SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


class Site(Protocol):
    """What the routes show and do."""

    def render(self, accept: str, scrape_timeout_seconds: float | None, client: str) -> tuple[bytes, str]:
        """Return the exposition and its content type for an Accept header. Blocks: called in a thread.

        `client` tells who asks from others.
        """

    def not_ready(self) -> list[str]:
        """Return why the numbers cannot be relied on yet; nothing when ready. Does not block."""

    def notices(self) -> list[str]:
        """Return what is not shown although it is configured, and why. Does not block."""

    def health(self) -> dict[str, object]:
        """Return the health report, as JSON's types. Blocks: called in a thread."""

    def reload(self) -> None:
        """Read the configuration again. Blocks. Raises ConfigError and keeps the old configuration."""


def build_app(
    site: Site, more: Sequence[Route] = (), *, lifecycle: bool = True, identifies: Callable[[], bool] = lambda: False
) -> Starlette:
    """Return the ASGI application for `site`, with the routes of other parts.

    `/-/reload` is for everyone with `lifecycle`, otherwise while every client `identifies` itself.
    """
    handlers = _Handlers(site, lifecycle, identifies)
    app = Starlette(
        routes=[
            Route("/", handlers.landing),
            Route("/metrics", handlers.metrics),
            Route("/-/healthy", handlers.healthy),
            Route("/-/ready", handlers.ready),
            Route("/-/reload", handlers.reload, methods=["POST", "PUT"]),
            Route("/api/v1/health", handlers.health),
            *more,
        ],
        exception_handlers={Exception: _failed},
    )
    app.router.redirect_slashes = False  # the redirect would repeat the Host header a client made up
    return app


class _Handlers:
    def __init__(self, site: Site, lifecycle: bool, identifies: Callable[[], bool]) -> None:
        self._site = site
        self._lifecycle = lifecycle
        self._identifies = identifies
        self._scrapes = asyncio.Semaphore(MOST_SCRAPES)
        self._health_reports = asyncio.Semaphore(MOST_HEALTH_REPORTS)
        self._reloading = asyncio.Lock()

    async def landing(self, request: Request) -> Response:
        said = "".join(f"<li>{html.escape(one)}</li>\n" for one in self._site.notices())
        page = LANDING_PAGE.replace(NOTICES, f"<p>Not shown:</p>\n<ul>\n{said}</ul>\n" if said else "")
        return HTMLResponse(page, headers=PAGE_HEADERS)

    async def metrics(self, request: Request) -> Response:
        if self._scrapes.locked():
            return _busy(f"{MOST_SCRAPES} scrapes")
        accept = ", ".join(request.headers.getlist("Accept"))
        timeout = parse_scrape_timeout(request.headers.get(SCRAPE_TIMEOUT_HEADER))
        compress = accepts_gzip(", ".join(request.headers.getlist("Accept-Encoding")))
        client = f"{request.client.host if request.client else ''} {request.headers.get('User-Agent', '')}"
        async with self._scrapes:
            try:
                body, content_type = await in_thread(lambda: self._render(accept, timeout, client, compress))
            except Exception:
                logger.exception("rendering /metrics failed")
                return text("the metrics could not be rendered; see the exporter's log", 500)
        headers = {
            "X-Content-Type-Options": "nosniff", "Content-Type": content_type, "Vary": "Accept, Accept-Encoding"
        }  # fmt: skip
        if compress:
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers)

    def _render(self, accept: str, timeout: float | None, client: str, compress: bool) -> tuple[bytes, str]:
        body, content_type = self._site.render(accept, timeout, client)
        return (gzip(body) if compress else body), content_type

    async def healthy(self, request: Request) -> Response:
        return text("platform-exporter is healthy.")

    async def ready(self, request: Request) -> Response:
        reasons = self._site.not_ready()
        if reasons:
            return text("\n".join(["not ready:", *(f"- {reason}" for reason in reasons)]), 503)
        return text("platform-exporter is ready.")

    async def reload(self, request: Request) -> Response:
        """Answer 500 with the reason where the file is refused, as Prometheus does."""
        identified = self._identifies()
        if not (self._lifecycle or identified):
            return text("reloading by HTTP is off: start with --web.enable-lifecycle or users, or send SIGHUP", 403)
        if is_foreign(request, identified=identified):
            return text("a page of another site may not reload the configuration: see --web.allowed-host", 403)
        async with self._reloading:
            try:
                await in_thread(self._site.reload)
            except ConfigError as error:
                return text(f"the old configuration stays in force: {error}", 500)
        return text("the configuration was reloaded")

    async def health(self, request: Request) -> Response:
        """Answer 200 whatever the report says: see its `status`. For a status code, use `/-/ready`."""
        if self._health_reports.locked():
            return _busy(f"{MOST_HEALTH_REPORTS} health reports")
        async with self._health_reports:
            report = await in_thread(self._site.health)
        return JSONResponse(report, headers=SAFE_HEADERS)


def parse_scrape_timeout(text: str | None) -> float | None:
    """Return the seconds Prometheus will wait, or None where the header is missing or makes no sense."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether a client takes gzip, and does not prefer no encoding (RFC 9110, 12.5.3)."""
    qualities: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        quality = next((value for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "q"), "1")
        try:
            qualities[coding] = float(quality)
        except ValueError:
            qualities[coding] = 0.0
    gzip_quality = qualities.get("gzip", qualities.get("*", 0.0))
    return gzip_quality > 0 and gzip_quality >= qualities.get("identity", 0.0)


def gzip(body: bytes) -> bytes:
    """Compress in the gzip format, without a time of modification: equal bodies stay equal."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _busy(what: str) -> Response:
    return text(f"{what} are running, which is the limit; try again", 503, {"Retry-After": "1"})


async def _failed(request: Request, error: Exception) -> Response:
    # Starlette raises `error` again after this answer, and the server logs it with its traceback.
    return text("internal error; see the exporter's log", 500)


NOTICES = "<!-- notices -->\n"

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
{NOTICES}<ul>
<li><a href="metrics">Metrics</a>: what Prometheus scrapes</li>
<li><a href="api/v1/health">Health</a>: every component with its status and cause, as JSON</li>
<li><a href="-/healthy">Healthy</a>: whether this process answers</li>
<li><a href="-/ready">Ready</a>: whether every configured source was read once</li>
</ul>
</main>
</body>
</html>
"""
