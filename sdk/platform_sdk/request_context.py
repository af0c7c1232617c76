"""The request that is being served here, so that what is logged manually meanwhile says who made it.

The middlewares set `current` around the application, at a tenth of a microsecond; the details are only looked up when
something is logged. Threads that the application starts by itself do not inherit it.
"""

from contextvars import ContextVar
from typing import NamedTuple, Protocol

from platform_sdk.diagnostics import note


class RequestDetails(NamedTuple):
    """What is known of a request so far; `route` is a template, `session_id` a digest."""

    route: str
    method: str
    user_id: object
    role: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None


class ServedRequest(Protocol):
    """A request that is being served."""

    def describe(self) -> RequestDetails:
        """Return what is known of it by now; may raise."""


current: ContextVar[ServedRequest | None] = ContextVar("platform_sdk_serving", default=None)


def request_details() -> RequestDetails | None:
    """Return what is known of the request that is being served, None if there is none. Never raises."""
    try:
        request = current.get()
        return None if request is None else request.describe()
    except Exception as error:  # noqa: BLE001 - never into the application
        note("request", error)
        return None
