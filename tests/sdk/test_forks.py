"""Forks of C code, which run none of Python's hooks: a child is a process of its own all the same."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sdk.events import Store

ROOT = Path(__file__).parents[2]

Run = Callable[[str], None]

START = """
import ctypes, os, sys, threading, time
import platform_sdk
from platform_sdk import client
from tests.sdk.events import serve

def fork(child):
    process = ctypes.PyDLL(None).fork()  # keeps the interpreter's lock meanwhile
    if process == 0:
        try:
            child()
            os._exit(0 if platform_sdk.close(60) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(process, 0)[1] == 0

def store_some():
    serve(3)
"""

# As if the writer ran: a thread of the parent that waits for the interpreter's lock just then would leave that lock
# unusable in the child, whatever the SDK does.
RUNNING = "client.current.running = True"


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    """Return a function that runs code in a process that has initialised the SDK; `fork(child)` forks without hooks."""

    def run_code(code: str) -> None:
        given = {"dsn": store.dsn, "app": "shop", "spool_folder": str(tmp_path / "spool"), "exit_timeout_seconds": 60}
        text = f"{START}\nplatform_sdk.init(**{given!r})\n{RUNNING}\n{textwrap.dedent(code)}"
        subprocess.run([sys.executable, "-c", text], cwd=ROOT, check=True, timeout=120)

    return run_code


def ledgers(store: Store) -> list[tuple[int, int]]:
    return store.database.execute("SELECT produced, stored FROM monitoring.sdk_ledger ORDER BY 1")


def test_children_after_an_event_of_the_parent(store: Store, run: Run) -> None:
    """Each has a thread and a ledger of its own, and what waits in the parent is stored once, by the parent."""
    run("serve(5); fork(store_some); fork(store_some); serve(2)")

    assert ledgers(store) == [(3, 3), (3, 3), (7, 7)]
    assert store.count() == 13


def test_writer_runs_in_the_child(store: Store, run: Run) -> None:
    """It stores by itself what comes in, without a flush."""
    run("""
    serve(5)
    def wait_until_stored():
        serve(3)
        while platform_sdk.stats()["stored"] < 3:
            time.sleep(0.05)
    fork(wait_until_stored)
    """)

    assert ledgers(store) == [(3, 3), (5, 5)]


def test_child_that_emits_nothing(store: Store, run: Run) -> None:
    """Its end touches neither what waits in the parent nor the parent's connection."""
    run("serve(5); assert platform_sdk.flush(60); serve(1); fork(lambda: None); serve(1)")

    assert ledgers(store) == [(7, 7)]


def test_child_of_a_child(store: Store, run: Run) -> None:
    """Forked before its parent has emitted, so that no thread of the SDK's is in the middle of something."""
    run("""
    serve(5)
    def child():
        fork(store_some)
        serve(2)
    fork(child)
    """)

    assert ledgers(store) == [(2, 2), (3, 3), (5, 5)]


def test_threads_of_a_child_that_begin_at_once(store: Store, run: Run) -> None:
    """All of them find the same new writer."""
    run("""
    serve(5)
    def child():
        barrier = threading.Barrier(20)
        def begin(): barrier.wait(); serve(2)
        threads = [threading.Thread(target=begin) for _ in range(20)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    for _ in range(5): fork(child)
    """)

    assert ledgers(store) == [(5, 5), *[(40, 40)] * 5]


def test_other_calls_than_events(store: Store, run: Run) -> None:
    """A live job, and a call with wrong arguments, are the child's as well."""
    run("""
    serve(5)
    def child():
        platform_sdk.log_error(nonsense=1)
        with platform_sdk.scraping_job(scraper="papers"):
            pass
    fork(child)
    """)

    assert store.rows("scraper", "scraping_run") == [("papers",)]
    assert store.database.execute("SELECT dropped FROM monitoring.sdk_ledger WHERE produced = 2") == [
        ({"internal": 1},)
    ]
    assert store.database.execute("SELECT status FROM monitoring.scraping_job") == [("completed",)]


def test_fork_while_the_parent_imports_the_driver(store: Store, run: Run) -> None:
    """The lock that held back forks is held in the parent, by a thread that the child does not have."""
    run("""
    from platform_sdk import loading
    serve(5)
    taken = threading.Event()
    def hold():
        with loading.without_fork():
            taken.set(); time.sleep(3)
    import platform_sdk.libpq
    threading.Thread(target=hold).start()
    taken.wait()
    fork(store_some)
    """)

    assert ledgers(store) == [(3, 3), (5, 5)]


def test_where_the_system_wipes_no_memory(store: Store, run: Run) -> None:
    """The process id tells."""
    run("""
    from platform_sdk.delivery import presence
    options = client.active_options()
    presence._WIPE_ON_FORK = -1  # which no system knows
    names = ("dsn", "app", "spool_folder", "exit_timeout_seconds")
    platform_sdk.init(**{name: getattr(options, name) for name in names})
    assert type(client.current._flags) is presence._FlagsOfProcess
    client.current.running = True
    serve(5)
    fork(store_some)
    """)

    assert ledgers(store) == [(3, 3), (5, 5)]
