"""The probe of an HTTP endpoint, against real listeners."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter import __version__
from exporter.config import loader
from exporter.config.settings import convert
from exporter.errors import ConfigError
from exporter.probes.base import Reason, Status
from exporter.probes.http import READ_BYTES, HttpTarget
from exporter.sections import FilePath, Secret
from tests.probes.probing import SHORT_SECONDS, Subject, gauges, target
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Minio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SECRET = "hunter2-tOp"
Answering = Callable[[socket.socket], object]


class Listener:
    """A server that reads a request's head, keeps it, and lets `answer` do the rest."""

    def __init__(self, answer: bytes | Answering, context: ssl.SSLContext | None = None) -> None:
        self.heads: list[str] = []
        self.ended = threading.Event()
        self._answer = answer
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._listening.close()

    def url(self, path: str = "/") -> str:
        return f"http{'s' if self._context else ''}://localhost:{self.port}{path}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        wrap = self._context.wrap_socket if self._context else lambda plain, server_side: plain
        with contextlib.suppress(OSError), plain, wrap(plain, server_side=True) as client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096) or b"\r\n\r\n"
            self.heads.append(head.decode("latin-1"))
            if isinstance(self._answer, bytes):
                client.sendall(self._answer)
            else:
                self._answer(client)


def http(url: str, **options: Any) -> HttpTarget:
    return HttpTarget(name="main", url=Secret(url), **options)


@contextlib.contextmanager
def probed(answer: bytes | Answering, path: str = "/", **options: Any) -> Iterator[tuple[Subject, Listener]]:
    """Run a listener and the probe of it."""
    with Listener(answer) as listener, target(http(listener.url(path), **options)) as subject:
        yield subject, listener


def status_line(status: int, *more: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} X", "Content-Length: 0", *more, "", "")).encode()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_healthy(method: str) -> None:
    """An endpoint that answers 2xx is healthy and shows its status; path, query and program are in the request."""
    with probed(OK, "/health?deep=1", method=method) as (subject, listener):
        result = subject.ask()

    assert (result.status, gauges(result)) == (Status.HEALTHY, {"http_probe_status_code": 200})
    request, *headers = listener.heads[0].splitlines()
    assert request == f"{method} /health?deep=1 HTTP/1.1"
    assert {f"Host: localhost:{listener.port}", f"User-Agent: platform-exporter/{__version__}"} <= {*headers}


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        (204, ("2xx",), None),
        (404, (404,), None),
        (302, (200, "3xx"), None),
        (401, ("4xx",), None),
        (404, ("2xx",), "unexpected_status"),
        (500, ("2xx",), "unexpected_status"),
        (200, (204,), "unexpected_status"),
        (401, ("2xx",), Reason.AUTH),
        (403, ("2xx",), Reason.AUTH),
    ],
)
def test_status(status: int, expected: tuple[int | str, ...], reason: str | None) -> None:
    """A status is expected by its number or class; another one is down, and shown."""
    with probed(status_line(status), expected_status=expected) as (subject, _):
        result = subject.ask()

    assert (result.reason, gauges(result)) == (reason, {"http_probe_status_code": status})
    assert reason is None or result.cause == f"status {status}; expected {', '.join(map(str, expected))}"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n..he\r\n5\r\nllo..\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "text", "reason"),
    [
        (OK, "ell", None),
        (CHUNKED, "hello", None),
        ("HTTP/1.1 200 OK\r\n\r\ngrün".encode(), "grün", None),
        (OK, "bye", "unexpected_text"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"." * READ_BYTES + b"hello", "hello", "unexpected_text"),
    ],
)
def test_text(answer: bytes, text: str, reason: str | None) -> None:
    """The expected text is looked for in the first 64 KiB, chunked or not; where it is missing the endpoint is down."""
    with probed(answer, expected_text=text) as (subject, _):
        result = subject.ask()

    assert (result.reason, gauges(result)) == (reason, {"http_probe_status_code": 200})
    assert reason is None or result.cause.startswith("the expected text is not in the ")


def endless(client: socket.socket) -> None:
    """Answer with a body that never ends."""
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        client.sendall(b"." * 65_536)


def test_endless_body() -> None:
    """A body is read no further than needed: not at all, until the text is found, or 64 KiB."""
    for options, reason in (({}, None), ({"expected_text": ".."}, None), ({"expected_text": "x"}, "unexpected_text")):
        with probed(endless, **options) as (subject, _):
            assert subject.ask().reason == reason


