"""Queries on scraping runs, live jobs and queues."""

from grafana.queries.shared import NONE_REPORTED, UNKNOWN, counted, increase, quantile, rate

_OF = 'app=~"$app", scraper=~"$scraper"'
_CHOSEN = f"{{{_OF}}}"
_RUNS = f"app_scraper:platform_scraping_runs:sum{_CHOSEN}"
_FAILED = f"app_scraper:platform_scraping_run_failures:sum{_CHOSEN}"
_DURATION = f"platform_scraping_run_duration_seconds{_CHOSEN}"
_FAILURES_BY_REASON = f"platform_scraping_run_failures_total{_CHOSEN}"

# What indicators judge, per scraper.
FAILURES = f"app_scraper:platform_scraping_run_failures:ratio5m{_CHOSEN}"
FORBIDDEN = f"app_scraper:platform_scraping_runs_forbidden:ratio5m{_CHOSEN}"
RATE_LIMITED = f"app_scraper:platform_scraping_runs_rate_limited:ratio5m{_CHOSEN}"
HEARTBEAT_AGE = f"app_scraper:platform_scraping_heartbeat_age:seconds{_CHOSEN}"
PROGRESS_AGE = f"app_scraper:platform_scraping_progress_age:seconds{_CHOSEN}"
PENDING_AGE = f"app_scraper:platform_scraping_pending_age:seconds{_CHOSEN}"
LAST_SUCCESS_AGE = f"app_scraper:platform_scraping_last_success_age:seconds{_CHOSEN}"
LAST_SUCCESS_RATIO = f"app_scraper:platform_scraping_last_success:ratio{_CHOSEN}"
STATES = f"max by (app, scraper) (app_scraper:platform_health:state{_CHOSEN})"

# Runs and items in the chosen range, all scrapers together and each.
ENDED = f"round(sum(increase({_RUNS}[$__range])))"
SUCCESS = f"1 - sum(increase({_FAILED}[$__range])) / (sum(increase({_RUNS}[$__range])) > 0)"
PROCESSED = f"round(sum(increase(app_scraper:platform_scraping_items:sum{_CHOSEN}[$__range])))"
ENDED_EACH = f"round(increase({_RUNS}[$__range]))"
SUCCESS_EACH = f"1 - increase({_FAILED}[$__range]) / (increase({_RUNS}[$__range]) > 0)"
PROCESSED_EACH = f"round(increase(app_scraper:platform_scraping_items:sum{_CHOSEN}[$__range]))"

ITEMS = f"app_scraper:platform_scraping_items_per_minute:rate5m{_CHOSEN}"
ITEM_FAILURES = "60 * " + rate(f"platform_scraping_item_failures_total{_CHOSEN}", "app, scraper", "5m")

# Failed runs: now and in the range.
REASONS = counted(_FAILURES_BY_REASON, "reason", "5m")
REASON_SHARES = counted(_FAILURES_BY_REASON, "reason") + " > 0"

# Requests of jobs, and what came of them.
_REQUESTS = f"platform_scraping_requests_total{_CHOSEN}"
CODES = "60 * " + rate(_REQUESTS, "code", "5m")
BLOCKS = "60 * " + rate(f"platform_scraping_blocked_total{_CHOSEN}", "block", "5m")
BLOCKED = f"app_scraper:platform_scraping_blocked:ratio5m{_CHOSEN}"
RETRIES = (
    f"{increase(f'platform_scraping_retries_total{_CHOSEN}', 'app, scraper', '5m')}"
    f" / ({increase(_REQUESTS, 'app, scraper', '5m')} > 0)"
)
BYTES = rate(f"platform_scraping_response_bytes_total{_CHOSEN}", "app, scraper", "5m")
DROPPED = "60 * " + rate(f"platform_scraping_items_dropped_total{_CHOSEN}", "app, scraper", "5m")

# By site, of all scrapers: these series have no scraper.
SITE_REQUESTS = counted('platform_scraping_site_requests_total{app=~"$app"}', "app, site")
_SITE_GOOD = increase('platform_scraping_site_requests_total{app=~"$app", outcome="success"}', "app, site")
_SITE_REFUSED = increase('platform_scraping_site_requests_total{app=~"$app", outcome="refused"}', "app, site")
_SITE_BLOCKED = increase('platform_scraping_site_requests_total{app=~"$app", outcome="blocked"}', "app, site")
_SITE_ALL = increase('platform_scraping_site_requests_total{app=~"$app"}', "app, site")
SITE_GOOD = f"{_SITE_GOOD} / ({_SITE_ALL} > 0)"
SITE_REFUSED = f"{_SITE_REFUSED} / ({_SITE_ALL} > 0)"
SITE_BLOCKED = f"{_SITE_BLOCKED} / ({_SITE_ALL} > 0)"
SITE_BYTES = increase('platform_scraping_site_bytes_total{app=~"$app"}', "app, site")
SITE_RUNS = counted('platform_scraping_site_runs_total{app=~"$app"}', "site")

# Through proxies, and what requests cost.
_THROUGH = 'platform_scraping_proxy_requests_total{app=~"$app"}'
_PROXIED = increase(_THROUGH, "app, proxy") + " > 0"
PROXY_REQUESTS = counted(_THROUGH, "app, proxy")


