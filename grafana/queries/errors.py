"""Queries on errors and their issues."""

from grafana.queries.shared import NONE_REPORTED, counted, rate

RATE = "60 * " + rate('platform_errors_total{app=~"$app"}', "severity", "5m")
RATE_BY_SEVERITY = '60 * sum by (severity) (app_severity:platform_errors:rate5m{app=~"$app", severity=~"$severity"})'
RATE_BY_APP = '60 * sum by (app) (app_severity:platform_errors:rate5m{app=~"$app", severity=~"$severity"})'
BURST = 'app:platform_errors:burst5m{app=~"$app"}'
NEW = 'sum by (severity) (app_severity:platform_error_issues_created:increase5m{app=~"$app", severity=~"$severity"})'
REGRESSIONS = 'sum(app:platform_error_regressions:increase5m{app=~"$app"})'
BUSIEST_TYPES = "topk(6, {})".format(counted('platform_errors_total{app=~"$app", severity=~"$severity"}', "error_type"))


def open_issues(severity: str) -> str:
    """Return how many issues of a severity are open."""
    return (
        f'sum(max by (app) (platform_error_issues{{app=~"$app", status="open", severity="{severity}"}})) '
        f"{NONE_REPORTED}"
    )


# There is a choice even before the first error: `app IN ()` would be invalid SQL.
APPS = """SELECT DISTINCT app FROM monitoring_views.error_issue
UNION ALL SELECT 'no app yet' WHERE NOT EXISTS (SELECT FROM monitoring_views.error_issue) ORDER BY 1"""
ASSIGNEES = """SELECT DISTINCT coalesce(assignee, 'nobody') FROM monitoring_views.error_issue
UNION SELECT 'nobody' ORDER BY 1"""
STATUSES = ["open", "resolved", "ignored"]


def severity_and_state(alias: str = "") -> str:
    """Return SQL of an issue's severity and, on a line below, its state unless that is open."""
    regressed = f"{alias}status = 'open' AND {alias}regressions > 0 AND {alias}changed_by = 'exporter'"
    state = f"CASE WHEN {regressed} THEN 'regression' ELSE nullif({alias}status, 'open') END"
    return f"concat_ws(E'\\n', {alias}severity, {state})"


def what_and_where(alias: str = "") -> str:
    """Return SQL of an issue's type and message and, on a line below, its app and endpoint."""
    what = f"concat_ws(': ', {alias}error_type, left({alias}message, 300))"
    return f"concat_ws(E'\\n', {what}, concat_ws(' ', {alias}app, {alias}endpoint))"


CHANGE = """concat_ws(': ', CASE
        WHEN action = 'error.comment' THEN NULL
        WHEN details ? 'merged' THEN 'merged ' || jsonb_array_length(details->'merged') || ' into it'
        WHEN details ? 'into' THEN 'merged into ' || (details->'into'->>0)
        WHEN details ? 'split' THEN 'split off ' || jsonb_array_length(details->'split')
        WHEN details ? 'out_of' THEN 'split from ' || (details->'out_of'->>0)
        WHEN action IN ('error.assign', 'error.unassign') THEN 'assigned to ' || coalesce(details->>'to', 'nobody')
        ELSE concat_ws(' ', details->>'from', '→', details->>'to', 'in ' || (details->>'release'),
            'until ' || left(details->>'until', 16), 'for ' || (details->>'events') || ' events') END,
    details->>'note')"""
"""SQL of what a row of the audit says, such as `open → resolved in 1.4: timeout raised`; a comment as it is."""

# What the choices at the top leave; texts match regardless of case.
_CONTAINS = """position(lower(trim(${endpoint:sqlstring})) IN lower(coalesce(endpoint, ''))) > 0
    AND position(lower(trim(${search:sqlstring}))
        IN lower(concat_ws(' ', error_type, message, endpoint, fingerprint))) > 0"""
_CHOSEN = f"""app IN (${{app:sqlstring}}) AND severity IN (${{severity:sqlstring}})
    AND {_CONTAINS}"""
_ISSUES = f"""{_CHOSEN}
    AND status IN (${{status:sqlstring}}) AND coalesce(assignee, 'nobody') IN (${{assignee:sqlstring}})"""
_ERRORS = f"""$__timeFilter(at) AND {_CHOSEN}"""

# An issue that others were merged into has their fingerprints, too.
_OF_ISSUES = """monitoring_views.error LEFT JOIN (
        SELECT app, fingerprint, issue FROM monitoring_views.error_fingerprint) grouped USING (app, fingerprint)"""
