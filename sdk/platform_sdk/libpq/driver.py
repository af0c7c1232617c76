"""Import psycopg when it is first needed, and let no fork come in between.

The writer thread does it, some tenths of a second long. A process forked meanwhile would inherit modules that are
half imported and whose locks nobody will ever release: its first look at the database would wait for good. Python
itself only protects the import of its own that a fork is called from.
"""

import os
import threading

LONGEST_SECONDS = 10.0

_loading = threading.Lock()
_loaded = False
_forking = False


def load() -> None:
    """Import the driver and what it imports later by itself. Raises ImportError."""
    global _loaded
    if _loaded:
        return
    with _loading:
        import encodings.idna  # by socket.getaddrinfo
        import linecache  # by the first stack trace
        import tokenize

        import psycopg.conninfo
        import psycopg.errors
        import psycopg.pq

        _loaded = bool(encodings.idna and linecache and tokenize and psycopg)


def _before_fork() -> None:
    global _forking
    _forking = not _loaded and _loading.acquire(timeout=LONGEST_SECONDS)


def _after_fork_in_parent() -> None:
    global _forking
    if _forking:
        _forking = False
        _loading.release()


def _after_fork_in_child() -> None:
    global _loading, _forking
    _loading, _forking = threading.Lock(), False


def protect() -> None:
    """Make forks wait for an import that is going on. Once per process."""
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
