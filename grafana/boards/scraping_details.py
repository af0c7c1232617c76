"""Draw scraping in detail: sites, failures, durations, volume and queues."""

from grafana.design import colors, links, panels, tables, targets
from grafana.design.layout import Line, Section
from grafana.queries import scraping, shared

LEGEND = "{{app}} {{scraper}}"
# Rows are few: what changes within less would be single runs.
SHORTEST_INTERVAL = "5m"
TO_SCRAPER = links.to("scraping", app="${__data.fields.app}", scraper="${__data.fields.scraper}")
SDK = " Of applications that use the SDK."


def sites() -> Section:
    """Return how well each site can be scraped."""
    table = tables.table(
        "Success by scraper and site",
        "Runs in the chosen range, the worst sites first, with the most frequent reason of failures. Items per minute "
        "are those of the time that runs took." + SDK,
        [targets.sql(scraping.SITES)],
        [
            tables.link("scraper", "Only this scraper", TO_SCRAPER),
            tables.gauge("success", color=colors.GREEN),
            tables.column("success", title="Success", width=180),
            tables.column("reason", title="Most frequent failure"),
            tables.column("items", title="Items", width=90),
            tables.column("pace", unit="cpm", title="Items per minute", width=130),
            tables.column("p95", unit="s", title="p95", width=80),
            tables.column("last_run", unit="dateTimeFromNow", title="Last run", width=120),
        ],
        nothing="No run ended in the chosen range",
    )
    course = panels.lines(
        "Success by site",
        "Share of runs that succeeded, of the ten sites scraped most." + SDK,
        "percentunit",
        [targets.sql(scraping.SITE_SUCCESS, shape="time_series")],
    )
    return Section("Sites", [Line(9, [(table, 15), (course.max(1).interval(SHORTEST_INTERVAL).span_nulls(True), 9)])])


def failures() -> Section:
    """Return why runs fail."""
    reasons = panels.bars(
        "Failures by reason",
        "Failed runs in 5 minutes, by reason.",
        "short",
        [targets.series(scraping.REASONS, "{{reason}}")],
    )
    shares = panels.doughnut(
        "Shares of reasons",
        "Failed runs in the chosen range.",
        "short",
        targets.now(scraping.REASON_SHARES, "{{reason}}"),
    )
    items = panels.lines(
        "Items that fail",
        "Items per minute that could not be scraped, over 5 minutes.",
        "cpm",
        [targets.series(scraping.ITEM_FAILURES, LEGEND)],
    )
    bans = _judged(
        "Ban ratio",
        "Share of runs that were forbidden or blocked over 5 minutes.",
        scraping.FORBIDDEN,
        "scraping_forbidden_ratio",
    )
    limits = _judged(
        "Rate limit ratio",
        "Share of runs that exceeded a rate limit over 5 minutes.",
        scraping.RATE_LIMITED,
        "scraping_rate_limited_ratio",
    )
    return Section(
        "Failures",
        [
            Line(8, [(reasons, 10), (shares.decimals(0), 6), (items, 8)]),
            Line(8, [(bans, 12), (limits, 12)]),
            Line(9, [(_failed_runs(), 24)]),
        ],
        collapsed=True,
    )


def _judged(title: str, text: str, query: str, indicator: str) -> panels.timeseries.Panel:
    lines = targets.threshold_lines(shared.threshold(indicator))
    return panels.lines(
        title, f"{text} No line below the minimum of events.", "percentunit", [targets.series(query, LEGEND), lines]
    ).max(1)


def _failed_runs() -> tables.tables.Panel:
    return tables.table(
        "Newest failed runs",
        "Runs that failed in the chosen range, the newest first." + SDK,
        [targets.sql(scraping.FAILED)],
        [
            tables.column("at", unit="dateTimeAsIsoNoDateIfToday", title="Ended", width=160),
            tables.link("scraper", "Only this scraper", TO_SCRAPER),
            tables.column("duration_seconds", unit="s", title="Duration", width=100),
            tables.column("items_processed", title="Items", width=90),
            tables.column("items_failed", title="Items failed", width=100),
        ],
        nothing="No run failed",
    )


