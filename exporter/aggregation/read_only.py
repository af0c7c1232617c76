"""Counting tables that may only be read: by time, in the event store's database.

A standby, a managed replica or a vendor's table takes no trigger, and no snapshot there says what will be committed
with an earlier time. So rows are read in order of a time that each has, `cursor` in its mapping, once that is
`settle_seconds` ago; what commits later is missed, which is why such a source is approximate. Rows are copied, as the
mapping makes them, into a temporary table beside the rollups and counted there like any others. The position moves in
the same transaction, so that a crash loses nothing and doubles nothing.
"""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from exporter.aggregation import issues, malformed, poll, snapshot
from exporter.aggregation.poll import Counted
from exporter.aggregation.replica import Horizon, Reader, horizon
from exporter.config.settings import Limits
from exporter.database import schema
from exporter.database.connection import problem_of
from exporter.database.values import fitted
from exporter.errors import DatabaseError, MappingError, PlatformError
from exporter.sources import checks, explain
from exporter.sources.failing import ROW_ERRORS, failing_rows, leaving_out, values
from exporter.sources.mapping import Relation, Stream

logger = logging.getLogger(__name__)

BATCHES = (50_000, 5_000, 500)
"""How many rows one statement reads, in order of their time and with all of the last one; fewer where it was
interrupted, as a standby cancels statements that keep it from following."""

TURN_SECONDS = 10
"""How long one transaction of the store takes batches, once the rows that were there at first are counted."""

BEGINNING = "-infinity"
"""The position of a table that held nothing yet."""


def count(store: psycopg.Connection, reader: Reader, stream: Stream, limits: Limits) -> Counted:
    """Count the rows of `stream` that settled since the last poll. `store`, in autocommit mode, has the rollups.

    Memory is bounded by one row. A first count is one transaction; arrears are counted in turns, each of which is kept.
    Raises DatabaseError, or psycopg.OperationalError where the store is lost.
    """
    reading = reader.connected()
    with poll.explained(reading, stream):
        require_time(reading, stream)
        reached = horizon(reading, stream)
    counted, more = Counted(advanced=True), True
    while more:
        try:
            turn, more = _turn(store, reader, stream, limits, reached)
        except psycopg.errors.SerializationFailure:  # another replica was faster
            return replace(counted, advanced=False)
        counted += turn
    rows = f"SELECT FROM {stream.relation.sql} t {stream.join} WHERE {_counting(stream)}"
    reader.recounts[stream.name].run(store, reader.connected(), stream, rows)
    return replace(counted, problem=reached.problem and f"stream {stream.name}: {reached.problem}")


def _turn(
    store: psycopg.Connection, reader: Reader, stream: Stream, limits: Limits, reached: Horizon
) -> tuple[Counted, bool]:
    """Count batches in one transaction, and move the position; return also whether there are more."""
    ends_at = time.monotonic() + TURN_SECONDS
    counted, more = Counted(advanced=True), True
    with poll.begun(store, stream) as now:
        if now is None:
            poll.register(store, stream.source)
            return Counted(advanced=False), False
        store.execute("SET LOCAL idle_in_transaction_session_timeout = '600s'")
        if stream.issues:
            store.execute(issues.WAKE.encode())
        known = snapshot.read_position(store, stream)
        position = known or BEGINNING
        while more and (known is None or time.monotonic() < ends_at):
            batch = _batch(store, reader, stream, {"since": position, "until": reached.until})
            position, more = batch.last, batch.more
            counted += _count(store, stream, limits, batch)
        snapshot.write(store, stream, now, position, 0.0 if more else reached.behind_seconds)
    if known is not None:
        reader.recounts[stream.name].note(known, position, counted.seen)
    return counted, more


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that were copied, and those the mapping's SQL fails on; the time of the last, and whether there are more."""

    last: str
    copied: int = 0
    failing: int = 0
    more: bool = False


def _count(store: psycopg.Connection, stream: Stream, limits: Limits, batch: _Batch) -> Counted:
    counted = Counted(True, batch.failing, batch.failing)
    if batch.failing:
        malformed.count(store, stream, batch.failing)
    if batch.copied:
        counted += poll.count_windows(store, limits, [(_copied(store, stream), snapshot.EVERYTHING)])
        store.execute(f"TRUNCATE pg_temp.{_table(stream)}".encode())
    return counted


