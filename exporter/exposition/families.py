"""Every family of series: the reference that documents, rules and dashboards are checked against."""

from dataclasses import dataclass

from exporter.config.watches import MEASURES
from exporter.indicators.declaration import OVERRIDES
from exporter.probes import PROBES, REASONS, WEAKNESSES
from platform_sdk.events import EVENTS
from platform_sdk.events.base import Rollup, ZeroFill
from platform_sdk.events.sample import BUDGET, PREFIX, bounds_of


@dataclass(frozen=True, slots=True)
class Family:
    """A family of series: its full name (counters with `_total`), type, help and label names in order."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    zero_fill: ZeroFill | None = None

    @property
    def base_name(self) -> str:
        """Return the name without a counter's `_total`, as OpenMetrics declares it."""
        return self.name.removesuffix("_total") if self.type == "counter" else self.name


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, "gauge", text, labels)


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(name, "counter", text, labels)


def _of(rollup: Rollup) -> Family:
    labels = tuple(label.name for label in rollup.labels)
    return Family(rollup.metric, rollup.type, rollup.help, labels, rollup.bounds, rollup.zero_fill)


EVENT_FAMILIES = tuple(
    dict.fromkeys(_of(rollup) for kind in EVENTS for rollup in kind.rollups if rollup.metric != BUDGET)
)
"""Once each: the rows of two kinds may be about the same."""

STATE_FAMILIES = (
    _gauge("platform_scraping_jobs", "Scraping jobs by what they are doing now.", "app", "scraper", "status"),
    _gauge(
        "platform_scraping_oldest_pending_timestamp_seconds",
        "When the scraping job that waits longest was created.", "app", "scraper",
    ),
    _gauge(
        "platform_scraping_oldest_heartbeat_timestamp_seconds",
        "Last heartbeat of the running scraping job that has been silent for longest.", "app", "scraper",
    ),
    _gauge(
        "platform_scraping_oldest_progress_timestamp_seconds",
        "Last progress of the running scraping job that has made none for longest.", "app", "scraper",
    ),
    _gauge("platform_active_users", "Distinct users seen in the window.", "app", "window"),
    _gauge("platform_active_sessions", "Distinct sessions seen in the window.", "app", "window"),
    _gauge("platform_error_issues", "Error issues, groups of similar errors, by status.", "app", "severity", "status"),
    _gauge("platform_release_first_seen_timestamp_seconds", "When a release was first seen.", "app", "release"),
    _gauge(
        "platform_error_issue_changed_timestamp_seconds",
        "When one of an app's newest issues was created or occurred again; only within the last hour.",
        "app", "change", "severity", "error_type", "release", "fingerprint",
    ),
    _counter(
        "platform_error_issues_created_total",
        "Error issues that were new, by the severity they began with.", "app", "severity",
    ),
    _counter("platform_error_regressions_total", "Resolved error issues that occurred again.", "app"),
    _counter("platform_sdk_events_total", "Events that applications produced through the SDK.", "app"),
    _counter("platform_sdk_events_dropped_total", "Events that the SDK had to drop.", "app", "reason"),
    _gauge(
        "platform_sdk_clock_ahead_seconds",
        "How far the clock of an application's process is ahead of the event store's; of the one most wrong.", "app",
    ),
    _gauge(
        "platform_sdk_processes",
        "Processes of an application, by the SDK's reports: running; or lost, those that stopped to report within the "
        "hour and did not end in order.", "app", "state",
    ),
    _gauge(
        "platform_sdk_last_report_timestamp_seconds",
        "When a process of an application last reported through the SDK, which it does at least once a minute.", "app",
    ),
    _gauge("platform_open_alerts", "Unresolved alerts in an application's table.", "app", "severity", "alert_source"),
)  # fmt: skip

