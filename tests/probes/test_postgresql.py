"""The probe of PostgreSQL, against real servers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import psycopg
import pytest
from psycopg import sql

from exporter.probes.base import TOO_MANY_CONNECTIONS, Reason, Status
from exporter.sections import Secret
from tests.probes.probing import (
    SHORT_SECONDS,
    TIMEOUT_SECONDS,
    Subject,
    direct,
    gauges,
    gives_up,
    postgresql,
    target,
)
from tests.servers import Database, ServerFactory, TcpProxy
from tools.stack.process import poll_until
from tools.stack.servers import Postgres

Proxies = Callable[[str, int], TcpProxy]

_numbers = count(1)


@pytest.fixture
def healthy(postgres: Postgres) -> Iterator[Subject]:
    """Return the session's server as a target that was asked once and holds a connection."""
    with target(postgresql(postgres.dsn)) as subject:
        assert subject.ask().status is Status.HEALTHY
        yield subject


@pytest.fixture
def proxy(postgres: Postgres, tcp_proxy: Proxies) -> TcpProxy:
    """Return a cable to the session's server."""
    return tcp_proxy(postgres.host, postgres.port)


@pytest.fixture
def cabled(proxy: TcpProxy) -> Iterator[Subject]:
    """Return the session's server behind that cable, asked once."""
    with target(postgresql(f"postgresql://postgres@{proxy.address}/postgres")) as subject:
        assert subject.ask().status is Status.HEALTHY
        yield subject


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """Return an ordinary role that may connect and nothing more."""
    name = f"probe_{next(_numbers)}"
    database.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    yield name
    database.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def dsn_of(role: str, database: Database) -> str:
    return f"postgresql://{role}@{database.server.address}/{database.name}"


def probe_connections(database: Database) -> int:
    """Return how many connections of probes there are in a test's own database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'platform-exporter' AND datname = %s"
    ((found,),) = database.execute(query, (database.name,))
    return int(found)


def test_gauges(healthy: Subject) -> None:
    """A healthy server shows connections, their limit without the reserved ones, oldest transaction and size."""
    found = gauges(healthy.ask())

    assert found["postgresql_connections"] >= 1
    assert found["postgresql_connections_limit"] == 200 - 3
    assert found["postgresql_oldest_transaction_seconds"] >= 0
    assert found["postgresql_size_bytes"] > 1_000_000


def test_slow_size(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the sizes take too long to tell, their gauge is left out and the server is healthy all the same."""
    slow = "SET LOCAL statement_timeout = {limit_milliseconds:d}; SELECT count(pg_sleep(9))"
    monkeypatch.setattr("exporter.probes.postgresql.SIZE_SQL", slow)
    with direct(postgresql(postgres.dsn)) as probe:
        answer = probe.check(4)  # of which the sizes may take half

    assert answer.degraded == ()
    assert "postgresql_size_bytes" not in [gauge.metric for gauge in answer.gauges]


def test_size_now_and_then(healthy: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes are asked for now and then, and shown in every scrape."""
    monkeypatch.setattr("exporter.probes.postgresql.SIZE_SQL", "SELECT 1 / 0")

    assert gauges(healthy.ask())["postgresql_size_bytes"] > 1_000_000


def test_oldest_transaction(healthy: Subject, postgres: Postgres) -> None:
    """The age of the oldest transaction is that of another session's."""
    with postgres.connect() as connection, connection.transaction():
        connection.execute("SELECT 1")
        before = gauges(healthy.ask())["postgresql_oldest_transaction_seconds"]
        after = gauges(healthy.ask())["postgresql_oldest_transaction_seconds"]

    assert 0 < before < after


def test_one_connection(database: Database) -> None:
    """Any number of checks use one connection, which names its application."""
    with target(postgresql(database.dsn)) as subject:
        for _ in range(5):
            subject.ask()

        assert probe_connections(database) == 1


def test_close(database: Database) -> None:
    """Closing the runner gives the connection back."""
    with target(postgresql(database.dsn)) as subject:
        subject.ask()

    poll_until(lambda: probe_connections(database) == 0)


def test_terminated(healthy: Subject, postgres: Postgres) -> None:
    """A kept connection that an administrator ended is replaced within the same check."""
    with postgres.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'platform-exporter'"
        )

    assert healthy.ask().status is Status.HEALTHY


@pytest.fixture(scope="module")
def own(session_servers: ServerFactory) -> Postgres:
    """Return a server that a test may stop or freeze, if it lets it go on."""
    return session_servers.start(Postgres, name="own", durable=False)


def test_stopped_and_started(own: Postgres) -> None:
    """A stopped server is refused; started again it is healthy in the next check."""
    with target(postgresql(own.dsn)) as subject:
        subject.ask()
        own.stop()
        stopped = subject.ask()
        own.start()

        assert (stopped.status, stopped.reason) == (Status.UNHEALTHY, Reason.REFUSED)
        assert subject.ask().status is Status.HEALTHY


def test_restarted(own: Postgres) -> None:
    """A restart between two scrapes is not an outage."""
    with target(postgresql(own.dsn)) as subject:
        subject.ask()
        own.restart()

        assert subject.ask().status is Status.HEALTHY


