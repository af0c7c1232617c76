"""The writer thread: started by the first event, ended by close, replaced after a fork or whatever else ended it."""

import math
import os
import socket
import threading
import time
from collections.abc import Callable

from platform_sdk.delivery import tally, uwsgi
from platform_sdk.delivery.intake import URGENT_BATCH, HookedIntake, Intake, silent, value_of
from platform_sdk.delivery.pipeline import Pipeline
from platform_sdk.delivery.stats import Stats
from platform_sdk.diagnostics import note
from platform_sdk.errors import UnavailableError
from platform_sdk.options import Options

PATIENCE = 3
"""How often a round may fail by an error of ours before the events that it fails with are dropped."""

REST_SECONDS = 0.2
"""How long the writer rests between two rounds, however many errors and finished jobs come."""

LATE = 3
"""How many more timeouts an end waits for the writer thread, which is to let go within the first: on a busy machine it
may not have run yet, or still be importing psycopg. What it holds would be lost."""

ASKING_SECONDS = 0.3
"""How long an end for which the database took the time asks `before_send` about what it spools."""

IDLE_SECONDS = 60.0
_START_AGAIN_SECONDS = 1.0

_inherited: list[object] = []
"""Connections of a parent process, kept so that they are never closed: closing would end the parent's session."""


