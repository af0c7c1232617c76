"""What the query of a watched table asks: freshness, rows, and shares of NULLs and of repeated keys."""

import re
from collections.abc import Sequence
from math import ceil

MEASURES = {
    "newest": ("newest_timestamp_seconds", "Time of the newest row of a watched table.", ()),
    "rows": ("rows", "Rows of a watched table whose time lies in the watch's window.", ()),
    "nulls": ("null_ratio", "Share of those rows in which a column is NULL.", ("column",)),
    "duplicates": ("duplicate_ratio", "Share of those rows whose key columns repeat those of another.", ()),
}
"""What is asked: the end of its metric's name, the metric's help, and its labels beside `watch`."""

_PART = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
RELATION = re.compile(rf"{_PART}(?:\.{_PART})?")
"""A table's name as PostgreSQL reads it, with its schema or without, quoted where needed: nothing else fits it."""


def sql_of(table: str, time: str, window_seconds: float, keys: Sequence[str], nulls: Sequence[str]) -> str:
    """Return a SELECT of rows (measure, column, value), none of them NULL; `column` is empty but for `nulls`.

    `table` must match RELATION; the others are columns' names as they are. Times without a zone are in the session's.
    Only the window is read where it has rows: the newest time of older ones is looked up only where it has none, and
    PostgreSQL does not evaluate that subquery otherwise. Rows that are more than a day ahead, such as a placeholder of
    the year 2099, are not results and would hide that none come; nearer ones may be of a zone that is not declared.

    A row with a date may have come at any time of that day. So the window of dates is the last whole days without today
    and the newest row is as old as the end of its day; otherwise a daily table would look stale and empty each night.
    """
    at, table, days = identifier(time), _quoted(table), ceil(window_seconds / 86_400)
    begin = (
        f"(SELECT CASE WHEN dates THEN (current_date - {days})::timestamptz "
        f"ELSE now() - make_interval(secs => {window_seconds!r}) END FROM kind)"
    )
    within = f"FILTER (WHERE NOT (SELECT dates FROM kind) OR {at} < current_date::timestamptz)"
    columns = [f"max({at}) AS newest", f"count(*) {within}::float8 AS rows"]
    columns += [f"count({identifier(name)}) {within}::float8 AS filled{place}" for place, name in enumerate(nulls)]
    newest = f"coalesce(recent.newest, (SELECT max({at}) FROM {table} WHERE {at} < {begin}))"
    seen = (
        "CASE WHEN (SELECT dates FROM kind) "
        f"THEN least(now(), (({newest})::timestamp + interval '1 day')::timestamptz) ELSE ({newest})::timestamptz END"
    )
    # Not 1 - a / b: of ten rows one is 0.1, and not 0.09999999999999998.
    values = [
        f"('newest', '', extract(epoch FROM {seen})::float8)",
        "('rows', '', recent.rows)",
        *(
            f"('nulls', {_literal(name)}, (recent.rows - recent.filled{place}) / nullif(recent.rows, 0))"
            for place, name in enumerate(nulls)
        ),
    ]
    if keys:
        columns.append(f"count(DISTINCT ROW({', '.join(map(identifier, keys))})) {within}::float8 AS distinct_keys")
        values.append("('duplicates', '', (recent.rows - recent.distinct_keys) / nullif(recent.rows, 0))")
    return f"""WITH kind AS (SELECT pg_typeof((SELECT {at} FROM {table} LIMIT 0)) = 'date'::regtype AS dates)
SELECT measured.measure, measured."column", measured.value FROM (
    SELECT {", ".join(columns)} FROM {table}
    WHERE {at} >= {begin} AND {at} < now() + interval '1 day'
) recent CROSS JOIN LATERAL (VALUES
    {", ".join(values)}
) measured (measure, "column", value) WHERE measured.value IS NOT NULL"""


def identifier(name: str) -> str:
    """Return a column's name quoted."""
    return '"' + name.replace('"', '""') + '"'


def _quoted(table: str) -> str:
    """Return a table's name with each part quoted: SQL has words, such as `order`, that are no names without quotes."""
    return ".".join(
        part if part.startswith('"') else identifier(re.sub("[A-Z]+", lambda found: found[0].lower(), part))
        for part in re.findall(_PART, table)
    )


def _literal(text: str) -> str:
    # Sessions have standard_conforming_strings on: a backslash is itself.
    return "'" + text.replace("'", "''") + "'"
