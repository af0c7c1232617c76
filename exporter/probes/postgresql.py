"""Probe PostgreSQL: does it answer a query, does it accept writes, how full is it."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from exporter.probes.base import (
    TOO_MANY_CONNECTIONS,
    Answer,
    Degradation,
    Driver,
    Gauge,
    GaugeFamily,
    Probe,
    ProbeError,
    Reason,
    Target,
)
from exporter.probes.certificate import CertificateWatch, Peer
from exporter.probes.postgresql_replication import FAMILIES, Replication
from exporter.probes.postgresql_state import STATE_SQL, State
from exporter.sections import Problem, Ratio, Secret, dsn_problems
from platform_sdk.errors import ConnectionBrokenError, ServerError

if TYPE_CHECKING:
    import psycopg

    from platform_sdk import libpq
else:
    psycopg, libpq = Driver("psycopg"), Driver("platform_sdk.libpq")

APPLICATION_NAME = "platform-exporter"

SIZE_EVERY_SECONDS = 60.0
"""How often the sizes are asked for: PostgreSQL looks at every file of every database."""

RECHECK_SECONDS = 600.0
"""For how long it is believed that a server says nothing of replication: hosted ones lack some of the functions."""

SIZE_SQL = """
SET LOCAL statement_timeout = {limit_milliseconds:d};
SELECT sum(pg_database_size(oid))
  FROM pg_database
 WHERE pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') OR has_database_privilege(oid, 'CONNECT')
"""
"""One row: bytes of all databases that this role may ask about. The two statements are one transaction."""

_REASONS = {
    "08": Reason.PROTOCOL,
    "28": Reason.AUTH,
    "42501": Reason.AUTH,
    "55000": Reason.REFUSED,  # the database accepts no connections
    "53300": TOO_MANY_CONNECTIONS,
    "57014": Reason.TIMEOUT,
    "57P": Reason.REFUSED,
}
"""By SQLSTATE or its beginning: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_OWN_LIMIT = "InitializeSessionUserId"
"""The function that refuses with 53300 where only this role's own limit is reached: others still connect."""

_PHRASES = (
    # what libpq itself says; it is not translated in psycopg's wheels
    ("SSL", Reason.TLS),
    ("certificate", Reason.TLS),
    ("timeout expired", Reason.TIMEOUT),
    ("timed out", Reason.TIMEOUT),
    ("Connection refused", Reason.REFUSED),
    ("No such file or directory", Reason.REFUSED),
    ("No route to host", Reason.REFUSED),
    ("Network is unreachable", Reason.REFUSED),
    ("could not translate host name", Reason.DNS),
    ("no password supplied", Reason.AUTH),
    ("server closed the connection unexpectedly", Reason.PROTOCOL),
    ("Connection reset by peer", Reason.PROTOCOL),
    ("expected authentication request", Reason.PROTOCOL),
    ("invalid response", Reason.PROTOCOL),
)
"""By message: what libpq and the system find out before a server has said anything."""


class PostgresqlTarget(Target, frozen=True):
    """A PostgreSQL server to probe. `primary: false` accepts a server in recovery."""

    dsn: Secret
    password: Secret | None = None
    primary: bool = True
    connections_degraded_ratio: Ratio = 0.9

    def problems(self) -> Iterator[Problem]:
        yield from dsn_problems(self.dsn)


