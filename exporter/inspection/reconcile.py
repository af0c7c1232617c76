"""Counters against plain SQL over the rows, in one snapshot: equal, or by how much they differ and why.

    counter = rows that are there and counted + rows that retention removed (recorded when it did)

Rows not yet counted are left out by the cursor, which the same snapshot sees. What can make the two differ, and whether
its extent is known:

    future    rows rejected because they were ahead of the clock, and are not any more: known
    removed   rows that retention removed before it recorded them, or could not read in time: not known
    changes   rows of which every change counts: a counter is at least its rows
    left      rows of an adopted table that were counted and do not meet `counted_when` any more: known
    changed   rows that an application deleted or updated after they were counted: at most what its statistics say
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import psycopg

from exporter.aggregation import captured, malformed, replica, snapshot, tally
from exporter.aggregation.rollup import SELF_EVENTS, SELF_REJECTED
from exporter.aggregation.tally import UNREAD, Sums, Tally
from exporter.config.settings import Config, Limits, Source
from exporter.sources import mapping
from exporter.sources.failing import ROW_ERRORS, failing_rows, leaving_out, values
from exporter.sources.mapping import SourcePlan, Stream
from platform_sdk.events.sample import BUDGET

TOLERANCE = 1e-9
"""By how much sums of the same numbers may differ, as a share: floating point adds them in another order."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one stream: the counter, and what plain SQL says.

    `why` explains a difference; None where there is none, or none is known (`explained` is False then).
    """

    stream: str
    metric: str
    counter: float
    rows: float
    removed: float
    why: str | None = None

    @property
    def difference(self) -> float:
        """How much the counter is above its rows; 0 within floating point."""
        found = self.counter - self.rows - self.removed
        return 0.0 if abs(found) <= TOLERANCE * max(1.0, abs(self.counter), abs(self.rows)) else found

    @property
    def explained(self) -> bool:
        return self.difference == 0 or self.why is not None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A source's comparisons at one moment; `waiting` rows of it were not yet counted then.

    `notes` says what is not compared, and `problems` why nothing could be.
    """

    source: str
    at: datetime
    comparisons: tuple[Comparison, ...] = ()
    waiting: int = 0
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def explained(self) -> bool:
        return not self.problems and all(one.explained for one in self.comparisons)


@dataclass
class _Causes:
    """What may make a stream's counters differ from its rows; counts are of rows.

    `each_row_once` are the metrics in which a row is at most 1: they cannot differ by more.
    """

    each_row_once: frozenset[str]
    future: float = 0.0
    removed: list[str] = field(default_factory=list)
    every_change: bool = False
    left: int = 0
    deleted: int = 0
    updated: int = 0
    inserted: int | None = None
    counted: float = 0.0
    rewritten: bool = False

    def of(self, one: Comparison) -> str | None:
        """Return what explains a difference."""
        above = one.difference > 0
        of_rows = one.metric in self.each_row_once or one.metric.startswith((SELF_EVENTS, SELF_REJECTED))
        by_future = one.metric == f"{SELF_REJECTED} future" if above else self.future > 0
        if by_future and self.future and (not of_rows or abs(one.difference) <= self.future):
            return f"{self.future:,.0f} rows were ahead of the clock when they were counted, and are not any more"
        if above and self.removed:
            return "; ".join(self.removed)
        if above and self.every_change:
            return "every change of a row counts, and some changed more than once: a counter below the rows would show"
        if above and self.left and (not of_rows or one.difference <= self.left):
            return f"{self.left:,} rows that were counted do not meet `counted_when` any more"
        changed = self.updated + (self.deleted if above else 0)
        if changed and (not of_rows or abs(one.difference) <= changed):
            return (
                f"the application deleted or updated rows after they were counted (statistics of its table: "
                f"{self.deleted:,} deleted, {self.updated:,} updated)"
            )
        if above and self.inserted is not None and self.inserted < self.counted:
            return (
                f"the table is another one than was counted, made again or restored: only {self.inserted:,} rows were "
                "ever written to it, by its statistics"
            )
        if above and self.rewritten:
            return "the table was emptied or written again after rows were counted (TRUNCATE, VACUUM FULL)"
        return None


