"""A fork while the writer's thread imports the database driver, as a pool of processes makes at any time."""

import pytest

from tests.sdk_jobs.store import Store

CODE = """
import os, sys, threading, time
import platform_sdk

importing = threading.Event()

class Slow:
    def find_spec(self, name, path, target=None):
        if name == "psycopg":
            importing.set()
            time.sleep(0.3)

sys.meta_path.insert(0, Slow())
platform_sdk.init(flush_interval_seconds=0.01)
platform_sdk.sample("of_the_parent", 1)
importing.wait(60)
child = os.fork()
if child == 0:
    platform_sdk.sample("of_the_child", 1)
    os._exit(0 if platform_sdk.flush_now(60) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_child_can_import_it_too(store: Store) -> None:
    """The fork waits for the import, so that the child stores what it emits instead of waiting for ever."""
    process = store.run("-c", CODE)
    try:
        code = process.wait(120)
    finally:
        process.kill()

    assert code == 0
    assert store.rows("name", "sample") == [("of_the_child",), ("of_the_parent",)]


UNPROTECTED = """
import os, sys, time
assert "logging" not in sys.modules
import platform_sdk

platform_sdk.init(flush_interval_seconds=0.01)
platform_sdk.sample("of_the_parent", 1)
time.sleep(float(sys.argv[1]))
child = os.fork()
if child == 0:
    platform_sdk.sample("of_the_child", 1)
    os._exit(0 if platform_sdk.flush_now(60) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("delay_seconds", ["0.02", "0.05", "0.1"])
def test_a_process_without_logging(store: Store, delay_seconds: str) -> None:
    """The fork does not wait for an import that waits for the fork's own lock of logging."""
    process = store.run("-c", UNPROTECTED, delay_seconds)
    try:
        code = process.wait(120)
    finally:
        process.kill()

    assert code == 0
    assert store.rows("name", "sample") == [("of_the_child",), ("of_the_parent",)]
