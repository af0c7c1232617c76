"""The dashboard of scraping.

From top to bottom: is anything wrong, which scraper, which job; scraping_details has sites, reasons, durations, volume
and queues.
"""

from grafana.boards import scraping_details
from grafana.boards.scraping_details import LEGEND, TO_SCRAPER
from grafana.design import colors, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import scraping

LIVE_SERIES = '{__name__=~"platform_scraping_runs_total|platform_scraping_jobs", app=~"$app"}'
APPS = '{__name__=~"platform_scraping_runs_total|platform_scraping_jobs|platform_background_tasks_total"}'
VARIABLES = (
    variables.labels("app", "App", APPS),
    variables.labels("scraper", "Scraper", LIVE_SERIES, listed=True),
    variables.text("site", "Site contains (tables of runs and jobs)"),
)


def _health() -> Line:
    tiles = [
        panels.health_tile(
            title, f"{text} The worst scraper counts.", scraping.state(indicator), ("Alerts", links.to("alerts"))
        )
        for indicator, title, text in (
            ("scraping_failure_ratio", "Runs", "Share of runs that failed, over 5 minutes."),
            ("scraping_forbidden_ratio", "Bans", "Share of runs that were forbidden or blocked, over 5 minutes."),
            ("scraping_rate_limited_ratio", "Rate limits", "Share of runs over a rate limit, over 5 minutes."),
            ("scraping_heartbeat_age_seconds", "Heartbeats", "The running job with the oldest heartbeat."),
            ("scraping_progress_age_seconds", "Progress", "The running job without progress for longest."),
            ("scraping_pending_age_seconds", "Waiting", "The job that has waited longest to start."),
            ("scraping_last_success_age_seconds", "Last success", "Time since the last success of a scraper."),
            ("scraping_volume_ratio", "Volume", "Items of the last hour compared with earlier weeks."),
        )
    ]
    return Line(3, tiles)


def _figures() -> Line:
    in_range = [
        panels.number_tile(title, text, {title: query}, unit).decimals(decimals)
        for title, text, unit, query, decimals in (
            ("Success", "Share of runs in the chosen range that succeeded.", "percentunit", scraping.SUCCESS, 1),
            ("Completed runs", "Runs that ended in the chosen range.", "short", scraping.ENDED, 0),
            ("Items", "Items processed in the chosen range.", "short", scraping.PROCESSED, 0),
        )
    ]
    now = [
        panels.trend_tile(title, text, {title: query}, unit)
        for title, text, unit, query in (
            ("Typical duration", "Median duration of runs over 30 minutes.", "s", scraping.percentile(0.5)),
            ("Running", "Jobs that run now.", "short", scraping.all_jobs("running")),
            ("Pending", "Jobs that wait to start.", "short", scraping.all_jobs("pending")),
        )
    ]
    return Line(3, [*in_range, *now])


def _scrapers() -> Line:
    scrapers = tables.measured(
        "Scrapers",
        "The worst indicator, runs and items in the range, items of the last hour against usual, and jobs now.",
        {
            "State": scraping.STATES,
            "Success": scraping.SUCCESS_EACH,
            "Runs": scraping.ENDED_EACH,
            "Items": scraping.PROCESSED_EACH,
            "Volume": scraping.VOLUME,
            "p95": scraping.P95_EACH,
            "Last success": scraping.LAST_SUCCESS_AGE,
            "Running": scraping.jobs("running"),
            "Pending": scraping.jobs("pending"),
        },
        [
            *("app", TO_SCRAPER, tables.states("State", colors.HEALTH), tables.gauge("Success", colors.GREEN)),
            *("p95", tables.column("Volume", None, 80, "percentunit"), tables.column("Last success", None, 110, "s")),
            *(tables.column(name, None, 80) for name in ("Runs", "Running", "Pending")),
        ],
    )
    states = panels.health_timeline(
        "State of scrapers",
        "The worst of each scraper's indicators. Grey is unknown: too few runs to judge, or no earlier weeks.",
        {LEGEND: scraping.STATES},
    )
    return Line(9, [tables.sorted_by(scrapers, "State"), states], (15, 9))


def _charts() -> Line:
    failures = panels.judged(
        "Failure ratio",
        "Share of runs that failed over 5 minutes.",
        {LEGEND: scraping.FAILURES},
        "scraping_failure_ratio",
    ).max(1)
    items = panels.lines("Items per minute", "Over 5 minutes.", {LEGEND: scraping.ITEMS}, "cpm")
    volume = panels.lines(
        "Volume share",
        "Items of the last hour as a share of the median of the same hour in earlier weeks; lower is worse.",
        {LEGEND: scraping.VOLUME},
        "percentunit",
        indicator="scraping_volume_ratio",
    )
    return Line(8, [failures, items, volume])


def _live() -> Section:
    jobs = tables.table(
        "Live jobs",
        "Running and waiting jobs, those with the oldest heartbeat first, of applications that use the SDK (the charts "
        "below include jobs of adopted tables). The remaining time assumes the rate so far.",
        scraping.LIVE,
        [
            *("scraper", "site", tables.words("status", colors.JOBS), tables.gauge("done")),
            *(tables.column("done", "Progress", 220), "completed_items", "total_items", "silent", "still", "age"),
            *("remaining", "app", "job_id"),
        ],
    ).no_value("No running or waiting jobs")
    ages = [
        panels.lines(title, text, {LEGEND: query}, "s", indicator=f"scraping_{indicator}_age_seconds")
        for title, text, query, indicator in (
            ("Oldest heartbeat", "Of each scraper's running jobs.", scraping.HEARTBEAT_AGE, "heartbeat"),
            ("Longest without progress", "Of each scraper's running jobs.", scraping.PROGRESS_AGE, "progress"),
            ("Longest wait", "Of each scraper's jobs that wait to start.", scraping.PENDING_AGE, "pending"),
            ("Time since last success", "Of each scraper.", scraping.LAST_SUCCESS_AGE, "last_success"),
        )
    ]
    return Section("Live jobs and their heartbeats", [Line(10, [jobs]), Line(8, ages)])


BOARD = Board(
    "scraping",
    "Platform scraping",
    "Do the scrapers succeed, are they alive, and do they deliver as much as usual?",
    [_health(), _figures(), _scrapers(), _charts(), _live(), *scraping_details.sections()],
    VARIABLES,
    buttons=["errors", "components", "alerts"],
)