def durations() -> Section:
    """Return how long runs take."""
    heatmap = panels.heatmap(
        "Durations", "How many runs took how long, in 5 minutes.", "s", targets.buckets(scraping.DURATIONS)
    )
    percentiles = panels.lines(
        "Percentiles",
        "Durations of the runs of all chosen scrapers, over 30 minutes.",
        "s",
        [
            targets.series(scraping.percentile(share), name)
            for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ],
        named=colors.PERCENTILES,
    )
    each = panels.lines(
        "p95 by scraper",
        "95 % of each scraper's runs take less, over 30 minutes.",
        "s",
        [targets.series(scraping.P95, LEGEND)],
    )
    slowest = tables.table(
        "Slowest runs",
        "The runs in the chosen range that took longest." + SDK,
        [targets.sql(scraping.SLOWEST)],
        [
            tables.column("duration_seconds", unit="s", title="Duration", width=100),
            tables.link("scraper", "Only this scraper", TO_SCRAPER),
            tables.words("outcome", colors.JOBS),
            tables.column("items_processed", title="Items", width=90),
            tables.column("at", unit="dateTimeAsIsoNoDateIfToday", title="Ended", width=160),
        ],
        nothing="No run ended in the chosen range",
    )
    lines = [Line(8, [(heatmap, 12), (percentiles, 12)]), Line(8, [(each, 12), (slowest, 12)])]
    return Section("How long runs take", lines, collapsed=True)


def volume() -> Section:
    """Return what scrapers bring, beside what they brought at the same time in earlier weeks."""
    both = panels.lines(
        "Items of the last hour",
        "Beside what is usual (dashed): the median of the same hour in up to four earlier weeks.",
        "short",
        [
            targets.series(scraping.VOLUME_NOW, LEGEND),
            targets.series(scraping.VOLUME_USUAL, LEGEND + " usual"),
        ],
    ).with_override(*colors.dashed("usual"))
    weeks = tables.measured(
        "The same hour in earlier weeks",
        "Items of the hour that ends now, and of the same hour in earlier weeks. Usual is the median of up to four; no "
        "usual before two weeks are known.",
        {
            "Now": scraping.VOLUME_NOW,
            "Usual": scraping.VOLUME_USUAL,
            "Share": scraping.VOLUME,
            "A week ago": scraping.weeks_ago(1),
            "Two": scraping.weeks_ago(2),
            "Three": scraping.weeks_ago(3),
        },
        [tables.column("Share", unit="percentunit")],
        first=("app", "scraper"),
    ).decimals(0)
    return Section("Volume against earlier weeks", [Line(9, [(both, 13), (weeks, 11)])], collapsed=True)


def queues() -> Section:
    """Return what waits, in applications and in Redis."""
    jobs = panels.lines(
        "Pending jobs", "Jobs that wait to be started.", "short", [targets.series(scraping.jobs("pending"), LEGEND)]
    )
    lengths = panels.lines(
        "Queues", "Entries waiting in each watched queue of Redis.", "short",
        [targets.series(scraping.QUEUES, "{{name}} {{queue}}")],
    )  # fmt: skip
    oldest = panels.lines(
        "Oldest entry",
        "How long the oldest entry of each queue waits. Of Redis streams alone: lists and sorted sets do not tell.",
        "s",
        [
            targets.series(scraping.QUEUE_AGE, "{{name}} {{queue}}"),
            targets.threshold_lines(shared.threshold("queue_age_seconds", app=False)),
        ],
    )
    component = links.data_link("Redis", links.to("components", component="redis"))
    shown = [(panel.data_links([component]), 8) for panel in (lengths, oldest)]
    return Section("What waits", [Line(8, [(jobs, 8), *shown])], collapsed=True)
