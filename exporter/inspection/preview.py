"""What a stream would count, from its real table: nothing is written, and no right but SELECT is needed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

import psycopg

from exporter.aggregation import grouping
from exporter.aggregation.gauges import read_state
from exporter.aggregation.read_only import is_indexed
from exporter.aggregation.series import SourceView, Total
from exporter.config.settings import Limits
from exporter.exposition import collector
from exporter.inspection.sampling import Sample, sample
from exporter.sources.failing import ROW_ERRORS, failing_rows, leaving_out, one_row
from exporter.sources.mapping import STAND_INS, SourcePlan, Stream
from platform_sdk.events.base import ACTORS, Column, EventKind

ROWS = 10
MOST_SERIES = 5_000
MOST_FAILING = 20
"""How many of the rows that an expression fails on are looked at to find which expression it is."""

_TEXTS = "texts"
"""The cause of a rejection that no check of the kind gives: a text that UTF-8 cannot have."""


Line = tuple[str, dict[str, str], float]
"""A line of /metrics: name, labels, value."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rows that would be rejected for one reason because of one column (or several), with an example.

    `example` holds the columns concerned as text; `problem` is PostgreSQL's message where an expression failed.
    `ahead_seconds` says by how much a time is in the future.
    """

    reason: str
    rows: int
    columns: tuple[str, ...]
    example: dict[str, str | None]
    problem: str | None = None
    ahead_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Spelling:
    """A value that a column's declaration does not list, in how many rows it is, and which of those listed it means.

    None: it is not understood.
    """

    column: str
    value: str
    rows: int
    means: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a stream would count of the rows looked at.

    `rows` were looked at, `joined` is how many the join makes of them; `there` of these meet `where`, and `counting`
    the condition `counted_when` as well.
    `indexed` is False where each poll will read a whole table that may only be read: no index finds what is new.
    `types` gives each mapped column's type in the table. `newest` are rows that count, columns as text, personal ones
    hidden. `series` are those of /metrics without buckets. `label_sets` counts them by metric.
    """

    stream: Stream
    sample: Sample
    rows: int = 0
    joined: int = 0
    there: int = 0
    counting: int = 0
    types: dict[str, str] = field(default_factory=dict)
    newest: list[dict[str, str | None]] = field(default_factory=list)
    series: list[Line] = field(default_factory=list)
    label_sets: dict[str, int] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    spellings: list[Spelling] = field(default_factory=list)
    indexed: bool = True

    @property
    def rejected(self) -> int:
        return sum(rejection.rows for rejection in self.rejections)


def read(connection: psycopg.Connection, stream: Stream, limits: Limits) -> Preview:
    """Return what a stream would count. `connection` is in a transaction, which this leaves as it was.

    Raises psycopg.Error where the mapping's SQL is invalid, or a statement takes longer than its timeout.
    """
    parameters = {
        "future_tolerance_seconds": limits.future_tolerance_seconds,
        "sample_labels": list(stream.sample_labels),
    }
    types = _types(connection, stream)
    original = _with_casts(connection, stream)
    taken = sample(connection, original)
    preview = Preview(stream, taken, types=types, indexed=not stream.cursor or is_indexed(connection, stream))
    try:
        with connection.transaction():
            return _read(connection, preview, taken.stream, parameters)
    except ROW_ERRORS:
        failing = failing_rows(connection, taken.stream)
    good = leaving_out(taken.stream)
    preview = _read(connection, preview, good, parameters | {"failing": failing})
    rejections = [*preview.rejections, *_malformed(connection, original, failing)]
    there, counting = preview.there + len(failing), preview.counting + len(failing)
    return replace(preview, rejections=rejections, there=there, counting=counting)


