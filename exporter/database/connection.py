"""Connections to PostgreSQL, the only place where a DSN is revealed; and the advisory locks that they take."""

import enum
import random
import re
from typing import Any

import psycopg

from exporter.config.settings import Database
from exporter.errors import UnreachableError

# A peer that vanished is noticed after about 15 s instead of two hours.
_KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}

_SESSION = """SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '10s'; SET timezone = 'UTC';
SET search_path = pg_catalog, pg_temp; SET statement_timeout = 0; SET row_security = off"""
"""A frozen replica must not hold a source forever; the user's own settings must not change what names mean; a first
count of years of rows may outlast the role's own timeout. Rows that a policy hides are an error, not a low count."""


def connect(database: Database, purpose: str) -> psycopg.Connection:
    """Open a connection in autocommit mode that shows as `platform-exporter PURPOSE` in pg_stat_activity.

    Blocks for at most `connect_timeout_seconds` per address. Raises UnreachableError, which names host, port,
    database and user, never the password.
    """
    parameters: dict[str, Any] = dict(_KEEPALIVE)
    parameters["connect_timeout"] = max(2, round(database.connect_timeout_seconds))
    parameters["application_name"] = f"platform-exporter {purpose}"
    if database.password:
        parameters["password"] = database.password.reveal()
    try:
        # Nothing is prepared: planning costs milliseconds a poll, and poolers in transaction mode stay possible.
        connection = psycopg.connect(database.dsn.reveal(), autocommit=True, prepare_threshold=None, **parameters)
        connection.execute(_SESSION)
    except psycopg.Error as error:
        raise UnreachableError(f"no connection to {database.place}: {reason_of(error)}") from error
    return connection


@enum.unique
class AdvisoryLock(enum.IntEnum):
    """The advisory locks of the whole repository: replicas of different versions must agree on a number."""

    SCHEMA = 984_700_001
    ALERT_HISTORY = 984_700_002
    DEMO_PAST = 984_700_003

    def wait(self, connection: psycopg.Connection) -> None:
        """Take the lock until the transaction ends; blocks while another connection has it."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [self.value])


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
    return text[:400] or type(error).__name__
