"""Checks before and after an adoption: are the tables and columns there that a mapping names, and can they be read?"""

from dataclasses import replace

import psycopg

from exporter.config.settings import Source
from exporter.errors import MappingError, PlatformError
from exporter.sources import explain, mapping
from exporter.sources.mapping import Mapping, Relation, Stream


def relation_kind(connection: psycopg.Connection, table: Relation) -> str | None:
    """Return pg_class.relkind of a table or view, None where there is none."""
    row = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", [table]).fetchone()
    return row[0] if row else None


def require_tables(connection: psycopg.Connection, source: Source, adopted: Mapping) -> None:
    """Raise PlatformError where a table is missing, or is a view: before anything is changed."""
    owned = {stream.table for stream in adopted.streams.values()}
    for table in mapping.tables(adopted):
        kind = relation_kind(connection, table)
        if kind is None:
            raise PlatformError(
                f"source {source.label}: table {table} does not exist in database {connection.info.dbname}; "
                "change the mapping, or the database of this source"
            )
        if table in owned and kind not in "rp":
            raise PlatformError(
                f"{table} is a view or foreign table: expected the table that applications write; change the mapping"
            )


def require_columns(connection: psycopg.Connection, source: Source) -> None:
    """Raise MappingError where a mapping names what a table lacks, or is not SQL: before anything is changed."""
    for stream in mapping.plan(source).streams:
        try:
            _select_nothing(connection, stream, list(stream.columns.values()))
        except psycopg.ProgrammingError as error:
            missing = isinstance(error, (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction))
            if not missing or "monitoring" not in str(error):  # the schema is created by the first step only
                raise explain.mapping_error(error, connection, stream, _refused(connection, stream)) from error


def _refused(connection: psycopg.Connection, stream: Stream) -> str:
    """Return which key of a stream's mapping PostgreSQL refuses."""
    joined = replace(stream, where="true", counted_when="")
    parts = {
        "table": (replace(joined, join=""), "1"),
        "join": (joined, "1"),
        "where": (replace(stream, counted_when=""), "1"),
        "counted_when": (stream, "1"),
    }
    parts |= {f"columns.{name}": (joined, text) for name, text in stream.columns.items()}
    for key, (part, column) in parts.items():
        try:
            _select_nothing(connection, part, [column])
        except psycopg.ProgrammingError:
            return f".{key}"
    return ""


def require_readable(connection: psycopg.Connection, source: Source) -> None:
    """Raise DatabaseError where a stream or state cannot be read as it will be: after the adoption."""
    plan = mapping.plan(source)
    for stream in plan.streams:
        try:
            _select_nothing(connection, stream, [*stream.columns.values(), stream.tx, stream.cluster])
        except psycopg.ProgrammingError as error:
            raise explain.mapping_error(error, connection, stream) from error
    for state in plan.states:
        columns = ", ".join(state.columns.values())
        try:
            connection.execute(f"SELECT {columns} FROM {state.relation.sql} t WHERE {state.where} LIMIT 0".encode(), [])
        except psycopg.errors.InsufficientPrivilege as error:
            raise explain.missing_right(error, connection, state.relation) from error
        except psycopg.ProgrammingError as error:
            raise MappingError(
                f"source {source.label}, state of {state.relation}: {error.diag.message_primary}; "
                "change the mapping or the table"
            ) from error


def _select_nothing(connection: psycopg.Connection, stream: Stream, columns: list[str]) -> None:
    query = f"SELECT {', '.join(columns)} FROM {stream.relation.sql} t {stream.join} WHERE {stream.condition} LIMIT 0"
    try:
        connection.execute(query.encode(), [])
    except psycopg.errors.InsufficientPrivilege as error:
        raise explain.missing_right(error, connection, stream.relation) from error
