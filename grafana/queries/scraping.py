"""Queries on scraping runs, live jobs and queues."""

from grafana.queries.shared import UNKNOWN, increase, quantile, rate

_OF = 'app=~"$app", scraper=~"$scraper"'
_CHOSEN = f"{{{_OF}}}"
_RUNS = f"app_scraper:platform_scraping_runs:sum{_CHOSEN}"
_FAILED = f"app_scraper:platform_scraping_run_failures:sum{_CHOSEN}"
_DURATION = f"platform_scraping_run_duration_seconds{_CHOSEN}"
_FAILURES_BY_REASON = f"platform_scraping_run_failures_total{_CHOSEN}"

# What indicators judge, per scraper.
FAILURES = f"app_scraper:platform_scraping_run_failures:ratio5m{_CHOSEN}"
APP_FAILURES = 'app_scraper:platform_scraping_run_failures:ratio5m{app=~"$app"}'
FORBIDDEN = f"app_scraper:platform_scraping_runs_forbidden:ratio5m{_CHOSEN}"
RATE_LIMITED = f"app_scraper:platform_scraping_runs_rate_limited:ratio5m{_CHOSEN}"
HEARTBEAT_AGE = f"app_scraper:platform_scraping_heartbeat_age:seconds{_CHOSEN}"
PROGRESS_AGE = f"app_scraper:platform_scraping_progress_age:seconds{_CHOSEN}"
PENDING_AGE = f"app_scraper:platform_scraping_pending_age:seconds{_CHOSEN}"
LAST_SUCCESS_AGE = f"app_scraper:platform_scraping_last_success_age:seconds{_CHOSEN}"
STATES = f"max by (app, scraper) (app_scraper:platform_health:state{_CHOSEN})"

# Runs and items in the chosen range, all scrapers together and each.
ENDED = f"sum(increase({_RUNS}[$__range]))"
SUCCESS = f"1 - sum(increase({_FAILED}[$__range])) / (sum(increase({_RUNS}[$__range])) > 0)"
PROCESSED = f"sum(increase(app_scraper:platform_scraping_items:sum{_CHOSEN}[$__range]))"
ENDED_EACH = f"increase({_RUNS}[$__range])"
SUCCESS_EACH = f"1 - increase({_FAILED}[$__range]) / (increase({_RUNS}[$__range]) > 0)"
PROCESSED_EACH = f"increase(app_scraper:platform_scraping_items:sum{_CHOSEN}[$__range])"
P95_EACH = quantile(0.95, _DURATION, "app, scraper", "$__range")

ITEMS = f"app_scraper:platform_scraping_items_per_minute:rate5m{_CHOSEN}"
ITEM_FAILURES = "60 * " + rate(f"platform_scraping_item_failures_total{_CHOSEN}", "app, scraper", "5m")

# Failed runs: now and in the range.
REASONS = increase(_FAILURES_BY_REASON, "reason", "5m")
REASON_SHARES = increase(_FAILURES_BY_REASON, "reason") + " > 0"

DURATIONS = increase(f"platform_scraping_run_duration_seconds_bucket{_CHOSEN}", "le", "5m")
P95 = quantile(0.95, _DURATION, "app, scraper", "30m")

# Items of the last hour, and of the same hour in earlier weeks.
VOLUME = f"app_scraper:platform_scraping_items:ratio1h{_CHOSEN}"
VOLUME_NOW = f"app_scraper:platform_scraping_items:increase1h{_CHOSEN}"
VOLUME_USUAL = f"app_scraper:platform_scraping_items:baseline1h{_CHOSEN}"

QUEUES = "queue:platform_queue_length:max"
QUEUE_AGE = "queue:platform_queue_age:seconds"

# Background tasks, of all scrapers or none: tasks have no scraper.
TASKS = "60 * " + rate('platform_background_tasks_total{app=~"$app"}', "task, outcome", "5m")
TASK_DURATION = quantile(0.95, 'platform_background_task_duration_seconds{app=~"$app"}', "task", "30m")
TASK_WAIT = quantile(0.95, 'platform_background_task_wait_seconds{app=~"$app"}', "queue", "30m")


def state(indicator: str) -> str:
    """Return the worst state of one indicator over the chosen scrapers."""
    return f'max(app_scraper:platform_health:state{{indicator="{indicator}", {_OF}}}) {UNKNOWN}'


def jobs(status: str) -> str:
    """Return how many jobs of each scraper have a status now."""
    return f'max by (app, scraper) (platform_scraping_jobs{{status="{status}", {_OF}}})'


def all_jobs(status: str) -> str:
    """Return how many jobs of all chosen scrapers together have a status now."""
    return f"sum({jobs(status)}) or vector(0)"


def percentile(share: float) -> str:
    """Return a quantile of the durations of all chosen scrapers together."""
    return quantile(share, _DURATION, "", "30m")


def weeks_ago(number: int) -> str:
    """Return the items of each scraper in the same hour so many weeks ago."""
    return f'max by (app, scraper) (app_scraper_week:platform_scraping_items:increase1h{{week="{number}", {_OF}}})'


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
FAILED = f"""SELECT at, scraper, coalesce(site, '') AS site, reason, duration_seconds, items_processed, items_failed,
    app, job_id
{_RUNS_SHOWN} AND outcome <> 'success'
ORDER BY at DESC LIMIT 50"""
SLOWEST = f"""SELECT duration_seconds, scraper, coalesce(site, '') AS site, outcome, items_processed, at, app, job_id
{_RUNS_SHOWN}
ORDER BY duration_seconds DESC LIMIT 20"""

# The job with the oldest heartbeat first. The remaining time assumes the rate so far.
LIVE = f"""SELECT scraper, coalesce(site, '') AS site, status, done, completed_items, total_items,
    extract(epoch FROM now() - heartbeat_at)::float8 AS silent,
    extract(epoch FROM now() - progressed_at)::float8 AS still,
    extract(epoch FROM now() - begun)::float8 AS age,
    CASE WHEN status = 'running' AND done > 0
        THEN (extract(epoch FROM now() - begun) * (1 - done) / done)::float8 END AS remaining, app, job_id
FROM (SELECT *, greatest(0, least(1, coalesce(progress / 100, completed_items::float8 / nullif(total_items, 0))))
    AS done, CASE WHEN status = 'running' THEN coalesce(started_at, created_at) ELSE created_at END AS begun
    FROM monitoring_views.scraping_job WHERE status IN ('pending', 'running') AND {_OF_SCRAPERS}) live
ORDER BY status DESC, heartbeat_at, created_at LIMIT 200"""
