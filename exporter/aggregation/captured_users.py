"""What captured changes of adopted tables hold of one user or consumer: they stay for days after they are counted."""

from typing import Any

import psycopg

from exporter.aggregation import captured, snapshot
from exporter.database.personal import CONSUMER, SESSION, USER, Person
from exporter.errors import DatabaseError
from exporter.sources.mapping import SourcePlan, Stream

Connection = psycopg.Connection[Any]


def streams_of(connection: Connection, plan: SourcePlan) -> list[Stream]:
    """Return the streams of a source that name users or consumers, and whose changes are captured here.

    Raises DatabaseError where the session may not read and remove them.
    """
    row = connection.execute("SELECT to_regclass('monitoring.capture') IS NULL").fetchone()
    if row == (True,):
        return []
    found = []
    for stream in plan.streams:
        if not stream.captured or not {USER, CONSUMER} & stream.columns.keys():
            continue
        row = connection.execute(
            """SELECT has_table_privilege(format('monitoring.captured_%%s', number), 'SELECT')
                AND has_table_privilege(format('monitoring.captured_%%s', number), 'DELETE')
            FROM monitoring.capture WHERE (source, stream) = (%s, %s)""",
            [stream.source, stream.name],
        ).fetchone()
        if row == (False,):
            info = connection.info
            raise DatabaseError(
                f"user {info.user} may not change what is captured of {stream.relation} in database {info.dbname}: "
                "run this as who adopted it"
            )
        found += [stream] if row else []
    return found


def sessions(connection: Connection, stream: Stream, person: Person) -> set[str]:
    """Return the sessions of the user that the changes of a stream name."""
    if person.consumer or not {USER, SESSION} <= stream.columns.keys():
        return set()
    events = _events(stream, _changed(connection, stream))
    query = f"SELECT DISTINCT session_id FROM ({events}) e WHERE session_id <> '' AND {_THEIRS}"
    return {row[0] for row in connection.execute(query.encode(), person.parameters([]))}


def rows_of(connection: Connection, stream: Stream, person: Person, known: list[str]) -> list[dict[str, Any]]:
    """Return the changes that name the person, or one of the sessions `known`, as the mapping reads them."""
    events = _events(stream, _changed(connection, stream))
    query = f"SELECT to_jsonb(e) - 'place' FROM ({events}) e WHERE {_THEIRS} ORDER BY at"
    return [row[0] for row in connection.execute(query.encode(), person.parameters(known))]


def erase(connection: Connection, stream: Stream, person: Person, known: list[str]) -> tuple[int, int]:
    """Remove those of them that are counted, which nothing reads again; return how many, and how many are not counted.

    None while partitions have to be compared with what was captured: that needs the keys.
    """
    held = captured.find(connection, stream)
    changed = captured.changes(stream, held)
    cursor = snapshot.read(connection, stream)
    found = f"SELECT place FROM ({_events(stream, changed)}) e WHERE {_THEIRS}"
    parameters = person.parameters(known)
    removed = 0
    if cursor and not held.pending and not held.bare:
        # Of another cluster than the cursor's no row is read again, but where the cursor has not moved here yet.
        counted = f"""NOT ({snapshot.window(changed)})
            AND (t.platform_cluster = %(cluster)s OR %(cluster)s = monitoring.cluster_id())"""
        removed = connection.execute(
            f"""DELETE FROM {held.relation} c USING {changed.rows} t
            WHERE c.tableoid = t.tableoid AND c.ctid = t.ctid
                AND {captured.PLACE} IN ({found}) AND {counted}""".encode(),
            parameters | {"cluster": cursor.system_identifier, "snapshot": cursor.snapshot},
        ).rowcount
    left = connection.execute(f"SELECT count(*) FROM ({found}) f".encode(), parameters).fetchone()
    return removed, left[0] if left else 0


_THEIRS = """(%(app)s::text IS NULL OR app = %(app)s) AND CASE WHEN %(consumer)s THEN consumer = %(user)s
    ELSE user_id = %(user)s OR user_id IS NULL AND session_id = ANY(%(sessions)s) END"""


def _changed(connection: Connection, stream: Stream) -> Stream:
    return captured.changes(stream, captured.find(connection, stream))


def _events(stream: Stream, changed: Stream) -> str:
    """Return SQL of all captured changes, whether they count or not: what the mapping reads of each, and its place."""
    names = {column.name: column.type for column in stream.kind.all_columns if column.name in stream.columns}
    names |= dict.fromkeys({"app", USER, SESSION, CONSUMER} - names.keys(), "text")
    columns = ", ".join(f"({changed.columns.get(name, 'NULL')})::{kind} AS {name}" for name, kind in names.items())
    return f"SELECT {captured.PLACE} AS place, {columns} FROM {changed.rows} t {changed.join}"
