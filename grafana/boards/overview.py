"""The dashboard that people open first.

From top to bottom: is anything wrong, what, since when, and which errors are new. Every tile opens the dashboard of its
subject.
"""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import stat

from exporter.config.thresholds import Thresholds, descriptions
from grafana.boards import alerts
from grafana.design import colors, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import apis, errors, health, http, monitoring, scraping, shared, slo

# The title of each indicator's tile, a line of tiles each; one that is not here comes last, titled by its name.
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
        "source_lag_seconds": "Source lag",
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
        "The worst of all components and indicators. Unknown where nothing has enough traffic to judge.",
        health.OVERALL,
        ("Alerts", links.to("alerts")),
    )
    components = panels.health_tile(
        "Components", "The worst probed component.", health.WORST_COMPONENT, ("Components", links.to("components"))
    )
    return Line(4, [overall, components, alerts.by_severity()], (6, 6, 12))


def _indicators() -> Iterator[Line]:
    drawn = {name for line in INDICATORS for name in line}
    others = {name: name.rpartition("_")[0].replace("_", " ").capitalize() for name in Thresholds().indicators()}
    for line in (*INDICATORS[:-1], INDICATORS[-1] | {name: others[name] for name in sorted(others.keys() - drawn)}):
        yield Line(3, [_indicator(name, title) for name, title in line.items()])


def _indicator(name: str, title: str) -> stat.Panel:
    subject = SUBJECTS.get(name.partition("_")[0], "alerts")
    unknown = "where nothing is measured" if name in Thresholds.ABOUT_NO_APP else "below the minimum of events"
    described = f"{descriptions(Thresholds)[name]} The worst counts; unknown {unknown}."
    keep = ("app",) if subject in ("http", "apis", "scraping", "errors", "users") else ()
    return panels.health_tile(
        title, described, health.indicator(name), (f"{title} in detail", links.keeping(subject, *keep))
    )


def _now() -> list[Line]:
    today = panels.health_timeline(
        "Components over 24 hours",
        "Down is critical, degraded is a warning, grey was not probed. A gap means that the exporter did not run.",
        {"{{component}} {{name}}": health.COMPONENTS},
        link=("Components", links.to("components")),
    )
    issues = tables.table(
        "Newest error issues",
        "Groups of similar errors that are open; those that occurred last first. A type opens the issue.",
        errors.NEWEST,
        [
            *("last_seen", "app", "severity", tables.issue_state("status"), tables.to_issue("error_type")),
            *("message", "events", "regressions", tables.hidden("fingerprint")),
        ],
    ).no_value("No issue is open")
    left = panels.ranking(
        "Remaining error budget",
        "Remaining share of each error budget of 30 days, the smallest first. Below 0 an objective is missed.",
        {"{{app}} {{slo}}": slo.LEAST_LEFT_OF_APPS},
        "percentunit",
        bounds=((None, colors.RED), (0, colors.GREEN)),
        link=("Objectives", links.to("slo", app="${__field.labels.app}")),
    ).max(1)
    return [Line(8, [alerts.firing(), today.time_from("24h")], (14, 10)), Line(8, [issues, left], (17, 7))]


def _charts() -> Section:
    app = "{{app}}"
    error_ratio = panels.judged("Error ratio", "5xx over 5 minutes.", {app: http.ERROR_RATIO}, "http_error_ratio")
    mean = panels.judged("Mean response time", "Over 5 minutes.", {app: http.MEAN}, "http_latency_seconds", "s")
    rate = panels.lines("Request rate", "Requests served per second.", {app: http.RATE}, "reqps")
    success = panels.lines(
        "API success ratio",
        "Share of calls over 5 minutes that succeeded; lower is worse." + shared.FEW,
        {"{{app}} {{api}}": apis.APP_SUCCESS},
        "percentunit",
        thresholds=shared.threshold("api_success_ratio", app=False),
    ).max(1)
    failures = panels.judged(
        "Scraping failure ratio",
        "Share of runs over 5 minutes that failed.",
        {"{{app}} {{scraper}}": scraping.APP_FAILURES},
        "scraping_failure_ratio",
    ).max(1)
    recorded = panels.bars(
        "Errors recorded", "Errors per minute.", {"{{severity}}": errors.RATE}, "cpm", named=colors.SEVERITIES
    )
    return Section(
        "Rate, errors, duration", [Line(8, [rate, error_ratio, mean]), Line(8, [success, failures, recorded])]
    )


def _monitoring() -> Section:
    sources = panels.health_tile(
        "Sources",
        "Whether the last poll of each source succeeded. While one is down, figures from its events stand still.",
        monitoring.ANY_SOURCE_UP,
        ("Monitoring", links.to("monitoring")),
        legend="{{source}}",
        mappings=colors.UP_DOWN,
    )
    lag = panels.lines(
        "Source lag over time",
        "Time since last read.",
        {"{{source}}": monitoring.ANY_SOURCE_LAG},
        "s",
        indicator="source_lag_seconds",
    )
    return Section("Monitoring", [Line(6, [sources, lag], (8, 16))])


BOARD = Board(
    "overview",
    "Platform overview",
    "Is the platform healthy, and if not, where?",
    [_first_line(), *_indicators(), *_now(), _charts(), _monitoring()],
    (variables.labels("app", "App", shared.APPS),),
    buttons=["http", "apis", "scraping", "errors", "alerts", "slo", "runbook"],
)
