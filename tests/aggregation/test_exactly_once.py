"""Exact counts: no event is lost or counted twice while writers and replicas run, die or hang."""

import contextlib
import random
import signal
import time
from collections.abc import Callable

import psycopg
import pytest

from exporter.aggregation import poll, snapshot
from exporter.aggregation.poll import Counted
from tests.aggregation.counting import NATIVE, Poller, Store, add_runs, fresh_store, pollers, runs
from tests.servers import ServerFactory, TcpProxy, poll_until
from tools.stack.servers import Postgres
from tools.testing.writers import Writers, lost_and_doubled

RUN = """INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds)
VALUES (now(), 'a', 's', 'success', 1)"""
STREAM = next(stream for stream in NATIVE.streams if stream.name == "scraping_run")
LOAD_SECONDS = 2.0


def settle(store: Store) -> tuple[int, int]:
    """Count what is left, then return what is lost and doubled."""
    store.limits = type(store.limits)(series_per_metric=10_000)
    poll_until(lambda: store.poll("scraping_run")["scraping_run"] == Counted(True), what="nothing new to count")
    with store.connect() as connection:
        return lost_and_doubled(connection)


def test_eight_writers_and_two_replicas(store: Store) -> None:
    """Rollbacks, savepoints and slow transactions beside two processes that poll without a pause."""
    with pollers(store.dsn, 2) as replicas, Writers(store.dsn) as writers:
        poll_until(lambda: writers.transactions > 500)
        time.sleep(LOAD_SECONDS)  # the length of the load, not a state waited for
        alive = [replica.alive for replica in replicas]

    assert alive == [True, True]
    assert settle(store) == (0, 0)


def test_replicas_killed_at_random_moments(store: Store) -> None:
    """kill -9 in the middle of a poll loses nothing and repeats nothing."""
    chance = random.Random(7)
    deadline = time.monotonic() + 2 * LOAD_SECONDS
    kills = 0
    with Writers(store.dsn):
        while time.monotonic() < deadline or kills < 5:
            with pollers(store.dsn, 2):
                time.sleep(chance.random() * 0.3)
                kills += 2

    assert settle(store) == (0, 0)


def test_a_comparison_of_serial_ids_does_lose_rows(store: Store) -> None:
    """The load is heavy enough: the usual `id > last_id` loses rows under it."""
    store.execute("ALTER TABLE monitoring.scraping_run ADD COLUMN id bigserial")
    last, counted, total = 0, 0, 0
    deadline = time.monotonic() + 60
    with Writers(store.dsn), store.connect() as connection:
        while counted >= total and time.monotonic() < deadline:
            for _ in range(100):
                row = connection.execute(
                    "SELECT count(*), coalesce(max(id), %s) FROM monitoring.scraping_run WHERE id > %s", [last, last]
                ).fetchone()
                assert row
                counted, last = counted + row[0], row[1]
            total = store.one("SELECT count(*) FROM monitoring.scraping_run WHERE id <= %s", [last])

    assert counted < total


def test_a_transaction_open_for_many_polls(store: Store) -> None:
    """Rows of others are counted meanwhile, its own when it commits, each once."""
    with store.connect() as slow:
        slow.execute("BEGIN")
        slow.execute(RUN)
        for _ in range(30):
            add_runs(store)
            store.poll("scraping_run")
        before = runs(store)
        slow.execute(RUN)
        slow.execute("COMMIT")
    store.poll("scraping_run")
    store.poll("scraping_run")

    assert (before, runs(store)) == (30, 32)


def test_a_rolled_back_batch(store: Store) -> None:
    """Rows that were rolled back are not counted, before or after the rollback."""
    with store.connect() as writer:
        writer.execute("BEGIN")
        writer.execute(RUN)
        store.poll("scraping_run")
        writer.execute("ROLLBACK")
    store.poll("scraping_run")

    assert runs(store) is None


def test_a_savepoint_rolled_back(store: Store) -> None:
    """Rows of a savepoint carry the transaction's own id, and count only if the savepoint was kept."""
    with store.connect() as writer, writer.transaction():
        with writer.transaction():
            writer.execute(RUN)
        with writer.transaction(force_rollback=True):
            writer.execute(RUN)
        store.poll("scraping_run")
    store.poll("scraping_run")

    assert runs(store) == 1


def test_more_savepoints_than_a_snapshot_caches(store: Store) -> None:
    """Past 64 subtransactions PostgreSQL's snapshots overflow; top-level ids still suffice."""
    with store.connect() as writer, writer.transaction():
        for _ in range(100):
            with writer.transaction():
                writer.execute(RUN)
        add_runs(store)
        store.poll("scraping_run")
    store.poll("scraping_run")

    assert runs(store) == 101


