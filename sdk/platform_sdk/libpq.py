"""A PostgreSQL connection in which every wait ends at a deadline.

psycopg's own connection cannot do that: its connect timeout has a floor of two seconds, and a query waits for as long
as a frozen server takes; statement_timeout is the server's, and does not help there. So this drives `psycopg.pq`, the
documented wrapper of libpq's non-blocking calls: https://www.postgresql.org/docs/current/libpq-async.html
"""

import codecs
import contextlib
import ctypes
import functools
import os
import re
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from psycopg import Error, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from platform_sdk.errors import ConnectionBrokenError, ServerError

_CHUNK = 1 << 17
_SLICE_SECONDS = 0.1

Deadline = Callable[[], float]
"""Returns when to give up (of `time.monotonic`), and is called again while waiting."""

Row = tuple[str | None, ...]


class Address(NamedTuple):
    """The server at the other end of a connection; `address` is numeric where it was looked up."""

    address: str
    port: int
    host: str


class LibpqConnection:
    """One connection. Not thread-safe; unusable after ConnectionBrokenError and TimeoutError."""

    def __init__(self, conninfo: str, deadline: Deadline) -> None:
        """Connect. Raises TimeoutError, ServerError where the server lets nobody in, and ConnectionBrokenError."""
        self._connection = pq.PGconn.connect_start(conninfo.encode())
        try:
            with _broken():
                _say_sqlstate(self._connection)
                self._finish_connecting(deadline)
                self._connection.nonblocking = 1
        except BaseException:
            self.close()
            raise
        self._codec = codec_of(_text(self._connection.parameter_status(b"server_encoding") or b"UTF8"))

    @property
    def tls_server(self) -> Address | None:
        """The server that this connection is encrypted to, None if it is not encrypted."""
        if not self._connection.ssl_in_use:
            return None
        host = _text(self._connection.host)
        return Address(_text(self._connection.hostaddr) or host, int(self._connection.port), host)

    def run(self, sql: str, deadline: Deadline, copies: Sequence[bytes] = ()) -> list[Row]:
        """Run statements and return the rows of the last one that has any, values as text.

        Each COPY FROM STDIN among them is fed the next of `copies`. A letter that the database's encoding lacks becomes
        a question mark. Raises ServerError, TimeoutError and ConnectionBrokenError; after the last two it is unknown
        what the server did.
        """
        with _broken():
            self._connection.send_query(fitting(sql.encode(), self._codec))
            self._flush(deadline)
            return self._results((fitting(data, self._codec) for data in copies), deadline)

    def close(self) -> None:
        """Drop the connection. Never raises, never blocks."""
        with contextlib.suppress(Exception):
            self._connection.finish()

    def _finish_connecting(self, deadline: Deadline) -> None:
        events = {pq.PollingStatus.READING: select.POLLIN, pq.PollingStatus.WRITING: select.POLLOUT}
        while self._connection.status != pq.ConnStatus.BAD:
            state = pq.PollingStatus(self._connection.connect_poll())
            if state == pq.PollingStatus.OK:
                return
            if state not in events:
                break
            self._wait(events[state], deadline)
        raise _refusal(_text(self._connection.error_message))

    def _results(self, copies: Iterator[bytes], deadline: Deadline) -> list[Row]:
        rows: list[Row] = []
        failure: ServerError | None = None
        while (result := self._next(deadline)) is not None:
            if result.status == pq.ExecStatus.COPY_IN:
                self._feed(next(copies), deadline)
            elif result.status == pq.ExecStatus.TUPLES_OK:
                rows = [
                    tuple(_value(result.get_value(row, column)) for column in range(result.nfields))
                    for row in range(result.ntuples)
                ]
            elif result.status != pq.ExecStatus.COMMAND_OK:
                failure = failure or _failure(result)
        if failure is not None:
            raise failure
        return rows

    def _feed(self, data: bytes, deadline: Deadline) -> None:
        for start in range(0, len(data), _CHUNK):
            while not self._connection.put_copy_data(data[start : start + _CHUNK]):
                self._wait(select.POLLIN | select.POLLOUT, deadline)
            self._flush(deadline)
        while not self._connection.put_copy_end():
            self._wait(select.POLLIN | select.POLLOUT, deadline)
        self._flush(deadline)

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
        """Wait for the socket, whose descriptor may change while connecting."""
        poll = select.poll()
        poll.register(self._connection.socket, events)
        while True:
            remaining = deadline() - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the server did not answer in time")
            if poll.poll(min(remaining, _SLICE_SECONDS) * 1000):
                return


def conninfo(dsn: str, **overrides: str) -> str:
    """Return a connection string with the addresses of the hosts in it.

    libpq would look them up inside `connect_start`, which psycopg calls with the interpreter locked: a slow name server
    would stop all threads. Raises psycopg.ProgrammingError if the DSN is malformed, and socket.gaierror if no host has
    an address.
    """
    return make_conninfo("", **_resolved({**parameters(dsn), **overrides}))


def parameters(dsn: str) -> dict[str, str]:
    """Return a DSN's parameters, those of the service that it names among them. Raises psycopg.ProgrammingError."""
    given = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    return {**_of_service(given), **given}


