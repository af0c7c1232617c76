"""Ask how well the monitoring itself works."""

from grafana.queries.shared import increase, rate

ANY_SOURCE_UP = "source:platform_exporter_source_up:max"
ANY_SOURCE_LAG = "source:platform_exporter_source_lag_seconds:max"
SOURCE_LAG = 'max by (source) (platform_exporter_source_lag_seconds{source=~"$source"})'
SOURCE_UP = 'max by (source) (platform_exporter_source_up{source=~"$source"})'
EVENTS = rate('platform_exporter_events_total{source=~"$source"}', "source")
FOLDED = increase('platform_exporter_series_folded_total{source=~"$source"}', "source, metric", "1h")
REJECTED = increase('platform_exporter_rows_rejected_total{source=~"$source"}', "source, reason", "1h")
SCRAPE_SECONDS = 'scrape_duration_seconds{job="platform-exporter"}'
TARGETS = "up"
RELOADS = "min by (instance) (platform_exporter_config_last_reload_successful)"
RULE_GROUPS = (
    "max by (rule_group) (prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds)"
)
RULE_FAILURES = "sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total[5m]))"
ALERTMANAGER_ERRORS = "instance_alertmanager:prometheus_notifications_errors:increase2m"
NOTIFICATION_FAILURES = "sum by (integration) (increase(alertmanager_notifications_failed_total[5m]))"
ALERTMANAGER_RELOADS = "min by (instance) (alertmanager_config_last_reload_successful)"
