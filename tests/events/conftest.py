"""A database with the schema for tests that do not apply it themselves: a copy takes a tenth of the time."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from exporter.events import schema
from stack.servers import Postgres
from tests.servers import Database

TEMPLATE = "events_template"


@pytest.fixture(scope="session")
def events_template(postgres: Postgres) -> str:
    """Return the name of a database with the schema, to copy from."""
    with psycopg.connect(postgres.create_database(TEMPLATE), autocommit=True) as connection:
        schema.apply(connection)
    return TEMPLATE


@pytest.fixture
def applied(postgres: Postgres, events_template: str) -> Iterator[Database]:
    """Return a fresh database with the schema."""
    with postgres.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE events_copy TEMPLATE {}").format(sql.Identifier(events_template)))
    yield Database(postgres, "events_copy")
    postgres.drop_database("events_copy")
