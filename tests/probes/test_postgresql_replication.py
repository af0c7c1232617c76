"""What the probe of PostgreSQL says about replication, with a real primary and its standby."""

from collections.abc import Iterator

import pytest
from psycopg import sql

from exporter.probes.base import Status
from exporter.probes.postgresql_replication import Lag
from tests.probes.probing import Subject, gauges, postgresql, target
from tests.servers import Database, ServerFactory
from tools.stack.process import poll_until
from tools.stack.servers import Postgres

LAG = "postgresql_standby_lag_seconds:walreceiver"
OWN_LAG = "postgresql_replay_lag_seconds"


@pytest.fixture(scope="module")
def primary(session_servers: ServerFactory) -> Postgres:
    return session_servers.start(Postgres, name="replicated", durable=False)


@pytest.fixture(scope="module")
def standby(session_servers: ServerFactory, primary: Postgres) -> Postgres:
    """Return its standby, which has replayed a transaction."""
    made = session_servers.adopt(primary.standby(settings={"wal_retrieve_retry_interval": "100ms"}))
    made.start()
    with primary.connect() as connection:
        connection.execute("CREATE TABLE moves (at timestamptz)")
    poll_until(lambda: _replayed(made) is not None)
    return made


@pytest.fixture
def seen(primary: Postgres, standby: Postgres) -> Iterator[tuple[Subject, Subject]]:
    """Return primary and standby as targets that were asked while the standby kept up."""
    with target(postgresql(primary.dsn)) as first, target(postgresql(standby.dsn, primary=False)) as second:
        poll_until(lambda: gauges(first.ask()).get(LAG) == 0 and gauges(second.ask()).get(OWN_LAG) == 0)
        yield first, second


def _replayed(standby: Postgres) -> object:
    with standby.connect() as connection:
        return connection.execute("SELECT now() - pg_last_xact_replay_timestamp()").fetchone()[0]  # type: ignore[index]


def _write(primary: Postgres) -> None:
    with primary.connect() as connection:
        connection.execute("INSERT INTO moves VALUES (now())")


def test_a_standby_that_keeps_up(seen: tuple[Subject, Subject], standby: Postgres) -> None:
    """It has no lag, however long ago the last transaction was, and the primary counts it."""
    primary, own = seen
    idle = poll_until(lambda: _replayed(standby))

    assert idle
    assert gauges(own.ask())[OWN_LAG] == 0
    assert gauges(primary.ask())["postgresql_standbys"] == 1
    assert OWN_LAG not in gauges(primary.ask())


def test_a_standby_that_stopped_replaying(seen: tuple[Subject, Subject], primary: Postgres, standby: Postgres) -> None:
    """Its lag grows on both sides, and is over when it has caught up."""
    on_primary, own = seen
    with standby.connect() as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
    try:
        _write(primary)
        assert poll_until(lambda: gauges(on_primary.ask()).get(LAG, 0) > 1)
        assert poll_until(lambda: gauges(own.ask())[OWN_LAG] > 1)
        assert own.ask().status is Status.HEALTHY
    finally:
        with standby.connect() as connection:
            connection.execute("SELECT pg_wal_replay_resume()")

    assert poll_until(lambda: gauges(on_primary.ask())[LAG] == 0)
    assert poll_until(lambda: gauges(own.ask())[OWN_LAG] == 0)


def test_a_standby_whose_stream_broke(seen: tuple[Subject, Subject], standby: Postgres) -> None:
    """All that it received is replayed, and yet it is late; the primary misses it."""
    on_primary, own = seen
    with standby.connect() as connection:
        connection.autocommit = True
        connection.execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            assert poll_until(lambda: gauges(on_primary.ask())["postgresql_standbys"] == 0) is True
            assert LAG not in gauges(on_primary.ask())
            assert poll_until(lambda: gauges(own.ask())[OWN_LAG] > 0)
        finally:
            connection.execute("ALTER SYSTEM RESET primary_conninfo")
            connection.execute("SELECT pg_reload_conf()")


def test_slots(primary: Postgres) -> None:
    """The WAL that a slot keeps grows with what is written; slots of a session are left out."""
    with primary.connect() as connection, target(postgresql(primary.dsn)) as subject:
        connection.autocommit = True
        for arguments in ("'gone', true", "'passing', true, true"):
            connection.execute(f"SELECT pg_create_physical_replication_slot({arguments})")
        try:
            before = gauges(subject.ask())["postgresql_slot_retained_bytes:gone"]
            connection.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 100000))")
            found = gauges(subject.ask())
        finally:
            connection.execute("SELECT pg_drop_replication_slot('gone')")

    assert found["postgresql_slot_retained_bytes:gone"] >= before + 100_000
    assert "postgresql_slot_retained_bytes:passing" not in found


def test_least_rights(database: Database) -> None:
    """A role that may not see standbys does not say that there are none."""
    name = sql.Identifier("probe_replication")
    database.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    with target(postgresql(f"postgresql://probe_replication@{database.server.address}/{database.name}")) as subject:
        result = subject.ask()
    database.execute(sql.SQL("DROP ROLE {}").format(name))

    assert result.status is Status.HEALTHY
    assert "postgresql_standbys" not in gauges(result)


def test_a_server_that_says_nothing_of_it(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosted servers lack functions: all else is there, and they are not asked again at once."""
    with target(postgresql(postgres.dsn)) as subject:
        with monkeypatch.context() as patch:
            patch.setattr("exporter.probes.postgresql_replication.SQL", "SELECT pg_missing()")
            refused = subject.ask()
        after = subject.ask()

    for result in (refused, after):
        assert result.status is Status.HEALTHY
        assert "postgresql_standbys" not in gauges(result)
        assert gauges(result)["postgresql_connections"] >= 1


def test_transaction_ids(postgres: Postgres) -> None:
    """The used share is that of the oldest database."""
    with target(postgresql(postgres.dsn)) as subject, postgres.connect() as connection:
        ((age,),) = connection.execute("SELECT max(age(datfrozenxid)) FROM pg_database").fetchall()

        assert gauges(subject.ask())["postgresql_transaction_ids_used_ratio"] >= age / 2**31 > 0


def test_a_standby_that_is_steadily_late() -> None:
    """It stays as late as it was with the position before, until the next is there; it catches up at once."""
    lag = Lag(target=100, since=0, missing_at=0)

    assert [lag.seconds(90, 200, now) for now in (0, 5, 10)] == [0, 5, 10]
    assert [lag.seconds(150, 300 + now, now) for now in (15, 20)] == [10, 10]
    assert lag.seconds(315, 400, 25) == 10 - 5
    assert [lag.seconds(10_000, 500, now) for now in (30, 35)] == [0, 0]
