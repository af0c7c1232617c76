"""The rows that a mapping's own SQL fails on: found and left out, so that one bad row does not stop a stream.

One statement counts all rows: an expression that raises (a cast of text that is not a number, a division by zero)
fails it as a whole. Then the window is read again, row by row, and the rows that raise are left out and counted.
"""

from dataclasses import replace
from typing import Any

import psycopg

from exporter.aggregation.rollup import SELF_REJECTED
from exporter.aggregation.snapshot import Window
from exporter.sources.mapping import Stream

REASON = "malformed"


def without(
    connection: psycopg.Connection, stream: Stream, window: Window, parameters: dict[str, Any]
) -> tuple[Stream, Window, int]:
    """Return the stream and window that leave the failing rows out, and how many they are; they are counted here.

    Costs about 0.1 ms for each row of the window. The same transaction must go on: a row's place (ctid) holds for
    its snapshot only.
    """
    columns = ", ".join(
        f"({text})::{column.type}"
        for column in stream.kind.all_columns
        if (text := stream.columns.get(column.name)) is not None
    )
    bad = failing(connection, stream, window, columns, stream.condition)
    if bad:
        _count(connection, stream, len(bad))
    # CASE, because AND may evaluate its sides in any order.
    where = f"CASE WHEN {_GOOD} THEN {stream.condition} ELSE false END"
    columns_of_good = {name: f"CASE WHEN {_GOOD} THEN ({text}) END" for name, text in stream.columns.items()}
    window = Window(window.sql, {**window.parameters, "failing": bad})
    return replace(stream, where=where, counted_when="", columns=columns_of_good), window, len(bad)


def good(window: Window, bad: list[str]) -> Window:
    """Return the window without these rows."""
    return Window(f"({window.sql}) AND {_GOOD}", {**window.parameters, "failing": bad})


_GOOD = "(t.tableoid::text || t.ctid::text) <> ALL(%(failing)s)"


def failing(
    connection: psycopg.Connection, stream: Stream, window: Window, values: str, condition: str = "true"
) -> list[str]:
    """Return the places of the window's rows whose `condition` or `values`, SQL over alias t, fail."""
    cursor = psycopg.ClientCursor(connection)
    rows = f"SELECT t.tableoid, t.ctid FROM {stream.rows} t WHERE {window.sql}"
    here = "t.tableoid = $1 AND t.ctid = $2"  # CASE: in other partitions there are rows in the same place
    row = (
        f"SELECT {values} FROM {stream.rows} t {stream.join} "
        f"WHERE {here} AND CASE WHEN {here} THEN {condition} ELSE false END"
    )
    found = connection.execute(
        "SELECT monitoring.failing_rows(%s, %s)",
        # As the mapping's SQL is sent with parameters elsewhere, its percent signs are doubled.
        [cursor.mogrify(rows, window.parameters), row.replace("%%", "%")],
    )
    return [place for (place,) in found]


def _count(connection: psycopg.Connection, stream: Stream, rows: int) -> None:
    connection.execute(
        """INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, created_at)
        VALUES (%(source)s, %(stream)s, %(metric)s, 'counter',
            jsonb_build_object('source', %(source)s::text, 'reason', %(reason)s::text), %(rows)s, now())
        ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET value = r.value + excluded.value""",
        {"source": stream.source, "stream": stream.name, "metric": SELF_REJECTED, "reason": REASON, "rows": rows},
    )
