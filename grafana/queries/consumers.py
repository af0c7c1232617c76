"""Queries on consumers: requests that apps served, and calls to external APIs that they made, by on whose behalf."""

from grafana.queries.shared import busiest, counted, greatest, increase, quantile

_EACH = "app, consumer"
_SERVED, _MADE = "platform_consumer_", "platform_consumer_api_"
MOST = 6


def _total(name: str) -> str:
    return f'{name}_total{{app=~"$app"}}'


def _share(part: str, whole: str) -> str:
    return f"{increase(_total(part), _EACH)} / ({increase(_total(whole), _EACH)} > 0)"


REQUESTS = f"{counted(_total(f'{_SERVED}requests'), _EACH)} > 0"
FAILING = _share(f"{_SERVED}server_errors", f"{_SERVED}requests")
REJECTED = _share(f"{_SERVED}client_errors", f"{_SERVED}requests")
P95 = f'{quantile(0.95, f"""{_SERVED}request_duration_seconds{{app=~"$app"}}""", _EACH, "$__range")} >= 0'
CALLS = f"{counted(_total(f'{_MADE}calls'), _EACH)} > 0"
CALLS_FAILING = _share(f"{_MADE}call_failures", f"{_MADE}calls")
_COST = _total(f"{_MADE}cost")
COST = f"{increase(_COST, _EACH)} > 0"

RATE_OVER_TIME = busiest('app_consumer:platform_consumer_requests:rate5m{app=~"$app"}', MOST)
ERRORS_OVER_TIME = busiest('app_consumer:platform_consumer_server_errors:ratio5m{app=~"$app"}', MOST)
COST_PER_HOUR = f"{increase(_COST, _EACH, '1h')} and {greatest(increase(_COST, _EACH), MOST)}"

# At most the last day of the range: there are many rows.
ASKED = """SELECT app, consumer, route, round(sum(coalesce(weight, 1))) AS requests,
    coalesce(sum(weight) FILTER (WHERE status >= 500), 0) / sum(coalesce(weight, 1)) AS errors,
    sum(coalesce(first_byte_seconds, duration_seconds) * coalesce(weight, 1)) / sum(coalesce(weight, 1)) AS average,
    max(at) AS last_served
FROM monitoring_views.http_request
WHERE $__timeFilter(at) AND at > $__timeTo()::timestamptz - interval '24 hours' AND consumer <> ''
    AND app IN (${app:sqlstring}) AND route IN (${route:sqlstring}) AND duration_seconds BETWEEN 0 AND 1e9
GROUP BY app, consumer, route ORDER BY requests DESC LIMIT 200"""
