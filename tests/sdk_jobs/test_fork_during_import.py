"""A fork while the writer's thread imports the database driver, as a pool of processes makes at any time."""

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
