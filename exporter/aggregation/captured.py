"""How a poll reads an application's table: the changes that `adopt`'s triggers captured of it, as rows of that table.

Conditions are evaluated here, over what a row was before a change and after it; never in the application's transaction.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from exporter.aggregation import malformed, snapshot
from exporter.aggregation.snapshot import Window
from exporter.errors import DatabaseError
from exporter.sources import capture, checks
from exporter.sources.failing import ROW_ERRORS
from exporter.sources.mapping import Relation, Stream, quoted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Captured:
    """What is captured of a stream's table, and the tables of it without all their triggers, the one named included.

    `gone` are the columns that the table no longer has; `pending` the partitions that came with rows; `replicated` the
    tables that a subscription writes, for which no statement's trigger fires.
    """

    number: int
    columns: dict[str, str]
    watched: tuple[str, ...]
    key: tuple[str, ...]
    root: str | None
    bare: tuple[str, ...]
    gone: tuple[str, ...]
    pending: tuple[str, ...]
    replicated: tuple[str, ...]

    @property
    def relation(self) -> Relation:
        return Relation.of("monitoring", f"captured_{self.number}")


def find(connection: psycopg.Connection, stream: Stream) -> Captured:
    """Read what is captured of a stream, with the types that its columns have now. Raises DatabaseError."""
    row = connection.execute(
        """SELECT c.number, c.columns, c.types, c.watched, c.key, to_regclass(c.relation)::text,
            ARRAY(SELECT t.relation::text FROM monitoring.captured_tables(c.number) t WHERE NOT t.complete),
            ARRAY(SELECT p.relation::text FROM monitoring.capture_pending p
                JOIN pg_class existing ON existing.oid = p.relation WHERE p.number = c.number),
            ARRAY(SELECT t.relation::text FROM monitoring.captured_tables(c.number) t
                JOIN pg_subscription_rel ON srrelid = t.relation),
            (c.mapping->>'counted_when', c.mapping->>'counted') = (%s, %s)
        FROM monitoring.capture c WHERE (c.source, c.stream, c.relation) = (%s, %s, %s)""",
        [stream.counted_when.replace("%%", "%"), stream.counted, stream.source, stream.name, stream.relation],
    ).fetchone()
    if row is None:
        query = "SELECT EXISTS (SELECT FROM monitoring.capture WHERE source = %s)"
        some = connection.execute(query, [stream.source]).fetchone() == (True,)
        what = f"table {stream.relation}" if some else f"source {stream.source}"  # of all tables it is one problem
        raise DatabaseError(
            f"{what} is not adopted in database {connection.info.dbname}; "
            f"run `platform-exporter adopt` for source {stream.source}"
        )
    number, columns, types, watched, key, root, bare, pending, replicated, same = row
    if not same:
        raise DatabaseError(
            f"stream {stream.name}: the mapping says otherwise than at its adoption when a row of {stream.relation} "
            f"counts; run `platform-exporter adopt` again for source {stream.source}"
        )
    recorded: dict[str, str] = dict(zip(columns, types, strict=True))
    now = checks.column_types(connection, stream.relation) if root else {}
    if lost := [f"t.{quoted(name)}" for name in key if root and name not in now]:
        raise DatabaseError(
            f"stream {stream.name}: {stream.relation} no longer has {', '.join(lost)}, by which its rows are known "
            "again: changes are kept and not counted until the column is back, or the key changed (`key` in the "
            f"mapping, or the primary key) and `platform-exporter adopt` run again for source {stream.source}"
        )
    return Captured(
        number=number,
        columns={name: now.get(name, kind) for name, kind in recorded.items()},
        watched=tuple(watched),
        key=tuple(key),
        root=root,
        bare=tuple(bare),
        gone=tuple(name for name in recorded if root and name not in now),
        pending=tuple(pending),
        replicated=tuple(replicated),
    )


def problem(stream: Stream, captured: Captured) -> str | None:
    """Return why changes of a table are missed, and what to do; None where they are not."""
    again = f"run `platform-exporter adopt` again for source {stream.source}"
    if captured.root is None:
        return f"stream {stream.name}: table {stream.relation} does not exist any more; change the mapping, and {again}"
    if captured.root in captured.bare:
        return (
            f"stream {stream.name}: triggers on {stream.relation} are missing or disabled, so that changes are not "
            f"counted: {again}"
        )
    if captured.replicated:
        return (
            f"stream {stream.name}: a subscription writes {', '.join(captured.replicated)}, which fires no trigger: "
            "its rows are not counted; count them in the database that publishes them"
        )
    if captured.gone:
        names = ", ".join(f"t.{quoted(name)}" for name in captured.gone)
        return (
            f"stream {stream.name}: {stream.relation} no longer has {names}, which counts as NULL: change the mapping, "
            f"and {again}"
        )
    if captured.pending and not captured.key:
        return (
            f"stream {stream.name}: {', '.join(captured.pending)} came with rows, and without a key those that are "
            f"counted cannot be distinguished from others: none was added; add `key` to the mapping, and {again}"
        )
    return None


def changes(stream: Stream, captured: Captured) -> Stream:
    """Return the stream as its changes are read: `t` has the table's columns, and what `_condition` needs."""
    columns = "".join(
        f", c.n{index}::{kind} AS {quoted(name)}" for index, (name, kind) in enumerate(captured.columns.items(), 1)
    )
    before, held = "", ""
    if captured.watched and stream.counted == "once":
        held = ", before.platform_held"
        old = (f"c.o{i}::{captured.columns[name]} AS {quoted(name)}" for i, name in enumerate(captured.watched, 1))
        before = (
            f" CROSS JOIN LATERAL (SELECT ({stream.counted_when}) IS TRUE AS platform_held "
            f"FROM (SELECT {_escaped(', '.join(old))}) t) before"
        )
    key = capture.short_key("c.key")
    rows = (
        "(SELECT c.tableoid, c.ctid, c.lsn AS platform_lsn, c.tx AS platform_tx, c.cluster AS platform_cluster, "
        f"c.op AS platform_op, {key} AS platform_key{held}{_escaped(columns)} FROM {captured.relation} c{before})"
    )
    return replace(stream, relation=captured.relation, changes=rows, where=_condition(stream), counted_when="")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _condition(stream: Stream) -> str:
    """Return SQL that is true for a change that counts; the mapping's own is only read where the row is whole."""
    if not stream.counted_when:
        return stream.where
    if stream.counted == "deleted":
        return stream.condition
    entered = "(t.platform_op = 'I' OR NOT t.platform_held) AND " if stream.counted == "once" else ""
    return f"CASE WHEN t.platform_op IN ('I', 'U') THEN {entered}{stream.condition} ELSE false END"


