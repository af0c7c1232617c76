"""What is captured of an application's table: the columns that a mapping reads, and the SQL of the triggers' function.

Statement-level triggers write what the mapping reads, as text, into a narrow table of ours. No SQL of the mapping
runs in the application's transactions, and nothing there depends on one of its columns: the poll evaluates conditions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg

from exporter.database import schema
from exporter.sources import checks
from exporter.sources.mapping import Relation, StreamMapping, quoted

SLOTS = 3
"""Partitions of a captured table: a day's changes go to the day's number modulo three, and that of the day before
yesterday is emptied. So no partition has to be made while applications write, and none can be missing."""


@dataclass(frozen=True, slots=True)
class Reads:
    """The columns of a table that a mapping reads, with their types; those that `counted_when` reads; and the key.

    The key is empty where nobody asks which row a change is of.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    watched: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


def events(stream: StreamMapping) -> str:
    """Return what is captured: I(nsert), U(pdate), D(elete), T(runcate)."""
    if stream.counted == "deleted":
        return "D"
    if not stream.counted_when:
        return "I"
    return "IU" if stream.counted == "every_change" else "IUDT"


def learn(connection: psycopg.Connection, stream: StreamMapping) -> Reads:
    """Ask PostgreSQL which columns a mapping reads; nothing stays changed. Raises psycopg.ProgrammingError.

    A view's dependencies name them, whatever the SQL looks like.
    """
    with connection.transaction(force_rollback=True):
        if checks.relation_kind(connection, Relation("monitoring.rollup")) is None:
            connection.execute(schema.counting_sql().encode())  # mappings may call its functions
        types = checks.column_types(connection, stream.table)
        every = [f"({text})" for text in stream.columns.values()]
        conditions = [stream.where, *([stream.counted_when] if stream.counted_when else [])]
        read = _columns(connection, stream, every, conditions, types)
        watched = _columns(connection, stream, [], conditions[1:], types, join=False) if stream.counted_when else ()
        key = _key(connection, stream) if _needs_key(connection, stream) else ()
        chosen = ", ".join(quoted(name) for name in read) or "1 AS nothing"
        # A change holds these columns only: SQL that needs the whole row's type, or a hidden column, fails here.
        connection.execute(
            f"SELECT {', '.join(every)} FROM (SELECT {chosen} FROM {stream.table}) t {stream.join} "
            f"WHERE {' AND '.join(f'({text})' for text in conditions)} LIMIT 0".encode()
        )
        return Reads(read, tuple(types[name] for name in read), watched, key)


def _columns(
    connection: psycopg.Connection, stream: StreamMapping, selected: list[str], conditions: list[str],
    types: dict[str, str], *, join: bool = True,
) -> tuple[str, ...]:  # fmt: skip
    named = ", ".join(f"{text} AS c{index}" for index, text in enumerate(selected)) or "1 AS c0"
    where = " AND ".join(f"({text})" for text in conditions) or "true"
    connection.execute(
        f"CREATE TEMP VIEW platform_reads AS SELECT {named} FROM {stream.table} t "
        f"{stream.join if join else ''} WHERE {where}".encode()
    )
    rows = connection.execute(
        """SELECT a.attname FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE r.ev_class = 'pg_temp.platform_reads'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = to_regclass(%s) AND d.refobjsubid > 0 ORDER BY a.attnum""",
        [stream.table],
    ).fetchall()
    whole = connection.execute("SELECT pg_get_viewdef('pg_temp.platform_reads'::regclass) LIKE '%t.*%'").fetchone()
    connection.execute("DROP VIEW pg_temp.platform_reads")
    return tuple(types) if whole == (True,) else tuple(dict.fromkeys(name for (name,) in rows))


def _needs_key(connection: psycopg.Connection, stream: StreamMapping) -> bool:
    """Return whether changes of one row must be found together: to count it once, or in partitions that come later."""
    once = stream.counted == "once" and bool(stream.counted_when)
    return (
        once or checks.relation_kind(connection, stream.table) == "p" or bool(checks.children(connection, stream.table))
    )


