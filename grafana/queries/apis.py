"""Queries on calls to external APIs."""

from grafana.queries.shared import UNKNOWN, busiest, counted, greatest, increase, quantile, rate
from platform_sdk.events.api_call import TOKENS

_CHOSEN = 'app=~"$app", api=~"$api"'
_CALLS = f"platform_api_calls_total{{{_CHOSEN}}}"
_FAILURES = f"platform_api_call_failures_total{{{_CHOSEN}}}"
_DURATION = f"platform_api_call_duration_seconds{{{_CHOSEN}}}"
_SUM, _COUNT, _BUCKET = (f"platform_api_call_duration_seconds_{end}{{{_CHOSEN}}}" for end in ("sum", "count", "bucket"))
_COST = f"platform_api_cost_total{{{_CHOSEN}}}"

# As many names as a legend below a chart has room for.
MOST = 5


def _recorded(name: str) -> str:
    return f"app_api:platform_api_{name}{{{_CHOSEN}}}"


def _grown(name: str) -> str:
    return f"increase({_recorded(name)}[$__range])"


SUCCESS = _recorded("call_successes:ratio5m")
FORBIDDEN = busiest(_recorded("call_forbidden:ratio5m"), MOST)
RATE_LIMITED = busiest(_recorded("call_rate_limited:ratio5m"), MOST)
MEAN_5M = _recorded("call_duration_seconds:mean5m")
MOST_USUAL_MEAN = _recorded("call_duration_seconds:most_usual")
CALLS_NOW = _recorded("calls:increase15m")
BAND = {f"{{{{app}}}} {{{{api}}}} {edge} usual": _recorded(f"calls:{edge}_usual") for edge in ("least", "most")}
_P95 = _recorded("call_duration_seconds:p95_5m")
P95 = busiest(_P95, MOST)
STATE = f"max by (app, api) (app_api:platform_health:state{{{_CHOSEN}}})"