_ISSUE_OF_ERROR = "coalesce(issue, fingerprint)"
MOST = 200
_SHOWN = f"""shown AS (
    SELECT * FROM monitoring_views.error_issue WHERE {_ISSUES} ORDER BY last_seen DESC, id LIMIT {MOST}
)"""
# If nothing is picked this is '-': see PICKABLE.
_PICKED = "ARRAY[${issue:sqlstring}]::text[]"

# Block characters draw how often an issue occurred in each ninth of the range.
ISSUES = f"""WITH {_SHOWN}, counted AS (
    SELECT app, {_ISSUE_OF_ERROR} AS fingerprint, user_hash, width_bucket(extract(epoch FROM at)::float8,
        extract(epoch FROM $__timeFrom()::timestamptz)::float8,
        extract(epoch FROM $__timeTo()::timestamptz)::float8 + 1, 9) AS part, count(*) AS events
    FROM {_OF_ISSUES}
    WHERE $__timeFilter(at) AND app IN (${{app:sqlstring}}) GROUP BY 1, 2, 3, 4
), parts AS (
    SELECT app, fingerprint, part, sum(events) AS events FROM counted GROUP BY 1, 2, 3
), drawn AS (
    SELECT app, fingerprint, sum(p.events) AS events,
        string_agg(substr('▁▂▃▄▅▆▇█', 1 + ceil(7 * coalesce(p.events, 0) / greatest(most, 1))::int, 1), ''
            ORDER BY part) AS course
    FROM (SELECT app, fingerprint, max(events) AS most FROM parts GROUP BY 1, 2) m
    CROSS JOIN generate_series(1, 9) part LEFT JOIN parts p USING (app, fingerprint, part) GROUP BY 1, 2
), touched AS (SELECT app, fingerprint, count(DISTINCT user_hash) AS users FROM counted GROUP BY 1, 2)
SELECT CASE WHEN id = ANY({_PICKED}) THEN '✓ ' ELSE '' END || {severity_and_state()} AS severity,
    {what_and_where()} AS issue, last_seen, course, coalesce(drawn.events, 0) AS events, coalesce(users, 0) AS users,
    assignee, id AS change, app, fingerprint, id
FROM shown LEFT JOIN drawn USING (app, fingerprint) LEFT JOIN touched USING (app, fingerprint)
ORDER BY last_seen DESC, id"""

PICKABLE = """SELECT '-' AS __value, 'none' AS __text
UNION ALL
(SELECT id, app || ': ' || error_type || ': ' || left(message, 60)
FROM monitoring_views.error_issue WHERE app IN (${app:sqlstring}) ORDER BY last_seen DESC LIMIT 500)"""
MANY = f"""WITH {_SHOWN}, meant AS (
    SELECT 1 AS place, 'The issues picked' AS which, id, first_seen
    FROM monitoring_views.error_issue WHERE id = ANY({_PICKED})
    UNION SELECT 2, 'All issues listed above', id, first_seen FROM shown
)
SELECT which, count(*) AS number, '' AS change, string_agg(id, ',' ORDER BY first_seen, id) AS ids, 'pick none' AS pick
FROM meant GROUP BY place, which ORDER BY place"""

NEW_IN_RANGE = f"""SELECT count(*) AS issues FROM monitoring_views.error_issue
WHERE $__timeFilter(first_seen) AND {_CHOSEN}"""
REGRESSIONS_IN_RANGE = """SELECT count(*) AS regressions FROM monitoring_views.audit
WHERE $__timeFilter(at) AND action = 'error.regression' AND details->>'app' IN (${app:sqlstring})"""
AFFECTED_USERS = f"SELECT count(DISTINCT user_hash) AS users FROM monitoring_views.error WHERE {_ERRORS}"

ENDPOINTS = f"""SELECT app, coalesce(endpoint, '') AS endpoint, count(*) AS events,
    count(DISTINCT user_hash) AS users, count(DISTINCT {_ISSUE_OF_ERROR}) AS issues, max(at) AS last_seen
FROM {_OF_ISSUES} WHERE {_ERRORS} GROUP BY 1, 2 ORDER BY events DESC LIMIT 50"""
RELEASES = f"""SELECT $__timeGroup(at, $__interval) AS "time",
    app || ' ' || coalesce(nullif(release, ''), 'no release') AS metric, count(*) AS value
FROM monitoring_views.error WHERE {_ERRORS} GROUP BY 1, 2 ORDER BY 1 LIMIT 20000"""
CHANGES = f"""SELECT at, actor, {what_and_where("i.")} AS issue, {CHANGE} AS change, i.app, fingerprint
FROM monitoring_views.audit a LEFT JOIN monitoring_views.error_issue i
    ON a.object = 'error_issue/' || i.id AND details->>'app' = i.app
WHERE $__timeFilter(at) AND action LIKE 'error.%' AND details->>'app' IN (${{app:sqlstring}})
ORDER BY at DESC LIMIT 100"""
