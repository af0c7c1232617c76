"""Checks before and after an adoption: are the tables and columns there that a mapping names, and can they be read?"""

from collections.abc import Iterator
from dataclasses import replace

import psycopg

from exporter.config.settings import Source
from exporter.errors import MappingError, PlatformError
from exporter.printing import plural
from exporter.sources import explain, mapping
from exporter.sources.mapping import Mapping, Relation, Stream


def relation_kind(connection: psycopg.Connection, table: Relation) -> str | None:
    """Return pg_class.relkind of a table or view, None where there is none."""
    row = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", [table]).fetchone()
    return row[0] if row else None


def column_types(connection: psycopg.Connection, table: Relation) -> dict[str, str]:
    """Return the stored columns of a table, in order, and their types.

    Of a domain that is the type below it, whose checks passed.
    """
    rows = connection.execute(
        """WITH RECURSIVE base AS (
            SELECT a.attname, a.attnum, a.atttypid AS type, a.atttypmod AS modifier FROM pg_attribute a
            WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
            UNION ALL SELECT b.attname, b.attnum, t.typbasetype,
                CASE b.modifier WHEN -1 THEN t.typtypmod ELSE b.modifier END
            FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
        SELECT b.attname, format_type(b.type, b.modifier) FROM base b JOIN pg_type t ON t.oid = b.type
        WHERE t.typtype <> 'd' ORDER BY b.attnum""",
        [table],
    ).fetchall()
    return dict(rows)


def children(connection: psycopg.Connection, table: Relation) -> list[str]:
    """Return the partitions of a table and the tables that inherit from it, at any depth."""
    rows = connection.execute(
        """WITH RECURSIVE tree AS (
            SELECT to_regclass(%s) AS relation
            UNION SELECT i.inhrelid::regclass FROM pg_inherits i JOIN tree ON i.inhparent = tree.relation)
        SELECT relation::text FROM tree OFFSET 1""",
        [table],
    ).fetchall()
    return [name for (name,) in rows]


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
        if table in owned and kind not in "rp" and not adopted.read_only:
            raise PlatformError(
                f"{table} is a view or foreign table: expected the table that applications write; change the mapping"
            )


def findings(connection: psycopg.Connection, adopted: Mapping, allow_publications: bool) -> Iterator[str]:
    """Yield what an owner should know of the tables before they are adopted. Raises PlatformError.

    What an adoption would break is refused.
    """
    _require_no_publication(connection, allow_publications)
    limit = connection.execute(_LIMIT).fetchone()
    if limit:
        yield (
            f"temp_file_limit is set ({limit[0]}): a statement that writes more rows than `work_mem` holds keeps them "
            "in temporary files for the triggers, and fails beyond that limit"
        )
    for table in dict.fromkeys(stream.table for stream in adopted.streams.values()):
        relations = [str(table), *children(connection, table)]
        _require_local(connection, table, relations)
        if len(relations) > 1:
            yield f"{table} has {plural(len(relations) - 1, 'partition')}: each gets the triggers, also later ones"
        for found, text in _FOUND.items():
            query = f"SELECT string_agg(DISTINCT name, ', ') FROM ({found}) found"
            row = connection.execute(query.encode(), {"tables": relations}).fetchone()
            if row and row[0]:
                yield text.format(table=table, names=row[0])


_LIMIT = """SELECT pg_size_pretty(setting::bigint * 1024) FROM pg_settings
    WHERE name = 'temp_file_limit' AND setting <> '-1'
    UNION ALL SELECT substr(one, 17) FROM pg_db_role_setting, unnest(setconfig) one
    WHERE starts_with(one, 'temp_file_limit=') AND setdatabase IN (
        0, (SELECT oid FROM pg_database WHERE datname = current_database())) LIMIT 1"""