def _key(connection: psycopg.Connection, stream: StreamMapping) -> tuple[str, ...]:
    if stream.key:
        return stream.key
    rows = connection.execute(
        """SELECT a.attname FROM pg_index i
        CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = to_regclass(%s) AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place""",
        [stream.table],
    ).fetchall()
    return tuple(name for (name,) in rows)


def key_text(columns: Sequence[str]) -> str:
    """Return SQL of a row's key as text, NULL where a part of it is NULL; `columns` are SQL."""
    if len(columns) == 1:
        return text_of(columns[0])
    return f"CASE WHEN pg_catalog.num_nulls({', '.join(columns)}) = 0 THEN {row_text(columns)} END"


def row_text(columns: Sequence[str]) -> str:
    """Return SQL of some columns as one text."""
    return f"pg_catalog.concat(ROW({', '.join(columns)}))"


def text_of(value: str) -> str:
    """Return SQL of a value as its type writes it, NULL for NULL.

    Not a cast: a type's owner may have made one, and its function would run with our rights.
    """
    return f"CASE WHEN {value} IS DISTINCT FROM NULL THEN pg_catalog.concat({value}) END"


def table_sql(number: int, reads: Reads) -> Iterator[str]:
    """Yield the statements that make the table of changes; they may run again, and add the columns that are new."""
    table = f"monitoring.captured_{number}"
    yield f"""CREATE TABLE IF NOT EXISTS {table} (
    slot smallint NOT NULL,
    lsn pg_lsn NOT NULL,  -- read while the row is locked, after its change was logged: the order of one row's changes
    tx xid8 NOT NULL,
    cluster bigint NOT NULL,
    op "char" NOT NULL,
    key text
) PARTITION BY LIST (slot)"""
    yield from (
        f"CREATE TABLE IF NOT EXISTS {table}_{slot} PARTITION OF {table} FOR VALUES IN ({slot})"
        for slot in range(SLOTS)
    )
    yield f"CREATE INDEX IF NOT EXISTS captured_{number}_tx ON {table} (cluster, tx)"
    columns = [f"n{index}" for index in range(1, len(reads.columns) + 1)]
    columns += [f"o{index}" for index in range(1, len(reads.watched) + 1)]
    if columns:
        yield f"ALTER TABLE {table} {', '.join(f'ADD COLUMN IF NOT EXISTS {name} text' for name in columns)}"
    yield f"GRANT SELECT ON {table} TO {schema.EXPORTER}"


def function_sql(number: int, reads: Reads, captured: str) -> str:
    """Return the statement that makes the triggers' function.

    It never makes a statement of the application fail, not even where somebody dropped our tables. It runs as its
    owner, so that no role needs a right; its settings make the text of values independent of the session's. Columns are
    named without a table: where the table has the column, that is meant; where it was dropped or renamed meanwhile, the
    NULL of `gone`, one level further out. Plans are made again after the table changed, because a plan depends on the
    transition table it reads.
    """
    bodies = {"I": _inserted, "U": _updated, "D": _deleted if captured == "D" else _forgotten, "T": _truncated}
    operations = {"I": "INSERT", "U": "UPDATE", "D": "DELETE", "T": "TRUNCATE"}
    branches = "\n    ELS".join(
        f"IF TG_OP = '{operations[event]}' THEN\n{bodies[event](number, reads)};" for event in captured
    )
    money = "SET lc_monetary = 'C' " if "money" in reads.types else ""
    return f"""CREATE OR REPLACE FUNCTION monitoring.capture_{number}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 1 {money}SET enable_nestloop = off
    AS $capture$
#variable_conflict use_column
DECLARE
    platform_slot smallint := floor(date_part('epoch', statement_timestamp()) / 86400)::bigint % {SLOTS};
BEGIN
    IF to_regclass('monitoring.captured_{number}') IS NULL THEN
        RETURN NULL;
    END IF;
    {branches}
    END IF;
    RETURN NULL;
END $capture$"""


