"""Fixtures of the SDK's tests: an event store whose schema is applied once, and a client that is always closed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter import sdk
from exporter.events import schema
from exporter.sdk import client
from stack.servers import Postgres
from tests.sdk.events import Store
from tests.servers import Database


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """Return the name of a database with the schema, to be copied: applying it takes longer than most tests."""
    postgres.create_database("sdk_template")
    with postgres.connect("sdk_template") as connection:
        schema.apply(connection)
    return "sdk_template"


@pytest.fixture
def store(postgres: Postgres, template: str, database: Database) -> Store:
    """Return a fresh event store."""
    with postgres.connect("postgres") as connection:
        connection.execute(f"DROP DATABASE {database.name}")
        connection.execute(f"CREATE DATABASE {database.name} TEMPLATE {template}")
    return Store(database)


@pytest.fixture
def start(store: Store, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return a function that starts the SDK on the store, with a spool of its own; it is closed with the test."""

    def start_sdk(**options: Any) -> None:
        given = {"dsn": store.dsn, "app": "shop", "spool_folder": str(tmp_path / "spool"), **options}
        assert sdk.init(**given)

    yield start_sdk
    client.close(1.0)


@pytest.fixture
def connect(store: Store) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Return a connection to the store, for locks."""
    with store.database.connect() as connection:
        yield connection
