"""Children of multiprocessing, which end by `os._exit`: each stores what it emitted, and its ledger says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.events import Store

ROOT = Path(__file__).parents[2]

PROGRAM = """
import multiprocessing, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import platform_sdk
from tests.sdk.events import serve

def start():
    platform_sdk.init(dsn=sys.argv[2], app="shop", spool_folder=sys.argv[3], exit_timeout_seconds=60)

def serve_three(_=None):
    serve(3)

def serve_from_a_thread():
    threading.Thread(target=lambda: (time.sleep(0.3), serve(3))).start()

def serve_from_a_pool_of_threads():
    global kept
    kept = ThreadPoolExecutor(2)
    list(kept.map(serve_three, range(2)))

def start_and_serve():
    start()
    serve_three()

def nested():
    serve_three()
    child = multiprocessing.get_context("fork").Process(target=serve_three)
    child.start(); child.join()

{start}
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    {body}
"""

PROCESS = "child = context.Process(target={target}); child.start(); child.join()"
EVERY_WAY = """child = context.Process(target=serve_three); child.start(); child.join()
    with context.Pool(2, maxtasksperchild=1) as pool: pool.map(serve_three, range(3), 1); pool.close(); pool.join()
    with ProcessPoolExecutor(2, context) as pool: list(pool.map(serve_three, range(3)))"""


def run(store: Store, tmp_path: Path, method: str, body: str, *, start: str = "start()") -> None:
    """Run a program that starts children and waits for them."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(start=start, body=body))
    command = [sys.executable, str(program), method, store.dsn, str(tmp_path / "spool")]
    subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=True, timeout=120)


def assert_stored(store: Store, events: int) -> None:
    """All of them are stored, and each process's ledger balances and is ended."""
    ledgers = store.database.execute("SELECT produced = stored, ended_at IS NOT NULL FROM monitoring.sdk_ledger")

    assert store.count() == events
    assert set(ledgers) == {(True, True)}


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_store_what_they_emitted(store: Store, tmp_path: Path, method: str) -> None:
    """Started in any way, alone or by any of the standard library's pools."""
    run(store, tmp_path, method, EVERY_WAY)

    assert_stored(store, 21)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_child_that_starts_the_sdk_itself(store: Store, tmp_path: Path, method: str) -> None:
    """The parent never calls init; the target does."""
    run(store, tmp_path, method, PROCESS.format(target="start_and_serve"), start="")

    assert_stored(store, 3)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_whose_thread_still_works(store: Store, tmp_path: Path, method: str) -> None:
    """The process waits for its threads before it ends, and so does the SDK."""
    run(store, tmp_path, method, PROCESS.format(target="serve_from_a_thread"))

    assert_stored(store, 3)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_with_idle_threads_of_a_pool(store: Store, tmp_path: Path, method: str) -> None:
    """They end only when the process ends: to wait for them before that would last for ever."""
    run(store, tmp_path, method, PROCESS.format(target="serve_from_a_pool_of_threads"))

    assert_stored(store, 6)


def test_child_of_a_child(store: Store, tmp_path: Path) -> None:
    """Each of them ends once, with a ledger of its own."""
    run(store, tmp_path, "fork", PROCESS.format(target="nested"))

    assert_stored(store, 6)
    assert store.database.execute("SELECT count(*) FROM monitoring.sdk_ledger") == [(2,)]


SLOW_IMPORT = """
import __main__, importlib, sys, time
while not __main__.over:
    time.sleep(0.01)
time.sleep(1.5 * __main__.EXIT_SECONDS)
sys.path.remove({path!r})
del sys.modules["psycopg"]
sys.modules["psycopg"] = importlib.import_module("psycopg")
"""
WORKS_ON = """
import multiprocessing, sys
import platform_sdk

EXIT_SECONDS = 4
over = False

def work():
    global over
    platform_sdk.log_activity("search")
    over = True

platform_sdk.init(dsn=sys.argv[1], app="shop", spool_folder=sys.argv[2], exit_timeout_seconds=EXIT_SECONDS)
child = multiprocessing.get_context("fork").Process(target=work)
child.start(); child.join()
assert "psycopg" not in sys.modules
"""


def test_child_that_ends_while_its_writer_still_imports(store: Store, tmp_path: Path) -> None:
    """As on a busy machine: the import lasts longer than an end may, and nothing is lost."""
    modules = tmp_path / "modules"
    (modules / "psycopg").mkdir(parents=True)
    (modules / "psycopg/__init__.py").write_text(SLOW_IMPORT.format(path=str(modules)))
    command = [sys.executable, "-c", WORKS_ON, store.dsn, str(tmp_path / "spool")]
    environment = {"PYTHONPATH": f"{modules}:{ROOT}", "PATH": "/usr/bin:/bin"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    run(store, tmp_path, "fork", "serve_three()")  # a later process, which stores what was spooled

    assert store.database.execute("SELECT activity FROM monitoring.user_activity") == [("search",)]
