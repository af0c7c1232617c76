"""Group errors into issues; count those that are new, and resolved ones that occur again: regressions."""

from exporter.aggregation.rollup import checked
from exporter.events.base import LONGEST_LABEL, OTHER, closed
from exporter.events.error import SEVERITIES
from exporter.sources.mapping import Stream

REGRESSIONS = "platform_error_regressions_total"
CREATED = "platform_error_issues_created_total"
ERRORS = "platform_errors_total"
"""Whose apps have series of their own; the others' issues are counted as those of one app, `_other_`."""

GRACE_SECONDS = 5
"""An occurrence this shortly after an issue was resolved may have been on its way: no regression."""


def statement(stream: Stream, window_sql: str) -> str:
    """Return SQL that adds the window's good rows to monitoring.error_issue and counts new issues and regressions.

    All in one statement, so that what is counted are exactly the issues inserted and reopened: another source that
    inserts the same issue meanwhile makes it fail, and the poll begins anew. Same parameters as a count.
    """
    latest = "(array_agg({0} ORDER BY at DESC))[1]"
    return f"""WITH {checked(stream, window_sql)}, seen AS (
    SELECT left(app, {LONGEST_LABEL}) AS app,
        CASE WHEN length(fingerprint) > {LONGEST_LABEL} THEN md5(fingerprint)
            ELSE coalesce(nullif(fingerprint, ''), md5(concat_ws(' ', error_type, endpoint))) END AS fingerprint,
        {latest.format('lower(severity COLLATE "C")')} AS severity, {latest.format("error_type")} AS error_type,
        left({latest.format("message")}, 1000) AS message, {latest.format("endpoint")} AS endpoint,
        min(at) AS first_seen, max(at) AS last_seen, count(*) AS events, {latest.format("release")} AS release
    FROM checked WHERE rejected IS NULL GROUP BY 1, 2
), reopened AS (
    SELECT s.app, s.fingerprint FROM seen s JOIN monitoring.error_issue i USING (app, fingerprint)
    WHERE i.status = 'resolved' AND s.last_seen > i.resolved_at + make_interval(secs => {GRACE_SECONDS})
), upserted AS (
    INSERT INTO monitoring.error_issue AS i (app, fingerprint, severity, error_type, message, endpoint,
        first_seen, last_seen, events, first_release, last_release)
    SELECT app, fingerprint, severity, error_type, message, endpoint, first_seen, last_seen, events, release, release
    FROM seen ORDER BY app, fingerprint
    ON CONFLICT (app, fingerprint) DO UPDATE SET
        events = i.events + excluded.events,
        first_seen = least(i.first_seen, excluded.first_seen),
        last_seen = greatest(i.last_seen, excluded.last_seen),
        severity = excluded.severity, message = excluded.message,
        last_release = coalesce(excluded.last_release, i.last_release),
        status = CASE WHEN (i.app, i.fingerprint) IN (SELECT app, fingerprint FROM reopened) THEN 'open'
            ELSE i.status END,
        regressions = i.regressions
            + CASE WHEN (i.app, i.fingerprint) IN (SELECT app, fingerprint FROM reopened) THEN 1 ELSE 0 END
), shown AS (
    SELECT s.*, CASE WHEN app IN (
        SELECT labels->>'app' FROM monitoring.rollup
        WHERE source = %(source)s AND stream = %(stream)s AND metric = '{ERRORS}' AND type = 'counter'
    ) THEN app ELSE '{OTHER}' END AS shown FROM seen s
), counted AS (
    SELECT '{REGRESSIONS}' AS metric, jsonb_build_object('app', shown) AS labels, count(b.app) AS value
    FROM shown LEFT JOIN reopened b USING (app, fingerprint) GROUP BY shown
    UNION ALL SELECT '{CREATED}', jsonb_build_object('app', shown, 'severity', {closed("s.severity", SEVERITIES)}),
        count(*) FILTER (WHERE i.app IS NULL)
    FROM shown s LEFT JOIN monitoring.error_issue i USING (app, fingerprint) GROUP BY 2
)
INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, created_at)
SELECT %(source)s, %(stream)s, metric, 'counter', labels, value, now() FROM counted
ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET value = r.value + excluded.value"""
