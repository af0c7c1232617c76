"""When each app's releases were first seen: annotations in Grafana, and the order of releases."""

from collections.abc import Iterator

import psycopg

from exporter.aggregation.grouping import IN_TIME, event, readable
from exporter.aggregation.series import Reading
from exporter.sources.mapping import SourcePlan, Stream
from platform_sdk.events.base import LONGEST_LABEL

_SHOWN = (f"left(app, {LONGEST_LABEL})", f"left(release, {LONGEST_LABEL})")

SHOWN = 200
"""How many releases of an app have series: the newest."""

KEPT = 1000
"""How many of an app are stored. A writer that makes up a release for each request must not fill the disk."""

MOST_APPS = 500
"""How many apps have releases stored: as many as have series by default."""


def statement(stream: Stream, window_sql: str) -> str:
    """Return SQL that adds the window's releases to monitoring.release. Same parameters as a count.

    Result: one row, whether any was new. A late event makes its release older.
    """
    return f"""WITH {event(stream, window_sql)}, seen AS (
    SELECT left(app, {LONGEST_LABEL}) AS app, left(release, {LONGEST_LABEL}) AS release, min(at) AS first_seen
    FROM event
    WHERE app <> '' AND release <> '' AND {IN_TIME} AND {readable(stream, *_SHOWN)} GROUP BY 1, 2
), fitting AS (
    SELECT *, row_number() OVER (PARTITION BY app ORDER BY first_seen DESC, release) AS place FROM seen
    WHERE app IN (SELECT app FROM monitoring.release)
        OR (SELECT count(DISTINCT app) FROM monitoring.release) < {MOST_APPS}
), noted AS (
    INSERT INTO monitoring.release AS r (app, release, first_seen)
    SELECT app, release, least(first_seen, now()) FROM fitting WHERE place <= {KEPT} ORDER BY 1, 2
    ON CONFLICT (app, release) DO UPDATE SET first_seen = excluded.first_seen WHERE excluded.first_seen < r.first_seen
    RETURNING 1
)
SELECT count(*) > 0 FROM noted"""


FORGET = f"""DELETE FROM monitoring.release WHERE (app, release) IN (
    SELECT app, release FROM (
        SELECT app, release, row_number() OVER (PARTITION BY app ORDER BY first_seen DESC, release) AS place,
            dense_rank() OVER (ORDER BY app) AS app_place
        FROM monitoring.release) ranked
    WHERE place > {KEPT} OR app_place > {2 * MOST_APPS})"""
"""Remove all but an app's newest. One statement may add up to MOST_APPS too many apps; twice as many never stay."""


def has_releases(stream: Stream) -> bool:
    """Return whether a stream's events name their release."""
    return "release" in stream.columns


def read(connection: psycopg.Connection, plan: SourcePlan) -> Iterator[Reading]:
    """Yield when the newest releases of each app were first seen; nothing where the source's events name none."""
    if not any(has_releases(stream) for stream in plan.streams):
        return
    rows = connection.execute(
        """SELECT app, release, extract(epoch FROM first_seen)::double precision FROM (
            SELECT *, row_number() OVER (PARTITION BY app ORDER BY first_seen DESC, release) AS place
            FROM monitoring.release) ranked
        WHERE place <= %s ORDER BY 1, 2""",
        [SHOWN],
    ).fetchall()
    for app, release, first_seen in rows:
        yield Reading("platform_release_first_seen_timestamp_seconds", (app, release), first_seen)
