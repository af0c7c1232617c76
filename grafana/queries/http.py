"""Queries on served requests."""

from grafana.queries.shared import TRACE_URL, busiest, counted, quantile, rate

REQUESTS = 'platform_http_requests_total{app=~"$app"}'
RATE = rate(REQUESTS, "app")
ERROR_RATIO = 'app:platform_http_request_errors:ratio5m{app=~"$app"}'
MEAN = 'app:platform_http_request_duration_seconds:mean5m{app=~"$app"}'
METHOD_RATE = rate('platform_http_requests_total{app=~"$app", route=~"$route"}', "method")
WEEK_AGO = 'app:platform_http_requests:rate5m{app=~"$app"} offset 1w'
RATE_BAND = {
    f"{{{{app}}}} {edge} usual": f'app:platform_http_requests:{edge}_usual{{app=~"$app"}} / 900'
    for edge in ("least", "most")
}
MOST_USUAL_MEAN = 'app:platform_http_request_duration_seconds:most_usual{app=~"$app"}'
SLOW = 'app:platform_http_slow_requests:ratio5m{app=~"$app"}'
NOW_AS_JUDGED = 'app:platform_http_requests:rate5m{app=~"$app"}'

# Of the chosen apps and routes together.
_CHOSEN = 'app=~"$app", route=~"$route"'
_TOTAL = f"platform_http_requests_total{{{_CHOSEN}}}"
_DURATION = f"platform_http_request_duration_seconds{{{_CHOSEN}}}"
_SUM = f"platform_http_request_duration_seconds_sum{{{_CHOSEN}}}"
_COUNT = f"platform_http_request_duration_seconds_count{{{_CHOSEN}}}"
_ERRORS = f'platform_http_requests_total{{{_CHOSEN}, code=~"5.."}}'
_QUICK = f'platform_http_request_duration_seconds_bucket{{{_CHOSEN}, le="0.5"}}'


CODE_RATE = rate(_TOTAL, "code")
CODES = counted(_TOTAL, "code")
CHOSEN_RATE = rate(_TOTAL)
CHOSEN_ERROR_RATIO = f"({rate(_ERRORS)} or vector(0)) / ({CHOSEN_RATE} > 0)"
CHOSEN_MEAN = f"{rate(_SUM)} / ({rate(_COUNT)} > 0)"
CHOSEN_QUICK = f"{rate(_QUICK)} / ({rate(_COUNT)} > 0)"
QUANTILES = {name: quantile(share, _DURATION, "") for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
BUCKETS = rate(f"platform_http_request_duration_seconds_bucket{{{_CHOSEN}}}", "le")

APP_QUANTILES = {
    name: f'app:platform_http_request_duration_seconds:{name}_5m{{app=~"$app"}}' for name in ("p50", "p95", "p99")
}


def _route(name: str) -> str:
    return f"app_route:platform_http_{name}{{{_CHOSEN}}}"


def _grown(name: str) -> str:
    return f"increase({_route(name)}[$__range])"


ROUTE_REQUESTS = _grown("requests:sum")
ROUTE_ERRORS = _grown("request_errors:sum")
ROUTE_ERROR_RATIO = f"{ROUTE_ERRORS} / ({ROUTE_REQUESTS} > 0)"
ROUTE_MEAN = f"{_grown('request_duration_seconds:sum')} / ({_grown('request_durations:sum')} > 0)"
ROUTE_WORST_P95 = f"max_over_time({_route('request_duration_seconds:p95_5m')}[$__range])"

BUSIEST = f"topk(7, round({ROUTE_REQUESTS}) > 0)"
SLOWEST = f"topk(7, {ROUTE_MEAN})"
MOST_FAILING = f"topk(7, round({ROUTE_ERRORS}) > 0)"

RATE_OVER_TIME = f"({busiest(_route('requests:increase5m'), 6)}) / 300"
ERRORS_OVER_TIME = busiest(_route("request_errors:ratio5m"), 6)
P95_OVER_TIME = busiest(_route("request_duration_seconds:p95_5m"), 6)

# There are many rows: at most the last day of the range. A sampled row counts as `weight` requests; the time of a
# stream is that to its first byte, as in the histogram.
_ROWS = """monitoring_views.http_request
WHERE $__timeFilter(at) AND at > $__timeTo()::timestamptz - interval '24 hours'
    AND app IN (${app:sqlstring}) AND route IN (${route:sqlstring}) AND duration_seconds BETWEEN 0 AND 1e9"""
ENDPOINTS = f"""SELECT app, route, method, round(sum(weight)) AS requests,
    coalesce(sum(weight) FILTER (WHERE status >= 500), 0) / sum(weight) AS errors,
    sum(seconds * weight) / sum(weight) AS average, min(seconds) AS minimum, max(seconds) AS maximum,
    max(at) AS last_served
FROM (
    SELECT at, app, route, method, status, coalesce(weight, 1) AS weight,
        coalesce(first_byte_seconds, duration_seconds) AS seconds
    FROM {_ROWS}
) AS served
GROUP BY app, route, method ORDER BY requests DESC LIMIT 200"""
_ONE = f"""SELECT at, app, route, method, status, duration_seconds, response_bytes, role, release,
    {TRACE_URL} AS trace_url FROM"""
SLOW_ONES = f"{_ONE} {_ROWS}\nORDER BY duration_seconds DESC LIMIT 50"
FAILED_ONES = f"{_ONE} {_ROWS} AND status >= 500\nORDER BY at DESC LIMIT 50"
