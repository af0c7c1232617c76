"""Forks, exits and deaths of processes: whose events are whose, and none is lost that need not be."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import platform_sdk
from platform_sdk import client
from tests.sdk.events import Store, difference, serve
from tests.servers import TcpProxy, poll_until

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
    """Wait for a process to end and return what it printed."""
    out, _ = process.communicate(timeout=30)
    return out


def test_exit_loses_nothing(store: Store, run: Run) -> None:
    """What was emitted just before the end is stored."""
    process = run("serve(1900)")
    finish(process)

    assert process.returncode == 0
    assert store.count() == 1900
    assert store.ledger() == {"produced": 1900, "stored": 1900, "spooled": 0, "dropped": {}}
    assert store.database.execute("SELECT ended_at IS NOT NULL FROM monitoring.sdk_ledger") == [(True,)]


def test_exit_with_the_database_gone_takes_two_seconds(
    store: Store, run: Run, start: Start, tcp_proxy: Callable[..., TcpProxy]
) -> None:
    """A server that does not answer holds an exit up for no longer than promised; the next process stores the rest."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.blackhole()
    process = run(
        """
        import time
        serve(10)
        began = time.monotonic()
        platform_sdk.close()
        print(time.monotonic() - began)
        """,
        dsn=store.dsn.replace(store.database.server.address, cable.address),
    )
    seconds = float(finish(process).split()[0])
    cable.restore()
    start(flush_interval_seconds=0.05, dsn=store.dsn.replace(store.database.server.address, cable.address))
    serve(1)
    poll_until(lambda: platform_sdk.stats()["adopted"] == 10, 20)

    assert seconds < 2.2
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
        began = time.monotonic()
        {end}
        print(time.monotonic() - began, flush=True)
        os._exit(0)
        """,
        flush_interval_seconds=0.05,
    )
    seconds = float(finish(process).split()[0])
    start(flush_interval_seconds=0.05)
    serve(1)
    poll_until(lambda: platform_sdk.stats()["adopted"] == 15, 20)

    assert seconds < 2.5
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
    poll_until(lambda: platform_sdk.stats()["adopted"] == 100, 20)

    assert store.count() == 103
    assert store.ledger(name) == {"produced": 100, "stored": 100, "spooled": 0, "dropped": {}}
    assert difference() == 0


def test_spool_of_a_living_process_is_left_alone(
    store: Store, run: Run, start: Start, tcp_proxy: Callable[..., TcpProxy]
) -> None:
    """A folder whose process lives is locked."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.cut()
    dsn = store.dsn.replace(store.database.server.address, cable.address)
    report = "print(platform_sdk.stats()['spooled'], flush=True)"
    code = f"serve(10); platform_sdk.flush_now(0.3); {report}; input(); import os; os._exit(0)"
    process = run(code, dsn=dsn, flush_interval_seconds=60)
    assert process.stdout is not None
    assert process.stdout.readline() == "10\n"
    start(flush_interval_seconds=0.05, dsn=dsn)
    cable.restore()
    serve(1)
    assert platform_sdk.flush()
    pipeline = client._writer._pipeline  # type: ignore[union-attr]
    with client._writer._working:  # type: ignore[union-attr]
        assert list(pipeline.spool.abandoned()) == []
    process.communicate("\n", timeout=30)
    pipeline._adopt_at = 0.0
    poll_until(lambda: platform_sdk.stats()["adopted"] == 10, 20)

    assert store.count() == 11


def test_child_begins_with_nothing(store: Store, run: Run) -> None:
    """What waits in the parent at a fork is stored once, by the parent; the child has a ledger of its own."""
    process = run(
        """
        import os
        serve(5); platform_sdk.flush(); serve(7)
        child = os.fork()
        if child == 0:
            assert platform_sdk.stats()["produced"] == 0
            serve(3)
            assert platform_sdk.flush_now()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        serve(2)
        assert platform_sdk.flush()
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
                os._exit(0 if platform_sdk.flush_now(5) else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for thread in threads: thread.join()
        """,
        flush_interval_seconds=0.01,
    )
    finish(process)

    assert process.returncode == 0
    produced, stored, ledgers = store.database.execute(
        "SELECT sum(produced)::int, sum(stored)::int, count(*) FROM monitoring.sdk_ledger"
    )[0]
    total = store.database.execute("SELECT coalesce(sum(weight), 0)::int FROM monitoring.http_request")[0][0]
    assert (produced, stored, ledgers) == (total, total, 9)


def test_kill_leaves_the_stored_count_true(store: Store, run: Run) -> None:
    """After kill -9 in full flow the ledger's stored is what the table holds."""
    process = run("while True: serve(50); import time; time.sleep(0.001)", flush_interval_seconds=0.01)
    poll_until(lambda: store.count() > 500, 20)
    process.send_signal(signal.SIGKILL)
    finish(process)
    poll_until(lambda: not store.database.execute(
        "SELECT FROM pg_stat_activity WHERE application_name LIKE 'platform-sdk%' AND datname = current_database()"
    ), 20)  # fmt: skip

    total = store.database.execute("SELECT sum(weight)::int FROM monitoring.http_request")[0][0]
    assert store.ledger()["stored"] == total
    assert store.ledger()["produced"] >= total


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
    assert platform_sdk.flush()

    assert store.count() == 3
    assert platform_sdk.stats()["produced"] == 1


def test_child_that_exits_leaves_the_parent_s_connection_alone(store: Store, run: Run) -> None:
    """A child that ends as usual, finalizers and all, does not end the parent's session."""
    process = run(
        """
        import gc, os, sys
        serve(1); assert platform_sdk.flush()
        from platform_sdk import client
        backend = client._writer._pipeline.store.run("SELECT pg_backend_pid()")
        child = os.fork()
        if child == 0:
            serve(1)
            gc.collect()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        serve(1); assert platform_sdk.flush()
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
    poll_until(lambda: serve(1) or platform_sdk.stats()["adopted"] == 300, 20)
    assert platform_sdk.flush()

    assert store.count() == 300 + platform_sdk.stats()["produced"]
    assert difference() == 0
    ledgers = store.database.execute("SELECT produced - stored, spooled FROM monitoring.sdk_ledger")
    assert ledgers == [(0, 0), (0, 0)]
