"""Watch when a component's TLS certificate expires.

By a handshake of its own, in a thread of its own: a kept connection has the certificate of the day it was made, which
may have been renewed since; most client libraries show none; and a name server that hangs must not delay a check.
"""

import contextlib
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from exporter.probes.base import Gauge

log = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
AGAIN_SECONDS = 300.0
"""How often a certificate is looked at, and how long after a look that failed."""

TIMEOUT_SECONDS = 5.0
"""How long a connection and its handshake may take, each."""

POSTGRESQL_SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
"""What asks PostgreSQL for TLS: https://www.postgresql.org/docs/current/protocol-message-formats.html"""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a certificate is shown: `name` is sent with the handshake, for servers that have several.

    `own` are this side's certificate and key files, for servers that shake hands with no one else.
    """

    host: str
    port: int
    name: str
    postgresql: bool = False
    own: tuple[str, str | None] | None = None


class CertificateWatch:
    """Looks at a peer's certificate now and then; for one probe, so for one thread. It never blocks or raises."""

    def __init__(self, look: Callable[[Peer], float] | None = None) -> None:
        self._look = look or expiry
        self._lock = threading.Lock()
        self._peer: Peer | None = None
        self._expiry: float | None = None
        self._due = 0.0
        self._looking = False

    def gauges(self, peer: Peer | None) -> tuple[Gauge, ...]:
        """Return what the last look saw, and start another if one is due; None for a peer means without TLS."""
        with self._lock:
            if peer != self._peer:
                self._peer, self._expiry, self._due = peer, None, 0.0
            if peer is not None and not self._looking and time.monotonic() >= self._due:
                self._looking = True
                threading.Thread(target=self._run, args=(peer,), name="certificate", daemon=True).start()
            seen = self._expiry
        return () if seen is None else (Gauge("component_certificate_expiry_timestamp_seconds", seen),)

    def _run(self, peer: Peer) -> None:
        seen: float | None = None
        try:
            seen = self._look(peer)
        except Exception as error:  # noqa: BLE001 - what a server sends may be anything; a failed look is not an outage
            log.info("the certificate of %s:%d could not be seen: %s", peer.host, peer.port, error)
        with self._lock:
            self._looking = False
            if peer == self._peer:
                self._expiry = self._expiry if seen is None else seen
                self._due = time.monotonic() + (AGAIN_SECONDS if seen is None else EVERY_SECONDS)


def expiry(peer: Peer) -> float:
    """Return when the certificate that `peer` shows expires, in Unix seconds. Raises OSError or ValueError.

    It is not verified, and nothing is sent but the handshake: whether it is trusted is for the probe's own connection.
    """
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if peer.own:
        context.load_cert_chain(*peer.own)
    with socket.create_connection((peer.host, peer.port), TIMEOUT_SECONDS) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        if peer.postgresql:
            connection.sendall(POSTGRESQL_SSL_REQUEST)
            if connection.recv(1) != b"S":
                raise OSError("the server does not speak TLS")
        with context.wrap_socket(connection, server_hostname=peer.name or None) as channel:
            shown = channel.getpeercert(binary_form=True)
            with contextlib.suppress(OSError):
                channel.unwrap()
    if not shown:
        raise OSError("the server showed no certificate")
    return x509.load_der_x509_certificate(shown).not_valid_after_utc.timestamp()
