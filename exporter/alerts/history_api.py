"""The route that Alertmanager posts notifications to: POST /api/v1/alerts/notifications.

Alertmanager tries a post again after an answer of 5xx, for as long as the route's group_interval but at least 10 s, and
again at the next group_interval (dispatch.go); after 4xx it does not. So 5xx is for failures that may pass.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import psycopg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.alerts.notification import MOST_BODY_BYTES, HistoryAlert, Notification, parse
from exporter.errors import NotificationError, PlatformError
from exporter.sections import Secret
from exporter.web.basic_auth import parse_basic
from exporter.web.responses import in_thread, is_json, read_body, text

logger = logging.getLogger(__name__)

PATH = "/api/v1/alerts/notifications"

MOST_POSTS = 8
"""Concurrent posts: where the event store hangs and there is no spool, the next one gets 503."""


class Inbox(Protocol):
    """Where notifications go."""

    def receive(self, notification: Notification[HistoryAlert]) -> None:
        """Store a notification durably. Blocks. Raises PlatformError or psycopg.Error where that fails."""


def route(current: Callable[[], tuple[Secret | None, Inbox | None]]) -> Route:
    """Return the route; `current` returns the token and the inbox in force, which a reload may change."""
    posts = asyncio.Semaphore(MOST_POSTS)

    async def receive(request: Request) -> Response:
        token, inbox = current()
        refused = refusal(request, token, "alerts", "the alert history")
        if refused or inbox is None:
            return refused or text("the alert history has just been switched off", 404)
        if posts.locked():
            return text(f"{MOST_POSTS} posts are running, which is the limit", 503, {"Retry-After": "1"})
        async with posts:
            body = await read_body(request, MOST_BODY_BYTES)
            if body is None:
                return text(f"the body exceeds {MOST_BODY_BYTES} bytes; set max_alerts in webhook_config", 413)
            return await _store(body, inbox)

    return Route(PATH, receive, methods=["POST"])


async def _store(body: bytes, inbox: Inbox) -> Response:
    try:
        notification = parse(body, HistoryAlert)
        await in_thread(lambda: inbox.receive(notification))
    except NotificationError as error:
        return text(str(error), 400)
    except (psycopg.DataError, psycopg.IntegrityError):
        logger.exception("a notification can never be stored")
        return text("the notification cannot be stored; see the exporter's log", 422)
    except (PlatformError, psycopg.Error) as error:
        logger.error("a notification could not be stored, Alertmanager will send it again: %s", error)
        return text("the notification could not be stored; see the exporter's log", 503, {"Retry-After": "5"})
    return text("stored")


def refusal(request: Request, token: Secret | None, section: str, what: str) -> Response | None:
    """Return the answer to a post that has not the token of this section of the configuration, or is not JSON."""
    if token is None:
        return text(f"{what} is off: set `{section}.token_file` in the exporter's configuration", 404)
    if not is_authorized(request.headers.get("Authorization", ""), token):
        expected = f"expected the token of `{section}.token_file` as a bearer token"
        return text(expected, 401, {"WWW-Authenticate": "Bearer"})
    if not is_json(request):
        return text("Content-Type is not application/json, which Alertmanager sends", 415)
    return None


def is_authorized(authorization: str, token: Secret) -> bool:
    """Compare in constant time. A Basic password counts too, for web configurations with `basic_auth_users`."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        credentials = parse_basic(authorization)
        given = credentials[1] if credentials else b""
    else:
        given = value.strip().encode("latin-1") if scheme.lower() == "bearer" else b""  # as Starlette decodes headers
    return token.equals(given)
