"""Fuzz the web server: whatever a client sends, no traceback, no 500, no 503, and the next client is served.

An input is what one client sends: `!` at its beginning has it leave without reading the answer.
"""

import contextlib
import json
import logging
import re
import shutil
import socket
import tempfile
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from exporter.alerts import history_api
from exporter.alerts.notification import Delivery, HistoryAlert, Notification
from exporter.alerts.spool import NotificationSpool
from exporter.config import loader
from exporter.issues import api as issues
from exporter.sections import Secret
from exporter.web.admission import Admission
from exporter.web.routes import build_app
from exporter.web.server import WebServer, bind
from tools.fuzz import mutation
from tools.fuzz.target import Check, Target

TOKEN = "fuzzed"
WAIT_SECONDS = 60.0

ALERT = {
    "status": "firing",
    "labels": {"alertname": "PlatformComponentDown", "severity": "high"},
    "annotations": {"summary": "s"},
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://h/",
    "fingerprint": "abcdef0123456789",
}
NOTIFICATION = {
    "version": "4", "status": "firing", "receiver": "history", "groupKey": "{}:{}", "truncatedAlerts": 0,
    "alerts": [ALERT, {**ALERT, "status": "resolved"}],
}  # fmt: skip
CHANGE = {"ids": ["0123456789abcdef"], "note": "n"}
ODD: tuple[Any, ...] = (
    -1, 2**63, 10**400, 1e308, "\0", "\ud800", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "x" * 100_000,
    None, True, [], {}, "", "4", "2026-02-30T00:00:00Z", [[]], {"a": {"a": {}}},
)  # fmt: skip
HEADERS = (
    "Host: localhost", "Host: a", "Host:", "Host: a\x00b", "Connection: close", "Connection: upgrade",
    "Upgrade: websocket", "Expect: 100-continue",
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Length: 5",
    "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 1\r\nContent-Length: 2",
    "Accept: application/openmetrics-text;q=x, */*", "Accept-Encoding: gzip;q=1e999", "Accept-Encoding: identity;q=nan",
    "X-Prometheus-Scrape-Timeout-Seconds: 1e999", "X-Prometheus-Scrape-Timeout-Seconds: -0", "Authorization: Basic !",
    "X-Grafana-User: \xff", "X-Grafana-User: exporter", "Origin: null", "Range: bytes=0-", " folded: x", ": empty",
    "X-Long: " + "a" * 70_000, "\xe9: x",
)  # fmt: skip
PATHS = ("/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/health", history_api.PATH, issues.PATH, "*",
         f"{issues.PATH}/resolve", f"{issues.PATH}/grafana/api/v2/alerts", "http://evil/metrics", "//", "/%00", "/%ff",
         "/metrics?\x7f", "/..;/", "/" + "a" * 5000)  # fmt: skip
