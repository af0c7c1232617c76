"""Know the request that is being served here, so that what is logged by hand while it is finds out who made it.

The middlewares set `current` around the application, at a tenth of a microsecond; what is known of the request is only
looked up when something is logged. Threads that the application starts by itself do not inherit it.
"""

from contextvars import ContextVar
from typing import NamedTuple, Protocol

from platform_sdk.diagnostics import note


class Told(NamedTuple):
    """What is known of a request so far; `route` is a template, `session_id` a digest."""

    route: str
    method: str
    user_id: object
    role: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None


class Served(Protocol):
    """A request that is being served."""

    def describe(self) -> Told:
        """Return what is known of it by now; may raise."""


current: ContextVar[Served | None] = ContextVar("platform_sdk_serving", default=None)


def described() -> Told | None:
    """Return what is known of the request that is being served, None where there is none. Never raises."""
    try:
        served = current.get()
        return None if served is None else served.describe()
    except Exception as error:  # noqa: BLE001 - never into the application
        note("request", error)
        return None
