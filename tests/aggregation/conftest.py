"""A store for every test."""

import pytest

from tests.aggregation.counting import Store
from tests.servers import Database


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return a fresh event store on the session's PostgreSQL."""
    return Store(store_database.dsn)