_EACH_RATE = rate(_CALLS, "app, api")
RATE = f"{_EACH_RATE} and {greatest(increase(_CALLS, 'app, api'), MOST)}"
CHOSEN_RATE = rate(_CALLS)
FAILURES = rate(_FAILURES, "reason")
CODES = rate(f"platform_api_responses_total{{{_CHOSEN}}}", "code")
REPEATED = (
    f"{increase(f'platform_api_call_retries_total{{{_CHOSEN}}}', 'app, api', '30m')}"
    f" / ({increase(_CALLS, 'app, api', '30m')} > 0)"
)
BYTES = rate(f"platform_api_response_bytes_total{{{_CHOSEN}}}", "app, api", "30m")
REASONS = counted(_FAILURES, "reason") + " > 0"
_TIMEOUTS = f'platform_api_call_failures_total{{{_CHOSEN}, reason="timeout"}}'
TIMEOUTS = (
    f"""{rate(_TIMEOUTS, "app, api")} / ({_EACH_RATE} > 0) and {greatest(increase(_TIMEOUTS, "app, api"), MOST)}"""
)
QUANTILES = {name: quantile(share, _DURATION, "") for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
MEAN = f"{rate(_SUM)} / ({rate(_COUNT)} > 0)"
BUCKETS = rate(_BUCKET, "le")

QUOTA_LEFT = _recorded("rate_limit_remaining:max")
QUOTA_LIMIT = _recorded("rate_limit:max")
QUOTA_SHARE = f"{QUOTA_LEFT} / ({QUOTA_LIMIT} > 0)"
QUOTA_USE = f"3600 * {_recorded('rate_limit_remaining:use_rate15m')} > 0"
QUOTA_SECONDS = _recorded("quota_seconds:predicted")
# Grafana shows milliseconds as a date.
QUOTA_RENEWED_AT = f"1000 * {_recorded('rate_limit_reset_timestamp_seconds:max')}"
QUOTA_STATE = f'max by (app, api, quota) (app_api:platform_health:state{{indicator="api_quota_seconds", {_CHOSEN}}})'
NEXT_QUOTA_GONE = f"min({QUOTA_SECONDS})"

COST_PER_HOUR = busiest(_recorded("cost:increase1h"), MOST)
COST_PER_DAY = _recorded("cost:increase1d")
COST = increase(_COST, "app, api")
CHOSEN_COST = f"sum({COST})"
APP_SHARES = counted(_CALLS, "app")

_MODELS = "app, api, model"


def _of_models(name: str) -> str:
    return f"platform_gen_ai_{name}_total{{{_CHOSEN}}}"


_FIRST_TOKEN = f"platform_gen_ai_time_to_first_token_seconds{{{_CHOSEN}}}"
TOKEN_KINDS = {
    name.removesuffix("_tokens").replace("_", " "): rate(_of_models(name), window="30m") + " > 0" for name in TOKENS
}
_INPUT, _OUTPUT = _of_models("input_tokens"), _of_models("output_tokens")
MODEL_TOKENS = (
    f"({rate(_INPUT, _MODELS, '30m')} + {rate(_OUTPUT, _MODELS, '30m')})"
    f" and {greatest(increase(_INPUT, _MODELS), MOST)}"
)
MODEL_ERRORS = rate(f"platform_gen_ai_failures_total{{{_CHOSEN}}}", "error_type")
FIRST_TOKEN = {name: quantile(share, _FIRST_TOKEN, "") for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
MODEL_CALLS = counted(_of_models("calls"), _MODELS)
MODEL_INPUT, MODEL_OUTPUT = (counted(_of_models(f"{name}_tokens"), _MODELS) for name in ("input", "output"))
MODEL_CACHED = (
    f"{increase(_of_models('cache_read_tokens'), _MODELS)} / ({increase(_of_models('input_tokens'), _MODELS)} > 0)"
)
MODEL_COST = increase(_of_models("cost"), _MODELS)
MODEL_UNPRICED = counted(_of_models("unpriced_calls"), _MODELS)

_BUDGETS = '{app=~"$app|", api=~"$api|"}'
BUDGET = f"budget:platform_budget:max{_BUDGETS}"
BUDGET_SPENT = f"budget:platform_api_cost:month{_BUDGETS}"
BUDGET_RATIO = f"budget:platform_api_cost:ratio{_BUDGETS}"
BUDGET_FORECAST = f"budget:platform_api_cost:forecast{_BUDGETS}"
BUDGET_FORECAST_RATIO = f"budget:platform_api_cost:forecast_ratio{_BUDGETS}"
BUDGET_STATE = 'max by (app, api) (budget:platform_health:state{app=~"$app|", api=~"$api|"})'

RANGE_CALLS = _grown("calls:sum")
RANGE_SUCCESS = f"1 - {_grown('call_failures:sum')} / ({RANGE_CALLS} > 0)"
RANGE_MEAN = f"{increase(_SUM, 'app, api')} / ({increase(_COUNT, 'app, api')} > 0)"
SLOWEST = f"topk(7, {RANGE_MEAN})"
RANGE_WORST_P95 = f"max_over_time({_P95}[$__range])"


def state(indicator: str) -> str:
    """Return the worst state of one indicator over the chosen apps and APIs."""
    return f'max(app_api:platform_health:state{{indicator="{indicator}", {_CHOSEN}}}) {UNKNOWN}'


# Where the scheme is left out, an address fits its column.
_SHOWN = "regexp_replace(endpoint, '^https?://', '')"

# There are many rows: at most the last day of the range.
_ROWS = """monitoring_views.api_call
WHERE $__timeFilter(at) AND at > $__timeTo()::timestamptz - interval '24 hours'
    AND app IN (${app:sqlstring}) AND api IN (${api:sqlstring}) AND duration_seconds BETWEEN 0 AND 1e9"""
ENDPOINTS = f"""SELECT app, api, {_SHOWN} AS endpoint, method, count(*) AS calls,
    count(*) FILTER (WHERE outcome <> 'success')::float / count(*) AS failed,
    avg(duration_seconds) AS average, max(duration_seconds) AS maximum, max(at) AS last_called
FROM {_ROWS}
GROUP BY app, api, endpoint, method ORDER BY calls DESC LIMIT 200"""
FAILED_ONES = f"""SELECT at, app, api, {_SHOWN} AS endpoint, method, status, reason, duration_seconds, release
FROM {_ROWS} AND outcome <> 'success'
ORDER BY at DESC LIMIT 50"""
