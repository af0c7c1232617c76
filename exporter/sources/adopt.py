"""Make an application's own table a source, without touching the application.

Two columns are added, both with defaults that do not rewrite the table: the transaction that wrote a row, and the
cluster it was written in. Applications that name their columns notice nothing.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import psycopg
from psycopg import sql

from exporter.config.settings import Source
from exporter.database import schema
from exporter.errors import AdoptError, MappingError, RightsError, SchemaError
from exporter.sources import explain, mapping
from exporter.sources.mapping import CLUSTER, TX, Mapping

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_MS = 500
TRIES = 40
PAUSE_SECONDS = 0.5
"""ALTER TABLE waits for running transactions, and all others behind it: so it gives up soon and tries again."""


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one statement, what it is for and the table it changes; a `concurrent` one runs in no transaction."""

    sql: str
    purpose: str
    concurrent: bool = False
    table: str | None = None


def steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> list[Step]:
    """Return what is still to be done in this database; an empty list where all is. Raises AdoptError."""
    with _explained(connection):
        _require_tables(connection, source, adopted)
        _require_columns(connection, source)
        return list(dict.fromkeys(_steps(connection, source, adopted)))


def _steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> list[Step]:
    plan = list(_schema_steps(connection))
    for stream in adopted.streams.values():
        plan += _table_steps(connection, stream.table)
    grants = dict.fromkeys(grant for table in mapping.tables(adopted) for grant in _grants(connection, table))
    plan += [Step(grant, "let the exporter read it") for grant in grants]
    for table in dict.fromkeys(stream.table for stream in adopted.streams.values()):
        streams = {name: stream for name, stream in adopted.streams.items() if stream.table == table}
        plan += _record(connection, source, table, streams)
    return plan


