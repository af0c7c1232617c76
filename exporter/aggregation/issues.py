"""Error issues: group errors, count new issues, and reopen those that must be.

The life of an issue, each change of it a row of monitoring.audit:

    (first occurrence) -> open -> resolved -> open    a regression: it occurred again, see `_REGRESSED`
                          open -> ignored  -> open    its time is over, or it has occurred too often

What people do to issues is in `exporter.issues`; what happens automatically is here, as actor `exporter`.

An issue may have several fingerprints, the rows of monitoring.error_fingerprint: of issues that people merged, and of
several versions of the SDK's rules. An error whose fingerprint is new belongs to the issue of its former one, if there
is such an issue: so an upgrade of the SDK makes no new issues, and resolved ones stay so.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from exporter.aggregation.grouping import checked
from exporter.database.values import UNRECORDED
from exporter.sources.mapping import Stream
from platform_sdk.events.base import LONGEST_LABEL, OTHER, cut
from platform_sdk.events.error import FORMER, ISSUE, SEVERITIES, SEVERITY

REGRESSIONS = "platform_error_regressions_total"
CREATED = "platform_error_issues_created_total"
ERRORS = "platform_errors_total"
"""The apps of this metric have issue counters of their own; the issues of others count for one app, `_other_`."""

GRACE_SECONDS = 5
"""An occurrence this shortly after an issue was resolved may have been under way: no regression."""

_LATEST = "(array_agg({0} ORDER BY at DESC))[1]"

_OCCURRENCE = f"""met AS (
    SELECT left(app, {LONGEST_LABEL}) AS app, {ISSUE} AS own, {FORMER} AS former,
        at, coalesce({SEVERITY.understood}, lower(severity COLLATE "C")) AS severity, error_type, message, endpoint,
        left(release, {LONGEST_LABEL}) AS release
    FROM checked WHERE rejected IS NULL
), place AS (
    SELECT DISTINCT ON (app, own) m.app, m.own, m.former, f.app IS NULL AS added,
        coalesce(f.issue, i.fingerprint, g.issue, old.fingerprint, m.own) AS fingerprint
    FROM (SELECT DISTINCT app, own, former FROM met) m
    LEFT JOIN monitoring.error_fingerprint f ON f.app = m.app AND f.fingerprint = m.own
    LEFT JOIN monitoring.error_issue i ON i.app = m.app AND i.fingerprint = m.own
    LEFT JOIN monitoring.error_fingerprint g ON g.app = m.app AND g.fingerprint = m.former AND NOT g.former
    LEFT JOIN monitoring.error_issue old ON old.app = m.app AND old.fingerprint = m.former
    ORDER BY app, own, coalesce(g.first_seen, old.first_seen), m.former
), occurrence AS (
    SELECT m.*, p.fingerprint FROM met m JOIN place p USING (app, own)
)"""
"""`place` says which issue each fingerprint of the window belongs to: `added` where it is a new one."""


def _summary(by: str) -> str:
    """Return the columns that describe a group of occurrences."""
    return f"""{by}, {_LATEST.format("severity")} AS severity, {_LATEST.format("error_type")} AS error_type,
        {cut(_LATEST.format("message"), 1000)} AS message, {_LATEST.format("endpoint")} AS endpoint,
        min(at) AS first_seen, max(at) AS last_seen, count(*) AS events, {_LATEST.format("release")} AS release"""


def _added(kept: str) -> str:
    """Return the assignments that add new occurrences to the row `kept`, an issue's or a fingerprint's."""
    return f"""events = {kept}.events + excluded.events,
        first_seen = least({kept}.first_seen, excluded.first_seen),
        last_seen = greatest({kept}.last_seen, excluded.last_seen),
        severity = excluded.severity, error_type = excluded.error_type, message = excluded.message,
        endpoint = excluded.endpoint, last_release = coalesce(excluded.last_release, {kept}.last_release)"""


_RECORDED = f"""recorded AS (
    INSERT INTO monitoring.error_fingerprint AS f (app, fingerprint, issue, severity, error_type, message, endpoint,
        first_seen, last_seen, events, first_release, last_release)
    SELECT m.app, m.own, p.fingerprint, m.severity, m.error_type, m.message, m.endpoint,
        least(m.first_seen, i.first_seen), m.last_seen, m.events + coalesce({UNRECORDED}, 0),
        coalesce(i.first_release, m.release), m.release
    FROM (SELECT {_summary("app, own")} FROM met GROUP BY 1, 2) m JOIN place p USING (app, own)
    LEFT JOIN monitoring.error_issue i ON p.added AND i.app = m.app AND i.fingerprint = m.own
    ORDER BY m.app, m.own
    ON CONFLICT (app, fingerprint) DO UPDATE SET
        {_added("f")}, first_release = coalesce(f.first_release, excluded.first_release)
), aliased AS (
    INSERT INTO monitoring.error_fingerprint (app, fingerprint, issue, former)
    SELECT DISTINCT ON (app, former) app, former, fingerprint, true FROM place p
    WHERE added AND fingerprint = own AND former IS NOT NULL
        AND NOT EXISTS (SELECT FROM place o WHERE o.app = p.app AND o.own = p.former)
    ORDER BY app, former, own ON CONFLICT DO NOTHING
)"""
"""Counts by fingerprint. A poll that had an older snapshot than a merge or a split meets a changed row here, and fails:
it is tried again. `aliased` is for servers that still have the former version of the SDK."""

_REGRESSED = f"""regressed AS (
    SELECT DISTINCT o.app, o.fingerprint FROM (
        SELECT app, fingerprint, release, max(at) AS last_seen FROM occurrence GROUP BY 1, 2, 3) o
    JOIN monitoring.error_issue i USING (app, fingerprint)
    LEFT JOIN monitoring.release carried ON carried.app = o.app AND carried.release = o.release
    LEFT JOIN monitoring.release fixed ON fixed.app = o.app AND fixed.release = i.resolved_release
    WHERE i.status = 'resolved' AND o.last_seen > i.resolved_at + make_interval(secs => {GRACE_SECONDS})
        AND (i.resolved_release IS NULL OR o.release IS NULL OR o.release = i.resolved_release
            OR carried.first_seen IS NULL OR carried.first_seen >= fixed.first_seen)
)"""
"""Issues that occurred later than their resolution and its grace. Where an issue was resolved in a release, occurrences
in an older release do not count: a server that is not updated yet may run it. A release never seen before is newer."""

_ENDED = """ended AS (
    SELECT s.app, s.fingerprint FROM seen s JOIN monitoring.error_issue i USING (app, fingerprint)
    WHERE i.status = 'ignored' AND i.ignored_until_events <= i.events + s.events
)"""

_AUDITED = """INSERT INTO monitoring.audit (actor, action, object, details)
    SELECT 'exporter', c.action, 'error_issue/' || i.id, jsonb_strip_nulls(jsonb_build_object(
        'app', i.app, 'fingerprint', i.fingerprint, 'from', i.status, 'to', 'open', 'release', c.release))"""

WAKE = f"""WITH woken AS (
    UPDATE monitoring.error_issue SET status = 'open', changed_by = 'exporter', changed_at = now(),
        ignored_until = NULL, ignored_until_events = NULL
    WHERE status = 'ignored' AND ignored_until <= now() RETURNING app, fingerprint
), c AS (SELECT *, 'error.ignore_ended' AS action, NULL::text AS release FROM woken)
{_AUDITED} FROM c JOIN monitoring.error_issue i USING (app, fingerprint)"""
"""Reopens the issues that were ignored until now, whether they occur again or not. One index look-up a poll."""

_UPSERTED = f"""upserted AS (
    INSERT INTO monitoring.error_issue AS i (app, fingerprint, severity, error_type, message, endpoint,
        first_seen, last_seen, events, first_release, last_release)
    SELECT app, fingerprint, severity, error_type, message, endpoint, first_seen, last_seen, events, release, release
    FROM seen ORDER BY app, fingerprint
    ON CONFLICT (app, fingerprint) DO UPDATE SET
        {_added("i")},
        (status, changed_by, changed_at, ignored_until, ignored_until_events, regressions) = (
            SELECT CASE WHEN r.app IS NULL THEN i.status ELSE 'open' END,
                CASE WHEN r.app IS NULL THEN i.changed_by ELSE 'exporter' END,
                CASE WHEN r.app IS NULL THEN i.changed_at ELSE now() END,
                CASE WHEN r.app IS NULL THEN i.ignored_until END,
                CASE WHEN r.app IS NULL THEN i.ignored_until_events END,
                i.regressions + coalesce(r.regressions, 0)
            FROM (SELECT) one LEFT JOIN reopened r ON r.app = i.app AND r.fingerprint = i.fingerprint)
)"""

_COUNTED = f"""shown AS (
    SELECT s.*, CASE WHEN app IN (
        SELECT labels->>'app' FROM monitoring.rollup
        WHERE source = %(source)s AND stream = %(stream)s AND metric = '{ERRORS}' AND type = 'counter'
    ) THEN app ELSE '{OTHER}' END AS shown FROM seen s
), counted AS (
    SELECT '{REGRESSIONS}' AS metric, jsonb_build_object('app', shown) AS labels, count(b.app) AS value
    FROM shown LEFT JOIN regressed b USING (app, fingerprint) GROUP BY shown
    UNION ALL SELECT '{CREATED}',
        jsonb_build_object('app', shown, 'severity', {replace(SEVERITY, name="s.severity").closed}),
        count(*) FILTER (WHERE i.app IS NULL)
    FROM shown s LEFT JOIN monitoring.error_issue i USING (app, fingerprint) GROUP BY 2
)"""


def statement(stream: Stream, window_sql: str) -> str:
    """Return SQL that adds the window's good rows to monitoring.error_issue and counts new issues and regressions.

    One statement, so that exactly the issues inserted and reopened are counted. Its transaction is REPEATABLE READ: an
    issue that another connection inserts or changes meanwhile fails it, and the poll is tried again. Same parameters
    as a count.
    """
    return f"""WITH {checked(stream, window_sql)}, {_OCCURRENCE}, {_RECORDED}, seen AS (
    SELECT {_summary("app, fingerprint")} FROM occurrence GROUP BY 1, 2
), {_REGRESSED}, {_ENDED}, reopened AS (
    SELECT app, fingerprint, 'error.regression' AS action, 1 AS regressions FROM regressed
    UNION ALL SELECT app, fingerprint, 'error.ignore_ended', 0 FROM ended
), {_UPSERTED}, audited AS (
    {_AUDITED}
    FROM (SELECT * FROM reopened JOIN (SELECT app, fingerprint, release FROM seen) s USING (app, fingerprint)) c
    JOIN monitoring.error_issue i USING (app, fingerprint)
), {_COUNTED}
INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, created_at)
SELECT %(source)s, %(stream)s, metric, 'counter', labels, value, now() FROM counted
ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET value = r.value + excluded.value"""


def zeros(series: Iterable[tuple[str, dict[str, str], float]]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield (metric, labels, created) of the counters that are still 0, for every app of `series`, of the same shape.

    A series that appears with 1 shows no increase, so that an app's counters begin before its first error.
    """
    known: set[tuple[str, str, str]] = set()
    since: dict[str, float] = {}
    for metric, labels, created in series:
        app = labels.get("app")
        if app is not None:
            known.add((metric, app, labels.get("severity", "")))
            since[app] = min(created, since.get(app, created))
    for app, created in since.items():
        if (REGRESSIONS, app, "") not in known:
            yield REGRESSIONS, {"app": app}, created
        for severity in SEVERITIES:
            if (CREATED, app, severity) not in known:
                yield CREATED, {"app": app, "severity": severity}, created
