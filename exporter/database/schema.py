"""The SQL of the schema `monitoring`, made from the declared kinds, and its application to a database.

The SQL may run any number of times and from any earlier version: it adds the tables and columns that are missing.
"""

import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from importlib import resources

import psycopg
from psycopg import errors, sql

from exporter.database.connection import AdvisoryLock
from exporter.errors import DatabaseError, SchemaError
from platform_sdk.events import EVENTS
from platform_sdk.events.base import Column, EventKind
from platform_sdk.events.error import SEVERITIES

VERSION = 8 + sum(len(kind.all_columns) for kind in EVENTS)
"""Grows with every change of the schema, so that an older program refuses a newer schema: by itself with every column
that a kind declares (none is ever removed), by its first number with any other."""

DAYS_AHEAD = 7
OLDEST_SERVER = 130000
ATTEMPTS = 10

WRITER, EXPORTER, GRAFANA = "platform_writer", "platform_exporter", "platform_grafana"
RESTRICTED = "platform_grafana_restricted"
ROLES = {
    WRITER: "for applications: may add events, and keep jobs and ledger that their login wrote; reads nothing else",
    EXPORTER: "for the exporter: may read events and advance cursors and rollups",
    GRAFANA: "for dashboards: may read the views, which name no user and hold no address and no stack trace",
    RESTRICTED: "for dashboards of those who may see users, addresses and stack traces: may read all views",
}


def counting_sql() -> str:
    """Return the SQL that every database with a source needs."""
    return "\n".join((_read("counting.sql"), *_roles(), *_counting_grants(), _version("counting")))


def store_sql() -> str:
    """Return the SQL of the event store, without `counting_sql`."""
    tables = (statement for kind in EVENTS for statement in _table(kind))
    views = (statement for kind in EVENTS for statement in _view(kind))
    state = _read("state.sql").replace("{severities}", ", ".join(f"'{severity}'" for severity in SEVERITIES))
    writers = _read("writers.sql").replace("{kinds}", ", ".join(f"'{kind.name}'" for kind in EVENTS))
    return "\n".join((*tables, _read("partitions.sql"), state, writers, *views, *_store_grants(), _version("store")))


def show() -> str:
    """Return the whole schema's SQL for a person who applies it manually."""
    return f"BEGIN;\n{counting_sql()}\n{store_sql()}\n{partitions_sql()}\nCOMMIT;\n"


def partitions_sql() -> str:
    """Return the SQL that creates yesterday's to next week's partitions; it may run every day."""
    kinds = ", ".join(f"'{kind.name}'" for kind in EVENTS)
    return f"""SELECT monitoring.ensure_partition(kind, (now() AT TIME ZONE 'UTC')::date + days)
FROM unnest(ARRAY[{kinds}]) kind, generate_series(-1, {DAYS_AHEAD}) days;"""


def apply(connection: psycopg.Connection) -> None:
    """Create or upgrade the schema in one transaction, again where it met locks of programs that run meanwhile.

    Blocks for some minutes at most. Raises DatabaseError, or SchemaError where the schema is newer than this program.
    """
    check_server(connection)
    check_cluster_id(connection)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _apply(connection)
            return
        except (errors.DeadlockDetected, errors.LockNotAvailable):
            # An exporter polls, or autovacuum works, in an order of its own.
            if attempt == ATTEMPTS:
                raise
            time.sleep(random.uniform(0.1, 0.5) * attempt)  # noqa: S311 - no secret


def is_current(connection: psycopg.Connection) -> bool:
    """Return whether `apply` would find nothing to do: both parts are at this version, and all roles are there.

    Takes no lock that anyone waits for. Partitions of days are the exporter's work.
    """
    known = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)]).fetchone()
    versions = {_version_of(connection, part) for part in ("counting", "store")}
    return known == (len(ROLES),) and versions == {VERSION}


def _apply(connection: psycopg.Connection) -> None:
    with connection.transaction(), _rights_to_apply(connection):
        AdvisoryLock.SCHEMA.wait(connection)
        connection.execute("SET LOCAL lock_timeout = '10s'; SET LOCAL client_min_messages = warning")
        for part in ("counting", "store"):
            check_version(connection, part, missing_ok=True)
        for part_sql in (counting_sql(), store_sql(), partitions_sql()):
            connection.execute(part_sql.encode())