ALERT_FAMILIES = (
    _counter(
        "platform_alert_notifications_total",
        "Alerts that Alertmanager notified of, once for each firing and once for its end.",
        "alertname", "severity", "status",
    ),
    _counter("platform_alert_repeats_total", "Repeated notifications of one firing.", "alertname", "severity"),
    _counter(
        "platform_alert_firing_seconds_total",
        "Time that alerts fired, added when they resolve.", "alertname", "severity",
    ),
    Family(
        "platform_alert_time_to_resolve_seconds", "histogram", "Time from an alert's firing to its end.",
        ("alertname", "severity"), (60, 300, 900, 1800, 3600, 14_400, 43_200, 86_400, 604_800),
    ),
    _counter("platform_alert_flaps_total", "Alerts that fired again soon after their end.", "alertname", "severity"),
    _counter("platform_alert_noise_total", "Alerts that ended soon after they fired.", "alertname", "severity"),
    _gauge("platform_alert_spooled_posts", "Posts from Alertmanager that wait on disk for the event store."),
)  # fmt: skip

PROBE_FAMILIES = (
    _gauge("platform_component_up", "Whether a component can be used.", "component", "name"),
    Family(
        "platform_component_status", "stateset", "How a component is.",
        ("component", "name", "platform_component_status"),
    ),
    _gauge("platform_component_probe_duration_seconds", "Time the last probe took.", "component", "name"),
    _counter("platform_component_probe_failures_total", "Probes that failed.", "component", "name", "reason"),
    _gauge(
        "platform_component_problem",
        "Constant 1 while a component is down or degraded, by why: "
        f"{', '.join((*REASONS, *WEAKNESSES))}.", "component", "name", "reason",
    ),
    _gauge(
        "platform_component_certificate_expiry_timestamp_seconds",
        "When the TLS certificate that a component shows expires, checked once an hour.", "component", "name",
    ),
    *(
        _gauge(f"platform_{family.metric}", family.help, "name", *family.labels)
        for kind in PROBES
        for family in kind.families
    ),
)  # fmt: skip

_JOB = ("app", "scraper", "task")
JOB_FAMILIES = (
    _gauge(
        "platform_job_schedule_info",
        "Constant 1, labelled with the schedule of a job in the configuration.", *_JOB, "schedule", "time_zone",
    ),
    _gauge(
        "platform_job_expected_timestamp_seconds",
        "When a job was or is expected first since its newest success, and since it has its schedule; absent while its "
        "source cannot be read.", *_JOB,
    ),
    _gauge(
        "platform_job_deadline_timestamp_seconds", "Until when that run must succeed: its grace after it was expected.",
        *_JOB,
    ),
    _gauge("platform_job_utc_offset_seconds", "How far a job's time zone is ahead of UTC when it is expected.", *_JOB),
    _gauge("platform_job_least_items", "How many items a scraper's successful run has at least.", *_JOB),
    _gauge("platform_job_shortest_run_seconds", "How long a scraper's successful run takes at least.", *_JOB),
    _gauge("platform_job_longest_run_seconds", "How long a scraper's successful run takes at most.", *_JOB),
    _gauge("platform_job_last_success_timestamp_seconds", "When a job with a schedule last succeeded.", *_JOB),
)  # fmt: skip

TABLE_FAMILIES = {
    measure: _gauge(f"platform_table_{name}", text, "watch", *labels)
    for measure, (name, text, labels) in MEASURES.items()
}
"""What is known of watched tables, by the measure of their queries' rows."""

