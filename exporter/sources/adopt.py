"""The steps that make an application's own tables a source, without touching the application.

Two columns are added, both with defaults that do not rewrite the table: the transaction that wrote a row, and the
cluster it was written in. Applications that name their columns notice nothing.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import psycopg
from psycopg import sql

from exporter.config.settings import Source
from exporter.database import schema
from exporter.errors import PlatformError, SchemaError
from exporter.sources import checks, mapping
from exporter.sources.explain import rights_to_adopt
from exporter.sources.mapping import Mapping, Relation, quoted

TX, CLUSTER = "platform_tx", "platform_cluster"
"""The columns that `adopt` adds: the transaction that wrote a row, and the cluster it was written in."""

LOCK_TIMEOUT_MS = 500
TRIES = 40
PAUSE_SECONDS = 0.5
"""ALTER TABLE waits for running transactions, and all others wait behind it: it gives up soon and tries again."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement, its purpose and the table it changes; a `concurrent` one runs outside of a transaction."""

    sql: str
    purpose: str
    concurrent: bool = False
    table: Relation | None = None


def steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> list[Step]:
    """Return what is still to do in this database. Raises PlatformError."""
    with rights_to_adopt(connection):
        checks.require_tables(connection, source, adopted)
        checks.require_columns(connection, source)
        return list(dict.fromkeys(_steps(connection, source, adopted)))


def _steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> list[Step]:
    todo = list(_schema_steps(connection))
    for stream in adopted.streams.values():
        todo += _table_steps(connection, stream.table)
    grants = dict.fromkeys(grant for table in mapping.tables(adopted) for grant in _grants(connection, table))
    todo += [Step(grant, "allow the exporter to read it") for grant in grants]
    for table in dict.fromkeys(stream.table for stream in adopted.streams.values()):
        streams = {name: stream for name, stream in adopted.streams.items() if stream.table == table}
        todo += _record(connection, source, table, streams)
    return todo


