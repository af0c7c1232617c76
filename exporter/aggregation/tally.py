"""Sums of rows by metric, as rollups have them: what counters can be compared with, and what removed rows had added.

A tally is {(metric, detail): Sums}. `detail` is the type of samples, which share one entry a type as rows choose their
names, and the reason of rejected rows. Gauges have no sums.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from exporter.aggregation import grouping, snapshot
from exporter.aggregation.rollup import SELF_EVENTS, SELF_REJECTED
from exporter.config.settings import Limits
from exporter.sources.failing import ROW_ERRORS
from exporter.sources.mapping import Stream
from platform_sdk.events.sample import BUDGET

UNREAD = "unread"
"""The entry that counts removals whose rows could not be read beforehand."""

TIMEOUT_SECONDS = 20
"""How long the rows of a day are read before they are removed, while no poll runs; longer, and they go unread."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rows add to a metric: a counter's or histogram's value, a histogram's sum, and that of its buckets."""

    value: float = 0.0
    total: float = 0.0
    buckets: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.value + other.value, self.total + other.total, self.buckets + other.buckets)


Tally = dict[tuple[str, str], Sums]


@dataclass(frozen=True, slots=True)
class Removal:
    """What rows that are about to be removed had added, read when `snapshot` was taken; None: not in time."""

    snapshot: str
    tally: Tally | None


def of_rows(connection: psycopg.Connection, stream: Stream, window: snapshot.Window, limits: Limits) -> Tally:
    """Return the tally of a window's rows, by the SQL that counts them. Raises one of ROW_ERRORS as a poll would."""
    bins = " + ".join(f"coalesce(sum({name}), 0)" for name in grouping.bin_names(stream.kind)) or "0"
    query = f"""WITH {grouping.grouped(stream, window.sql)}
SELECT budget, CASE budget WHEN '{BUDGET}' THEN type ELSE '' END, sum(value), coalesce(sum(total), 0), {bins}
FROM candidate WHERE type <> 'gauge' GROUP BY 1, 2
UNION ALL SELECT '{SELF_EVENTS}', '', sum(n), 0, 0 FROM fine WHERE rejected IS NULL HAVING count(*) > 0
UNION ALL SELECT '{SELF_REJECTED}', rejected, sum(n), 0, 0 FROM fine WHERE rejected IS NOT NULL GROUP BY rejected"""
    parameters = {
        "source": stream.source,
        "stream": stream.name,
        "future_tolerance_seconds": limits.future_tolerance_seconds,
        "sample_labels": list(stream.sample_labels),
    }
    return _tally(connection, query, parameters | window.parameters)


def of_rollups(connection: psycopg.Connection, stream: Stream) -> Tally:
    """Return the tally of a stream's committed rollups."""
    query = f"""SELECT coalesce(budget, metric),
    CASE WHEN budget = '{BUDGET}' THEN type WHEN metric = '{SELF_REJECTED}' THEN labels->>'reason' ELSE '' END,
    sum(value), coalesce(sum(total), 0), coalesce(sum((SELECT sum(b) FROM unnest(buckets) b)), 0)
FROM monitoring.rollup WHERE source = %(source)s AND stream = %(stream)s AND type <> 'gauge'
    AND (budget IS NOT NULL OR metric IN ('{SELF_EVENTS}', '{SELF_REJECTED}')) GROUP BY 1, 2"""
    return _tally(connection, query, _names(stream))


def of_removed(connection: psycopg.Connection, stream: Stream) -> Tally:
    """Return the tally of the rows that retention removed, and of removals unread."""
    query = """SELECT metric, detail, value, total, buckets FROM monitoring.removed
        WHERE source = %(source)s AND stream = %(stream)s"""
    return _tally(connection, query, _names(stream))


def before_removal(connection: psycopg.Connection, stream: Stream, going: snapshot.Window) -> Removal:
    """Read what the rows that are `going` had added. Takes no lock that a writer waits for."""
    ends_at = time.monotonic() + TIMEOUT_SECONDS
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(f"SET LOCAL jit = off; SET LOCAL statement_timeout = '{TIMEOUT_SECONDS}s'")
        now = snapshot.take(connection)
        here = counted_here(connection, stream)
        window = snapshot.Window(f"{here.sql} AND {going.sql}", here.parameters | going.parameters)
        try:
            with connection.transaction():
                return Removal(now.snapshot, of_rows(connection, stream, window, Limits()))
        except (psycopg.errors.QueryCanceled, *ROW_ERRORS) as error:
            if isinstance(error, psycopg.errors.QueryCanceled) and time.monotonic() < ends_at:
                raise  # the exporter ends: the rows stay
            return Removal(now.snapshot, None)


def counted_here(connection: psycopg.Connection, stream: Stream) -> snapshot.Window:
    """Return the window of the rows written in a cluster in which the stream was counted."""
    query = """SELECT array_agg(system_identifier) FROM (
        SELECT source, stream, system_identifier FROM monitoring.cursor
        UNION ALL SELECT source, stream, system_identifier FROM monitoring.former_cluster) c
        WHERE source = %(source)s AND stream = %(stream)s"""
    (clusters,) = connection.execute(query, _names(stream)).fetchone() or (None,)
    return snapshot.Window(f"{stream.cluster} = ANY(%(clusters)s)", {"clusters": clusters or []})


def record(connection: psycopg.Connection, stream: Stream, removal: Removal) -> None:
    """Add a removal to what was removed: in the transaction that removes, for every source that counts the table."""
    tally: Mapping[tuple[str, str], Sums] = {(UNREAD, ""): Sums(1)} if removal.tally is None else removal.tally
    rows = [(*key, sums.value, sums.total, sums.buckets) for key, sums in tally.items()]
    connection.cursor().executemany(
        """INSERT INTO monitoring.removed AS r (source, stream, metric, detail, value, total, buckets)
        SELECT source, stream, %s, %s, %s, %s, %s FROM monitoring.cursor WHERE relation = %s
        ON CONFLICT (source, stream, metric, detail) DO UPDATE SET value = r.value + excluded.value,
            total = r.total + excluded.total, buckets = r.buckets + excluded.buckets""",
        [(*row, stream.relation) for row in rows],
    )


def _names(stream: Stream) -> dict[str, Any]:
    return {"source": stream.source, "stream": stream.name}


def _tally(connection: psycopg.Connection, query: str, parameters: dict[str, Any]) -> Tally:
    rows = connection.execute(query.encode(), parameters).fetchall()
    return {(metric, detail): Sums(*map(float, sums)) for metric, detail, *sums in rows}