_FIXED = "platform_slot, pg_current_wal_insert_lsn(), pg_current_xact_id(), monitoring.cluster_id()"
"""No sequence: a number drawn from one would be what the application's own `lastval()` returns."""


def _into(number: int, operation: str, columns: list[str], source: str, names: list[str]) -> str:
    gone = ", ".join(f"NULL::text AS {quoted(name)}" for name in dict.fromkeys(names)) or "NULL AS nothing"
    listed = ", ".join(["slot", "lsn", "tx", "cluster", "op", *columns])
    return f"""        INSERT INTO monitoring.captured_{number} ({listed})
        SELECT {_FIXED}, '{operation}', x.*
        FROM (SELECT {gone}) gone CROSS JOIN LATERAL (
            {source}
        ) x"""


def _quoted(names: Sequence[str]) -> list[str]:
    return [quoted(name) for name in names]


def _new(reads: Reads) -> list[str]:
    return [f"n{index}" for index in range(1, len(reads.columns) + 1)]


def _rows(number: int, reads: Reads, operation: str, rows: str) -> str:
    values = [
        *([key_text(_quoted(reads.key))] if reads.key else []),
        *(text_of(quoted(name)) for name in reads.columns),
    ]
    columns = [*(["key"] if reads.key else []), *_new(reads)]
    source = f"SELECT {', '.join(values)} FROM {rows}"
    return _into(number, operation, columns, source, [*reads.key, *reads.columns])


def _inserted(number: int, reads: Reads) -> str:
    return _rows(number, reads, "I", "new_rows")


def _deleted(number: int, reads: Reads) -> str:
    return _rows(number, reads, "D", "old_rows")


def _forgotten(number: int, reads: Reads) -> str:
    return _into(number, "D", ["key"], f"SELECT {key_text(_quoted(reads.key))} FROM old_rows", list(reads.key))


def _truncated(number: int, reads: Reads) -> str:
    return f"        INSERT INTO monitoring.captured_{number} (slot, lsn, tx, cluster, op) SELECT {_FIXED}, 'T'"


def _updated(number: int, reads: Reads) -> str:
    """Capture the rows whose watched columns changed.

    Each changed row is added to both transition tables at once, by every kind of statement (also upserts, MERGE, moves
    between partitions), so that the n-th of one and the n-th of the other are the same row. A row that MERGE moves to
    another partition is in neither, but among the deleted ones (PostgreSQL 15 to 18). Not nested loops: the plan is
    kept, and the first statement's few rows say nothing of the next one's.
    """
    names = list(dict.fromkeys([*reads.key, *reads.columns]))
    raw = ", ".join(f"{quoted(name)} AS r{index}" for index, name in enumerate(names))
    at = {name: index for index, name in enumerate(names)}
    old = [text_of(f"o.r{at[name]}") for name in reads.watched]
    new = [text_of(f"n.r{at[name]}") for name in reads.watched]
    changed = " OR ".join(f"{a} IS DISTINCT FROM {b}" for a, b in zip(old, new, strict=True)) or "false"
    key = [key_text([f"n.r{at[name]}" for name in reads.key])] if reads.key else []
    values = [*key, *(text_of(f"n.r{at[name]}") for name in reads.columns), *old]
    columns = [*(["key"] if key else []), *_new(reads), *(f"o{i}" for i in range(1, len(old) + 1))]
    numbered = "(SELECT row_number() OVER () AS place, {} FROM {}) {}"
    source = f"""SELECT {", ".join(values)}
            FROM {numbered.format(raw, "old_rows", "o")}
            JOIN {numbered.format(raw, "new_rows", "n")} USING (place)
            WHERE {changed}"""
    return _into(number, "U", columns, source, names)