_FOUND = {
    """SELECT tgname::text AS name FROM pg_trigger WHERE tgrelid = ANY(%(tables)s::text[]::regclass[])
    AND NOT tgisinternal AND NOT starts_with(tgname, 'platform_capture_')""": "{table} has triggers ({names}): they "
    "work as before; a row that one of them suppresses is not counted",
    """SELECT rulename::text AS name FROM pg_rewrite WHERE ev_class = ANY(%(tables)s::text[]::regclass[])
    AND ev_type <> '1'""": "{table} has rules ({names}): rows that a rule writes elsewhere instead are not counted",
    """SELECT relname::text AS name FROM pg_class WHERE oid = ANY(%(tables)s::text[]::regclass[]) AND relrowsecurity
    """: "{table} has row-level security: every change is captured, whoever makes it; the exporter reads the table "
    "itself only where its user may see all rows (BYPASSRLS)",
}
"""SQL of what is worth knowing of a table, and how it is said."""


def _require_no_publication(connection: psycopg.Connection, allowed: bool) -> None:
    named = "SELECT pubname FROM pg_publication WHERE puballtables"
    if connection.info.server_version >= 150_000:
        named += (
            " UNION SELECT pubname FROM pg_publication p JOIN pg_publication_namespace n ON n.pnpubid = p.oid"
            " JOIN pg_namespace s ON s.oid = n.pnnspid WHERE s.nspname = 'monitoring'"
        )
    names = ", ".join(name for (name,) in connection.execute(named.encode()).fetchall())
    if names and not allowed:
        raise PlatformError(
            f"publication {names} sends every new table to its subscribers, which stop when they lack it: expected a "
            "publication that names its tables (make a new one); or create schema `monitoring` on the subscribers as "
            "well, and add --allow-publications"
        )


def _require_local(connection: psycopg.Connection, table: Relation, relations: list[str]) -> None:
    """Refuse tables in which others than local statements write: triggers would not see it, or make it fail."""
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = ANY(%(tables)s::text[]::regclass[])),
            (SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
            WHERE oid = ANY(%(tables)s::text[]::regclass[]) AND relkind = 'f')""",
        {"tables": relations},
    ).fetchone()
    if row and row[0]:
        raise PlatformError(
            f"a subscription writes {table}: expected a table that applications write here; adopt it in the database "
            "that publishes it, where its rows are written"
        )
    if row and row[1]:
        raise PlatformError(
            f"{table} has foreign tables as partitions ({row[1]}), whose rows triggers cannot read, so that statements "
            "would fail: detach them, or adopt the local partitions"
        )


def require_columns(connection: psycopg.Connection, source: Source) -> None:
    """Raise MappingError where a mapping names what a table lacks, or is not SQL: before anything is changed."""
    for stream in mapping.plan(source).streams:
        try:
            _select_nothing(connection, stream, list(stream.columns.values()))
            _require_whole(connection, stream)
        except psycopg.ProgrammingError as error:
            missing = isinstance(error, (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction))
            # The schema is created by the first step only.
            if not (missing and stream.captured and explain.lacks_ours(connection, stream)):
                raise explain.mapping_error(error, connection, stream, _refused(connection, stream)) from error


def _require_whole(connection: psycopg.Connection, stream: Stream) -> None:
    """Select each piece of SQL without parentheses around it, so that it cannot close them: `true) OR (true`."""
    conditions = [stream.where, *filter(None, [stream.counted_when])]
    for text in (*conditions, *stream.columns.values()):
        connection.execute(f"SELECT {text}\nFROM {stream.relation.sql} t {stream.join} LIMIT 0".encode(), [])


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
            _require_whole(connection, replace(part, columns={"": column}))
        except psycopg.ProgrammingError:
            return f".{key}"
    return ""


def require_readable(connection: psycopg.Connection, source: Source) -> None:
    """Raise DatabaseError where a stream or state cannot be read as it will be: after the adoption."""
    plan = mapping.plan(source)
    for stream in plan.streams:
        try:
            _select_nothing(connection, stream, list(stream.columns.values()))
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
        raise explain.missing_right(error, connection, stream.relation, *stream.reads) from error
