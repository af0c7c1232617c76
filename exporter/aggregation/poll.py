"""One poll: count what is new in one table, in one transaction."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from exporter.aggregation import actors, captured, exemplars, issues, malformed, releases, rollup, snapshot
from exporter.aggregation.captured import Captured
from exporter.config.settings import Limits
from exporter.database.connection import problem_of
from exporter.errors import PlatformError
from exporter.sources import explain
from exporter.sources.failing import ROW_ERRORS
from exporter.sources.mapping import Relation, Stream

PLANNER = (
    # One core, no compiler: for statements of milliseconds, parallel workers and JIT cost more than they save.
    "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '64MB'; "
    # Statistics know nothing of rows newer than the last ANALYZE: the planner expects one, and would sort them all.
    "SET LOCAL enable_sort = off"
)

TRIES = 5
"""How often a poll is tried again after another replica was faster; each try sees that replica's work."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One poll's result: rows seen, of them rejected, label sets folded.

    `advanced` is False where another replica holds the source. `problem` is what was not counted, and what to do.
    """

    advanced: bool
    seen: int = 0
    rejected: int = 0
    folded: int = 0
    problem: str | None = None

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(
            self.advanced and other.advanced, self.seen + other.seen, self.rejected + other.rejected,
            self.folded + other.folded, self.problem or other.problem,
        )  # fmt: skip


def poll(connection: psycopg.Connection, stream: Stream, limits: Limits) -> Counted:
    """Count the rows of `stream` that became visible since the last poll, and move its cursor.

    One REPEATABLE READ transaction does all: a crash anywhere loses nothing and counts nothing twice. It blocks for
    as long as PostgreSQL needs (a first count of 10 million rows takes seconds). `connection` is in autocommit mode.
    Raises DatabaseError, or psycopg.OperationalError where the server is lost.
    """
    for attempt in range(1, TRIES + 1):
        try:
            with explained(connection, stream):
                return _poll(connection, stream, limits)
        except psycopg.errors.SerializationFailure:
            if attempt == TRIES:
                return Counted(advanced=False)
    raise AssertionError("unreachable")


def rehearse(connection: psycopg.Connection, stream: Stream, limits: Limits) -> str | None:
    """Return what a poll of this stream would fail with now, None if with nothing; its statements are only planned."""
    try:
        with explained(connection, stream), connection.transaction(force_rollback=True):
            snapshot.take(connection)
            if connection.execute("SHOW transaction_read_only").fetchone() == ("on",):
                return str(explain.read_only(connection))
            held = captured.find(connection, stream) if stream.adopted else None
            changed = captured.changes(stream, held) if held else stream
            parameters = parameters_of(stream, limits)
            for statement in statements(changed, "true"):
                connection.execute(b"EXPLAIN " + statement.encode(), parameters)
            return captured.problem(stream, held) if held else None
    except (PlatformError, psycopg.Error) as error:
        if connection.closed:
            raise
        return problem_of(error)


@contextmanager
def explained(connection: psycopg.Connection, stream: Stream) -> Iterator[None]:
    """Turn what PostgreSQL refuses into a DatabaseError that says what to do."""
    try:
        yield
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedFunction,
    ) as error:
        raise explain.mapping_error(error, connection, stream) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise explain.missing_right(error, connection, stream.relation, *stream.reads) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise explain.read_only(connection) from error


def _poll(connection: psycopg.Connection, stream: Stream, limits: Limits) -> Counted:
    with begun(connection, stream) as now:
        if now is None:
            register(connection, stream.source)  # `adopt --undo` removes the row under a running exporter
            return Counted(advanced=False)
        if stream.issues:
            connection.execute(issues.WAKE.encode())
        cursor = snapshot.read(connection, stream)
        if not stream.adopted:
            windows = snapshot.windows(connection, stream, cursor, now)
            counted = count_windows(connection, limits, [(stream, window) for window in windows])
            snapshot.write(connection, stream, now)
            return counted
        held = captured.find(connection, stream)
        if cursor is None or cursor.relation != held.relation:
            captured.require_complete(connection, stream, held)
            return first(connection, stream, limits, now)
        counted = count_windows(connection, limits, _changes(connection, stream, held, cursor, now))
        snapshot.write(connection, captured.changes(stream, held), now)
    problem = captured.extend(connection, held) or captured.problem(stream, held)
    return replace(counted, problem=problem)


@contextmanager
def begun(connection: psycopg.Connection, stream: Stream) -> Iterator[snapshot.Cursor | None]:
    """Run a transaction that counts, from its snapshot, which is yielded; None where another replica counts."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(PLANNER)
        # The snapshot first: taking the lock writes, which a standby refuses with a less helpful message.
        now = snapshot.take(connection)
        yield now if _lock(connection, stream.source) else None


def first(connection: psycopg.Connection, stream: Stream, limits: Limits, now: snapshot.Cursor) -> Counted:
    """Count what an adopted table holds, in the transaction of `now`; from then on its changes count.

    Of a table that an earlier version counted only what is new, found by the columns which that version added.
    """
    held = captured.find(connection, stream)
    cursor = snapshot.read(connection, stream)
    windows = snapshot.windows(connection, stream, cursor, now) if stream.counted != "deleted" else []
    counted = count_windows(connection, limits, [(stream, window) for window in windows])
    captured.forget_pending(connection, held)
    snapshot.write(connection, captured.changes(stream, held), now)
    return counted


