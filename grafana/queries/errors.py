"""Queries on errors and their issues."""

from grafana.queries.shared import increase, rate

RATE = "60 * " + rate('platform_errors_total{app=~"$app"}', "severity", "5m")
RATE_BY_SEVERITY = '60 * sum by (severity) (app_severity:platform_errors:rate5m{app=~"$app", severity=~"$severity"})'
RATE_BY_APP = '60 * sum by (app) (app_severity:platform_errors:rate5m{app=~"$app", severity=~"$severity"})'
BURST = 'app:platform_errors:burst5m{app=~"$app"}'
NEW = 'sum by (severity) (app_severity:platform_error_issues_created:increase5m{app=~"$app", severity=~"$severity"})'
REGRESSIONS = 'sum(app:platform_error_regressions:increase5m{app=~"$app"})'
BUSIEST_TYPES = "topk(10, {})".format(
    increase('platform_errors_total{app=~"$app", severity=~"$severity"}', "error_type")
)


def open_issues(severity: str) -> str:
    """Return how many issues of a severity are open."""
    return (
        f'sum(max by (app) (platform_error_issues{{app=~"$app", status="open", severity="{severity}"}})) or vector(0)'
    )


# There is a choice even before the first error: `app IN ()` would be invalid SQL.
APPS = """SELECT DISTINCT app FROM monitoring_views.error_issue
UNION ALL SELECT 'no app yet' WHERE NOT EXISTS (SELECT FROM monitoring_views.error_issue) ORDER BY 1"""
STATUSES = ["open", "resolved", "ignored"]
NEWEST = """SELECT last_seen, app, severity, status, error_type, message, events, regressions, fingerprint
FROM monitoring_views.error_issue
WHERE app IN (${app:sqlstring}) AND status = 'open'
ORDER BY last_seen DESC LIMIT 10"""

# What the choices at the top leave; texts match regardless of case.
_CONTAINS = """position(lower(trim(${endpoint:sqlstring})) IN lower(coalesce(endpoint, ''))) > 0
    AND position(lower(trim(${search:sqlstring}))
        IN lower(concat_ws(' ', error_type, message, endpoint, fingerprint))) > 0"""
_CHOSEN = f"""app IN (${{app:sqlstring}}) AND severity IN (${{severity:sqlstring}})
    AND {_CONTAINS}"""
_ISSUES = f"""{_CHOSEN}
    AND status IN (${{status:sqlstring}})"""
_ERRORS = f"""$__timeFilter(at) AND {_CHOSEN}"""
MOST = 200
_SHOWN = f"""shown AS (
    SELECT * FROM monitoring_views.error_issue WHERE {_ISSUES} ORDER BY last_seen DESC, id LIMIT {MOST}
)"""
# If nothing is picked this is '-': see PICKABLE.
_PICKED = "ARRAY[${issue:sqlstring}]::text[]"

