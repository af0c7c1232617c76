"""The ledger balances to zero after each thing that PostgreSQL, or the disk, can do to the writer."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

import platform_sdk
from exporter.database import schema
from platform_sdk import client, diagnostics, emit
from platform_sdk.delivery import spool_file
from platform_sdk.delivery.store import UnavailableError
from tests.sdk.events import Store, difference, serve
from tests.servers import Database, TcpProxy, poll_until
from tools.stack.servers import Postgres

Start = Callable[..., None]
Proxy = Callable[[str, int], TcpProxy]

FAST = {"retry_seconds": 0.2, "connect_timeout_seconds": 1.0, "flush_interval_seconds": 0.05}


def settled() -> None:
    """Wait until nothing is buffered or spooled."""
    poll_until(lambda: platform_sdk.flush(1.0))


def assert_exact(store: Store, rows: int) -> None:
    """Nothing is lost, nothing is stored twice, and the row in the database says so."""
    stats = platform_sdk.stats()
    assert difference() == 0
    assert stats["stored"] == store.count() == rows
    assert difference(store.ledger(stats["process"])) == 0


@pytest.fixture
def cable(store: Store, tcp_proxy: Proxy) -> TcpProxy:
    """Return the cable between the SDK and the server."""
    return tcp_proxy("127.0.0.1", store.database.server.port)


@pytest.fixture
def dsn(store: Store, cable: TcpProxy) -> str:
    """Return the address of the store at the other end of the cable."""
    return store.dsn.replace(store.database.server.address, cable.address)


def pending_bytes() -> int:
    return client._writer._pipeline.accounts.pending_bytes  # type: ignore[union-attr]


def test_server_killed_and_started_again(start_postgres: Callable[..., Postgres], start: Start) -> None:
    """Kill -9 of the server, recovery and all: what was committed is there once, what was not comes later."""
    server = start_postgres(durable=True)
    server.create_database("killed")
    with server.connect("killed") as connection:
        schema.apply(connection)
    store = Store(Database(server, "killed"))
    start(dsn=store.dsn, **FAST)
    serve(200)
    poll_until(lambda: platform_sdk.stats()["stored"])
    serve(200)
    server.kill()
    serve(200)
    assert not platform_sdk.flush(0.5)
    server.start()
    settled()

    assert_exact(store, 600)


REFUSALS = {
    "read only": ("ALTER DATABASE {0} SET default_transaction_read_only = on", "ALTER DATABASE {0} RESET ALL"),
    "no connections": ("ALTER DATABASE {0} ALLOW_CONNECTIONS false", "ALTER DATABASE {0} ALLOW_CONNECTIONS true"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_by_the_database(postgres: Postgres, store: Store, start: Start, refusal: str) -> None:
    """What is not a row's fault is waited for: events are neither dropped nor taken for poison."""
    begin, end = (sql.format(store.database.name) for sql in REFUSALS[refusal])
    start(**FAST)
    serve(5)
    settled()
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(begin)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [store.database.name]
        )
        serve(5)
        assert not platform_sdk.flush(1.0)
        buffered = platform_sdk.stats()["buffered"]
        connection.execute(end)
    settled()

    assert buffered == 5
    assert_exact(store, 10)


@pytest.mark.parametrize("column", ["first_byte_seconds", "trace_id"])
def test_schema_of_before(
    store: Store, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    """A column that the schema lacks yet is waited for, until `schema apply` has added it, as the log says."""
    monkeypatch.setattr(diagnostics, "_last", {})
    store.database.execute(f"ALTER TABLE monitoring.http_request DROP COLUMN {column} CASCADE")
    start(**FAST)
    serve(5)
    said = f'column "{column}" of relation "http_request" does not exist (42703): run `platform-exporter'
    poll_until(lambda: not platform_sdk.flush(1.0) and said in caplog.text)
    assert platform_sdk.stats()["dropped"] == {}
    with store.database.connect() as connection:
        schema.apply(connection)
    settled()

    assert_exact(store, 5)


def test_table_that_is_locked(
    store: Store, start: Start, connect: psycopg.Connection[tuple[Any, ...]]
) -> None:  # fmt: skip
    """statement_timeout ends the wait, in the server too: no statement of ours stays behind in the queue for a lock."""
    start(**FAST, statement_timeout_seconds=0.3)
    serve(5)
    settled()
    with connect.transaction():
        connect.execute("LOCK TABLE monitoring.http_request IN ACCESS EXCLUSIVE MODE")
        serve(5)
        assert not platform_sdk.flush(2.0)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'platform-sdk%%' AND "
            "wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '1500 ms'"
        )
        assert store.database.execute(waiting) == [(0,)]
    settled()

    assert_exact(store, 10)


