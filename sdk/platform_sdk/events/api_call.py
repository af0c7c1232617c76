"""Calls that an application made to external APIs."""

from platform_sdk.events import spellings
from platform_sdk.events.base import (
    APP,
    CODE,
    MAXIMUM,
    TRACE,
    Column,
    EventKind,
    Label,
    Rollup,
    ZeroFill,
    outcome,
    reject_number,
)
from platform_sdk.events.consumer import CONSUMER, of_consumers

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONSUMER_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Some of BOUNDS: what they count is then counted once."""
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

_MODEL = Label("model", "model")
_MODEL_LABELS = (APP, _API, _MODEL, Label("operation", "operation"))
_ERROR = f"""CASE WHEN model IS NOT NULL AND {_OUTCOME.understood} <> 'success'
    THEN coalesce(lower(error_type COLLATE "C"), {_REASON}) END"""
FIRST_TOKEN_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TOKENS = {
    "input_tokens": "Tokens that models were given, those of their cache among them.",
    "output_tokens": "Tokens that models answered, those of reasoning among them.",
    "cache_read_tokens": "Input tokens that were read from the provider's cache.",
    "cache_creation_tokens": "Input tokens that were written to the provider's cache.",
    "reasoning_tokens": "Output tokens that were spent on reasoning.",
}
"""The kinds of tokens: the column, after OpenTelemetry's gen_ai.usage.*, and its counter's help."""


def _of_models(name: str, text: str, value: str) -> Rollup:
    return Rollup(f"platform_gen_ai_{name}_total", text, _MODEL_LABELS, value, require="model")


_OF_MODELS = (
    _of_models("calls", "Calls to models.", "1"),
    *(_of_models(column, text, f"coalesce({column}, 0)") for column, text in TOKENS.items()),
    _of_models("cost", "What calls to models cost, in the account's currency.", "coalesce(cost, 0)"),
    _of_models(
        "unpriced_calls",
        "Calls to models whose cost is unknown: no price, or no number of tokens.",
        f"(cost IS NULL AND ({_OUTCOME.understood} = 'success' OR input_tokens IS NOT NULL))::int",
    ),
    Rollup(
        "platform_gen_ai_failures_total",
        "Calls to models that failed, by the provider's word for the error, or else the reason.",
        (APP, _API, _MODEL, Label("error_type", _ERROR)),
        value="1",
        require="error_type",
    ),
    Rollup(
        "platform_gen_ai_time_to_first_token_seconds",
        "Time until the first part of a streamed answer.",
        (APP, _API, _MODEL),
        type="histogram",
        value="CASE WHEN model IS NOT NULL THEN first_token_seconds END",
        bounds=FIRST_TOKEN_BOUNDS,
        require="model",
        optional=True,
    ),
)

_OF_CONSUMERS = (
    of_consumers("api_calls_total", "Calls made to external APIs on behalf of a consumer.", "1"),
    of_consumers(
        "api_call_failures_total",
        "Calls to external APIs on behalf of a consumer that failed.",
        f"({_OUTCOME.understood} <> 'success')::int",
    ),
    of_consumers(
        "api_call_duration_seconds",
        "Time an external API took to answer a call on behalf of a consumer.",
        "duration_seconds",
        type="histogram",
        bounds=CONSUMER_BOUNDS,
    ),
    of_consumers(
        "api_cost_total",
        "What calls to external APIs on behalf of a consumer cost, in the account's currency.",
        "coalesce(cost, 0)",
    ),
)


def quota_gauges(quota: str, *, limit: str, remaining: str, reset: str) -> tuple[Rollup, ...]:
    """Return the series of quotas; SQL of which one it is (an empty text: of calls), and the columns about it."""
    labels = (APP, _API, Label("quota", quota))
    moment = f"CASE WHEN isfinite({reset}) THEN extract(epoch FROM {reset}) END"
    return tuple(
        Rollup(f"platform_api_{name}", text, labels, type="gauge", value=value)
        for name, text, value in (
            ("rate_limit", "Calls, or what `quota` names, that the provider's window allows.", limit),
            ("rate_limit_remaining", "Calls, or what `quota` names, left in the provider's window.", remaining),
            ("rate_limit_reset_timestamp_seconds", "When the provider's window ends, as it last reported.", moment),
        )
    )


def costs(api: str, has_cost: str = "true") -> tuple[Rollup, ...]:
    """Return the series of what is paid to an API (SQL of its name), and SQL of which rows those are; see MONTH."""
    labels = (APP, Label("api", api if has_cost == "true" else f"CASE WHEN {has_cost} THEN {api} END"))
    return (
        Rollup(
            "platform_api_cost_total",
            "What calls to an external API cost, or requests by a provider of proxies, in the account's currency.",
            labels,
            value="coalesce(cost, 0)",
            require=None if has_cost == "true" else "api",
        ),
        Rollup(
            "platform_api_cost_month_total",
            "What calls to an external API, or requests by a provider of proxies, cost in a month (UTC, as 202611), "
            "in the account's currency.",
            (*labels, Label("month", "billing_month", open=False)),
            value="coalesce(cost, 0)",
            require="month",
        ),
    )


MONTH = {"billing_month": "CASE WHEN cost IS NOT NULL THEN to_char(at AT TIME ZONE 'UTC', 'YYYYMM') END"}
"""What `costs` needs to be derived of a row."""

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
        Column("rate_limit", "double precision", "calls that the provider's window allows"),
        Column("rate_limit_remaining", "double precision", "calls left in the provider's window"),
        Column("rate_limit_reset", "timestamptz", "when the provider's window ends"),
        Column("model", "text", "the model that answered; of a call that failed the one that was asked for"),
        Column("operation", "text", "what the model did: chat, text_completion, embeddings, generate_content"),
        *(Column(name, "bigint", text[0].lower() + text[1:].rstrip(".")) for name, text in TOKENS.items()),
        Column("service_tier", "text", "how the provider served it: default, batch, flex, priority"),
        Column("first_token_seconds", "double precision", "time until the first part of a streamed answer"),
        Column("error_type", "text", "the provider's word for the error, in small letters", longest=60),
        CONSUMER,
        *TRACE,
    ),
    checks=(
        _OUTCOME.check,
        reject_number("duration_seconds", maximum=1e9),
        reject_number("rate_limit_remaining", minimum=-MAXIMUM),
        reject_number("rate_limit"),
        reject_number("cost"),
        reject_number("response_bytes"),
        *(reject_number(name) for name in TOKENS),
        reject_number("first_token_seconds", maximum=1e9),
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
        *quota_gauges("''", limit="rate_limit", remaining="rate_limit_remaining", reset="rate_limit_reset"),
        Rollup(
            "platform_api_responses_total",
            "Responses of external APIs by status code; none where no response came.",
            (APP, _API, Label("code", CODE, open=False)),
            value="1",
        ),
        Rollup(
            "platform_api_call_retries_total",
            "Calls to external APIs that repeated a failed one.",
            (APP, _API),
            value="(coalesce(attempt, 1) > 1)::int",
        ),
        Rollup(
            "platform_api_response_bytes_total",
            "Bytes that external APIs sent.",
            (APP, _API),
            value="coalesce(response_bytes, 0)",
        ),
        *costs("api"),
        *_OF_MODELS,
        *_OF_CONSUMERS,
    ),
    derived=MONTH,
)
