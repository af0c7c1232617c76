"""Queries on one error issue.

An index on app, fingerprint and time finds its occurrences, so that the last one is found however old it is.
"""

FINGERPRINTS = """SELECT fingerprint AS __value, error_type || coalesce(': ' || left(message, 80), '') AS __text
FROM monitoring_views.error_issue WHERE app IN (${app:sqlstring}) ORDER BY last_seen DESC LIMIT 500"""

_CHOSEN = "app IN (${app:sqlstring}) AND fingerprint = ${fingerprint:sqlstring}"
# Another app may have an issue with the same fingerprint: both are shown if both apps are chosen.
_ISSUE = f"issue AS (SELECT * FROM monitoring_views.error_issue WHERE {_CHOSEN} ORDER BY last_seen DESC LIMIT 5)"
_OCCURRED = f"$__timeFilter(at) AND {_CHOSEN}"
_STATE = "CASE WHEN status = 'open' AND regressions > 0 AND changed_by = 'exporter' THEN 'regression' ELSE status END"

ISSUE = f"""WITH {_ISSUE}
SELECT severity, {_STATE} AS state, error_type, message, app, endpoint, first_seen, last_seen, events, regressions,
    first_release, last_release
FROM issue"""
STATE = f"""WITH {_ISSUE}
SELECT app, {_STATE} AS state, changed_by, changed_at, resolved_release, ignored_until,
    greatest(ignored_until_events - events, 0) AS ignored_for, id AS change, id
FROM issue"""

EVENTS = f"SELECT count(*) AS events FROM monitoring_views.error WHERE {_OCCURRED}"
USERS = f"SELECT count(DISTINCT user_hash) AS users FROM monitoring_views.error WHERE {_OCCURRED}"
FIRST = f"SELECT extract(epoch FROM min(first_seen)) * 1000 AS first FROM monitoring_views.error_issue WHERE {_CHOSEN}"
LAST = f"SELECT extract(epoch FROM max(last_seen)) * 1000 AS last FROM monitoring_views.error_issue WHERE {_CHOSEN}"
REGRESSIONS = f"SELECT sum(regressions)::bigint AS regressions FROM monitoring_views.error_issue WHERE {_CHOSEN}"

COURSE = f"""SELECT $__timeGroup(at, $__interval) AS "time", coalesce(nullif(release, ''), 'no release') AS metric,
    count(*) AS value
FROM monitoring_views.error WHERE {_OCCURRED} GROUP BY 1, 2 ORDER BY 1 LIMIT 20000"""
OCCURRENCES = f"""SELECT at, app, release, severity, endpoint, message, job_id, left(user_hash, 8) AS user
FROM monitoring_views.error WHERE {_OCCURRED} ORDER BY at DESC LIMIT 200"""

RELEASES = f"""WITH occurred AS (
    SELECT app, coalesce(release, '') AS release, count(*) AS events, count(DISTINCT user_hash) AS users,
        min(at) AS first_occurrence, max(at) AS last_occurrence
    FROM monitoring_views.error WHERE {_OCCURRED} GROUP BY 1, 2
)
SELECT app, coalesce(nullif(release, ''), 'no release') AS release, first_seen AS release_first_seen, events, users,
    first_occurrence, last_occurrence
FROM occurred LEFT JOIN monitoring_views.release USING (app, release) ORDER BY last_occurrence DESC LIMIT 50"""

HISTORY = f"""WITH {_ISSUE}
SELECT a.at, a.actor, replace(a.action, 'error.', '') AS action, a.details->>'from' AS was, a.details->>'to' AS became,
    a.details->>'release' AS release, a.details->>'until' AS until, a.details->>'events' AS events,
    a.details->>'note' AS note, a.details->>'via' AS via
FROM issue JOIN monitoring_views.audit a ON a.object = 'error_issue/' || issue.id
ORDER BY a.at DESC LIMIT 100"""

# Alerts of the issue's app in the range, and how often the issue occurred while each fired.
ALERTS = f"""WITH {_ISSUE}, fired AS (
    SELECT issue.app, issue.fingerprint, n.labels->>'alertname' AS alertname, n.labels->>'severity' AS severity,
        n.annotations->>'summary' AS summary, n.starts_at,
        max(n.ends_at) FILTER (WHERE n.status = 'resolved') AS ends_at
    FROM issue JOIN monitoring_views.alert_notification n ON n.labels->>'app' = issue.app
    WHERE $__timeFilter(n.received_at) GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY n.starts_at DESC LIMIT 50
)
SELECT alertname, severity, summary, starts_at, ends_at, (
        SELECT count(*) FROM monitoring_views.error e WHERE e.app = fired.app AND e.fingerprint = fired.fingerprint
        AND e.at BETWEEN starts_at - interval '5 minutes' AND coalesce(ends_at, now())) AS events
FROM fired ORDER BY starts_at DESC"""