def _of_service(given: Mapping[str, str]) -> dict[str, str]:
    """Return what the service file says of the service; nothing where libpq alone knows the file's place."""
    name = given.get("service") or os.environ.get("PGSERVICE") or ""
    files = [given.get("servicefile") or os.environ.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf"]
    files += [Path(folder) / "pg_service.conf" for folder in (os.environ.get("PGSYSCONFDIR"),) if folder]
    for file in files if name else ():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = Path(file).read_text(encoding="utf-8")
            if section := re.search(rf"^\[{re.escape(name)}\]\s*$([^[]*)", text, re.M):
                return dict(re.findall(r"^[ \t]*(\w+)=(.*?)[ \t]*$", section[1], re.M))
    return {}


def _resolved(parameters: Mapping[str, Any]) -> dict[str, Any]:
    # A Kerberos ticket is asked for by a blocking call, maybe of other servers.
    found = {"gssencmode": "disable", **parameters, "client_encoding": "UTF8"}
    if not found.get("host") and (found.get("service") or os.environ.get("PGSERVICE")):
        return found  # libpq finds the service itself, and its host wins over PGHOST
    hosts = str(found.get("host") or os.environ.get("PGHOST", "")).split(",")
    ports = str(found.get("port") or os.environ.get("PGPORT", "")).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    by_name = all(host and not host.startswith(("/", "@")) for host in hosts)  # otherwise there is a Unix socket
    if by_name and len(ports) == len(hosts) and not found.get("hostaddr"):
        addresses = _look_up(list(zip(hosts, ports, strict=True)))
        found["host"], found["port"], found["hostaddr"] = (",".join(column) for column in zip(*addresses, strict=True))
    return found


def _look_up(hosts: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Return host, port and address of every address there is. Raises socket.gaierror if no host has one."""
    found: list[tuple[str, str, str]] = []
    failure: socket.gaierror | None = None
    for host, port in hosts:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            failure = error
        else:
            found += [(host, port, address) for address in dict.fromkeys(str(each[0]) for *_, each in answers)]
    if failure is not None and not found:
        raise failure
    return found


@contextlib.contextmanager
def _broken() -> Iterator[None]:
    """Turn what libpq and the socket raise into ConnectionBrokenError."""
    try:
        yield
    except TimeoutError:
        raise
    except (Error, OSError, ValueError) as error:
        raise ConnectionBrokenError(str(error).strip()) from error


def codec_of(server_encoding: str) -> str | None:
    """Return the codec of a server encoding; None where all of UTF-8 fits into it, ASCII where Python has none."""
    if server_encoding in ("UTF8", "SQL_ASCII"):
        return None
    try:
        return codecs.lookup(server_encoding.replace("WIN", "cp").replace("KOI8", "koi8_")).name
    except LookupError:
        return "ascii"


def fitting(text: bytes, codec: str | None) -> bytes:
    """Return UTF-8 in which each letter that the codec lacks is a question mark: one would fail its statement."""
    if codec is None or text.isascii():
        return text
    letters = text.decode()
    # Whatever does not come back as it was: Python's EUC_JP makes a backslash of a yen sign.
    lacking = {ord(one): "?" for one in set(letters) if one.encode(codec, "ignore").decode(codec) != one}
    return letters.translate(lacking).encode() if lacking else text


_VERBOSE = 2  # PQERRORS_VERBOSE of libpq-fe.h
_REFUSAL = re.compile(r"(\S+:)\s+(?=[A-Z]*[0-9])([0-9A-Z]{5}):(\s+\S)")  # FATAL has five letters too
_LOCATION = re.compile(r"^\S+:\s+(?:(\w+), )?\S+\.c:\d+$", re.M)


def _say_sqlstate(connection: Any) -> None:
    """Let libpq put the SQLSTATE of a refused login into its message: nothing else tells it, in any language."""
    if set_verbosity := _set_verbosity():
        set_verbosity(ctypes.c_void_p(connection.pgconn_ptr), _VERBOSE)


@functools.cache
def _set_verbosity() -> Callable[..., Any] | None:
    """Return PQsetErrorVerbosity of the libpq that psycopg uses, which does not offer it; None if it is not found."""
    module = import_module(pq.PGconn.__module__)
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = module.impl.pq if hasattr(module, "impl") else ctypes.CDLL(module.__file__)
        function: Callable[..., Any] = library.PQsetErrorVerbosity
        return function
    return None


def _refusal(message: str) -> ServerError | ConnectionBrokenError:
    """Return the error of a connection that could not be made: the server's where it gave a SQLSTATE."""
    found = _REFUSAL.search(message)
    if found is None:
        return ConnectionBrokenError(message)
    place = _LOCATION.search(message)
    text = _LOCATION.sub("", _REFUSAL.sub(r"\1\3", message)).strip()
    return ServerError(found[2], text, routine=place[1] or "" if place else "")


def _failure(result: "pq.abc.PGresult") -> ServerError:
    """Return what the server refused. Raises ConnectionBrokenError for what libpq itself says."""
    field = pq.DiagnosticField
    message = _text(result.error_field(field.MESSAGE_PRIMARY) or result.error_message)
    sqlstate = _text(result.error_field(field.SQLSTATE) or b"")
    if not sqlstate:
        raise ConnectionBrokenError(message)
    return ServerError(sqlstate, message, _text(result.error_field(field.TABLE_NAME) or b""))


def _value(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()
