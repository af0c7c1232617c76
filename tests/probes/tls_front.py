"""Put TLS in front of a real server: the servers that the tests can have everywhere are built without it."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime

import trustme

from exporter.probes.certificate import POSTGRESQL_SSL_REQUEST


class TlsFront:
    """Accept TLS connections and pass on what they say, PostgreSQL's after its own request for TLS."""

    def __init__(self, host: str, port: int) -> None:
        self.authority = trustme.CA()
        self.handshakes = 0
        self._behind = (host, port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def show(self, expires: datetime) -> None:
        """Show new connections a new certificate."""
        self.authority.issue_cert("127.0.0.1", "localhost", not_after=expires).configure_cert(self._context)

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain, socket.create_connection(self._behind) as server:
            if plain.recv(8, socket.MSG_PEEK) == POSTGRESQL_SSL_REQUEST:
                plain.recv(8)
                plain.sendall(b"S")
            with self._context.wrap_socket(plain, server_side=True) as client:
                self.handshakes += 1
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tls_front(host: str, port: int) -> Iterator[TlsFront]:
    """Run a front inside the `with`."""
    front = TlsFront(host, port)
    try:
        yield front
    finally:
        front.close()
