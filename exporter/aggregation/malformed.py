"""The rows that a mapping's own SQL fails on: found and left out, so that one bad row does not stop a stream.

One statement counts all rows: an expression that raises (a cast of text that is not a number, a division by zero)
fails it as a whole. Then the window is read again, row by row, and the rows that raise are left out and counted.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import psycopg

from exporter.aggregation.rollup import SELF_REJECTED, add
from exporter.aggregation.snapshot import Window
from exporter.database.connection import problem_of
from exporter.sources.mapping import Stream

logger = logging.getLogger(__name__)

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
        count(connection, stream, len(bad))
    # CASE, because AND may evaluate its sides in any order.
    where = f"CASE WHEN {_GOOD} THEN {stream.condition} ELSE false END"
    columns_of_good = {name: f"CASE WHEN {_GOOD} THEN ({text}) END" for name, text in stream.columns.items()}
    window = Window(window.sql, {**window.parameters, "failing": bad})
    return replace(stream, where=where, counted_when="", columns=columns_of_good), window, len(bad)


def warn(stream: Stream, error: psycopg.Error) -> None:
    """Log that a window is read row by row: as a warning the first time that this process meets the cause."""
    level = next(_first_time(stream.source, stream.name, error.sqlstate), logging.DEBUG)
    logger.log(level, "source %s, stream %s: %s; reading row by row", stream.source, stream.name,
               problem_of(error))  # fmt: skip


@lru_cache(maxsize=1000)
def _first_time(source: str, stream: str, sqlstate: str | None) -> Iterator[int]:
    return iter((logging.WARNING,))


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


def count(connection: psycopg.Connection, stream: Stream, rows: int) -> None:
    """Count rows as rejected."""
    add(connection, stream, SELF_REJECTED, {"reason": REASON}, rows)
