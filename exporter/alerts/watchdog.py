"""The dead man's switch: the exporter expects PlatformWatchdog, and notifies people itself when it stays away.

Alertmanager posts the alert every minute. If it stops, no alert reaches anybody: then mail and webhook of `watchdog`
are used, without Alertmanager. The same holds where Prometheus no longer scrapes this exporter: another Prometheus may
keep the watchdog alive.
"""

import logging
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg

from exporter import files
from exporter.alerts import sending
from exporter.alerts.notification import DisplayedAlert, Notification
from exporter.alerts.sending import Channel, Message
from exporter.config.settings import Database, Watchdog
from exporter.database.connection import AdvisoryLock, backoff_seconds, connect
from exporter.errors import SendError, UnreachableError

logger = logging.getLogger(__name__)

NAME = "watchdog.json"
ALERTNAME = "Watchdog"
"""How the name of the alert ends; other rules than ours call theirs so too."""

FIRST_CHECKS = (
    "First checks: `curl -si $PROM/-/ready`, `curl -s $PROM/api/v1/rules`, `curl -si $AM/-/healthy`; the runbook's "
    "entry PlatformWatchdog has the rest."
)


class _State(msgspec.Struct):
    """What outlives a restart, in Unix seconds: the last watchdog, and who was notified when that it is missing."""

    seen_at: float | None = None
    missing_since: float | None = None
    notified_at: dict[str, float] = {}


@dataclass
class _Attempts:
    """The attempts of one channel to send what is due."""

    failures: int = 0
    again_at: float = 0.0
    successful: bool | None = None


class WatchdogView(NamedTuple):
    """What `/metrics` shows: the last watchdog in Unix seconds, whether it is missing, each channel's last attempt."""

    seen_at: float | None
    missing: bool
    successful: dict[str, bool]