def test_a_prepared_transaction(start_postgres: Callable[..., Postgres]) -> None:
    """Two-phase commit: counted when committed, however long it was prepared."""
    server = start_postgres(settings={"max_prepared_transactions": "2"})
    store = fresh_store(server)
    with store.connect() as writer:
        writer.execute("BEGIN")
        writer.execute(RUN)
        writer.execute("PREPARE TRANSACTION 'p'")
    store.poll("scraping_run")
    before = runs(store)
    store.execute("COMMIT PREPARED 'p'")
    store.poll("scraping_run")

    assert (before, runs(store)) == (None, 1)


def test_a_transaction_committed_between_snapshot_and_count(store: Store) -> None:
    """The count sees exactly what the stored snapshot sees."""
    with store.connect_as_exporter() as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        here = snapshot.take(connection)
        add_runs(store)
        seen = connection.execute("SELECT count(*) FROM monitoring.scraping_run").fetchone()
        snapshot.write(connection, STREAM, here)
    store.poll("scraping_run")

    assert seen == (0,)
    assert runs(store) == 1


def test_a_poll_without_new_rows_writes_no_counter(store: Store) -> None:
    """It moves its cursor while the counters are locked; even planning the statement that adds to them would wait."""
    add_runs(store)
    store.poll("scraping_run")
    with store.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE monitoring.rollup IN SHARE MODE")

        assert store.poll("scraping_run") == {"scraping_run": Counted(True)}


def test_a_replica_does_not_wait_for_another(store: Store) -> None:
    """While one holds the source, the other returns at once and shows what is committed."""
    add_runs(store)
    with store.connect_as_exporter() as other, other.transaction():
        assert poll._lock(other, "native")

        assert store.poll("scraping_run")["scraping_run"] == Counted(advanced=False)
    assert store.poll("scraping_run")["scraping_run"].seen == 1


def test_a_replica_that_was_overtaken_tries_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its snapshot is older than the other's cursor: PostgreSQL refuses, and the next try sees the other's work."""
    store.poll("scraping_run")
    add_runs(store)
    take = snapshot.take
    overtaken: list[Counted] = []

    def take_and_be_overtaken(connection: psycopg.Connection) -> snapshot.Cursor:
        here = take(connection)
        if not overtaken:
            overtaken.append(Counted(False))
            overtaken.append(store.poll("scraping_run")["scraping_run"])
            add_runs(store)
        return here

    monkeypatch.setattr(snapshot, "take", take_and_be_overtaken)
    seen = [store.poll("scraping_run")["scraping_run"].seen for _ in range(2)]

    assert overtaken[1].seen == 1
    assert seen == [1, 0]
    assert runs(store) == 2


def test_two_first_polls_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no cursor yet, the slower of two first counts is refused as well."""
    add_runs(store)
    take = snapshot.take
    overtaken: list[int] = []

    def take_and_be_overtaken(connection: psycopg.Connection) -> snapshot.Cursor:
        here = take(connection)
        if not overtaken:
            overtaken.append(0)
            store.poll("scraping_run")
        return here

    monkeypatch.setattr(snapshot, "take", take_and_be_overtaken)
    store.poll("scraping_run")

    assert runs(store) == 1


def test_a_removed_source_row_comes_back(store: Store) -> None:
    """Undoing an adoption under a running exporter must not lock the source forever."""
    add_runs(store)
    with store.connect_as_exporter() as connection:
        store.execute("DELETE FROM monitoring.source")
        poll.poll(connection, STREAM, store.limits)

        assert poll.poll(connection, STREAM, store.limits).seen == 1


def test_a_forged_transaction_id_is_not_counted_at_every_poll(store: Store) -> None:
    """A row with the id of a future transaction is not counted again and again."""
    store.poll("api_call")
    store.execute(
        "INSERT INTO monitoring.api_call (at, app, api, outcome, duration_seconds, tx) "
        "VALUES (now(), 'a', 'x', 'success', 1, '4611686018427387904')"
    )
    seen = [store.poll("api_call")["api_call"].seen for _ in range(3)]

    assert sum(seen) <= 1


