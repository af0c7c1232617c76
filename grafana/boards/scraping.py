"""Draw scraping.

From top to bottom: is anything wrong, which scraper, which job, which site, and why. scraping_details.py has what is
folded.
"""

from grafana.boards import scraping_details
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import scraping, shared

LEGEND = "{{app}} {{scraper}}"
FEW = " No line below the minimum of events."
LIVE_SERIES = '{__name__=~"platform_scraping_runs_total|platform_scraping_jobs", app=~"$app"}'
VARIABLES = (
    variables.labels("app", "App", '{__name__=~"platform_scraping_runs_total|platform_scraping_jobs"}'),
    variables.labels("scraper", "Scraper", LIVE_SERIES, listed=True),
    variables.text("site", "Site contains (tables of runs and jobs)"),
)
# Indicator, title, and what is judged.
TILES = (
    ("scraping_failure_ratio", "Runs", "The share of runs that fail, over 5 minutes."),
    ("scraping_forbidden_ratio", "Bans", "The share of runs that are forbidden or blocked, over 5 minutes."),
    ("scraping_rate_limited_ratio", "Rate limits", "The share of runs that exceed a rate limit, over 5 minutes."),
    ("scraping_heartbeat_age_seconds", "Heartbeats", "The running job that is silent for longest."),
    ("scraping_progress_age_seconds", "Progress", "The running job that stands still for longest."),
    ("scraping_pending_age_seconds", "Waiting", "The job that waits for longest to be started."),
    ("scraping_last_success_age_seconds", "Last success", "How long no run of a scraper succeeded."),
    ("scraping_volume_ratio", "Volume", "Items of the last hour against the same hour in earlier weeks."),
)


