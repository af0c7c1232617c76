"""Queries on alerts: what fires, what fired, and which alerts are noisy.

Prometheus knows what fires, Alertmanager what is muted, and the event store what Alertmanager reported: the history.
"""

from grafana.queries.health import SUBJECT, with_rank, with_subject
from grafana.queries.shared import counted, greatest, increase, quantile, replica_safe
from platform_sdk.events.error import SEVERITIES

_WORST_FIRST = ", ".join(f"'{severity}'" for severity in SEVERITIES[::-1])

# The box for names matches a part of one, regardless of case; an empty one matches all.
_NAMED = 'severity=~"$severity", alertname=~"(?i).*$alertname.*"'

_FIRING = f'ALERTS{{alertstate="firing", {_NAMED}}}'
# ALERTS_FOR_STATE is when it began, in Unix seconds; Grafana takes milliseconds.
_SINCE = f"1000 * (ALERTS_FOR_STATE{{{_NAMED}}} and ignoring (alertstate) {_FIRING})"
SINCE = f"max by (rank, severity, alertname, subject) ({with_rank(with_subject(_SINCE))})"
BY_SEVERITY = f"count by (severity) ({_FIRING})"
PENDING = f'count(ALERTS{{alertstate="pending", {_NAMED}}}) or vector(0)'
RANKS = {severity: rank for rank, severity in enumerate(SEVERITIES, 1)}
_COURSE = "max by (alertname) ({})".format(
    " or ".join(
        f'{rank} * ALERTS{{alertstate="firing", severity="{severity}", {_NAMED}}}' for severity, rank in RANKS.items()
    )
)
MOST = 14
COURSE = f"{_COURSE} and on (alertname) {greatest(f'sum by (alertname) (count_over_time({_FIRING}[$__range]))', MOST)}"

# Members of a cluster have the same alerts: the greatest counts.
MUTED = 'max(alertmanager_alerts{state="suppressed"})'
AT_ALERTMANAGER = "max by (state) (alertmanager_alerts)"
SILENCES_BY_STATE = "max by (state) (alertmanager_silences)"

_SENT = "sum by (integration) (increase(alertmanager_notifications_total[5m]))"
# Of those that were used: Alertmanager reports all that it knows.
_USED = f"and on (integration) {_SENT.replace('5m', '$__range')} > 0"
SENT = f"{_SENT} / 5 {_USED}"
UNDELIVERED = f"sum by (integration) (increase(alertmanager_notifications_failed_total[5m])) / 5 {_USED}"
UNDELIVERED_IN_RANGE = "round(sum(increase(alertmanager_notifications_failed_total[$__range])))"
NOT_SENT = "sum by (alertmanager) (instance_alertmanager:prometheus_notifications_errors:increase2m) / 2"
SPOOLED = "max(platform_alert_spooled_posts)"
RECEIVED = "60 * sum by (status) ({})".format(
    replica_safe(f"rate(platform_alert_notifications_total{{{_NAMED}}}[$__rate_interval])")
)
REPEATS = "60 * sum({})".format(replica_safe(f"rate(platform_alert_repeats_total{{{_NAMED}}}[$__rate_interval])"))
OPEN_IN_APPS = 'max by (app, severity, alert_source) (platform_open_alerts{severity=~"$severity"}) > 0'


# These start at 0 when an alert first fires: their growth misses nothing.
FLAPPING = f"topk(6, {counted(f'platform_alert_flaps_total{{{_NAMED}}}', 'alertname')} > 0)"
SHORT = f"topk(6, {counted(f'platform_alert_noise_total{{{_NAMED}}}', 'alertname')} > 0)"
FIRING_TIME = f"topk(6, {increase(f'platform_alert_firing_seconds_total{{{_NAMED}}}', 'alertname')} > 0)"
FLAPS = f"{counted(f'platform_alert_flaps_total{{{_NAMED}}}', 'alertname', '1h')} > 0"


def time_to_resolve(share: float) -> str:
    """Return the quantile of the time from firing to end, of what ended within the hour before, by severity."""
    return quantile(share, f"platform_alert_time_to_resolve_seconds{{{_NAMED}}}", "severity", "1h")


# A firing and its end are separate rows, for each group of Alertmanager: together they are one alert.
_FIRED = (
    """fired AS (
    SELECT fingerprint, starts_at, labels->>'alertname' AS alertname, labels->>'severity' AS severity,
        concat_ws(' ', """
    + ", ".join(f"labels->>'{label}'" for label in SUBJECT)
    + """) AS subject,
        max(annotations->>'summary') AS summary,
        max(ends_at) FILTER (WHERE status = 'resolved') AS ends_at
    FROM monitoring_views.alert_notification
    WHERE $__timeFilter(received_at) AND labels->>'severity' IN (${severity:sqlstring})
        AND position(lower(trim(${alertname:sqlstring})) IN lower(labels->>'alertname')) > 0
    GROUP BY 1, 2, 3, 4, 5
)"""
)
_SECONDS = "extract(epoch FROM ends_at - starts_at)"
HISTORY = f"""WITH {_FIRED}
SELECT CASE WHEN ends_at IS NULL THEN 'firing' ELSE 'resolved' END AS state, severity, alertname, subject, summary,
    starts_at, extract(epoch FROM coalesce(ends_at, now()) - starts_at) AS lasted
FROM fired ORDER BY ends_at IS NULL DESC, starts_at DESC LIMIT 300"""
RULES = f"""WITH {_FIRED}
SELECT alertname, severity, count(*) AS firings, count(DISTINCT fingerprint) AS subjects,
    count(*) FILTER (WHERE ends_at IS NULL) AS still_firing,
    avg({_SECONDS}) AS mean_to_resolve, max({_SECONDS}) AS longest, sum({_SECONDS}) AS firing_seconds,
    max(starts_at) AS last_fired
FROM fired GROUP BY 1, 2 ORDER BY firings DESC LIMIT 50"""
RESOLVED = f"""WITH {_FIRED}
SELECT ends_at AS "time", severity AS metric, {_SECONDS} AS value
FROM fired WHERE ends_at IS NOT NULL ORDER BY 1 LIMIT 5000"""
RESOLVED_BY_SEVERITY = f"""WITH {_FIRED}
SELECT severity, count(*) AS firings,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY {_SECONDS}) AS median,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY {_SECONDS}) AS ninety
FROM fired GROUP BY 1 ORDER BY array_position(ARRAY[{_WORST_FIRST}], severity)"""

# Open ones are shown whenever they were created: they still need attention.
MANUAL = """SELECT CASE WHEN resolved_at IS NULL THEN 'firing' ELSE 'resolved' END AS state, severity, app,
    annotations->>'summary' AS summary, created_by, created_at, resolved_by, resolved_at, id
FROM monitoring_views.manual_alert
WHERE (resolved_at IS NULL OR $__timeFilter(created_at)) AND severity IN (${severity:sqlstring})
    AND position(lower(trim(${alertname:sqlstring})) IN lower(alertname)) > 0
ORDER BY resolved_at IS NULL DESC, created_at DESC LIMIT 100"""
OPEN_MANUAL = "SELECT count(*) AS open FROM monitoring_views.manual_alert WHERE resolved_at IS NULL"