def _read(connection: psycopg.Connection, preview: Preview, stream: Stream, parameters: dict[str, Any]) -> Preview:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query.encode(), parameters).fetchall()

    ((looked_at,),) = rows(f"SELECT count(*) FROM {stream.rows} t")
    matching = f"count(*) FILTER (WHERE {stream.where}), count(*) FILTER (WHERE {stream.condition})"
    ((joined, there, counting),) = rows(f"SELECT count(*), {matching} FROM {stream.rows} t {stream.join}")
    kind, checked = stream.kind, grouping.checked(stream, "true")
    shown = ", ".join(f"{column.name}::text" for column in kind.all_columns)
    newest = rows(f"WITH {checked} SELECT {shown} FROM checked WHERE rejected IS NULL ORDER BY at DESC LIMIT {ROWS}")
    rejected = rows(_rejected(kind, checked, shown))
    totals, label_sets = _totals(rows(_series(stream)))
    hide = Hiding(kind)
    return replace(
        preview,
        rows=looked_at,
        joined=joined,
        there=there,
        counting=counting,
        newest=[hide.row(values) for values in newest],
        series=list(_exposed(SourceView(stream.source, totals))),
        label_sets=label_sets,
        rejections=[_rejection(kind, hide, row) for row in rejected],
        spellings=[found for column in kind.columns for found in _spellings(rows, stream, checked, column)],
    )


def states(connection: psycopg.Connection, plan: SourcePlan) -> Iterator[tuple[str, list[Line]]]:
    """Yield each table of state of a source and what its gauges show."""
    for state in plan.states:
        readings = tuple(read_state(connection, state))
        yield state.relation, list(_exposed(SourceView(plan.name, readings=readings)))


class Hiding:
    """Columns as they may be shown: who it was as a hash that holds for one run, other personal ones not at all."""

    def __init__(self, kind: EventKind) -> None:
        self._columns = kind.all_columns
        self._key = token_bytes(16)

    def row(self, values: tuple[str | None, ...]) -> dict[str, str | None]:
        """Return a row of all columns of the kind, as text."""
        return {column.name: self.value(column, text) for column, text in zip(self._columns, values, strict=True)}

    def value(self, column: Column, text: str | None) -> str | None:
        """Return a value as it may be shown; None stays None."""
        if text is None or column.for_viewers:
            return text
        if column.name in ACTORS.values():
            return f"#{blake2b(text.encode(), key=self._key, digest_size=4).hexdigest()}"
        return "(hidden)"


def _types(connection: psycopg.Connection, stream: Stream) -> dict[str, str]:
    """Return the type that each mapped column's SQL has."""
    given = _with_casts(connection, stream).columns
    columns = ", ".join(f"{text} AS {name}" for name, text in given.items())
    query = f"SELECT {columns} FROM {stream.rows} t {stream.join} LIMIT 0"
    described = connection.execute(query.encode(), []).description or []
    oids = [column.type_code for column in described]
    named = "SELECT array_agg(format_type(oid, NULL) ORDER BY n) FROM unnest(%s::oid[]) WITH ORDINALITY AS u(oid, n)"
    (names,) = connection.execute(named, [oids]).fetchone() or ([],)
    return dict(zip(given, names, strict=True))


def _with_casts(connection: psycopg.Connection, stream: Stream) -> Stream:
    """Return the stream with casts for those of our functions that cannot be used: before the adoption."""
    usable = {
        f"monitoring.{name}("
        for (name,) in connection.execute(
            "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'monitoring' "
            "AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')"
        )
    }

    def cast(text: str) -> str:
        for name, stand_in in STAND_INS.items():
            text = text if name in usable else text.replace(name, stand_in)
        return text

    columns = {name: cast(text) for name, text in stream.columns.items()}
    conditions = cast(stream.where), cast(stream.counted_when)
    readable = stream.readable if f"{stream.readable}(" in usable else ""  # without, every text is
    return replace(
        stream, columns=columns, where=conditions[0], counted_when=conditions[1], join=cast(stream.join),
        readable=readable,
    )  # fmt: skip


def _rejected(kind: EventKind, checked: str, shown: str) -> str:
    """Return SQL of the rejected rows: a row a reason and cause, (reason, rows, cause, seconds ahead, columns ...)."""
    nulls = " ".join(f"WHEN {name} IS NULL THEN '{name}'" for name in kind.required)
    failed = " ".join(f"WHEN ({check}) IS NOT NULL THEN '{index}'" for index, check in enumerate(kind.checks))
    other = f"CASE {failed} ELSE '{_TEXTS}' END" if failed else f"'{_TEXTS}'"
    cause = f"CASE rejected WHEN 'null' THEN CASE {nulls} END WHEN 'future' THEN 'at' ELSE {other} END"
    return f"""WITH {checked}, caused AS (SELECT *, {cause} AS cause FROM checked WHERE rejected IS NOT NULL)
SELECT DISTINCT ON (rejected, cause) rejected, count(*) OVER (PARTITION BY rejected, cause), cause,
    CASE WHEN isfinite(at) THEN extract(epoch FROM at - now())::double precision END, {shown}
FROM caused ORDER BY rejected, cause, at"""