def check_server(connection: psycopg.Connection) -> None:
    """Raise DatabaseError where the server is older than PostgreSQL 13."""
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise DatabaseError(
            f"PostgreSQL at {connection.info.host}:{connection.info.port} is version {version // 10000}; "
            f"expected {OLDEST_SERVER // 10000} or newer (xid8 and pg_snapshot came with it): upgrade the server"
        )


def check_cluster_id(connection: psycopg.Connection) -> None:
    """Raise DatabaseError where who owns, or would own, monitoring.cluster_id() may not read the cluster's identifier.

    Rows are written with it: then every INSERT would fail.
    """
    row = connection.execute(
        """SELECT quote_ident(owner), has_function_privilege(owner, 'pg_control_system()', 'EXECUTE') FROM (
            SELECT coalesce(
                (SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE oid = to_regproc('monitoring.cluster_id')),
                current_user) AS owner) known"""
    ).fetchone()
    if row and not row[1]:
        raise DatabaseError(
            f"user {row[0]} may not execute pg_control_system() in database {connection.info.dbname}, which says which "
            f"cluster a row was written in; run: GRANT EXECUTE ON FUNCTION pg_control_system() TO {row[0]};"
        )


def check_version(connection: psycopg.Connection, part: str, *, missing_ok: bool = False) -> None:
    """Raise SchemaError where `part` of the schema is missing, older or newer than this program expects.

    With `missing_ok` where it is newer, or where a schema of another's has that name and tables of those names.
    Raises DatabaseError where this user has no right to the schema.
    """
    found = _version_of(connection, part)
    if found is not None and found > VERSION:
        raise SchemaError(
            f"schema `monitoring` in database {connection.info.dbname} is version {found}, this program knows "
            f"{VERSION}; upgrade platform-exporter"
        )
    if missing_ok and found is None:
        _require_ours(connection)
    if not missing_ok and (found is None or found < VERSION):
        state = "is missing" if found is None else f"is version {found}, expected {VERSION}"
        command = "schema apply --config FILE" if part == "store" else "adopt PRESET --config FILE"
        raise SchemaError(
            f"schema `monitoring` ({part}) {state} in database {connection.info.dbname}; "
            f"run `platform-exporter {command}`"
        )


def exists(connection: psycopg.Connection, part: str) -> bool:
    """Return whether a database has `part` of the schema. Raises SchemaError where it is older or newer."""
    if _version_of(connection, part) is None:
        return False
    check_version(connection, part)
    return True


def _require_ours(connection: psycopg.Connection) -> None:
    names = re.findall(r"CREATE TABLE IF NOT EXISTS monitoring\.(\w+)", counting_sql() + store_sql())
    row = connection.execute(
        """SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
        WHERE relnamespace = to_regnamespace('monitoring') AND relname = ANY(%s)
            AND to_regproc('monitoring.cluster_id') IS NULL""",
        [names],
    ).fetchone()
    if row and row[0]:
        raise SchemaError(
            f"schema `monitoring` in database {connection.info.dbname} is not ours and has tables of our names "
            f"({row[0]}): expected a database without them; rename those tables, or the schema"
        )


def _version_of(connection: psycopg.Connection, part: str) -> int | None:
    exists = connection.execute(
        "SELECT FROM pg_class WHERE relnamespace = to_regnamespace('monitoring') AND relname = 'schema_version'"
    ).fetchone()
    if exists is None:
        return None
    try:
        row = connection.execute("SELECT version FROM monitoring.schema_version WHERE part = %s", [part]).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        info = connection.info
        raise DatabaseError(
            f"user {info.user} may not use schema `monitoring` in database {info.dbname} "
            f"({error.diag.message_primary}); run: GRANT {EXPORTER} TO {sql.Identifier(info.user).as_string(None)};"
        ) from error
    return row[0] if row else None


def partition_days(today: date) -> Iterator[date]:
    """Yield the days whose partitions should exist: yesterday to a week ahead."""
    yield from (today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1))