def _copied(store: psycopg.Connection, stream: Stream) -> Stream:
    """Make the table that a stream's rows are copied into, and return the stream as it is read there."""
    name = _table(stream)
    columns = ", ".join(f"{column.name} {column.type}" for column in stream.kind.all_columns)
    try:
        store.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns}, platform_cursor timestamptz) ON COMMIT DELETE ROWS"
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise explain.no_temporary_tables(error, store) from error
    return replace(
        stream, relation=Relation.of("pg_temp", name), columns={column: f"t.{column}" for column in stream.columns},
        join="", where="true", details={}, reads=(), cursor="", adopted=False, readable="monitoring.readable",
    )  # fmt: skip


def _table(stream: Stream) -> str:
    return f"platform_read_{stream.kind.name}"


def _batch(store: psycopg.Connection, reader: Reader, stream: Stream, window: dict[str, Any]) -> _Batch:
    """Copy the next rows of a window, after `since` and up to `until`; fewer where reading them was interrupted."""
    interrupted: psycopg.Error | None = None
    for rows in BATCHES:
        reading = reader.connected()
        try:
            return _read(store, reading, stream, window, rows)
        except _ReadError as failed:
            interrupted = failed.error
            passing = isinstance(interrupted, (psycopg.errors.SerializationFailure, psycopg.errors.QueryCanceled))
            if reader.cancelled or not (passing or reading.closed):
                with poll.explained(reading, stream):
                    raise interrupted from None
            logger.info("stream %s: %s; reading fewer rows", stream.name, interrupted)
    raise DatabaseError(
        f"stream {stream.name}: reading {stream.relation} was interrupted {len(BATCHES)} times "
        f"({str(interrupted).strip()}): on a standby set hot_standby_feedback to on, or raise "
        "max_standby_streaming_delay; and let an index begin with the mapping's `cursor`"
    )


class _ReadError(Exception):
    """Raised when the server that is read refuses or breaks off; the store may go on."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.error = error


def _read(
    store: psycopg.Connection, reading: psycopg.Connection, stream: Stream, window: dict[str, Any], limit: int
) -> _Batch:
    first = f"ORDER BY ({stream.cursor}) FETCH FIRST {limit} ROWS WITH TIES"
    try:
        rows, last = _copy(store, reading, stream, f"{_select(stream)} {first}", window)
        if rows < limit and stream.where != "true":  # not to read again what does not meet it
            last, _ = _end(reading, stream, "", window)
        return _Batch(last or window["since"], rows, more=rows >= limit)
    except _ReadError as failed:
        if not isinstance(failed.error, ROW_ERRORS):
            raise
        malformed.warn(stream, failed.error)
        _require_places(reading, stream, failed.error)
    with _breaking_off(), reading.transaction():  # a row stays in its place
        reading.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        last, rows = _end(reading, stream, first, window)
        if last is None:
            return _Batch(window["since"])
        window = window | {"until": last}
        found = f"(SELECT t.tableoid, t.ctid FROM {stream.relation.sql} t WHERE {_within(stream)})"
        failing = failing_rows(reading, replace(_sendable(reading, stream), changes=found), window)
        copied, _ = _copy(store, reading, stream, _select(leaving_out(stream)), window | {"failing": failing})
    return _Batch(last, copied, len(failing), rows >= limit)


def _within(stream: Stream) -> str:
    """Return SQL of the rows in a window of time. Compared as it is, an index on it can be used."""
    return f"({stream.cursor}) > %(since)s::timestamptz AND ({stream.cursor}) <= %(until)s::timestamptz"


def _select(stream: Stream) -> str:
    """Return SQL of a window's rows that count: the mapped columns, and the time."""
    return f"""SELECT {values(stream, stream.columns)}, ({stream.cursor})::timestamptz
FROM {stream.relation.sql} t {stream.join} WHERE {_counting(stream)}"""


def _counting(stream: Stream) -> str:
    # CASE, because AND may evaluate its sides in any order, and another row may make the condition fail.
    return f"{_within(stream)} AND CASE WHEN {_within(stream)} THEN {stream.condition} ELSE false END"


def _end(reading: psycopg.Connection, stream: Stream, first: str, window: dict[str, Any]) -> tuple[str | None, int]:
    """Return the time of the last of a window's first rows, whether they count or not, and how many these are."""
    rows = f"SELECT ({stream.cursor}) AS at FROM {stream.relation.sql} t WHERE {_within(stream)} {first}"
    counted = "count(*)" if first else "0"  # the last alone is found by an index at once
    query = f"SELECT max(at)::timestamptz::text, {counted} FROM ({rows}) given"
    with _breaking_off():
        return reading.execute(query.encode(), window).fetchone() or (None, 0)


def _sendable(reading: psycopg.Connection, stream: Stream) -> Stream:
    """Return the stream whose texts fail where UTF-8 cannot have them, as they do when they are sent."""
    if reading.info.parameter_status("server_encoding") == "UTF8":
        return stream
    columns = {
        name: f"CASE WHEN convert_to(({text})::text, 'UTF8') IS NOT NULL THEN ({text}) END"
        for name, text in stream.columns.items()
    }
    return replace(stream, columns=columns)


