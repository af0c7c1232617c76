"""Requests that an application served."""

from platform_sdk.events.base import (
    ACTORS,
    APP,
    TRACE,
    USER_AGENT,
    Column,
    EventKind,
    Label,
    Rollup,
    Sampled,
    reject_number,
)
from platform_sdk.events.consumer import CONSUMER, of_consumers

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

CONSUMER_BOUNDS = (0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Some of BOUNDS: what they count is then counted once."""

LONGEST_SECONDS = 1e9
"""Longer ones are rejected."""

FAILED_STATUS = 400
"""Responses from this status on are failures: they are never sampled."""

_METHOD = Column("method", "text", "the request's method", required=True, default="'GET'", values=METHODS)
_ROUTE = Label("route", "route")
_WEIGHT, _DURATION = "coalesce(weight, 1)", "coalesce(first_byte_seconds, duration_seconds)"
_OF_CONSUMERS = (
    of_consumers("requests_total", "Requests served, by consumer.", _WEIGHT),
    of_consumers(
        "client_errors_total",
        "Requests of a consumer that were answered with a status of 400 to 499.",
        f"CASE WHEN status BETWEEN 400 AND 499 THEN {_WEIGHT} ELSE 0 END",
    ),
    of_consumers(
        "server_errors_total",
        "Requests of a consumer that were answered with a status of 500 or more.",
        f"CASE WHEN status >= 500 THEN {_WEIGHT} ELSE 0 END",
    ),
    of_consumers(
        "request_duration_seconds",
        "Time to serve a request of a consumer; of a stream or a websocket, to its first byte.",
        _DURATION,
        type="histogram",
        bounds=CONSUMER_BOUNDS,
    ),
)

HTTP_REQUEST = EventKind(
    name="http_request",
    rows_are="a request an application served",
    retention_days=14,
    lane="plain",
    sampled=Sampled("status", below=FAILED_STATUS, alike=("route", "method", "status", "consumer")),
    columns=(
        Column(
            "route",
            "text",
            "the route's template, never the raw path",
            required=True,
            longest=300,
            free_text=True,
            unnamed="(unmatched)",
        ),
        _METHOD,
        Column("status", "integer", "the response's status code", required=True),
        Column("duration_seconds", "double precision", "from the first byte in to the last byte out", required=True),
        Column("response_bytes", "bigint", "size of the response's body"),
        Column("user_id", "text", "who asked", restricted=True),
        Column("role", "text", "the user's role"),
        Column("session_id", "text", "the session", restricted=True),
        Column("ip", "inet", "the client's address, truncated by the writer", personal=True),
        USER_AGENT,
        CONSUMER,
        Column(
            "first_byte_seconds",
            "double precision",
            "of a stream or a websocket, from the first byte in to the first byte out; NULL: the duration counts",
        ),
        *TRACE,
        Column("weight", "double precision", "how many requests this row stands for, if sampled", default="1"),
    ),
    checks=(
        reject_number("duration_seconds", maximum=LONGEST_SECONDS),
        reject_number("first_byte_seconds", maximum=LONGEST_SECONDS),
        reject_number("weight", minimum=1.0, maximum=1e9, whole=True),
    ),
    rollups=(
        Rollup(
            "platform_http_requests_total",
            "Requests served.",
            (
                APP,
                _ROUTE,
                Label("method", _METHOD.closed, open=False),
                Label("code", "CASE WHEN status BETWEEN 100 AND 599 THEN status::text ELSE 'other' END", open=False),
            ),
            value=_WEIGHT,
        ),
        Rollup(
            "platform_http_request_duration_seconds",
            "Time to serve a request; of a stream or a websocket, to its first byte.",
            (APP, _ROUTE),
            type="histogram",
            value=_DURATION,
            bounds=BOUNDS,
        ),
        *_OF_CONSUMERS,
    ),
    actors=ACTORS,
)