def test_connection_cut_at_commit_of_a_replay(
    store: Store, start: Start, dsn: str, cable: TcpProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the answer to the COMMIT of a spooled batch is lost, its events count as stored, once."""
    start(dsn=dsn, **FAST, pending_bytes=4000)
    cable.cut()
    for _ in range(10):
        serve(20)
        platform_sdk.flush(0.05)
    poll_until(lambda: platform_sdk.stats()["spooled"] > 40)
    store_of_it = client._writer._pipeline.store  # type: ignore[union-attr]
    transact = store_of_it._transact
    spooled = {path.stem.rpartition("-")[2] for path in (tmp_path / "spool").glob("*/*/*.batch")}
    lost: list[str] = []

    def lose_the_answer(batch_id: str, *arguments: Any) -> None:
        transact(batch_id, *arguments)  # the server has committed
        if batch_id in spooled and not lost:
            lost.append(batch_id)
            store_of_it.close()
            raise UnavailableError("connection reset")

    monkeypatch.setattr(store_of_it, "_transact", lose_the_answer)
    cable.restore()
    settled()

    assert lost
    assert_exact(store, 200)


def test_process_of_a_full_disk(
    store: Store, start: Start, dsn: str, cable: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing leaves events in memory; what memory refuses is counted, the rest is stored later."""
    start(dsn=dsn, **FAST, pending_bytes=4000, plain_events=50)
    cable.cut()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_file, "write_whole", full)
        for _ in range(30):
            serve(20)
            platform_sdk.flush(0.02)
        assert platform_sdk.stats()["spooled"] == difference() == 0
    cable.restore()
    settled()

    stats = platform_sdk.stats()
    assert set(stats["dropped"]) <= {"overflow"}
    assert_exact(store, 600 - stats["dropped"].get("overflow", 0))


def test_end_with_neither_database_nor_disk(
    store: Store, start: Start, dsn: str, cable: TcpProxy, tmp_path: Path
) -> None:
    """What cannot be kept anywhere is counted as dropped by the end, not by a spool that were full."""
    (tmp_path / "file").write_text("no folder")
    start(dsn=dsn, **FAST, spool_folder=str(tmp_path / "file" / "spool"))
    cable.cut()
    serve(7)
    writer = client._writer
    assert writer is not None

    assert not platform_sdk.close(1.0)
    assert writer.stats()["dropped"] == {"shutdown": 7}
    assert difference(writer.stats()) == 0


def test_errors_have_room_on_disk_when_requests_have_filled_it(
    store: Store, start: Start, dsn: str, cable: TcpProxy
) -> None:
    """Long after plain requests are dropped, many times as many errors as memory holds are kept and stored."""
    start(dsn=dsn, **FAST, pending_bytes=20_000, spool_bytes=500_000, plain_events=100, urgent_events=50)
    cable.cut()

    def overflows() -> bool:
        serve(50)
        return "overflow" in platform_sdk.stats()["dropped"]

    poll_until(overflows)
    waiting = client.current.urgent.events  # type: ignore[union-attr]
    for number in range(400):
        poll_until(lambda: len(waiting) < 40)
        emit.error_message(f"it broke, {number}")
    assert difference() == 0
    cable.restore()
    settled()

    assert store.count("error") == 400
    assert difference() == difference(store.ledger()) == 0


def test_flushing_with_the_database_down_stays_bounded(start: Start, dsn: str, cable: TcpProxy) -> None:
    """An application that flushes after each job, with no disk and no database, piles nothing up."""
    start(dsn=dsn, **FAST, spool_folder="", pending_bytes=50_000, plain_events=200)
    cable.cut()
    for _ in range(100):
        serve(100)
        platform_sdk.flush_now(0.01)

    assert pending_bytes() < 150_000
    assert platform_sdk.stats()["dropped"]["overflow"] > 0
    assert difference() == 0
