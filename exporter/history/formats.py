"""Rows written as CSV, JSON or Parquet, a batch at a time: the memory needed does not grow with the rows."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import psycopg

from exporter.errors import PlatformError
from platform_sdk.events.base import Column

BATCH_ROWS = 5_000

PLAIN_TYPES = ("double precision", "integer", "smallint", "bigint", "boolean", "inet")

FORMULA_STARTS = " =+-@\t\r\n"
WIDE_FORMULA_STARTS = "\uff1d\uff0b\uff0d\uff20"
"""The characters at the start of a cell that make a spreadsheet run it, from the second on: an empty text is found at
the first. Japanese versions know the wide ones as well, which a database in another encoding may not have."""

Advance = Callable[[int], None]
"""Called with the number of rows written since its last call."""


def csv(connection: psycopg.Connection, query: str, columns: list[Column], out: BinaryIO, advance: Advance) -> None:
    """Write PostgreSQL's own CSV: a header, then a line a row; NULL is empty, an empty text is quoted.

    A text that a spreadsheet would run as a formula gets an apostrophe before it (owasp.org/www-community/attacks/
    CSV_Injection); numbers stay as they are, and times are ISO 8601 with their zone.
    """
    wide = WIDE_FORMULA_STARTS if connection.info.parameter_status("server_encoding") == "UTF8" else ""
    listed = ", ".join(_as_cell(column, FORMULA_STARTS + wide) for column in columns)
    with connection.cursor().copy(f"COPY (SELECT {listed} FROM ({query}) held) TO STDOUT (FORMAT csv, HEADER)") as copy:
        next_rows = 0
        header = True
        for piece in copy:
            out.write(piece)
            # One piece is one row, the first the header.
            next_rows += 0 if header else 1
            header = False
            if next_rows == BATCH_ROWS:
                advance(next_rows)
                next_rows = 0
        advance(next_rows)


def json(connection: psycopg.Connection, query: str, columns: list[Column], out: BinaryIO, advance: Advance) -> None:
    """Write an array of objects, one object a line."""
    out.write(b"[")
    before = b"\n"
    for rows in _batches(connection, f"SELECT row_to_json(exported)::text FROM ({query}) exported", ["text"]):
        for (text,) in rows:
            out.write(before + text.encode())
            before = b",\n"
        advance(len(rows))
    out.write(b"\n]\n")


def parquet(connection: psycopg.Connection, query: str, columns: list[Column], out: BinaryIO, advance: Advance) -> None:
    """Write Parquet with zstd; JSON and addresses become text. Raises PlatformError where pyarrow is missing."""
    try:
        import pyarrow  # type: ignore[import-untyped]  # it has no annotations
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise PlatformError("`--format parquet` needs pyarrow; install it: pip install pyarrow") from error
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # returns memory that the other pools keep
    types = {
        "timestamptz": pyarrow.timestamp("us", tz="UTC"),
        "double precision": pyarrow.float64(),
        "integer": pyarrow.int64(),
        "smallint": pyarrow.int64(),
        "bigint": pyarrow.int64(),
        "boolean": pyarrow.bool_(),
    }
    fields = [(column.name, types.get(column.type, pyarrow.string())) for column in columns]
    schema = pyarrow.schema(fields)
    as_text = [column.type if column.type in types else "text" for column in columns]
    listed = ", ".join(_as_known(column, column.type in types) for column in columns)
    with pyarrow.parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for rows in _batches(connection, f"SELECT {listed} FROM ({query}) exported", as_text):
            arrays = [
                pyarrow.array(values, type=field.type)
                for values, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
            advance(len(rows))


def _as_cell(column: Column, starts: str) -> str:
    """Return SQL of a column as a spreadsheet may read it, by its type: a negative number is not a formula."""
    if column.type in PLAIN_TYPES:
        return f'"{column.name}"'
    text = f"""(to_json("{column.name}") #>> '{{}}')""" if column.type == "timestamptz" else f'"{column.name}"::text'
    return (
        f"""CASE WHEN strpos('{starts}', left({text}, 1)) > 1 THEN '''' || {text} ELSE {text} END AS "{column.name}\""""
    )


def _as_known(column: Column, known: bool) -> str:
    """Return SQL of a column in a type that Parquet has: addresses and JSON as text."""
    if known:
        return f'"{column.name}"'
    return f'host("{column.name}")' if column.type == "inet" else f'"{column.name}"::text'


def _batches(connection: psycopg.Connection, query: str, types: list[str]) -> Iterator[list[tuple[Any, ...]]]:
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(types)
        batch: list[tuple[Any, ...]] = []
        for row in copy.rows():
            batch.append(row)
            if len(batch) == BATCH_ROWS:
                yield batch
                batch = []
        if batch:
            yield batch


FORMATS = {"csv": csv, "json": json, "parquet": parquet}
