"""Databases of every kind of encoding, on the session's one server."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from exporter.database import schema
from exporter.database.connection import connect
from tests.aggregation.counting import Store, settings
from tests.servers import Database, fresh_database
from tools.stack.servers import Postgres

ENCODINGS = ("UTF8", "LATIN1", "LATIN9", "WIN1252", "EUC_JP", "SQL_ASCII")


@pytest.fixture(scope="session")
def encoded_template(postgres: Postgres) -> Callable[[str], str]:
    """Return a function that gives the name of a database of this encoding with the schema, to copy from."""

    def template(encoding: str) -> str:
        name = f"store_{encoding.lower()}"
        with postgres.connect() as connection:
            try:
                connection.execute(
                    f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' "
                    "TEMPLATE template0".encode()
                )
            except psycopg.errors.DuplicateDatabase:
                return name
        with connect(settings(postgres.dsn_of(name)), "test") as connection:
            schema.apply(connection)
        return name

    return template


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    """Return each encoding in turn."""
    return str(request.param)


@pytest.fixture
def encoded(postgres: Postgres, encoding: str, encoded_template: Callable[[str], str]) -> Iterator[Database]:
    """Return a fresh event store of this encoding."""
    with fresh_database(postgres, encoded_template(encoding)) as database:
        yield database


@pytest.fixture
def store(encoded: Database) -> Store:
    """Return it as the exporter counts in it."""
    return Store(encoded.dsn)
