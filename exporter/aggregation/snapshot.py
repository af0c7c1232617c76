"""The cursor of a stream: which rows of a table are counted, as a PostgreSQL snapshot.

Serial ids commit out of order, and a row's xmin may be a savepoint's id, which snapshots do not list. So every row
stores its top-level transaction id, and the cursor is the snapshot of the last count: whatever is visible now and was
not visible then is new. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from dataclasses import dataclass
from typing import Any

import psycopg

from exporter.errors import DatabaseError
from exporter.sources import explain
from exporter.sources.mapping import SourcePlan, Stream


@dataclass(frozen=True, slots=True)
class Cursor:
    """All that a snapshot, as text, sees in one cluster: what a stream has counted, or what a poll can see now.

    `relation` is the table that was counted.
    """

    system_identifier: int
    snapshot: str
    relation: str = ""


HISTORY = """concat_ws(' ', (pg_control_system()).system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()), 'monitoring.rollup'::regclass::oid)"""
"""SQL that names a database's history: another one after a failover or a recovery to a point in time (the timeline), in
another cluster, and after a dump was restored beside the original or over it. Not on a standby."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """Which store a source's rollups were read from, and how far it was.

    `registered`, when the source began there, tells a store from another that is not a copy of it. `history` and
    `position` (in the write-ahead log) tell whether it went back since; both are None on a standby. `streams` are those
    that were counted.
    """

    registered: str | None
    history: str | None
    position: int | None
    streams: tuple[str, ...]

    def went_back(self, before: "StoreState") -> bool:
        """Tell whether this store may have lost what it had `before`."""
        return self.history != before.history or (self.position or 0) < (before.position or 0)


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that one statement counts: SQL and the parameters it needs."""

    sql: str
    parameters: dict[str, Any]


EVERYTHING = Window("true", {})
"""The window of a first count: all rows there are."""


def take(connection: psycopg.Connection) -> Cursor:
    """Return this transaction's own snapshot. Raises DatabaseError on a server in recovery, or without the schema.

    A standby's snapshots list no transactions in progress: with one as cursor, rows committed later would be lost.
    """
    try:
        row = connection.execute(
            "SELECT pg_is_in_recovery(), monitoring.cluster_id(), "
            "CASE WHEN NOT pg_is_in_recovery() THEN pg_current_snapshot()::text END"
        ).fetchone()
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
        raise explain.missing_schema(connection) from error
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    in_recovery, system_identifier, snapshot = row
    if in_recovery:
        info = connection.info
        raise DatabaseError(
            f"{info.host}:{info.port} is a hot standby, whose snapshots list no transactions, so that counting there "
            "would lose rows: expected the primary; change the DSN, or add target_session_attrs=read-write to it"
        )
    return Cursor(system_identifier, snapshot)


def read(connection: psycopg.Connection, stream: Stream) -> Cursor | None:
    """Return the stream's cursor, None before its first count. Raises DatabaseError where it is a position."""
    row = connection.execute(
        "SELECT system_identifier, snapshot::text, relation, position IS NULL FROM monitoring.cursor "
        "WHERE source = %s AND stream = %s",
        [stream.source, stream.name],
    ).fetchone()
    if row and not row[3]:
        raise _counted_otherwise(stream, "by time, as a table that may only be read")
    return Cursor(*row[:3]) if row else None


def read_position(connection: psycopg.Connection, stream: Stream) -> str | None:
    """Return the time up to which a table that may only be read is counted, None before its first count.

    Raises DatabaseError where the stream was counted exactly before.
    """
    row = connection.execute(
        "SELECT position::text FROM monitoring.cursor WHERE source = %s AND stream = %s", [stream.source, stream.name]
    ).fetchone()
    if row == (None,):
        raise _counted_otherwise(stream, "exactly")
    return row[0] if row else None


def _counted_otherwise(stream: Stream, how: str) -> DatabaseError:
    return DatabaseError(
        f"stream {stream.name}: source {stream.source} was counted {how} before, and its counters would mix the two: "
        "expected another `name` in `sources`, or `platform-exporter adopt --undo` with the mapping as it was"
    )


def write(
    connection: psycopg.Connection, stream: Stream, now: Cursor, position: str | None = None, behind_seconds: float = 0
) -> None:
    """Set the stream's cursor to this transaction's snapshot, that of a table that may only be read to a `position`.

    `behind_seconds` is how far what was read is behind what its primary has. Raises
    psycopg.errors.SerializationFailure where another replica moved it since this transaction began.
    """
    relation = stream.relation if position is None else f"{stream.relation} (read only)"  # no table of this database
    connection.execute(
        f"""INSERT INTO monitoring.cursor AS c
            (source, stream, relation, system_identifier, snapshot, advanced_at, history, position)
        VALUES (%s, %s, %s, %s, %s::pg_snapshot, now() - make_interval(secs => %s), {HISTORY}, %s::timestamptz)
        ON CONFLICT (source, stream) DO UPDATE SET relation = excluded.relation,
            system_identifier = excluded.system_identifier, snapshot = excluded.snapshot,
            advanced_at = excluded.advanced_at, history = excluded.history, position = excluded.position""",
        [stream.source, stream.name, relation, now.system_identifier, now.snapshot, behind_seconds, position],
    )


