"""Ask for errors and their issues."""

from grafana.queries.shared import rate

RATE = "60 * " + rate('platform_errors_total{app=~"$app"}', "severity", "5m")
OPEN_ISSUES = 'max by (app, severity) (platform_error_issues{app=~"$app", status="open"})'

APPS = "SELECT DISTINCT app FROM monitoring_views.error_issue ORDER BY 1"
STATUSES = ["open", "resolved", "ignored"]
FINGERPRINTS = """SELECT fingerprint AS __value, error_type || ': ' || left(message, 80) AS __text
FROM monitoring_views.error_issue WHERE app IN (${app:sqlstring}) ORDER BY last_seen DESC LIMIT 500"""
NEWEST = """SELECT last_seen, app, severity, status, error_type, message, events, regressions, fingerprint
FROM monitoring_views.error_issue
WHERE app IN (${app:sqlstring}) AND status = 'open'
ORDER BY last_seen DESC LIMIT 10"""
ONE = """SELECT first_seen, last_seen, severity, status, error_type, message, events, regressions
FROM monitoring_views.error_issue
WHERE app IN (${app:sqlstring}) AND fingerprint = ${fingerprint:sqlstring}"""
