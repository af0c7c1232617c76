"""Draw the dashboard that people open first.

From top to bottom: is anything wrong, what, since when, and which errors are new. Every tile leads to the
dashboard of its subject.
"""

from collections.abc import Iterator

from exporter.config.thresholds import Thresholds, descriptions
from grafana.boards import alert_panels
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import apis, errors, health, http, monitoring, scraping, shared, slo

# What each indicator's tile is called, a line of tiles each; one that is not here stands last, by its name.
INDICATORS: tuple[dict[str, str], ...] = (
    {
        "http_error_ratio": "HTTP errors",
        "http_latency_seconds": "Response time",
        "error_burst_factor": "Error bursts",
        "login_failures": "Failed logins",
        "api_success_ratio": "API success",
        "api_forbidden_ratio": "API bans",
        "api_rate_limited_ratio": "API rate limits",
        "api_quota_seconds": "API quotas",
    },
    {
        "scraping_failure_ratio": "Scraping failures",
        "scraping_forbidden_ratio": "Scraper bans",
        "scraping_rate_limited_ratio": "Scraper limits",
        "scraping_volume_ratio": "Scraping volume",
        "scraping_heartbeat_age_seconds": "Silent jobs",
        "scraping_progress_age_seconds": "Stuck jobs",
        "scraping_pending_age_seconds": "Waiting jobs",
        "scraping_last_success_age_seconds": "Last success",
    },
    {
        "saturation_ratio": "Saturation",
        "saturation_seconds": "Time until full",
        "transaction_age_seconds": "Old transactions",
        "queue_age_seconds": "Old entries",
        "certificate_expiry_seconds": "Certificates",
        "sdk_dropped_ratio": "Dropped events",
        "source_lag_seconds": "Counting delay",
    },
)
# The dashboard of an indicator's subject, by the first word of its name.
SUBJECTS = {
    "http": "http", "api": "apis", "scraping": "scraping", "error": "errors", "login": "users",
    "saturation": "components", "certificate": "components", "transaction": "components",
    "queue": "components",
    "sdk": "monitoring", "source": "monitoring",
}  # fmt: skip


def _first_line() -> Line:
    overall = panels.health_tile(
        "Platform",
        "The worst of all components, and of all indicators about apps. Unknown where nothing has enough traffic to be "
        "judged.",
        targets.now(health.OVERALL, "Platform"),
        links.data_link("Alerts", links.to("alerts")),
    )
    components = panels.health_tile(
        "Components",
        "PostgreSQL, Redis and MinIO as probed; the worst counts.",
        targets.now(health.WORST_COMPONENT, "Components"),
        links.data_link("Components", links.to("components")),
    )
    return Line(4, [(overall, 6), (components, 6), (alert_panels.by_severity(), 12)])


def _indicators() -> Iterator[Line]:
    drawn = {name for line in INDICATORS for name in line}
    others = {name: name.rpartition("_")[0].replace("_", " ").capitalize() for name in Thresholds().indicators()}
    for line in (*INDICATORS[:-1], INDICATORS[-1] | {name: others[name] for name in sorted(others.keys() - drawn)}):
        width, wider = divmod(24, len(line))
        tiles = [_indicator(name, title) for name, title in line.items()]
        yield Line(3, [(tile, width + (number < wider)) for number, tile in enumerate(tiles)])


def _indicator(name: str, title: str) -> panels.stat.Panel:
    subject = SUBJECTS.get(name.partition("_")[0], "alerts")
    unknown = "where nothing is measured" if name in Thresholds.ABOUT_NO_APP else "below the minimum of events"
    described = f"{descriptions(Thresholds)[name]} The worst counts; unknown {unknown}."
    keep = ("app",) if subject in ("http", "apis", "scraping", "errors", "users") else ()
    link = links.data_link(f"{title} in detail", links.keeping(subject, *keep))
    return panels.health_tile(title, described, targets.now(health.indicator(name), title), link)


def _now_and_today() -> Line:
    text = "Down is critical, degraded is a warning, grey was not probed. A gap means that the exporter was not there."
    today = panels.health_timeline(
        "Components over 24 hours", text, [targets.series(health.COMPONENTS, "{{component}} {{name}}")]
    )
    today.data_links([links.data_link("Components", links.to("components"))])
    return Line(8, [(alert_panels.firing(), 14), (today.time_from("24h"), 10)])