def partition_day(name: str, kind: str) -> date | None:
    """Return the day of the partition `name` of `kind`, None for any other table."""
    suffix = name.removeprefix(f"{kind}_")
    if len(suffix) != 8 or not suffix.isdigit():
        return None
    return datetime.strptime(suffix, "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone


@contextmanager
def _rights_to_apply(connection: psycopg.Connection) -> Iterator[None]:
    """Turn a missing privilege into a DatabaseError that says what to grant."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        info = connection.info
        database, user = sql.Identifier(info.dbname).as_string(None), sql.Identifier(info.user).as_string(None)
        raise DatabaseError(
            f"user {info.user} may not create the schema `monitoring` in database {info.dbname} "
            f"({error.diag.message_primary}); run this as the database's owner, or: "
            f"{error.diag.message_hint or f'GRANT CREATE ON DATABASE {database} TO {user};'}"
        ) from error


def _read(name: str) -> str:
    return resources.files("exporter.database").joinpath("sql", name).read_text(encoding="utf-8")


def _version(part: str) -> str:
    return f"""INSERT INTO monitoring.schema_version (part, version) VALUES ('{part}', {VERSION})
ON CONFLICT (part) DO UPDATE SET version = excluded.version, applied_at = now()
WHERE monitoring.schema_version.version < excluded.version;"""


def _table(kind: EventKind) -> Iterator[str]:
    table = f"monitoring.{kind.name}"
    columns = ",\n    ".join(_column(column) for column in kind.all_columns)
    yield f"""
-- One row is {kind.rows_are}. `tx` and `cluster` say which transaction wrote it; writers leave them out.
CREATE TABLE IF NOT EXISTS {table} (
    {columns},
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    cluster bigint NOT NULL DEFAULT monitoring.cluster_id()
) PARTITION BY RANGE (at);"""
    for column in kind.all_columns:
        # NOT NULL is left out: an upgrade must not fail on rows that are there.
        default = f" DEFAULT {column.default}" if column.default else ""
        yield f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column.name} {column.type}{default};"
        doc = column.description.replace("'", "''")
        yield f"COMMENT ON COLUMN {table}.{column.name} IS '{doc}';"
    # What an earlier version required and this one does not.
    loosened = ", ".join(
        f"ALTER COLUMN {column.name} DROP NOT NULL" for column in kind.all_columns if not column.required
    )
    yield f"ALTER TABLE {table} {loosened};"
    # A row outside every daily partition must not fail its writer: it lands here and is moved or rejected by us.
    yield f"CREATE TABLE IF NOT EXISTS {table}_default PARTITION OF {table} DEFAULT;"
    yield f"CREATE INDEX IF NOT EXISTS {kind.name}_tx ON {table} (cluster, tx);"
    yield f"CREATE INDEX IF NOT EXISTS {kind.name}_at ON {table} USING brin (at);"
    for name, definition in kind.indexes.items():
        yield f"CREATE INDEX IF NOT EXISTS {name} ON {table} {definition};"


def _column(column: Column) -> str:
    required = " NOT NULL" if column.required else ""
    default = f" DEFAULT {column.default}" if column.default else ""
    return f"{column.name} {column.type}{required}{default}"


def _view(kind: EventKind) -> Iterator[str]:
    for schema, columns in (
        (VIEWS, [column.name for column in kind.all_columns if column.for_viewers]),
        (RESTRICTED_VIEWS, [column.name for column in kind.all_columns]),
    ):
        shown = [_shown(kind, name) for name in columns]
        if any(column.name == "user_id" for column in kind.columns):
            shown.append(_USER_HASH)
        yield f"DROP VIEW IF EXISTS {schema}.{kind.name};"
        yield f"CREATE VIEW {schema}.{kind.name} AS SELECT {', '.join(shown)} FROM monitoring.{kind.name};"


def _shown(kind: EventKind, name: str) -> str:
    """Return SQL of a view's column: what is understood as series have it."""
    column = next(column for column in kind.all_columns if column.name == name)
    if name in kind.shown:
        return f"{kind.shown[name]} AS {name}"
    return f"coalesce({column.understood}, {name}) AS {name}" if column.values else name


VIEWS, RESTRICTED_VIEWS = "monitoring_views", "monitoring_restricted"

# Tells users apart and names none: the salt is random, and only the owner can read it.
_USER_HASH = "md5((SELECT salt FROM monitoring.view_salt)::text || user_id) AS user_hash"

_STATE_VIEWS = (
    "scraping_job", "error_issue", "error_fingerprint", "alert_notification", "manual_alert", "audit", "sdk_ledger",
    "release",
)  # fmt: skip


def _roles() -> Iterator[str]:
    for role, purpose in ROLES.items():
        yield f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} NOLOGIN;
        COMMENT ON ROLE {role} IS '{purpose}';
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this cluster was faster
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role {role} ({purpose}) is missing and % may not create it', current_user
            USING ERRCODE = 'insufficient_privilege', HINT = 'CREATE ROLE {role} NOLOGIN;';
