"""Connections to PostgreSQL, the only place where a DSN is revealed; and the advisory locks that they take."""

import enum
import logging
import random
import re
from datetime import datetime
from typing import Any

import psycopg

from exporter.config.settings import Database
from exporter.database import values
from exporter.errors import UnreachableError
from platform_sdk import libpq

logger = logging.getLogger(__name__)

# A peer that vanished is noticed after about 15 s instead of two hours.
_KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}

_SESSION = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "search_path": "pg_catalog, pg_temp",
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
}
"""What the code relies on, whatever role, database or environment say: these are set in every session.

A frozen replica must not hold a source forever; a first count of years of rows may outlast any timeout of a role, and
a poll interval one for idle sessions. Names mean what they mean here. Rows that a policy hides are an error, not a low
count. What waits for a lock must see what its holder committed. Then how values are written and read as text: sums lose
no digit. Timeouts that a server is too old for are left out.
"""

_SET = """SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) given(name, value)
WHERE current_setting(name, true) IS NOT NULL"""


def connect(database: Database, purpose: str, *, native: bool = False) -> psycopg.Connection:
    """Open a connection in autocommit mode that shows as `platform-exporter PURPOSE` in pg_stat_activity.

    Of the event store's tables, read over a `native` connection, policies let the exporter see all. Blocks for at most
    `connect_timeout_seconds` per address. Raises UnreachableError, which names host, port,
    database and user, never the password.
    """
    parameters: dict[str, Any] = dict(_KEEPALIVE)
    parameters["connect_timeout"] = max(2, round(database.connect_timeout_seconds))
    parameters["application_name"] = f"platform-exporter {purpose}"
    parameters["client_encoding"] = "UTF8"
    if database.password:
        parameters["password"] = database.password.reveal()
    try:
        # Nothing is prepared: planning costs milliseconds a poll, and poolers in transaction mode stay possible.
        # With a service's own: psycopg would take the host from the environment rather than from the service file.
        given = {**libpq.parameters(database.dsn.reveal()), **parameters}
        connection = psycopg.connect(autocommit=True, prepare_threshold=None, **given)
        session = {**_SESSION, "row_security": "on"} if native else _SESSION
        connection.execute(_SET, [list(session), list(session.values())])
        values.adapt(connection)
    except psycopg.Error as error:
        raise UnreachableError(f"no connection to {database.place}: {reason_of(error)}") from error
    return connection


def time_of(connection: psycopg.Connection) -> datetime:
    """Return the server's time: what is stored there has its times, whatever this host's clock says."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    now: datetime = row[0]
    return now


def cancel(connection: psycopg.Connection | None) -> None:
    """End the statement that another thread runs on its connection, if any; blocks for a second at most."""
    if connection is not None:
        try:
            connection.cancel_safe(timeout=1.0)
        except psycopg.Error:
            logger.debug("the server did not accept the cancellation")


@enum.unique
class AdvisoryLock(enum.IntEnum):
    """The advisory locks of the whole repository: replicas of different versions must agree on a number."""

    SCHEMA = 984_700_001
    ALERT_HISTORY = 984_700_002
    DEMO_PAST = 984_700_003
    WATCHDOG = 984_700_004

    def wait(self, connection: psycopg.Connection) -> None:
        """Take the lock until the transaction ends; blocks while another connection has it."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [self.value])

    def try_hold(self, connection: psycopg.Connection) -> bool:
        """Take the lock until the connection ends; return False where another has it. Does not wait."""
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [self.value]).fetchone()
        return row == (True,)


def backoff_seconds(failures: int, interval_seconds: float) -> float:
    """Return how long to wait after the n-th failure in a row: doubling to half a minute, with jitter.

    Replicas that lost one server must not return all at once.
    """
    longest = max(interval_seconds, 30.0)
    base: float = min(interval_seconds * 2.0 ** min(failures - 1, 10), longest)
    return base * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


_PREAMBLE = re.compile(r"^(- host: '.*?', port: '.*?', hostaddr: '.*?': )?(connection failed: |connection is bad: )?")


def reason_of(error: psycopg.Error) -> str:
    """Return an error's message in one line: without hints, and each failure of several attempts once."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    parts = (_PREAMBLE.sub("", line) for line in lines)
    text = "; ".join(part for part in dict.fromkeys(parts) if not part.startswith("Multiple connection attempts"))
    return _without_values(error, text)[:400] or type(error).__name__


_DATA_EXCEPTION = "22"
_QUOTED = re.compile(r"[\"\u201c\u201e\u00ab].*[\"\u201c\u201d\u00bb]", re.DOTALL)


def problem_of(error: Exception) -> str:
    """Return what a failure says, without the values of rows that PostgreSQL quotes: they may be anybody's secrets."""
    if not isinstance(error, psycopg.Error):
        return str(error).strip()
    said = error.diag.message_primary
    return _without_values(error, said)[:400] if said else reason_of(error)


def _without_values(error: psycopg.Error, text: str) -> str:
    quotes = (error.sqlstate or "").startswith(_DATA_EXCEPTION)
    return _QUOTED.sub("(a value)", text) if quotes else text
