"""Probe an HTTP endpoint: does it answer with the expected status and text, how soon, when does its certificate expire.

Every check is a connection of its own, as a new client makes it, and every wait on it ends at the check's deadline.
"""

import base64
import contextlib
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urljoin, urlsplit

from msgspec import Meta, field

from exporter import __version__
from exporter.probes.base import Answer, Degradation, Gauge, GaugeFamily, Probe, ProbeError, Reason, Target
from exporter.probes.certificate import CertificateWatch, Peer
from exporter.probes.reasons import reason_of
from exporter.sections import FilePath, Problem, Secret, authority_problems, http_parts, sign_in_problems

READ_BYTES = 65_536
"""How much of a body is searched for the expected text."""

REDIRECTS = 5
"""How many redirects are followed, where they are."""

_REFUSED_SIGN_IN = frozenset({401, 403, 407})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HttpTarget(Target, frozen=True):
    """An endpoint to probe. The URL is a secret, as its query may hold one; so are the values of headers."""

    url: Secret
    method: Literal["GET", "HEAD"] = "GET"
    expected_status: tuple[Annotated[int, Meta(ge=100, le=599)] | Annotated[str, Meta(pattern="^[1-5]xx$")], ...] = (
        "2xx",
    )
    expected_text: Annotated[str, Meta(min_length=1)] | None = None
    follow_redirects: bool = False
    headers: dict[str, Secret] = field(default_factory=dict)
    username: str | None = None
    password: Secret | None = None
    bearer_token: Secret | None = None
    ca_file: FilePath | None = None
    slow_seconds: Annotated[float, Meta(gt=0, le=60)] | None = None

    def problems(self) -> Iterator[Problem]:
        if not _is_url(self.url.reveal()):
            expected = "http://HOST:PORT/PATH or https://HOST/PATH, escaped, without user (see `username`) or fragment"
            yield Problem("url", expected)
        if self.method == "HEAD" and self.expected_text:
            yield Problem("method", "GET with `expected_text`: an answer to HEAD has no text", self.method)
        if not self.expected_status:
            yield Problem("expected_status", "at least one status such as 200 or 2xx", [])
        signs_in = self.username is not None or self.bearer_token is not None
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name) or (signs_in and name.lower() == "authorization"):
                yield Problem("headers", "names of headers, without Authorization where the probe signs in", name)
            if not re.fullmatch(r"[\t -~\xa0-\xff]*", value.reveal()):
                yield Problem(f"headers.{name}", "one line of Latin-1")
        yield from sign_in_problems(self.username, self.password, self.bearer_token)
        yield from authority_problems(self.ca_file)


