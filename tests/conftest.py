"""Fixtures that give tests real servers.

Those of session scope are shared by the tests of one worker: leave them as they were found. A test that stops, freezes
or starves a server starts one of its own, by a fixture named start_*. A server that cannot be had fails the test.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from xdist.scheduler import LoadFileScheduling

from exporter.database import schema
from platform_sdk import client
from tests.servers import (
    PROMETHEUS_SUITES,
    SESSION_PREFIX,
    WHEELS_ONLY,
    Database,
    PrometheusBinaries,
    ServerFactory,
    TcpProxy,
    end_abandoned_sessions,
    fresh_database,
    mark_session,
    servers_root,
)
from tools.stack.programs.search import find
from tools.stack.servers import Alertmanager, Minio, Postgres, Prometheus, Redis

LONGEST = (
    "tests/alertmanager/test_storms.py",
    "tests/end_to_end/test_going_back.py",
    "tests/end_to_end/test_chain.py",
    "tests/alertmanager/test_chain.py",
    "tests/end_to_end/test_chart.py",
    "tests/compose/test_set_up.py",
    "tests/sdk/test_memory.py",
    "tests/alertmanager/test_cluster.py",
    "tests/alerts/test_outage.py",
    "tests/alerts/test_manual.py",
    "tests/aggregation/test_exactly_once.py",
    "tests/aggregation/test_read_only.py",
    "tests/sdk_jobs/test_celery.py",
    "tests/sdk/test_processes.py",
)
"""Files that mostly wait for real timers, the longest first: workers begin with them, so that none is left with one."""

SPREAD = (
    "tests/alertmanager/test_chain.py::",
    "tests/alertmanager/test_cluster.py::",
    "tests/alertmanager/test_storms.py::",
    "tests/alerts/test_manual.py::",
    "tests/alerts/test_outage.py::",
    "tests/end_to_end/test_chart.py::",
    "tests/prometheus/test_rules.py::",
)
"""Files that share no server among their tests, so that any worker may run each: of one they would take longest."""


class Scheduling(LoadFileScheduling):
    """Files for workers, as of `--dist loadfile`, but each test of those to spread for itself."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(SPREAD) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Return the scheduling of `--dist loadfile`."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)  # after pytest has put together what shares a parameter of a session
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first where workers share them; otherwise leave the order."""
    if hasattr(config, "workerinput"):
        ranks = {file: rank for rank, file in enumerate(LONGEST)}
        items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which tests of endurance last as long as the documents say."""
    parser.addoption("--long", action="store_true", help="Let tests of endurance last minutes.")