def first_time(
    connection: psycopg.Connection, stream: Stream, changed: Stream, held: Captured, window: Window
) -> Window:
    """Return the window without the changes by which a row that was counted meets its condition again.

    `changed` are the changes of `stream`, which count once. A row that leaves its condition was counted: it is
    remembered until it returns, is deleted or inserted again.
    """
    number = held.number
    again, emptied, left, returned, unknown = moves(connection, stream, changed, number, window)
    if emptied:
        connection.execute("DELETE FROM monitoring.counted_key WHERE number = %s", [number])
    elif returned:
        connection.execute("DELETE FROM monitoring.counted_key WHERE number = %s AND key = ANY(%s)", [number, returned])
    if left:
        query = "INSERT INTO monitoring.counted_key SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING"
        connection.execute(query, [number, left])
    if unknown:
        _remember_all(connection, stream, held)
    return without(window, again)


def _remember_all(connection: psycopg.Connection, stream: Stream, held: Captured) -> None:
    """Take all rows as counted that do not meet their condition now: some left it while the key's column was gone.

    Not where a column of the key may be NULL: then that is why a key was.
    """
    row = connection.execute(
        """SELECT bool_and(attnotnull) FROM pg_attribute
        WHERE attrelid = to_regclass(%s) AND NOT attisdropped AND attname = ANY(%s)""",
        [stream.relation, list(held.key)],
    ).fetchone()
    if row != (True,):
        return
    key = _escaped(capture.short_key(capture.key_text([f"t.{quoted(name)}" for name in held.key])))
    for outside in (f"({stream.counted_when}) IS NOT TRUE", "true"):
        query = f"""INSERT INTO monitoring.counted_key SELECT %s, {key} FROM {stream.relation.sql} t
            WHERE {outside} ON CONFLICT DO NOTHING"""
        try:
            with connection.transaction():
                connection.execute(query.encode(), [held.number])
            return
        except ROW_ERRORS:  # a row on which the condition fails: then all
            logger.warning("stream %s: a row's condition fails: all rows are taken as counted", stream.name)