class HttpProbe(Probe):
    """The probe of one endpoint. It keeps no connection; credentials and headers go to the URL's own origin only."""

    component = "http"
    target = HttpTarget
    families = (GaugeFamily("http_probe_status_code", "HTTP status that an endpoint answered the last probe with."),)
    reasons = ("unexpected_status", "unexpected_text")
    weaknesses = ("slow",)
    example = """
name: shop
url: https://shop.example.org/health    # or url_file, where the query holds a secret
method: GET             # or HEAD
expected_status: [2xx]  # statuses and classes; 401 and 403 are failures to sign in, unless expected
expected_text: ok       # default: any; looked for in the first 64 KiB
follow_redirects: false # at most 5
headers: {X-Api-Key: "${API_KEY}"}  # or X-Api-Key_file: /run/secrets/api_key
username: platform      # with password_file: basic authentication
password_file: /run/secrets/shop_password
bearer_token_file: /run/secrets/shop_token  # instead of both
ca_file: /etc/ssl/shop-ca.pem   # default: the authorities that the machine trusts
slow_seconds: 0.5       # default: none; an answer that takes longer is degraded
"""

    def __init__(self, settings: HttpTarget) -> None:
        super().__init__(settings)
        self._certificate = CertificateWatch()
        self._context: ssl.SSLContext | None = None

    def check(self, timeout_seconds: float) -> Answer:
        """Send one request, and those that redirects ask for. Raises ProbeError."""
        start = time.monotonic()
        found: list[Gauge] = list(self._certificate.gauges(self._tls_peer()))
        try:
            self._ask(start + timeout_seconds, found)
        except ProbeError as error:
            raise ProbeError(error.reason, error.cause, tuple(found)) from error
        except (OSError, http.client.HTTPException) as error:
            self._context = None  # read the authorities again: they may have been renewed
            reason = reason_of(error) or Reason.PROTOCOL
            cause = f"no answer in {timeout_seconds:.3g} s" if reason is Reason.TIMEOUT else _cause(error)
            raise ProbeError(reason, cause, tuple(found)) from error
        seconds, limit = time.monotonic() - start, self.settings.slow_seconds
        if limit is None or seconds <= limit:
            return Answer(gauges=tuple(found))
        slow = Degradation("slow", f"answered in {seconds:.3g} s (degraded from {limit:g} s)")
        return Answer((slow,), tuple(found))

    def _tls_peer(self) -> Peer | None:
        parts = urlsplit(self.settings.url.reveal())
        host = parts.hostname or ""
        return Peer(host, parts.port or 443, host) if parts.scheme == "https" else None

    def _ask(self, deadline: float, found: list[Gauge]) -> None:
        """Return once the answer is as expected, with the status added to `found`."""
        url = self.settings.url.reveal()
        own = _origin(urlsplit(url))
        for _ in range(REDIRECTS + 1):
            parts = urlsplit(url)
            with contextlib.closing(self._connect(parts, deadline)) as connection:
                response = self._exchange(parts, _Wire(connection, deadline), with_own=_origin(parts) == own)
                location = response.getheader("Location")
                if not self.settings.follow_redirects or response.status not in _REDIRECTS or not location:
                    found.append(Gauge("http_probe_status_code", response.status))
                    self._judge(response)
                    return
            url = urljoin(url, location)
            if not _is_url(url):
                raise ProbeError(Reason.PROTOCOL, "redirected to an invalid URL")
        raise ProbeError("unexpected_status", f"more than {REDIRECTS} redirects")

    def _connect(self, parts: SplitResult, deadline: float) -> socket.socket:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        places = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        for index, (family, kind, protocol, _, address) in enumerate(places):
            left = len(places) - index
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(_remaining(deadline) / left)
                connection.connect(address)
                if parts.scheme == "http":
                    return connection
                self._context = self._context or ssl.create_default_context(cafile=self.settings.ca_file)
                connection.settimeout(_remaining(deadline))
                return self._context.wrap_socket(connection, server_hostname=parts.hostname)
            except OSError:
                connection.close()
                if left == 1:
                    raise
        raise socket.gaierror("no address")

    def _exchange(self, parts: SplitResult, wire: "_Wire", *, with_own: bool) -> http.client.HTTPResponse:
        headers = {"Host": parts.netloc, "User-Agent": f"platform-exporter/{__version__}", "Connection": "close"}
        if with_own:
            own = {name: value.reveal() for name, value in self.settings.headers.items()} | self._authorization()
            replaced = {name.lower() for name in own}
            headers = {name: value for name, value in headers.items() if name.lower() not in replaced} | own
        client = http.client.HTTPConnection(parts.hostname or "")
        client.sock = wire
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        client.request(self.settings.method, target, headers=headers)
        return client.getresponse()

    def _authorization(self) -> dict[str, str]:
        if self.settings.bearer_token is not None:
            return {"Authorization": f"Bearer {self.settings.bearer_token.reveal()}"}
        if self.settings.username is not None:
            pair = f"{self.settings.username}:{self.settings.password.reveal()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    def _judge(self, response: http.client.HTTPResponse) -> None:
        """Raise ProbeError where status or text is not as expected."""
        status, expected = response.status, [str(one) for one in self.settings.expected_status]
        if not {str(status), f"{status // 100}xx"} & set(expected):
            reason = Reason.AUTH if status in _REFUSED_SIGN_IN else "unexpected_status"
            more = ", a redirect that is not followed" if status in _REDIRECTS else ""
            raise ProbeError(reason, f"status {status}{more}; expected {', '.join(expected)}")
        text, body = (self.settings.expected_text or "").encode(), b""
        while text not in body:
            chunk = response.read1(READ_BYTES - len(body))
            body += chunk
            if not chunk or (len(body) >= READ_BYTES and text not in body):
                raise ProbeError("unexpected_text", f"the expected text is not in the {len(body)} bytes read")


class _Wire(io.RawIOBase):
    """A connection as http.client uses it, on which every wait ends at a deadline (of `time.monotonic`)."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(_remaining(self._deadline))
        return self._connection.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(_remaining(self._deadline))
        self._connection.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        """Leave the connection open: http.client closes it when the headers are read."""


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _is_url(text: str) -> bool:
    parts = http_parts(text)
    if parts is None or "@" in parts.netloc or parts.fragment:
        return False
    return re.fullmatch(r"[!-~]+", text) is not None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _cause(error: Exception) -> str:
    """Return an error in words, without those of http.client: they quote what the server sent."""
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    return str(error)