def reconcile(connection: psycopg.Connection, plan: SourcePlan, limits: Limits) -> Reconciliation:
    """Compare the counters of a source with its rows. Reads every row once; writers wait for nothing.

    Raises psycopg.Error, and DatabaseError on a standby.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SET LOCAL jit = off; SET LOCAL work_mem = '64MB'")
        now = snapshot.take(connection)
        (at,) = connection.execute("SELECT now()").fetchone() or (None,)
        comparisons: list[Comparison] = []
        waiting, notes, problems = 0, [], []
        for stream in plan.streams:
            cursor = snapshot.read(connection, stream)
            if cursor is None or cursor.system_identifier != now.system_identifier:
                problems.append(
                    f"{stream.relation} was never counted in this database: start `platform-exporter serve`, which "
                    "counts at once, then run this again"
                )
            elif stream.counted == "deleted":
                notes.append(f"{stream.relation} counts rows when they are deleted: there is nothing to compare with")
            else:
                found, uncounted = _stream(connection, stream, cursor, limits)
                comparisons += found
                waiting += uncounted
                notes += _foreign(connection, stream)
        return Reconciliation(plan.name, at, tuple(comparisons), waiting, tuple(notes), tuple(problems))


def reconcile_source(connection: psycopg.Connection, config: Config, source: Source) -> Reconciliation:
    """Compare the counters of a configured source with its rows; `connection` is to the database of the counters."""
    plan = mapping.plan(source)
    if not plan.read_only:
        return reconcile(connection, plan, config.limits)
    with replica.connect_to_read(config.database_of(source), "reconcile") as reading:
        return _by_time(connection, reading, plan, config.limits)


BY_TIME = (
    "rows that may only be read are counted by time: those committed later than `settle_seconds` were missed, and "
    "those deleted or changed since are counted as they were"
)
"""Why counters of a source that may only be read differ from its rows."""


def _by_time(
    store: psycopg.Connection, reading: psycopg.Connection, plan: SourcePlan, limits: Limits
) -> Reconciliation:
    """Compare counters in the event store with rows elsewhere, up to the position: no snapshot sees both."""
    with store.transaction(force_rollback=True), reading.transaction(force_rollback=True):
        for connection in (store, reading):
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        (at,) = store.execute("SELECT now()").fetchone() or (None,)
        comparisons: list[Comparison] = []
        problems = []
        for stream in plan.streams:
            position = snapshot.read_position(store, stream)
            if position is None:
                problems.append(
                    f"{stream.relation} was never counted: start `platform-exporter serve`, then run this again"
                )
                continue
            counters, removed = tally.of_rollups(store, stream), tally.of_removed(store, stream)
            rows = _rows_until(reading, stream, position, limits)
            found = _compared(stream, counters, rows, removed)
            comparisons += [replace(one, why=BY_TIME if one.difference else None) for one in found]
        return Reconciliation(plan.name, at, tuple(comparisons), problems=tuple(problems))


def _rows_until(reading: psycopg.Connection, stream: Stream, position: str, limits: Limits) -> Tally:
    window = snapshot.Window(f"({stream.cursor}) <= %(position)s::timestamptz", {"position": position})
    try:
        with reading.transaction():
            return tally.of_rows(reading, stream, window, limits)
    except ROW_ERRORS:
        rows = f"(SELECT t.tableoid, t.ctid FROM {stream.relation.sql} t WHERE {window.sql})"
        failing = failing_rows(reading, replace(stream, changes=rows), window.parameters)
    good = snapshot.Window(window.sql, window.parameters | {"failing": failing})
    found = tally.of_rows(reading, leaving_out(stream), good, limits)
    key = (SELF_REJECTED, malformed.REASON)
    return found | {key: found.get(key, Sums()) + Sums(len(failing))}


def _stream(
    connection: psycopg.Connection, stream: Stream, cursor: snapshot.Cursor, limits: Limits
) -> tuple[list[Comparison], int]:
    """Return the comparisons of a stream, and how many rows are not yet counted."""
    since = {"cluster": cursor.system_identifier, "snapshot": cursor.snapshot}
    if stream.adopted:
        changed, uncounted = captured.uncounted(connection, stream, "true", since)
    else:
        changed, uncounted = stream, snapshot.Window(snapshot.window(stream), since)
    waiting = _of_rows(connection, changed, uncounted, limits)
    if stream.adopted:
        rows = _minus(_of_rows(connection, stream, snapshot.Window("true", {}), limits), waiting)
    else:
        here = tally.counted_here(connection, stream)
        counted = snapshot.Window(f"{here.sql} AND NOT ({uncounted.sql})", here.parameters | since)
        rows = _of_rows(connection, stream, counted, limits)
    counters, removed = tally.of_rollups(connection, stream), tally.of_removed(connection, stream)
    unread = removed.pop((UNREAD, ""), None)
    causes = _causes(connection, stream, unread)
    future, nothing = (SELF_REJECTED, "future"), Sums()
    causes.future = (
        counters.get(future, nothing).value - rows.get(future, nothing).value - removed.get(future, nothing).value
    )
    causes.counted = sum(sums.value for (metric, _), sums in counters.items() if metric == SELF_EVENTS)
    found = list(_compared(stream, counters, rows, removed))
    uncounted_rows = sum(sums.value for (metric, _), sums in waiting.items() if metric in (SELF_EVENTS, SELF_REJECTED))
    return [_explained(one, causes) for one in found], round(uncounted_rows)


def _explained(one: Comparison, causes: _Causes) -> Comparison:
    why = causes.of(one) if one.difference else None
    return Comparison(one.stream, one.metric, one.counter, one.rows, one.removed, why)


def _compared(stream: Stream, counters: Tally, rows: Tally, removed: Tally) -> Iterator[Comparison]:
    """Yield a comparison for each metric, three for a histogram: its count, its sum and its buckets."""
    types = {rollup.metric: rollup.type for rollup in stream.kind.rollups}
    for key in sorted({*counters, *rows, *removed}):
        metric, detail = key
        sums = [found.get(key, Sums()) for found in (counters, rows, removed)]
        name = f"{metric} {detail}".rstrip()
        type_ = detail if metric == BUDGET else types.get(metric, "counter")
        suffixes = {"histogram": ("_count", "_sum", "_bucket"), "summary": ("_count", "_sum")}.get(type_, ("",))
        for suffix, parts in zip(suffixes, zip(*map(_parts, sums), strict=True), strict=False):
            yield Comparison(stream.name, f"{metric}{suffix} {detail}".rstrip() if suffix else name, *parts)


def _parts(sums: Sums) -> tuple[float, float, float]:
    return sums.value, sums.total, sums.buckets


def _of_rows(connection: psycopg.Connection, stream: Stream, window: snapshot.Window, limits: Limits) -> Tally:
    """Return the tally of a window; rows that the mapping's SQL fails on are rejected as malformed, as a poll does."""
    try:
        with connection.transaction():
            return tally.of_rows(connection, stream, window, limits)
    except ROW_ERRORS:
        columns = values(stream, stream.columns)
        places = malformed.failing(connection, stream, window, columns, stream.condition)
        parameters = window.parameters | {"failing": places}
    found = tally.of_rows(connection, leaving_out(stream), snapshot.Window(window.sql, parameters), limits)
    key = (SELF_REJECTED, malformed.REASON)
    return found | {key: found.get(key, Sums()) + Sums(len(places))}


