"""The error issues that are new or occurred again: what notifications name."""

from collections.abc import Iterator

import psycopg

from exporter.aggregation.series import Reading
from exporter.sources.mapping import SourcePlan
from platform_sdk.events.base import cut

NEWEST = 3
"""How many issues of an app have series of their own: enough to name in a notification."""

_RECENT = "now() - interval '1 hour'"

_CHANGED = f"""SELECT app, change, severity, error_type, release, fingerprint,
    extract(epoch FROM at)::double precision FROM (
    SELECT *, row_number() OVER (PARTITION BY app, change ORDER BY at DESC, fingerprint) AS place FROM (
        SELECT app, 'created' AS change, severity, {cut("error_type")} AS error_type,
            coalesce(first_release, '') AS release, fingerprint, first_seen AS at
        FROM monitoring.error_issue WHERE status = 'open' AND first_seen > {_RECENT} AND last_seen > {_RECENT}
        UNION ALL SELECT app, 'regressed', severity, {cut("error_type")}, coalesce(last_release, ''), fingerprint,
            changed_at
        FROM monitoring.error_issue
        WHERE status = 'open' AND regressions > 0 AND changed_by = 'exporter' AND changed_at > {_RECENT}
            AND last_seen > {_RECENT}) issue) ranked
WHERE place <= {NEWEST} ORDER BY at DESC LIMIT 300"""


def read(connection: psycopg.Connection, plan: SourcePlan) -> Iterator[Reading]:
    """Yield the issues that are new or occurred again within an hour, the newest of each app, and when that was.

    They are what notifications name. The message is not a label: the page of the issue has it.
    """
    if any(stream.kind.issues for stream in plan.streams):
        for *labels, at in connection.execute(_CHANGED.encode()).fetchall():
            yield Reading("platform_error_issue_changed_timestamp_seconds", tuple(labels), at)
