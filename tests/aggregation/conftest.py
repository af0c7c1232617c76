"""A store for every test, copied from one template: applying the schema each time would cost a second."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from exporter.events import schema
from stack.servers import Postgres
from tests.aggregation.counting import Store

TEMPLATE = "counting_template"


@pytest.fixture(scope="session")
def store_template(postgres: Postgres) -> str:
    """Return the name of a database with the schema, to copy from."""
    with psycopg.connect(postgres.create_database(TEMPLATE), autocommit=True) as connection:
        schema.apply(connection)
    return TEMPLATE


@pytest.fixture
def store(postgres: Postgres, store_template: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Return a fresh event store on the session's PostgreSQL."""
    name = f"store_{abs(hash(request.node.nodeid)):x}"
    with postgres.connect() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(store_template))
        )
    yield Store(postgres.dsn_of(name))
    postgres.drop_database(name)