def _issues_and_budget() -> Line:
    left = panels.ranking(
        "Error budget left",
        "Share left of each error budget of 30 days, the smallest first. Below 0 an objective is missed.",
        "percentunit",
        targets.now(slo.LEAST_LEFT_OF_APPS, "{{app}} {{slo}}"),
        (None, colors.RED),
        (0, colors.GREEN),
    )
    objectives = links.data_link("Objectives", links.to("slo", app="${__field.labels.app}"))
    return Line(8, [(_newest_issues(), 17), (left.max(1).data_links([objectives]), 7)])


def _newest_issues() -> tables.tables.Panel:
    return tables.table(
        "Newest error issues",
        "Groups of alike errors that are open, those that occurred last first. A row opens the issue.",
        [targets.sql(errors.NEWEST)],
        [
            tables.column("last_seen", unit="dateTimeFromNow", title="Last seen", width=130),
            tables.words("severity", colors.SEVERITIES),
            tables.words("status", colors.ISSUES),
            tables.link(
                "error_type",
                "Open the issue",
                links.to("error", app="${__data.fields.app}", fingerprint="${__data.fields.fingerprint}"),
            ),
            tables.hidden("fingerprint"),
        ],
        nothing="No issue is open",
    )


def _charts() -> Section:
    app = "{{app}}"
    few = " No line below the minimum of events."
    rate = panels.lines("Request rate", "Requests served per second.", "reqps", [targets.series(http.RATE, app)])
    error_ratio = panels.lines(
        "Error ratio",
        "Share of 5xx answers over 5 minutes." + few,
        "percentunit",
        [targets.series(http.ERROR_RATIO, app), targets.threshold_lines(shared.threshold("http_error_ratio"))],
    )
    mean = panels.lines(
        "Mean response time",
        "Mean over 5 minutes, which the alerts judge." + few,
        "s",
        [targets.series(http.MEAN, app), targets.threshold_lines(shared.threshold("http_latency_seconds"))],
    )
    success = panels.lines(
        "API success ratio",
        "Share of successful calls over 5 minutes; lower is worse." + few,
        "percentunit",
        [
            targets.series(apis.APP_SUCCESS, "{{app}} {{api}}"),
            targets.threshold_lines(shared.threshold("api_success_ratio", app=False)),
        ],
    ).max(1)
    failures = panels.lines(
        "Scraping failure ratio",
        "Share of failed runs over 5 minutes." + few,
        "percentunit",
        [
            targets.series(scraping.APP_FAILURES, "{{app}} {{scraper}}"),
            targets.threshold_lines(shared.threshold("scraping_failure_ratio")),
        ],
    ).max(1)
    recorded = panels.bars(
        "Errors recorded",
        "Errors recorded per minute, by severity.",
        "cpm",
        [targets.series(errors.RATE, "{{severity}}")],
        named=colors.SEVERITIES,
    )
    return Section(
        "Rate, errors, duration",
        [
            Line(8, [(rate, 8), (error_ratio, 8), (mean, 8)]),
            Line(8, [(success, 8), (failures, 8), (recorded, 8)]),
        ],
    )


def _monitoring() -> Section:
    sources = panels.up_tile(
        "Sources",
        "Whether the last poll of each source succeeded. Where one is down, figures made of its events stand still.",
        targets.now(monitoring.ANY_SOURCE_UP, "{{source}}"),
    ).data_links([links.data_link("Monitoring", links.to("monitoring"))])
    lag = panels.lines(
        "Source lag",
        "How long ago each source was last read completely.",
        "s",
        [
            targets.series(monitoring.ANY_SOURCE_LAG, "{{source}}"),
            targets.threshold_lines(shared.threshold("source_lag_seconds", app=False)),
        ],
    )
    return Section("Monitoring itself", [Line(6, [(sources, 8), (lag, 16)])])


BOARD = Board(
    "overview",
    "Platform overview",
    "Is the platform healthy, and if not, where?",
    [_first_line(), *_indicators(), _now_and_today(), _issues_and_budget(), _charts(), _monitoring()],
    (variables.labels("app", "App", shared.APPS),),
    buttons=[
        ("http", "HTTP"),
        ("apis", "APIs"),
        ("scraping", "Scraping"),
        ("errors", "Errors"),
        ("alerts", "Alerts"),
        ("slo", "Objectives"),
        ("runbook", "Runbook"),
    ],
)
