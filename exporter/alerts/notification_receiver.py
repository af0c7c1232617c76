"""The receiver behind `platform-exporter receive-notifications`, for first steps and drills.

POST on any path takes a notification: it becomes a JSON line in a file, and on standard output a line of each alert;
if there are several, their title comes first, as in mails and chats, and MOST_LISTED of them follow.
GET / shows the last ones as a table, GET /api/v1/notifications as JSON. What could not be stored is answered with 500,
and Alertmanager sends it again.
"""

import asyncio
import contextlib
import html
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TextIO

import click
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from exporter.alerts.notification import MOST_BODY_BYTES, DisplayedAlert, Notification, NotificationContent, parse
from exporter.errors import ConfigError, NotificationError
from exporter.printing import one_line
from exporter.web.responses import PAGE_HEADERS, in_thread, is_json, read_body, text
from exporter.web.server import serve

logger = logging.getLogger(__name__)

MOST_SHOWN = 50
MOST_LISTED = 10
"""Alerts of one notification; as in ../../alertmanager/templates."""


class ReceivedNotification(NotificationContent[DisplayedAlert], frozen=True, kw_only=True):
    """A line of the file: a notification and when it arrived."""

    received_at: datetime


def receive(host: str, port: int, file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. Blocks; needs the main thread.

    Without `file` nothing is stored. Raises ConfigError where it cannot be written, and PlatformError where the address
    cannot be used.
    """
    serve(build_receiver(file), host, port, None, lambda: None, setting="--listen")


def build_receiver(
    file: Path | None, out: TextIO = sys.stdout, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Starlette:
    """Return the application. Raises ConfigError where `file` cannot be read and written."""
    receiver = _Receiver(NotificationFile(file), out, now)
    app = Starlette(
        routes=[
            Route("/", receiver.table),
            Route("/api/v1/notifications", receiver.json),
            Route("/-/healthy", receiver.healthy),
            Route("/{path:path}", receiver.receive, methods=["POST"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


class NotificationFile:
    """The file that notifications are appended to, with the last ones in memory, also those of an earlier run."""

    def __init__(self, file: Path | None) -> None:
        """Raises ConfigError."""
        self._file = file
        self.last: deque[ReceivedNotification] = deque(maxlen=MOST_SHOWN)
        if file is None:
            return
        try:
            with file.open("a+b") as lines:
                lines.seek(0)
                self.last.extend(_read_lines(lines, file))
        except OSError as error:
            raise ConfigError(
                f"--file {file} cannot be written ({error.strerror}); expected a file in an existing folder that "
                f"user id {os.geteuid()} may write to"
            ) from error

    def add(self, notification: ReceivedNotification) -> None:
        """Append one line and wait until it is on the disk. Blocks. Raises OSError."""
        if self._file:
            line = msgspec.json.encode(notification) + b"\n"
            with self._file.open("a+b") as lines:
                if not _ends_a_line(lines):
                    line = b"\n" + line  # a crash cut the last line short; it must not take this one with it
                lines.write(line)
                lines.flush()
                os.fsync(lines.fileno())
        self.last.append(notification)


class _Receiver:
    def __init__(self, file: NotificationFile, out: TextIO, now: Callable[[], datetime]) -> None:
        self._file = file
        self._out = out
        self._now = now
        self._adding = asyncio.Lock()

    async def receive(self, request: Request) -> Response:
        if not is_json(request):
            return text("Content-Type is not application/json, which Alertmanager sends", 415)
        body = await read_body(request, MOST_BODY_BYTES)
        if body is None:
            return text(f"the body exceeds {MOST_BODY_BYTES} bytes; set max_alerts in webhook_config", 413)
        try:
            posted = parse(body, DisplayedAlert)
        except NotificationError as error:
            return text(str(error), 400)
        notification = _received(posted, self._now())
        try:
            async with self._adding:
                await in_thread(lambda: self._file.add(notification))
        except OSError as error:
            logger.error("a notification could not be stored, Alertmanager will send it again: %s", error)
            return text("the notification could not be stored; see the receiver's log", 500)
        with contextlib.suppress(OSError):  # nothing reads our output any more; the file has the notification
            for line in describe(notification):
                click.echo(line, file=self._out)
        return text("stored")

    async def table(self, request: Request) -> Response:
        return HTMLResponse(_page(reversed(self._file.last)), headers=PAGE_HEADERS)

    async def json(self, request: Request) -> Response:
        """Answer with the newest first."""
        body = msgspec.json.encode({"notifications": list(reversed(self._file.last))})
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def healthy(self, request: Request) -> Response:
        return text("the receiver is healthy.")


def describe(notification: ReceivedNotification) -> Iterator[str]:
    """Yield readable lines: the title of several alerts, then status, severity, name, subject and summary of each."""
    at = f"{notification.received_at:%H:%M:%S}"
    if len(notification.alerts) > 1:
        yield one_line(f"{at} {title(notification)}")
    for alert in _listed(notification):
        severity, name, summary = _words(alert)
        yield one_line(f"{at} {alert.status.upper():8} {severity:8} {name} {alert.subject}: {summary}")
    if more := _unlisted(notification):
        yield f"{at} and {more} more"


def title(notification: ReceivedNotification) -> str:
    """Return severity, the first summary, and how many more there are: `platform.title` of Alertmanager's templates."""
    firing, resolved = _by_status(notification, "firing"), _by_status(notification, "resolved")
    if not (named := firing or resolved):
        return "(no alerts)"
    severity, _, summary = _words(named[0])
    mark = ("FIRING" if severity == "-" else severity.upper()) if firing else "RESOLVED"
    more = f" +{len(named) - 1} more" if named[1:] else ""
    return f"[{mark}] {summary}{more}" + (f", {len(resolved)} resolved" if firing and resolved else "")


def _by_status(notification: ReceivedNotification, status: str) -> list[DisplayedAlert]:
    return [alert for alert in notification.alerts if alert.status == status]


def _listed(notification: ReceivedNotification) -> list[DisplayedAlert]:
    """Return the alerts that are shown: what fires comes first."""
    return [*_by_status(notification, "firing"), *_by_status(notification, "resolved")][:MOST_LISTED]


def _unlisted(notification: ReceivedNotification) -> int:
    return max(0, len(notification.alerts) - MOST_LISTED) + notification.truncatedAlerts


def _received(notification: Notification[DisplayedAlert], at: datetime) -> ReceivedNotification:
    content = msgspec.structs.asdict(notification)
    del content["version"]
    return ReceivedNotification(received_at=at, **content)


def _words(alert: DisplayedAlert) -> tuple[str, str, str]:
    """Return severity, name and summary."""
    summary = alert.annotations.get("summary") or alert.annotations.get("description") or "(no summary)"
    return alert.labels.get("severity", "-"), alert.labels.get("alertname", "-"), summary


def _read_lines(lines: Iterable[bytes], file: Path) -> Iterator[ReceivedNotification]:
    for number, line in enumerate(lines, start=1):
        try:
            yield msgspec.json.decode(line, type=ReceivedNotification)
        except msgspec.MsgspecError:
            if line.strip():
                logger.warning("%s: line %d is not a notification; it stays in the file and is not shown", file, number)


def _ends_a_line(lines: BinaryIO) -> bool:
    size = lines.seek(0, os.SEEK_END)
    lines.seek(max(0, size - 1))
    return lines.read(1) in (b"", b"\n")


def _page(notifications: Iterable[ReceivedNotification]) -> str:
    rows = "\n".join(row for notification in notifications for row in _rows(notification))
    return _PAGE.replace("ROWS", rows or f'<tr><td colspan="{len(COLUMNS)}">None yet</td></tr>')


def _rows(notification: ReceivedNotification) -> Iterator[str]:
    for alert in _listed(notification):
        severity, name, summary = _words(alert)
        received = f"{notification.received_at:%Y-%m-%d %H:%M:%S} UTC"
        cells = (received, alert.status, severity, name, alert.subject, summary, notification.receiver)
        yield f'<tr class="{alert.status}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
    if more := _unlisted(notification):
        yield f'<tr><td colspan="{len(COLUMNS)}">and {more} more</td></tr>'


COLUMNS = ("Received", "Status", "Severity", "Alert", "About", "Summary", "Receiver")

_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Notifications</title>
<style>
body {{ font-family: system-ui, sans-serif; line-height: 1.5; margin: 1rem; }}
table {{ border-collapse: collapse; }}
caption {{ text-align: left; margin-bottom: 0.5rem; }}
th, td {{ border-bottom: 1px solid #8886; padding: 0.25rem 1rem 0.25rem 0; text-align: left; vertical-align: top; }}
.firing td:nth-child(2) {{ font-weight: bold; }}
</style>
</head>
<body>
<h1>Notifications</h1>
<table>
<caption>The last {MOST_SHOWN} that Alertmanager sent, newest first</caption>
<thead><tr>{"".join(f'<th scope="col">{name}</th>' for name in COLUMNS)}</tr></thead>
<tbody>
ROWS
</tbody>
</table>
</body>
</html>
"""