METHODS = ("GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "G@T", "")
VERSIONS = ("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "HTTP/1.x", "")
QUERIES = ("app=" + "[" * 30_000, 'app="', "app=[1]", "action=resolve&ids=x", "action=resolve&action=ignore", "ids=,",
           "action=ignore&events=" + "9" * 400, "action=ignore&for=99999w", "since=9999-12-31&expected=1", "=&=", "%",
           "action=resolve&expected=1&search=%00", "action=resolve&expected=1&app=%ED%A0%80", "")  # fmt: skip


class Http(Target):
    """Raw requests, posts of Alertmanager and changes of issues."""

    name = "http"
    cases, few = 10_000, 300
    limit_seconds = 5.0

    def make(self, random: Random) -> bytes:
        """Return what a client sends."""
        kind = random.random()
        sent = _post(random) if kind < 0.4 else _change(random) if kind < 0.6 else _raw(random)
        if random.random() < 0.1:
            sent = mutation.text(random, sent.decode("latin-1")).encode("latin-1", "replace")
        if random.random() < 0.15:
            sent = sent[: random.randrange(len(sent) + 1)]
        return (b"!" if random.random() < 0.1 else b"") + sent

    @contextlib.contextmanager
    def checking(self) -> Iterator[Check]:
        """Serve all routes; where the event store is not reached, changes of issues may say so."""
        with tempfile.TemporaryDirectory() as folder:
            config = loader.parse(
                f"database: {{dsn: 'postgresql://a@127.0.0.1:1/d'}}\nerrors: {{token: {TOKEN}}}\n",
                Path(folder) / "platform-exporter.yml", {},
            )  # fmt: skip
            inbox = _Inbox(Path(folder) / "spool")
            more = [history_api.route(lambda: (Secret(TOKEN), inbox)), *issues.routes(lambda: config)]
            app = Admission(build_app(_Site(), more), None)
            with bind("127.0.0.1", 0) as listener, _Log() as log:
                server = WebServer(app, listener, None, lambda: None)
                thread = threading.Thread(target=server.run)
                thread.start()
                try:
                    yield lambda data: _check(data, listener.getsockname()[1], log)
                finally:
                    server.should_exit = True
                    thread.join(WAIT_SECONDS)


class _Site:
    def render(self, accept: str, scrape_timeout_seconds: float | None, client: str) -> tuple[bytes, str]:
        return b"platform_up 1\n", "text/plain"

    def not_ready(self) -> list[str]:
        return []

    def notices(self) -> list[str]:
        return []

    def health(self) -> dict[str, object]:
        return {"status": "healthy"}

    def reload(self) -> None:
        """Do nothing."""


class _Inbox:
    """A spool of the alert history for each post: what is posted can be written and read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def receive(self, notification: Notification[HistoryAlert]) -> None:
        folder = self._folder / str(uuid.uuid4())  # the post before may be of a client that left
        spool = NotificationSpool(folder, 1 << 26)
        spool.add(Delivery(id=uuid.UUID(int=0), received_at=datetime.now(UTC), notification=notification))
        assert len(list(spool.deliveries())) == 1, "what was taken cannot be read again"
        shutil.rmtree(folder)


class _Log(logging.Handler):
    """Errors that were logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "error issues could not be changed" not in record.getMessage():  # there is no event store
            self.lines.append(logging.Formatter().format(record))

    def __enter__(self) -> "_Log":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


def _check(data: bytes, port: int, log: _Log) -> None:
    leaves = data.startswith(b"!")
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as client:
        with contextlib.suppress(OSError):
            client.sendall(data.removeprefix(b"!"))
            client.shutdown(socket.SHUT_WR)
        answer = b"" if leaves else _read(client)
    status = next(iter(re.findall(rb"^HTTP/1\.1 (\d+)", answer)), b"")
    away = b"no issue was changed; see the exporter's log" in answer
    assert status not in (b"500", b"503") or away, f"status {status!r}: {answer[-200:]!r}"
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as client:
        client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert _read(client).startswith(b"HTTP/1.1 200"), "the next client was not served"
    lines, log.lines = log.lines, []
    assert not lines, "\n".join(lines)


def _read(client: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65536):
            answer += piece
    return answer


def _post(random: Random) -> bytes:
    tree: Any = NOTIFICATION
    if random.random() < 0.6:
        tree = mutation.tree(random, tree)
    text = json.dumps(tree)
    if random.random() < 0.5:
        begin, quoted, rest = text.partition(
            random.choice(('"2026-01-01T00:00:00Z"', '"{}:{}"', "0,", '"s"', '"high"'))
        )
        text = begin + (json.dumps(random.choice(ODD)) + ("," if quoted == "0," else "") if quoted else "") + rest
    body = random.choice((text, text, text, "[" * 30_000, '{"a":' * 30_000, text[:-1]))
    return _request(
        "POST", history_api.PATH, body.encode("utf-8", "surrogatepass"), [f"Authorization: Bearer {TOKEN}"], random
    )


def _change(random: Random) -> bytes:
    headers = [f"{issues.TOKEN_HEADER}: {TOKEN}", "X-Grafana-User: ann"]
    if random.random() < 0.5:
        query = "&".join(random.sample(QUERIES, random.randint(1, 3)))
        query = query if random.random() < 0.7 else urllib.parse.quote(query)
        return _request("POST", f"{issues.PATH}/grafana/api/v2/alerts?{query}", b"{}", headers, random)
    body = json.dumps(mutation.tree(random, CHANGE)) if random.random() < 0.7 else '{"note":' * 30_000
    action = random.choice(("resolve", "ignore", "comment", "merge", "nope"))
    return _request("POST", f"{issues.PATH}/{action}", body.encode(), headers, random)


def _request(method: str, path: str, body: bytes, headers: list[str], random: Random) -> bytes:
    length = len(body) + random.choice((0, 0, 0, 0, 1, -1, 1000))
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Type: application/json"]
    return "\r\n".join([*lines, *headers, f"Content-Length: {length}", "", ""]).encode() + body


def _raw(random: Random) -> bytes:
    lines = [f"{random.choice(METHODS)} {random.choice(PATHS)} {random.choice(VERSIONS)}"]
    lines += ["Host: localhost"] * (random.random() < 0.8) + random.sample(HEADERS, random.randint(0, 4))
    body = random.choice(("", "", "5\r\nhello\r\n0\r\n\r\n", "zz\r\n", "ffffffffffffffff\r\n", "x" * 70_000))
    text = random.choice(("\r\n", "\r\n", "\r\n", "\n")).join([*lines, "", ""]) + body
    return (text * random.choice((1, 1, 1, 2))).encode("latin-1", "replace")
