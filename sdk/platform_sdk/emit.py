"""The functions that integrations call to emit events. All of them return at once and never raise.

Without `init` each is a no-op of some tens of nanoseconds. Arguments are raw: nothing is formatted, redacted or
checked here. Texts must be `str` (other plain values are converted by the writer, objects become their class's
name); durations are seconds by a monotonic clock; the event's time is now.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from platform_sdk import client, scope
from platform_sdk.capture.context import freeze
from platform_sdk.capture.exceptions import Captured, capture, capture_message
from platform_sdk.delivery import kinds
from platform_sdk.delivery.intake import Event, Intake
from platform_sdk.delivery.kinds import API_CALL, ERROR, HTTP_REQUEST, SAMPLE, SCRAPING_RUN, USER_ACTIVITY
from platform_sdk.diagnostics import note
from platform_sdk.events.base import COMMON, USER_AGENT, EventKind
from platform_sdk.events.http_request import FAILED_STATUS
from platform_sdk.parsing import url_text
from platform_sdk.request_context import current_trace
from platform_sdk.trace import NO_TRACE, Trace
from platform_sdk.typing import JobStatus, Outcome, SampleKind, Severity

if TYPE_CHECKING:
    from platform_sdk.model_usage import ModelUsage

LONGEST_USER_AGENT = USER_AGENT.longest
LONGEST_TEXT = 4_000
"""How many characters of a text travel to the writer, which finds secrets and URLs' queries before it cuts further."""

NO_USAGE = (None,) * 10
"""Of a call that is not to a model: as many as ModelUsage has fields."""


JUST_SECONDS = 10.0

_recorded: deque[tuple[float, str, str]] = deque(maxlen=32)
"""When which exceptions were emitted: those who log them as texts, in another thread even, are not to emit them too."""


class About(TypedDict, total=False):
    """What may be known about an error; `fingerprint` groups by this text instead of by type and place.

    Without a `trace` the error belongs to that of the request or span in which it is emitted.
    """

    endpoint: str | None
    user_id: object
    ip: str | None
    user_agent: str | None
    job_id: str | None
    fingerprint: str | None
    context: Mapping[str, Any] | None
    trace: Trace | None


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
    trace: Trace = NO_TRACE,
    consumer: str | None = None,
) -> None:
    """Emit a request that was served. `route` is a template or "(unmatched)"; `ip` whole, the writer truncates it.

    `first_byte_seconds` is for streams and websockets, whose duration says little of how fast the application is.
    """
    intake = client.current
    if intake is None:
        return
    try:
        if method == "HEAD":
            response_bytes = 0  # a body that the application made is not sent
        size = 700
        if user_agent is not None:
            if len(user_agent) > LONGEST_USER_AGENT:
                user_agent = user_agent[:LONGEST_USER_AGENT]
            size += len(user_agent)
        trace_id, trace_sampled = trace  # a tuple with a starred part takes twice as long to make
        event = (
            HTTP_REQUEST, time(), route, method, status, duration_seconds, response_bytes, user_id, role, session_id,
            ip, user_agent, consumer, first_byte_seconds, trace_id, trace_sampled,
        )  # fmt: skip
        intake.put(intake.plain if status < FAILED_STATUS else intake.other, event, size)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def exception(
    exc: BaseException, *, error_type: str | None = None, severity: Severity = "high", **about: Unpack[About]
) -> bool:
    """Emit an exception with its chain and stack; return whether it was taken.

    An exception emitted once is not emitted again, unless raised again, nor is one of the option `ignore_errors`.
    `error_type` replaces the name of the exception's class.
    """
    intake = client.current
    if intake is None:
        return False
    try:
        if intake.ignored is not None and intake.ignored(exc):
            return False
        captured = capture(exc, error_type)
        if captured is None:
            return False
        _error(intake, captured, severity, **about)
        _recorded.append((time(), captured.chain[0].name, captured.chain[0].message))
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)
        return False
    return True


def recorded_just_before(name: str, message: str) -> bool:
    """Return whether an exception of this class and text was emitted just now; each is found once."""
    for found in list(_recorded):
        at, kind, text = found
        if kind.rpartition(".")[2] == name and text.partition("\n")[0] == message and time() - at < JUST_SECONDS:
            with suppress(ValueError):  # another thread has found it
                _recorded.remove(found)
                return True
    return False


def error_message(
    message: str,
    *,
    error_type: str = "LoggedError",
    severity: Severity = "medium",
    stack_trace: str | None = None,
    template: str | None = None,
    **about: Unpack[About],
) -> bool:
    """Emit an error without an exception; return whether it was taken.

    Without `fingerprint` it is grouped by `template`, the message before its arguments were filled in, or else by the
    message, numbers and such left out. `stack_trace` is a text that came with it, from a program in another language
    for example.
    """
    intake = client.current
    if intake is None:
        return False
    try:
        captured = capture_message(error_type, message, stack_trace, template)
        _error(intake, captured, severity, **about)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)
        return False
    return True


