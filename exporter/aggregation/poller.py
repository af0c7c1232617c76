"""The thread that polls one source again and again, and publishes what it counted."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg

from exporter.aggregation import ledger, poll, read_only, retention
from exporter.aggregation.claims import StoreClaims
from exporter.aggregation.gauges import StateReader
from exporter.aggregation.replica import Reader
from exporter.aggregation.series import SourceView, Total, read_ledger, read_totals
from exporter.aggregation.shown import ShownSources, with_falls
from exporter.aggregation.snapshot import StoreState, age_seconds, store_state
from exporter.config.settings import Database, Limits, Retention
from exporter.database import expiry, schema
from exporter.database.connection import backoff_seconds, cancel, connect, problem_of
from exporter.errors import DoubledStoreError, PlatformError
from exporter.sources import explain
from exporter.sources.mapping import Relation, SourcePlan, Stream

logger = logging.getLogger(__name__)


class Worker:
    """The daemon thread that polls one source.

    `view` may be read from any thread. A failed stream does not stop the others; a lost server is tried again with
    backoff, while the last counts stay visible and their lag grows.
    """

    def __init__(
        self,
        plan: SourcePlan,
        settings: Database,
        limits: Limits,
        retention: Retention,
        published: Callable[[], None] = lambda: None,
        shown: ShownSources | None = None,
        tables: Database | None = None,
        claims: StoreClaims | None = None,
    ) -> None:
        """Build the worker; `published` is called in its thread after each new view, and must return at once.

        `settings` is the database of cursors and counters; `tables` that of the tables, where these may only be read.
        `claims` are those of all workers of the process.
        """
        self.plan = plan
        self._tables = tables or settings
        self._reader = Reader(self._tables, plan.name) if plan.read_only else None
        self._shown = (shown or ShownSources(None, 0.0)).of(plan.name)
        self._claims = claims or StoreClaims()
        self._published = published
        self._settings = settings
        self._limits = limits
        self._retention = retention
        self._states = StateReader(plan)
        self._connection: psycopg.Connection | None = None
        self._maintained_at: float | None = None
        self._maintenance: Iterator[None] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source-{plan.name}", daemon=True)
        self.view = SourceView(plan.name, self._shown.totals, approximate=plan.read_only, known=self._shown.known)

    @property
    def interval_seconds(self) -> float:
        return self._tables.poll_interval_seconds

    def same_as(self, other: "Worker") -> bool:
        """Return whether another worker would do exactly the same, so that a reload can keep this one."""
        mine = (self.plan, self._settings, self._tables, self._limits, self._retention)
        return mine == (other.plan, other._settings, other._tables, other._limits, other._retention)

    def counts_as(self, other: "Worker") -> bool:
        """Return whether another worker would count the same tables of the same database, however often."""
        mine, theirs = (
            [(each.dsn, each.password) for each in (worker._settings, worker._tables)] for worker in (self, other)
        )
        return mine == theirs and self.plan == other.plan

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the thread after its current statement; a cancelled poll is rolled back and counted next time."""
        self._stopping.set()
        if self._reader:
            self._reader.cancel()
        cancel(self._connection)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.poll()
                failures = 0
                wait = max(0.0, self.interval_seconds - (time.monotonic() - began))
            except Exception as error:  # noqa: BLE001 - the thread must outlive anything; it is logged, shown and counted
                if self._stopping.is_set():  # `stop` cancelled it
                    break
                failures += 1
                self._claims.tried(self.plan.name)
                self._fail(error)
                wait = backoff_seconds(failures, self.interval_seconds)
            self._pause(wait)
        self._disconnect()

    def _pause(self, seconds: float) -> None:
        """Wait; show new series meanwhile, as soon as they may be."""
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0 and not self._stopping.is_set():
            waits = self._shown.wait_seconds()
            self._stopping.wait(left if waits is None else min(left, waits))
            if not self._stopping.is_set() and self._shown.release():
                self._publish(replace(self.view, totals=self._shown.totals))

    def poll(self) -> None:
        """Poll every stream once and publish the result. Raises the error that made the whole poll fail."""
        began = time.monotonic()
        connection = self._connected()
        self._shown.begin(connection, self._read)
        problems = [problem for stream in self.plan.streams if (problem := self._advance(connection, stream))]
        totals = self._shown.hold(connection, self._read)
        advanced_age = age_seconds(connection, self.plan)
        tables = self._reader.connected() if self._reader else None
        readings, unread = self._states.read(connection, tables)
        problems = list(dict.fromkeys([*problems, *unread, *self._shown.problems]))
        now = time.monotonic()
        if self.view.problems != tuple(problems):
            level = logging.ERROR if problems else logging.INFO
            logger.log(level, "source %s: %s", self.plan.name, "; ".join(problems) or "counting")
        view = SourceView(
            source=self.plan.name,
            totals=totals,
            readings=readings,
            polled_at=now,
            advanced_at=None if advanced_age is None else now - advanced_age,
            poll_duration_seconds=now - began,
            clock_ahead_seconds=expiry.clock_ahead_seconds(connection),
            problems=tuple(problems),
            approximate=self.plan.read_only,
            known=True,
        )
        self._publish(view)
        self._maintain(connection)

    def _publish(self, view: SourceView) -> None:
        self.view = view
        self._shown.published()
        self._published()

    def _read(self, connection: psycopg.Connection) -> tuple[list[Total], StoreState]:
        names = [stream.name for stream in self.plan.streams]
        state = store_state(connection, self.plan.name, names)
        totals = [*read_totals(connection, self.plan), *read_ledger(connection, self.plan)]
        state = replace(state, streams=(*state.streams, ledger.STREAM))
        return with_falls(totals, self.plan.name, names[0] if names else ""), state

    def _advance(self, connection: psycopg.Connection, stream: Stream) -> str | None:
        """Count one stream; return its problem, None without one."""
        try:
            if self._reader:
                counted = read_only.count(connection, self._reader, stream, self._limits)
            else:
                counted = poll.poll(connection, stream, self._limits)
        except (PlatformError, psycopg.Error) as error:
            # A missing lock or a full disk is an OperationalError too, but concerns one stream; a lost server, all.
            if connection.closed or self._stopping.is_set():
                raise
            return problem_of(error)
        if counted.rejected or counted.folded:
            logger.info("source %s, %s: %d rows rejected, %d label sets folded", self.plan.name, stream.name,
                        counted.rejected, counted.folded)  # fmt: skip
        return counted.problem

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = connect(self._settings, f"source {self.plan.name}", native=self.plan.native)
            self._connection = connection
            schema.check_server(connection)
            if self._reader:
                read_only.require_store(connection, self.plan.name)
            else:
                schema.check_version(connection, "store" if self.plan.native else "counting")
            if self.plan.native:
                self._claims.take(connection, self.plan.name, self._stopping)
                self._claims.tried(self.plan.name)
            poll.register(connection, self.plan.name)
        if self._reader:
            self._reader.connected()
        return self._connection

    def _maintain(self, connection: psycopg.Connection) -> None:
        """Begin maintenance where it is due, or go on with it: one step after each poll."""
        if self._maintenance is None:
            now = time.monotonic()
            if self._maintained_at is not None and now - self._maintained_at < retention.INTERVAL_SECONDS:
                return
            self._maintained_at = now
            self._maintenance = retention.maintain(connection, self.plan, self._retention, self._limits)
        steps, self._maintenance = self._maintenance, None
        try:
            next(steps)
        except StopIteration:
            return
        except psycopg.errors.InsufficientPrivilege as error:
            logger.error(
                "maintenance: %s",
                explain.missing_right(error, connection, Relation.of("monitoring", "ensure_partition")),
            )
        else:
            self._maintenance = steps

    def _fail(self, error: Exception) -> None:
        expected = isinstance(error, (PlatformError, psycopg.Error))
        problem = problem_of(error) or type(error).__name__
        if self.view.problems != (problem,):
            logger.error("source %s: %s", self.plan.name, problem, exc_info=None if expected else error)
        if isinstance(error, DoubledStoreError):
            self._shown.forget()  # an earlier version counted it, too
            self._publish(SourceView(self.plan.name, problems=(problem,), known=True, doubled=True))
        else:
            self.view = replace(self.view, problems=(problem,))
        self._disconnect()  # the next poll checks the schema again, before it reads anything

    def _disconnect(self) -> None:
        connection, self._connection, self._maintenance = self._connection, None, None
        if connection is not None:
            connection.close()
        if self._reader:
            self._reader.close()