SIMILAR = f"""WITH {_ISSUE}
SELECT o.severity, o.status, o.error_type, left(o.message, 300) AS message, o.app, o.endpoint, o.last_seen, o.events,
    o.fingerprint
FROM monitoring_views.error_issue o JOIN issue ON o.app = issue.app AND o.fingerprint <> issue.fingerprint
    AND (o.endpoint = issue.endpoint OR o.error_type = issue.error_type AND o.message = issue.message)
ORDER BY o.last_seen DESC LIMIT 20"""

# Everything below is for the restricted data source.


def _newest(columns: str, most: int) -> str:
    """Return a LATERAL of the issue's newest occurrences up to the end of the range."""
    return f"""LATERAL (
    SELECT {columns} FROM monitoring_restricted.error e
    WHERE e.app = issue.app AND e.fingerprint = issue.fingerprint AND e.at <= $__timeTo()
    ORDER BY e.at DESC LIMIT {most}
) newest"""


STACK_TRACE = f"""WITH {_ISSUE}
SELECT stack_trace FROM issue CROSS JOIN {_newest("e.at, e.stack_trace", 100)}
WHERE stack_trace <> '' ORDER BY at DESC LIMIT 1"""
LAST_OCCURRENCE = f"""WITH {_ISSUE}, last AS (
    SELECT newest.* FROM issue CROSS JOIN {_newest("e.*", 1)} ORDER BY newest.at DESC LIMIT 1
)
SELECT name, value FROM last, LATERAL (
    VALUES ('at', at::text), ('release', release), ('endpoint', endpoint), ('message', message), ('user', user_id),
        ('address', host(ip)), ('software', user_agent), ('scraping job', job_id)
) given (name, value) WHERE value <> ''
UNION ALL
SELECT 'context: ' || key, value FROM last, jsonb_each_text(
    CASE WHEN jsonb_typeof(context) = 'object' THEN context ELSE jsonb_build_object('value', context) END)
WHERE value IS NOT NULL LIMIT 100"""

_LAST_WITH_USER = f"""last AS (
    SELECT newest.at, newest.user_id FROM issue CROSS JOIN {_newest("e.at, e.user_id", 1000)}
    WHERE newest.user_id <> '' ORDER BY newest.at DESC LIMIT 1
)"""
_AROUND = """at BETWEEN (SELECT at FROM last) - interval '30 minutes' AND (SELECT at FROM last) + interval '10 minutes'
    AND user_id = (SELECT user_id FROM last)"""
AROUND = f"""WITH {_ISSUE}, {_LAST_WITH_USER}
SELECT at, extract(epoch FROM at - (SELECT at FROM last)) AS seconds, user_id, app, kind, what, outcome,
    duration_seconds, release
FROM (
    (SELECT at, user_id, app, 'request' AS kind, method || ' ' || route AS what, status::text AS outcome,
        duration_seconds, release
    FROM monitoring_restricted.http_request WHERE {_AROUND} ORDER BY at DESC LIMIT 200)
    UNION ALL
    (SELECT at, user_id, app, 'activity', concat_ws(' / ', activity, nullif(module, ''), nullif(feature, '')),
        CASE WHEN success IS FALSE THEN 'failed' ELSE 'done' END, duration_seconds, release
    FROM monitoring_restricted.user_activity WHERE {_AROUND} ORDER BY at DESC LIMIT 200)
    UNION ALL
    (SELECT at, user_id, app, 'error', error_type || coalesce(': ' || left(message, 200), ''), severity, NULL, release
    FROM monitoring_restricted.error WHERE {_AROUND} ORDER BY at DESC LIMIT 200)
) found ORDER BY at DESC LIMIT 300"""
AFFECTED = f"""SELECT coalesce(nullif(user_id, ''), 'unknown') AS user_id, count(*) AS events, min(at) AS first_met,
    max(at) AS last_met, count(DISTINCT ip) AS addresses, max(user_agent) AS user_agent
FROM monitoring_restricted.error WHERE {_OCCURRED} GROUP BY 1 ORDER BY events DESC LIMIT 50"""
