"""Beat for every live job of this process from one thread, which lives as long as there is one."""

import os
import threading
from time import monotonic
from typing import Protocol

from platform_sdk.diagnostics import note


class Beating(Protocol):
    """What can be kept alive."""

    heartbeat_seconds: float

    def beat(self) -> None:
        """Tell the state now."""


class Heartbeats:
    """Call `beat` of each added job every `heartbeat_seconds` of its own."""

    def __init__(self) -> None:
        # An RLock, so that a signal handler may add and remove, too.
        self._changed = threading.Condition(threading.RLock())
        self._due: dict[int, tuple[float, Beating]] = {}
        self._thread: threading.Thread | None = None

    def add(self, job: Beating) -> None:
        """Beat for a job from now on."""
        with self._changed:
            self._due[id(job)] = (monotonic() + job.heartbeat_seconds, job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="platform-sdk-heartbeats", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, job: Beating) -> None:
        """Beat for it no more."""
        with self._changed:
            self._due.pop(id(job), None)

    def _run(self) -> None:
        while jobs := self._wait():
            for job in jobs:
                try:
                    job.beat()
                except Exception as error:  # noqa: BLE001 - one job's trouble must not silence the others
                    note("heartbeat", error)

    def _wait(self) -> list[Beating]:
        """Wait until jobs are due and return them; nothing where none is left, and then the thread is over."""
        with self._changed:
            while self._due:
                now = monotonic()
                due = [job for moment, job in self._due.values() if moment <= now]
                if due:
                    for job in due:
                        self._due[id(job)] = (now + job.heartbeat_seconds, job)
                    return due
                self._changed.wait(min(moment for moment, _ in self._due.values()) - now)
            self._thread = None
            return []


_heartbeats: Heartbeats | None = None
_hooked = False


def of_this_process() -> Heartbeats:
    """Return the heartbeats of this process; after a fork they are new, and the parent's jobs are the parent's."""
    global _heartbeats, _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_forget)
    if _heartbeats is None:
        _heartbeats = Heartbeats()
    return _heartbeats


def _forget() -> None:
    global _heartbeats
    _heartbeats = None
