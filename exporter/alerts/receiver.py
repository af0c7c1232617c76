"""Answer Alertmanager's posts: POST /api/v1/alerts/notifications.

Alertmanager tries a post again after an answer of 5xx, for as long as the route's group_interval but at least 10 s, and
at the next group_interval anew (dispatch.go); after 4xx it does not. So 5xx is for what may pass.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import psycopg
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.alerts.payload import Payload, parse
from exporter.errors import PayloadError, PlatformError
from exporter.sections import Secret
from exporter.web.basic_auth import parse_basic
from exporter.web.posting import is_json, read_body
from exporter.web.routes import in_thread

logger = logging.getLogger(__name__)

PATH = "/api/v1/alerts/notifications"
MOST_BODY_BYTES = 4 * 1024 * 1024
"""About 2,500 alerts in one notification."""

MOST_POSTS = 8
"""Posts under way at once: where the event store hangs and there is no spool, the next one gets 503."""


class Inbox(Protocol):
    """Take payloads."""

    def receive(self, payload: Payload) -> None:
        """Keep a payload for good. Blocks. Raises PlatformError or psycopg.Error where it cannot be kept."""


def route(state: Callable[[], tuple[Secret | None, Inbox | None]]) -> Route:
    """Return the route; `state` gives the token and the inbox in force, which a reload may change."""
    under_way = asyncio.Semaphore(MOST_POSTS)

    async def receive(request: Request) -> Response:
        token, inbox = state()
        if token is None or inbox is None:
            return _answer(404, "no notifications are taken: set `alerts.token_file` in the exporter's configuration")
        if not is_authorized(request.headers.get("Authorization", ""), token):
            return _answer(
                401, "wanted the token of `alerts.token_file` as a bearer token", {"WWW-Authenticate": "Bearer"}
            )
        if not is_json(request):
            return _answer(415, "Content-Type is not application/json, which Alertmanager sends")
        if under_way.locked():
            return _answer(503, f"{MOST_POSTS} posts are under way, which is the limit", {"Retry-After": "1"})
        async with under_way:
            body = await read_body(request, MOST_BODY_BYTES)
            if body is None:
                return _answer(413, f"the body exceeds {MOST_BODY_BYTES} bytes; set max_alerts in webhook_config")
            return await _keep(body, inbox)

    return Route(PATH, receive, methods=["POST"])


async def _keep(body: bytes, inbox: Inbox) -> Response:
    try:
        payload = parse(body)
        await in_thread(lambda: inbox.receive(payload))
    except PayloadError as error:
        return _answer(400, str(error))
    except (psycopg.DataError, psycopg.IntegrityError):
        logger.exception("a notification can never be stored")
        return _answer(422, "the notification cannot be stored; the exporter's log says why")
    except (PlatformError, psycopg.Error) as error:
        logger.error("a notification could not be kept, Alertmanager will send it again: %s", error)
        return _answer(503, "the notification could not be kept; the exporter's log says why", {"Retry-After": "5"})
    return _answer(200, "kept")


def is_authorized(authorization: str, token: Secret) -> bool:
    """Compare in constant time. A Basic password counts too: where the web configuration names users, it is needed."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() == "basic":
        credentials = parse_basic(authorization)
        given = credentials[1] if credentials else b""
    else:
        given = text.strip().encode("latin-1") if scheme.lower() == "bearer" else b""  # as Starlette decodes headers
    return token.equals(given)


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    shown = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", **(headers or {})}
    return PlainTextResponse(f"{text}\n", status, headers=shown)
