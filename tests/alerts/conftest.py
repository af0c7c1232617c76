"""Fixtures of the tests of alerts: a database with the schema."""

import pytest

from tests.servers import Database


@pytest.fixture
def store(store_database: Database) -> Database:
    """Return a fresh event store."""
    return store_database
