"""The worker that stores notifications and publishes the history's counters."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from exporter.aggregation import poll
from exporter.aggregation.series import Reading, SourceView
from exporter.aggregation.shown import ShownSources
from exporter.alerts import history
from exporter.alerts.notification import Delivery, HistoryAlert, Notification
from exporter.alerts.spool import NotificationSpool
from exporter.config.settings import Alerts, Database
from exporter.database import schema
from exporter.database.connection import backoff_seconds, cancel, connect, reason_of
from exporter.errors import PlatformError, SpoolError, UnreachableError

logger = logging.getLogger(__name__)

PRUNE_EVERY_SECONDS = 3600.0


class HistoryWorker:
    """The worker of the alert history.

    With a spool a notification is on the disk when `receive` returns, and in the event store within a poll interval
    of its being reachable. Without one `receive` stores it itself. `view` may be read from any thread.
    """

    def __init__(
        self, settings: Database, alerts: Alerts, shown: ShownSources, published: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing connects before `start`. Raises SpoolError."""
        self._shown = shown.of(history.SOURCE)
        self._settings = settings
        self._alerts = alerts
        self._published = published
        folder = alerts.spool_folder
        self._spool = NotificationSpool(Path(folder), alerts.spool_limit_bytes) if folder else None
        self._connection: psycopg.Connection | None = None
        self._storing = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._problem = ""
        self._pruned_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="alert-history", daemon=True)
        self.view = SourceView(history.SOURCE, self._shown.totals)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End the thread after its current statement; what is not stored stays in the spool."""
        self._stopping.set()
        self._wake.set()
        cancel(self._connection)
        self._thread.join(timeout_seconds)

    def receive(self, notification: Notification[HistoryAlert]) -> None:
        """Store a notification durably. Blocks. Raises SpoolError, or what the event store raises."""
        delivery = Delivery(id=uuid.uuid4(), received_at=datetime.now(UTC), notification=notification)
        if left_out := notification.truncatedAlerts:
            logger.warning("Alertmanager left %d alerts out of a notification; unset max_alerts", left_out)
        if self._spool:
            self._spool.add(delivery)
        else:
            with self._storing:
                self._store(delivery)
        self._wake.set()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                with self._storing:
                    self._poll()
                failures, wait = 0, self._settings.poll_interval_seconds
                self._log("")
            except Exception as error:  # noqa: BLE001 - the thread must outlive anything; it is logged and shown
                failures += 1
                wait = backoff_seconds(failures, self._settings.poll_interval_seconds)
                self._log(str(error).strip() or type(error).__name__, error)
                self._disconnect()
            self._publish()
            self._pause(wait, failures)
        self._disconnect()

    def _pause(self, seconds: float, failures: int) -> None:
        """Wait; a notification ends the wait, unless the event store is unreachable; a series at 0 shortens it."""
        waits = self._shown.wait_seconds()
        seconds = seconds if waits is None else min(seconds, waits)
        if failures:
            self._stopping.wait(seconds)
        else:
            self._wake.wait(seconds)

    def _poll(self) -> None:
        connection = self._connected()
        for file, delivery in self._spool.deliveries() if self._spool else ():
            assert self._spool is not None  # noqa: S101 - it gave the file
            try:
                self._store(delivery)
            except (psycopg.DataError, psycopg.IntegrityError):
                logger.exception("a notification can never be stored; it is kept as %s.refused", file.with_suffix(""))
                self._spool.refuse(file)
            else:
                self._spool.remove(file)
        self._prune(connection)
        self._shown.begin(connection, history.read)
        totals = self._shown.hold(connection, history.read)
        self.view = replace(self.view, totals=totals, problems=self._shown.problems)

    def _publish(self) -> None:
        try:
            waiting = len(self._spool.waiting()) if self._spool else 0
        except OSError:
            return
        readings = (Reading("platform_alert_spooled_posts", (), float(waiting)),)
        self.view = SourceView(history.SOURCE, totals=self.view.totals, readings=readings, problems=self.view.problems)
        self._shown.published()
        self._published()

    def _store(self, delivery: Delivery) -> None:
        try:
            history.record(self._connected(), delivery, self._alerts)
        except psycopg.OperationalError as error:
            self._disconnect()
            raise UnreachableError(
                f"the event store, {self._settings.place}, did not take a notification: {reason_of(error)}"
            ) from error

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = connect(self._settings, "alert history")
            try:
                schema.check_version(connection, "store")
                poll.register(connection, history.SOURCE)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prune(self, connection: psycopg.Connection) -> None:
        now = time.monotonic()
        if self._pruned_at is None or now - self._pruned_at >= PRUNE_EVERY_SECONDS:
            history.prune(connection, self._alerts.retention_days)
            self._pruned_at = now

    def _log(self, problem: str, error: Exception | None = None) -> None:
        if problem != self._problem and not self._stopping.is_set():
            expected = isinstance(error, (PlatformError, psycopg.Error, SpoolError))
            if problem:
                logger.error("alert history: %s", problem, exc_info=None if expected else error)
            else:
                logger.info("alert history: storing again")
        self._problem = problem

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
