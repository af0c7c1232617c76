"""Import modules when they are first needed, and let no fork come in between.

A process forked during an import inherits modules that are half imported, and locks that are never released: its own
import of them would wait forever. Python itself protects only an import that calls fork.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

LONGEST_SECONDS = 10.0
"""How long a fork waits for an import."""

_lock = threading.RLock()
_process = os.getpid()
_held = False
_protected = False


@contextmanager
def without_fork() -> Iterator[None]:
    """Hold back forks of other threads, and imports made by them in this way."""
    global _protected
    if not _protected:
        _protected = True
        # Hooks before a fork run latest first. If logging's came after ours, a fork would hold logging's lock while it
        # waits for an import that needs it.
        import_module("logging")
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
    if _process != os.getpid():  # a fork of C code ran no hook
        _after_fork_in_child()
    with _lock:
        yield


def _before_fork() -> None:
    global _held
    _held = _lock.acquire(timeout=LONGEST_SECONDS)


def _after_fork() -> None:
    global _held
    if _held:
        _held = False
        _lock.release()


def _after_fork_in_child() -> None:
    global _lock, _held, _process
    _lock, _held, _process = threading.RLock(), False, os.getpid()
