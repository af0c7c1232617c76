"""Details on the dashboard of scraping: sites, failures, durations, volume and queues."""

from grafana.design import colors, columns, links, panels, tables
from grafana.design.layout import Line, Section
from grafana.queries import scraping

LEGEND, QUEUE = "{{app}} {{scraper}}", "{{name}} {{queue}} {{group}}"
# Rows are few: shorter intervals would show single runs.
SHORTEST_INTERVAL = "5m"
TO_SCRAPER = tables.link(
    "scraper", "Only this scraper", links.to("scraping", app="${__data.fields.app}", scraper="${__data.fields.scraper}")
)
SDK = " Of applications that use the SDK."
ENDED = tables.column("at", "Ended", unit=columns.CLOCK)


def sections() -> list[Section]:
    """Return the sections below the live jobs."""
    return [_sites(), _failures(), _durations(), _volume(), _queues(), _tasks()]


def _sites() -> Section:
    table = tables.table(
        "Success by scraper and site",
        "The worst sites first, with the most frequent reason of failures. Items per minute of run time." + SDK,
        scraping.SITES,
        [
            *(TO_SCRAPER, "site", "app", "runs", tables.gauge("success", colors.GREEN)),
            *(tables.column("success", width=180), tables.column("reason", "Most frequent failure"), "items", "pace"),
            *("p95", "last_run"),
        ],
    ).no_value("No run ended in the chosen range")
    course = panels.lines(
        "Success by site", "Of the ten sites with most runs." + SDK, scraping.SITE_SUCCESS, "percentunit"
    ).max(1)
    return Section("Sites", [Line(9, [table, course.interval(SHORTEST_INTERVAL).span_nulls(True)], (15, 9))])


def _failures() -> Section:
    reasons = panels.bars("Failures by reason", "Failed runs in 5 minutes.", {"{{reason}}": scraping.REASONS})
    shares = panels.doughnut(
        "Shares of reasons", "Failed runs in the chosen range.", {"{{reason}}": scraping.REASON_SHARES}
    ).decimals(0)
    items = panels.lines("Failed items", "Items per minute, over 5 minutes.", {LEGEND: scraping.ITEM_FAILURES}, "cpm")
    bans = panels.judged(
        "Ban ratio",
        "Forbidden or blocked runs, over 5 minutes.",
        {LEGEND: scraping.FORBIDDEN},
        "scraping_forbidden_ratio",
    ).max(1)
    limits = panels.judged(
        "Rate limit ratio",
        "Runs over a rate limit, over 5 minutes.",
        {LEGEND: scraping.RATE_LIMITED},
        "scraping_rate_limited_ratio",
    ).max(1)
    failed = tables.table(
        "Newest failed runs",
        "Runs that failed in the chosen range, the newest first." + SDK,
        scraping.FAILED,
        [
            *(ENDED, TO_SCRAPER, "site", "reason", "duration_seconds", "items_processed", "items_failed", "app"),
            "job_id",
        ],
    ).no_value("No run failed")
    lines = [Line(8, [reasons, shares, items], (10, 6, 8)), Line(8, [bans, limits]), Line(9, [failed])]
    return Section("Failures", lines, collapsed=True)


def _durations() -> Section:
    heatmap = panels.heatmap(
        "Distribution of durations", "How many runs took how long, in 5 minutes.", "s", scraping.DURATIONS
    )
    percentiles = panels.lines(
        "Percentiles",
        "Durations of the runs of all chosen scrapers, over 30 minutes.",
        {f"p{100 * share:.0f}": scraping.percentile(share) for share in (0.5, 0.95, 0.99)},
        "s",
        named=colors.PERCENTILES,
    )
    each = panels.lines(
        "p95 by scraper", "95 % of runs take at most this time, over 30 minutes.", {LEGEND: scraping.P95}, "s"
    )
    slowest = tables.table(
        "Slowest runs",
        "The runs in the chosen range that took longest." + SDK,
        scraping.SLOWEST,
        [
            *("duration_seconds", TO_SCRAPER, "site", tables.words("outcome", colors.JOBS)),
            *("items_processed", ENDED, "app", "job_id"),
        ],
    ).no_value("No run ended in the chosen range")
    return Section("Duration of runs", [Line(8, [heatmap, percentiles]), Line(8, [each, slowest])], collapsed=True)


def _volume() -> Section:
    both = panels.lines(
        "Items of the last hour",
        "Compared with the usual number (dashed): the median of the same hour in up to four earlier weeks.",
        {LEGEND: scraping.VOLUME_NOW, LEGEND + " usual": scraping.VOLUME_USUAL},
        dashed="usual",
    )
    weeks = tables.measured(
        "The same hour in earlier weeks",
        "Usual is the median of up to four earlier weeks; empty before two weeks are known.",
        {
            "Now": scraping.VOLUME_NOW,
            "Usual": scraping.VOLUME_USUAL,
            "Share": scraping.VOLUME,
            "A week ago": scraping.weeks_ago(1),
            "Two weeks ago": scraping.weeks_ago(2),
            "Three weeks ago": scraping.weeks_ago(3),
        },
        ["app", "scraper", tables.column("Share", unit="percentunit")],
    ).decimals(0)
    return Section("Volume compared with earlier weeks", [Line(9, [both, weeks], (13, 11))], collapsed=True)


def _queues() -> Section:
    jobs = panels.lines("Pending jobs", "Jobs that wait to start.", {LEGEND: scraping.jobs("pending")})
    lengths = panels.lines("Queues", "Waiting entries of each watched queue of Redis.", {QUEUE: scraping.QUEUES})
    oldest = panels.lines(
        "Oldest entry",
        "How long the oldest entry of each queue waits. Redis streams only: lists and sorted sets do not report it.",
        {QUEUE: scraping.QUEUE_AGE},
        "s",
        indicator="queue_age_seconds",
    )
    redis = [links.data_link("Redis", links.to("components", component="redis"))]
    shown = [jobs, lengths.data_links(redis), oldest.data_links(redis)]
    return Section("Waiting jobs and queues", [Line(8, shown)], collapsed=True)


def _tasks() -> Section:
    finished = panels.lines(
        "Background tasks",
        "Attempts per minute at tasks of Celery, RQ and other queues, by outcome, over 5 minutes.",
        {"{{task}} {{outcome}}": scraping.TASKS},
        "cpm",
    )
    durations = panels.lines(
        "Duration of tasks", "95 % of attempts take at most this time, over 30 minutes.",
        {"{{task}}": scraping.TASK_DURATION}, "s",
    )  # fmt: skip
    waits = panels.lines(
        "Wait in the queue", "95 % of attempts wait at most this time for their start, over 30 minutes.",
        {"{{queue}}": scraping.TASK_WAIT}, "s",
    )  # fmt: skip
    return Section("Tasks of queues", [Line(8, [finished, durations, waits])], collapsed=True)
