"""Forks, exits and deaths of processes: whose events are whose, and none is lost that need not be."""

import signal
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import platform_sdk
from platform_sdk import client
from platform_sdk.delivery import pipeline
from platform_sdk.delivery.spool import BatchSpool
from platform_sdk.options import read as read_options
from tests.sdk.events import Store, difference, serve
from tests.servers import PATIENCE_SECONDS, TcpProxy, poll_until

Start = Callable[..., None]
Run = Callable[..., subprocess.Popen[str]]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    """Return a function that starts a Python process which has initialised the SDK and then runs the code given."""

    def run_code(code: str, **options: object) -> subprocess.Popen[str]:
        given = {"dsn": store.dsn, "app": "shop", "spool_folder": str(tmp_path / "spool"), **options}
        text = f"import platform_sdk\nfrom tests.sdk.events import serve\nplatform_sdk.init(**{given!r})\n"
        return subprocess.Popen(
            [sys.executable, "-c", text + textwrap.dedent(code)],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    return run_code


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a process to end and return what it printed; one that something holds up fails the test."""
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return out


def test_exit_loses_nothing(store: Store, run: Run) -> None:
    """What was emitted just before the end is stored."""
    process = run("serve(1900)")
    finish(process)

    assert process.returncode == 0
    assert store.count() == 1900
    assert store.ledger() == {"produced": 1900, "stored": 1900, "spooled": 0, "dropped": {}}
    assert store.database.execute("SELECT ended_at IS NOT NULL FROM monitoring.sdk_ledger") == [(True,)]


def test_exit_with_the_database_gone_is_not_held_up(
    store: Store, run: Run, start: Start, tcp_proxy: Callable[..., TcpProxy]
) -> None:
    """A process ends although the server never answers; the next process stores the rest."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.blackhole()
    dsn = store.dsn.replace(store.database.server.address, cable.address)
    finish(run("serve(10); platform_sdk.close()", dsn=dsn, connect_timeout_seconds=60))
    cable.restore()
    start(flush_interval_seconds=0.05, dsn=dsn)
    serve(1)
    poll_until(lambda: platform_sdk.stats()["adopted"] == 10)

    assert store.count() == 11


@pytest.mark.parametrize("end", ["platform_sdk.close()", "platform_sdk.flush_now()"])
def test_exit_while_the_name_server_hangs_loses_nothing(store: Store, run: Run, start: Start, end: str) -> None:
    """The writer is in getaddrinfo, which nothing ends: what waits is spooled all the same, and the process ends."""
    process = run(
        f"""
        import os, socket, time
        from platform_sdk import client
        socket.getaddrinfo = lambda *_, **__: time.sleep(60)
        serve(10)
        while not client._writer._pipeline.store.looking_up:
            time.sleep(0.01)
        serve(5)
        {end}
        os._exit(0)
        """,
        flush_interval_seconds=0.05,
    )
    finish(process)
    start(flush_interval_seconds=0.05)
    serve(1)
    poll_until(lambda: platform_sdk.stats()["adopted"] == 15)

    assert store.count() == 16


def test_spool_of_a_killed_process_is_adopted(
    store: Store, run: Run, start: Start, tcp_proxy: Callable[..., TcpProxy]
) -> None:
    """After kill -9 the next process stores what was spooled, and sets the dead one's ledger right."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.cut()
    dsn = store.dsn.replace(store.database.server.address, cable.address)
    process = run(
        """
        serve(100)
        platform_sdk.flush_now(0.3)
        print(platform_sdk.stats()["process"], platform_sdk.stats()["spooled"], flush=True)
        input()
        """,
        dsn=dsn, flush_interval_seconds=60,
    )  # fmt: skip
    assert process.stdout is not None
    name, spooled = process.stdout.readline().split()
    process.kill()
    finish(process)
    assert spooled == "100"
    cable.restore()
    start(dsn=dsn, flush_interval_seconds=0.05)
    serve(3)
    poll_until(lambda: platform_sdk.stats()["adopted"] == 100)

    assert store.count() == 103
    assert store.ledger(name) == {"produced": 100, "stored": 100, "spooled": 0, "dropped": {}}
    assert difference() == 0


def test_spool_of_a_living_process_is_left_alone(store: Store, run: Run, tmp_path: Path) -> None:
    """A folder is locked as long as its process lives, and no longer."""
    options = {"dsn": "postgresql://127.0.0.1:1/nowhere", "app": "shop", "spool_folder": str(tmp_path / "spool")}
    report = "print(platform_sdk.stats()['spooled'], flush=True)"
    code = f"serve(10); platform_sdk.flush_now(0.3); {report}; input(); import os; os._exit(0)"
    process = run(code, dsn=options["dsn"], flush_interval_seconds=60)
    assert process.stdout is not None
    spooled = process.stdout.readline()
    spool = BatchSpool(read_options(options, {}))
    of_the_living = list(spool.abandoned())
    process.communicate("\n", timeout=PATIENCE_SECONDS)
    (folder,) = spool.abandoned()
    left = sum(file.events for file in folder.files())
    folder.close()

    assert (spooled, of_the_living, left) == ("10\n", [], 10)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"platform-sdk-spool 1", b"platform-sdk-spool 2", "format 2, expected 1"),
        (b'"route"', b'"rouge"', "unknown in monitoring.http_request: rouge"),
        (b'"http_request"', b'"http_replies"', "unknown in monitoring.http_replies: all of it"),
    ],
)
def test_spool_of_a_newer_version_waits_for_it(
    store: Store, run: Run, start: Start, tcp_proxy: Callable[..., TcpProxy], tmp_path: Path,
    caplog: pytest.LogCaptureFixture, old: bytes, new: bytes, why: str,
) -> None:  # fmt: skip
    """An older process, which cannot read it, neither drops nor moves it."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.cut()
    dsn = store.dsn.replace(store.database.server.address, cable.address)
    code = """
        serve(10)
        while platform_sdk.stats()["spooled"] < 10:
            platform_sdk.flush_now(0.3)
        import os
        os._exit(0)
        """
    finish(run(code, dsn=dsn, flush_interval_seconds=60))
    files = list((tmp_path / "spool").glob("*/*/*.batch"))
    for file in files:
        _, body = file.read_bytes().replace(old, new, 1).split(b"\n", 1)
        magic = new if b"spool" in new else b"platform-sdk-spool 1"
        file.write_bytes(b"%s %08x %d\n%s" % (magic, zlib.crc32(body), len(body), body))
    cable.restore()
    start(dsn=dsn, flush_interval_seconds=0.05)
    serve(1)
    poll_until(lambda: "spool of a newer version" in caplog.text, 60)

    assert why in caplog.text
    assert "events wait for a process of that version" in caplog.text
    assert files
    assert all(file.exists() for file in files)
    assert platform_sdk.stats()["dropped"] == {}


def test_spool_of_a_store_that_has_moved(
    store: Store, run: Run, start: Start, tcp_proxy: Callable[..., TcpProxy], caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what waits for a store elsewhere; it is stored where this store is said to replace that one."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.cut()
    former = store.dsn.replace(store.database.server.address, cable.address)
    finish(run("serve(10); platform_sdk.flush_now(0.3); import os; os._exit(0)", dsn=former, flush_interval_seconds=60))
    name = f"{cable.address}/{store.database.name}"
    start(flush_interval_seconds=0.05)
    serve(1)
    poll_until(lambda: "10 events wait in" in caplog.text and name in caplog.text)
    assert store.count() == 1
    start(flush_interval_seconds=0.05, adopt_stores=[name])
    serve(1)
    poll_until(lambda: platform_sdk.stats()["adopted"] == 10)

    assert store.count() == 12


def test_child_begins_with_nothing(store: Store, run: Run) -> None:
    """What waits in the parent at a fork is stored once, by the parent; the child has a ledger of its own."""
    process = run(
        """
        import os
        serve(5); platform_sdk.flush(60); serve(7)
        child = os.fork()
        if child == 0:
            assert platform_sdk.stats()["produced"] == 0
            serve(3)
            assert platform_sdk.flush_now()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        serve(2)
        assert platform_sdk.flush(60)
        """,
        flush_interval_seconds=60,
    )
    finish(process)

    assert process.returncode == 0
    assert store.count() == 17
    rows = store.database.execute("SELECT produced, stored FROM monitoring.sdk_ledger ORDER BY 1")
    assert rows == [(3, 3), (14, 14)]


def test_forking_many_times_under_load(store: Store, run: Run) -> None:
    """Forks while other threads emit and the writer works: every ledger balances, every row is there."""
    process = run(
        """
        import os, threading
        stop = threading.Event()
        def emit_on():
            while not stop.is_set():
                serve(20); stop.wait(0.001)
        threads = [threading.Thread(target=emit_on) for _ in range(3)]
        for thread in threads: thread.start()
        for _ in range(8):
            child = os.fork()
            if child == 0:
                serve(50)
                os._exit(0 if platform_sdk.flush_now(60) else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads: thread.join()
        """,
        flush_interval_seconds=0.01,
    )
    finish(process)

    assert process.returncode == 0
    # A busy machine may leave the writer behind: what then finds no room, or no time at the end, is accounted for.
    settled, stored, ledgers = store.database.execute(
        "SELECT sum(produced - spooled - coalesce((dropped ->> 'overflow')::int, 0) "
        "- coalesce((dropped ->> 'shutdown')::int, 0))::int, sum(stored)::int, count(*) FROM monitoring.sdk_ledger"
    )[0]
    total = store.database.execute("SELECT coalesce(sum(weight), 0)::int FROM monitoring.http_request")[0][0]
    assert (settled, stored, ledgers) == (total, total, 9)


def test_kill_leaves_the_stored_count_true(store: Store, run: Run) -> None:
    """After kill -9 in full flow the ledger's stored is what the table holds."""
    process = run("while True: serve(50); import time; time.sleep(0.001)", flush_interval_seconds=0.01)
    poll_until(lambda: store.count() > 500)
    process.send_signal(signal.SIGKILL)
    finish(process)
    poll_until(lambda: not store.database.execute(
        "SELECT FROM pg_stat_activity WHERE application_name LIKE 'platform-sdk%' AND datname = current_database()"
    ))  # fmt: skip

    # In one snapshot: a transaction that was sent before the kill may be committed at any time after it.
    stored, produced, total = store.database.execute(
        "SELECT stored, produced, (SELECT sum(weight)::int FROM monitoring.http_request) FROM monitoring.sdk_ledger"
    )[0]
    assert stored == total
    assert produced >= total


def test_without_init_nothing_happens() -> None:
    """Every public function is a no-op before init."""
    assert client.current is None
    serve()
    platform_sdk.log_error("x")

    assert (platform_sdk.flush(), platform_sdk.close(), platform_sdk.flush_now()) == (True, True, True)
    assert platform_sdk.stats()["produced"] == 0


def test_close_is_final_and_init_begins_again(store: Store, start: Start) -> None:
    """Events after close are not taken; a second init has a new ledger."""
    start()
    serve(2)
    assert client.close()
    serve(2)
    start()
    serve(1)
    assert platform_sdk.flush(60)

    assert store.count() == 3
    assert platform_sdk.stats()["produced"] == 1


def test_child_that_exits_leaves_the_parent_s_connection_alone(store: Store, run: Run) -> None:
    """A child that ends as usual, finalizers and all, does not end the parent's session."""
    process = run(
        """
        import gc, os, sys
        serve(1); assert platform_sdk.flush(60)
        from platform_sdk import client
        backend = client._writer._pipeline.store.run("SELECT pg_backend_pid()")
        child = os.fork()
        if child == 0:
            serve(1)
            gc.collect()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        serve(1); assert platform_sdk.flush(60)
        assert client._writer._pipeline.store.run("SELECT pg_backend_pid()") == backend
        """,
        flush_interval_seconds=60,
    )
    finish(process)

    assert process.returncode == 0
    assert store.count() == 3


def test_live_events_go_on_while_much_is_adopted(
    store: Store, run: Run, start: Start, tcp_proxy: Callable[..., TcpProxy]
) -> None:
    """What a dead process left is stored bit by bit, each file once, beside what comes in."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.cut()
    dsn = store.dsn.replace(store.database.server.address, cable.address)
    code = "for _ in range(60): serve(5); platform_sdk.flush_now(0.02)\nimport os; os._exit(0)"
    finish(run(code, dsn=dsn, flush_interval_seconds=60))
    cable.restore()
    start(dsn=dsn, flush_interval_seconds=0.05)
    pipeline = client._writer._pipeline  # type: ignore[union-attr]
    adopt = pipeline._adopt
    pipeline._adopt = lambda _: adopt(time.monotonic() + 0.01)  # type: ignore[method-assign]
    serve(1)
    poll_until(lambda: serve(1) or platform_sdk.stats()["adopted"] == 300)
    assert platform_sdk.flush(60)

    assert store.count() == 300 + platform_sdk.stats()["produced"]
    assert difference() == 0
    ledgers = store.database.execute("SELECT produced - stored, spooled FROM monitoring.sdk_ledger")
    assert ledgers == [(0, 0), (0, 0)]


def test_a_process_without_events_reports_that_it_runs(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of processes is known at night, too."""
    monkeypatch.setattr(pipeline, "LEDGER_SECONDS", 0.1)
    monkeypatch.setattr(pipeline, "REPORT_SECONDS", 0.2)
    start(flush_interval_seconds=0.05)
    serve()
    assert platform_sdk.flush(60)
    first = store.database.execute("SELECT written_at FROM monitoring.sdk_ledger")

    poll_until(lambda: store.database.execute("SELECT written_at FROM monitoring.sdk_ledger") > first)
