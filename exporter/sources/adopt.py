"""The steps that make an application's own tables a source.

Nothing of a table is changed but its triggers, which write what the mapping reads into a table of ours; see capture.py.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace

import msgspec
import psycopg
from psycopg import sql

from exporter.config.settings import Source
from exporter.database import schema
from exporter.errors import MappingError, PlatformError, SchemaError
from exporter.sources import capture, checks, mapping
from exporter.sources.capture import Reads
from exporter.sources.explain import rights_to_adopt
from exporter.sources.mapping import Mapping, Relation, StreamMapping, quoted

FORMER_COLUMNS = ("platform_tx", "platform_cluster")
"""What earlier versions added to the tables; rows that they did not count are found by these, once."""

LOCK_TIMEOUT_MS = 50
TRIES = 100
PAUSE_SECONDS = 0.25
"""A trigger's lock waits for running transactions, and all others wait behind it: it gives up before an application
that waits a tenth of a second for a lock would, and tries again."""


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of SQL, its purpose and the table it changes.

    With `stream` no one writes meanwhile, and counting begins at its end. One that is `in_turns` commits by itself.
    """

    sql: str
    purpose: str
    table: Relation | None = None
    stream: str | None = None
    in_turns: bool = False


Begin = Callable[[], Callable[[], None]]
"""Takes a snapshot; what it returns counts all that is seen there."""

Counting = Callable[[str], AbstractContextManager[Begin]]
"""Connects for the named stream, in another session: so that nobody waits for that."""


def later(_: str) -> AbstractContextManager[Begin]:
    """Leave the rows that are there already to the first poll."""
    return nullcontext(lambda: lambda: None)


def steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> list[Step]:
    """Return what is still to do in this database. Raises PlatformError."""
    with rights_to_adopt(connection, *mapping.tables(adopted)):
        checks.require_tables(connection, source, adopted)
        checks.require_columns(connection, source)
        schema.check_cluster_id(connection)
        return list(dict.fromkeys(_steps(connection, source, adopted)))


def _steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> Iterator[Step]:
    yield from _schema_steps(connection)
    granted = dict.fromkeys(grant for table in mapping.tables(adopted) for grant in _grants(connection, table))
    yield from (Step(grant, "allow the exporter to read it") for grant in granted)
    known = _exists(connection, Relation("monitoring.capture"))
    numbers = _numbers(connection) if known else {}
    for name, stream in adopted.streams.items():
        reads = learn(connection, source, name, stream)
        number = numbers.setdefault((source.label, name), _new_number(source.label, name, numbers.values()))
        yield from _capture_steps(connection, source, name, stream, reads, number)
    if known:
        rows = connection.execute("SELECT number, stream FROM monitoring.capture WHERE source = %s", [source.label])
        for number, name in rows.fetchall():
            if name not in adopted.streams:
                yield from _dropped(number)
                yield Step(f"DELETE FROM monitoring.capture WHERE number = {number}", f"forget the stream {name}")


def learn(connection: psycopg.Connection, source: Source, name: str, stream: StreamMapping) -> Reads:
    """Return what is captured of a stream. Raises MappingError where that cannot be; nothing stays changed."""
    where = f"source {source.label}: stream {name}"
    columns = checks.column_types(connection, stream.table)
    if unknown := [column for column in stream.key if column not in columns]:
        raise MappingError(
            f"{where}: `key` names {', '.join(unknown)}: expected columns of {stream.table}: {', '.join(columns)}"
        )
    if stream.counted_when and stream.counted == "once" and not capture.key_of(connection, stream):
        raise MappingError(
            f"{where}: {stream.table} has no primary key: a row that counts once must be known again; add "
            "`key: [COLUMNS]` to the mapping, or `counted: every_change`"
        )
    try:
        reads = capture.learn(connection, stream)
    except MappingError as error:
        raise MappingError(f"{where}: {error}") from error
    except psycopg.ProgrammingError as error:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise
        raise MappingError(
            f"{where}: {error.diag.message_primary}: expected SQL over columns of {stream.table}, one by one; "
            "change the mapping"
        ) from error
    if stream.counted_when and stream.counted != "deleted" and not reads.watched:
        raise MappingError(f"{where}: `counted_when` reads no column of {stream.table}: expected a condition over them")
    return reads


