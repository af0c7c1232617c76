"""Who was active when: distinct users and sessions of the last minutes, hours and days."""

from collections.abc import Iterator

import psycopg

from exporter.aggregation.grouping import IN_TIME, event, readable
from exporter.aggregation.series import Reading
from exporter.database import expiry
from exporter.sources.mapping import Stream
from platform_sdk.events.base import LONGEST_LABEL, OTHER

WINDOWS = {"5m": 300, "1h": 3600, "1d": 86400, "7d": 604800}
"""The label `window` of platform_active_users and platform_active_sessions, in seconds."""

PRECISION_SECONDS = 15
"""An actor noted this shortly before is not written again: most actors of a poll were in the poll before it too."""

APPS = 100
"""How many apps have series of their own; what rows name must not decide how many series there are."""

KEPT_DAYS = 8
"""How long an actor is kept: longer than the longest window."""


def statement(stream: Stream, window_sql: str) -> str:
    """Return SQL that notes the users and sessions of the window's rows; same parameters as a count.

    A row that is rejected for a number in it still says that a user was active; only its time must be right.
    Only a 64-bit hash of an id is kept: enough to count by, without a second copy of personal data.
    """
    old = f"now() - make_interval(secs => {max(WINDOWS.values())})"
    named = stream.kind.actors
    columns, pairs = ", ".join(named.values()), ", ".join(f"('{kind}', {column})" for kind, column in named.items())
    present = " OR ".join(f"{column} <> ''" for column in named.values())
    return f"""WITH {event(stream, window_sql)}, pairs AS (
    SELECT app, {columns}, max(at) AS at FROM event
    WHERE ({present}) AND app IS NOT NULL AND at > {old} AND {IN_TIME}
        AND {readable(stream, f"left(app, {LONGEST_LABEL})")}
    GROUP BY app, {columns}
), seen AS (
    SELECT left(app, {LONGEST_LABEL}) AS app, kind, hashtextextended(id, 0) AS id, max(at) AS last_seen
    FROM pairs CROSS JOIN LATERAL (VALUES {pairs}) AS actor(kind, id)
    WHERE id <> '' GROUP BY 1, 2, 3
)
INSERT INTO monitoring.actor AS a (source, app, kind, id, last_seen)
SELECT %(source)s, app, kind, id, last_seen FROM seen
WHERE NOT EXISTS (
    SELECT FROM monitoring.actor known
    WHERE (known.source, known.app, known.kind, known.id) = (%(source)s, seen.app, seen.kind, seen.id)
        AND known.last_seen > seen.last_seen - make_interval(secs => {PRECISION_SECONDS})
)
ON CONFLICT (source, app, kind, id) DO UPDATE SET last_seen = excluded.last_seen
WHERE a.last_seen < excluded.last_seen"""


def forget(connection: psycopg.Connection, source: str) -> None:
    """Remove actors older than every window."""
    query = expiry.statement("actor", "last_seen", "source = %(source)s")
    connection.execute(query.encode(), {"source": source, "days": KEPT_DAYS})


def read(connection: psycopg.Connection, source: str) -> Iterator[Reading]:
    """Yield the distinct users and sessions of every app and window, windows without actors as 0.

    The apps with the most actors have series of their own; the others are one, `_other_`.
    """
    columns = ", ".join(
        f'count(*) FILTER (WHERE last_seen > now() - make_interval(secs => {seconds})) AS "{name}"'
        for name, seconds in WINDOWS.items()
    )
    sums = ", ".join(f'sum("{name}")' for name in WINDOWS)
    rows = connection.execute(
        f"""SELECT kind, CASE WHEN rank <= {APPS} THEN app ELSE '{OTHER}' END, {sums} FROM (
            SELECT *, row_number() OVER (PARTITION BY kind ORDER BY seen DESC, app) AS rank FROM (
                SELECT kind, app, count(*) AS seen, {columns} FROM monitoring.actor WHERE source = %s GROUP BY 1, 2
            ) by_app) ranked
        GROUP BY 1, 2""",
        [source],
    ).fetchall()
    for kind, app, *counts in rows:
        for window, value in zip(WINDOWS, counts, strict=True):
            yield Reading(f"platform_active_{kind}s", (app, window), float(value))