def test_frozen(own: Postgres) -> None:
    """Each check of a server frozen after connecting ends at its deadline; the server is healthy once it goes on."""
    with direct(postgresql(own.dsn)) as probe:
        probe.check(TIMEOUT_SECONDS)
        own.freeze()
        frozen = [gives_up(probe) for _ in range(3)]  # in the query, then twice while connecting
        own.thaw()

        assert frozen == [True] * 3
        assert probe.check(TIMEOUT_SECONDS).degraded == ()


def test_blackholed(cabled: Subject, proxy: TcpProxy) -> None:
    """Where packets vanish the check ends at its deadline and drops the connection."""
    proxy.blackhole()
    result = cabled.ask(SHORT_SECONDS)

    proxy.restore()  # it sees nothing of a connection's end while it is a black hole

    assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.TIMEOUT)
    poll_until(lambda: proxy.connections == 0)


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_blackholed_while_connecting(proxy: TcpProxy, sslmode: str) -> None:
    """Connecting ends at the deadline too, whether the server should speak first in TLS or in the protocol."""
    proxy.blackhole()
    with direct(postgresql(f"postgresql://postgres@{proxy.address}/postgres?sslmode={sslmode}")) as probe:
        assert gives_up(probe)


def test_cut(cabled: Subject, proxy: TcpProxy) -> None:
    """Connections that are reset are protocol."""
    proxy.cut()

    assert cabled.ask().reason is Reason.PROTOCOL


def test_mended(cabled: Subject, proxy: TcpProxy) -> None:
    """Once the cable is mended the target is healthy."""
    proxy.cut()
    cabled.ask()
    proxy.restore()

    assert cabled.ask().status is Status.HEALTHY


@pytest.fixture(scope="module")
def guarded(session_servers: ServerFactory) -> Postgres:
    """Return a server that asks for passwords."""
    return session_servers.start(Postgres, name="guarded", durable=False, auth="scram-sha-256")


def test_password(guarded: Postgres) -> None:
    """A password of its own wins over one in the DSN."""
    dsn = f"postgresql://postgres:wrong@{guarded.address}/postgres"
    with target(postgresql(dsn, password=Secret(guarded.password or ""))) as subject:
        assert subject.ask().status is Status.HEALTHY


@pytest.mark.parametrize("user_info", ["postgres:hunter2", "postgres", "nobody:hunter2"])
def test_wrong_password(guarded: Postgres, user_info: str) -> None:
    """A wrong password, none and an unknown user are auth, and the cause holds no password."""
    with target(postgresql(f"postgresql://{user_info}@{guarded.address}/postgres")) as subject:
        result = subject.ask()

        assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.AUTH)
        assert "hunter2" not in result.cause


def test_no_such_database(postgres: Postgres) -> None:
    """A database that does not exist is unhealthy, and the cause names it."""
    with target(postgresql(f"postgresql://postgres@{postgres.address}/nowhere")) as subject:
        result = subject.ask()

        assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.OTHER)
        assert '"nowhere" does not exist' in result.cause


def test_no_tls(postgres: Postgres) -> None:
    """A server without TLS where it is required is tls."""
    with target(postgresql(f"{postgres.dsn}?sslmode=require")) as subject:
        assert subject.ask().reason is Reason.TLS


def test_no_such_host() -> None:
    """A name that does not exist is dns."""
    with target(postgresql("postgresql://postgres@nowhere.invalid/postgres")) as subject:
        assert subject.ask().reason is Reason.DNS


def test_second_host(postgres: Postgres) -> None:
    """Of several hosts the first that answers is asked."""
    dsn = f"postgresql://postgres@nowhere.invalid:1,127.0.0.1:1,{postgres.address}/postgres"
    with target(postgresql(dsn)) as subject:
        assert subject.ask().status is Status.HEALTHY


def test_malformed_dsn() -> None:
    """A malformed DSN is said without quoting it."""
    with target(postgresql("postgresql://app@db/x?hunter2=hunter3")) as subject:
        result = subject.ask()

        assert (result.reason, result.cause) == (Reason.OTHER, "the DSN is malformed")


@pytest.fixture(scope="module")
def small(session_servers: ServerFactory) -> Postgres:
    """Return a server with room for 10 ordinary connections and a role `app`."""
    server = session_servers.start(Postgres, name="small", durable=False, max_connections=13)
    with server.connect() as connection:
        connection.execute("CREATE ROLE app LOGIN")
    return server


@pytest.fixture
def crowded(small: Postgres) -> Iterator[tuple[Postgres, Callable[[int], None]]]:
    """Return that server, and a function that opens connections until the test ends."""
    with ExitStack() as sessions:
        dsn = f"postgresql://app@{small.address}/postgres"
        yield small, lambda number: [sessions.enter_context(psycopg.connect(dsn)) for _ in range(number)] and None
    poll_until(lambda: clients_of(small) == 1)


def clients_of(server: Postgres) -> int:
    with server.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        (found,) = connection.execute(query).fetchone() or (0,)
        return int(found)