def undo_steps(connection: psycopg.Connection, name: str, tables: Iterable[Relation] = ()) -> list[Step]:
    """Return what reverts an adoption: triggers, captured changes, cursors and counters of the source named alone.

    `tables` are those that may have columns of an earlier version.
    """
    todo: list[Step] = []
    label = sql.Literal(name).as_string(None)
    if _exists(connection, Relation("monitoring.capture")):
        rows = connection.execute("SELECT number FROM monitoring.capture WHERE source = %s", [name])
        for (number,) in rows.fetchall():
            todo += _dropped(number)
    for table in dict.fromkeys(tables):
        todo += _former_columns(connection, table)
    if _exists(connection, Relation("monitoring.source")):
        for ours, column in (
            ("cursor", "source"), ("former_cluster", "source"), ("rollup", "source"), ("removed", "source"),
            ("actor", "source"), ("capture", "source"), ("unknown_value", "source"), ("source", "name"),
        ):  # fmt: skip
            todo.append(Step(f"DELETE FROM monitoring.{ours} WHERE {column} = {label}", "remove the counters"))
    return todo


def _dropped(number: int) -> Iterator[Step]:
    yield Step(_DROP.format(number=number), "remove the triggers", in_turns=True)
    yield Step(f"DROP FUNCTION IF EXISTS monitoring.capture_{number}()", "remove their function")
    yield Step(f"DROP TABLE IF EXISTS monitoring.captured_{number}", "remove the captured changes")


def carry_out(
    connection: psycopg.Connection,
    todo: list[Step],
    report: Callable[[str], None],
    counting: Counting = later,
) -> None:
    """Run the steps, each in a short transaction, calling `report` with each. Raises PlatformError."""
    for item in todo:
        report(f"{item.purpose}: {_shorten(item.sql)}")
        _patiently(connection, item, counting)


def _schema_steps(connection: psycopg.Connection) -> Iterator[Step]:
    try:
        schema.check_version(connection, "counting")
    except SchemaError:
        schema.check_version(connection, "counting", missing_ok=True)
        yield Step(schema.counting_sql(), "create schema monitoring for cursors and counters")


def _capture_steps(
    connection: psycopg.Connection, source: Source, name: str, stream: StreamMapping, reads: Reads, number: int
) -> Iterator[Step]:
    captured = capture.events(stream)
    record = _record(source, name, stream, reads, number)
    stored = _stored(connection, number)
    if stored != record:
        reads = _with_former(reads, stored)
        record = _record(source, name, stream, reads, number)
    if stored != record:
        yield Step(";\n".join(capture.table_sql(number, reads)), f"keep the changes of {stream.table}")
    function = capture.function_sql(number, reads, captured)
    if stored != record or _body(connection, number) != function.split("$capture$")[1]:
        yield Step(
            f"{function};\nREVOKE EXECUTE ON FUNCTION monitoring.capture_{number}() FROM PUBLIC",
            "write them there, by triggers",
        )
    if stored != record:
        yield Step(_insert(record), "store what was adopted")
    tables = f"monitoring.captured_tables({number})"
    complete = stored and connection.execute(f"SELECT bool_and(complete) FROM {tables}".encode()).fetchone() == (True,)
    if not complete or not stored or stored[-1] != captured:
        if checks.children(connection, stream.table):
            turns, purpose = _CREATE.format(number=number), f"create the triggers on the partitions of {stream.table}"
            yield Step(turns, purpose, table=stream.table, in_turns=True)
        again = " again; what was written without them is not counted" if stored and not complete else ""
        yield Step(
            f"SELECT monitoring.capture_table({number}, relation) FROM {tables} WHERE NOT complete",
            f"create the triggers on {stream.table}{again}",
            table=stream.table,
            stream=name,
        )
    if stored and not reads.key and _pending(connection, number):
        yield Step(
            f"DELETE FROM monitoring.capture_pending WHERE number = {number}",
            "leave out what partitions brought along: without a key it looks like what is counted",
        )
    if complete and not _bridging(connection, source, name):
        yield from _former_columns(connection, stream.table)


