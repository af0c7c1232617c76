"""Run the writer thread: begun by the first event, ended by close, replaced after a fork or whatever else ended it."""

import math
import os
import socket
import threading
import time
from typing import Any

from platform_sdk.delivery.intake import Intake, value_of
from platform_sdk.delivery.pipeline import Work
from platform_sdk.diagnostics import note
from platform_sdk.errors import UnavailableError
from platform_sdk.options import Options

PATIENCE = 3
"""How often a round may fail by an error of ours before what it stumbles over is given up."""

IDLE_SECONDS = 60.0
_START_AGAIN_SECONDS = 1.0

_inherited: list[object] = []
"""Connections of a parent process, kept so that they are never closed: closing would end the parent's session."""


class Writer:
    """Own the intake and its worker thread.

    `flush` and `close` do a round in the thread that calls them, which needs no second thread to be alive: at exit
    none can be started any more. The lock `_working` sees to it that only one thread works.
    """

    def __init__(self, options: Options) -> None:
        self.process = f"{socket.gethostname()}/{os.getpid()}/{time.time():.6f}"
        self.intake = Intake(options, self._start)
        self._options = options
        self._work = Work(options, self.intake, self.process, lambda: self._deadline)
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._start_after = 0.0
        self._deadline = math.inf
        self._stopping = False
        self._stumbles = 0
        self._used_at = 0.0

    def flush(self, timeout_seconds: float, *, spool: bool = False) -> bool:
        """Store everything taken in so far; what cannot be stored in time is spooled if `spool`."""
        end = time.monotonic() + timeout_seconds
        # Where the writer is waiting for the server, it is to let go while there is time left to spool.
        self._deadline = end - (0.3 * timeout_seconds if spool else 0.0)
        if not self._working.acquire(timeout=max(timeout_seconds, 0.0)):
            if spool and self._work.store.looking_up:
                self._work.spool_all()
            return False
        try:
            while not (stored := self._store_all(end - 0.2 * timeout_seconds)) and time.monotonic() + 0.1 < end:
                time.sleep(0.05)
            if spool and not stored:
                self._work.spool_down_to(0)
            return stored and not self._work.books.spooled
        finally:
            self._deadline = math.inf
            self._working.release()

    def close(self, timeout_seconds: float) -> bool:
        """Store or spool everything within the time, count what is left as dropped, and let go of everything."""
        self._stopping = True
        self._deadline = time.monotonic() + 0.7 * timeout_seconds
        if self.intake.running:
            self.intake.rouse()
        if not self._working.acquire(timeout=max(timeout_seconds, 0.0)):
            if self._work.store.looking_up:
                self._end_without_database()
            return False
        try:
            return self._end(time.monotonic() + 0.1 * timeout_seconds)
        finally:
            self._working.release()

    def abandon(self) -> None:
        """Forget, in a child made by fork, what is the parent's."""
        _inherited.append(self._work.store)
        self._stopping = True
        for lane in (self.intake.plain, self.intake.other, self.intake.urgent):
            lane.events.clear()
        self.intake.jobs.clear()

    def stats(self) -> dict[str, Any]:
        """Return the ledger; see `client.stats`."""
        books = self._work.books
        return {
            "process": self.process, "produced": value_of(self.intake.produced), "stored": books.stored,
            "spooled": books.spooled, "buffered": self.intake.waiting + books.buffered,
            "dropped": self._work.dropped(), "adopted": books.adopted,
        }  # fmt: skip

    def _start(self) -> None:
        """Start the thread, unless another thread is just doing that. Called by application threads."""
        if self._stopping or time.monotonic() < self._start_after or not self._starting.acquire(blocking=False):
            return
        try:
            if not self.intake.running:
                self._start_after = time.monotonic() + _START_AGAIN_SECONDS
                self.intake.running = True
                self._renew_locks()
                threading.Thread(target=self._run, name="platform-sdk-writer", daemon=True).start()
        except RuntimeError as error:  # no thread can be had now: flush and close work without
            self.intake.running = False
            note("thread", error)
        finally:
            self._starting.release()

    def _renew_locks(self) -> None:
        """Replace locks that were made before gevent patched this process, as gunicorn's workers do after the fork.

        The thread will be a greenlet then: waiting for one of those it would hold up all others.
        """
        lock = threading.Lock()
        if type(self.intake.wake) is not type(lock):
            self.intake.wake, self._working = lock, threading.Lock()

    def _run(self) -> None:
        try:
            with self._working:
                self._work.spool.remove_unknown(self._work.books.files)
            while not self._stopping:
                self.intake.wake.acquire(timeout=self._pause())
                with self._working:
                    if not self._stopping:
                        self._round()
        finally:
            self.intake.running = False

    def _round(self) -> None:
        try:
            if self.intake.waiting or self.intake.jobs or self._work.books.buffered or self._work.books.files:
                self._used_at = time.monotonic()
            self._work.round()
            self._stumbles = 0
            if time.monotonic() - self._used_at > IDLE_SECONDS:
                self._work.store.close()
        except Exception as error:  # noqa: BLE001 - a thread loop: it goes on, and counts
            self._stumbled(error)

    def _stumbled(self, error: Exception) -> None:
        note("internal", error)
        self._stumbles += 1
        if self._stumbles >= PATIENCE:
            self._stumbles = 0
            books = self._work.books
            self._work.books = books.hand_lost("internal") if books.hand else books
            if not books.hand and books.pending:
                self._work.books = books.batch_lost(books.pending[0], "internal")

    def _pause(self) -> float:
        """Return how long to wait for a full batch: hardly, where there is work already and the database is up.

        Not at all would keep those who flush from ever getting the lock.
        """
        busy = self._work.books.files or self.intake.waiting >= self._options.batch_events // 2
        if busy and self._work.retry_at <= time.monotonic():
            return 0.005
        return self._options.flush_interval_seconds

    def _store_all(self, until: float) -> bool:
        """Encode and store until nothing is left; return whether that is so."""
        work = self._work
        while True:
            # However often an application asks for this while the database is down, what is pending stays bounded.
            work.collect(everything=work.books.pending_bytes <= self._options.pending_bytes)
            work.retry_at = 0.0
            if not work.deliver():
                return False
            if not self.intake.waiting and not work.books.buffered:
                break
            if time.monotonic() > until:
                return False
        try:
            work.write_ledger()
        except UnavailableError:
            return False
        return True

    def _end(self, patience_until: float) -> bool:
        work = self._work
        if work.store.may_hang:
            self._end_without_database()
            return False
        stored = self._settled(patience_until)
        work.spool_all()
        try:
            work.write_ledger()
            if stored and not work.books.files:
                work.end_ledger()
        except UnavailableError:
            self._leave_ledger()
        work.store.close()
        work.spool.close(keep=not stored or bool(work.books.files))
        return stored and not work.books.files

    def _end_without_database(self) -> None:
        self._work.spool_all()
        self._leave_ledger()
        self._work.spool.close(keep=True)

    def _settled(self, until: float) -> bool:
        """Store all; wait a moment for threads that are just between taking the intake and appending to it."""
        while True:
            if not self._store_all(self._deadline):
                return False
            figures = self.stats()
            accounted = figures["stored"] + figures["spooled"] + sum(figures["dropped"].values())
            if figures["produced"] == accounted or time.monotonic() > until:
                return True
            time.sleep(0.001)

    def _leave_ledger(self) -> None:
        """Leave the last word for a later process, where the database cannot take it."""
        if self._work.spool.enabled:
            try:
                self._work.spool.open()
                self._work.save_ledger()
            except OSError as error:
                note("spool", error)
