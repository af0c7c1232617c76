"""The functions that integrations call to emit events. All of them return at once and never raise.

Without `init` each is a no-op of some tens of nanoseconds. Arguments are raw: nothing is formatted, redacted or
checked here. Texts must be `str` (other plain values are converted by the writer, objects become their class's
name); durations are seconds by a monotonic clock; the event's time is now.
"""

from collections.abc import Mapping
from time import time
from typing import Any, TypedDict, Unpack

from platform_sdk import client
from platform_sdk.capture.context import freeze
from platform_sdk.capture.exceptions import Captured, capture, capture_message
from platform_sdk.delivery import kinds
from platform_sdk.delivery.intake import Intake
from platform_sdk.delivery.kinds import API_CALL, ERROR, HTTP_REQUEST, SAMPLE, SCRAPING_RUN, USER_ACTIVITY
from platform_sdk.diagnostics import note
from platform_sdk.events.base import COMMON, USER_AGENT, EventKind
from platform_sdk.events.http_request import FAILED_STATUS

LONGEST_USER_AGENT = USER_AGENT.longest


class About(TypedDict, total=False):
    """What may be known about an error; `fingerprint` groups by this text instead of by type and place."""

    endpoint: str | None
    user_id: object
    ip: str | None
    user_agent: str | None
    job_id: str | None
    fingerprint: str | None
    context: Mapping[str, Any] | None


def request_finished(
    route: str,
    method: str,
    status: int,
    duration_seconds: float,
    response_bytes: int | None = None,
    user_id: object = None,
    role: str | None = None,
    session_id: str | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
    first_byte_seconds: float | None = None,
) -> None:
    """Emit a request that was served. `route` is a template or "(unmatched)"; `ip` whole, the writer truncates it.

    `first_byte_seconds` is for streams and websockets, whose duration says little of how fast the application is.
    """
    intake = client.current
    if intake is None:
        return
    try:
        size = 700
        if user_agent is not None:
            if len(user_agent) > LONGEST_USER_AGENT:
                user_agent = user_agent[:LONGEST_USER_AGENT]
            size += len(user_agent)
        lane = intake.plain if status < FAILED_STATUS else intake.other
        event = (
            HTTP_REQUEST, time(), route, method, status, duration_seconds, response_bytes, user_id, role, session_id,
            ip, user_agent, first_byte_seconds,
        )  # fmt: skip
        intake.put(lane, event, size)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def exception(
    exc: BaseException, *, error_type: str | None = None, severity: str = "high", **about: Unpack[About]
) -> None:
    """Emit an exception with its chain and stack. An exception emitted once is not emitted again, unless raised again.

    `severity` is one of low, medium, high, critical; `error_type` replaces the name of the exception's class.
    """
    intake = client.current
    if intake is None:
        return
    try:
        captured = capture(exc, error_type)
        if captured is not None:
            _error(intake, captured, severity, **about)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def error_message(
    message: str,
    *,
    error_type: str = "LoggedError",
    severity: str = "medium",
    stack_trace: str | None = None,
    **about: Unpack[About],
) -> None:
    """Emit an error without an exception; without `fingerprint` it is grouped by its message, numbers left out.

    `stack_trace` is a text that came with it, from a program in another language for example.
    """
    intake = client.current
    if intake is None:
        return
    try:
        captured = capture_message(error_type, message, stack_trace)
        _error(intake, captured, severity, **about)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def api_call(
    api: str,
    endpoint: str | None,
    outcome: str,
    duration_seconds: float,
    *,
    method: str | None = None,
    status: int | None = None,
    reason: str | None = None,
    attempt: int = 1,
    response_bytes: int | None = None,
    query: Mapping[str, Any] | None = None,
    cost: float | None = None,
    rate_limit_remaining: float | None = None,
    rate_limit_reset: float | None = None,
) -> None:
    """Emit a call to an external API. `outcome` is "success" or "failure", then with a `reason` of the closed list
    (timeout, connection, rate_limited, forbidden, client_error, server_error, blocked, cancelled, other).

    `endpoint` may be a URL: its query goes to `query`, redacted, and ids in it become placeholders. `rate_limit_reset`
    is in Unix seconds. `APIMonitor` does all of this for a call.
    """
    intake = client.current
    if intake is None:
        return
    try:
        frozen, size = freeze(query) if query is not None else (None, 0)
        event = (
            API_CALL, time(), api, endpoint, method, status, outcome, reason, attempt, duration_seconds, response_bytes,
            frozen, cost, rate_limit_remaining, rate_limit_reset,
        )  # fmt: skip
        intake.put(intake.lanes[API_CALL], event, 700 + size + (len(endpoint) if isinstance(endpoint, str) else 0))
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def scraping_run(
    job_id: str | None,
    scraper: str,
    site: str | None,
    outcome: str,
    duration_seconds: float,
    *,
    reason: str | None = None,
    items_processed: int = 0,
    items_failed: int = 0,
    items_dropped: int = 0,
    response_bytes: int | None = None,
) -> None:
    """Emit a finished scraping job. `outcome` is "success" or "failure", then with a `reason` of the closed list
    (timeout, connection, rate_limited, forbidden, server_error, blocked, parse, cancelled, other).
    """
    intake = client.current
    if intake is None:
        return
    try:
        event = (
            SCRAPING_RUN, time(), job_id, scraper, site, outcome, reason, duration_seconds, items_processed,
            items_failed, items_dropped, response_bytes,
        )  # fmt: skip
        intake.put(intake.lanes[SCRAPING_RUN], event, 800)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def job_heartbeat(
    job_id: str,
    scraper: str,
    site: str | None = None,
    status: str = "running",
    progress: float | None = None,
    total_items: int | None = None,
    completed_items: int | None = None,
    started_at: float | None = None,
    finished_at: float | None = None,
) -> None:
    """Report the whole state of a live job; only the newest state of a job is kept, so call it as often as you like.

    `status` is pending, running, completed, failed or cancelled; `progress` 0 to 100; times are Unix seconds.
    """
    intake = client.current
    if intake is None:
        return
    try:
        state = (time(), scraper, site, status, progress, total_items, completed_items, started_at, finished_at)
        intake.put_job(job_id, state)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("emit", error)


