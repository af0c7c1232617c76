"""The server whose tables may only be read: the session there, and how far its rows can be read.

It may be a standby, which has what its primary committed until some moment, or any other server.
"""

import time
from collections import defaultdict
from dataclasses import dataclass

import psycopg

from exporter.aggregation.missed import Recount
from exporter.config.settings import Database
from exporter.database import schema
from exporter.database.connection import cancel, connect
from exporter.errors import DatabaseError
from exporter.sources.mapping import Stream

READ_TIMEOUT = "300s"
"""How long one statement may read; the store's transaction waits twice as long at most."""

STALE_SECONDS = 60
"""A standby that is further behind its primary is a problem of its source."""


class Reader:
    """The session that reads the tables of one source, and what of each is to be counted again.

    It belongs to one thread, but for `cancel`.
    """

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source
        self._connection: psycopg.Connection | None = None
        self.cancelled = False
        self.recounts: dict[str, Recount] = defaultdict(Recount)

    def connected(self) -> psycopg.Connection:
        """Return the connection, a new one where it was lost. Raises UnreachableError."""
        if self._connection is None or self._connection.closed:
            self._connection = connect_to_read(self._database, f"source {self._source}")
        return self._connection

    def cancel(self) -> None:
        """End the statement that runs, and let none be tried again."""
        self.cancelled = True
        cancel(self._connection)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def connect_to_read(database: Database, purpose: str) -> psycopg.Connection:
    """Open a connection that cannot write. Raises UnreachableError."""
    connection = connect(database, purpose)
    try:
        schema.check_server(connection)
        connection.execute(
            f"SET default_transaction_read_only = on; SET statement_timeout = '{READ_TIMEOUT}'; SET jit = off"
        )
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far a server's rows can be read: those up to the time `until`. A standby may be behind its primary."""

    until: str
    behind_seconds: float = 0.0

    @property
    def problem(self) -> str | None:
        """Return why a standby's rows cannot be read as far as they should be; None where they can."""
        if self.behind_seconds <= STALE_SECONDS:
            return None
        return (
            f"the standby is {self.behind_seconds:,.0f} s behind its primary, and newer rows are counted when it has "
            "them: see pg_stat_wal_receiver there, pg_stat_replication on the primary, and whether replay is paused"
        )


_HORIZON = """SELECT (reached - make_interval(secs => %s))::text,
    CASE WHEN caught_up THEN 0 ELSE extract(epoch FROM now - replayed)::double precision END
FROM (
    SELECT *, CASE WHEN NOT standby THEN now
        WHEN caught_up AND silence > '0' THEN greatest(replayed, now - 1.5 * silence) ELSE replayed END AS reached
    FROM (
        SELECT clock_timestamp() AS now, standby, current_setting('wal_receiver_timeout')::interval AS silence,
            pg_last_xact_replay_timestamp() AS replayed, NOT standby OR coalesce(pg_last_wal_receive_lsn()
                <= pg_last_wal_replay_lsn(), false) AND EXISTS (SELECT FROM pg_stat_wal_receiver) AS caught_up
        FROM pg_is_in_recovery() standby OFFSET 0) known) server"""
"""SQL of how far a server can be read, and how far it is behind. Parameter: the seconds to settle.

A standby has what was committed until the last commit that it replayed. Where nothing is committed any more it has all
that its WAL receiver got, which ends where it has heard nothing for `wal_receiver_timeout`; hence 1.5 times that."""


def horizon(reading: psycopg.Connection, stream: Stream) -> Horizon:
    """Return how far a stream's table can be read now. Raises DatabaseError where a standby cannot say."""
    found = Horizon("")
    for attempt in range(5):
        time.sleep(0.1 if attempt else 0)  # between receiving and replaying it looks as far behind as its last commit
        until, behind = reading.execute(_HORIZON, [stream.settle_seconds]).fetchone() or (None, None)
        if until is None:
            raise DatabaseError(
                f"the standby at {reading.info.host}:{reading.info.port} has replayed no commit yet, and does not say "
                "how far it is: nothing is counted until it has"
            )
        found = Horizon(until, behind or 0.0)
        if found.problem is None:
            break
    return found
