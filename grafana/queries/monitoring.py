"""Queries on the monitoring itself: exporter, sources, SDK, Prometheus and Alertmanager."""

from grafana.queries.health import with_rank, with_subject
from grafana.queries.shared import counted, rate

_SOURCE = '{source=~"$source"}'
_EXPORTER = '{job="platform-exporter"}'

# At a glance.
EXPORTER_UP = f"max(up{_EXPORTER}) or vector(0)"
ALL_SOURCES_UP = f"min(source:platform_exporter_source_up:max{_SOURCE})"
_ALERTS = (
    'ALERTS{alertstate="firing", alertname=~"Platform(Exporter|Target|Thresholds|Config|Source|Rollup|Query|Rows|Series'
    '|Rule|Alertmanager|NoAlertmanager|Notifications|Sdk|Prometheus|CrashLoop|Clock|Watchdog.+).*"}'
)
ALERTS = f"max by (rank, alertname, subject) ({with_rank(with_subject(_ALERTS))})"

# Sources.
SOURCE_UP = f"source:platform_exporter_source_up:max{_SOURCE}"
SOURCE_LAG = f"source:platform_exporter_source_lag_seconds:max{_SOURCE}"
POLL_SECONDS = f"max by (source) (platform_exporter_source_poll_duration_seconds{_SOURCE})"
EVENTS = rate(f"platform_exporter_events_total{_SOURCE}", "source")
EVENTS_IN_RANGE = f"max by (source) (round(increase(source:platform_exporter_events:sum{_SOURCE}[$__range])))"
REJECTED_IN_RANGE = f"max by (source) (round(increase(source:platform_exporter_rows_rejected:sum{_SOURCE}[$__range])))"
FOLDED_IN_RANGE = f"max by (source) (round(increase(source:platform_exporter_series_folded:sum{_SOURCE}[$__range])))"
FOLDED = counted(f"platform_exporter_series_folded_total{_SOURCE}", "source, app, metric", "5m")
REJECTED = counted(f"platform_exporter_rows_rejected_total{_SOURCE}", "source, app, reason", "5m")
MISSED = counted(f"platform_exporter_rows_missed_total{_SOURCE}", "source", "5m")
RECONCILED = f"max by (source, metric) (platform_exporter_reconcile_difference{_SOURCE})"
RECONCILED_AGE = f"time() - max by (source) (platform_exporter_reconcile_success_timestamp_seconds{_SOURCE})"

# Queries of the configuration.
QUERY_UP = "query:platform_exporter_query_up:max"
QUERY_AGE = "max by (query) (platform_exporter_query_age_seconds)"

CLOCKS = "clock:platform_clock_difference_seconds:max"

# The exporter's replicas.
VERSIONS = "max by (instance, version, python_version) (platform_exporter_build_info)"
REPLICA_UP = f"max by (instance) (up{_EXPORTER})"
STARTED = f"1000 * max by (instance) (process_start_time_seconds{_EXPORTER})"
RELOADED = "1000 * max by (instance) (platform_exporter_config_last_reload_success_timestamp_seconds)"
RELOADS = "min by (instance) (platform_exporter_config_last_reload_successful)"
SCRAPE_SECONDS = f"max by (instance) (scrape_duration_seconds{_EXPORTER})"
SAMPLES = f"max by (instance) (scrape_samples_scraped{_EXPORTER})"
CPU = f"max by (instance) (rate(process_cpu_seconds_total{_EXPORTER}[$__rate_interval]))"
MEMORY = f"max by (instance) (process_resident_memory_bytes{_EXPORTER})"
OPEN_FILES = f"max by (instance) (process_open_fds{_EXPORTER} / process_max_fds{_EXPORTER})"
# Events that each replica reports less than another did a minute ago.
BEHIND = f"clamp_min(instance_source:platform_exporter_events_behind:difference1m{_SOURCE}, 0)"
SPOOLED_POSTS = "max by (instance) (platform_alert_spooled_posts)"

# The ledger of the SDK.
DROPPED_SHARE = (
    "sum(increase(app:platform_sdk_events_dropped:sum[$__range])) "
    "/ (sum(increase(app:platform_sdk_events:sum[$__range])) > 0)"
)
DROPPED_RATIO = "app:platform_sdk_events_dropped:ratio5m"
PROCESSES = {f"{{{{app}}}} {name}": f"app:platform_sdk_processes:{name}" for name in ("running", "usual", "lost")}
REPORT_AGE = "time() - max by (app) (platform_sdk_last_report_timestamp_seconds)"
PRODUCED = rate("platform_sdk_events_total", "app")
DROPPED = counted("platform_sdk_events_dropped_total", "app, reason", "5m")

# What a process produced is stored, spooled, dropped, or still in memory (lost, if it was killed).
_LEDGER = """(SELECT *,
        coalesce((SELECT sum(number::bigint) FROM jsonb_each_text(dropped) AS d(key, number)), 0)::bigint
        AS lost, (SELECT string_agg(key, ', ' ORDER BY key) FROM jsonb_each_text(dropped) AS d(key, number)
        WHERE number <> '0') AS why FROM monitoring_views.sdk_ledger) book"""