EXPORTER_FAMILIES = (
    Family("platform_threshold", "gauge", "Where an indicator's band of a severity begins.",
           ("indicator", "severity", *OVERRIDES.values())),
    _gauge(
        "platform_budget",
        "What calls to external APIs, providers of proxies among them, may cost in a month; without api, those of the "
        "app to all; without app, of all.",
        "app", "api",
    ),
    _gauge("platform_objective", "Share of good events promised over 30 days, as a ratio.", "slo", "app"),
    _gauge(
        "platform_dependency",
        "Constant 1 for every app, endpoint, source or query and each component that it needs: while that is down, "
        "their alerts are muted. Origin: declared in the configuration, or implied by its sources and queries.",
        "app", "endpoint", "source", "query", "component", "name", "origin",
    ),
    _gauge("platform_exporter_source_up", "Whether a source is counted without problems.", "source"),
    _gauge(
        "platform_exporter_source_app",
        "Constant 1 for every app whose jobs and other state a source reads; they are outdated while it is away.",
        "source", "app",
    ),
    _gauge(
        "platform_exporter_source_approximate",
        "1 where a source's tables may only be read, so that it is counted by time; 0 where it is counted exactly.",
        "source",
    ),
    _gauge("platform_exporter_source_lag_seconds", "Age of the newest count of a source.", "source"),
    _gauge("platform_exporter_source_poll_duration_seconds", "Time the last poll of a source took.", "source"),
    _gauge(
        "platform_exporter_source_clock_ahead_seconds",
        "How far the clock of a source's database is ahead of the exporter's; 0 within the time of a query.", "source",
    ),
    _gauge(
        "platform_exporter_query_up",
        "Whether a query of the configuration gave its values, all of them and recently.", "query",
    ),
    _gauge("platform_exporter_query_age_seconds", "Age of the values that a query gave last.", "query"),
    _gauge(
        "platform_exporter_query_duration_seconds",
        "Time the last run of a query took, also where it failed or timed out.", "query",
    ),
    _counter("platform_exporter_events_total", "Events counted.", "source"),
    _counter(
        "platform_exporter_series_folded_total", "Label sets folded away, once a poll.", "source", "metric", "app"
    ),
    _counter(
        "platform_exporter_series_ended_total",
        "Series that ended: forgotten by a person, or idle where room was needed.", "source", "metric", "reason",
    ),
    _counter("platform_exporter_rows_rejected_total", "Rows that could not be counted.", "source", "reason", "app"),
    _counter(
        "platform_exporter_counters_went_back_total",
        "Counters that the store had below what was shown, after it lost commits or was restored.", "source",
    ),
    _counter(
        "platform_exporter_rows_missed_total",
        "Rows of a source that may only be read that came later than they settle, found when time is counted again.",
        "source",
    ),
    _gauge(
        "platform_exporter_reconcile_difference",
        "By how much a counter is above its rows without a known cause, where `reconcile` is switched on.",
        "source", "metric",
    ),
    _gauge(
        "platform_exporter_reconcile_success_timestamp_seconds",
        "When a source's counters were last compared with its rows.", "source",
    ),
    _gauge("platform_exporter_time_seconds", "The exporter's clock, to be compared with Prometheus' own."),
    _gauge("platform_exporter_config_last_reload_successful", "Whether the last reload of the configuration worked."),
    _gauge("platform_exporter_config_last_reload_success_timestamp_seconds", "When a configuration was last loaded."),
    _gauge(
        "platform_exporter_certificate_expiry_timestamp_seconds",
        "When the certificate that the exporter itself serves expires.",
    ),
    _gauge(
        "platform_exporter_watchdog_last_seen_timestamp_seconds",
        "When Alertmanager last posted the watchdog to the dead man's switch.",
    ),
    _gauge(
        "platform_exporter_watchdog_missing",
        "Whether the watchdog, or Prometheus' scrapes, have stayed away for too long.",
    ),
    _gauge(
        "platform_exporter_watchdog_last_message_successful",
        "Whether the last message of the dead man's switch was sent.", "channel",
    ),
    _gauge("platform_exporter_build_info", "Constant 1, labelled with versions.", "version", "python_version"),
)  # fmt: skip

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        *EVENT_FAMILIES,
        *STATE_FAMILIES,
        *ALERT_FAMILIES,
        *PROBE_FAMILIES,
        *JOB_FAMILIES,
        *TABLE_FAMILIES.values(),
        *EXPORTER_FAMILIES,
    )
}


def sample_family(name: str, kind: str, labels: tuple[str, ...]) -> Family:
    """Return the family of a custom sample; `labels` are all names that occur."""
    text = f"Custom sample {name.removeprefix(PREFIX).removesuffix('_total')}."
    return Family(name, kind, text, labels, bounds_of(name) if kind == "histogram" else ())


def used_names(family: Family) -> set[str]:
    """Return every name that a family uses, in either format."""
    suffixes = {
        "counter": ("_total", "_created"),
        "histogram": ("_bucket", "_count", "_sum", "_created"),
        "summary": ("_count", "_sum", "_created"),
    }
    return {family.base_name, family.name, *(family.base_name + suffix for suffix in suffixes.get(family.type, ()))}


def series_names(family: Family) -> tuple[str, ...]:
    """Return the names that queries may use for a family."""
    if family.type in ("histogram", "summary"):
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("_sum", "_count")
        return tuple(f"{family.name}{suffix}" for suffix in suffixes)
    return (family.name,)
