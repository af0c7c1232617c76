"""Calls that an application made to external APIs."""

from platform_sdk.events import spellings
from platform_sdk.events.base import APP, MAXIMUM, Column, EventKind, Label, Rollup, ZeroFill, outcome, reject_number

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REASONS = (
    "timeout", "connection", "rate_limited", "forbidden", "client_error", "server_error", "blocked",
    "cancelled", "other",
)  # fmt: skip

_API = Label("api", "api")
_OUTCOME = outcome("how it ended", ("success", "failure"))
_WHY = Column("reason", "text", "why it failed; of the status where NULL", values=REASONS, spellings=spellings.REASONS)
_REASON = f"""CASE WHEN {_OUTCOME.understood} = 'success' THEN NULL ELSE coalesce({_WHY.understood},
    CASE WHEN status = 429 THEN 'rate_limited' WHEN status = 403 THEN 'forbidden'
    WHEN status BETWEEN 400 AND 499 THEN 'client_error' WHEN status BETWEEN 500 AND 599 THEN 'server_error'
    ELSE 'other' END) END"""

API_CALL = EventKind(
    name="api_call",
    rows_are="a call to an external API",
    retention_days=30,
    columns=(
        Column("api", "text", "the provider's short name", required=True),
        Column("endpoint", "text", "the endpoint's template", longest=500, free_text=True),
        Column("method", "text", "the request's method"),
        Column("status", "integer", "the response's status code; NULL where none came"),
        _OUTCOME,
        _WHY,
        Column("attempt", "integer", "1 for the first try", default="1"),
        Column("duration_seconds", "double precision", "from the call to the last byte", required=True),
        Column("response_bytes", "bigint", "size of the response's body"),
        Column("query", "jsonb", "the parameters, redacted by the writer", personal=True),
        Column("cost", "double precision", "what the provider charges for it, in the account's currency"),
        Column("rate_limit_remaining", "double precision", "calls left in the provider's window"),
        Column("rate_limit_reset", "timestamptz", "when the provider's window ends"),
    ),
    checks=(
        _OUTCOME.check,
        reject_number("duration_seconds", maximum=1e9),
        reject_number("rate_limit_remaining", minimum=-MAXIMUM),
        reject_number("cost"),
    ),
    rollups=(
        Rollup("platform_api_calls_total", "Calls made to external APIs.", (APP, _API), value="1"),
        Rollup(
            "platform_api_call_failures_total",
            "Calls to external APIs that failed.",
            (APP, _API, Label("reason", _REASON, open=False)),
            value="1",
            require="reason",
            zero_fill=ZeroFill("platform_api_calls_total", "reason", REASONS),
        ),
        Rollup(
            "platform_api_call_duration_seconds",
            "Time an external API took to answer.",
            (APP, _API),
            type="histogram",
            value="duration_seconds",
            bounds=BOUNDS,
        ),
        Rollup(
            "platform_api_rate_limit_remaining",
            "Calls left in the provider's window, as it last reported.",
            (APP, _API),
            type="gauge",
            value="rate_limit_remaining",
        ),
        Rollup(
            "platform_api_rate_limit_reset_timestamp_seconds",
            "When the provider's window ends, as it last reported.",
            (APP, _API),
            type="gauge",
            value="CASE WHEN isfinite(rate_limit_reset) THEN extract(epoch FROM rate_limit_reset) END",
        ),
        Rollup(
            "platform_api_cost_total",
            "What calls to an external API cost, in the account's currency.",
            (APP, _API),
            value="coalesce(cost, 0)",
        ),
    ),
)
