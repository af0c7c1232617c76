"""The ledger balances to zero after each fault, and what it says is in the tables."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import platform_sdk
from platform_sdk import client, emit
from platform_sdk.delivery.intake import Lane
from platform_sdk.events.background_task import BACKGROUND_TASK
from tests.sdk.events import Store, difference, serve
from tests.servers import TcpProxy, poll_until
from tools.stack.servers import Postgres

Start = Callable[..., None]
Proxy = Callable[[str, int], TcpProxy]

FAST = {"retry_seconds": 0.2, "connect_timeout_seconds": 1.0, "flush_interval_seconds": 0.05}


@pytest.fixture
def cable(store: Store, tcp_proxy: Proxy) -> TcpProxy:
    """Return the cable between the SDK and the server."""
    return tcp_proxy("127.0.0.1", store.database.server.port)


@pytest.fixture
def start_on_cable(start: Start, cable: TcpProxy, store: Store) -> Start:
    """Return a function that starts the SDK at the other end of the cable."""
    dsn = store.dsn.replace(store.database.server.address, cable.address)
    return lambda **options: start(**{"dsn": dsn, **FAST, **options})


def settled() -> None:
    """Wait until nothing is buffered or spooled."""
    poll_until(lambda: platform_sdk.flush(0.5))


def assert_exact(store: Store, rows: int) -> None:
    """Nothing is lost, nothing is stored twice, and the row in the database says so."""
    stats = platform_sdk.stats()
    assert difference() == 0
    assert stats["stored"] == store.count() == rows
    assert difference(store.ledger(stats["process"])) == 0


def test_connection_cut_between_batches(store: Store, start_on_cable: Start, cable: TcpProxy) -> None:
    """A connection that breaks loses and repeats nothing."""
    start_on_cable()
    serve(10)
    settled()
    cable.cut()
    serve(10)
    assert not platform_sdk.flush(0.3)
    cable.restore()
    settled()

    assert_exact(store, 20)


def test_connection_cut_at_commit(
    store: Store, start_on_cable: Start, cable: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the answer to COMMIT is lost, the batch counts as stored, once."""
    start_on_cable(flush_interval_seconds=60)
    serve(1)
    settled()
    link = client._writer._pipeline.store._connection  # type: ignore[union-attr]
    results = link._results

    def lose_the_answer(*arguments: Any) -> Any:
        results(*arguments)  # the server has committed
        monkeypatch.undo()
        cable.cut()
        cable.restore()
        raise OSError("connection reset")

    monkeypatch.setattr(type(link), "_results", lambda self, *arguments: lose_the_answer(*arguments))
    serve(10)
    settled()

    assert_exact(store, 11)
    assert store.database.execute("SELECT count(*) FROM monitoring.batch") == [(2,)]


def test_frozen_server(start_postgres: Callable[..., Postgres], start: Start) -> None:
    """A server that stops answering costs a timeout, not the application's time, and no event."""
    from exporter.database import schema
    from tests.servers import Database

    server = start_postgres()
    server.create_database("frozen")
    with server.connect("frozen") as connection:
        schema.apply(connection)
    store = Store(Database(server, "frozen"))
    start(dsn=store.dsn, **FAST, statement_timeout_seconds=0.5)
    serve(5)
    settled()
    server.freeze()
    serve(5)
    assert not platform_sdk.flush(1.0)
    assert platform_sdk.stats()["buffered"] == 5
    server.thaw()
    settled()

    assert_exact(store, 10)


def test_database_down_spools_and_replays(store: Store, start_on_cable: Start, cable: TcpProxy) -> None:
    """What does not fit into memory waits on disk, and is stored from there."""
    start_on_cable(pending_bytes=4000)
    cable.cut()
    for _ in range(10):
        serve(20)
        platform_sdk.flush(0.05)
    poll_until(lambda: platform_sdk.stats()["spooled"] > 0)
    assert difference() == 0
    cable.restore()
    settled()

    assert_exact(store, 200)


def test_spool_full_drops_plain_requests_and_keeps_errors(store: Store, start_on_cable: Start, cable: TcpProxy) -> None:
    """Where neither memory nor disk has room, requests are dropped and counted; errors are kept."""
    start_on_cable(pending_bytes=1000, spool_bytes=3000, plain_events=50)
    cable.cut()
    for _ in range(30):
        serve(20)
        platform_sdk.flush(0.02)
    serve(100)
    emit.error_message("it broke")
    assert difference() == 0
    cable.restore()
    settled()

    stats = platform_sdk.stats()
    assert stats["dropped"]["overflow"] > 0
    assert stats["stored"] == store.count() + 1
    assert store.count("error") == 1
    assert difference() == difference(store.ledger()) == 0