def through_proxies(outcome: str) -> str:
    """Return the share of the requests through each provider's proxies that had this outcome."""
    found = increase(_THROUGH.replace("}", f', outcome="{outcome}"}}'), "app, proxy")
    return f"{found} / ({_PROXIED})"


PROXY_BYTES = increase('platform_scraping_proxy_bytes_total{app=~"$app"}', "app, proxy")
PROXY_COST = increase('platform_scraping_proxy_cost_total{app=~"$app"}', "app, proxy")
PROXY_FAILING = 'app_proxy:platform_scraping_proxy_failures:ratio5m{app=~"$app"}'
PROXY_UNAUTHORIZED = 'app_proxy:platform_scraping_proxy_unauthorized:ratio5m{app=~"$app"}'
COST = f"{increase(f'platform_scraping_cost_total{_CHOSEN}', 'app, scraper')} > 0"


def _cost_of(metric: str, number: int = 1) -> str:
    """Return what so many of something cost, in the chosen range."""
    return f"{number} * ({COST}) / ({increase(f'{metric}{_CHOSEN}', 'app, scraper')} > 0)"


COST_REQUEST = _cost_of("platform_scraping_requests_total")
COST_PAGES = _cost_of("platform_scraping_pages_total", 1000)
COST_ITEM = _cost_of("platform_scraping_items_total")

# What sites ask for.
EARLY = 'app_site:platform_scraping_site_early_requests:ratio5m{app=~"$app"}'
DISALLOWED = 'app_site:platform_scraping_site_disallowed:ratio5m{app=~"$app"}'
SITE_RATE = "60 * " + rate('platform_scraping_site_requests_total{app=~"$app"}', "app, site", "5m")
SITE_EARLY = counted('platform_scraping_site_early_requests_total{app=~"$app"}', "app, site")
SITE_DISALLOWED = counted('platform_scraping_site_disallowed_total{app=~"$app"}', "app, site")

# Fields of items.
_FIELD = f"app_scraper_field:platform_scraping_field_%s{_CHOSEN}"
COVERAGE, COVERAGE_USUAL = _FIELD % "coverage:ratio10m", _FIELD % "coverage:usual"
FIELD_RATIO = f"app_scraper_field:platform_scraping_field:ratio{_CHOSEN}"
OTHER_TYPES = _FIELD % "other_types:ratio10m"
_VANISHED, _NEW = _FIELD % "items:vanished1d", _FIELD % "items:new26h"
DRIFT_BEFORE, DRIFT_NOW = f"{_VANISHED} or {_NEW} * 0", f"{_NEW} or {_VANISHED} * 0"
FIELD_VALUES = counted(f"platform_scraping_field_items_total{_CHOSEN}", "app, scraper, field")

# Watched tables, of all apps.
TABLE_AGE, TABLE_ROWS = "watch:platform_table_age:seconds", "watch:platform_table_rows:max"
TABLE_ROWS_USUAL, TABLE_ROWS_RATIO = "watch:platform_table_rows:usual", "watch:platform_table_rows:ratio"
TABLE_NULLS, TABLE_NULL_RISE = "watch_column:platform_table_null:ratio", "watch_column:platform_table_null_rise:ratio"
TABLE_DUPLICATES = "max by (watch) (platform_table_duplicate_ratio)"

DURATIONS = increase(f"platform_scraping_run_duration_seconds_bucket{_CHOSEN}", "le", "5m")
P95 = quantile(0.95, _DURATION, "app, scraper", "30m")

# Items of the last hour, and of the same hour in earlier weeks.
SLOWER = f"app_scraper:platform_scraping_run_duration_seconds:of_most_usual{_CHOSEN}"
VOLUME = f"app_scraper:platform_scraping_items:ratio1h{_CHOSEN}"
EMPTY_RUNS = f"app_scraper:platform_scraping_empty_runs_judged:count{_CHOSEN}"
VOLUME_NOW = f"app_scraper:platform_scraping_items:increase1h{_CHOSEN}"
VOLUME_USUAL = f"app_scraper:platform_scraping_items:baseline1h{_CHOSEN}"
WEEK_AGO = f'max by (app, scraper) (app_scraper_week:platform_scraping_items:increase1h{{week="1", {_OF}}})'

# Jobs with a schedule, of the configuration: scrapers and tasks.
JOB_DUE = 'max by (app, scraper, task) (platform_job_expected_timestamp_seconds{app=~"$app"}) - time()'
JOB_LATE = 'clamp_min(time() - max by (app, scraper, task) (platform_job_deadline_timestamp_seconds{app=~"$app"}), 0)'
JOB_AGE = 'time() - max by (app, scraper, task) (platform_job_last_success_timestamp_seconds{app=~"$app"})'

_LAST, _SAID = (
    f"app_scraper:platform_scraping_last_run_%s{_CHOSEN}",
    f"app_scraper:platform_scraping_%s:expected{_CHOSEN}",
)
LAST_ITEMS, LEAST_ITEMS = _LAST % "items:last", _SAID % "least_items"
LAST_DURATION, SHORTEST, LONGEST = _LAST % "duration:seconds", _SAID % "shortest_run", _SAID % "longest_run"
WITHIN = f"app_scraper:platform_scraping_expected_within:seconds{_CHOSEN}"

