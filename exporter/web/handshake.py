"""TLS for asyncio by pyOpenSSL: what asyncio asks of an SSLContext and of its SSLObject.

A failed handshake sends its alert before the connection is closed, so that the client learns why; asyncio throws it
away. Read and written as in Python's `ssl.SSLObject`.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import NoReturn, TypeVar

from OpenSSL import SSL

from exporter.web.tls import reason

T = TypeVar("T")

PIECE_BYTES = 64 * 1024

SENT_PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""What Go answers to a client that speaks no TLS."""


class Handshake:
    """The context for one connection."""

    def __init__(self, context: SSL.Context, client: socket.socket) -> None:
        self._context = context
        self._client = client

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool, server_hostname: str | None
    ) -> "TlsSession":
        """Return the session of the server's side."""
        return TlsSession(SSL.Connection(self._context, None), incoming, outgoing, self._client)


class TlsSession:
    """One TLS session between two buffers: what arrived, and what is to be sent. Its errors are those of `ssl`."""

    def __init__(
        self, connection: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, client: socket.socket
    ) -> None:
        connection.set_accept_state()
        self._connection = connection
        self._incoming = incoming
        self._outgoing = outgoing
        self._client = client

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises ssl.SSLError, after the alert was sent."""
        try:
            self._call(self._connection.do_handshake)
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            plain = "http request" in str(error)
            # asyncio closes the connection without what is to be sent. One packet fits into an empty socket.
            with contextlib.suppress(OSError):
                self._client.send(SENT_PLAIN_HTTP if plain else self._outgoing.read())
            raise

    def read(self, size: int) -> bytes:
        """Return what the client sent, b"" where it has ended the session."""
        try:
            return self._call(lambda: self._connection.recv(size))
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, data: bytes) -> int:
        """Encrypt, and return how many bytes."""
        return self._call(lambda: self._connection.send(bytes(data)))

    def unwrap(self) -> None:
        """End the session; raises ssl.SSLWantReadError until the client has ended it too."""
        if not self._call(self._connection.shutdown):
            raise ssl.SSLWantReadError

    def getpeercert(self) -> None:
        """Return nothing: the handshake has checked the client's certificate."""

    cipher = compression = getpeercert

    def _call(self, function: Callable[[], T]) -> T:
        if received := self._incoming.read():
            self._connection.bio_write(received)
        try:
            return function()
        except SSL.Error as error:
            _raise(error)
        finally:
            with contextlib.suppress(SSL.Error):  # WantReadError: there is no more
                while True:
                    self._outgoing.write(self._connection.bio_read(PIECE_BYTES))


def _raise(error: SSL.Error) -> NoReturn:
    if isinstance(error, SSL.WantReadError):
        raise ssl.SSLWantReadError from None
    if isinstance(error, SSL.ZeroReturnError):
        raise ssl.SSLZeroReturnError from None
    raise ssl.SSLError(ssl.SSL_ERROR_SSL, reason(error)) from error
