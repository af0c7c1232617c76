"""What runs when a process ends, also one that ends without `atexit`: a child of multiprocessing."""

import atexit
import os
import sys
import threading
from collections.abc import Callable

_LAST = -1_000_000
"""The priority among multiprocessing's finalizers: after all of the application's, which may emit."""

_in_children = False


def register(end: Callable[[], object]) -> None:
    """Call `end` when this process ends in order, or a child that it forks. For one function, once."""
    atexit.register(end)
    os.register_at_fork(after_in_child=lambda: _register_in_children(end))
    _register_in_children(end)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _add_finalizer(end)


def _register_in_children(end: Callable[[], object]) -> None:
    """Let children of multiprocessing call `end`: they end by `os._exit`, but run finalizers of their own before it.

    Not before that module is loaded. A child clears the finalizers that it inherits, then runs what is registered here.
    """
    global _in_children
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not _in_children:
        _in_children = True
        util.register_after_fork(end, _add_finalizer)


def _add_finalizer(end: Callable[[], object]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _end_after_threads, (end,), exitpriority=_LAST)


def _end_after_threads(end: Callable[[], object]) -> None:
    """Call `end` when all threads have ended that the process waits for, which it does next.

    In a thread that it waits for, too: some threads end only when it waits, those of concurrent.futures among them.
    From Python 3.13 on it has waited before, as the main thread says, and would wait for no other.
    """
    if not threading.main_thread().is_alive():
        end()
        return
    try:
        _Ender(end).start()
    except RuntimeError:  # no more threads
        end()


class _Ender(threading.Thread):
    """The last thread of a child of multiprocessing."""

    def __init__(self, end: Callable[[], object]) -> None:
        super().__init__(name="platform-sdk-end", daemon=False)
        self._end = end

    def run(self) -> None:
        """Wait for the others, and for those that they start."""
        while others := [thread for thread in threading.enumerate() if _keeps_alive(thread)]:
            for thread in others:
                thread.join()
        self._end()


def _keeps_alive(thread: threading.Thread) -> bool:
    return not (thread.daemon or thread is threading.main_thread() or isinstance(thread, _Ender))
