"""The writer thread: started by the first event, ended by close, replaced after a fork or whatever else ended it."""

import math
import os
import socket
import threading
import time
from typing import Any

from platform_sdk.delivery.intake import Intake, value_of
from platform_sdk.delivery.pipeline import Pipeline
from platform_sdk.diagnostics import note
from platform_sdk.errors import UnavailableError
from platform_sdk.options import Options

PATIENCE = 3
"""How often a round may fail by an error of ours before the events that it fails with are dropped."""

IDLE_SECONDS = 60.0
_START_AGAIN_SECONDS = 1.0

_inherited: list[object] = []
"""Connections of a parent process, kept so that they are never closed: closing would end the parent's session."""


class Writer:
    """The intake and the thread that empties it.

    `flush` and `close` do a round in the thread that calls them, so that they work when no thread can be started, as
    at exit. Who holds the lock `_working` works.
    """

    def __init__(self, options: Options) -> None:
        self.process = f"{socket.gethostname()}/{os.getpid()}/{time.time():.6f}"
        self.intake = Intake(options, self._start)
        self._options = options
        self._pipeline = Pipeline(options, self.intake, self.process, lambda: self._deadline)
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._start_after = 0.0
        self._deadline = math.inf
        self._stopping = False
        self._failures = 0
        self._used_at = 0.0

    def flush(self, timeout_seconds: float, *, spool: bool = False) -> bool:
        """Store everything taken in so far; what cannot be stored in time is spooled if `spool`."""
        end = time.monotonic() + timeout_seconds
        # If the writer is waiting for the server, it must give up while there is time left to spool.
        self._deadline = end - (0.3 * timeout_seconds if spool else 0.0)
        if not self._working.acquire(timeout=max(timeout_seconds, 0.0)):
            if spool and self._pipeline.store.looking_up:
                self._pipeline.spool_all()
            return False
        try:
            while not (stored := self._store_all(end - 0.2 * timeout_seconds)) and time.monotonic() + 0.1 < end:
                time.sleep(0.05)
            if spool and not stored:
                self._pipeline.spool_down_to(0)
            return stored and not self._pipeline.accounts.spooled
        finally:
            self._deadline = math.inf
            self._working.release()

    def close(self, timeout_seconds: float) -> bool:
        """Store or spool everything in time, count what is left as dropped, and close connection and spool."""
        self._stopping = True
        self._deadline = time.monotonic() + 0.7 * timeout_seconds
        if self.intake.running:
            self.intake.rouse()
        if not self._working.acquire(timeout=max(timeout_seconds, 0.0)):
            if self._pipeline.store.looking_up:
                self._end_without_database()
            return False
        try:
            return self._end(time.monotonic() + 0.1 * timeout_seconds)
        finally:
            self._working.release()

    def abandon(self) -> None:
        """Forget, in a forked child, what belongs to the parent."""
        _inherited.append(self._pipeline.store)
        self._stopping = True
        for lane in (self.intake.plain, self.intake.other, self.intake.urgent):
            lane.events.clear()
        self.intake.jobs.clear()

    def stats(self) -> dict[str, Any]:
        """Return the ledger; see `client.stats`."""
        accounts = self._pipeline.accounts
        return {
            "process": self.process, "produced": value_of(self.intake.produced), "stored": accounts.stored,
            "spooled": accounts.spooled, "buffered": self.intake.waiting + accounts.buffered,
            "dropped": self._pipeline.dropped(), "adopted": accounts.adopted,
        }  # fmt: skip

    def _start(self) -> None:
        """Start the thread, unless another thread is doing that. Called by application threads."""
        if self._stopping or time.monotonic() < self._start_after or not self._starting.acquire(blocking=False):
            return
        try:
            if not self.intake.running:
                self._start_after = time.monotonic() + _START_AGAIN_SECONDS
                self.intake.running = True
                self._renew_locks()
                threading.Thread(target=self._run, name="platform-sdk-writer", daemon=True).start()
        except RuntimeError as error:  # no thread can be started now: flush and close work without
            self.intake.running = False
            note("thread", error)
        finally:
            self._starting.release()

    def _renew_locks(self) -> None:
        """Replace locks that were made before gevent patched this process, as gunicorn's workers do after the fork.

        The thread is a greenlet then, and waiting for an unpatched lock would block all others.
        """
        lock = threading.Lock()
        if type(self.intake.wake) is not type(lock):
            self.intake.wake, self._working = lock, threading.Lock()

    def _run(self) -> None:
        try:
            with self._working:
                self._pipeline.spool.remove_unknown(self._pipeline.accounts.files)
            while not self._stopping:
                self.intake.wake.acquire(timeout=self._pause())
                with self._working:
                    if not self._stopping:
                        self._round()
        finally:
            self.intake.running = False

    def _round(self) -> None:
        try:
            accounts = self._pipeline.accounts
            if self.intake.waiting or self.intake.jobs or accounts.buffered or accounts.files:
                self._used_at = time.monotonic()
            self._pipeline.round()
            self._failures = 0
            if time.monotonic() - self._used_at > IDLE_SECONDS:
                self._pipeline.store.close()
        except Exception as error:  # noqa: BLE001 - a thread loop: it goes on, and counts
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        note("internal", error)
        self._failures += 1
        if self._failures >= PATIENCE:
            self._failures = 0
            accounts = self._pipeline.accounts
            if accounts.hand:
                self._pipeline.accounts = accounts.hand_lost("internal")
            elif accounts.pending:
                batch = accounts.pending[0]
                self._pipeline.accounts = accounts.settled(batch, internal=batch.events)

    def _pause(self) -> float:
        """Return how long to wait for a full batch: hardly, if there is work already and the database is up.

        Without any wait, threads that flush would never get the lock.
        """
        busy = self._pipeline.accounts.files or self.intake.waiting >= self._options.batch_events // 2
        if busy and self._pipeline.retry_at <= time.monotonic():
            return 0.005
        return self._options.flush_interval_seconds

    def _store_all(self, until: float) -> bool:
        """Encode and store until nothing is left or the time is over; return whether nothing is left."""
        pipeline = self._pipeline
        while True:
            # However often an application asks for this while the database is down, what is pending stays bounded.
            pipeline.collect(everything=pipeline.accounts.pending_bytes <= self._options.pending_bytes)
            pipeline.retry_at = 0.0
            if not pipeline.deliver():
                return False
            if not self.intake.waiting and not pipeline.accounts.buffered:
                break
            if time.monotonic() > until:
                return False
        try:
            pipeline.write_ledger()
        except UnavailableError:
            return False
        return True

    def _end(self, patience_until: float) -> bool:
        pipeline = self._pipeline
        if pipeline.store.may_hang:
            self._end_without_database()
            return False
        stored = self._settled(patience_until)
        pipeline.spool_all()
        try:
            pipeline.write_ledger()
            if stored and not pipeline.accounts.files:
                pipeline.end_ledger()
        except UnavailableError:
            pipeline.save_ledger(always=True)
        pipeline.store.close()
        pipeline.spool.close(keep=not stored or bool(pipeline.accounts.files))
        return stored and not pipeline.accounts.files

    def _end_without_database(self) -> None:
        self._pipeline.spool_all()
        self._pipeline.save_ledger(always=True)
        self._pipeline.spool.close(keep=True)

    def _settled(self, until: float) -> bool:
        """Store all; wait a moment for threads that are just appending to the intake."""
        while True:
            if not self._store_all(self._deadline):
                return False
            figures = self.stats()
            accounted = figures["stored"] + figures["spooled"] + sum(figures["dropped"].values())
            if figures["produced"] == accounted or time.monotonic() > until:
                return True
            time.sleep(0.001)