QUEUES = "queue:platform_queue_length:max"
QUEUE_AGE = "queue:platform_queue_age:seconds"

# Background tasks, of all scrapers or none: tasks have no scraper.
TASKS = "60 * " + rate('platform_background_tasks_total{app=~"$app"}', "task, outcome", "5m")
TASK_DURATION = quantile(0.95, 'platform_background_task_duration_seconds{app=~"$app"}', "task", "30m")
TASK_REPEATED = (
    "1 - " + increase('platform_background_task_attempts_bucket{app=~"$app", le=~"1(.0)?"}', "task", "30m")
    + " / (" + increase('platform_background_task_attempts_count{app=~"$app"}', "task", "30m") + " > 0)"
)  # fmt: skip
TASK_WAIT = quantile(0.95, 'platform_background_task_wait_seconds{app=~"$app"}', "queue", "30m")


def state(indicator: str) -> str:
    """Return the worst state of one indicator over the chosen scrapers."""
    return f'max(app_scraper:platform_health:state{{indicator="{indicator}", {_OF}}}) {UNKNOWN}'


def jobs(status: str) -> str:
    """Return how many jobs of each scraper have a status now."""
    return f'max by (app, scraper) (platform_scraping_jobs{{status="{status}", {_OF}}})'


def all_jobs(status: str) -> str:
    """Return how many jobs of all chosen scrapers together have a status now."""
    return f"sum({jobs(status)}) {NONE_REPORTED}"


def percentile(share: float) -> str:
    """Return a quantile of the durations of all chosen scrapers together."""
    return quantile(share, _DURATION, "", "30m")


# A scraper whose label was folded away cannot be chosen: then all are shown. Unlike `IN ()` an array may be empty: a
# platform without scrapers shows empty tables, not errors.
_SCRAPERS = "ARRAY[${scraper:sqlstring}]::text[]"
_OF_SCRAPERS = f"""app = ANY (ARRAY[${{app:sqlstring}}]::text[])
    AND (scraper = ANY ({_SCRAPERS}) OR '_other_' = ANY ({_SCRAPERS}))
    AND position(lower(trim(${{site:sqlstring}})) IN lower(coalesce(site, ''))) > 0"""
_RUNS_SHOWN = f"FROM monitoring_views.scraping_run WHERE $__timeFilter(at) AND {_OF_SCRAPERS}"

SITES = f"""SELECT scraper, coalesce(site, '') AS site, app, count(*) AS runs,
    avg((outcome = 'success')::int)::float8 AS success, mode() WITHIN GROUP (ORDER BY reason) AS reason,
    sum(items_processed)::float8 AS items,
    (sum(items_processed) * 60 / nullif(sum(duration_seconds), 0))::float8 AS pace,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95, max(at) AS last_run
{_RUNS_SHOWN}
GROUP BY 1, 2, 3 ORDER BY success, runs DESC LIMIT 100"""
# The sites that are scraped most, so that a chart stays readable.
SITE_SUCCESS = f"""WITH run AS (SELECT at, coalesce(site, 'no site') AS site, outcome {_RUNS_SHOWN}),
most AS (SELECT site FROM run GROUP BY site ORDER BY count(*) DESC LIMIT 10)
SELECT $__timeGroupAlias(at, $__interval), site AS metric, avg((outcome = 'success')::int)::float8 AS value
FROM run JOIN most USING (site) GROUP BY 1, 2 ORDER BY 1"""
FAILED = f"""SELECT at, scraper, coalesce(site, '') AS site, concat_ws(', ', reason, block) AS reason,
    duration_seconds, items_processed, items_failed,
    app, job_id
{_RUNS_SHOWN} AND outcome <> 'success'
ORDER BY at DESC LIMIT 50"""
SLOWEST = f"""SELECT duration_seconds, scraper, coalesce(site, '') AS site, outcome, at, app, job_id
{_RUNS_SHOWN}
ORDER BY duration_seconds DESC LIMIT 20"""

# The job with the oldest heartbeat first. The remaining time assumes the rate so far.
LIVE = f"""SELECT scraper, coalesce(site, '') AS site, status, done,
    extract(epoch FROM now() - heartbeat_at)::float8 AS silent,
    extract(epoch FROM now() - progressed_at)::float8 AS still,
    CASE WHEN status = 'running' AND done > 0
        THEN (extract(epoch FROM now() - begun) * (1 - done) / done)::float8 END AS remaining, app, job_id
FROM (SELECT *, greatest(0, least(1, coalesce(progress / 100, completed_items::float8 / nullif(total_items, 0))))
    AS done, CASE WHEN status = 'running' THEN coalesce(started_at, created_at) ELSE created_at END AS begun
    FROM monitoring_views.scraping_job WHERE status IN ('pending', 'running') AND {_OF_SCRAPERS}) live
ORDER BY status DESC, heartbeat_at, created_at LIMIT 200"""