def _require_places(reading: psycopg.Connection, stream: Stream, error: psycopg.Error) -> None:
    """Raise DatabaseError where the row that fails cannot be found: those of a view have no place."""
    if checks.relation_kind(reading, stream.relation) == "v":
        raise DatabaseError(
            f"stream {stream.name}: {problem_of(error)}: a row of the view {stream.relation} makes the "
            "mapping's SQL fail, and which one cannot be found: change the mapping to SQL that fails on no row"
        )


def _copy(
    store: psycopg.Connection, reading: psycopg.Connection, stream: Stream, query: str, parameters: dict[str, Any]
) -> tuple[int, str | None]:
    """Copy a query's rows into the stream's table, one at a time; return how many, and the time of the last."""
    query = psycopg.ClientCursor(reading).mogrify(f"COPY ({query}) TO STDOUT", parameters)
    columns, fit, rows = ", ".join((*stream.columns, "platform_cursor")), fitted(store), 0
    with closing(_lines(reading, query)) as lines, store.transaction():
        line = next(lines, None)
        if line is None:
            return 0, None
        table = _copied(store, stream).relation
        with store.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as target:
            while line is not None:
                target.write(fit(line))
                rows, line = rows + 1, next(lines, None)
        (last,) = store.execute(f"SELECT max(platform_cursor)::text FROM {table}".encode()).fetchone() or (None,)
    return rows, last


def _lines(reading: psycopg.Connection, query: str) -> Generator[bytes]:
    with _breaking_off(), reading.cursor().copy(query.encode()) as rows:
        yield from map(bytes, rows)


@contextmanager
def _breaking_off() -> Iterator[None]:
    """Turn an error of the server that is read into _ReadError."""
    try:
        yield
    except psycopg.Error as error:
        raise _ReadError(error) from error


def rehearse(store: psycopg.Connection, reading: psycopg.Connection, stream: Stream, limits: Limits) -> str | None:
    """Return what a poll of this stream would fail with now, None if with nothing; its statements are only planned."""
    try:
        with poll.explained(reading, stream):
            require_time(reading, stream)
            parameters = {"since": BEGINNING, "until": BEGINNING}
            reading.execute(f"EXPLAIN {_select(stream)}".encode(), parameters)
            problem = horizon(reading, stream).problem
        with store.transaction(force_rollback=True):
            snapshot.read_position(store, stream)
            for statement in poll.statements(_copied(store, stream), "true"):
                store.execute(b"EXPLAIN " + statement.encode(), poll.parameters_of(stream, limits))
        return problem and f"stream {stream.name}: {problem}"
    except (PlatformError, psycopg.Error) as error:
        if store.closed or reading.closed:
            raise
        return problem_of(error)


def require_time(reading: psycopg.Connection, stream: Stream) -> None:
    """Raise MappingError where a stream's `cursor` is not a time."""
    query = f"SELECT {stream.cursor} FROM {stream.relation.sql} t LIMIT 0"
    (column,) = reading.execute(query.encode(), []).description or (None,)
    types = [reading.adapters.types[name].oid for name in ("timestamptz", "timestamp")]
    if column is None or column.type_code not in types:
        text, given = stream.cursor.replace("%%", "%"), column.type_display if column else "nothing"
        raise MappingError(
            f"stream {stream.name}.cursor: {text} is {given}: expected a timestamp; convert it, such as "
            "to_timestamp(t.created) where it is seconds (a day alone does not put rows in order)"
        )


def is_indexed(reading: psycopg.Connection, stream: Stream) -> bool:
    """Return whether rows can be found by their `cursor`, or every poll reads the whole table.

    The planner says so: where it may use an index it does, once reading the table is made dear.
    """
    query = f"EXPLAIN SELECT FROM {stream.relation.sql} t WHERE {_within(stream)}"
    with reading.transaction(force_rollback=True):
        reading.execute("SET LOCAL enable_seqscan = off")
        plan = reading.execute(query.encode(), {"since": "2000-01-01", "until": "2000-01-02"}).fetchall()
    return any(found in line for (line,) in plan for found in ("Index Cond", "Foreign Scan"))


def require_store(store: psycopg.Connection, source: str) -> None:
    """Raise PlatformError where the event store cannot have the counters of a source that may only be read."""
    try:
        schema.check_version(store, "store")
        snapshot.take(store)
    except PlatformError as error:
        raise type(error)(
            f"source {source} may only be read, so that its counters are in the event store, `database` of the "
            f"configuration: {error}"
        ) from error
