"""Keep the cursor: which rows of a table are counted, told by a PostgreSQL snapshot.

Serial ids commit out of order, and a row's xmin may be a savepoint's id, which snapshots do not list. So every row
stores its top-level transaction id, and the cursor is the snapshot of the last count: whatever is visible now and was
not visible then is new. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from dataclasses import dataclass
from typing import Any

import psycopg

from exporter.aggregation import rollup
from exporter.errors import StandbyError
from exporter.sources.mapping import Plan, Stream


@dataclass(frozen=True, slots=True)
class Here:
    """Say where and when a poll looks: the cluster, and this transaction's own snapshot as text."""

    system_identifier: int
    snapshot: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """Say up to where a stream was counted: all that `snapshot` sees in that cluster."""

    system_identifier: int
    snapshot: str


@dataclass(frozen=True, slots=True)
class Window:
    """Name the rows one statement counts: SQL and the parameters it needs."""

    sql: str
    parameters: dict[str, Any]


def look(connection: psycopg.Connection) -> Here:
    """Return this transaction's place. Raises StandbyError on a server in recovery.

    A standby's snapshots list no transactions in progress: with one as cursor, rows committed later would be lost.
    """
    row = connection.execute(
        "SELECT pg_is_in_recovery(), (pg_control_system()).system_identifier, "
        "CASE WHEN NOT pg_is_in_recovery() THEN pg_current_snapshot()::text END"
    ).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    if row[0]:
        info = connection.info
        raise StandbyError(
            f"{info.host}:{info.port} is a hot standby, whose snapshots list no transactions, so counting there would "
            "lose rows; wanted the primary: change the DSN, or add target_session_attrs=read-write to it"
        )
    return Here(row[1], row[2])


def read(connection: psycopg.Connection, stream: Stream) -> Cursor | None:
    """Return the stream's cursor, None before its first count."""
    row = connection.execute(
        "SELECT system_identifier, snapshot::text FROM monitoring.cursor WHERE source = %s AND stream = %s",
        [stream.source, stream.name],
    ).fetchone()
    return Cursor(*row) if row else None


def write(connection: psycopg.Connection, stream: Stream, here: Here) -> None:
    """Set the stream's cursor to this transaction's snapshot.

    Raises psycopg.errors.SerializationFailure where another replica moved it since this transaction began.
    """
    connection.execute(
        """INSERT INTO monitoring.cursor AS c (source, stream, relation, system_identifier, snapshot, advanced_at)
        VALUES (%s, %s, %s, %s, %s::pg_snapshot, now())
        ON CONFLICT (source, stream) DO UPDATE SET relation = excluded.relation,
            system_identifier = excluded.system_identifier, snapshot = excluded.snapshot, advanced_at = now()""",
        [stream.source, stream.name, stream.relation, here.system_identifier, here.snapshot],
    )


def age_seconds(connection: psycopg.Connection, plan: Plan) -> float | None:
    """Return how long ago the least advanced stream of a source was counted; None while one never was."""
    names = [stream.name for stream in plan.streams]
    row = connection.execute(
        "SELECT count(*), extract(epoch FROM now() - min(advanced_at))::double precision "
        "FROM monitoring.cursor WHERE source = %s AND stream = ANY(%s)",
        [plan.name, names],
    ).fetchone()
    return float(row[1]) if row and names and row[0] == len(names) else None


def arrive(connection: psycopg.Connection, stream: Stream, cursor: Cursor, here: Here) -> str:
    """Note that the cursor's cluster was left, and return the last transaction counted in this one, 0 if none was.

    A database may come back: dumped here, restored elsewhere, dumped there and restored here. Transactions of rows
    written after that come after all those that any dump can hold.
    """
    connection.execute(
        f"""INSERT INTO monitoring.former_cluster AS f (source, stream, system_identifier, last_tx)
        SELECT %(source)s, %(stream)s, %(cluster)s, greatest(pg_snapshot_xmax(%(snapshot)s::pg_snapshot),
            (SELECT {stream.tx} FROM {stream.relation} t WHERE {stream.cluster} = %(cluster)s
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
        [stream.source, stream.name, here.system_identifier],
    ).fetchone()
    return row[0] if row else "0"


def windows(connection: psycopg.Connection, stream: Stream, cursor: Cursor | None, here: Here) -> list[Window]:
    """Return what to count now.

    At first everything. Then what became visible since the cursor. After a dump was restored into another cluster two
    windows: what the old cursor had not seen among rows of the old cluster (one last time), and every row written
    here since, whose transaction ids say nothing against the old cursor. Rows keep the cluster they were written in,
    so no row is in both, and those of the old cluster are never looked at again.
    """
    if cursor is None:
        return [Window(rollup.everything(stream), {})]
    moved = cursor.system_identifier != here.system_identifier
    parameters = {"cluster": cursor.system_identifier, "snapshot": cursor.snapshot}
    since = Window(rollup.window(stream, elsewhere=moved), parameters)
    if not moved:
        return [since]
    written_here = f"{stream.cluster} = %(cluster)s AND {stream.tx} > %(last_tx)s::xid8"
    last_tx = arrive(connection, stream, cursor, here)
    return [since, Window(written_here, {"cluster": here.system_identifier, "last_tx": last_tx})]
