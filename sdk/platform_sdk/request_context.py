"""The request that is being served here, so that what is logged manually meanwhile says who made it.

The middlewares set `current` around the application, at a tenth of a microsecond; the details are only looked up when
something is logged. Threads that the application starts by itself do not inherit it.
"""

from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from platform_sdk.diagnostics import note
from platform_sdk.trace import NO_TRACE, Trace, of_request


class RequestDetails(NamedTuple):
    """What is known of a request so far; `route` is a template, `session_id` a digest."""

    route: str
    method: str
    user_id: object
    role: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None
    trace: Trace = NO_TRACE


class ServedRequest(Protocol):
    """A request that is being served; `said` is what the application says of it, a `platform_sdk.scope.Scope`."""

    said: Any

    def describe(self) -> RequestDetails:
        """Return what is known of it by now; may raise."""

    def consumer(self) -> str | None:
        """Return on whose behalf it is; never raises."""

    def traceparent(self) -> str | None:
        """Return its header of that name; may raise."""


current: ContextVar[ServedRequest | None] = ContextVar("platform_sdk_serving", default=None)


def request_details() -> RequestDetails | None:
    """Return what is known of the request that is being served, None if there is none. Never raises."""
    try:
        request = current.get()
        return None if request is None else request.describe()
    except Exception as error:  # noqa: BLE001 - never into the application
        note("request", error)
        return None


def current_trace() -> Trace:
    """Return the trace of what is being done here. Never raises."""
    try:
        request = current.get()
        return of_request(None if request is None else request.traceparent())
    except Exception as error:  # noqa: BLE001 - never into the application
        note("request", error)
        return NO_TRACE