def pytest_collection_finish() -> None:
    """Leave what was imported out of all garbage collections to come: one takes 2 ms then instead of 200."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_ledger_of_earlier_tests() -> None:
    """Forget the events of a client that an earlier test closed."""
    client._ended = None


@pytest.fixture(autouse=True)
def leaks_are_blamed_here() -> Iterator[None]:
    """Collect what a test leaves in cycles, such as sockets, so that their warnings fail it and not a later one."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Return a folder for the servers of this session, which PostgreSQL's account can enter, unlike tmp_path."""
    root = servers_root()
    end_abandoned_sessions(root)
    with tempfile.TemporaryDirectory(prefix=SESSION_PREFIX, dir=root, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        mark_session(folder)
        yield folder


@pytest.fixture(scope="session")
def session_servers(server_folder: Path) -> Iterator[ServerFactory]:
    """Return the factory whose servers end with the session."""
    factory = ServerFactory(server_folder / "session")
    yield factory
    factory.close()


@pytest.fixture
def servers(server_folder: Path) -> Iterator[ServerFactory]:
    """Return the factory whose servers end with the test."""
    with tempfile.TemporaryDirectory(prefix="test-", dir=server_folder, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        factory = ServerFactory(Path(name))
        yield factory
        factory.close()


@pytest.fixture(scope="session")
def postgres(session_servers: ServerFactory) -> Postgres:
    """Return the session's PostgreSQL, in fast mode, 200 connections; trust, so that no test needs its password."""
    return session_servers.start(Postgres, durable=False, max_connections=200)


@pytest.fixture(scope="session")
def newest_postgres(session_servers: ServerFactory) -> Postgres:
    """Return a PostgreSQL of the newest version, the wheel's, whatever the machine has; otherwise as `postgres`."""
    binary = find("postgres", places=WHEELS_ONLY)
    return session_servers.start(Postgres, durable=False, max_connections=200, binary=binary)


@pytest.fixture(scope="session")
def german_postgres(session_servers: ServerFactory) -> Postgres:
    """Return a PostgreSQL that speaks German, if its catalogue is installed as Debian has it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LANGUAGE", "de")  # a locale of that language need not be there
        settings = {"lc_messages": "C.UTF-8"}
        return session_servers.start(Postgres, durable=False, max_connections=200, settings=settings)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """Return a fresh database of the session's PostgreSQL."""
    with fresh_database(postgres) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def store_templates(postgres: Postgres) -> Callable[[], str]:
    """Return a function that names a database with the schema, to copy from: applying it takes longer than most tests.

    There is one a day, as its partitions are those of the days around it: a session may last beyond midnight.
    """

    @cache
    def made(name: str) -> str:
        with psycopg.connect(postgres.create_database(name), autocommit=True) as connection:
            schema.apply(connection)
        return name

    return lambda: made(f"store_template_{datetime.now(UTC):%Y%m%d}")


@pytest.fixture
def store_template(store_templates: Callable[[], str]) -> str:
    """Return the name of a database with the schema and the partitions of today."""
    return store_templates()


@pytest.fixture
def store_database(postgres: Postgres, store_template: str) -> Iterator[Database]:
    """Return a fresh database of the session's PostgreSQL with the schema."""
    with fresh_database(postgres, store_template) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def redis_server(session_servers: ServerFactory) -> Redis:
    """Return the session's Redis, without a password."""
    return session_servers.start(Redis)


@pytest.fixture(scope="session")
def minio_server(session_servers: ServerFactory) -> Minio:
    """Return the session's MinIO, four drives; the real one, never its stand-in."""
    return session_servers.start(Minio, flavour="minio")


@pytest.fixture(scope="session")
def moto_server(session_servers: ServerFactory) -> Minio:
    """Return the session's S3-compatible store that is not MinIO."""
    return session_servers.start(Minio, flavour="moto")


@pytest.fixture(scope="session", params=list(PROMETHEUS_SUITES))
def prometheus_binaries(request: pytest.FixtureRequest) -> PrometheusBinaries:
    """Return Prometheus, Alertmanager and their tools: each test runs with this release's and with the newest."""
    return PrometheusBinaries.of(request.param)


@pytest.fixture
def start_postgres(servers: ServerFactory) -> Callable[..., Postgres]:
    """Return a function that starts a PostgreSQL of this test's own; options as of the class, durable=False."""
    return lambda **options: servers.start(Postgres, **{"durable": False, **options})


@pytest.fixture
def start_redis(servers: ServerFactory) -> Callable[..., Redis]:
    """Return a function that starts a Redis of this test's own; options as of the class."""
    return lambda **options: servers.start(Redis, **options)


@pytest.fixture
def start_minio(servers: ServerFactory) -> Callable[..., Minio]:
    """Return a function that starts a MinIO of this test's own; options as of the class, flavour="minio"."""
    return lambda **options: servers.start(Minio, **{"flavour": "minio", **options})


@pytest.fixture
def start_prometheus(servers: ServerFactory) -> Callable[..., Prometheus]:
    """Return a function that starts a Prometheus of this test's own; arguments as of the class."""
    return lambda *arguments, **options: servers.start(Prometheus, *arguments, **options)


@pytest.fixture
def start_alertmanager(servers: ServerFactory) -> Callable[..., Alertmanager]:
    """Return a function that starts an Alertmanager of this test's own; arguments as of the class."""
    return lambda *arguments, **options: servers.start(Alertmanager, *arguments, **options)


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[[str, int], TcpProxy]]:
    """Return a function that lays a TcpProxy to a host and port; all are closed with the test."""
    with ExitStack() as stack:
        yield lambda host, port: stack.enter_context(TcpProxy(host, port))
