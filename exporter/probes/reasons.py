"""Classify an exception as one of the closed list of reasons, by its type and the types it came from."""

import errno
import socket
import ssl
from collections.abc import Iterator

from exporter.probes.base import Reason


def reason_of(error: BaseException) -> Reason | None:
    """Return the reason that `error`, or the nearest exception it was raised from, gives; None where none says.

    Client libraries wrap the operating system's error (urllib3 with `from`, redis inside `except`), so the chain says
    exactly what their own messages say in prose.
    """
    for link in _chain(error):
        for kinds, reason in _REASONS:
            if isinstance(link, kinds):
                return reason
        if isinstance(link, OSError) and link.errno in _UNREACHABLE:
            return Reason.REFUSED
    return None


_REASONS: tuple[tuple[tuple[type[BaseException], ...], Reason], ...] = (
    ((TimeoutError,), Reason.TIMEOUT),
    ((ssl.SSLError,), Reason.TLS),
    ((socket.gaierror, socket.herror), Reason.DNS),
    ((ConnectionResetError, ConnectionAbortedError, BrokenPipeError, EOFError), Reason.PROTOCOL),
    ((ConnectionRefusedError, FileNotFoundError), Reason.REFUSED),  # the latter: a Unix socket that is not there
)

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
"""Where the network itself says no: these have no exception class of their own."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