def without(window: Window, again: list[str]) -> Window:
    """Return the window without the changes in these places."""
    if not again:
        return window
    others = f"({window.sql}) AND {PLACE} NOT IN (SELECT unnest(%(again)s::text[]))"
    return Window(others, {**window.parameters, "again": again})


PLACE = "(t.tableoid::text || t.ctid::text)"
"""Where a change is stored: it is never updated, and only a whole partition is emptied."""

Moves = tuple[list[str], bool, list[str], list[str], bool]
"""Places of changes by which a row meets its condition again; whether the table was emptied; keys of the rows that left
their condition, and of those that returned or are gone; whether a row without a key left it."""


def moves(connection: psycopg.Connection, stream: Stream, changed: Stream, number: int, window: Window) -> Moves:
    """Return how rows moved into their condition and out of it in a window. Nothing is changed.

    Of one row the changes are in order of the server's log. A row on which the condition fails is
    left out here: it is rejected when it is counted. A row without a key, whose column was gone, is taken as counted
    once any row has left the condition.
    """
    parameters = {**window.parameters, "number": number}
    try:
        with connection.transaction():
            row = connection.execute(_moves(stream, changed, window).encode(), parameters).fetchone()
    except ROW_ERRORS:
        values = f"({stream.counted_when}), t.platform_held"
        window = malformed.good(window, malformed.failing(connection, changed, window, values))
        row = connection.execute(
            _moves(stream, changed, window).encode(), {**parameters, **window.parameters}
        ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
    again, emptied, left, returned, unknown = row
    return again or [], bool(emptied), left or [], returned or [], bool(unknown)


def _moves(stream: Stream, changed: Stream, window: Window) -> str:
    known = "SELECT FROM monitoring.counted_key k WHERE k.number = %(number)s AND k.key = {}"
    return f"""WITH change AS MATERIALIZED (
    SELECT t.platform_lsn AS lsn, {PLACE} AS place, t.platform_key AS key, t.platform_op AS op,
        CASE t.platform_op WHEN 'U' THEN t.platform_held END AS held,
        CASE t.platform_op WHEN 'U' THEN ({stream.counted_when}) IS TRUE END AS holds
    FROM {changed.rows} t
    WHERE ({window.sql}) AND (t.platform_op <> 'I' OR EXISTS ({known.format("t.platform_key")}))
), move AS (
    SELECT lsn, place, key, count(*) FILTER (WHERE op = 'T') OVER (ORDER BY lsn) AS emptied,
        CASE WHEN op IN ('I', 'D') THEN 'gone' WHEN holds AND NOT held THEN 'entered'
            WHEN held AND NOT holds THEN 'left' END AS what
    FROM change
), placed AS (
    SELECT *, lag(what) OVER (PARTITION BY key, emptied ORDER BY lsn) AS before,
        lead(lsn) OVER (PARTITION BY key ORDER BY lsn) IS NULL AS last
    FROM move WHERE what IS NOT NULL AND key IS NOT NULL
)
SELECT
    array_cat(array_agg(place) FILTER (WHERE what = 'entered'
        AND (before = 'left' OR before IS NULL AND emptied = 0 AND EXISTS ({known.format("placed.key")}))),
        (SELECT array_agg(place) FROM move WHERE what = 'entered' AND key IS NULL
            AND (lsn > (SELECT min(lsn) FROM move WHERE what = 'left')
                OR EXISTS (SELECT FROM monitoring.counted_key k WHERE k.number = %(number)s)))),
    (SELECT max(emptied) > 0 FROM move),
    array_agg(key) FILTER (WHERE last AND what = 'left' AND emptied = (SELECT max(emptied) FROM move)),
    array_agg(key) FILTER (WHERE last AND what <> 'left'),
    (SELECT bool_or(what = 'left' AND key IS NULL) FROM move)
FROM placed"""


def uncounted(
    connection: psycopg.Connection, stream: Stream, window_sql: str, parameters: dict[str, Any]
) -> tuple[Stream, Window]:
    """Return the changes that no poll counted yet and whose rows the table still holds, by the cursor's parameters."""
    captured = find(connection, stream)
    changed = changes(stream, captured)
    window = Window(f"{snapshot.window(changed)} AND {window_sql}", parameters)
    if stream.counted_when and stream.counted == "once":
        again, *_ = moves(connection, stream, changed, captured.number, window)
        window = without(window, again)
    if captured.key:
        mine = capture.short_key(capture.key_text([f"held.{quoted(name)}" for name in captured.key]))
        theirs = "t.platform_key"
    else:
        names = [quoted(name) for name in captured.columns if name not in captured.gone]
        mine, theirs = (capture.row_text([f"{alias}.{name}" for name in names]) for alias in ("held", "t"))
    held = f"EXISTS (SELECT FROM {stream.relation.sql} held WHERE {_escaped(mine)} = {_escaped(theirs)})"
    return changed, Window(f"({window.sql}) AND {held}", window.parameters)


def unknown_rows(captured: Captured) -> Window:
    """Return the window of a partition's rows that were not captured: it came with them."""
    key = _escaped(capture.key_text([f"t.{quoted(name)}" for name in captured.key]))
    return Window(f"NOT EXISTS (SELECT FROM {captured.relation} c WHERE c.key = {key})", {})


def forget_pending(connection: psycopg.Connection, captured: Captured) -> None:
    """Note that what partitions brought with them is counted."""
    connection.execute("DELETE FROM monitoring.capture_pending WHERE number = %s", [captured.number])


def extend(connection: psycopg.Connection, captured: Captured) -> str | None:
    """Make the triggers on partitions that have none, unless someone uses one just now; return what is wrong.

    A transaction each: nobody waits for us, and we for nobody.
    """
    for table in captured.bare:
        if table == captured.root:
            continue
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '1ms'")
                connection.execute("SELECT monitoring.capture_table(%s, %s::regclass)", [captured.number, table])
        except psycopg.errors.LockNotAvailable:
            logger.info("partition %s is in use: its triggers are made by the next poll", table)
        except psycopg.errors.WrongObjectType:
            return (
                f"partition {table} is a foreign table, whose rows triggers cannot read: statements that write it "
                "fail; detach it, or run `platform-exporter adopt --undo`"
            )
        except psycopg.errors.InsufficientPrivilege as error:
            return f"partition {table}: no triggers could be made ({error.diag.message_primary}): run adopt again"
    return None


def require_complete(connection: psycopg.Connection, stream: Stream, captured: Captured) -> None:
    """Raise DatabaseError where the triggers were not all made yet: what is written now is not captured."""
    if captured.root is None or captured.bare:
        raise DatabaseError(
            f"the adoption of {stream.relation} in database {connection.info.dbname} is not finished; "
            f"run `platform-exporter adopt` again for source {stream.source}"
        )
