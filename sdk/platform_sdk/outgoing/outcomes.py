"""How a call to an external API ended, without importing any HTTP library; reasons are those of the event api_call."""

import re
import socket
from collections.abc import Iterator

_UNAUTHORIZED = re.compile(r"(?:^|Tunnel connection failed: )407\b")
"""What an exception says where a proxy that makes a tunnel wants another user or password: of httpx, and of others."""

_OF_CHROMIUM = re.compile(r"net::ERR_(\w+)")
"""What an exception says of a page that did not come, of those that drive a browser."""

_CHROMIUM_BROKEN = re.compile(
    "ADDRESS_|CERT_|CONNECTION_|DNS_|EMPTY_RESPONSE|HTTP2_|INCOMPLETE_|INTERNET_|INVALID_HTTP|NAME_|NETWORK_|PROXY_|QUIC_"
    "|RESPONSE_HEADERS_|SOCKS_|SSL_|TUNNEL_"
)

FILES = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
"""The kinds of OSError that have nothing to do with a network."""

# Of requests, urllib3, httpx, httpcore and aiohttp, in that order.
_BROKEN = (
    "ConnectionError", "ProtocolError", "NewConnectionError", "TransportError", "NetworkError",
    "ClientConnectionError", "ClientPayloadError",
)  # fmt: skip


def is_cancellation(exc: BaseException) -> bool:
    """Return whether an exception says that the application stopped waiting."""
    # By name: importing asyncio takes longer than importing all of the SDK. There are two classes of the first name.
    names = {kind.__name__ for kind in type(exc).__mro__}
    return not names.isdisjoint(("CancelledError", "Cancelled", "KeyboardInterrupt", "SystemExit", "GeneratorExit"))


def reason_of_status(status: int | None) -> str | None:
    """Return why a response of this status is a failure, None where it is none."""
    if status is None or status < 400:
        return None
    if status == 429:
        return "rate_limited"
    if status == 403:
        return "forbidden"
    return "client_error" if status < 500 else "server_error"


def reason_of_exception(exc: BaseException) -> tuple[str, int | None]:
    """Return why a call failed that raised `exc`, and the status where the exception holds a response."""
    status = _status_in(exc)
    reason = reason_of_status(status)
    if reason is not None:
        return reason, status
    if is_cancellation(exc):
        return "cancelled", status
    broken = False
    for cause in _chain(exc):
        names = [kind.__name__ for kind in type(cause).__mro__]
        # What is certain ends the search: further on may be an exception that the application was handling before.
        # urllib3's NewConnectionError, a refused connection, is a ConnectTimeoutError by descent.
        if isinstance(cause, ConnectionError | socket.gaierror) or "NewConnectionError" in names:
            return "connection", status
        if isinstance(cause, TimeoutError) or any("Timeout" in name or name == "EmptyPoolError" for name in names):
            return "timeout", status
        if found := _OF_CHROMIUM.search(str(cause)):
            if found[1].endswith("TIMED_OUT"):
                return "timeout", status
            broken = broken or _CHROMIUM_BROKEN.match(found[1]) is not None
        network = isinstance(cause, OSError) and not isinstance(cause, FILES)
        broken = broken or network or any(name in _BROKEN for name in names)
    return "connection" if broken else "other", status


def status_of(response: object) -> int | None:
    """Return the status of a response of requests, httpx, aiohttp, urllib or Django."""
    for name in ("status_code", "status", "code"):
        status = getattr(response, name, None)
        if isinstance(status, int) and not isinstance(status, bool):
            return int(status)
    return None


def _status_in(exc: BaseException) -> int | None:
    """Return the status in exceptions such as requests.HTTPError, httpx.HTTPStatusError, aiohttp's and urllib's."""
    response = getattr(exc, "response", None)
    status = status_of(response) if response is not None else None
    if status is None and not isinstance(exc, SystemExit):
        status = status_of(exc)
    if (
        status is None
        and _UNAUTHORIZED.search(str(exc))
        and any("Proxy" in kind.__name__ for kind in type(exc).__mro__)
    ):
        status = 407
    return status if status is not None and 100 <= status <= 599 else None


def _chain(exc: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = exc
    for _ in range(8):
        if current is None:
            return
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
