"""Queries on what users do, as numbers and, for those with access, by name."""

from grafana.queries.shared import counted, rate

# Applications spell these in many ways; the rules on failed logins match the same.
LOGIN = "(?i:(log|sign)[ _-]?(in|on))"
LOGOUT = "(?i:(log|sign)[ _-]?(out|off))"

_ACTIVITY = 'platform_user_activity_total{app=~"$app"}'

SESSIONS = 'sum by (window) (app_window:platform_active_sessions:max{app=~"$app"})'
ACTIVE = 'sum by (window) (app_window:platform_active_users:max{app=~"$app"})'
ACTIVE_BY_APP = 'app_window:platform_active_users:max{app=~"$app", window="5m"}'
LOGINS = f'60 * sum(app_activity:platform_user_activity:rate5m{{app=~"$app", activity=~"{LOGIN}"}})'
LOGOUTS = f'60 * sum(app_activity:platform_user_activity:rate5m{{app=~"$app", activity=~"{LOGOUT}"}})'
FAILED_LOGINS = 'sum(app:platform_login_failures:increase5m{app=~"$app"}) / 5'
FAILED_LOGINS_BY_APP = 'app:platform_login_failures:increase5m{app=~"$app"}'
LOGINS_NOW = 'app:platform_logins:increase15m{app=~"$app"}'
LOGIN_BAND = {
    f"{{{{app}}}} {edge} usual": f'app:platform_logins:{edge}_usual{{app=~"$app"}}' for edge in ("least", "most")
}
LOGINS_IN_RANGE = counted(f'platform_user_activity_total{{app=~"$app", activity=~"{LOGIN}"}}', "")
BY_TYPE = '60 * sum by (activity) (app_activity:platform_user_activity:rate5m{app=~"$app"})'
BY_ROLE = "60 * " + rate(_ACTIVITY, "role")
FAILURES = (
    'sum by (activity) (app_activity:platform_user_activity_failures:increase5m{app=~"$app"})'
    ' / sum by (activity) (app_activity:platform_user_activity:increase5m{app=~"$app"} > 0)'
)


def active(window: str, what: str = "users") -> str:
    """Return how many users, or sessions, were seen in the last 5m, 1h, 1d or 7d."""
    return f'sum(app_window:platform_active_{what}:max{{app=~"$app", window="{window}"}})'


_HERE = "$__timeFilter(at) AND app IN (${app:sqlstring})"
# Of requests, at most the last day of the range: there are many rows.
_LAST_DAY = f"{_HERE} AND at > $__timeTo()::timestamptz - interval '24 hours'"

USERS_BY_ROLE = f"""SELECT coalesce(nullif(role, ''), 'no role') AS role, count(DISTINCT user_hash) AS users
FROM monitoring_views.user_activity WHERE {_HERE} AND user_hash IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 12"""

# The ten busiest modules; more would be too many colours.
MODULES = f"""WITH counted AS (
    SELECT $__timeGroup(at, $__interval) AS "time", coalesce(nullif(module, ''), 'no module') AS metric,
        count(*) AS value
    FROM monitoring_views.user_activity WHERE {_HERE} GROUP BY 1, 2
), busiest AS (SELECT metric FROM counted GROUP BY 1 ORDER BY sum(value) DESC LIMIT 10)
SELECT "time", metric, value FROM counted JOIN busiest USING (metric) ORDER BY 1 LIMIT 20000"""

FEATURES = f"""WITH counted AS (
    SELECT app, module, feature, user_hash, count(*) AS events, count(*) FILTER (WHERE success IS FALSE) AS failed,
        sum(duration_seconds) AS seconds, count(duration_seconds) AS timed, max(at) AS at
    FROM monitoring_views.user_activity WHERE {_HERE} AND feature <> '' GROUP BY 1, 2, 3, 4
)
SELECT app, module, feature, sum(events) AS events, count(user_hash) AS users,
    sum(failed) / sum(events)::double precision AS failed, sum(seconds) / nullif(sum(timed), 0) AS mean_seconds,
    max(at) AS last_used
FROM counted GROUP BY 1, 2, 3 ORDER BY events DESC LIMIT 50"""

# Without users: their hashes would take longer to compute than everything else.
ENDPOINTS = f"""SELECT app, route, round(sum(coalesce(weight, 1))) AS requests,
    coalesce(sum(coalesce(weight, 1)) FILTER (WHERE status >= 500), 0) / sum(coalesce(weight, 1)) AS errors,
    sum(duration_seconds * coalesce(weight, 1)) / sum(coalesce(weight, 1)) AS mean_seconds, max(at) AS last_asked
FROM monitoring_views.http_request WHERE {_LAST_DAY} GROUP BY 1, 2 ORDER BY requests DESC LIMIT 25"""

# Everything below is for the restricted data source.
TOP = f"""WITH seen AS (
    SELECT user_id, role, session_id, count(*) AS activities, 0 AS requests, 0 AS failed, max(at) AS at
    FROM monitoring_restricted.user_activity WHERE {_LAST_DAY} AND user_id <> '' GROUP BY 1, 2, 3
    UNION ALL
    SELECT user_id, max(role), NULL, 0, sum(coalesce(weight, 1)), count(*) FILTER (WHERE status >= 500), max(at)
    FROM monitoring_restricted.http_request WHERE {_LAST_DAY} AND user_id <> '' GROUP BY 1
)
SELECT user_id, string_agg(DISTINCT role, ', ') AS roles, sum(activities) AS activities,
    round(sum(requests)) AS requests, sum(failed) AS failed, count(DISTINCT session_id) AS sessions,
    max(at) AS last_seen
FROM seen GROUP BY 1 ORDER BY sum(activities) + sum(requests) DESC LIMIT 25"""

