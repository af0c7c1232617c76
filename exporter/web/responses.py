"""What the parts that answer HTTP share: reading bodies, answers with safe headers, blocking work in threads."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

T = TypeVar("T")

SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": _POLICY}
"""For HTML pages: they load nothing, run nothing, and cannot be framed."""


def text(content: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer of one line of plain text, or more, that no cache keeps."""
    return PlainTextResponse(f"{content}\n", status, headers={**SAFE_HEADERS, **(headers or {})})


def is_json(request: Request) -> bool:
    """Tell whether the body is declared as JSON, which a page of another site cannot post without asking first."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


HOST_CHECKED = "platform.host_checked"
"""Set in a request's scope: whether its Host is known to be one of this server's."""


def is_foreign(request: Request, *, identified: bool = False) -> bool:
    """Tell whether a browser may send this for a page of another site, or of another port of this one.

    Any page may, where nobody has checked that Host is ours, as its name may lead here; unless clients are
    `identified`.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
    if origin is None and site == "none":
        return False
    own = origin is None or origin.partition("://")[2].lower() == request.headers.get("Host", "").lower()
    known = identified or request.scope.get(HOST_CHECKED, False)
    return not (own and known and site in ("none", "same-origin"))


async def read_body(request: Request, most_bytes: int) -> bytes | None:
    """Return the body, or None where it is longer; no more than that is ever held."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)


async def in_thread(function: Callable[[], T]) -> T:
    """Await a blocking function that runs in a daemon thread of its own.

    A pool's threads are joined when the process ends, so that one hanging probe could keep it alive for ever.
    """
    done: concurrent.futures.Future[T] = concurrent.futures.Future()
    done.set_running_or_notify_cancel()  # from here on a cancelled waiter leaves the thread alone

    def run() -> None:
        try:
            done.set_result(function())
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)