@pytest.mark.parametrize("after", [False, True], ids=["commit lost", "answer lost"])
def test_a_connection_cut_at_commit(
    store: Store, tcp_proxy: Callable[[str, int], TcpProxy], monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Whether the commit arrived or not, the next poll counts what is not counted, once."""
    add_runs(store, 3)
    dsn = psycopg.conninfo.conninfo_to_dict(store.dsn)
    proxy = tcp_proxy(str(dsn["host"]), int(dsn["port"] or 0))
    cable = Store(psycopg.conninfo.make_conninfo(store.dsn, host=proxy.host, port=proxy.port))
    write = snapshot.write

    def write_and_lose(connection: psycopg.Connection, *arguments: object) -> None:
        write(connection, *arguments)  # type: ignore[arg-type]  # passed on as they came
        if after:
            connection.execute("COMMIT")
        proxy.cut()

    with cable.connect_as_exporter() as connection:
        monkeypatch.setattr(snapshot, "write", write_and_lose)
        with contextlib.suppress(psycopg.OperationalError):
            poll.poll(connection, STREAM, store.limits)
    monkeypatch.setattr(snapshot, "write", write)
    # Until the server notices that its client is gone, the lost poll still holds the source.
    poll_until(lambda: store.poll("scraping_run")["scraping_run"].advanced)

    assert connection.closed
    assert runs(store) == 3


def test_a_frozen_replica_gives_way(store: Store) -> None:
    """One that was stopped while it held the source loses it after its session's timeout, and others take over."""
    with pollers(store.dsn, 1, idle_timeout="1s") as (frozen,):
        freeze_holding_the_source(store, frozen)
        add_runs(store, 5)

        poll_until(lambda: store.poll("scraping_run") and runs(store) == 5, what="another replica to count")
        frozen.signal(signal.SIGCONT)
        poll_until(lambda: not frozen.alive, what="the frozen replica to notice that it lost its session")
    assert settle(store) == (0, 0)


def freeze_holding_the_source(store: Store, poller: Poller) -> None:
    """Stop a replica at a moment when its session is in the middle of a transaction."""
    for _ in range(500):
        poller.signal(signal.SIGSTOP)
        held = store.one(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'platform-exporter poller' "
            "AND state = 'idle in transaction' AND backend_xid IS NOT NULL"
        )
        if held and store.poll("scraping_run")["scraping_run"] == Counted(False):
            return
        poller.signal(signal.SIGCONT)
    raise AssertionError("never caught in the middle of a poll")


def test_a_server_frozen_in_the_middle_of_the_load(start_postgres: Callable[..., Postgres]) -> None:
    """A server that hangs and goes on has lost and repeated nothing."""
    server = start_postgres()
    store = fresh_store(server)
    with pollers(store.dsn, 2), Writers(store.dsn, 4) as writers:
        poll_until(lambda: writers.transactions > 200)
        for _ in range(3):
            server.freeze()
            time.sleep(0.3)  # how long it hangs
            server.thaw()

    assert settle(store) == (0, 0)


def test_a_server_killed_in_the_middle_of_the_load(start_postgres: Callable[..., Postgres]) -> None:
    """After its recovery everything committed is there, and counts and cursor agree."""
    server = start_postgres()
    store = fresh_store(server)
    with contextlib.suppress(psycopg.OperationalError), Writers(store.dsn, 4) as writers, pollers(store.dsn, 2):
        poll_until(lambda: writers.transactions > 200)
        server.kill()
    server.start()

    assert settle(store) == (0, 0)


def test_a_promoted_standby_goes_on_counting(start_postgres: Callable[..., Postgres], servers: ServerFactory) -> None:
    """After a failover the same cursor holds: the standby replayed rows and counts in one order."""
    primary = start_postgres()
    store = fresh_store(primary)
    add_runs(store, 3)
    store.poll("scraping_run")
    add_runs(store, 2)
    standby = servers.adopt(primary.standby())
    standby.start()
    primary.kill()
    with standby.connect() as connection:
        connection.execute("SELECT pg_promote()")
    promoted = Store(standby.dsn_of("events"))
    add_runs(promoted, 4)
    promoted.poll("scraping_run")

    assert runs(promoted) == 9


def test_the_newest_postgresql_counts_alike(newest_postgres: Postgres) -> None:
    """The same, in short, on the newest version there is."""
    store = fresh_store(newest_postgres)
    with pollers(store.dsn, 2), Writers(store.dsn, 4) as writers:
        poll_until(lambda: writers.transactions > 500)

    assert settle(store) == (0, 0)
    newest_postgres.drop_database("events")


def test_the_window_uses_the_index(store: Store) -> None:
    """A poll's cost must not grow with history: the new rows are found by an index of every partition."""
    add_runs(store, 20_000)
    store.execute("VACUUM ANALYZE monitoring.scraping_run")
    store.poll("scraping_run")
    with store.connect() as connection:
        cursor = snapshot.read(connection, STREAM)
        assert cursor
        plan = connection.execute(
            f"EXPLAIN SELECT * FROM monitoring.scraping_run t WHERE {snapshot.window(STREAM)}",
            {"cluster": cursor.system_identifier, "snapshot": cursor.snapshot},
        ).fetchall()
    filled = store.one("SELECT relname FROM pg_class WHERE oid = (SELECT max(tableoid) FROM monitoring.scraping_run)")

    scans = " ".join(row[0] for row in plan if filled in row[0])
    assert f"Index Scan using {filled}_cluster_tx_idx" in scans