def test_overflow_is_counted_by_reason(store: Store, start: Start) -> None:
    """A lane that is full drops what comes, exactly."""
    start(plain_events=10, flush_interval_seconds=60)
    client.current.running = True  # type: ignore[union-attr] # as if the writer were busy
    serve(25)

    assert platform_sdk.stats()["dropped"] == {"overflow": 15}
    assert difference() == 0
    assert platform_sdk.flush(60)
    assert_exact(store, 10)


def test_long_texts_count(start: Start) -> None:
    """Whatever an application passes as a name, the buffer keeps to its bytes."""
    start(buffer_bytes=1_000_000, flush_interval_seconds=60)
    client.current.running = True  # type: ignore[union-attr] # as if the writer were busy
    long = "x" * 100_000
    emits = (
        lambda: emit.activity(long),
        lambda: emit.sample(long, 1.0),
        lambda: emit.scraping_run(long, "papers", None, "success", 1.0),
        lambda: emit.error_message("it broke", endpoint=long),
        lambda: emit.event(BACKGROUND_TASK, task=long, outcome="success", duration_seconds=1.0),
    )
    for emit_one in emits:
        for _ in range(200):
            emit_one()

    assert platform_sdk.stats()["buffered"] <= 250


def test_bytes_run_out_for_requests_first_and_for_errors_last(store: Store, start: Start) -> None:
    """However large plain requests and API calls are, there is room left for errors and jobs that ended."""
    start(buffer_bytes=200_000, flush_interval_seconds=60)
    client.current.running = True  # type: ignore[union-attr] # as if the writer were busy
    agent, query = "x" * 400, {"q": "x" * 2000}
    for _ in range(1000):
        emit.request_finished("/", "GET", 200, 0.1, user_agent=agent)
    plain = platform_sdk.stats()["buffered"]
    for _ in range(1000):
        emit.api_call("a", "/", "success", 0.1, query=query)
    others = platform_sdk.stats()["buffered"] - plain
    emit.error_message("it broke")
    emit.scraping_run("j", "s", None, "success", 1.0)

    assert 0 < plain < 1000
    assert 0 < others < 1000
    assert platform_sdk.stats()["dropped"] == {"overflow": 2000 - plain - others}
    assert platform_sdk.flush(60)
    assert (store.count(), store.count("api_call")) == (plain, others)
    assert (store.count("error"), store.count("scraping_run")) == (1, 1)
    assert difference() == difference(store.ledger()) == 0


@pytest.mark.parametrize("garbage", ["\x00\ud800\\\t\n", "x" * 100_000, b"\xff", ["a"], 5, 2**200, None])
def test_texts_of_any_kind_are_stored(store: Store, start: Start, garbage: Any) -> None:
    """NUL bytes, surrogates, control characters, objects: mended, not lost."""
    start()
    emit.request_finished(garbage, "GET", 200, 0.1, user_id=garbage, role=garbage, session_id=garbage, ip=garbage)
    emit.activity("look", user_id=garbage, details={"what": garbage, str(garbage)[:10]: [garbage]})
    assert platform_sdk.flush(60)

    assert (store.count(), store.count("user_activity")) == (1, 1)
    assert difference() == 0


def test_poison_row_is_cut_out(store: Store, start: Start) -> None:
    """A row that the server refuses is dropped alone; the 99 beside it are stored."""
    store.database.execute("ALTER TABLE monitoring.http_request ADD CHECK (route <> 'poison')")
    start(flush_interval_seconds=60)
    serve(60)
    serve(1, route="poison")
    serve(39)
    assert platform_sdk.flush(60)

    assert platform_sdk.stats()["dropped"] == {"poison": 1}
    assert_exact(store, 99)


def test_weight_of_a_poison_row_counts(store: Store, start: Start) -> None:
    """A sampled row that is refused takes along all the requests it stands for."""
    store.database.execute("ALTER TABLE monitoring.http_request ADD CHECK (route <> 'poison')")
    start(flush_interval_seconds=60, sample_above_per_second=5)
    serve(50, route="poison")
    serve(50)
    assert platform_sdk.flush(60)

    stats = platform_sdk.stats()
    assert stats["dropped"] == {"poison": 50}
    assert stats["stored"] == store.database.execute("SELECT sum(weight) FROM monitoring.http_request")[0][0] == 50
    assert difference() == difference(store.ledger()) == 0


