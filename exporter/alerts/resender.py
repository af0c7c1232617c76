"""Tell every Alertmanager again and again of the alerts made by hand, until they are resolved.

An Alertmanager forgets its alerts when it restarts, and ends what nobody repeats. Any number of exporters may do this:
the same labels are the same alert. Resolved ones are repeated, too, for as long as an Alertmanager that did not hear of
it may hold them.

Two threads: one reads the event store, the other posts, so that an event store that hangs stops no alert. Posted is
what was read just before, or, while the event store is away, what was read last.
"""

import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime

import psycopg

from exporter.alerts import manual
from exporter.alerts.alertmanager import Alertmanagers
from exporter.alerts.manual import ManualAlert
from exporter.config.settings import Database
from exporter.database.connection import connect
from exporter.errors import PlatformError

logger = logging.getLogger(__name__)

READ_SECONDS = 2.0
"""How long a post waits for the event store: a resolution read too late would be overtaken by an old firing."""


class Resender:
    """Post unsettled alerts every `resend_seconds`."""

    def __init__(self, settings: Database, alertmanagers: Alertmanagers, resend_seconds: float) -> None:
        self._settings = settings
        self._alertmanagers = alertmanagers
        self._resend_seconds = resend_seconds
        self._alerts: list[ManualAlert] = []
        self._connection: psycopg.Connection | None = None
        self._stopping = threading.Event()
        self._wanted, self._read = threading.Event(), threading.Event()
        self._problems: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._keep_reading, name="manual-alerts-reader", daemon=True),
            threading.Thread(target=self._keep_posting, name="manual-alerts-sender", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End both threads after what they are at, or leave them to the end of the process."""
        self._stopping.set()
        self._wanted.set()
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1.0)
        for thread in self._threads:
            thread.join(timeout_seconds)

    def follow(self, other: "Resender") -> None:
        """Begin with what another one knows, so that a reload while the event store is away forgets nothing."""
        self._alerts = other._alerts

    def _keep_reading(self) -> None:
        while not self._stopping.is_set():
            self._wanted.wait()
            self._wanted.clear()
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = connect(self._settings, "manual alerts")
                self._alerts = manual.unsettled(self._connection)
                self._say("event store", "")
                self._read.set()
            except Exception as error:  # noqa: BLE001 - the thread must outlive anything; it is logged
                self._say("event store", f"alerts made by hand cannot be read, the last ones known stay: {error}")
                self._disconnect()
        self._disconnect()

    def _keep_posting(self) -> None:
        while not self._stopping.is_set():
            self._read.clear()
            self._wanted.set()
            self._read.wait(min(READ_SECONDS, self._resend_seconds))
            try:
                self._post()
            except Exception:
                logger.exception("alerts made by hand could not be sent")
            self._stopping.wait(self._resend_seconds)

    def _post(self) -> None:
        now = datetime.now(UTC)
        alerts = [
            manual.posted(alert, now)
            for alert in self._alerts
            if alert.resolved_at is None or now - alert.resolved_at < manual.HELD
        ]
        problems = self._alertmanagers.post(alerts) if alerts else {}
        for url in self._alertmanagers.urls:
            self._say(url, problems.get(url, ""))

    def _say(self, what: str, problem: str) -> None:
        """Log a problem when it comes and when it goes."""
        if self._problems.get(what, "") != problem and not self._stopping.is_set():
            if problem:
                logger.error("%s", problem)
            else:
                logger.info("alerts made by hand: %s is well again", what)
        self._problems[what] = problem

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(PlatformError, psycopg.Error):
                connection.close()
