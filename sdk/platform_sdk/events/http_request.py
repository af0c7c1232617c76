"""Requests that an application served."""

from platform_sdk.events.base import (
    ACTORS,
    APP,
    USER_AGENT,
    Column,
    EventKind,
    Label,
    Rollup,
    Sampled,
    reject_number,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

FAILED_STATUS = 400
"""Responses from this status on are failures: they are never sampled."""

_METHOD = Column("method", "text", "the request's method", required=True, default="'GET'", values=METHODS)
_ROUTE = Label("route", "route")

HTTP_REQUEST = EventKind(
    name="http_request",
    rows_are="a request an application served",
    retention_days=14,
    lane="plain",
    sampled=Sampled("status", below=FAILED_STATUS, alike=("route", "method", "status")),
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
        Column(
            "first_byte_seconds",
            "double precision",
            "of a stream or a websocket, from the first byte in to the first byte out; NULL: the duration counts",
        ),
        Column("weight", "double precision", "how many requests this row stands for, if sampled", default="1"),
    ),
    checks=(
        reject_number("duration_seconds", maximum=1e9),
        reject_number("first_byte_seconds", maximum=1e9),
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
            value="coalesce(weight, 1)",
        ),
        Rollup(
            "platform_http_request_duration_seconds",
            "Time to serve a request; of a stream or a websocket, to its first byte.",
            (APP, _ROUTE),
            type="histogram",
            value="coalesce(first_byte_seconds, duration_seconds)",
            bounds=BOUNDS,
        ),
    ),
    actors=ACTORS,
)