def undo_steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> list[Step]:
    """Return what reverts an adoption: columns, indexes, cursors and counters of this source."""
    todo = []
    for stream in adopted.streams.values():
        index, schema_name = _index(stream.table), quoted(stream.table.schema)
        if _columns(connection, stream.table) & {TX, CLUSTER}:
            drop = f"ALTER TABLE {stream.table} DROP COLUMN IF EXISTS {TX}, DROP COLUMN IF EXISTS {CLUSTER}"
            todo.append(Step(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_name}.{index}", "remove the index", True))
            todo.append(Step(drop, "remove our columns"))
    if _exists(connection, Relation.of("monitoring", "source")):
        label = sql.Literal(source.label).as_string(None)
        for table, column in (
            ("cursor", "source"), ("former_cluster", "source"), ("rollup", "source"), ("removed", "source"),
            ("actor", "source"), ("adopted", "source"), ("source", "name"),
        ):  # fmt: skip
            todo.append(Step(f"DELETE FROM monitoring.{table} WHERE {column} = {label}", "remove the counters"))
    return todo


def carry_out(connection: psycopg.Connection, todo: list[Step], report: Callable[[str], None]) -> None:
    """Run the steps, each in a short transaction, calling `report` with each. Raises PlatformError."""
    for item in todo:
        report(f"{item.purpose}: {_shorten(item.sql)}")
        _patiently(connection, item)


def _record(
    connection: psycopg.Connection, source: Source, table: Relation, streams: dict[str, mapping.StreamMapping]
) -> Iterator[Step]:
    """Yield the statement that stores the mapping of a table, unless exactly this one is stored."""
    name, record = ", ".join(streams), msgspec.json.encode(streams, enc_hook=str).decode()
    query = "SELECT 1 FROM monitoring.adopted WHERE (relation, source, stream, mapping) = (%s, %s, %s, %s::jsonb)"
    known = _exists(connection, Relation.of("monitoring", "adopted"))
    if known and connection.execute(query, [table, source.label, name, record]).fetchone():
        return
    values = ", ".join(sql.Literal(value).as_string(None) for value in (table, source.label, name, record))
    yield Step(
        f"INSERT INTO monitoring.adopted (relation, source, stream, mapping) VALUES ({values}) ON CONFLICT (relation) "
        "DO UPDATE SET source = excluded.source, stream = excluded.stream, mapping = excluded.mapping",
        "store what was adopted",
    )


def _schema_steps(connection: psycopg.Connection) -> Iterator[Step]:
    try:
        schema.check_version(connection, "counting")
    except SchemaError:
        schema.check_version(connection, "counting", missing_ok=True)
        yield Step(schema.counting_sql(), "create schema monitoring for cursors and counters")


def _table_steps(connection: psycopg.Connection, table: Relation) -> Iterator[Step]:
    kind = checks.relation_kind(connection, table)
    columns = _columns(connection, table)
    if not {TX, CLUSTER} <= columns:
        yield Step(
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {CLUSTER} bigint, "
            f"ADD COLUMN IF NOT EXISTS {TX} xid8 DEFAULT pg_current_xact_id(), "
            f"ALTER COLUMN {CLUSTER} SET DEFAULT (pg_control_system()).system_identifier",
            "note in each new row which transaction of which cluster wrote it (no rewrite)",
            table=table,
        )
    valid = _index_valid(connection, table)
    index, schema_name = _index(table), quoted(table.schema)
    if valid is False:
        yield Step(f"DROP INDEX CONCURRENTLY {schema_name}.{index}", "remove an index that was left incomplete", True)
    if not valid:
        # A partitioned table allows no concurrent build.
        how = "" if kind == "p" else " CONCURRENTLY"
        build = f"CREATE INDEX{how} {index} ON {table} ({CLUSTER}, {TX})"
        yield Step(build, "find new rows quickly", concurrent=kind != "p", table=table)


def _grants(connection: psycopg.Connection, table: Relation) -> Iterator[str]:
    """Yield the grants the exporter's role lacks on a table."""
    schema_name = quoted(table.schema)
    granted = connection.execute(
        "SELECT has_schema_privilege(oid, %s, 'USAGE') AND has_table_privilege(oid, %s, 'SELECT') "
        "FROM pg_roles WHERE rolname = %s",
        [table.schema, table, schema.EXPORTER],
    ).fetchone()
    if granted != (True,):
        yield f"GRANT USAGE ON SCHEMA {schema_name} TO {schema.EXPORTER}"
        yield f"GRANT SELECT ON {table} TO {schema.EXPORTER}"


def _exists(connection: psycopg.Connection, table: Relation) -> bool:
    return checks.relation_kind(connection, table) is not None


def _columns(connection: psycopg.Connection, table: Relation) -> set[str]:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        [table],
    ).fetchall()
    return {row[0] for row in rows}


def _index(table: Relation) -> str:
    """Return the name of our index: an identifier holds 63 bytes, so that long names end in a hash."""
    name = table.name
    if len(name.encode()) > 50:
        name = f"{name[:20]}_{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8]}"
    return quoted(f"{name}_platform")


def _index_valid(connection: psycopg.Connection, table: Relation) -> bool | None:
    """Return whether our index is valid; None where there is none. A failed build leaves an invalid one."""
    row = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
        [f"{quoted(table.schema)}.{_index(table)}"],
    ).fetchone()
    return bool(row[0]) if row else None


def _patiently(connection: psycopg.Connection, item: Step) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            # A concurrent build waits for transactions without blocking anyone, so it may wait.
            timeout = 0 if item.concurrent else LOCK_TIMEOUT_MS
            connection.execute(f"SET lock_timeout = {timeout}")
            with rights_to_adopt(connection, item.table):
                connection.execute(item.sql.encode())
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if attempt == TRIES:
                raise PlatformError(
                    f"no lock after {TRIES} tries of {LOCK_TIMEOUT_MS} ms for: {_shorten(item.sql)}; "
                    "a long transaction holds the table (see pg_stat_activity): run this again when it has ended"
                ) from error
            time.sleep(PAUSE_SECONDS)


def _shorten(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 200 else f"{line[:200]} ... ({len(line)} characters; --dry-run shows all)"