def drip(*parts: bytes) -> Answering:
    """Return an answer of which one byte comes every few milliseconds, the last part for ever."""

    def send(client: socket.socket) -> None:
        *whole, last = parts
        client.sendall(b"".join(whole))
        while True:
            for byte in last:
                client.sendall(bytes([byte]))
                time.sleep(0.01)

    return send


HANGS = {
    "silent": lambda client: client.recv(1),
    "slow status": drip(b"HTTP/1.1 2" + b"0" * 50_000),
    "slow headers": drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "slow body": drip(b"HTTP/1.1 200 OK\r\n\r\n", b"z"),
    "continue for ever": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("name", list(HANGS))
def test_hangs(name: str) -> None:
    """Whatever hangs or drips, the check itself gives up at its deadline: no later one finds it still there."""
    with probed(HANGS[name], expected_text="x") as (subject, listener):
        found = []
        for checks in (1, 2):
            found.append(subject.ask(SHORT_SECONDS).reason)
            poll_until(lambda: subject.ask(SHORT_SECONDS).reason and len(listener.heads) > checks)  # noqa: B023

    assert found == [Reason.TIMEOUT] * 2


def test_handshake_hangs() -> None:
    """A server that accepts and says nothing to the handshake is a timeout, and the check ends."""
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, target(http(f"https://127.0.0.1:{silent.getsockname()[1]}/")) as subject:
        first = subject.ask(SHORT_SECONDS)
        poll_until(lambda: "still hangs" not in subject.ask(SHORT_SECONDS).cause)

    assert first.reason is Reason.TIMEOUT


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:{port}/", Reason.REFUSED), ("http://nowhere.invalid/", Reason.DNS)],
)
def test_unreachable(url: str, reason: Reason) -> None:
    """A port that is closed is refused; a name that does not exist is dns."""
    with target(http(url.format(port=free_port()))) as subject:
        result = subject.ask()

    assert result.reason is reason
    assert "Errno" not in result.cause


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"]
)
def test_not_http(answer: bytes) -> None:
    """What does not speak HTTP, or too much of it, is protocol, and nothing of it is quoted."""
    with probed(answer) as (subject, _):
        result = subject.ask()

    assert result.reason is Reason.PROTOCOL
    assert "OpenSSH" not in result.cause


def test_slow() -> None:
    """An answer that takes longer than `slow_seconds` is degraded."""
    with probed(OK, slow_seconds=1e-9) as (slow, _), probed(OK, slow_seconds=60) as (quick, _):
        results = slow.ask(), quick.ask()

    assert [(result.status, result.problems) for result in results] == [
        (Status.DEGRADED, ("slow",)), (Status.HEALTHY, ()),
    ]  # fmt: skip
    assert "(degraded from 1e-09 s)" in results[0].cause


def test_redirect_is_an_answer() -> None:
    """A redirect is not followed unless that is asked for."""
    with probed(status_line(301, "Location: /elsewhere?token=" + SECRET)) as (subject, listener):
        result = subject.ask()

    assert result.cause == "status 301, a redirect that is not followed; expected 2xx"
    assert (result.reason, len(listener.heads)) == ("unexpected_status", 1)


def test_redirect_is_followed() -> None:
    """Where redirects are followed the last answer counts; another origin gets neither headers nor credentials."""
    own = {"headers": {"X-Key": Secret(SECRET)}, "bearer_token": Secret(SECRET), "follow_redirects": True}
    with Listener(OK) as other, probed(status_line(302, f"Location: {other.url('/there')}"), **own) as (subject, first):
        result = subject.ask()

    assert result.status is Status.HEALTHY
    assert f"X-Key: {SECRET}\r\nAuthorization: Bearer {SECRET}\r\n" in first.heads[0]
    assert other.heads[0].startswith("GET /there HTTP/1.1\r\n")
    assert SECRET not in other.heads[0]


@pytest.mark.parametrize(
    ("location", "reason"),
    [("/again", "unexpected_status"), ("ftp://x/", Reason.PROTOCOL), ("http://u:p@x/", Reason.PROTOCOL)],
)
def test_redirect_leads_nowhere(location: str, reason: str) -> None:
    """A loop of redirects and one to something that is not HTTP are down."""
    with probed(status_line(302, f"Location: {location}"), follow_redirects=True) as (subject, _):
        assert subject.ask().reason == reason


def test_headers_and_basic_authentication() -> None:
    """Headers of the configuration replace the probe's own; a username and a password sign in."""
    options = {"headers": {"host": Secret("shop.example")}, "username": "a", "password": Secret("b")}
    with probed(OK, **options) as (subject, listener):
        assert subject.ask().status is Status.HEALTHY

    assert "host: shop.example\r\n" in listener.heads[0]
    assert "Host: localhost" not in listener.heads[0]
    assert "Authorization: Basic YTpi\r\n" in listener.heads[0]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