END $$;"""


# PostgreSQL lets everyone execute a new function, and whoever may execute a trigger's function may put it on a table of
# theirs. Everyone's are the number of the cluster, the default of a column, and what policies ask of whoever reads.
_CLOSED = """
DO $$ DECLARE open regprocedure; BEGIN
    FOR open IN SELECT oid FROM pg_proc WHERE pronamespace = 'monitoring'::regnamespace AND prosecdef
        AND proname NOT IN ('cluster_id', 'is_own') AND pg_has_role(proowner, 'USAGE')
        AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0)
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', open);
    END LOOP;
END $$;"""


def _counting_grants() -> Iterator[str]:
    yield _CLOSED
    yield f"GRANT USAGE ON SCHEMA monitoring TO {EXPORTER}, {WRITER};"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO {EXPORTER};"
    counted = ("source", "cursor", "former_cluster", "rollup", "removed", "unknown_value")
    for table in (*counted, "actor", "error_issue", "error_fingerprint", "release", "job_schedule"):
        yield f"GRANT INSERT, UPDATE, DELETE ON monitoring.{table} TO {EXPORTER};"
    yield f"GRANT INSERT ON monitoring.audit TO {EXPORTER};"
    yield f"GRANT INSERT, DELETE ON monitoring.counted_key TO {EXPORTER};"
    yield f"GRANT DELETE ON monitoring.capture_pending TO {EXPORTER};"
    for function in ("has_uncounted(text, text)", "capture_table(integer, regclass)", "trim_captured(integer)"):
        yield f"GRANT EXECUTE ON FUNCTION monitoring.{function} TO {EXPORTER};"


def _store_grants() -> Iterator[str]:
    yield _CLOSED
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO {EXPORTER};"
    yield f"GRANT INSERT, UPDATE, DELETE ON monitoring.alert_notification, monitoring.scraping_job TO {EXPORTER};"
    yield f"GRANT INSERT, UPDATE ON monitoring.manual_alert TO {EXPORTER};"
    yield f"GRANT INSERT, DELETE ON monitoring.batch TO {EXPORTER};"
    yield f"GRANT DELETE ON monitoring.sdk_ledger TO {EXPORTER};"
    yield f"GRANT INSERT ON {', '.join(f'monitoring.{kind.name}' for kind in EVENTS)}, monitoring.batch TO {WRITER};"
    yield f"GRANT SELECT, INSERT, UPDATE ON monitoring.scraping_job, monitoring.sdk_ledger TO {WRITER};"
    functions = (
        "ensure_partition(text, date)",
        "drop_partition(text, date, pg_snapshot)",
        "trim_default(text, timestamptz, pg_snapshot)",
    )
    for function in functions:
        yield f"GRANT EXECUTE ON FUNCTION monitoring.{function} TO {EXPORTER};"
    for table in _STATE_VIEWS:
        yield f"DROP VIEW IF EXISTS monitoring_views.{table};"
        yield f"CREATE VIEW monitoring_views.{table} AS SELECT * FROM monitoring.{table};"
    yield f"REVOKE ALL ON monitoring.view_salt FROM {EXPORTER};"
    for schema, roles in ((VIEWS, f"{GRAFANA}, {RESTRICTED}"), (RESTRICTED_VIEWS, RESTRICTED)):
        yield f"GRANT USAGE ON SCHEMA {schema} TO {roles};"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {roles};"
