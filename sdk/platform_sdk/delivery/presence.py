"""A few flags of this process that every fork clears, also one of C code that runs no hook of Python's (uWSGI's).

Asking for the process id would tell as well, but is a system call, which the path of each event cannot afford.
"""

import mmap
import os
import sys

_WIPE_ON_FORK = 18
"""MADV_WIPEONFORK of Linux (since 4.14), which Python's mmap does not name: a child finds this page full of zeros."""


def flags(count: int) -> "mmap.mmap | bytearray":
    """Return so many flags that are 0."""
    if sys.platform == "linux":
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            page.madvise(_WIPE_ON_FORK)
        except OSError:
            page.close()
        else:
            return page
    return _FlagsOfProcess(count)


class _FlagsOfProcess(bytearray):
    """The same by process id, where the system cannot wipe memory."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._process = os.getpid()

    def __getitem__(self, place):  # type: ignore[no-untyped-def]  # of one flag only
        return super().__getitem__(place) if os.getpid() == self._process else 0