def activity(
    name: str,
    *,
    user_id: object = None,
    role: str | None = None,
    session_id: str | None = None,
    module: str | None = None,
    feature: str | None = None,
    success: bool = True,
    duration_seconds: float | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Emit something a user did: login, logout, search ..."""
    intake = client.current
    if intake is None:
        return
    try:
        frozen, size = freeze(details) if details is not None else (None, 0)
        event = (
            USER_ACTIVITY, time(), name, user_id, role, session_id, module, feature, success, duration_seconds, ip,
            user_agent[:LONGEST_USER_AGENT] if user_agent else user_agent, frozen,
        )  # fmt: skip
        intake.put(intake.lanes[USER_ACTIVITY], event, 900 + size)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def sample(
    name: str, value: float, kind: str = "gauge", unit: str | None = None, labels: Mapping[str, Any] | None = None
) -> None:
    """Emit a value of a custom metric; `kind` is counter (an amount to add), gauge, histogram or summary."""
    intake = client.current
    if intake is None:
        return
    try:
        frozen, size = freeze(labels)
        intake.put(intake.lanes[SAMPLE], (SAMPLE, time(), name, kind, value, unit, frozen), 400 + size)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def event(kind: EventKind, **values: Any) -> None:
    """Emit an event of any kind by its columns' names; what is left out is NULL.

    For kinds of which few events come: this costs about twice as much as a function of its own would. Errors and
    requests have theirs.
    """
    intake = client.current
    if intake is None:
        return
    try:
        number, size = kinds.NUMBERS[kind.name], 800
        record = [number, time()]
        for column in kinds.COLUMNS[number][len(COMMON) :]:
            value = values.pop(column, None)
            if isinstance(value, Mapping):
                value, more = freeze(value)
                size += more
            record.append(value)
        if values:
            raise TypeError(f"{kind.name} has no column {', '.join(values)}")
        intake.put(intake.lanes[number], tuple(record), size)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def _error(
    intake: Intake,
    captured: Captured,
    severity: str,
    *,
    endpoint: str | None = None,
    user_id: object = None,
    ip: str | None = None,
    user_agent: str | None = None,
    job_id: str | None = None,
    fingerprint: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> None:
    frozen, size = freeze(context)
    user_agent = user_agent[:LONGEST_USER_AGENT] if user_agent else user_agent
    event = (
        ERROR, time(), severity, captured, None, None, fingerprint, endpoint, user_id, ip, user_agent, job_id, frozen,
    )  # fmt: skip
    intake.put(intake.lanes[ERROR], event, 1000 + size + captured.size)
