"""Fixtures of the tests of alerts: a database with the schema."""

import pytest

from exporter.events import schema
from tests.servers import Database


@pytest.fixture
def store(database: Database) -> Database:
    """Return a fresh event store."""
    with database.connect() as connection:
        schema.apply(connection)
    return database