EXPIRES = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Listener]:
    """Return a listener with TLS, whose certificate expires soon."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=EXPIRES).configure_cert(context)
    with Listener(OK, context) as listener:
        yield listener


def test_tls(secure: Listener, authority: trustme.CA, tmp_path: Path) -> None:
    """Over TLS an endpoint of a known authority is healthy, and shows when its certificate expires."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with target(http(secure.url(), ca_file=FilePath(ca_file))) as subject:
        results = [subject.ask()]
        poll_until(lambda: results.append(subject.ask()) or len(gauges(results[-1])) == 2)

    assert {result.status for result in results} == {Status.HEALTHY}
    assert gauges(results[-1])["component_certificate_expiry_timestamp_seconds"] == EXPIRES.timestamp()


def test_unknown_authority(secure: Listener) -> None:
    """A certificate of an unknown authority is tls; when it expires is shown all the same."""
    with target(http(secure.url())) as subject:
        poll_until(lambda: "component_certificate_expiry_timestamp_seconds" in gauges(subject.ask()))
        result = subject.ask()

    assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.TLS)
    assert "http_probe_status_code" not in gauges(result)


def test_no_tls(moto_server: Minio) -> None:
    """An endpoint that does not speak TLS is tls."""
    with target(http(f"https://{moto_server.address}/")) as subject:
        assert subject.ask().reason is Reason.TLS


@pytest.mark.parametrize("answer", [status_line(500), b"?\r\n", OK, lambda client: client.recv(1)])
def test_no_secret(answer: bytes | Answering, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the URL's query nor a header's value is in a result, a log line or the printed settings."""
    options = {"headers": {"X-Key": Secret(SECRET)}, "expected_text": "x", "slow_seconds": 1e-9}
    caplog.set_level("DEBUG")
    with probed(answer, f"/?token={SECRET}", **options) as (subject, _):
        shown = f"{subject.ask(SHORT_SECONDS)} {http('http://h/?' + SECRET, **options)}"

    assert SECRET not in shown + caplog.text


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"url": "ftp://h/"}, "url"),
        ({"url": f"http://u:{SECRET}@h/"}, "url"),
        ({"url": "http://h:99999/"}, "url"),
        ({"url": "http://h/a b"}, "url"),
        ({"url": "http://h/#part"}, "url"),
        ({"method": "HEAD", "expected_text": "x"}, "method"),
        ({"expected_status": []}, "expected_status"),
        ({"headers": {"a b": "x"}}, "headers"),
        ({"headers": {"a": f"{SECRET}\nb"}}, "headers.a"),
        ({"headers": {"Authorization": SECRET}, "bearer_token": "x"}, "headers"),
        ({"username": "x"}, "username"),
        ({"username": "x", "password": "y", "bearer_token": "z"}, "bearer_token"),
        ({"ca_file": "/nowhere.pem"}, "ca_file"),
    ],
)
def test_bad_settings(keys: dict[str, Any], problem: str) -> None:
    """What could not work is refused when the configuration is read, without showing a secret."""
    target = {"name": "a", "url": "http://h/", **keys}
    settings = convert({"database": {"dsn": "host=h"}, "probes": {"http": [target]}}).probes.http[0]
    found = list(settings.problems())

    assert [one.key for one in found] == [problem]
    assert SECRET not in str(found)


def test_unknown_method() -> None:
    """A method that is not offered is refused with those that are."""
    text = "database: {dsn: 'host=h'}\nprobes: {http: [{name: a, url: 'http://h/', method: POST}]}"

    with pytest.raises(
        ConfigError, match=r"invalid value 'POST' for `probes.http\[0\].method`: expected one of GET, HEAD"
    ):
        loader.parse(text, Path("c.yml"), {})


def test_secrets_may_be_in_files(tmp_path: Path) -> None:
    """The URL, and the value of a header, may be given as the path of a file."""
    (tmp_path / "secret").write_text(f"http://h/?{SECRET}\n")
    text = "database: {dsn: 'host=h'}\nprobes: {http: [{name: a, url_file: secret, headers: {X-Key_file: secret}}]}"
    (settings,) = loader.parse(text, tmp_path / "c.yml", {}).probes.http

    assert settings.url == settings.headers["X-Key"] == Secret(f"http://h/?{SECRET}")