_CREATE = f"""DO $$ DECLARE child regclass; BEGIN
    FOR child IN SELECT t.relation FROM monitoring.captured_tables({{number}}) t JOIN monitoring.capture c
        ON c.number = {{number}} WHERE NOT t.complete AND t.relation <> to_regclass(c.relation) LOOP
        PERFORM set_config('lock_timeout', '{LOCK_TIMEOUT_MS}', true);
        PERFORM monitoring.capture_table({{number}}, child);
        COMMIT;
    END LOOP;
END $$"""
_DROP = f"""DO $$ DECLARE made record; BEGIN
    FOR made IN SELECT tgname, tgrelid::regclass AS relation FROM pg_trigger
        WHERE tgfoid = to_regproc('monitoring.capture_{{number}}') LOOP
        PERFORM set_config('lock_timeout', '{LOCK_TIMEOUT_MS}', true);
        EXECUTE format('DROP TRIGGER %I ON %s', made.tgname, made.relation);
        COMMIT;
    END LOOP;
END $$"""
"""One table after the other, each in a transaction of its own: where one is in use, no one waits for the others."""


Record = tuple[int, str, str, str, str, list[str], list[str], list[str], list[str], str]


def _record(source: Source, name: str, stream: StreamMapping, reads: Reads, number: int) -> Record:
    text = msgspec.json.encode(stream, enc_hook=str, order="sorted").decode()
    lists = (list(reads.columns), list(reads.types), list(reads.watched), list(reads.key))
    return (number, source.label, name, str(stream.table), text, *lists, capture.events(stream))


def _stored(connection: psycopg.Connection, number: int) -> Record | None:
    if not _exists(connection, Relation("monitoring.capture")):
        return None
    row = connection.execute(
        "SELECT number, source, stream, relation, mapping, columns, types, watched, key, events "
        "FROM monitoring.capture WHERE number = %s",
        [number],
    ).fetchone()
    return row and (*row[:4], msgspec.json.encode(row[4], order="sorted").decode(), *row[5:])


def _with_former(reads: Reads, stored: Record | None) -> Reads:
    """Return the columns that are captured already first, in their places: rows that wait are read by these."""
    if stored is None:
        return reads
    former = dict(zip(stored[5], stored[6], strict=True))
    types = former | dict(zip(reads.columns, reads.types, strict=True))
    watched = tuple(dict.fromkeys([*stored[7], *reads.watched]))
    return replace(reads, columns=tuple(types), types=tuple(types.values()), watched=watched)


def _insert(record: Record) -> str:
    columns = ("number", "source", "stream", "relation", "mapping", "columns", "types", "watched", "key", "events")
    values = ", ".join(sql.Literal(value).as_string(None) for value in record)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns[3:])
    return (
        f"INSERT INTO monitoring.capture ({', '.join(columns)}) VALUES ({values}) "
        f"ON CONFLICT (number) DO UPDATE SET {changes}"
    )


