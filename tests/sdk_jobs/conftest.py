"""Fixtures: an event store per test or module, and the SDK started on it."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

import platform_sdk
from exporter.database import schema
from platform_sdk import client
from platform_sdk.events import EVENTS
from tests.sdk_jobs.store import APP, ROLE, Store
from tools.stack.servers import Postgres

TEMPLATE = "jobs_template"

_numbers = iter(range(1, 1_000_000))


@pytest.fixture(scope="session")
def jobs_template(postgres: Postgres) -> str:
    """Return the name of a database with the schema, to copy from."""
    with psycopg.connect(postgres.create_database(TEMPLATE), autocommit=True) as connection:
        schema.apply(connection)
        connection.execute(f"CREATE ROLE {ROLE} LOGIN IN ROLE {schema.WRITER}")
    return TEMPLATE


@contextmanager
def fresh_store(postgres: Postgres, template: str) -> Iterator[Store]:
    """Make a store and drop it afterwards."""
    name = f"jobs_{next(_numbers)}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    with tempfile.TemporaryDirectory() as folder:
        yield Store(postgres, name, Path(folder))
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def shared_store(postgres: Postgres, jobs_template: str) -> Iterator[Store]:
    """Return the event store that tests use one after the other."""
    with fresh_store(postgres, jobs_template) as fresh:
        yield fresh


@pytest.fixture
def store(shared_store: Store) -> Iterator[Store]:
    """Return an event store without events; what was counted of earlier ones stays counted."""
    tables = (*(kind.name for kind in EVENTS), "scraping_job", "sdk_ledger", "batch")
    with shared_store.postgres.connect(shared_store.name) as connection:
        connection.execute("; ".join(f"DELETE FROM monitoring.{table}" for table in tables).encode())
    with tempfile.TemporaryDirectory() as folder:
        yield replace(shared_store, folder=Path(folder))


@pytest.fixture(scope="module")
def module_store(postgres: Postgres, jobs_template: str) -> Iterator[Store]:
    """Return the event store that the tests of a module look at."""
    with fresh_store(postgres, jobs_template) as fresh:
        yield fresh


@pytest.fixture
def start(store: Store) -> Iterator[Callable[..., None]]:
    """Return a function that starts the SDK on the store, which is closed with the test."""

    def start_sdk(**options: Any) -> None:
        spool = str(store.folder / "spool")
        assert platform_sdk.init(dsn=store.dsn, app=APP, spool_folder=spool, flush_interval_seconds=0.05, **options)

    yield start_sdk
    client.close(1.0)
