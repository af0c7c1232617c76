"""Send manual alerts to every Alertmanager again and again, until they are resolved.

An Alertmanager forgets its alerts when it restarts, and ends those that are not repeated. Several exporters may do
this: the same labels are the same alert. Resolved alerts are repeated too, for as long as an Alertmanager that missed
the resolution may hold them.

Two threads: one reads the event store, the other posts, so that an event store that hangs stops no alert. While the
event store is unreachable, the alerts that were read last are posted.
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
from exporter.database.connection import cancel, connect
from exporter.errors import PlatformError
from exporter.redaction import hide_addresses

logger = logging.getLogger(__name__)

READ_SECONDS = 2.0
"""How long a post waits for the event store: a resolution that is read too late would be overtaken by an old alert."""


class Resender:
    """The worker that posts unsettled alerts every `resend_seconds`."""

    def __init__(self, settings: Database, alertmanagers: Alertmanagers, resend_seconds: float) -> None:
        self._settings = settings
        self._alertmanagers = alertmanagers
        self._resend_seconds = resend_seconds
        self._alerts: list[ManualAlert] = []
        self._connection: psycopg.Connection | None = None
        self._stopping = threading.Event()
        self._read_now, self._read = threading.Event(), threading.Event()
        self._problems: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._keep_reading, name="manual-alerts-reader", daemon=True),
            threading.Thread(target=self._keep_posting, name="manual-alerts-sender", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End both threads after their current step, or leave them to the end of the process."""
        self._stopping.set()
        self._read_now.set()
        cancel(self._connection)
        for thread in self._threads:
            thread.join(timeout_seconds)

    def follow(self, other: "Resender") -> None:
        """Begin with the alerts of another one: a reload forgets nothing while the event store is unreachable."""
        self._alerts = other._alerts

    def _keep_reading(self) -> None:
        while not self._stopping.is_set():
            self._read_now.wait()
            self._read_now.clear()
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = connect(self._settings, "manual alerts")
                self._alerts = manual.unsettled(self._connection)
                self._log("event store", "")
                self._read.set()
            except Exception as error:  # noqa: BLE001 - the thread must outlive anything; it is logged
                self._log("event store", f"manual alerts cannot be read, the last known ones are repeated: {error}")
                self._disconnect()
        self._disconnect()

    def _keep_posting(self) -> None:
        while not self._stopping.is_set():
            self._read.clear()
            self._read_now.set()
            self._read.wait(min(READ_SECONDS, self._resend_seconds))
            try:
                self._post()
            except Exception:
                logger.exception("manual alerts could not be sent")
            self._stopping.wait(self._resend_seconds)

    def _post(self) -> None:
        now = datetime.now(UTC)
        alerts = [
            manual.to_api(alert, now)
            for alert in self._alerts
            if alert.resolved_at is None or now - alert.resolved_at < manual.HELD
        ]
        problems = self._alertmanagers.post(alerts) if alerts else {}
        for url in self._alertmanagers.urls:
            self._log(url, problems.get(url, ""))

    def _log(self, what: str, problem: str) -> None:
        """Log a problem when it begins and when it ends."""
        if self._problems.get(what, "") != problem and not self._stopping.is_set():
            if problem:
                logger.error("%s", problem)
            else:
                logger.info("manual alerts: %s works again", hide_addresses(what))
        self._problems[what] = problem

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(PlatformError, psycopg.Error):
                connection.close()