LEDGER = f"""SELECT app, replace(process, '/', ' / ') AS process, produced, stored, spooled, lost AS dropped, why,
    produced - stored - spooled - lost AS unsettled, updated_at
FROM {_LEDGER} ORDER BY lost DESC, spooled DESC, updated_at DESC LIMIT 200"""
LEDGER_OF_APPS = f"""SELECT app, count(*) FILTER (WHERE ended_at IS NULL) AS processes,
    sum(produced)::float8 AS produced, sum(stored)::float8 AS stored, sum(spooled)::float8 AS spooled,
    sum(lost)::float8 AS dropped, max(updated_at) AS updated_at
FROM {_LEDGER} GROUP BY app ORDER BY sum(lost) DESC, app LIMIT 100"""

# Prometheus and Alertmanager, by their own metrics.
ALL_UP = "min(up)"
WATCHDOG = 'max(ALERTS{alertname="PlatformWatchdog", alertstate="firing"}) or vector(0)'
# As PlatformNoAlertmanager counts: all there are, without those to which alerts could not be sent.
REACHED = (
    "min(prometheus_notifications_alertmanagers_discovered - on (job, instance) "
    "(count by (job, instance) (instance_alertmanager:prometheus_notifications_errors:increase2m > 0) "
    "or on (job, instance) prometheus_notifications_alertmanagers_discovered * 0))"
)
RULES_FAILED = "round(sum(increase(prometheus_rule_evaluation_failures_total[$__range])))"
NOTIFICATIONS_FAILED = "round(sum(increase(alertmanager_notifications_failed_total[$__range])))"

# What Prometheus scrapes, and the cost of it.
TARGETS = "max by (job, instance) (up)"
TARGET_SECONDS = "max by (job, instance) (scrape_duration_seconds)"
TARGET_SAMPLES = "max by (job, instance) (scrape_samples_post_metric_relabeling)"
SERIES_ADDED = "max by (job, instance) (sum_over_time(scrape_series_added[$__range]))"
AVAILABLE = "max by (job, instance) (avg_over_time(up[$__range]))"
JOB_SAMPLES = "sum by (job) (scrape_samples_post_metric_relabeling)"


def _groups(expression: str) -> str:
    return f'label_replace({expression}, "group", "$1", "rule_group", ".*;(.*)")'


GROUP_SECONDS = _groups("max by (rule_group) (prometheus_rule_group_last_duration_seconds)")
GROUP_SHARES = _groups(
    "max by (rule_group) (prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds)"
)
GROUP_FAILED = _groups("round(sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total[$__range])))")
GROUP_MISSED = _groups("round(sum by (rule_group) (increase(prometheus_rule_group_iterations_missed_total[$__range])))")
RULE_FAILURES = _groups("round(sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total[5m]))) > 0")

# What Prometheus and Alertmanager fail to do, by the words that its alerts have.
SERVER_PROBLEMS = [
    f"sum by (instance, problem) ({series}) > 0"
    for series in (
        "instance_problem:prometheus_storage_failures:increase15m",
        "instance_problem:prometheus_targets_refused:increase10m",
        "instance_problem:prometheus_samples_rejected:increase10m",
        "instance_problem:alertmanager_storage_failures:increase20m",
    )
]
REMOTE_PENDING = "sum by (instance, url) (prometheus_remote_storage_samples_pending)"
REMOTE_FAILED = "round(sum by (instance, url) (increase(prometheus_remote_storage_samples_failed_total[5m])))"
QUEUE_SHARE = "max by (instance) (prometheus_notifications_queue_length / prometheus_notifications_queue_capacity)"
WATCHDOG_AGE = "time() - max by (instance) (platform_exporter_watchdog_last_seen_timestamp_seconds)"
WATCHDOG_MESSAGES = "min by (instance, channel) (platform_exporter_watchdog_last_message_successful)"
NOT_STORED_SECONDS = "time() - global:platform_prometheus_stored_timestamp_seconds:last"
RESTARTS = "job_instance:process_restarts:changes15m"

# The servers.
HEAD_SERIES = "max by (instance) (prometheus_tsdb_head_series)"
BLOCK_BYTES = "max by (instance) (prometheus_tsdb_storage_blocks_bytes)"
SERVER_CPU = (
    'max by (job, instance) (rate(process_cpu_seconds_total{job=~"prometheus|alertmanager"}[$__rate_interval]))'
)
SERVER_MEMORY = 'max by (job, instance) (process_resident_memory_bytes{job=~"prometheus|alertmanager"})'

# From Prometheus to Alertmanager, and from there to people.
SENT = "60 * sum by (instance, alertmanager) (rate(prometheus_notifications_sent_total[$__rate_interval]))"
NOT_SENT = "instance_alertmanager:prometheus_notifications_errors:increase2m"
NOT_QUEUED = "round(sum by (instance) (increase(prometheus_notifications_dropped_total[5m])))"
NOTIFIED = "round(sum by (integration) (increase(alertmanager_notifications_total[5m])))"
NOTIFICATION_FAILURES = "round(sum by (integration) (increase(alertmanager_notifications_failed_total[5m])))"
HELD = "sum by (instance, state) (alertmanager_alerts)"
CLUSTER_MEMBERS = "max by (instance) (alertmanager_cluster_members)"
CONFIGURATIONS = 'count by (job) (count_values by (job) ("config_hash", alertmanager_config_hash))'
SERVER_RELOADS = [
    f"min by (job, instance) ({server}_config_last_reload_successful)" for server in ("prometheus", "alertmanager")
]