def _changes(
    connection: psycopg.Connection, stream: Stream, held: Captured, cursor: snapshot.Cursor, now: snapshot.Cursor
) -> Iterator[tuple[Stream, snapshot.Window]]:
    """Yield what is new of an adopted table: changes, and what partitions brought with them."""
    changed = captured.changes(stream, held)
    for window in snapshot.windows(connection, changed, cursor, now):
        once = stream.counted_when and stream.counted == "once"
        yield changed, captured.first_time(connection, stream, changed, held, window) if once else window
    if held.pending and held.key:
        for partition in held.pending if stream.counted != "deleted" else ():
            yield replace(stream, relation=Relation(partition)), captured.unknown_rows(held)
        captured.forget_pending(connection, held)


def count_windows(
    connection: psycopg.Connection, limits: Limits, windows: Iterable[tuple[Stream, snapshot.Window]]
) -> Counted:
    """Count windows of streams, in a transaction that has begun."""
    all_readable = connection.info.parameter_status("server_encoding") == "UTF8"
    counts = (
        _count(
            connection, replace(stream, readable="") if all_readable else stream, window, parameters_of(stream, limits)
        )
        for stream, window in windows
    )
    return sum(counts, Counted(advanced=True))


def parameters_of(stream: Stream, limits: Limits) -> dict[str, Any]:
    """Return the parameters of the statements that count."""
    return {
        "source": stream.source,
        "stream": stream.name,
        "limit": limits.series_per_metric,
        "reserve": max(4, limits.series_per_metric // 10),
        "future_tolerance_seconds": limits.future_tolerance_seconds,
        "sample_labels": list(stream.sample_labels),
    }


def _count(
    connection: psycopg.Connection, stream: Stream, window: snapshot.Window, parameters: dict[str, Any]
) -> Counted:
    try:
        with connection.transaction():
            return _count_whole(connection, stream, window, parameters)
    except ROW_ERRORS as error:
        malformed.warn(stream, error)
    stream, window, failing = malformed.without(connection, stream, window, parameters)
    return Counted(True, failing, failing) + _count_whole(connection, stream, window, parameters)


def _count_whole(
    connection: psycopg.Connection, stream: Stream, window: snapshot.Window, parameters: dict[str, Any]
) -> Counted:
    parameters = parameters | window.parameters
    rows, fits = _size(connection, stream, window, parameters)
    if not rows and not stream.adopted:  # what an application changed in its table, the statement says without rows too
        return Counted(advanced=True)
    query = rollup.statement(stream, window.sql, fits=fits and not stream.join)  # a join may multiply rows
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
    seen, rejected, folded, traced = row
    if seen > rejected:
        _add_details(connection, stream, window, parameters)
    if traced and exemplars.has_exemplars(stream):
        connection.execute(exemplars.statement(stream, window.sql).encode(), parameters)
    return Counted(True, seen, rejected, folded)


def _size(
    connection: psycopg.Connection, stream: Stream, window: snapshot.Window, parameters: dict[str, Any]
) -> tuple[int, bool]:
    """Return how many rows a window has, up to the limit of series, and whether there is room for a series of each.

    Then no share has to be found, whose planning takes most of a poll of few rows.
    """
    row = connection.execute(
        f"""WITH new AS MATERIALIZED (
            SELECT count(*) AS rows FROM (SELECT FROM {stream.rows} t WHERE {window.sql} LIMIT %(limit)s) found)
        SELECT rows, CASE WHEN rows IN (0, %(limit)s) THEN rows = 0 ELSE rows <= %(limit)s - %(reserve)s - (
            SELECT coalesce(max(have), 0) FROM (SELECT count(*) AS have FROM monitoring.rollup
            WHERE source = %(source)s AND stream = %(stream)s AND budget IS NOT NULL GROUP BY budget) budgets) END
        FROM new""".encode(),
        parameters,
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
    return row


def statements(stream: Stream, window_sql: str) -> Iterator[str]:
    """Yield all that is run over a window."""
    yield rollup.statement(stream, window_sql)
    if exemplars.has_exemplars(stream):
        yield exemplars.statement(stream, window_sql)
    if releases.has_releases(stream):
        yield releases.statement(stream, window_sql)
    if stream.kind.actors:
        yield actors.statement(stream, window_sql)
    if stream.issues:
        yield issues.statement(stream, window_sql)


def _add_details(
    connection: psycopg.Connection, stream: Stream, window: snapshot.Window, parameters: dict[str, Any]
) -> None:
    """Add what good rows say of releases, active users and issues."""
    if releases.has_releases(stream):
        query = releases.statement(stream, window.sql).encode()
        if connection.execute(query, parameters).fetchone() == (True,):
            connection.execute(releases.FORGET.encode())
    if stream.kind.actors:
        connection.execute(actors.statement(stream, window.sql).encode(), parameters)
    if stream.issues:
        connection.execute(issues.statement(stream, window.sql).encode(), parameters)


def _lock(connection: psycopg.Connection, source: str) -> bool:
    """Take the source's row until the transaction ends; False where another replica has it.

    The row is never updated, so that waiting for it cannot fail; moving the cursor can, and then nothing is counted.
    """
    query = "SELECT 1 FROM monitoring.source WHERE name = %s FOR UPDATE SKIP LOCKED"
    return connection.execute(query, [source]).fetchone() is not None


def register(connection: psycopg.Connection, source: str) -> None:
    """Insert the source's row, which polls lock. Raises SchemaError where the schema is missing."""
    try:
        connection.execute("INSERT INTO monitoring.source (name) VALUES (%s) ON CONFLICT DO NOTHING", [source])
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise explain.missing_schema(connection) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise explain.missing_right(error, connection, Relation.of("monitoring", "source")) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        snapshot.take(connection)  # has the better message for a standby
        raise explain.read_only(connection) from error