_FAMILY = """CASE WHEN user_agent ~* 'bot|crawl|spider' THEN 'Bots'
    WHEN user_agent ~* '^(curl|wget|python|go-http|okhttp|java|node|axios)' THEN 'Programs'
    WHEN user_agent LIKE '%Edg%' THEN 'Edge' WHEN user_agent LIKE '%OPR/%' THEN 'Opera'
    WHEN user_agent LIKE '%Firefox/%' THEN 'Firefox' WHEN user_agent ~ 'Chrome/|CriOS/' THEN 'Chrome'
    WHEN user_agent LIKE '%Safari/%' THEN 'Safari' WHEN user_agent <> '' THEN 'Other' ELSE 'Unknown' END"""
BROWSERS = f"""WITH counted AS (
    SELECT user_agent, sum(coalesce(weight, 1)) AS requests
    FROM monitoring_restricted.http_request WHERE {_LAST_DAY} GROUP BY 1
)
SELECT {_FAMILY} AS browser, round(sum(requests)) AS requests FROM counted GROUP BY 1 ORDER BY 2 DESC LIMIT 12"""
AGENTS = f"""WITH counted AS (
    SELECT user_agent, user_id, sum(coalesce(weight, 1)) AS requests, max(at) AS at
    FROM monitoring_restricted.http_request WHERE {_LAST_DAY} AND user_agent <> '' GROUP BY 1, 2
)
SELECT user_agent, round(sum(requests)) AS requests, count(user_id) AS users, max(at) AS last_seen
FROM counted GROUP BY 1 ORDER BY requests DESC LIMIT 50"""

# The user whose id is entered; without one, the most active user.
_USER = f"""WITH chosen AS (SELECT coalesce(nullif(trim(${{user:sqlstring}}), ''), (
    SELECT user_id FROM monitoring_restricted.user_activity WHERE {_HERE} AND user_id <> ''
    GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1)) AS id)"""
_OF_USER = f"{_HERE} AND user_id = (SELECT id FROM chosen)"
TIMELINE = f"""{_USER}
SELECT * FROM (
    (SELECT at, 'activity' AS kind, app, concat_ws(' / ', activity, nullif(module, ''), nullif(feature, '')) AS what,
        CASE WHEN success IS FALSE THEN 'failed' ELSE 'done' END AS outcome, duration_seconds,
        left(session_id, 8) AS session, host(ip) AS address, {_FAMILY} AS software
    FROM monitoring_restricted.user_activity WHERE {_OF_USER} ORDER BY at DESC LIMIT 300)
    UNION ALL
    (SELECT at, 'request', app, method || ' ' || route, status::text, duration_seconds, left(session_id, 8), host(ip),
        {_FAMILY}
    FROM monitoring_restricted.http_request WHERE {_OF_USER} ORDER BY at DESC LIMIT 300)
    UNION ALL
    (SELECT at, 'error', app, error_type || coalesce(': ' || left(message, 200), ''), severity, NULL, NULL, host(ip),
        {_FAMILY}
    FROM monitoring_restricted.error WHERE {_OF_USER} ORDER BY at DESC LIMIT 300)
) found ORDER BY at DESC LIMIT 300"""
_STEPS = 'SELECT $__timeGroup(at, $__interval) AS "time", '
COURSE = f"""{_USER}
SELECT "time", metric, round(sum(weight)) AS value FROM (
    {_STEPS}'activity' AS metric, 1 AS weight FROM monitoring_restricted.user_activity WHERE {_OF_USER}
    UNION ALL {_STEPS}'request', coalesce(weight, 1) FROM monitoring_restricted.http_request WHERE {_OF_USER}
    UNION ALL {_STEPS}'error', 1 FROM monitoring_restricted.error WHERE {_OF_USER}
) found GROUP BY 1, 2 ORDER BY 1 LIMIT 20000"""
ABOUT = f"""{_USER}, seen AS (
    SELECT at, role, session_id, ip, 'activity' AS kind, 1 AS weight
    FROM monitoring_restricted.user_activity WHERE {_OF_USER}
    UNION ALL
    SELECT at, role, session_id, ip, 'request', coalesce(weight, 1)
    FROM monitoring_restricted.http_request WHERE {_OF_USER}
    UNION ALL
    SELECT at, NULL, NULL, ip, 'error', 1 FROM monitoring_restricted.error WHERE {_OF_USER}
)
SELECT (SELECT id FROM chosen) AS user_id, string_agg(DISTINCT role, ', ') AS roles, min(at) AS first_seen,
    max(at) AS last_seen, count(DISTINCT session_id) AS sessions,
    count(*) FILTER (WHERE kind = 'activity') AS activities,
    coalesce(round(sum(weight) FILTER (WHERE kind = 'request')), 0) AS requests,
    count(*) FILTER (WHERE kind = 'error') AS errors, count(DISTINCT ip) AS addresses
FROM seen LIMIT 1"""
