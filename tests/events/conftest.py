"""The database of tests that do not apply the schema themselves."""

import pytest

from tests.servers import Database


@pytest.fixture
def applied(store_database: Database) -> Database:
    """Return a fresh database with the schema."""
    return store_database
