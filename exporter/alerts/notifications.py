"""Receive Alertmanager's notifications: the receiver that works out of the box, for first steps and for drills.

POST on any path takes a webhook payload of version 4: one JSON line in a file, one line per alert on standard output.
GET / shows the last ones as a table, GET /api/v1/notifications as JSON. What could not be stored is answered with 500,
and Alertmanager sends it again.
Payload: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
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
from typing import BinaryIO, Literal, TextIO

import click
import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter.errors import ConfigError
from exporter.printing import one_line
from exporter.web.posting import is_json, read_body
from exporter.web.routes import PAGE_HEADERS, in_thread
from exporter.web.server import serve
from exporter.web.web_config import WebConfig

logger = logging.getLogger(__name__)

MOST_SHOWN = 50
MOST_BODY_BYTES = 4 * 1024 * 1024
"""About 2,500 alerts in one notification."""

Status = Literal["firing", "resolved"]


class Alert(Struct, frozen=True, kw_only=True):
    """Hold one alert as Alertmanager sends it; other keys are left out."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str = ""  # noqa: N815 - the payload's own names, here and below
    endsAt: str = ""  # noqa: N815
    generatorURL: str = ""  # noqa: N815
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        """Return what the alert is about: the app, or the component or source with its name."""
        labels = (self.labels.get(name, "") for name in ("app", "component", "source", "name"))
        return " ".join(filter(None, labels)) or "-"


class Payload(Struct, frozen=True, kw_only=True):
    """Hold a webhook payload."""

    version: Literal["4"]
    status: Status
    receiver: str
    groupKey: str  # noqa: N815
    alerts: tuple[Alert, ...]
    truncatedAlerts: int = 0  # noqa: N815


class Notification(Struct, frozen=True, kw_only=True):
    """Hold a line of the file: a payload and when it came."""

    received_at: datetime
    status: Status
    receiver: str
    groupKey: str  # noqa: N815
    alerts: tuple[Alert, ...]
    truncatedAlerts: int = 0  # noqa: N815


def receive(host: str, port: int, file: Path | None, web_config: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Blocks; needs the main thread.

    Without `file` nothing is stored. Raises ConfigError where it cannot be written, ListenError and WebConfigError.
    """
    web = WebConfig(web_config) if web_config else None
    serve(build_receiver(file), host, port, web, lambda: None, setting="--listen")


def build_receiver(
    file: Path | None, out: TextIO = sys.stdout, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Starlette:
    """Return the application. Raises ConfigError where `file` cannot be read and written."""
    pages = _Pages(Store(file), out, now)
    app = Starlette(
        routes=[
            Route("/", pages.table),
            Route("/api/v1/notifications", pages.json),
            Route("/-/healthy", pages.healthy),
            Route("/{path:path}", pages.receive, methods=["POST"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


class Store:
    """Append notifications to a file, and remember the last ones, those of an earlier run too."""

    def __init__(self, file: Path | None) -> None:
        """Raises ConfigError."""
        self._file = file
        self.last: deque[Notification] = deque(maxlen=MOST_SHOWN)
        if file is None:
            return
        try:
            with file.open("a+b") as lines:
                lines.seek(0)
                self.last.extend(_read_lines(lines, file))
        except OSError as error:
            raise ConfigError(
                f"--file {file} cannot be written ({error.strerror}); wanted a file in a folder that exists, "
                f"writable by user id {os.geteuid()}"
            ) from error

    def add(self, notification: Notification) -> None:
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


class _Pages:
    def __init__(self, store: Store, out: TextIO, now: Callable[[], datetime]) -> None:
        self._store = store
        self._out = out
        self._now = now
        self._adding = asyncio.Lock()

    async def receive(self, request: Request) -> Response:
        if not is_json(request):
            return _refuse(415, "Content-Type is not application/json, which Alertmanager sends")
        body = await read_body(request, MOST_BODY_BYTES)
        if body is None:
            return _refuse(413, f"the body exceeds {MOST_BODY_BYTES} bytes; set max_alerts in webhook_config")
        try:
            payload = msgspec.json.decode(body, type=Payload)
        except msgspec.MsgspecError as error:
            return _refuse(400, f"no payload of version 4 of Alertmanager's webhook: {error}")
        notification = _notification(payload, self._now())
        try:
            async with self._adding:
                await in_thread(lambda: self._store.add(notification))
        except OSError as error:
            logger.error("a notification could not be stored, Alertmanager will send it again: %s", error)
            return _refuse(500, "the notification could not be stored; the receiver's log says why")
        with contextlib.suppress(OSError):  # whoever read our output went away; the file has the notification
            for line in describe(notification):
                click.echo(line, file=self._out)
        return PlainTextResponse("stored\n")

    async def table(self, request: Request) -> Response:
        return HTMLResponse(_page(reversed(self._store.last)), headers=PAGE_HEADERS)

    async def json(self, request: Request) -> Response:
        """Answer with the newest first."""
        body = msgspec.json.encode({"notifications": list(reversed(self._store.last))})
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def healthy(self, request: Request) -> Response:
        return PlainTextResponse("the receiver is healthy.\n")


def describe(notification: Notification) -> Iterator[str]:
    """Yield a line for a person per alert: status, severity, name, what it is about, summary."""
    at = f"{notification.received_at:%H:%M:%S}"
    for alert in notification.alerts:
        severity, name, summary = _words(alert)
        yield one_line(f"{at} {alert.status.upper():8} {severity:8} {name} {alert.subject}: {summary}")
    if notification.truncatedAlerts:
        yield f"{at} and {notification.truncatedAlerts} more, which Alertmanager left out"


def _notification(payload: Payload, received_at: datetime) -> Notification:
    return Notification(
        received_at=received_at,
        status=payload.status,
        receiver=payload.receiver,
        groupKey=payload.groupKey,
        alerts=payload.alerts,
        truncatedAlerts=payload.truncatedAlerts,
    )


def _words(alert: Alert) -> tuple[str, str, str]:
    """Return severity, name and summary."""
    summary = alert.annotations.get("summary") or alert.annotations.get("description") or "(no summary)"
    return alert.labels.get("severity", "-"), alert.labels.get("alertname", "-"), summary


def _read_lines(lines: Iterable[bytes], file: Path) -> Iterator[Notification]:
    for number, line in enumerate(lines, start=1):
        try:
            yield msgspec.json.decode(line, type=Notification)
        except msgspec.MsgspecError:
            if line.strip():
                logger.warning("%s, line %d is no notification; it stays there and is not shown", file, number)


def _ends_a_line(lines: BinaryIO) -> bool:
    size = lines.seek(0, os.SEEK_END)
    lines.seek(max(0, size - 1))
    return lines.read(1) in (b"", b"\n")


def _refuse(status: int, reason: str) -> Response:
    wanted = "wanted JSON with version, status, receiver, groupKey and alerts, each with status and labels"
    return PlainTextResponse(f"{reason}; {wanted}\n" if status in (400, 415) else f"{reason}\n", status)


def _page(notifications: Iterable[Notification]) -> str:
    rows = "\n".join(_row(notification, alert) for notification in notifications for alert in notification.alerts)
    return _PAGE.replace("ROWS", rows or '<tr><td colspan="7">None yet</td></tr>')


def _row(notification: Notification, alert: Alert) -> str:
    severity, name, summary = _words(alert)
    received = f"{notification.received_at:%Y-%m-%d %H:%M:%S} UTC"
    cells = (received, alert.status, severity, name, alert.subject, summary, notification.receiver)
    return f'<tr class="{alert.status}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


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
