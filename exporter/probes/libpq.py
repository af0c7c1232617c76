"""Ask a PostgreSQL server over libpq, where every wait ends at a deadline.

psycopg's blocking connection cannot do that: its connect timeout has a floor of two seconds, and a query waits for as
long as a frozen server takes. So this drives `psycopg.pq`, the documented wrapper of libpq's non-blocking calls:
https://www.postgresql.org/docs/current/libpq-async.html
"""

import contextlib
import select
import time
from collections.abc import Iterator

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from exporter.probes.certificate import Peer
from platform_sdk.libpq.addresses import resolved

Row = tuple[str | None, ...]


class QueryError(Exception):
    """Say that the server answered a query with an error of SQLSTATE `sqlstate`."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class LinkError(Exception):
    """Say that no connection could be made, or that it broke; only libpq's message says why."""


class Link:
    """Hold one connection. Not thread-safe; unusable after any exception but QueryError."""

    def __init__(self, dsn: str, deadline: float, **overrides: str) -> None:
        """Connect until `deadline` (of `time.monotonic`).

        Raises TimeoutError, socket.gaierror, LinkError, and psycopg.ProgrammingError where the DSN is malformed.
        """
        parameters = resolved(conninfo_to_dict(dsn, **overrides))
        self._connection = pq.PGconn.connect_start(make_conninfo("", **parameters).encode())
        try:
            self._finish_connecting(deadline)
        except BaseException:
            self.close()
            raise
        self._connection.nonblocking = 1

    @property
    def tls_peer(self) -> Peer | None:
        """Return the server that this connection is encrypted to, None where it is not."""
        if not self._connection.ssl_in_use:
            return None
        host = _text(self._connection.host)
        return Peer(_text(self._connection.hostaddr) or host, int(self._connection.port), host, postgresql=True)

    def query(self, sql: str, deadline: float) -> list[Row]:
        """Return the rows of the last statement in `sql`, values as text. One round trip.

        Raises TimeoutError, QueryError, LinkError.
        """
        with _broken_link():
            self._connection.send_query(sql.encode())
            while self._connection.flush():
                self._wait(select.POLLIN | select.POLLOUT, deadline)
                self._connection.consume_input()
        return list(self._results(deadline))

    def close(self) -> None:
        """Drop the connection. Never raises, never blocks."""
        with contextlib.suppress(psycopg.Error):
            self._connection.finish()

    def _finish_connecting(self, deadline: float) -> None:
        events = {pq.PollingStatus.READING: select.POLLIN, pq.PollingStatus.WRITING: select.POLLOUT}
        while self._connection.status != pq.ConnStatus.BAD:
            state = self._connection.connect_poll()
            if state == pq.PollingStatus.OK:
                return
            if state not in events:
                break
            self._wait(events[pq.PollingStatus(state)], deadline)
        raise LinkError(_text(self._connection.error_message))

    def _results(self, deadline: float) -> Iterator[Row]:
        rows: list[Row] = []
        failure: QueryError | None = None
        while (result := self._next(deadline)) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK:
                rows = [
                    tuple(_value(result.get_value(row, column)) for column in range(result.nfields))
                    for row in range(result.ntuples)
                ]
            elif result.status != pq.ExecStatus.COMMAND_OK:
                sqlstate = _text(result.error_field(pq.DiagnosticField.SQLSTATE) or b"")
                failure = QueryError(sqlstate, _text(result.error_message))
        if failure is not None and failure.sqlstate:
            raise failure
        if failure is not None:  # libpq made this one up: the connection broke
            raise LinkError(str(failure))
        yield from rows

    def _next(self, deadline: float) -> "pq.abc.PGresult | None":
        with _broken_link():
            while self._connection.is_busy():
                self._wait(select.POLLIN, deadline)
                self._connection.consume_input()
            return self._connection.get_result()

    def _wait(self, events: int, deadline: float) -> None:
        """Wait for the socket; the descriptor may change while connecting, so it is asked for every time."""
        poll = select.poll()
        poll.register(self._connection.socket, events)
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not poll.poll(remaining * 1000):
            raise TimeoutError


@contextlib.contextmanager
def _broken_link() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise LinkError(str(error)) from error


def _value(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()
