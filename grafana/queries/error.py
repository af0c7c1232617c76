"""Queries on one error issue.

An index on app, fingerprint and time finds its occurrences, so that the last one is found however old it is.
"""

from grafana.queries.errors import CHANGE, severity_and_state, what_and_where
from grafana.queries.shared import TRACE_URL

FINGERPRINTS = """SELECT fingerprint AS __value, error_type || coalesce(': ' || left(message, 80), '') AS __text
FROM monitoring_views.error_issue WHERE app IN (${app:sqlstring}) ORDER BY last_seen DESC LIMIT 500"""

# A fingerprint leads to the issue that it was merged into. Another app may have an issue with the same fingerprint:
# both are shown if both apps are chosen.
_ISSUE = """issue AS (
    SELECT * FROM monitoring_views.error_issue WHERE app IN (${app:sqlstring}) AND (
        fingerprint = ${fingerprint:sqlstring} OR (app, fingerprint) IN (
            SELECT app, issue FROM monitoring_views.error_fingerprint WHERE fingerprint = ${fingerprint:sqlstring}))
    ORDER BY last_seen DESC LIMIT 5
)"""
# All fingerprints of the issue: an index finds the errors of each.
_FINGERPRINTS = """SELECT app, fingerprint FROM monitoring_views.error_fingerprint
        WHERE (app, issue) IN (SELECT app, fingerprint FROM issue)
        UNION SELECT app, fingerprint FROM issue"""
_OCCURRED = f"""$__timeFilter(at) AND (app, fingerprint) IN (
        {_FINGERPRINTS})"""

# Half an hour before and after its last occurrence, in milliseconds, as addresses have times.
_AROUND_LAST = ", ".join(
    f"(extract(epoch FROM last_seen {sign} interval '30 minutes') * 1000)::bigint AS {name}"
    for sign, name in (("-", "around_from"), ("+", "around_to"))
)
ISSUE = f"""WITH {_ISSUE}
SELECT {severity_and_state()} AS severity, {what_and_where()} AS issue, first_seen, last_seen, events, regressions,
    concat_ws(E'\\n', first_release, nullif(last_release, first_release)) AS releases, assignee,
    {_AROUND_LAST}, app, fingerprint
FROM issue"""
STATE = f"""WITH {_ISSUE}
SELECT CASE status
        WHEN 'resolved' THEN concat_ws(' ', 'Resolved by', changed_by, 'in ' || resolved_release)
        WHEN 'ignored' THEN concat_ws(' ', 'Ignored by', changed_by,
            'until ' || to_char(ignored_until, 'YYYY-MM-DD HH24:MI'),
            'for ' || greatest(ignored_until_events - events, 0) || ' more events')
        ELSE CASE WHEN regressions > 0 AND changed_by = 'exporter' THEN 'Occurred again after it was resolved'
            ELSE 'Open' END END AS state,
    id AS change, id
FROM issue"""

EVENTS = f"WITH {_ISSUE} SELECT count(*) AS events FROM monitoring_views.error WHERE {_OCCURRED}"
USERS = f"WITH {_ISSUE} SELECT count(DISTINCT user_hash) AS users FROM monitoring_views.error WHERE {_OCCURRED}"

COURSE = f"""WITH {_ISSUE}
SELECT $__timeGroup(at, $__interval) AS "time", coalesce(nullif(release, ''), 'no release') AS metric,
    count(*) AS value
FROM monitoring_views.error WHERE {_OCCURRED} GROUP BY 1, 2 ORDER BY 1 LIMIT 20000"""
OCCURRENCES = f"""WITH {_ISSUE}
SELECT at, release, severity, endpoint, message, job_id, left(user_hash, 8) AS user,
    {TRACE_URL} AS trace_url
FROM monitoring_views.error WHERE {_OCCURRED} ORDER BY at DESC LIMIT 200"""

RELEASES = f"""WITH {_ISSUE}, occurred AS (
    SELECT app, coalesce(release, '') AS release, count(*) AS events, count(DISTINCT user_hash) AS users,
        max(at) AS last_occurrence
    FROM monitoring_views.error WHERE {_OCCURRED} GROUP BY 1, 2
)
SELECT coalesce(nullif(release, ''), 'no release') AS release, first_seen AS release_first_seen, events, users,
    last_occurrence
FROM occurred LEFT JOIN monitoring_views.release USING (app, release) ORDER BY last_occurrence DESC LIMIT 50"""

HISTORY = f"""WITH {_ISSUE}
SELECT a.at, a.actor, {CHANGE} AS change
FROM issue JOIN monitoring_views.audit a ON a.object = 'error_issue/' || issue.id
ORDER BY a.at DESC LIMIT 100"""