def test_unwritable_event_is_counted(store: Store, start: Start) -> None:
    """An event without what it cannot do without is dropped as such."""
    start()
    emit.request_finished("/", "GET", 200, "soon")  # type: ignore[arg-type]
    emit.request_finished("/", "GET", 10**12, 0.1)
    serve(1)
    assert platform_sdk.flush(60)

    assert platform_sdk.stats()["dropped"] == {"serialization": 2}
    assert_exact(store, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_killed_in_mid_round(store: Store, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread goes on where the one that was ended left off."""
    start(flush_interval_seconds=0.02)
    pipeline = client._writer._pipeline  # type: ignore[union-attr]
    encode, killed = pipeline._encode, []

    def die_once(*arguments: Any) -> None:
        if not killed:
            killed.append(1)
            raise SystemExit
        encode(*arguments)

    monkeypatch.setattr(pipeline, "_encode", die_once)
    serve(10)
    poll_until(lambda: killed and not client.current.running)  # type: ignore[union-attr]
    assert difference() == 0
    poll_until(lambda: serve(1) or platform_sdk.stats()["stored"] >= 11)
    settled()

    assert_exact(store, platform_sdk.stats()["produced"])


def test_error_of_our_own_is_given_up_on_and_counted(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that fails again and again drops what it stumbles over; the next one works."""
    start(flush_interval_seconds=0.02)
    pipeline = client._writer._pipeline  # type: ignore[union-attr]
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_encode", lambda *_: 1 / 0)
        serve(10)
        poll_until(lambda: platform_sdk.stats()["dropped"] == {"internal": 10})
    serve(5)
    settled()

    assert_exact(store, 5)


def test_corrupt_spool_file_is_put_aside(store: Store, start_on_cable: Start, cable: TcpProxy, tmp_path: Path) -> None:
    """A truncated file is counted and kept for a person to look at; the others are stored."""
    start_on_cable(pending_bytes=2000)
    cable.cut()
    for _ in range(6):
        serve(20)
        platform_sdk.flush(0.02)
    poll_until(lambda: platform_sdk.stats()["spooled"] > 40)
    file = sorted((tmp_path / "spool").glob("*/*/*.batch"))[0]
    file.write_bytes(file.read_bytes()[:-10])
    cable.restore()
    settled()

    lost = platform_sdk.stats()["dropped"]["spool_corrupt"]
    assert lost > 0
    assert_exact(store, 120 - lost)
    assert [path.name for path in (tmp_path / "spool").glob("*/corrupt/*")] == [file.name]


def test_missing_schema_is_waited_for(store: Store, start: Start) -> None:
    """A table or privilege that is missing is not a fault of a row: events wait until it is there."""
    store.database.execute("ALTER TABLE monitoring.http_request RENAME TO elsewhere")
    start(**FAST)
    serve(5)
    assert not platform_sdk.flush(0.3)
    assert platform_sdk.stats()["buffered"] == 5
    store.database.execute("ALTER TABLE monitoring.elsewhere RENAME TO http_request")
    settled()

    assert_exact(store, 5)


def test_writer_role_is_enough(store: Store, start: Start) -> None:
    """The rights of platform_writer suffice for all that the SDK does."""
    name = store.database.name
    store.database.execute(f"CREATE ROLE app_{name} LOGIN IN ROLE platform_writer")
    try:
        server = store.database.server
        start(dsn=f"postgresql://app_{name}@127.0.0.1:{server.port}/{name}")
        serve(3)
        emit.job_heartbeat("j", "web")
        emit.job_heartbeat("j", "web", progress=10)
        assert platform_sdk.flush(60)

        assert_exact(store, 3)
        client.close()
    finally:
        store.database.execute(f"DROP ROLE app_{name}")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may strike in a finalizer, too
def test_signal_handler_that_raises_leaves_the_count_exact(start: Start) -> None:
    """An exception out of a signal handler cannot come between counting and appending."""
    start(flush_interval_seconds=60, plain_events=10**7, buffer_bytes=2**31)
    client.current.running = True  # type: ignore[union-attr]

    class Interrupt(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(200):
            with contextlib.suppress(Interrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
                for _ in range(20_000):
                    emit.api_call("a", None, "success", 0.1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    assert platform_sdk.stats()["produced"] > 200
    assert difference() == 0


def test_lane_wakes_the_writer_before_it_is_full() -> None:
    """A small lane is emptied at half, not only when a batch would be full."""
    assert Lane("plain", limit=10, wake_at=5000, most_bytes=1000).wake_at == 5


def test_event_whose_thread_was_interrupted_is_stored(store: Store, start: Start) -> None:
    """A signal handler raises between the two steps of an append: the writer takes the event all the same."""
    start(flush_interval_seconds=60)
    serve(1)
    assert platform_sdk.flush(60)
    lane = client.current.plain  # type: ignore[union-attr]
    whole = lane.move

    def interrupted() -> Iterator[object]:
        yield from ()
        raise KeyboardInterrupt

    lane.move = interrupted()
    with pytest.raises(KeyboardInterrupt):
        serve(1)
    lane.move = whole
    serve(1)
    assert platform_sdk.flush(60)

    assert_exact(store, 3)
