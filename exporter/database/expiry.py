"""What is old enough to be removed: by the database's clock, only where this host's agrees, and never all at once."""

import time
from collections.abc import Callable

import psycopg

TOLERANCE_SECONDS = 300.0
"""How far the clocks may differ before nothing old is removed any more."""

DAYS_A_ROUND = 3
"""How many days of a table one round removes at most, the oldest first: where both clocks are wrong, time to notice."""


def clock_ahead_seconds(connection: psycopg.Connection, host_clock: Callable[[], float] = time.time) -> float:
    """Return how far the database's clock is ahead of this host's at least; negative where it is behind.

    0 where it lies between the beginning and the end of the query: a slow answer is not a difference.
    """
    before = host_clock()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    there, after = float(row[0]), host_clock()
    return there - min(max(there, before), after)


def clock_problem(ahead_seconds: float) -> str | None:
    """Return what is wrong and what to do where the clocks differ too much; None where they agree."""
    if abs(ahead_seconds) <= TOLERANCE_SECONDS:
        return None
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return (
        f"the database's clock is {_duration(abs(ahead_seconds))} {direction} this host's, expected at most "
        f"{TOLERANCE_SECONDS / 60:.0f} minutes; nothing old is removed until they agree: synchronize both hosts "
        "(`timedatectl` shows whether one is)"
    )


def statement(table: str, time_sql: str, condition: str = "true") -> str:
    """Return SQL that removes a table's rows older than %(days)s, the oldest few days of them.

    `condition` is SQL over the table that is true for the rows that may go.
    """
    return f"""DELETE FROM monitoring.{table} WHERE {condition} AND {time_sql} <= least(
        (SELECT min({time_sql}) FROM monitoring.{table} WHERE {condition}) + make_interval(days => {DAYS_A_ROUND}),
        now() - make_interval(days => %(days)s))"""


def _duration(seconds: float) -> str:
    return f"{seconds / 86_400:.1f} days" if seconds >= 86_400 else f"{seconds / 60:.0f} minutes"
