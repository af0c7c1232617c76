"""Explanations of what PostgreSQL refuses: which table, column or privilege is missing, and what gives it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

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
    error: psycopg.Error, connection: psycopg.Connection, stream: Stream, key: str = ""
) -> MappingError | SchemaError:
    """Return the error of a mapping that names what the database does not have; `key` is the place in its stream."""
    problem, database = error.diag.message_primary or str(error), connection.info.dbname
    if "monitoring." in problem and stream.adopted:
        return SchemaError(f"{problem} in database {database}; run `platform-exporter adopt` again")
    hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
    again = ", and run `platform-exporter adopt` again" if stream.adopted else ""
    return MappingError(
        f"stream {stream.name}{key}: {problem} in database {database}{hint}: expected table {stream.relation} with the "
        "columns that its mapping names; change the mapping or the table" + again
    )


def missing_right(error: psycopg.Error, connection: psycopg.Connection, relation: Relation) -> DatabaseError:
    """Return the error of a privilege that is missing to read a table, with the GRANT that gives it."""
    user = connection.info.user
    name = quoted(user)
    if relation.schema == "monitoring":
        grant = f"GRANT platform_exporter TO {name};"
    else:
        grant = f"GRANT USAGE ON SCHEMA {quoted(relation.schema)} TO {name}; GRANT SELECT ON {relation} TO {name};"
    return DatabaseError(
        f"user {user} may not use {relation} in database {connection.info.dbname} "
        f"({error.diag.message_primary}); run: {grant}"
    )


@contextmanager
def rights_to_adopt(connection: psycopg.Connection, table: Relation | None = None) -> Iterator[None]:
    """Turn a missing privilege into a DatabaseError that says what to grant."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        user, problem = connection.info.user, error.diag.message_primary or str(error)
        raise DatabaseError(
            f"user {user} may not adopt in database {connection.info.dbname} ({problem}); run adopt with "
            f"the DSN of the tables' owner, or: {_grant_to_adopt(connection, table, problem)}"
        ) from error


def _grant_to_adopt(connection: psycopg.Connection, table: Relation | None, problem: str) -> str:
    name = sql.Identifier(connection.info.user).as_string(None)
    schema = re.search(r"permission denied for schema (\S+)", problem)
    if schema:
        if schema[1] == "monitoring":
            query = "SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'monitoring'"
            owner = connection.execute(query).fetchone()
            return f"GRANT {owner[0] if owner else 'its owner'} TO {name};"
        return f"GRANT USAGE ON SCHEMA {schema[1]} TO {name};"
    if "permission denied for database" in problem:
        return f"GRANT CREATE ON DATABASE {sql.Identifier(connection.info.dbname).as_string(None)} TO {name};"
    query = "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(%s)"
    owner = connection.execute(query, [table]).fetchone() if table else None
    return f"GRANT {owner[0]} TO {name};" if owner else "have a superuser run it"