def _minus(a: Tally, b: Tally) -> Tally:
    return {key: sums + Sums(*(-part for part in _parts(b.get(key, Sums())))) for key, sums in a.items()}


def _causes(connection: psycopg.Connection, stream: Stream, unread: Sums | None) -> _Causes:
    counters = {rollup.metric for rollup in stream.kind.rollups if rollup.value == "1"}
    counts = {f"{rollup.metric}_count" for rollup in stream.kind.rollups if rollup.type == "histogram"}
    causes = _Causes(frozenset(counters | counts))
    if stream.adopted:
        causes.every_change = stream.counted == "every_change"
        query = """SELECT count(*) FROM monitoring.counted_key JOIN monitoring.capture USING (number)
            WHERE source = %s AND stream = %s"""
        (causes.left,) = connection.execute(query, [stream.source, stream.name]).fetchone() or (0,)
        row = connection.execute(_STATISTICS, {"table": stream.relation}).fetchone()
        causes.deleted, causes.updated, causes.inserted, causes.rewritten = row or (0, 0, None, False)
        return causes
    if unread:
        causes.removed.append(f"rows were removed {unread.value:,.0f} times that could not be read in time")
    row = connection.execute(
        "SELECT r.since FROM monitoring.removed r JOIN monitoring.source s ON s.created_at < r.since "
        "WHERE r.source = '' AND s.name = %s",
        [stream.source],
    ).fetchone()
    if row:
        causes.removed.append(f"rows that were removed before {row[0]:%Y-%m-%d %H:%M} were not recorded")
    return causes


_STATISTICS = """SELECT coalesce(sum(pg_stat_get_tuples_deleted(oid)), 0)::bigint,
    coalesce(sum(pg_stat_get_tuples_updated(oid)), 0)::bigint,
    coalesce(sum(pg_stat_get_tuples_inserted(oid)), 0)::bigint,
    coalesce(bool_or(relfilenode NOT IN (0, oid)), false)
FROM pg_class WHERE oid = to_regclass(%(table)s)
    OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(table)s)) WHERE isleaf)"""


def _foreign(connection: psycopg.Connection, stream: Stream) -> Iterator[str]:
    """Yield a note of rows that were counted where they were written, in another cluster."""
    if stream.adopted:
        return
    # Each next cluster by a look into the index: there are few, and very many rows.
    query = f"""WITH RECURSIVE found AS (
        SELECT min(cluster) AS cluster FROM {stream.rows}
        UNION ALL SELECT (SELECT min(cluster) FROM {stream.rows} WHERE cluster > found.cluster)
        FROM found WHERE found.cluster IS NOT NULL
    ) SELECT count(*) FROM {stream.rows} t JOIN found ON t.cluster = found.cluster
    WHERE found.cluster <> ALL(%(clusters)s)"""
    parameters = tally.counted_here(connection, stream).parameters
    (rows,) = connection.execute(query.encode(), parameters).fetchone() or (0,)
    if rows:
        yield f"{stream.relation} holds {rows:,} rows of another cluster: they were counted where they were written"
