"""The SDK's ledger: what every process produced and dropped.

Each process keeps one row in monitoring.sdk_ledger with its own totals. The rows of processes that have ended, and of
those that have been silent for long, are added to the rollups and removed, so that workers that are replaced often do
not fill the table.
"""

from collections.abc import Iterator

import psycopg

PRODUCED = "platform_sdk_events_total"
DROPPED = "platform_sdk_events_dropped_total"

STREAM = "sdk_ledger"
"""The rollups' stream for what is folded; no poll advances it."""

GONE_DAYS = 30
"""A process that wrote nothing for this long, by the database's clock, has ended; if not, its row counts twice."""

ENDED_HOURS = 1
"""How long the row of a process that ended can still be seen."""


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
