"""Fixtures of the SDK's tests: an event store, and a client that is always closed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import platform_sdk
from platform_sdk import client, diagnostics
from tests.sdk.events import Store
from tests.servers import Database


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return a fresh event store."""
    return Store(store_database)


@pytest.fixture
def start(store: Store, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return a function that starts the SDK on the store, with a spool of its own; it is closed with the test."""

    def start_sdk(**options: Any) -> None:
        given = {"dsn": store.dsn, "app": "shop", "spool_folder": str(tmp_path / "spool"), **options}
        diagnostics._last.clear()  # what an earlier test saw logged is logged again
        assert platform_sdk.init(**given)

    yield start_sdk
    client.close(1.0)


@pytest.fixture
def connect(store: Store) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Return a connection to the store, for locks."""
    with store.database.connect() as connection:
        yield connection