def _health() -> Line:
    alerts = links.data_link("Alerts", links.to("alerts"))
    tiles = [
        panels.health_tile(title, f"{text} The worst scraper counts.", targets.now(scraping.state(name), title), alerts)
        for name, title, text in TILES
    ]
    return Line(3, [(tile, 24 // len(TILES)) for tile in tiles])


def _figures() -> Line:
    success = panels.number_tile(
        "Success", "Share of runs in the chosen range that succeeded.", "percentunit", targets.now(scraping.SUCCESS)
    ).decimals(1)
    ended = panels.number_tile(
        "Runs ended", "Runs that ended in the chosen range.", "short", targets.now(scraping.ENDED)
    ).decimals(0)
    items = panels.number_tile(
        "Items in range", "Items processed in the chosen range.", "short", targets.now(scraping.PROCESSED)
    ).decimals(0)
    duration = panels.number_tile(
        "Typical duration",
        "Median duration of runs, over 30 minutes.",
        "s",
        targets.series(scraping.percentile(0.5), ""),
    )
    running = panels.number_tile(
        "Running", "Jobs that run now.", "short", targets.series(scraping.all_jobs("running"), "")
    )
    pending = panels.number_tile(
        "Pending", "Jobs that wait to be started.", "short", targets.series(scraping.all_jobs("pending"), "")
    )
    return Line(3, [(tile, 4) for tile in (success, ended, items, duration, running, pending)])


def _scrapers() -> Line:
    asked = {
        "State": scraping.STATES,
        "Success": scraping.SUCCESS_EACH,
        "Runs": scraping.ENDED_EACH,
        "Items": scraping.PROCESSED_EACH,
        "Volume": scraping.VOLUME,
        "p95": scraping.P95_EACH,
        "Last success": scraping.LAST_SUCCESS_AGE,
        "Running": scraping.jobs("running"),
        "Pending": scraping.jobs("pending"),
    }
    scrapers = tables.measured(
        "Scrapers",
        "Each scraper in the chosen range: the worst of its indicators, its runs and items, the items of the last hour "
        "as a share of what is usual, and its jobs now. A row chooses its scraper.",
        asked,
        [
            tables.states("State", colors.HEALTH),
            tables.gauge("Success", color=colors.GREEN),
            tables.column("Runs", width=80),
            tables.column("Volume", unit="percentunit", width=80),
            tables.column("p95", unit="s", width=80),
            tables.column("Last success", unit="s", width=110),
            tables.column("Running", width=80),
            tables.column("Pending", width=80),
            tables.link(
                "scraper",
                "Only this scraper",
                links.to("scraping", app="${__data.fields.app}", scraper="${__data.fields.scraper}"),
            ),
        ],
        first=("app", "scraper"),
    )
    text = "The worst of each scraper's indicators. Grey is unknown: too few runs to judge, or no earlier weeks."
    states = panels.health_timeline("State of scrapers", text, [targets.series(scraping.STATES, LEGEND)])
    return Line(9, [(tables.sorted_by(scrapers, "State"), 15), (states, 9)])


def _charts() -> Line:
    failures = panels.lines(
        "Failure ratio",
        "Share of failed runs over 5 minutes." + FEW,
        "percentunit",
        [
            targets.series(scraping.FAILURES, LEGEND),
            targets.threshold_lines(shared.threshold("scraping_failure_ratio")),
        ],
    ).max(1)
    items = panels.lines(
        "Items per minute",
        "Items processed per minute, over 5 minutes.",
        "cpm",
        [targets.series(scraping.ITEMS, LEGEND)],
    )
    volume = panels.lines(
        "Volume share",
        "Items of the last hour as a share of the median of the same hour in earlier weeks; lower is worse.",
        "percentunit",
        [
            targets.series(scraping.VOLUME, LEGEND),
            targets.threshold_lines(shared.threshold("scraping_volume_ratio", lower_is_worse=True)),
        ],
    )
    return Line(8, [(failures, 8), (items, 8), (volume, 8)])


def _live() -> Section:
    jobs = tables.table(
        "Live jobs",
        "Jobs that run or wait now, silent ones first, of applications that use the SDK (jobs of adopted tables are in "
        "the charts below). Left is reckoned from the pace so far.",
        [targets.sql(scraping.LIVE)],
        [
            tables.words("status", colors.JOBS),
            tables.gauge("done"),
            tables.column("done", title="Progress", width=220),
            tables.column("completed_items", title="Items", width=90),
            tables.column("total_items", title="Of", width=90),
            tables.column("silent", unit="s", title="Last heartbeat", width=120),
            tables.column("still", unit="s", title="Last progress", width=120),
            tables.column("age", unit="s", title="For", width=100),
            tables.column("remaining", unit="s", title="Left", width=100),
        ],
        nothing="No job runs or waits",
    )
    return Section("Live jobs and their heartbeats", [Line(10, [(jobs, 24)]), _ages()])


def _ages() -> Line:
    asked = (
        ("Last heartbeat", "How long the running job that is silent for longest gave no sign of life.",
         scraping.HEARTBEAT_AGE, "scraping_heartbeat_age_seconds"),
        ("Standing still", "How long the running job that stands still for longest processed no item.",
         scraping.PROGRESS_AGE, "scraping_progress_age_seconds"),
        ("Longest wait", "How long the oldest waiting job waits.",
         scraping.PENDING_AGE, "scraping_pending_age_seconds"),
        ("Since the last success", "How long ago a run of each scraper last succeeded.",
         scraping.LAST_SUCCESS_AGE, "scraping_last_success_age_seconds"),
    )  # fmt: skip
    charts = [
        panels.lines(
            title,
            text,
            "s",
            [targets.series(query, LEGEND), targets.threshold_lines(shared.threshold(indicator))],
        )
        for title, text, query, indicator in asked
    ]
    return Line(8, [(chart, 6) for chart in charts])


BOARD = Board(
    "scraping",
    "Platform scraping",
    "Do the scrapers succeed, are they alive, and do they bring what they used to?",
    [
        _health(),
        _figures(),
        _scrapers(),
        _charts(),
        _live(),
        scraping_details.sites(),
        scraping_details.failures(),
        scraping_details.durations(),
        scraping_details.volume(),
        scraping_details.queues(),
    ],
    VARIABLES,
    buttons=[("errors", "Errors"), ("components", "Components"), ("alerts", "Alerts")],
)
