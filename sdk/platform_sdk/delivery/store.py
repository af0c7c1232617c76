"""Store batches: each in one transaction with its id and this process's ledger, so that both are true or neither.

A connection that breaks leaves open whether the transaction was committed; the batch is then sent again under the
same id, and the id's unique violation says that it had been. A row that the server refuses is cut out by halving.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from platform_sdk import loading
from platform_sdk.delivery.batch import Batch, Part
from platform_sdk.diagnostics import note
from platform_sdk.errors import ConnectionBrokenError, OptionError, ServerError, UnavailableError
from platform_sdk.options import Options

if TYPE_CHECKING:
    from platform_sdk.libpq import Deadline, LibpqConnection, Row

# Of SQLSTATE: data exceptions, violated constraints, cardinality, limits of a row's size, raised by a trigger.
_POISON = ("22", "23", "21", "54", "P0")

_UNTRANSLATABLE = "22P05"
"""A letter that the database's encoding lacks, though Python's codec of that name has it."""

_OLD_SCHEMA = ("42703", "42P01", "3F000")
"""Columns, tables or all of the schema that this version needs are missing."""

SLOW_LOOKUP_SECONDS = 1.0

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"  # whatever the role's default is

_JOBS = """INSERT INTO monitoring.scraping_job AS live (app, job_id, scraper, site, status, progress, total_items,
    completed_items, started_at, heartbeat_at, progressed_at, finished_at)
SELECT app, job_id, scraper, site, status, progress, total_items, completed_items, started_at, heartbeat_at,
    heartbeat_at, finished_at
FROM jsonb_to_recordset({rows}::jsonb) AS t(app text, job_id text, scraper text, site text, status text,
    progress double precision, total_items bigint, completed_items bigint, started_at timestamptz,
    heartbeat_at timestamptz, finished_at timestamptz)
ON CONFLICT (app, job_id) DO UPDATE SET scraper = excluded.scraper, site = excluded.site, status = excluded.status,
    progress = coalesce(excluded.progress, live.progress),
    total_items = coalesce(excluded.total_items, live.total_items),
    completed_items = coalesce(excluded.completed_items, live.completed_items),
    started_at = coalesce(excluded.started_at, live.started_at), heartbeat_at = excluded.heartbeat_at,
    progressed_at = CASE
        WHEN (coalesce(excluded.progress, live.progress), coalesce(excluded.completed_items, live.completed_items),
            coalesce(excluded.started_at, live.started_at), excluded.status)
            IS DISTINCT FROM (live.progress, live.completed_items, live.started_at, live.status)
        THEN excluded.heartbeat_at ELSE coalesce(live.progressed_at, excluded.heartbeat_at) END,
    finished_at = excluded.finished_at
WHERE live.heartbeat_at IS NULL OR live.heartbeat_at <= excluded.heartbeat_at"""


@dataclass(slots=True)
class Delivery:
    """What became of a batch's events so far; `again` are those that an earlier attempt had stored already."""

    stored: int = 0
    poison: int = 0
    again: int = 0
    reasons: list[str] = field(default_factory=list)


LedgerSql = Callable[[Delivery, int], str]
"""Returns the SQL that sets the ledger to what it will be once this transaction, of so many events, is committed."""