def undo_steps(connection: psycopg.Connection, source: Source, adopted: Mapping) -> list[Step]:
    """Return what takes an adoption back: columns, indexes, cursors and counters of this source."""
    plan = []
    for stream in adopted.streams.values():
        columns = _columns(connection, stream.table)
        index = _index(stream.table)
        schema_name = stream.table.split(".")[0]
        if columns & {TX, CLUSTER}:
            plan.append(Step(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_name}.{index}", "remove the index", True))
            plan.append(
                Step(
                    f"ALTER TABLE {stream.table} DROP COLUMN IF EXISTS {TX}, DROP COLUMN IF EXISTS {CLUSTER}",
                    "remove our columns",
                )
            )
    if _exists(connection, "monitoring.source"):
        label = sql.Literal(source.label).as_string(None)
        for table, column in (
            ("cursor", "source"), ("former_cluster", "source"), ("rollup", "source"), ("actor", "source"),
            ("adopted", "source"), ("source", "name"),
        ):  # fmt: skip
            plan.append(Step(f"DELETE FROM monitoring.{table} WHERE {column} = {label}", "forget the counters"))
    return plan


def carry_out(connection: psycopg.Connection, plan: list[Step], report: Callable[[str], None]) -> None:
    """Run the steps, each in its own short transaction, telling `report` of each. Raises AdoptError or RightsError."""
    for item in plan:
        report(f"{item.purpose}: {_shorten(item.sql)}")
        _patiently(connection, item)


def verify(connection: psycopg.Connection, source: Source) -> None:
    """Check that every stream and state can be read. Raises MappingError or RightsError that says what is missing."""
    plan = mapping.plan(source)
    for stream in plan.streams:
        columns = ", ".join([*stream.columns.values(), stream.tx, stream.cluster])
        query = f"SELECT {columns} FROM {stream.relation} t {stream.join} WHERE {stream.where} LIMIT 0"
        try:
            connection.execute(query.encode(), [])
        except psycopg.errors.InsufficientPrivilege as error:
            raise explain.missing_right(error, connection, stream.relation) from error
        except psycopg.ProgrammingError as error:
            raise explain.mapping_error(error, connection, stream) from error
    for state in plan.states:
        columns = ", ".join(state.columns.values())
        try:
            connection.execute(f"SELECT {columns} FROM {state.relation} t WHERE {state.where} LIMIT 0".encode(), [])
        except psycopg.errors.InsufficientPrivilege as error:
            raise explain.missing_right(error, connection, state.relation) from error
        except psycopg.ProgrammingError as error:
            raise MappingError(
                f"source {source.label}, state of {state.relation}: {error.diag.message_primary}; "
                "change the mapping or the table"
            ) from error


def _record(
    connection: psycopg.Connection, source: Source, table: str, streams: dict[str, mapping.StreamMapping]
) -> Iterator[Step]:
    """Yield the statement that remembers the mapping of a table, unless it is remembered just so."""
    name, record = ", ".join(streams), msgspec.json.encode(streams).decode()
    if (
        _exists(connection, "monitoring.adopted")
        and connection.execute(
            "SELECT 1 FROM monitoring.adopted WHERE (relation, source, stream, mapping) = (%s, %s, %s, %s::jsonb)",
            [table, source.label, name, record],
        ).fetchone()
    ):
        return
    values = ", ".join(sql.Literal(value).as_string(None) for value in (table, source.label, name, record))
    yield Step(
        f"INSERT INTO monitoring.adopted (relation, source, stream, mapping) VALUES ({values}) ON CONFLICT (relation) "
        "DO UPDATE SET source = excluded.source, stream = excluded.stream, mapping = excluded.mapping",
        "remember what was adopted",
    )


def _schema_steps(connection: psycopg.Connection) -> Iterator[Step]:
    try:
        schema.check_version(connection, "counting")
    except SchemaError:
        schema.check_version(connection, "counting", missing_ok=True)
        yield Step(schema.counting_sql(), "create schema monitoring for cursors and counters")


def _require_tables(connection: psycopg.Connection, source: Source, adopted: Mapping) -> None:
    """Raise AdoptError where a table is missing, or is none: before anything is changed."""
    owned = {stream.table for stream in adopted.streams.values()}
    for table in mapping.tables(adopted):
        kind = _kind(connection, table)
        if kind is None:
            raise AdoptError(
                f"source {source.label}: table {table} does not exist in database {connection.info.dbname}; "
                "change the mapping, or the database of this source"
            )
        if table in owned and kind not in "rp":
            raise AdoptError(f"{table} is no table (a view or foreign table); wanted the table that applications write")


def _require_columns(connection: psycopg.Connection, source: Source) -> None:
    """Raise MappingError where a mapping names what a table lacks, or is no SQL: before anything is changed."""
    for stream in mapping.plan(source).streams:
        query = (
            f"SELECT {', '.join(stream.columns.values())} FROM {stream.relation} t {stream.join} WHERE {stream.where}"
        )
        try:
            connection.execute(f"{query} LIMIT 0".encode(), [])
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
            if "monitoring" not in str(error):  # what the schema brings is not there before the first step
                raise explain.mapping_error(error, connection, stream) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise explain.missing_right(error, connection, stream.relation) from error
        except psycopg.ProgrammingError as error:
            raise explain.mapping_error(error, connection, stream) from error


class _explained:  # noqa: N801 - reads as a statement
    """Turn a missing privilege into a RightsError that says what to grant."""

    def __init__(self, connection: psycopg.Connection, table: str | None = None) -> None:
        self._connection = connection
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            user, problem = self._connection.info.user, error.diag.message_primary or str(error)
            raise RightsError(
                f"user {user} may not adopt in database {self._connection.info.dbname} ({problem}); run adopt with "
                f"the DSN of the tables' owner, or: {self._grant(user, problem)}"
            ) from error

    def _grant(self, user: str, problem: str) -> str:
        name = sql.Identifier(user).as_string(None)
        schema_name = re.search(r"permission denied for schema (\S+)", problem)
        if schema_name:
            if schema_name[1] == "monitoring":
                return f"GRANT platform_exporter TO {name}; and for what is still to be done the owner of that schema"
            return f"GRANT USAGE ON SCHEMA {schema_name[1]} TO {name};"
        if "permission denied for database" in problem:
            database = sql.Identifier(self._connection.info.dbname).as_string(None)
            return f"GRANT CREATE ON DATABASE {database} TO {name};"
        owner = (
            self._table
            and self._connection.execute(
                "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(%s)", [self._table]
            ).fetchone()
        )
        return f"GRANT {owner[0]} TO {name};" if owner else "have a superuser run it"


def _table_steps(connection: psycopg.Connection, table: str) -> Iterator[Step]:
    kind = _kind(connection, table)
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
    index, schema_name = _index(table), table.split(".")[0]
    if valid is False:
        yield Step(f"DROP INDEX CONCURRENTLY {schema_name}.{index}", "remove an index left half built", True)
    if not valid:
        # A partitioned table takes no concurrent build.
        how = "" if kind == "p" else " CONCURRENTLY"
        build = f"CREATE INDEX{how} {index} ON {table} ({CLUSTER}, {TX})"
        yield Step(build, "find new rows fast", concurrent=kind != "p", table=table)


def _grants(connection: psycopg.Connection, table: str) -> Iterator[str]:
    """Yield the grants the exporter's role lacks on a table."""
    role = schema.EXPORTER
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    granted = known and _exists(connection, table) and _may_read(connection, role, table)
    if not granted:
        yield f"GRANT USAGE ON SCHEMA {table.split('.')[0]} TO {role}"
        yield f"GRANT SELECT ON {table} TO {role}"


def _may_read(connection: psycopg.Connection, role: str, table: str) -> bool:
    row = connection.execute(
        "SELECT has_schema_privilege(%s, %s, 'USAGE') AND has_table_privilege(%s, %s, 'SELECT')",
        [role, table.split(".")[0], role, table],
    ).fetchone()
    return bool(row and row[0])


def _exists(connection: psycopg.Connection, table: str) -> bool:
    return _kind(connection, table) is not None


def _kind(connection: psycopg.Connection, table: str) -> str | None:
    row = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", [table]).fetchone()
    return row[0] if row else None


def _columns(connection: psycopg.Connection, table: str) -> set[str]:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped", [table]
    ).fetchall()
    return {row[0] for row in rows}


