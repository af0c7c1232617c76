"""Talk to PostgreSQL over libpq's non-blocking calls, where every wait ends at a deadline.

psycopg's own connection waits for as long as a frozen server takes; statement_timeout is the server's, and does not
help there. https://www.postgresql.org/docs/current/libpq-async.html
"""

import contextlib
import select
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import pq

_CHUNK = 1 << 17
_SLICE_SECONDS = 0.1

Deadline = Callable[[], float]


class LinkError(Exception):
    """Say that there is no connection, that it broke, or that the server took too long: the outcome is unknown."""


class ServerError(Exception):
    """Say that the server refused: SQLSTATE, the table it names if any, and which COPY, by number from 0, if any."""

    def __init__(self, sqlstate: str, message: str, table: str, copying: int | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.table = table
        self.copying = copying


class Link:
    """Hold one connection. For the writer thread alone; unusable after LinkError."""

    def __init__(self, connection_string: str, deadline: Deadline) -> None:
        """Connect. `deadline` returns when to give up (of `time.monotonic`), and is asked again and again."""
        from psycopg import pq

        self._pq = pq
        self._connection = pq.PGconn.connect_start(connection_string.encode())
        try:
            with self._broken():
                self._finish_connecting(deadline)
                self._connection.nonblocking = 1
        except BaseException:
            self.close()
            raise

    def run(self, sql: str, copies: Sequence[bytes], deadline: Deadline) -> str | None:
        """Run statements; each COPY FROM STDIN among them is fed the next of `copies`.

        Return the first value of the last row, if any. Raises ServerError or LinkError.
        """
        with self._broken():
            self._connection.send_query(sql.encode())
            self._flush(deadline)
            return self._results(copies, deadline)

    def close(self) -> None:
        """Drop the connection. Never raises, never blocks."""
        with contextlib.suppress(Exception):
            self._connection.finish()

    def _finish_connecting(self, deadline: Deadline) -> None:
        status = self._pq.PollingStatus
        events = {status.READING: select.POLLIN, status.WRITING: select.POLLOUT}
        while self._connection.status != self._pq.ConnStatus.BAD:
            state = status(self._connection.connect_poll())
            if state == status.OK:
                return
            if state not in events:
                break
            self._wait(events[state], deadline)
        raise LinkError(_text(self._connection.error_message))

    def _results(self, copies: Sequence[bytes], deadline: Deadline) -> str | None:
        value: str | None = None
        failure: ServerError | None = None
        copying = -1
        while (result := self._next(deadline)) is not None:
            status = self._pq.ExecStatus(result.status)
            if status == self._pq.ExecStatus.COPY_IN:
                copying += 1
                self._feed(copies[copying], deadline)
            elif status == self._pq.ExecStatus.TUPLES_OK:
                raw = result.get_value(0, 0) if result.ntuples else None
                value = None if raw is None else _text(raw)
            elif status != self._pq.ExecStatus.COMMAND_OK:
                failure = failure or self._failure(result, copying)
        if failure is not None:
            raise failure
        return value

    def _feed(self, data: bytes, deadline: Deadline) -> None:
        for start in range(0, len(data), _CHUNK):
            while not self._connection.put_copy_data(data[start : start + _CHUNK]):
                self._wait(select.POLLIN | select.POLLOUT, deadline)
            self._flush(deadline)
        while not self._connection.put_copy_end():
            self._wait(select.POLLIN | select.POLLOUT, deadline)
        self._flush(deadline)

    def _failure(self, result: "pq.abc.PGresult", copying: int) -> ServerError:
        field = self._pq.DiagnosticField
        sqlstate = _text(result.error_field(field.SQLSTATE) or b"")
        message = _text(result.error_field(field.MESSAGE_PRIMARY) or result.error_message)
        if not sqlstate or sqlstate.startswith(("57P", "08")):  # libpq made this up; the server is going away
            raise LinkError(message)
        table = _text(result.error_field(field.TABLE_NAME) or b"")
        return ServerError(sqlstate, message, table, copying if copying >= 0 else None)

    def _flush(self, deadline: Deadline) -> None:
        while self._connection.flush():
            self._wait(select.POLLIN | select.POLLOUT, deadline)
            self._connection.consume_input()

    def _next(self, deadline: Deadline) -> "pq.abc.PGresult | None":
        while self._connection.is_busy():
            self._wait(select.POLLIN, deadline)
            self._connection.consume_input()
        return self._connection.get_result()

    def _wait(self, events: int, deadline: Deadline) -> None:
        """Wait for the socket; the descriptor may change while connecting, so it is asked for every time."""
        poll = select.poll()
        poll.register(self._connection.socket, events)
        while True:
            remaining = deadline() - time.monotonic()
            if remaining <= 0:
                raise LinkError("the server did not answer in time")
            if poll.poll(min(remaining, _SLICE_SECONDS) * 1000):
                return

    @contextlib.contextmanager
    def _broken(self) -> Iterator[None]:
        """Turn what libpq and the socket say into LinkError."""
        from psycopg import Error

        try:
            yield
        except (Error, OSError, ValueError) as error:
            raise LinkError(_text(str(error).encode("utf-8", "replace"))) from error


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()
