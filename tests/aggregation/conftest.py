"""A store for every test, or an application's table in one."""

import functools
from pathlib import Path

import pytest

from tests.aggregation.counting import Store
from tests.aggregation.shop import Open, opened
from tests.servers import Database


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return a fresh event store on the session's PostgreSQL."""
    return Store(store_database.dsn)


@pytest.fixture
def shop(store_database: Database, tmp_path: Path) -> Open:
    """Return a function that makes an application's table, adopts it, and counts what it holds; see `opened`."""
    return functools.partial(opened, store_database, tmp_path)