def _index(table: str) -> str:
    """Return the name of our index: an identifier holds 63 bytes, so that long names need what tells them apart."""
    name = table.split(".")[1].lower()
    short = (
        name if len(name) <= 50 else f"{name[:41]}_{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8]}"
    )
    return f"{short}_platform"


def _index_valid(connection: psycopg.Connection, table: str) -> bool | None:
    """Return whether our index is usable; None where there is none. A build that broke leaves an invalid one."""
    row = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
        [f"{table.split('.')[0]}.{_index(table)}"],
    ).fetchone()
    return bool(row[0]) if row else None


def _patiently(connection: psycopg.Connection, item: Step) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            # A concurrent build waits for transactions without blocking anyone, so it may wait.
            timeout = 0 if item.concurrent else LOCK_TIMEOUT_MS
            connection.execute(f"SET lock_timeout = {timeout}")
            with _explained(connection, item.table):
                connection.execute(item.sql.encode())
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if attempt == TRIES:
                raise AdoptError(
                    f"no lock after {TRIES} tries of {LOCK_TIMEOUT_MS} ms for: {_shorten(item.sql)}; "
                    "a long transaction holds the table (see pg_stat_activity): run this again when it has ended"
                ) from error
            time.sleep(PAUSE_SECONDS)


def _shorten(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 200 else f"{line[:200]} ... ({len(line)} characters; --dry-run shows all)"