class WatchdogSwitch:
    """The worker that notifies. `seen`, `scraped` and `view` may be called from any thread."""

    def __init__(self, settings: Watchdog, database: Database, folder: Path | None, place: str) -> None:
        """Nothing connects before `start`. `folder` holds the state; `place` names this exporter in messages."""
        self._settings = settings
        self._database = database
        self._file = folder / NAME if folder else None
        self._place = place
        self._channels: tuple[Channel, ...] = sending.channels(settings)
        self._attempts = {channel.name: _Attempts() for channel in self._channels}
        self._state = self._load()
        self._forget_other_channels()
        self._seen = self._scraped = time.monotonic()
        self._posted = False
        self._scraped_at: float | None = None
        self._claim: psycopg.Connection | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    @property
    def view(self) -> WatchdogView:
        """Return what is known now."""
        attempts = {name: one.successful for name, one in self._attempts.items() if one.successful is not None}
        return WatchdogView(self._state.seen_at, bool(self._missing()), attempts)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End the thread; a message that is being sent is left to the end of the process."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def follow(self, other: "WatchdogSwitch") -> None:
        """Go on from another one: a reload neither forgets what was seen nor who was notified."""
        self._seen, self._scraped = other._seen, other._scraped
        self._posted, self._scraped_at = other._posted, other._scraped_at
        self._state = other._state
        self._forget_other_channels()

    def receive(self, notification: Notification[DisplayedAlert]) -> bool:
        """Note the watchdog if a notification holds it; return whether it does. Its end is not a sign of life."""
        names = [alert.labels.get("alertname", "") for alert in notification.alerts if alert.status == "firing"]
        found = any(name.endswith(ALERTNAME) for name in names)
        if found:
            self._seen, self._posted, self._state.seen_at = time.monotonic(), True, time.time()
            self._save()
        return found

    def scraped(self) -> None:
        """Note that Prometheus scrapes this exporter."""
        self._scraped, self._scraped_at = time.monotonic(), time.time()

    def _run(self) -> None:
        while not self._stopping.wait(min(1.0, self._settings.missing_after_seconds / 10)):
            try:
                self._check()
            except Exception:
                logger.exception("watchdog: unforeseen")
        self._release()

    def _check(self) -> None:
        now = time.time()
        missing = self._missing()
        if missing and self._state.missing_since is None:
            self._state.missing_since = now
            logger.error("watchdog: %s", "; ".join(missing))
        for channel in self._channels:
            notified = self._state.notified_at.get(channel.name)
            again = notified is not None and now - notified >= self._settings.repeat_seconds
            if missing and (notified is None or again):
                self._send(channel, self._alarm(missing, now))
            elif self._is_back() and notified is not None:
                self._send(channel, self._all_clear(now))
        if not missing and self._state.missing_since is not None and not self._state.notified_at:
            self._state.missing_since = None
            logger.info("watchdog: it is back")
            self._release()
            self._save()

    def _missing(self) -> list[str]:
        """Return what has stayed away for too long, in words."""
        now, longest = time.monotonic(), self._settings.missing_after_seconds
        found = []
        if now - self._seen > longest:
            found.append(f"the watchdog has not come for {_duration(longest)}")
        if self._settings.expect_scrapes and now - self._scraped > longest:
            found.append(f"Prometheus has not scraped this exporter for {_duration(longest)}")
        return found

    def _is_back(self) -> bool:
        """Return whether all that is expected came since the start, and recently: a start alone ends nothing."""
        scraped = self._scraped_at is not None or not self._settings.expect_scrapes
        return self._posted and scraped and not self._missing()

    def _send(self, channel: Channel, message: Message) -> None:
        """Send a message, unless its time has not come yet or another replica sends it; note the outcome."""
        attempts = self._attempts[channel.name]
        if time.monotonic() < attempts.again_at or not self._may_send():
            return
        try:
            channel.send(message)
        except SendError as error:
            logger.error("watchdog: no message by %s: %s", channel.name, error)
            attempts.failures, attempts.successful = attempts.failures + 1, False
            attempts.again_at = time.monotonic() + backoff_seconds(attempts.failures, 1.0)
            return
        logger.warning("watchdog: notified by %s: %s", channel.name, message.subject)
        self._attempts[channel.name] = _Attempts(successful=True)
        if message.firing:
            self._state.notified_at[channel.name] = time.time()
        else:
            del self._state.notified_at[channel.name]
        self._save()

    def _may_send(self) -> bool:
        """Return whether this replica is the one to send: it holds a lock in the event store, or there is no store."""
        if self._claim is None or self._claim.closed:
            try:
                connection = connect(self._database, "watchdog")
            except UnreachableError:
                return True  # better twice than never
            try:
                held = AdvisoryLock.WATCHDOG.try_hold(connection)
            except psycopg.Error:
                held = True
            if not held:
                connection.close()
                for attempts in self._attempts.values():
                    attempts.again_at = time.monotonic() + 10.0
                return False
            self._claim = connection
        return True

    def _release(self) -> None:
        claim, self._claim = self._claim, None
        if claim is not None:
            with suppress(psycopg.Error), closing(claim):
                pass

    def _alarm(self, missing: list[str], now: float) -> Message:
        scraped = self._scraped_at is not None and now - self._scraped_at < self._settings.missing_after_seconds
        cause = (
            "Prometheus still scrapes this exporter, so it runs. Likely: its disk is full, its rules do not load, or "
            "Alertmanager is down or cannot post to this exporter."
            if scraped
            else "Prometheus does not scrape this exporter either. Likely: its process or its machine is down, or the "
            "network between them."
        )
        lines = [
            f"No alert may reach you: {', and '.join(missing)}.",
            f"Last watchdog: {_at(self._state.seen_at, now)}. Last scrape: {_at(self._scraped_at, now)}.",
            cause,
            FIRST_CHECKS,
            f"This is repeated every {_duration(self._settings.repeat_seconds)} until the watchdog is back.",
        ]
        subject = f"[CRITICAL] Alerting does not work: {missing[0]}"
        since = self._state.missing_since or now
        return Message(True, subject, "\n\n".join(lines), since, self._place)

    def _all_clear(self, now: float) -> Message:
        since = self._state.missing_since or now
        lines = [
            f"The watchdog is back: alerts reach you again. It was missing for {_duration(now - since)}.",
            "What began and ended meanwhile was not notified; dashboards may have a gap.",
        ]
        return Message(False, "[RESOLVED] Alerting works again", "\n\n".join(lines), since, self._place)

    def _load(self) -> _State:
        if self._file is None:
            return _State()
        try:
            self._file.with_name(f"{NAME}.new").unlink(missing_ok=True)
            return msgspec.json.decode(self._file.read_bytes(), type=_State)
        except FileNotFoundError:
            return _State()
        except (OSError, msgspec.MsgspecError) as error:
            logger.error("watchdog: %s cannot be read (%s); it begins again", self._file, error)
            return _State()

    def _forget_other_channels(self) -> None:
        """Drop those that the configuration no longer has: they are never told that it is over."""
        kept = {name: at for name, at in self._state.notified_at.items() if name in self._attempts}
        self._state.notified_at = kept

    def _save(self) -> None:
        if self._file is None:
            return
        try:
            with self._lock:
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                files.write(self._file, msgspec.json.encode(self._state))
        except OSError as error:
            logger.error("watchdog: %s cannot be written (%s)", self._file, error.strerror or error)


def trial(settings: Watchdog, place: str) -> dict[str, str]:
    """Send a trial message by every channel; return the problems, empty where there is none, by channel."""
    text = "This is a trial. When the watchdog stays away, a message like this one says so."
    message = Message(True, "[TRIAL] The watchdog's way to you works", text, time.time(), place)
    outcome = {}
    for channel in sending.channels(settings):
        try:
            channel.send(message)
            outcome[channel.name] = ""
        except SendError as error:
            outcome[channel.name] = str(error)
    return outcome


def _at(when: float | None, now: float) -> str:
    if when is None:
        return "none since the start"
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S} UTC, {_duration(now - when)} ago"


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