def api_call(
    api: str,
    endpoint: str | None,
    outcome: Outcome,
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
    rate_limit: float | None = None,
    usage: "ModelUsage | None" = None,
    trace: Trace | None = None,
    consumer: str | None = None,
) -> None:
    """Emit a call to an external API. `outcome` is "success" or "failure", then with a `reason` of the closed list
    (timeout, connection, rate_limited, forbidden, client_error, server_error, blocked, cancelled, other).

    `endpoint` may be a URL: its query goes to `query`, redacted, and ids in it become placeholders. `rate_limit_reset`
    is in Unix seconds. `usage` is of a call to a model, whose cost `cost_of` knows.
    Without a `trace` it belongs to that of the request or span in which it is emitted, without a `consumer` it is on
    behalf of whom that is. `APIMonitor` does all of this for a call.
    """
    intake = client.current
    if intake is None:
        return
    try:
        frozen, size = freeze(query) if query is not None else (None, 0)
        if endpoint is not None and type(endpoint) is not str:
            endpoint = url_text(endpoint) or endpoint
        event = (
            API_CALL, time(), api, endpoint, method, status, outcome, reason, attempt, duration_seconds, response_bytes,
            frozen, cost, rate_limit, rate_limit_remaining, rate_limit_reset, *(NO_USAGE if usage is None else usage),
            scope.consumer() if consumer is None else consumer, *(current_trace() if trace is None else trace),
        )  # fmt: skip
        event, letters = _bounded(event)
        intake.put(intake.lanes[API_CALL], event, 700 + size + letters)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def cost_of(usage: "ModelUsage | None") -> float | None:
    """Return what a call to a model cost by the option `prices`, None where nobody knows."""
    options = None if usage is None else client.active_options()
    return None if usage is None or options is None else usage.cost(options.prices)


def scraping_run(
    job_id: str | None,
    scraper: str,
    site: str | None,
    outcome: Outcome,
    duration_seconds: float,
    *,
    reason: str | None = None,
    items_processed: int = 0,
    items_failed: int = 0,
    items_dropped: int = 0,
    response_bytes: int | None = None,
    block: str | None = None,
    expected: Iterable[float | None] = (None, None, None, None),
) -> None:
    """Emit a finished scraping job. `outcome` is "success" or "failure", then with a `reason` of the closed list
    (timeout, connection, rate_limited, forbidden, server_error, blocked, parse, cancelled, other); `block` is what
    blocked it, of `events.scraping_request.BLOCKS`; `expected` is an `Expectations` of `jobs.expectations`.
    """
    intake = client.current
    if intake is None:
        return
    try:
        event = (
            SCRAPING_RUN, time(), job_id, scraper, site, outcome, reason, block, duration_seconds,
            items_processed, items_failed, items_dropped, response_bytes, *expected,
        )  # fmt: skip
        event, letters = _bounded(event)
        intake.put(intake.lanes[SCRAPING_RUN], event, 800 + letters)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def job_heartbeat(
    job_id: str,
    scraper: str,
    site: str | None = None,
    status: JobStatus = "running",
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
        state, _ = _bounded(
            (job_id, time(), scraper, site, status, progress, total_items, completed_items, started_at, finished_at)
        )
        intake.put_job(state[0], state[1:])
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
        if scope.used and user_id is None and role is None:
            user_id, role, said_session = scope.user()
            session_id = session_id or said_session
        event = (
            USER_ACTIVITY, time(), name, user_id, role, session_id, module, feature, success, duration_seconds, ip,
            user_agent, frozen,
        )  # fmt: skip
        event, letters = _bounded(event)
        intake.put(intake.lanes[USER_ACTIVITY], event, 900 + size + letters)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def sample(
    name: str,
    value: float,
    kind: SampleKind = "gauge",
    unit: str | None = None,
    labels: Mapping[str, Any] | None = None,
) -> None:
    """Emit a value of a custom metric; `kind` is counter (an amount to add), gauge, histogram or summary."""
    intake = client.current
    if intake is None:
        return
    try:
        frozen, size = freeze(labels)
        event, letters = _bounded((SAMPLE, time(), name, kind, value, unit, frozen))
        intake.put(intake.lanes[SAMPLE], event, 400 + size + letters)
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
        event, letters = _bounded(tuple(record))
        intake.put(intake.lanes[number], event, size + letters)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("emit", error)


def _error(
    intake: Intake,
    captured: Captured,
    severity: Severity,
    *,
    endpoint: str | None = None,
    user_id: object = None,
    ip: str | None = None,
    user_agent: str | None = None,
    job_id: str | None = None,
    fingerprint: str | None = None,
    context: Mapping[str, Any] | None = None,
    trace: Trace | None = None,
) -> None:
    if scope.used:
        context = scope.completed(context)
        user_id = scope.user()[0] if user_id is None else user_id
    frozen, size = freeze(context)
    event = (
        ERROR, time(), severity, captured, None, None, fingerprint, endpoint, user_id, ip, user_agent, job_id, frozen,
        *(current_trace() if trace is None else trace),
    )  # fmt: skip
    event, letters = _bounded(event)
    intake.put(intake.lanes[ERROR], event, 1000 + size + captured.size + letters)


def _bounded(event: Event) -> tuple[Event, int]:
    """Return an event whose texts are cut, and how long they are: they count against `buffer_bytes`.

    One that an application passes may be of any length, and would take the room of thousands of other events.
    """
    letters = sum([len(value) for value in event if type(value) is str])
    if letters <= LONGEST_TEXT:
        return event, letters
    event = tuple([value[:LONGEST_TEXT] if type(value) is str else value for value in event])
    return event, sum([len(value) for value in event if type(value) is str])
