"""A bounded part of a table that may be huge: its newest rows where an index finds them, else pages at random."""

import re
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from exporter.printing import plural
from exporter.sources.mapping import Stream

ROWS = 10_000
"""How many rows of a large table are looked at."""

SMALL_BYTES = 32 * 1024 * 1024
"""A table up to this size is read as a whole, in a fraction of a second."""

_TREE = """SELECT coalesce(sum(pg_relation_size(oid)), 0)::bigint, coalesce(sum(greatest(reltuples, 0)), 0)::bigint
FROM pg_class WHERE relkind <> 'p' AND (oid = to_regclass(%(table)s)
    OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(table)s)) WHERE isleaf))"""

_LEADING = """SELECT a.attname, i.indisprimary AND i.indnkeyatts = 1 AND a.atttypid IN (20, 21, 23)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = to_regclass(%s) AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'"""
"""The first column of each index that gives rows in order, and whether it is a primary key that counts up."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows looked at: a stream that reads only them, and which they are, for a person."""

    stream: Stream
    whole: bool
    which: str


def sample(connection: psycopg.Connection, stream: Stream) -> Sample:
    """Return the rows of a stream's table to look at: all of a small one, otherwise ROWS of it."""
    size, rows = connection.execute(_TREE, {"table": stream.relation}).fetchone() or (0, 0)
    if size <= SMALL_BYTES:
        return Sample(stream, True, "the whole table")
    of = f"of about {plural(rows, 'row')}" if rows else f"of {size // 1024**2:,} MB"
    newest = _newest(connection, stream)
    if newest is not None:
        order, by = newest
        return Sample(_only(stream, order), False, f"the newest {ROWS:,} {of}, by {by}")
    # Whole pages, spread over the table; twice as many as needed, as pages differ in how full they are.
    percent = min(100.0, 200.0 * ROWS / max(rows, size // 1024))
    part = f"TABLESAMPLE SYSTEM ({percent:f}) REPEATABLE (1)"
    return Sample(_only(stream, part), False, f"pages at random {of} (no index on its time)")


def _only(stream: Stream, which: str) -> Stream:
    # Its place in the table is kept, by which a row that fails can be read alone.
    rows = f"(SELECT s.tableoid, s.ctid, s.* FROM {stream.relation.sql} s {which} LIMIT {ROWS})"
    return replace(stream, changes=rows)


def _newest(connection: psycopg.Connection, stream: Stream) -> tuple[str, str] | None:
    """Return SQL that puts the newest rows first by an index, and by what; None where no index does."""
    if not stream.adopted:
        return "ORDER BY s.cluster DESC, s.tx DESC", "transaction"
    leading = connection.execute(_LEADING, [stream.relation]).fetchall()
    named = re.findall(r'\bt\.("(?:[^"]|"")+"|\w+)', stream.columns["at"])
    times = {name.strip('"').replace('""', '"') for name in named}
    of_time = [name for name, _ in leading if name in times]
    counting = [name for name, counts_up in leading if counts_up]
    for name in (*of_time, *counting):
        column = f"s.{sql.Identifier(name).as_string(None)}"
        return f"WHERE {column} IS NOT NULL ORDER BY {column} DESC", f"its column {name}"
    return None
