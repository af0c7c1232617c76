"""Ask how Prometheus and Alertmanager are, by their own metrics."""

_GROUP = ', "group", "$1", "rule_group", ".*;(.*)")'

ALL_UP = "min(up)"
WATCHDOG = 'max(ALERTS{alertname="PlatformWatchdog", alertstate="firing"}) or vector(0)'
# As PlatformNoAlertmanager reckons: those there are, without those to which alerts could not be sent.
REACHED = (
    "min(prometheus_notifications_alertmanagers_discovered - on (job, instance) "
    "(count by (job, instance) (instance_alertmanager:prometheus_notifications_errors:increase2m > 0) "
    "or on (job, instance) prometheus_notifications_alertmanagers_discovered * 0))"
)
RULES_FAILED = "sum(increase(prometheus_rule_evaluation_failures_total[$__range]))"
NOTIFICATIONS_FAILED = "sum(increase(alertmanager_notifications_failed_total[$__range]))"

# What Prometheus scrapes, and what that costs.
TARGETS = "max by (job, instance) (up)"
SCRAPE_SECONDS = "max by (job, instance) (scrape_duration_seconds)"
SAMPLES = "max by (job, instance) (scrape_samples_post_metric_relabeling)"
SERIES_ADDED = "max by (job, instance) (sum_over_time(scrape_series_added[$__range]))"
AVAILABLE = "max by (job, instance) (avg_over_time(up[$__range]))"
SAMPLES_OF_JOBS = "sum by (job) (scrape_samples_post_metric_relabeling)"

# Rules.
GROUP_SECONDS = f"label_replace(max by (rule_group) (prometheus_rule_group_last_duration_seconds){_GROUP}"
GROUP_SHARES = (
    "label_replace(max by (rule_group) "
    f"(prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds){_GROUP}"
)
GROUP_RULES = f"label_replace(max by (rule_group) (prometheus_rule_group_rules){_GROUP}"
GROUP_FAILED = (
    f"label_replace(sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total[$__range])){_GROUP}"
)
GROUP_MISSED = (
    f"label_replace(sum by (rule_group) (increase(prometheus_rule_group_iterations_missed_total[$__range])){_GROUP}"
)
RULE_FAILURES = f"label_replace(sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total[5m])){_GROUP}"

# The servers.
HEAD_SERIES = "max by (instance) (prometheus_tsdb_head_series)"
BLOCK_BYTES = "max by (instance) (prometheus_tsdb_storage_blocks_bytes)"
CPU = 'max by (job, instance) (rate(process_cpu_seconds_total{job=~"prometheus|alertmanager"}[$__rate_interval]))'
MEMORY = 'max by (job, instance) (process_resident_memory_bytes{job=~"prometheus|alertmanager"})'

# From Prometheus to Alertmanager, and from there to people.
SENT = "60 * sum by (instance, alertmanager) (rate(prometheus_notifications_sent_total[$__rate_interval]))"
NOT_SENT = "instance_alertmanager:prometheus_notifications_errors:increase2m"
DROPPED = "sum by (instance) (increase(prometheus_notifications_dropped_total[5m]))"
NOTIFIED = "sum by (integration) (increase(alertmanager_notifications_total[5m]))"
NOTIFICATION_FAILURES = "sum by (integration) (increase(alertmanager_notifications_failed_total[5m]))"
HELD = "sum by (instance, state) (alertmanager_alerts)"
PROMETHEUS_RELOADS = "min by (job, instance) (prometheus_config_last_reload_successful)"
ALERTMANAGER_RELOADS = "min by (job, instance) (alertmanager_config_last_reload_successful)"