def _numbers(connection: psycopg.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute("SELECT source, stream, number FROM monitoring.capture").fetchall()
    return {(source, stream): number for source, stream, number in rows}


def _new_number(source: str, stream: str, taken: Collection[int]) -> int:
    """Return a stream's number, in every database the same if it is free.

    A dump of the application carries triggers that call a function by it: restored where another stream had the number,
    they would write their rows to that.
    """
    number = int.from_bytes(hashlib.sha256(f"{source}\n{stream}".encode()).digest()[:8]) % 1_000_000
    while number in taken:
        number += 1
    return number


def _body(connection: psycopg.Connection, number: int) -> str | None:
    row = connection.execute(
        "SELECT prosrc FROM pg_proc WHERE oid = to_regproc(%s)", [f"monitoring.capture_{number}"]
    ).fetchone()
    return row[0] if row else None


def _pending(connection: psycopg.Connection, number: int) -> bool:
    """Return whether partitions brought rows with them that are not counted."""
    query = "SELECT EXISTS (SELECT FROM monitoring.capture_pending WHERE number = %s)"
    return connection.execute(query, [number]).fetchone() == (True,)


def _bridging(connection: psycopg.Connection, source: Source, name: str) -> bool:
    """Return whether rows are still to be counted by the columns of an earlier version."""
    row = connection.execute(
        "SELECT relation NOT LIKE 'monitoring.%%' FROM monitoring.cursor WHERE (source, stream) = (%s, %s)",
        [source.label, name],
    ).fetchone()
    return row == (True,)


def _former_columns(connection: psycopg.Connection, table: Relation) -> Iterator[Step]:
    if set(FORMER_COLUMNS) & set(checks.column_types(connection, table)):
        drops = ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in FORMER_COLUMNS)
        yield Step(f"ALTER TABLE {table} {drops}", "remove the columns of an earlier version, with their index", table)


def _grants(connection: psycopg.Connection, table: Relation) -> Iterator[str]:
    """Yield the grants the exporter's role lacks on a table."""
    granted = connection.execute(
        "SELECT has_schema_privilege(oid, %s, 'USAGE') AND has_table_privilege(oid, %s, 'SELECT') "
        "FROM pg_roles WHERE rolname = %s",
        [table.schema, table, schema.EXPORTER],
    ).fetchone()
    if granted != (True,):
        yield f"GRANT USAGE ON SCHEMA {quoted(table.schema)} TO {schema.EXPORTER}"
        yield f"GRANT SELECT ON {table} TO {schema.EXPORTER}"


def _exists(connection: psycopg.Connection, table: Relation) -> bool:
    return checks.relation_kind(connection, table) is not None


def _patiently(connection: psycopg.Connection, item: Step, counting: Counting) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            _run(connection, item, counting)
            return
        except (
            psycopg.errors.LockNotAvailable,
            psycopg.errors.DeadlockDetected,
            psycopg.errors.QueryCanceled,
        ) as error:
            if attempt == TRIES:
                raise PlatformError(
                    f"no lock after {TRIES} tries of {LOCK_TIMEOUT_MS} ms for: {_shorten(item.sql)}; "
                    "a long transaction holds the table (see pg_stat_activity): run this again when it has ended"
                ) from error
            time.sleep(PAUSE_SECONDS)


def _run(connection: psycopg.Connection, item: Step, counting: Counting) -> None:
    """Run a step; then count what was there, as it was seen while all writers were locked out."""
    with ExitStack() as second, rights_to_adopt(connection, *filter(None, [item.table])):
        if item.in_turns:
            connection.execute(item.sql.encode())
            return
        begin = second.enter_context(counting(item.stream)) if item.stream else None
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}".encode())
            if item.stream:
                # A lock for each partition as well, and who waits for the first waits for the last.
                connection.execute(f"SET LOCAL statement_timeout = {2 * LOCK_TIMEOUT_MS}".encode())
                connection.execute(f"LOCK TABLE {item.table} IN SHARE ROW EXCLUSIVE MODE".encode())
                connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute(item.sql.encode())
            count = begin() if begin else None
        if count:
            count()


def _shorten(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 200 else f"{line[:200]} ... ({len(line)} characters; --dry-run shows all)"