def test_nearly_full(crowded: tuple[Postgres, Callable[[int], None]]) -> None:
    """From the configured share of the connections on the server is degraded."""
    server, fill = crowded
    with target(postgresql(f"postgresql://app@{server.address}/postgres", connections_degraded_ratio=0.5)) as subject:
        before = subject.ask()
        fill(4)
        after = subject.ask()

        assert before.status is Status.HEALTHY
        assert (after.status, after.cause) == (Status.DEGRADED, "5 of 10 connections are open (degraded from 50%)")
        assert after.problems == ("connections",)


def test_full(crowded: tuple[Postgres, Callable[[int], None]]) -> None:
    """Where our kept connection still answers on a full server, it is degraded."""
    server, fill = crowded
    with target(postgresql(f"postgresql://app@{server.address}/postgres")) as subject:
        subject.ask()
        fill(9)
        result = subject.ask()

        assert (result.status, result.cause) == (Status.DEGRADED, "connections full: 10 of 10 are open")
        assert result.problems == ("connections",)


def test_full_for_us(crowded: tuple[Postgres, Callable[[int], None]]) -> None:
    """Where a full server does not let us in, it is down: so it is for every new client."""
    server, fill = crowded
    fill(10)
    with target(postgresql(f"postgresql://app@{server.address}/postgres")) as subject:
        result = subject.ask()

        assert (result.status, result.reason) == (Status.UNHEALTHY, TOO_MANY_CONNECTIONS)


def test_full_beyond_the_reserve(crowded: tuple[Postgres, Callable[[int], None]]) -> None:
    """Where superusers took the reserved connections too, it is down for the same reason."""
    server, fill = crowded
    fill(10)
    with ExitStack() as sessions, target(postgresql(f"postgresql://app@{server.address}/postgres")) as subject:
        for _ in range(3):
            sessions.enter_context(server.connect())

        assert subject.ask().reason == TOO_MANY_CONNECTIONS


def test_read_only(start_postgres: Callable[..., Postgres]) -> None:
    """A server made read-only is degraded where a primary is expected."""
    server = start_postgres(settings={"default_transaction_read_only": "on"})
    with target(postgresql(server.dsn)) as subject:
        result = subject.ask()

        assert (result.status, result.up) == (Status.DEGRADED, True)
        assert "read-only: default_transaction_read_only is on" in result.cause
        assert result.problems == ("read_only",)


def test_read_only_role(database: Database, role: str) -> None:
    """A role that is read-only by its own settings says nothing about the server."""
    database.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(sql.Identifier(role)))
    with target(postgresql(dsn_of(role, database))) as subject:
        assert subject.ask().status is Status.HEALTHY


@pytest.fixture(scope="module")
def standby(session_servers: ServerFactory) -> Postgres:
    """Return a hot standby."""
    primary = session_servers.start(Postgres, name="primary", durable=False)
    return session_servers.adopt(primary.standby()).start()


def test_standby(standby: Postgres) -> None:
    """A hot standby is degraded where a primary is expected."""
    with target(postgresql(standby.dsn)) as subject:
        result = subject.ask()

        assert (result.status, result.up) == (Status.DEGRADED, True)
        assert result.cause.startswith("in recovery")
        assert result.problems == ("recovery",)


def test_expected_standby(standby: Postgres) -> None:
    """A hot standby is healthy where one is expected."""
    with target(postgresql(standby.dsn, primary=False)) as subject:
        assert subject.ask().status is Status.HEALTHY


def test_least_rights(database: Database, role: str) -> None:
    """A role that may only connect sees the server healthy; the age it may not see is left out, not wrong."""
    with target(postgresql(dsn_of(role, database))) as subject:
        result = subject.ask()

        assert result.status is Status.HEALTHY
        assert set(gauges(result)) == {
            "postgresql_connections",
            "postgresql_connections_limit",
            "postgresql_size_bytes",
            "postgresql_transaction_ids_used_ratio",
        }


def test_least_rights_connections(database: Database, role: str, healthy: Subject) -> None:
    """A role that may only connect counts the same connections as a superuser."""
    with target(postgresql(dsn_of(role, database))) as subject:
        subject.ask()

        found = [gauges(one.ask())["postgresql_connections"] for one in (subject, healthy)]
    assert found[0] == found[1]


def test_monitor_rights(database: Database, role: str) -> None:
    """With pg_monitor the age of the oldest transaction is there."""
    database.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(role)))
    with target(postgresql(dsn_of(role, database))) as subject:
        assert "postgresql_oldest_transaction_seconds" in gauges(subject.ask())


def test_prepared_transaction(start_postgres: Callable[..., Postgres]) -> None:
    """A forgotten prepared transaction counts as the oldest."""
    server = start_postgres(settings={"max_prepared_transactions": "1"})
    with server.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE t ()")
        connection.execute("PREPARE TRANSACTION 'forgotten'")
    with target(postgresql(server.dsn)) as subject:
        assert gauges(subject.ask())["postgresql_oldest_transaction_seconds"] > 0
