"""Queries on calls to external APIs."""

from grafana.queries.shared import UNKNOWN, increase, quantile, rate

_CHOSEN = 'app=~"$app", api=~"$api"'
_CALLS = f"platform_api_calls_total{{{_CHOSEN}}}"
_FAILURES = f"platform_api_call_failures_total{{{_CHOSEN}}}"
_DURATION = f"platform_api_call_duration_seconds{{{_CHOSEN}}}"
_SUM, _COUNT, _BUCKET = (f"platform_api_call_duration_seconds_{end}{{{_CHOSEN}}}" for end in ("sum", "count", "bucket"))
_COST = f"platform_api_cost_total{{{_CHOSEN}}}"


def _recorded(name: str) -> str:
    return f"app_api:platform_api_{name}{{{_CHOSEN}}}"


def _grown(name: str) -> str:
    return f"increase({_recorded(name)}[$__range])"


SUCCESS = _recorded("call_successes:ratio5m")
APP_SUCCESS = 'app_api:platform_api_call_successes:ratio5m{app=~"$app"}'
FORBIDDEN = _recorded("call_forbidden:ratio5m")
RATE_LIMITED = _recorded("call_rate_limited:ratio5m")
P95 = _recorded("call_duration_seconds:p95_5m")
STATE = f"max by (app, api) (app_api:platform_health:state{{{_CHOSEN}}})"

RATE = rate(_CALLS, "app, api")
CHOSEN_RATE = rate(_CALLS)
FAILURES = rate(_FAILURES, "reason")
REASONS = increase(_FAILURES, "reason") + " > 0"
TIMEOUTS = rate(f'platform_api_call_failures_total{{{_CHOSEN}, reason="timeout"}}', "app, api") + f" / ({RATE} > 0)"
QUANTILES = {name: quantile(share, _DURATION, "") for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
MEAN = f"{rate(_SUM)} / ({rate(_COUNT)} > 0)"
BUCKETS = rate(_BUCKET, "le")

QUOTA_LEFT = _recorded("rate_limit_remaining:max")
QUOTA_USE = f"3600 * {_recorded('rate_limit_remaining:use_rate15m')} > 0"
QUOTA_SECONDS = _recorded("quota_seconds:predicted")
# Grafana shows milliseconds as a date.
QUOTA_GONE_AT = f"1000 * (time() + {QUOTA_SECONDS})"
QUOTA_RENEWED_AT = f"1000 * {_recorded('rate_limit_reset_timestamp_seconds:max')}"
QUOTA_STATE = f'app_api:platform_health:state{{indicator="api_quota_seconds", {_CHOSEN}}}'
NEXT_QUOTA_GONE = f"min({QUOTA_SECONDS})"

COST_PER_HOUR = _recorded("cost:increase1h")
COST_PER_DAY = _recorded("cost:increase1d")
COST = increase(_COST, "app, api")
CHOSEN_COST = f"sum({COST})"
COST_SHARES = increase(_COST, "api") + " > 0"
CALL_SHARES = increase(_CALLS, "api")
APP_SHARES = increase(_CALLS, "app")

RANGE_CALLS = _grown("calls:sum")
RANGE_SUCCESS = f"1 - {_grown('call_failures:sum')} / ({RANGE_CALLS} > 0)"
RANGE_MEAN = f"{increase(_SUM, 'app, api')} / ({increase(_COUNT, 'app, api')} > 0)"
SLOWEST = f"topk(10, {RANGE_MEAN})"
RANGE_WORST_P95 = f"max_over_time({P95}[$__range])"


def state(indicator: str) -> str:
    """Return the worst state of one indicator over the chosen apps and APIs."""
    return f'max(app_api:platform_health:state{{indicator="{indicator}", {_CHOSEN}}}) {UNKNOWN}'


def each(expression: str) -> str:
    """Return it with the labels app and api only: a table of several queries has one row per app and API."""
    return f"max by (app, api) ({expression})"


# There are many rows: at most the last day of the range.
_ROWS = """monitoring_views.api_call
WHERE $__timeFilter(at) AND at > $__timeTo()::timestamptz - interval '24 hours'
    AND app IN (${app:sqlstring}) AND api IN (${api:sqlstring}) AND duration_seconds BETWEEN 0 AND 1e9"""
ENDPOINTS = f"""SELECT app, api, endpoint, method, count(*) AS calls,
    count(*) FILTER (WHERE outcome <> 'success')::float / count(*) AS failed,
    count(*) FILTER (WHERE attempt > 1) AS retries,
    avg(duration_seconds) AS average, min(duration_seconds) AS minimum, max(duration_seconds) AS maximum,
    sum(cost) AS cost, max(at) AS last_called
FROM {_ROWS}
GROUP BY app, api, endpoint, method ORDER BY calls DESC LIMIT 200"""
FAILED_ONES = f"""SELECT at, app, api, endpoint, method, status, reason, attempt, duration_seconds, release
FROM {_ROWS} AND outcome <> 'success'
ORDER BY at DESC LIMIT 50"""
