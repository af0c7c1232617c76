"""Heartbeats of all live jobs of this process, from one thread, which lives as long as there is a job."""

import os
import threading
from time import monotonic
from typing import Protocol

from platform_sdk.diagnostics import note


class LiveJob(Protocol):
    """A job that needs heartbeats."""

    heartbeat_seconds: float

    def beat(self) -> None:
        """Report the state now."""


class Heartbeats:
    """The thread that calls `beat` of each added job every `heartbeat_seconds`."""

    def __init__(self) -> None:
        self.process = os.getpid()
        # An RLock, so that a signal handler may add and remove, too.
        self._changed = threading.Condition(threading.RLock())
        self._due: dict[int, tuple[float, LiveJob]] = {}
        self._thread: threading.Thread | None = None

    def add(self, job: LiveJob) -> None:
        """Begin a job's heartbeats."""
        with self._changed:
            self._due[id(job)] = (monotonic() + job.heartbeat_seconds, job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="platform-sdk-heartbeats", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, job: LiveJob) -> None:
        """End a job's heartbeats."""
        with self._changed:
            self._due.pop(id(job), None)

    def _run(self) -> None:
        while jobs := self._wait():
            for job in jobs:
                try:
                    job.beat()
                except Exception as error:  # noqa: BLE001 - one job's trouble must not silence the others
                    note("heartbeat", error)

    def _wait(self) -> list[LiveJob]:
        """Wait until jobs are due and return them; the list is empty when no job is left, and the thread ends."""
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


_heartbeats: Heartbeats | None = None  # made at first use: gevent may patch locks after this import


def of_this_process() -> Heartbeats:
    """Return the heartbeats of this process; after a fork they are new, and the parent's jobs are the parent's."""
    global _heartbeats
    if _heartbeats is None or _heartbeats.process != os.getpid():
        _heartbeats = Heartbeats()
    return _heartbeats
