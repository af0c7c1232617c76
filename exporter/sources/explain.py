"""Explanations of what PostgreSQL refuses: which table, column or privilege is missing, and what gives it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from exporter.database import schema
from exporter.errors import DatabaseError, MappingError, SchemaError
from exporter.sources.mapping import Relation, Stream, quoted


def missing_schema(connection: psycopg.Connection) -> SchemaError:
    """Return the error of a database without the schema `monitoring`."""
    return SchemaError(
        f"schema `monitoring` is missing in database {connection.info.dbname}; "
        "run `platform-exporter schema apply --config FILE` (for an application's own tables: `adopt`)"
    )


def read_only(connection: psycopg.Connection) -> DatabaseError:
    """Return the error of a database that takes no writes although it is not a standby."""
    info = connection.info
    return DatabaseError(
        f"database {info.dbname} at {info.host}:{info.port} is read-only: expected one that takes writes; "
        "change the DSN, or default_transaction_read_only"
    )


def mapping_error(
    error: psycopg.Error, connection: psycopg.Connection, stream: Stream, key: str | None = None
) -> MappingError | SchemaError:
    """Return the error of a mapping that names what the database does not have.

    `key` is the place in its stream, known before the adoption, when the schema `monitoring` may well be missing.
    """
    problem, database = error.diag.message_primary or str(error), connection.info.dbname
    if key is None and stream.captured and lacks_ours(connection, stream):
        return SchemaError(f"{problem} in database {database}; run `platform-exporter adopt` again")
    hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
    again = ", and run `platform-exporter adopt` again" if stream.captured else ""
    return MappingError(
        f"stream {stream.name}{key or ''}: {problem} in database {database}{hint}: expected table {stream.relation} "
        "with the columns that its mapping names; change the mapping or the table" + again
    )


def lacks_ours(connection: psycopg.Connection, stream: Stream) -> bool:
    """Return whether the schema `monitoring` lacks a table or function that polls need, or that a mapping calls."""
    text = " ".join((schema.counting_sql(), *stream.columns.values(), stream.join, stream.condition, stream.rows))
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS monitoring\.(\w+)", text)
    tables += re.findall(r"monitoring\.(captured_\d+)\b", stream.rows)
    functions = re.findall(r"\bmonitoring\.(\w+)\(", text)
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM unnest(%s::text[]) name WHERE NOT EXISTS (
            SELECT FROM pg_class WHERE relnamespace = to_regnamespace('monitoring') AND relname = name))
        OR EXISTS (SELECT FROM unnest(%s::text[]) name WHERE NOT EXISTS (
            SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('monitoring') AND proname = name))""",
        [tables, functions],
    ).fetchone()
    return row == (True,)


def missing_right(error: psycopg.Error, connection: psycopg.Connection, *relations: Relation) -> DatabaseError:
    """Return the error of a privilege that is missing to read one of these tables, with the SQL that gives it."""
    user, database = connection.info.user, connection.info.dbname
    given = (found for relation in relations if (found := _to_read(connection, relation)))
    ours = Relation.of("monitoring", "source"), f"GRANT platform_exporter TO {quoted(user)};"
    relation, grant = next(given, ours)
    return DatabaseError(
        f"user {user} may not use {relation} in database {database} ({error.diag.message_primary}); run: {grant}"
    )


@contextmanager
def rights_to_read(connection: psycopg.Connection, *relations: Relation) -> Iterator[None]:
    """Turn a missing privilege to read one of these tables into a DatabaseError that says what to grant."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise missing_right(error, connection, *relations) from error


def _to_read(connection: psycopg.Connection, relation: Relation) -> tuple[Relation, str] | None:
    """Return the SQL that lets this user read all of a table, None where it may or where the table is ours."""
    row = connection.execute(
        """SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
            row_security_active(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s""",
        [relation.schema, relation.name],
    ).fetchone()
    name = quoted(connection.info.user)
    if row is None or relation.schema == "monitoring" or row == (True, False):
        return None
    if row[0]:  # a policy, even one that shows all rows, could be changed to hide some: none may apply
        return relation, f"ALTER ROLE {name} BYPASSRLS;"
    return relation, f"GRANT USAGE ON SCHEMA {quoted(relation.schema)} TO {name}; GRANT SELECT ON {relation} TO {name};"


def no_temporary_tables(error: psycopg.Error, connection: psycopg.Connection) -> DatabaseError:
    """Return the error of a user who may not make temporary tables, with the SQL that gives the right."""
    user, database = connection.info.user, connection.info.dbname
    return DatabaseError(
        f"user {user} may not make temporary tables in database {database} ({error.diag.message_primary}); run: "
        f"GRANT TEMPORARY ON DATABASE {quoted(database)} TO {quoted(user)};"
    )


@contextmanager
def rights_to_adopt(connection: psycopg.Connection, *tables: Relation) -> Iterator[None]:
    """Turn a missing privilege into a DatabaseError that says what to grant."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        user, problem = connection.info.user, error.diag.message_primary or str(error)
        raise DatabaseError(
            f"user {user} may not adopt in database {connection.info.dbname} ({problem}); run adopt with "
            f"the DSN of the tables' owner, or: {error.diag.message_hint or _to_adopt(connection, tables)}"
        ) from error


def _to_adopt(connection: psycopg.Connection, tables: tuple[Relation, ...]) -> str:
    """Return the SQL that gives all that is missing to adopt these tables."""
    rows = connection.execute(
        """SELECT 'CREATE ON DATABASE ' || quote_ident(current_database()) AS missing
            WHERE to_regnamespace('monitoring') IS NULL AND NOT has_database_privilege(current_database(), 'CREATE')
        UNION ALL SELECT 'USAGE ON SCHEMA ' || quote_ident(nspname) FROM pg_namespace
            WHERE nspname = ANY(%(schemas)s::text[]) AND NOT has_schema_privilege(oid, 'USAGE')
        UNION ALL SELECT quote_ident(pg_get_userbyid(owner)) FROM (
            SELECT nspowner AS owner FROM pg_namespace WHERE nspname = 'monitoring' UNION
            SELECT relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE (nspname, relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))) owners
        WHERE NOT pg_has_role(owner, 'MEMBER')""",
        {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]},
    ).fetchall()
    return (
        " ".join(f"GRANT {right} TO {quoted(connection.info.user)};" for (right,) in rows) or "have a superuser run it"
    )
