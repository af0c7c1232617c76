"""The dashboard of scraping.

From top to bottom: is anything wrong, which scraper, which job; scraping_details has sites, reasons, durations, volume
and queues.
"""

from exporter.indicators import INDICATORS
from grafana.boards import scraping_details
from grafana.boards.scraping_details import LEGEND, TO_SCRAPER
from grafana.design import colors, columns, links, panels, tables, variables
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
    indicators = {
        "Runs": "scraping_failure_ratio",
        "Bans": "scraping_forbidden_ratio",
        "Blocked": "scraping_blocked_ratio",
        "Rate limits": "scraping_rate_limited_ratio",
        "Heartbeats": "scraping_heartbeat_age_seconds",
        "Progress": "scraping_progress_age_seconds",
        "Waiting": "scraping_pending_age_seconds",
        "Last success": "scraping_last_success_ratio",
        "Volume": "scraping_volume_ratio",
    }
    meanings = " ".join(f"{title}: {INDICATORS[name].meaning}" for title, name in indicators.items())
    states = {title: scraping.state(name) for title, name in indicators.items()}
    tile = panels.health_tile("State", f"The worst scraper counts. {meanings}", states, ("Alerts", links.to("alerts")))
    return Line(4, [tile])


def _figures() -> Line:
    in_range = [
        panels.number_tile(title, text, {title: query}, unit).decimals(decimals)
        for title, text, unit, query, decimals in (
            ("Success", "Share of runs in the chosen range that succeeded.", "percentunit", scraping.SUCCESS, 1),
            ("Ended", "Runs that ended in the chosen range.", panels.COUNT, scraping.ENDED, 0),
            ("Items", "Items processed in the chosen range.", panels.COUNT, scraping.PROCESSED, 0),
        )
    ]
    now = [
        panels.number_tile(title, text, {title: query}, unit)
        for title, text, unit, query in (
            ("Median", "Median duration of runs over 30 minutes.", "s", scraping.percentile(0.5)),
            ("Running", "Jobs that run now.", panels.COUNT, scraping.all_jobs("running")),
            ("Pending", "Jobs that wait to start.", panels.COUNT, scraping.all_jobs("pending")),
        )
    ]
    return Line(3, [*in_range, *now])


def _scrapers() -> list[Line]:
    scrapers = tables.measured(
        "Scrapers",
        "The worst indicator, runs and items in the range, items of the last hour against usual, and jobs now.",
        {
            "State": scraping.STATES,
            "Success": scraping.SUCCESS_EACH,
            "Runs": scraping.ENDED_EACH,
            "Items": scraping.PROCESSED_EACH,
            "Volume": scraping.VOLUME,
            "Last success": scraping.LAST_SUCCESS_AGE,
            "Running": scraping.jobs("running"),
        },
        [
            *(
                "app",
                TO_SCRAPER,
                tables.states("State", colors.HEALTH),
                tables.gauge("Success", *scraping_details.GOOD),
            ),
            *(tables.column("State", width=90), tables.column("Success", width=110)),
            *(tables.column("Volume", None, 80, "percentunit"), tables.column("Last success", None, 110, "s")),
            *(tables.column(name, None, 80) for name in ("Runs", "Items", "Running")),
        ],
    )
    states = panels.health_timeline(
        "State of scrapers",
        "The worst of each scraper's indicators. Grey is unknown: too few runs to judge, or no earlier weeks.",
        {LEGEND: scraping.STATES},
    )
    return [Line(8, [tables.sorted_by(scrapers, "State")]), Line(6, [states])]


def _charts() -> Line:
    failures = panels.judged(
        "Failure ratio",
        "Share of runs that failed over 5 minutes.",
        {LEGEND: scraping.FAILURES},
        "scraping_failure_ratio",
    ).max(1)
    items = panels.lines("Items per minute", "Over 5 minutes.", {LEGEND: scraping.ITEMS}, columns.PER_MINUTE)
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
            *(tables.column("done", "Progress", 130), "silent", "still"),
            *("remaining", "app", "job_id"),
        ],
    ).min_width(80)
    ages = [
        panels.lines(title, text, {LEGEND: query}, "s", indicator=f"scraping_{indicator}_age_seconds")
        for title, text, query, indicator in (
            ("Oldest heartbeat", "Of each scraper's running jobs.", scraping.HEARTBEAT_AGE, "heartbeat"),
            ("Longest without progress", "Of each scraper's running jobs.", scraping.PROGRESS_AGE, "progress"),
            ("Longest wait", "Of each scraper's jobs that wait to start.", scraping.PENDING_AGE, "pending"),
        )
    ]
    success = panels.lines("Time since last success", "Of each scraper.", {LEGEND: scraping.LAST_SUCCESS_AGE}, "s")
    against = panels.lines(
        "Last success against usual",
        "Time since the last success, in multiples of the longest time between two successes in a usual week.",
        {LEGEND: scraping.LAST_SUCCESS_RATIO},
        indicator="scraping_last_success_ratio",
    )
    return Section("Live jobs and their heartbeats", [Line(10, [jobs]), Line(8, ages), Line(8, [success, against])])


BOARD = Board(
    "scraping",
    "Do the scrapers succeed, are they alive, and do they deliver as much as usual?",
    [_health(), _figures(), *_scrapers(), _charts(), _live(), *scraping_details.sections()],
    VARIABLES,
    may_be_empty={
        "Vanished and new fields": "Where sites stay as they are, no field vanishes and none is new.",
        "Durations against usual": "Nothing is usual before a day has passed.",
    },
)