def age_seconds(connection: psycopg.Connection, plan: SourcePlan) -> float | None:
    """Return how long ago the least advanced stream of a source was counted; None while one never was.

    0 where there is none: of states alone nothing is counted.
    """
    names = [stream.name for stream in plan.streams]
    row = connection.execute(
        "SELECT count(*), extract(epoch FROM now() - min(advanced_at))::double precision "
        "FROM monitoring.cursor WHERE source = %s AND stream = ANY(%s)",
        [plan.name, names],
    ).fetchone()
    if not names:
        return 0.0
    return float(row[1]) if row and row[0] == len(names) else None


def store_state(connection: psycopg.Connection, source: str, streams: list[str]) -> StoreState:
    """Return the state of the store that holds a source's rollups."""
    row = connection.execute(
        f"""SELECT (SELECT created_at::text FROM monitoring.source WHERE name = %(source)s),
            CASE WHEN NOT pg_is_in_recovery() THEN {HISTORY} END,
            CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_lsn() - '0/0')::bigint END,
            coalesce(array_agg(stream ORDER BY stream), '{{}}')
        FROM monitoring.cursor WHERE source = %(source)s AND stream = ANY(%(streams)s)""",
        {"source": source, "streams": streams},
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
    registered, history, position, counted = row
    return StoreState(registered, history, position, tuple(counted))


def windows(connection: psycopg.Connection, stream: Stream, cursor: Cursor | None, now: Cursor) -> list[Window]:
    """Return what to count now.

    At first everything. Then what became visible since the cursor. After a dump was restored into another cluster two
    windows: what the old cursor had not seen among rows of the old cluster (one last time), and every row written
    here since, whose transaction ids say nothing against the old cursor. Rows keep the cluster they were written in,
    so no row is in both, and those of the old cluster are never read again.
    """
    if cursor is None:
        return [EVERYTHING]
    moved = cursor.system_identifier != now.system_identifier
    since = Window(window(stream, elsewhere=moved), {"cluster": cursor.system_identifier, "snapshot": cursor.snapshot})
    if not moved:
        return [since]
    written_here = f"{stream.cluster} = %(cluster)s AND {stream.tx} > %(last_tx)s::xid8"
    last_tx = _change_cluster(connection, stream, cursor, now)
    return [since, Window(written_here, {"cluster": now.system_identifier, "last_tx": last_tx})]


def window(stream: Stream, *, elsewhere: bool = False) -> str:
    """Return SQL that is true for rows of %(cluster)s that became visible after %(snapshot)s was taken.

    No row can belong to a transaction that has not begun yet: one that a writer forged would be new at every poll.
    `elsewhere` says that the cluster is another one, whose transactions may well be ahead of those here. Nearly every
    row is of a transaction that had not begun when the snapshot was taken: comparing two numbers says so in a third of
    the time that it takes to look into the snapshot.
    """
    begun = "" if elsewhere else f"AND {stream.tx} < pg_snapshot_xmax(pg_current_snapshot()) "
    return (
        f"{stream.cluster} = %(cluster)s AND {stream.tx} >= pg_snapshot_xmin(%(snapshot)s::pg_snapshot) "
        f"{begun}AND ({stream.tx} >= pg_snapshot_xmax(%(snapshot)s::pg_snapshot) "
        f"OR NOT pg_visible_in_snapshot({stream.tx}, %(snapshot)s::pg_snapshot))"
    )


def _change_cluster(connection: psycopg.Connection, stream: Stream, cursor: Cursor, now: Cursor) -> str:
    """Record that the cursor's cluster was left; return the last transaction counted in this one, 0 if none was.

    A database may come back: dumped here, restored elsewhere, dumped there and restored here. Transactions of rows
    written after that come after all those that any dump can hold.
    """
    connection.execute(
        f"""INSERT INTO monitoring.former_cluster AS f (source, stream, system_identifier, last_tx)
        SELECT %(source)s, %(stream)s, %(cluster)s, greatest(pg_snapshot_xmax(%(snapshot)s::pg_snapshot),
            (SELECT {stream.tx} FROM {stream.rows} t WHERE {stream.cluster} = %(cluster)s
            ORDER BY {stream.tx} DESC LIMIT 1))
        ON CONFLICT (source, stream, system_identifier) DO UPDATE SET last_tx = greatest(f.last_tx, excluded.last_tx)
        """.encode(),
        {
            "source": stream.source,
            "stream": stream.name,
            "cluster": cursor.system_identifier,
            "snapshot": cursor.snapshot,
        },
    )
    row = connection.execute(
        "SELECT last_tx::text FROM monitoring.former_cluster WHERE (source, stream, system_identifier) = (%s, %s, %s)",
        [stream.source, stream.name, now.system_identifier],
    ).fetchone()
    return row[0] if row else "0"
