"""Queries on service level objectives and their error budgets."""

from grafana.queries.shared import counted, increase

_CHOSEN = 'app=~"$app", slo=~"$slo"'
_DAY_SECONDS = 86_400
BUDGET_DAYS = 30


def _each(expression: str) -> str:
    return f"max by (app, slo) ({expression})"


def _window(name: str, window: str) -> str:
    return f'app_slo_window:platform_slo_{name}{{window="{window}", {_CHOSEN}}}'


def burn(window: str) -> str:
    """Return the burn rate of each budget over a window: 1 uses it up in just 30 days."""
    return _each(_window("errors:burn_rate", window))


OBJECTIVE = _each(f"app_slo:platform_objective:effective{{{_CHOSEN}}}")
ATTAINED = _each(f"1 - {_window('errors:ratio', '30d')}")
EVENTS = _each(_window("events:increase", "30d"))
BAD = _each(_window("errors:increase", "30d"))
STILL_ALLOWED = f"clamp_min({EVENTS} * (1 - {OBJECTIVE}) - {BAD}, 0)"
_BALANCE = "app_slo:platform_slo_error_budget:remaining30d"
# What is overdrawn is used up: no one can read a budget of -9900 %.
REMAINING = f"clamp_min({_each(f'{_BALANCE}{{{_CHOSEN}}}')}, 0)"
# At a burn rate of 1 or less a budget is never used up: what is spent returns 30 days later.
USED_UP_IN = f"({REMAINING} > 0) * {BUDGET_DAYS * _DAY_SECONDS} / ({burn('6h')} > 1)"

OVERDRAWN = f"count({REMAINING} == 0) or 0 * count({REMAINING})"
LEAST_LEFT = f"min({REMAINING})"
FASTEST = f"max({burn('1h')})"
NEXT_USED_UP = f"min({USED_UP_IN})"
BURNING = 'count(ALERTS{alertname="PlatformErrorBudgetBurn", alertstate="firing", app=~"$app"}) or vector(0)'

EVENTS_NOW = _each(_window("events:increase", "5m"))
BAD_NOW = _each(_window("errors:increase", "5m"))

_ASKED = increase('platform_http_request_duration_seconds_count{app=~"$app"}', "app, route")
_QUICK = increase('platform_http_request_duration_seconds_bucket{app=~"$app", le="0.5"}', "app, route")
FAILING_ROUTES = 'topk(7, round(increase(app_route:platform_http_request_errors:sum{app=~"$app"}[$__range])) > 0)'
SLOW_ROUTES = f"topk(7, round({_ASKED} - {_QUICK}) > 0)"
FAILING_SCRAPERS = "topk(7, {} > 0)".format(
    counted('platform_scraping_run_failures_total{app=~"$app"}', "app, scraper, reason")
)

# There are many rows: at most the last day of the range. The bound of latency is that of the rules.
_SECONDS = "coalesce(first_byte_seconds, duration_seconds)"
_ROWS = """monitoring_views.http_request
WHERE $__timeFilter(at) AND at > $__timeTo()::timestamptz - interval '24 hours' AND app IN (${app:sqlstring})"""
BURNT_BY_RELEASE = f"""SELECT app, release, round(sum(weight)) AS requests,
    coalesce(sum(weight) FILTER (WHERE status >= 500), 0) / sum(weight) AS failed,
    coalesce(sum(weight) FILTER (WHERE seconds > 0.5), 0) / sum(weight) AS slow, min(at) AS first, max(at) AS last
FROM (SELECT at, app, release, status, coalesce(weight, 1) AS weight, {_SECONDS} AS seconds FROM {_ROWS}) AS served
GROUP BY app, release ORDER BY last DESC LIMIT 50"""
BURNT_BY_REQUESTS = f"""SELECT at, app, route, method, status, {_SECONDS} AS seconds, release,
    CASE WHEN status < 500 THEN 'latency' WHEN {_SECONDS} > 0.5 THEN 'both' ELSE 'availability' END AS burns
FROM {_ROWS} AND (status >= 500 OR {_SECONDS} > 0.5)
ORDER BY at DESC LIMIT 100"""