class EventStore:
    """The database that events are stored in, over one kept connection. For the writer thread alone."""

    def __init__(self, options: Options, deadline: "Deadline") -> None:
        """`deadline` returns the time (of `time.monotonic`) when everything must end, infinity mostly."""
        self._options = options
        self._deadline = deadline
        self._connection: LibpqConnection | None = None
        self.looking_up = False
        """Whether the server's name is being looked up, which has no deadline."""
        self._lookup_seconds = 0.0

    def deliver(self, batch: Batch, ledger: LedgerSql, so_far: Delivery | None = None) -> Delivery:
        """Store a batch but for its poison rows. Raises UnavailableError: deliver the whole batch again, later."""
        done = so_far or Delivery()
        done.stored += batch.events
        try:
            self._transact(batch.id, batch.parts, ledger(done, batch.events))
        except ServerError as error:
            done.stored -= batch.events
            if error.sqlstate == "23505" and error.table == "batch":
                done.stored += batch.events
                done.again += batch.events
            elif not error.sqlstate.startswith(_POISON):
                raise self._unavailable(error) from error
            elif batch.rows > 1:
                for half in batch.halves():
                    self.deliver(half, ledger, done)
            elif error.sqlstate == _UNTRANSLATABLE and (plain := batch.in_ascii()) != batch:
                self.deliver(plain, ledger, done)
            else:
                done.poison += batch.events
                done.reasons.append(f"{batch.parts[0].table}: {error} ({error.sqlstate})")
        return done

    def run(self, sql: str) -> str | None:
        """Run statements in one transaction; return the first value of the first row. Raises UnavailableError."""
        try:
            rows = self._run(f"{_BEGIN}; {self._settings()} {sql}; COMMIT")
            return rows[0][0] if rows else None
        except ServerError as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Drop the connection; the next use makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def may_hang(self) -> bool:
        """Whether connecting may outlast any deadline, as the last time: a name server does not answer."""
        return self._connection is None and self._lookup_seconds > SLOW_LOOKUP_SECONDS

    def _transact(self, batch_id: str, parts: tuple[Part, ...], ledger: str) -> None:
        statements = [f"{_BEGIN}; {self._settings()} INSERT INTO monitoring.batch (id) VALUES ('{batch_id}')"]
        copies: list[bytes] = []
        for part in parts:
            if part.columns:
                statements.append(f"COPY monitoring.{part.table} ({', '.join(part.columns)}) FROM STDIN")
                copies.append(part.data)
            else:
                statements.append(_JOBS.format(rows=quoted(f"[{b','.join(part.data.splitlines()).decode()}]")))
        self._run("; ".join((*statements, ledger, "COMMIT")), copies)

    def _run(self, sql: str, copies: Sequence[bytes] = ()) -> "list[Row]":
        connection = self._connection = self._connection or self._connect()
        try:
            return connection.run(sql, self._until(self._options.statement_timeout_seconds + 2.0), copies)
        except (ConnectionBrokenError, TimeoutError) as error:
            self.close()
            raise UnavailableError(str(error)) from error
        except ServerError:
            self._roll_back(connection)
            raise
        except BaseException:  # it is unknown what the server was sent
            self.close()
            raise

    def _roll_back(self, connection: "LibpqConnection") -> None:
        try:
            connection.run("ROLLBACK", self._until(self._options.statement_timeout_seconds))
        except (ConnectionBrokenError, TimeoutError, ServerError):
            self.close()

    def _connect(self) -> "LibpqConnection":
        until = self._until(self._options.connect_timeout_seconds)
        try:
            load_driver()
            from platform_sdk.libpq import LibpqConnection

            return LibpqConnection(self._conninfo(), until)
        except Exception as error:
            raise UnavailableError(f"{type(error).__name__}: {error}") from error

    def _conninfo(self) -> str:
        began = time.monotonic()
        self.looking_up = True
        try:
            return connection_string(self._options)
        finally:
            self.looking_up, self._lookup_seconds = False, time.monotonic() - began

    def _settings(self) -> str:
        """Return the settings of a transaction; a session's would be lost behind a pooler such as PgBouncer."""
        milliseconds = max(int(self._options.statement_timeout_seconds * 1000), 1)
        return (
            f"SET LOCAL statement_timeout = {milliseconds}; SET LOCAL standard_conforming_strings = on; "
            f"SET LOCAL synchronous_commit = {'on' if self._options.synchronous_commit else 'off'};"
        )

    def _until(self, seconds: float) -> "Deadline":
        end = time.monotonic() + seconds
        return lambda: min(end, self._deadline())

    def _unavailable(self, error: ServerError) -> UnavailableError:
        """Return the error for a refusal that is not a row's fault: schema or privilege missing, disk full, standby ...

        The next try makes a new connection: this one may stay read-only, or lead to a former primary.
        """
        self.close()
        advice = ": run `platform-exporter schema apply`" if error.sqlstate in _OLD_SCHEMA else ""
        return UnavailableError(f"{error} ({error.sqlstate}){advice}")


def load_driver() -> None:
    """Import psycopg, and what it and the writer import later by themselves. Raises ImportError.

    The writer's thread does this, at its first batch: it takes some tenths of a second.
    """
    with loading.without_fork():
        for name in ("encodings.idna", "tokenize", "platform_sdk.libpq"):  # by getaddrinfo, by the first stack trace
            import_module(name)


def connection_string(options: Options) -> str:
    """Return libpq's key-value string. Raises OptionError (malformed DSN) or socket.gaierror."""
    from platform_sdk.libpq import conninfo

    overrides = {}
    if options.password:
        overrides["password"] = options.password
    if "application_name" not in _dsn_parts(options.dsn):
        overrides["application_name"] = f"platform-sdk {options.app}"[:60]
    return conninfo(options.dsn, **overrides)


def _dsn_parts(dsn: str) -> Mapping[str, Any]:
    """Return a DSN's parts. Raises OptionError without quoting it, as libpq's message would, password and all."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    with contextlib.suppress(ProgrammingError, UnicodeDecodeError):
        parts = conninfo_to_dict(dsn)
        # A password with @ or / in it makes libpq take its end for host or port, and show it in every message.
        hosts, ports = str(parts.get("host") or "").split(","), str(parts.get("port") or "").split(",")
        shown = [str(parts.get("dbname") or ""), *(host[1:] for host in hosts)]
        valid = not any("@" in one or "://" in one for one in shown)
        if valid and all(port.isdigit() or not port for port in ports):
            return parts
    expected = (
        "postgresql://<user>@<host>:<port>/<database> or key=value; in a password %25 for %, %40 for @, %2F for /"
    )
    raise OptionError(f"invalid value for dsn (not shown): expected {expected}")


def quoted(text: str) -> str:
    """Return an SQL literal."""
    return "'" + text.replace("\0", "").replace("'", "''") + "'"


def note_poison(delivery: Delivery) -> None:
    """Log why rows were refused, without their values."""
    for reason in delivery.reasons[:1]:
        note("poison", f"the database refused {delivery.poison} events, for example {reason}")
