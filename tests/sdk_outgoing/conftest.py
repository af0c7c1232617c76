"""Fixtures: the SDK on a real event store, as an application's role, and an API on loopback that misbehaves."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import platform_sdk
from exporter.database import schema
from platform_sdk import client
from platform_sdk.outgoing import aiohttp, httpx, httpx2, requests, urllib3
from tests.sdk_outgoing.api import Api
from tests.sdk_outgoing.callers import CALLERS, Caller
from tools.stack.servers import Postgres

DATABASE, ROLE = "outgoing", "outgoing_writer"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def event_store(postgres: Postgres) -> str:
    """Return the address of the event store for an application; tests share it, each as another app."""
    with psycopg.connect(postgres.create_database(DATABASE), autocommit=True) as connection:
        schema.apply(connection)
        connection.execute(f"CREATE ROLE {ROLE} LOGIN IN ROLE {schema.WRITER}")
    return f"postgresql://{ROLE}@{postgres.address}/{DATABASE}"


@pytest.fixture
def recorded(
    postgres: Postgres, event_store: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Rows]]:
    """Start the SDK and return a function that returns the calls stored so far."""
    app = request.node.nodeid
    assert platform_sdk.init(dsn=event_store, app=app, spool_folder=str(tmp_path_factory.mktemp("spool")))

    def rows() -> Rows:
        assert platform_sdk.flush(60)
        assert platform_sdk.stats()["dropped"] == {}
        with postgres.connect(DATABASE, row_factory=dict_row) as connection:
            return connection.execute("SELECT * FROM monitoring.api_call WHERE app = %s ORDER BY at", [app]).fetchall()

    yield rows
    client.close(1.0)
    for hook in (requests, httpx, httpx2, aiohttp, urllib3):
        hook.uninstall()


@pytest.fixture(scope="session")
def shared_api() -> Iterator[Api]:
    """Return the API of this session."""
    with Api() as api:
        yield api


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    """Return the API; requests it holds back go on when the test ends."""
    shared_api.reset()
    yield shared_api
    shared_api.go_on.set()


@pytest.fixture(params=list(CALLERS))
def caller(request: pytest.FixtureRequest, recorded: Callable[[], Rows]) -> Caller:
    """Return one library after the other, its hook to be installed by the test."""
    return CALLERS[request.param]()
