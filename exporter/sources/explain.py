"""Explain what PostgreSQL refuses: which table, column or privilege is missing, and what gives it."""

import psycopg

from exporter.errors import MappingError, RightsError, SchemaError, StandbyError
from exporter.sources.mapping import Stream


def read_only(connection: psycopg.Connection) -> StandbyError:
    """Say that a database takes no writes although it is no standby."""
    info = connection.info
    return StandbyError(f"database {info.dbname} at {info.host}:{info.port} is read-only; wanted one that takes writes")


def mapping_error(error: psycopg.Error, connection: psycopg.Connection, stream: Stream) -> MappingError | SchemaError:
    """Say what a mapping wants and the database lacks."""
    problem = error.diag.message_primary or str(error)
    if "monitoring." in problem and not stream.relation.startswith("monitoring."):
        return SchemaError(f"{problem} in database {connection.info.dbname}; run `platform-exporter adopt` again")
    if "platform_tx" in problem or "platform_cluster" in problem:
        return MappingError(
            f"table {stream.relation} in database {connection.info.dbname} is not adopted ({problem}); "
            f"run `platform-exporter adopt` for source {stream.source}"
        )
    return MappingError(
        f"stream {stream.name}: {problem} in database {connection.info.dbname}; "
        f"wanted table {stream.relation} with the columns that its mapping names: change the mapping or the table"
    )


def missing_right(error: psycopg.Error, connection: psycopg.Connection, relation: str) -> RightsError:
    """Say which GRANT is missing."""
    user = connection.info.user
    if relation.startswith("monitoring."):
        grant = f"GRANT platform_exporter TO {user};"
    else:
        schema = relation.split(".")[0]
        grant = f"GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT ON {relation} TO {user};"
    return RightsError(
        f"user {user} may not use {relation} in database {connection.info.dbname} "
        f"({error.diag.message_primary}); wanted: {grant}"
    )
