"""uWSGI, whose first process loads the application and then forks its workers, by C code.

It forks without asking for the interpreter's lock: if another thread had that lock at this moment, the worker would
wait for it forever. So no thread is started before the fork. What is emitted until then moves to worker 1.
"""

import mmap
import sys
from types import ModuleType


def loading() -> bool:
    """Return whether this is uWSGI's first process, which loads the application and has not forked yet."""
    uwsgi = _module()
    if uwsgi is None or uwsgi.worker_id() != 0:
        return False
    spooler = getattr(uwsgi, "i_am_the_spooler", None)  # not in every build
    return not uwsgi.mule_id() and not (spooler is not None and spooler())


def lacks_threads() -> bool:
    """Return whether it lets threads run only while a request is served."""
    uwsgi = _module()
    return uwsgi is not None and not uwsgi.has_threads


def _module() -> ModuleType | None:
    """Return the module that uWSGI puts into its interpreters; others of this name may be stubs of it."""
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi if hasattr(uwsgi, "worker_id") and hasattr(uwsgi, "has_threads") else None


class Move:
    """What says, to all processes at once, that worker 1 has taken what the first process held."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1) if loading() else None  # shared with those forked from here

    @property
    def done(self) -> bool:
        return self._page is not None and self._page[0] == 1

    @property
    def mine(self) -> bool:
        """Whether this process is the one to take it."""
        uwsgi = _module()
        return self._page is not None and not self.done and uwsgi is not None and uwsgi.worker_id() == 1

    def finish(self) -> None:
        """Say that it is done."""
        if self._page is not None:
            self._page[0] = 1
