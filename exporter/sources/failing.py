"""The rows that a mapping's own SQL fails on, found without writing anything and without our functions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import psycopg

from exporter.sources.mapping import Stream

ROW_ERRORS = (
    psycopg.DataError,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)
"""What a mapping's SQL fails with because of one row's values: no number, no date; JSON with an escape that a database
of SQL_ASCII cannot hold; too long, or nested too deeply. In PL/pgSQL: `_CONDITIONS`."""

_CONDITIONS = "data_exception OR feature_not_supported OR program_limit_exceeded"

PLACE = "(t.tableoid::text || t.ctid::text)"
"""SQL of a row's place in its table, which holds for one snapshot."""

_FIND_FAILING = """DO $do$
DECLARE
    place record;
    failing text[] := '{{}}';
BEGIN
    FOR place IN EXECUTE {rows} LOOP
        BEGIN
            EXECUTE {row} USING place.tableoid, place.ctid;
        EXCEPTION WHEN {conditions} THEN
            failing := failing || (place.tableoid::text || place.ctid::text);
        END;
    END LOOP;
    PERFORM set_config('platform_exporter.failing', to_json(failing)::text, true);
END $do$"""
"""A block may run in a read-only transaction, and hands its result on in a setting of that transaction."""


def failing_rows(connection: psycopg.Connection, stream: Stream, parameters: Mapping[str, object] = {}) -> list[str]:
    """Return the places of the rows that the mapping's own SQL fails on: about 0.1 ms for each row of the table.

    `connection` is in a transaction; `parameters` are those of `stream.rows`.
    """
    cursor = psycopg.ClientCursor(connection)
    rows = cursor.mogrify(f"SELECT t.tableoid, t.ctid FROM {stream.rows} t", parameters)
    row = one_row(stream, stream.columns, "t.tableoid = $1 AND t.ctid = $2").replace("%%", "%")
    block = _FIND_FAILING.format(
        rows=cursor.mogrify("%s", [rows]), row=cursor.mogrify("%s", [row]), conditions=_CONDITIONS
    )
    connection.execute(block.encode())
    (found,) = connection.execute("SELECT current_setting('platform_exporter.failing')").fetchone() or ("[]",)
    places: list[str] = json.loads(found)
    return places


def values(stream: Stream, names: Iterable[str]) -> str:
    """Return SQL of these columns over alias t, in the types that the kind declares."""
    types = {column.name: column.type for column in stream.kind.all_columns}
    return ", ".join(f"({stream.columns[name]})::{types[name]}" for name in names)


def one_row(stream: Stream, names: Iterable[str], place: str) -> str:
    """Return SQL of these columns of one row of the table itself, if it counts; `place` is SQL of where it is."""
    # CASE: other partitions have rows in the same place.
    counts = f"CASE WHEN {place} THEN {stream.condition} ELSE false END"
    table = f"{stream.relation.sql} t {stream.join}"
    return f"SELECT {values(stream, names)} FROM {table} WHERE {place} AND {counts}"


def leaving_out(stream: Stream) -> Stream:
    """Return the stream without the rows in the places of the parameter `failing`."""
    good = f"{PLACE} <> ALL(%(failing)s)"
    columns = {name: f"CASE WHEN {good} THEN ({text}) END" for name, text in stream.columns.items()}
    # CASE, because AND may evaluate its sides in any order.
    where = f"CASE WHEN {good} THEN ({stream.condition}) ELSE false END"
    return replace(stream, where=where, counted_when="", columns=columns)
