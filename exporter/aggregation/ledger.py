"""The SDK's ledger: what every process produced and dropped.

Each process keeps one row in monitoring.sdk_ledger with its own totals. The rows of processes that have ended, and of
those that have been silent for long, are added to the rollups and removed, so that workers that are replaced often do
not fill the table.
"""

from collections.abc import Iterator

import psycopg

from platform_sdk.events.base import LONGEST_LABEL, OTHER

PRODUCED = "platform_sdk_events_total"
DROPPED = "platform_sdk_events_dropped_total"

STREAM = "sdk_ledger"
"""The rollups' stream for what is folded; no poll advances it."""

GONE_DAYS = 30
"""A process that wrote nothing for this long, by the database's clock, has ended; if not, its row counts twice."""

ENDED_HOURS = 1
"""How long the row of a process that ended can still be seen."""

CLOCKS = 100
"""How many apps have series of their clocks, those that differ most."""

SILENT_SECONDS = 180
"""A process reports once a minute (REPORT_SECONDS of the SDK); after three missed reports it does not run."""

APPS = 500
"""How many apps have series of their processes, those known for longest; the others are one, `_other_`."""


def read(connection: psycopg.Connection, source: str) -> Iterator[tuple[str, dict[str, str], float, float]]:
    """Yield (metric, labels, value, created): events produced by app, and dropped by app and reason.

    One statement, so that folding causes no dip.
    """
    yield from connection.execute(
        f"""SELECT metric, labels, greatest(sum(value), max(held)), extract(epoch FROM min(since))::double precision
        FROM (
            SELECT metric, labels, value, held[1], created_at AS since FROM monitoring.rollup
            WHERE source = %s AND stream = '{STREAM}'
            UNION ALL SELECT metric, labels, value, NULL, since FROM ({_entries("monitoring.sdk_ledger")}) process
        ) entry
        GROUP BY metric, labels ORDER BY metric, labels""",
        [source],
    ).fetchall()


def clocks(connection: psycopg.Connection) -> Iterator[tuple[str, float]]:
    """Yield (app, seconds that its clock is ahead of the server's), of the process that differs most, those apps first.

    Only of processes that reported lately: a row that a later process stores, from a spool, is older than it says.
    """
    yield from connection.execute(
        f"""SELECT app, (array_agg(ahead ORDER BY abs(ahead) DESC))[1] AS most FROM (
            SELECT left(app, {LONGEST_LABEL}) AS app,
                extract(epoch FROM updated_at - written_at)::double precision AS ahead
            FROM monitoring.sdk_ledger
            WHERE ended_at IS NULL AND isfinite(updated_at) AND written_at > now() - interval '2 minutes') process
        GROUP BY 1 ORDER BY abs((array_agg(ahead ORDER BY abs(ahead) DESC))[1]) DESC, 1 LIMIT {CLOCKS}"""
    ).fetchall()


def processes(connection: psycopg.Connection) -> Iterator[tuple[str, int, int, float]]:
    """Yield (app, running, lost, last report as Unix seconds) of every app in the ledger, by the server's clock.

    Lost are those that have reported within the hour, do so no longer, and did not end in order; and those of which a
    later process has entered that they were killed.
    """
    yield from connection.execute(
        f"""SELECT CASE WHEN place <= {APPS} THEN app ELSE '{OTHER}' END, sum(running)::bigint, sum(lost)::bigint,
            extract(epoch FROM max(reported_at))::double precision
        FROM (
            SELECT left(app, {LONGEST_LABEL}) AS app, max(written_at) AS reported_at,
                count(*) FILTER (WHERE ended_at IS NULL AND age <= {SILENT_SECONDS} AND NOT killed) AS running,
                count(*) FILTER (WHERE ended_at IS NULL AND (age > {SILENT_SECONDS} OR killed) AND age < 3600) AS lost,
                row_number() OVER (ORDER BY min(started_at), left(app, {LONGEST_LABEL})) AS place
            FROM (
                SELECT *, extract(epoch FROM now() - written_at) AS age, dropped ? 'killed' AS killed
                FROM monitoring.sdk_ledger
            ) process
            GROUP BY 1
        ) counted
        GROUP BY 1 ORDER BY 1"""
    ).fetchall()


def fold(connection: psycopg.Connection, source: str) -> None:
    """Add the rows of processes that have ended and have nothing spooled to the rollups, and remove them."""
    connection.execute(
        f"""WITH gone AS (
            DELETE FROM monitoring.sdk_ledger WHERE (written_at < now() - make_interval(days => {GONE_DAYS})
            OR ended_at < now() - make_interval(hours => {ENDED_HOURS})) AND spooled = 0
            RETURNING app, produced, dropped, started_at
        )
        INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, created_at)
        SELECT %s, '{STREAM}', metric, 'counter', labels, sum(value), min(since) FROM ({_entries("gone")}) entry
        GROUP BY 3, 5
        ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET value = r.value + excluded.value,
            created_at = least(r.created_at, excluded.created_at)""",
        [source],
    )


def _entries(table: str) -> str:
    return f"""SELECT '{PRODUCED}'::text AS metric, jsonb_build_object('app', left(app, 200)) AS labels,
            produced::double precision AS value, started_at AS since FROM {table}
        UNION ALL SELECT '{DROPPED}', jsonb_build_object('app', left(app, 200), 'reason', left(key, 200)),
            text::double precision, started_at
            FROM {table} CROSS JOIN LATERAL jsonb_each_text(dropped) AS why(key, text)"""