# Alerts of the issue's app in the range, and how often the issue occurred while each fired.
ALERTS = f"""WITH {_ISSUE}, fired AS (
    SELECT issue.app, issue.fingerprint, n.labels->>'alertname' AS alertname, n.labels->>'severity' AS severity,
        n.starts_at,
        max(n.ends_at) FILTER (WHERE n.status = 'resolved') AS ends_at
    FROM issue JOIN monitoring_views.alert_notification n ON n.labels->>'app' = issue.app
    WHERE $__timeFilter(n.received_at) GROUP BY 1, 2, 3, 4, 5 ORDER BY n.starts_at DESC LIMIT 50
)
SELECT severity, alertname, starts_at, (
        SELECT count(*) FROM monitoring_views.error e WHERE e.app = fired.app AND e.fingerprint IN (
            SELECT fingerprint FROM monitoring_views.error_fingerprint f
            WHERE f.app = fired.app AND f.issue = fired.fingerprint UNION SELECT fired.fingerprint)
        AND e.at BETWEEN starts_at - interval '5 minutes' AND coalesce(ends_at, now())) AS events
FROM fired ORDER BY starts_at DESC"""

SIMILAR = f"""WITH {_ISSUE}
SELECT {severity_and_state("o.")} AS severity, {what_and_where("o.")} AS issue, o.last_seen, o.events, o.app,
    o.fingerprint
FROM monitoring_views.error_issue o JOIN issue ON o.app = issue.app AND o.fingerprint <> issue.fingerprint
    AND (o.endpoint = issue.endpoint OR o.error_type = issue.error_type AND o.message = issue.message)
ORDER BY o.last_seen DESC LIMIT 20"""

# Everything below is for the restricted data source.


def _newest(columns: str, most: int) -> str:
    """Return a LATERAL of the issue's newest occurrences up to the end of the range; of all if it is later."""
    end = "$__timeTo()::timestamptz"
    # By fingerprint, so that the index finds the newest of each, however many there are.
    return f"""LATERAL (
    SELECT one.* FROM (
        SELECT issue.fingerprint UNION SELECT f.fingerprint FROM monitoring_views.error_fingerprint f
        WHERE f.app = issue.app AND f.issue = issue.fingerprint
    ) of (fingerprint) CROSS JOIN LATERAL (
        SELECT {columns} FROM monitoring_restricted.error e
        WHERE e.app = issue.app AND e.fingerprint = of.fingerprint
            AND e.at <= CASE WHEN issue.first_seen <= {end} THEN {end} ELSE issue.last_seen END
        ORDER BY e.at DESC LIMIT {most}
    ) one ORDER BY one.at DESC LIMIT {most}
) newest"""


# A row per frame, in the order of the text: lines that belong to a frame are indented below it. Frames of the
# application are errors, those of its libraries are of an unknown level, and what was raised is critical.
STACK_TRACE = f"""WITH {_ISSUE}, trace AS (
    SELECT newest.* FROM issue CROSS JOIN {_newest("e.at, e.stack_trace", 100)}
    WHERE stack_trace <> '' ORDER BY at DESC LIMIT 1
)
SELECT at + number * interval '1 millisecond' AS "time", part AS body, CASE
        WHEN part ~ '^(Traceback|Caused by|During handling|The above exception|\\s*$)' THEN 'unknown'
        WHEN part ~ '^\\S' THEN 'critical'
        WHEN part ~ '(site|dist)-packages|/lib/python\\d|\\\\Lib\\\\|<frozen |node_modules|node:' THEN 'unknown'
        ELSE 'error' END AS level
FROM trace, regexp_split_to_table(stack_trace, '\\n(?=  File "|\\s+at |\\S)') WITH ORDINALITY split(part, number)
ORDER BY number LIMIT 1000"""
LAST_OCCURRENCE = f"""WITH {_ISSUE}, last AS (
    SELECT newest.* FROM issue CROSS JOIN {_newest("e.*", 1)} ORDER BY newest.at DESC LIMIT 1
)
SELECT name, value FROM last, LATERAL (
    VALUES ('at', at::text), ('release', release), ('endpoint', endpoint), ('message', message), ('user', user_id),
        ('address', host(ip)), ('software', user_agent), ('scraping job', job_id),
        ('trace', trace_id)
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
SELECT at, extract(epoch FROM at - (SELECT at FROM last)) AS seconds, user_id, kind, what, outcome, duration_seconds
FROM (
    (SELECT at, user_id, 'request' AS kind, method || ' ' || route AS what, status::text AS outcome, duration_seconds
    FROM monitoring_restricted.http_request WHERE {_AROUND} ORDER BY at DESC LIMIT 200)
    UNION ALL
    (SELECT at, user_id, 'activity', concat_ws(' / ', activity, nullif(module, ''), nullif(feature, '')),
        CASE WHEN success IS FALSE THEN 'failed' ELSE 'done' END, duration_seconds
    FROM monitoring_restricted.user_activity WHERE {_AROUND} ORDER BY at DESC LIMIT 200)
    UNION ALL
    (SELECT at, user_id, 'error', error_type || coalesce(': ' || left(message, 200), ''), severity, NULL
    FROM monitoring_restricted.error WHERE {_AROUND} ORDER BY at DESC LIMIT 200)
) found ORDER BY at DESC LIMIT 300"""
AFFECTED = f"""WITH {_ISSUE}
SELECT coalesce(nullif(user_id, ''), 'unknown') AS user_id, count(*) AS events, min(at) AS first_met,
    max(at) AS last_met, count(DISTINCT ip) AS addresses, max(user_agent) AS user_agent
FROM monitoring_restricted.error WHERE {_OCCURRED} GROUP BY 1 ORDER BY events DESC LIMIT 50"""