def _rejection(kind: EventKind, hide: Hiding, row: tuple[Any, ...]) -> Rejection:
    reason, rows, cause, ahead, *values = row
    concerned = kind.named_in(kind.checks[int(cause)]) if cause.isdigit() else {cause}
    example = {name: text for name, text in hide.row(tuple(values)).items() if name in concerned}
    return Rejection(reason, rows, tuple(example), example, ahead_seconds=ahead if reason == "future" else None)


def _spellings(rows: Any, stream: Stream, checked: str, column: Column) -> Iterator[Spelling]:
    """Yield the values of a column that its declaration does not list, first those that are not understood."""
    if not column.values or column.name not in stream.columns:
        return
    listed = ", ".join(f"'{value}'" for value in column.values)
    query = f"""WITH {checked} SELECT left({column.name}, 60), count(*), {column.understood} FROM checked
        WHERE {column.name} NOT IN ({listed}) GROUP BY 1, 3 ORDER BY 3 NULLS FIRST, 2 DESC, 1 LIMIT 10"""
    for text, count, means in rows(query):
        yield Spelling(column.name, text, count, means)


def _series(stream: Stream) -> str:
    """Return SQL of the series: (label sets of the metric, metric, type, labels, value, total, buckets, at)."""
    bins = grouping.buckets(grouping.bin_names(stream.kind))
    return f"""WITH {grouping.grouped(stream, "true")} SELECT count(*) OVER (PARTITION BY metric), metric, type, labels,
    CASE type WHEN 'gauge' THEN latest[2] ELSE value END, total, CASE type WHEN 'histogram' THEN {bins} END, latest[1]
FROM candidate ORDER BY row_number() OVER (PARTITION BY metric ORDER BY value DESC NULLS LAST) LIMIT {MOST_SERIES}"""


def _totals(rows: list[tuple[Any, ...]]) -> tuple[tuple[Total, ...], dict[str, int]]:
    totals = tuple(Total(metric, *rest) for _, metric, *rest in rows)
    return totals, {row[1]: row[0] for row in rows}


def _exposed(view: SourceView) -> Iterator[Line]:
    for metric in collector.counted([view], created=False):
        for line in metric.samples:
            if not line.name.endswith("_bucket"):
                yield line.name, dict(line.labels), float(line.value)


def _malformed(connection: psycopg.Connection, stream: Stream, failing: list[str]) -> Iterator[Rejection]:
    """Yield the rejection of the rows that fail, by the column whose SQL does; the first MOST_FAILING are examined."""
    found: dict[tuple[str, ...], list[str]] = {}
    for place in failing[:MOST_FAILING]:
        column, problem = _problem(connection, stream, place)
        found.setdefault(column, []).append(problem)
    rest = len(failing) - min(len(failing), MOST_FAILING)
    for number, (column, problems) in enumerate(found.items()):
        yield Rejection("malformed", len(problems) + (rest if number == 0 else 0), column, {}, problems[0])


def _problem(connection: psycopg.Connection, stream: Stream, place: str) -> tuple[tuple[str, ...], str]:
    """Return which column's SQL fails on a row, and PostgreSQL's message; no column where it is `where` or `join`."""
    hidden = {column.name for column in stream.kind.all_columns if not column.for_viewers}
    table, at, rest = place.partition("(")
    here = "t.tableoid = %(table)s::oid AND t.ctid = %(at)s::tid"
    for name in ((), *((name,) for name in stream.columns)):
        columns = name or ("app",)
        query = one_row(stream, columns, here)
        try:
            with connection.transaction():
                connection.execute(query.encode(), {"table": table, "at": at + rest})
        except ROW_ERRORS as error:
            text = error.diag.message_primary or str(error)
            return name, re.sub(r'".*"', '"(hidden)"', text, flags=re.DOTALL) if hidden & set(name) else text
    return (), "an expression fails on it"