class Writer:
    """The intake and the thread that empties it.

    `flush` and `close` do a round in the thread that calls them, so that they work when no thread can be started, as
    at exit. Who holds the lock `_working` works.

    `announce` is called with the writer that takes over in a child process, maybe more than once.
    """

    def __init__(self, options: Options, announce: "Callable[[Writer], None]" = lambda _: None) -> None:
        self.process = f"{socket.gethostname()}/{os.getpid()}/{time.time():.6f}"
        kind = Intake if options.before_send is None else HookedIntake
        self.intake = kind(options, self._start, lambda: self.of_this_process().intake)
        self._options = options
        self._announce = announce
        self._heirs: dict[str, Writer] = {}
        self._move = uwsgi.Move()
        self._tally: tally.Tally | None = None
        self._pipeline = Pipeline(
            options, self.intake, self.process, lambda: self._deadline, lambda: self._asking_until
        )
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._start_after = 0.0
        self._deadline = self._asking_until = math.inf
        self._stopping = False
        self._failures = 0
        self._used_at = 0.0

    def flush(self, timeout_seconds: float, *, spool: bool = False) -> bool:
        """Store everything taken in so far; what cannot be stored in time is spooled if `spool`."""
        if silent.get():  # the application's `before_send`, which the writer waits for, called this
            return False
        end = self._asking_until = time.monotonic() + timeout_seconds
        # If the writer is waiting for the server, it must give up while there is time left to spool.
        self._deadline = end - (0.3 * timeout_seconds if spool else 0.0)
        try:
            return self._flushed(end, timeout_seconds, spool=spool)
        finally:
            self._deadline = self._asking_until = math.inf

    def _flushed(self, end: float, timeout_seconds: float, *, spool: bool) -> bool:
        if not self._acquired(timeout_seconds, late=LATE if spool else 0):
            if spool and self._pipeline.looking_up:
                self._spool_all()
            return False
        try:
            while not (stored := self._store_all(end - 0.2 * timeout_seconds)) and time.monotonic() + 0.1 < end:
                time.sleep(0.05)
            if spool and not stored:
                self._pipeline.spool_down_to(0)
            return stored and not self._pipeline.accounts.spooled
        finally:
            self._working.release()

    def close(self, timeout_seconds: float) -> bool:
        """Store or spool everything in time, count what is left as dropped, and close connection and spool."""
        self._stopping = True
        if self._move.done and uwsgi.loading():
            return True
        if silent.get():  # as above
            timeout_seconds = min(timeout_seconds, self._options.exit_timeout_seconds)
        now = time.monotonic()
        self._asking_until, self._deadline = now + 0.5 * timeout_seconds, now + 0.7 * timeout_seconds
        if self.intake.running:
            self.intake.rouse()
        if not self._acquired(timeout_seconds, late=LATE):
            if self._pipeline.looking_up:
                self._end_without_database()
            return False
        try:
            return self._end(time.monotonic() + 0.1 * timeout_seconds)
        finally:
            self._working.release()

    def _acquired(self, timeout_seconds: float, *, late: int) -> bool:
        """Wait for who works to let go, `late` more timeouts unless it is looking up a name; return whether it did."""
        wait = max(timeout_seconds, 0.0)
        end = time.monotonic() + (1 + late) * wait
        while not self._working.acquire(timeout=wait):
            if self._pipeline.looking_up or time.monotonic() >= end:
                return False
            wait = 0.05
        return True

    def of_this_process(self) -> "Writer":
        """Return this writer or, in a child process, a new one: the same to all threads that ask, without a lock.

        A lock may be held by a thread that is not there after a fork; `setdefault` is one step of the interpreter's.
        """
        if self.intake.foreign and self._move.mine:
            self.intake.move_here()
            self._move.finish()
        if not self.intake.foreign:  # or moved by another thread just now
            return self
        heir = self._heirs.setdefault("heir", Writer(self._options, self._announce))
        self._abandon()
        self._announce(heir)
        return heir.of_this_process()

    def _abandon(self) -> None:
        """Forget, in a forked child, what belongs to the parent."""
        if self._pipeline.store not in _inherited:
            _inherited.extend((self._pipeline.store, *(other.store for other in self._pipeline.other_stores)))
        self._stopping = True
        if self._tally is not None:
            self._tally.leave()
            self._tally = None
        for lane in (self.intake.plain, self.intake.other, self.intake.urgent):
            lane.events.clear()
        self.intake.jobs.clear()

    def stats(self) -> Stats:
        """Return the ledger."""
        accounts = self._pipeline.accounts
        return Stats(
            self.process, value_of(self.intake.produced), accounts.stored, accounts.spooled,
            self.intake.waiting + accounts.buffered, self._pipeline.dropped(), accounts.adopted,
        )  # fmt: skip

    def _start(self) -> None:
        """Start the thread, unless another thread is doing that. Called by application threads."""
        late = time.monotonic() >= self._start_after
        if self._stopping or uwsgi.loading() or not late or not self._starting.acquire(blocking=False):
            return
        if uwsgi.lacks_threads():
            note("uwsgi", "events are stored late, or when the process ends: set enable-threads")
        try:
            if not self.intake.running:
                self._start_after = time.monotonic() + _START_AGAIN_SECONDS
                self.intake.running = True
                self._begin_tally()
                self._renew_locks()
                threading.Thread(target=self._run, name="platform-sdk-writer", daemon=True).start()
        except RuntimeError as error:  # no thread can be started now: flush and close work without
            self.intake.running = False
            note("thread", error)
        finally:
            self._starting.release()

    def _begin_tally(self) -> None:
        """Let the count of what is produced outlive a kill."""
        if self._tally is None:
            pipeline = self._pipeline
            self._tally = tally.begin(self._options, pipeline.spool.name, self.process, pipeline.started_at)
            if self._tally is not None:
                self.intake.count_in(self._tally.counts)

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
                self._wait()
                with self._working:
                    if not self._stopping:
                        self._round()
        finally:
            self.intake.running = False

    def _round(self) -> None:
        try:
            accounts = self._pipeline.accounts
            if self._tally is not None:  # of threads that counted elsewhere, as it was begun just then
                self._tally.counts[tally.BY_WRITER] = value_of(self.intake.produced)
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
            if accounts.hand or accounts.unasked:
                self._pipeline.accounts = accounts.hand_lost("internal")
            elif accounts.pending:
                batch = accounts.pending[0]
                self._pipeline.accounts = accounts.settled(batch, internal=batch.events)

    def _wait(self) -> None:
        """Wait for a batch or the end of the interval; after a rest also for the first error or finished job.

        These are stored at once: what waits here is lost if the process is killed.
        """
        intake, pause = self.intake, self._pause()
        rest = min(pause, REST_SECONDS)
        if intake.wake.acquire(timeout=rest):
            return
        down = self._pipeline.retry_at > time.monotonic()
        intake.urgent.wake_at = URGENT_BATCH if down else 0
        if down or not intake.urgent.events:
            intake.wake.acquire(timeout=pause - rest)
        intake.urgent.wake_at = URGENT_BATCH

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
            if pipeline.accounts.unasked or time.monotonic() > until:
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
        self._spool_all()
        known = True
        try:
            pipeline.write_ledger()
            if stored and not pipeline.accounts.files:
                pipeline.end_ledger()
        except UnavailableError:
            known = pipeline.save_ledger(always=True)
        self._end_tally(known=known)
        for store in (pipeline.store, *(other.store for other in pipeline.other_stores)):
            store.close()
        pipeline.end_asking()
        pipeline.spool.close(keep=not stored or bool(pipeline.accounts.files))
        return stored and not pipeline.accounts.files

    def _spool_all(self) -> None:
        if not self._pipeline.accounts.unasked:  # else the application's `before_send` has had its time
            self._asking_until = time.monotonic() + ASKING_SECONDS
        self._pipeline.spool_all()

    def _end_without_database(self) -> None:
        self._spool_all()
        self._end_tally(known=self._pipeline.save_ledger(always=True))
        self._pipeline.spool.close(keep=True)

    def _end_tally(self, *, known: bool) -> None:
        """Remove the count unless the ledger is not `known` to anybody: it is all that there is then."""
        if self._tally is not None:
            self.intake.count_in(memoryview(bytearray(8)).cast("Q"))
            if known:
                self._tally.remove()

    def _settled(self, until: float) -> bool:
        """Store all; wait a moment for threads that are just appending to the intake."""
        while True:
            if not self._store_all(self._deadline):
                return False
            figures = self.stats()
            accounted = figures.stored + figures.spooled + figures.lost
            if figures.produced == accounted or time.monotonic() > until:
                return True
            time.sleep(0.001)