class PostgresqlProbe(Probe):
    """The probe of one server, over one kept connection.

    It needs the right to connect and nothing more; `pg_monitor` adds what only its members may see. A kept connection
    that broke since the last check is replaced within the same check: a restart between two scrapes is not an outage.
    """

    component = "postgresql"
    target = PostgresqlTarget
    families = (
        GaugeFamily("postgresql_connections", "Client connections in use."),
        GaugeFamily("postgresql_connections_limit", "Client connections that ordinary users may have."),
        GaugeFamily("postgresql_oldest_transaction_seconds", "Age of the oldest open transaction."),
        GaugeFamily("postgresql_size_bytes", "Size of all databases of the server."),
        GaugeFamily("postgresql_transaction_ids_used_ratio", "Used share of transaction ids; VACUUM frees them."),
        *FAMILIES,
    )
    reasons = (TOO_MANY_CONNECTIONS,)
    weaknesses = ("recovery", "read_only", "connections")
    example = """
name: main
dsn: postgresql://platform@127.0.0.1:5432/platform
primary: true           # a server in recovery is degraded
connections_degraded_ratio: 0.9
"""

    def __init__(self, settings: PostgresqlTarget) -> None:
        super().__init__(settings)
        self._connection: libpq.LibpqConnection | None = None
        self._certificate = CertificateWatch()
        self._size: float | None = None
        self._size_due = 0.0
        self._replication = Replication()
        self._no_replication_until = 0.0

    def check(self, timeout_seconds: float) -> Answer:
        """Ask for the state, and now and then for the sizes. Raises ProbeError."""
        end = time.monotonic() + timeout_seconds
        try:
            state = State(*self._state(lambda: end))
            replication = self._ask_replication(lambda: end)
            self._measure_size(lambda: end)
        except TimeoutError as error:
            self.close()
            raise ProbeError(Reason.TIMEOUT, f"no answer in {timeout_seconds:.3g} s") from error
        except (ServerError, ConnectionBrokenError) as error:
            self.close()
            raise ProbeError(reason_of_failure(error), str(error)) from error
        except psycopg.ProgrammingError as error:
            raise ProbeError(Reason.OTHER, "the DSN is malformed") from error  # libpq quotes it: password and all
        except BaseException:
            self.close()
            raise
        server = self._connection.tls_server if self._connection else None
        peer = None if server is None else Peer(server.address, server.port, server.host, postgresql=True)
        seen = self._certificate.gauges(peer)
        return Answer(tuple(self._degradations(state)), (*self._gauges(state), *replication, *seen))

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _state(self, deadline: "libpq.Deadline") -> tuple[str | None, ...]:
        if self._connection is not None:
            try:
                return self._connection.run(STATE_SQL, deadline)[0]
            except ConnectionBrokenError:
                self.close()
            except ServerError as error:
                self.close()
                if not error.sqlstate.startswith("57P"):  # ended by an administrator, a crash or a shutdown
                    raise
        address = libpq.conninfo(self.settings.dsn.reveal(), **self._overrides())
        self._connection = libpq.LibpqConnection(address, deadline)
        return self._connection.run(STATE_SQL, deadline)[0]

    def _overrides(self) -> dict[str, str]:
        overrides = {"application_name": APPLICATION_NAME}
        if self.settings.password is not None:
            overrides["password"] = self.settings.password.reveal()
        return overrides

    def _ask_replication(self, deadline: "libpq.Deadline") -> tuple[Gauge, ...]:
        if self._connection is None or time.monotonic() < self._no_replication_until:
            return ()
        try:
            rows = self._connection.run(self._replication.sql(), deadline)
        except ServerError:
            self._no_replication_until = time.monotonic() + RECHECK_SECONDS
            return ()
        return tuple(self._replication.gauges(rows))

    def _measure_size(self, deadline: "libpq.Deadline") -> None:
        """Ask for the sizes if they are due, in half of the time left: a large cluster may take longer."""
        now = time.monotonic()
        if now < self._size_due or self._connection is None:
            return
        limit_milliseconds = max(1, int((deadline() - now) * 500))
        try:
            ((size,),) = self._connection.run(SIZE_SQL.format(limit_milliseconds=limit_milliseconds), deadline)
        except ServerError:
            size = None
        self._size = None if size is None else float(size)
        self._size_due = now + SIZE_EVERY_SECONDS

    def _degradations(self, state: State) -> Iterator[Degradation]:
        if self.settings.primary and state.in_recovery:
            cause = "in recovery: a standby where a primary is expected, so nothing can be written"
            yield Degradation("recovery", cause)
        elif self.settings.primary and state.refuses_writes:
            cause = f"read-only: default_transaction_read_only is on ({state.read_only_source})"
            yield Degradation("read_only", cause)
        if state.connections >= state.connections_limit:
            cause = f"connections full: {state.connections} of {state.connections_limit} are open"
            yield Degradation("connections", cause)
        elif state.connections >= state.connections_limit * self.settings.connections_degraded_ratio:
            yield Degradation(
                "connections",
                f"{state.connections} of {state.connections_limit} connections are open "
                f"(degraded from {self.settings.connections_degraded_ratio:.0%})",
            )

    def _gauges(self, state: State) -> Iterator[Gauge]:
        yield Gauge("postgresql_connections", state.connections)
        yield Gauge("postgresql_connections_limit", state.connections_limit)
        if state.oldest_transaction_seconds is not None:
            yield Gauge("postgresql_oldest_transaction_seconds", state.oldest_transaction_seconds)
        if self._size is not None:
            yield Gauge("postgresql_size_bytes", self._size)
        yield Gauge("postgresql_transaction_ids_used_ratio", state.transaction_ids_used_ratio)


def reason_of_failure(error: ServerError | ConnectionBrokenError) -> str:
    """Return the reason by SQLSTATE where the server gave one, else by libpq's message."""
    if isinstance(error, ServerError):
        found = next((reason for state, reason in _REASONS.items() if error.sqlstate.startswith(state)), Reason.OTHER)
        return Reason.AUTH if found == TOO_MANY_CONNECTIONS and error.routine == _OWN_LIMIT else found
    return next((reason for phrase, reason in _PHRASES if phrase in str(error)), Reason.OTHER)
