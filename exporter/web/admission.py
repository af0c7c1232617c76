"""What a request must be before anything answers it: HTTP/1, and for this server."""

import ipaddress
import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.responses import HOST_CHECKED, text

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.~!$%&'()*+,;=-]*)(:[0-9]*)?", re.ASCII)


class Admission:
    """`app` for requests of HTTP/1.x for this machine or one of the hosts, all where `hosts` is None.

    A page on the web may have its own name lead to 127.0.0.1 after it was loaded (DNS rebinding), and then read
    everything that answers there. Only the request's Host shows it. An address as Host is no page's name:
    `any_address` takes all, for servers that others reach by one.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, *, any_address: bool = False) -> None:
        self._app = app
        self._hosts = (
            None if hosts is None else {_name(f"[{host}]" if host.count(":") > 1 else host) for host in hosts} - {""}
        )
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        host, status, problem = Headers(scope=scope).get("Host"), 400, ""
        if not scope["http_version"].startswith("1."):
            problem = f"HTTP/{scope['http_version']} is not spoken: expected HTTP/1.1"
        elif host is not None and not _HOST.fullmatch(host):
            problem = "the header Host is invalid"
        elif host is not None and not self._is_own(host):  # no browser leaves it out, as HTTP/1.0 may
            status = 421
            problem = "Host names none of the hosts that this server answers for: see --web.allowed-host"
        scope[HOST_CHECKED] = self._hosts is not None
        answer = text(problem, status, {"Connection": "close"}) if problem else self._app
        await answer(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        name = _name(host)
        if self._hosts is None or name in self._hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback or self._any_address
        except ValueError:
            return False


def _name(host: str) -> str:
    """Return a Host header's name, without its port and in small letters."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")