# Block characters draw how often an issue occurred in each sixteenth of the range.
ISSUES = f"""WITH {_SHOWN}, counted AS (
    SELECT app, fingerprint, user_hash, width_bucket(extract(epoch FROM at)::float8,
        extract(epoch FROM $__timeFrom()::timestamptz)::float8,
        extract(epoch FROM $__timeTo()::timestamptz)::float8 + 1, 16) AS part, count(*) AS events
    FROM monitoring_views.error WHERE $__timeFilter(at) AND app IN (${{app:sqlstring}}) GROUP BY 1, 2, 3, 4
), parts AS (
    SELECT app, fingerprint, part, sum(events) AS events FROM counted GROUP BY 1, 2, 3
), drawn AS (
    SELECT app, fingerprint, sum(p.events) AS events,
        string_agg(substr('▁▂▃▄▅▆▇█', 1 + ceil(7 * coalesce(p.events, 0) / greatest(most, 1))::int, 1), ''
            ORDER BY part) AS course
    FROM (SELECT app, fingerprint, max(events) AS most FROM parts GROUP BY 1, 2) m
    CROSS JOIN generate_series(1, 16) part LEFT JOIN parts p USING (app, fingerprint, part) GROUP BY 1, 2
), touched AS (SELECT app, fingerprint, count(DISTINCT user_hash) AS users FROM counted GROUP BY 1, 2)
SELECT severity, CASE WHEN status = 'open' AND regressions > 0 AND changed_by = 'exporter' THEN 'regression'
        ELSE status END AS state,
    last_seen, error_type, left(message, 300) AS message, app, endpoint, course, coalesce(drawn.events, 0) AS events,
    coalesce(users, 0) AS users, shown.events AS events_ever, regressions, first_seen,
    CASE WHEN first_release = last_release THEN first_release ELSE concat_ws(' to ', first_release, last_release)
        END AS releases,
    CASE WHEN id = ANY({_PICKED}) THEN 'picked' ELSE 'pick' END AS pick, id AS change, fingerprint, id
FROM shown LEFT JOIN drawn USING (app, fingerprint) LEFT JOIN touched USING (app, fingerprint)
ORDER BY last_seen DESC, id"""

PICKABLE = """SELECT '-' AS __value, 'none' AS __text
UNION ALL
(SELECT id, app || ': ' || error_type || ': ' || left(message, 60)
FROM monitoring_views.error_issue WHERE app IN (${app:sqlstring}) ORDER BY last_seen DESC LIMIT 500)"""
MANY = f"""WITH {_SHOWN}, meant AS (
    SELECT 1 AS place, 'The issues picked' AS which, id FROM monitoring_views.error_issue WHERE id = ANY({_PICKED})
    UNION SELECT 2, 'All issues listed above', id FROM shown
)
SELECT which, count(*) AS number, '' AS change, string_agg(id, ',' ORDER BY id) AS ids, 'pick none' AS pick
FROM meant GROUP BY place, which ORDER BY place"""

NEW_IN_RANGE = f"""SELECT count(*) AS issues FROM monitoring_views.error_issue
WHERE $__timeFilter(first_seen) AND {_CHOSEN}"""
REGRESSIONS_IN_RANGE = """SELECT count(*) AS regressions FROM monitoring_views.audit
WHERE $__timeFilter(at) AND action = 'error.regression' AND details->>'app' IN (${app:sqlstring})"""
EVENTS_IN_RANGE = f"SELECT count(*) AS errors FROM monitoring_views.error WHERE {_ERRORS}"
AFFECTED_USERS = f"SELECT count(DISTINCT user_hash) AS users FROM monitoring_views.error WHERE {_ERRORS}"

ENDPOINTS = f"""SELECT app, coalesce(endpoint, '') AS endpoint, count(*) AS events,
    count(DISTINCT user_hash) AS users, count(DISTINCT fingerprint) AS issues, max(at) AS last_seen
FROM monitoring_views.error WHERE {_ERRORS} GROUP BY 1, 2 ORDER BY events DESC LIMIT 50"""
RELEASES = f"""SELECT $__timeGroup(at, $__interval) AS "time",
    app || ' ' || coalesce(nullif(release, ''), 'no release') AS metric, count(*) AS value
FROM monitoring_views.error WHERE {_ERRORS} GROUP BY 1, 2 ORDER BY 1 LIMIT 20000"""
CHANGES = """SELECT at, actor, action, details->>'app' AS app, error_type, left(message, 200) AS message,
    details->>'from' AS was, details->>'to' AS became, details->>'note' AS note, fingerprint
FROM monitoring_views.audit a LEFT JOIN monitoring_views.error_issue i
    ON a.object = 'error_issue/' || i.id AND details->>'app' = i.app
WHERE $__timeFilter(at) AND action LIKE 'error.%' AND details->>'app' IN (${app:sqlstring})
ORDER BY at DESC LIMIT 100"""
