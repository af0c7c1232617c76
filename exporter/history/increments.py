"""Increments of the past: what every series grew by in each step, read from the tables.

The same SQL groups as when counting, so that the past has the series, the folds and the rejections of the present. The
value of a series at the end of the past is its value now less all that happened since: the past joins the present
without a jump, even where retention has removed the rows that a counter began with.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from exporter.aggregation import captured, grouping, malformed, snapshot
from exporter.aggregation.series import Total, read_totals
from exporter.config.settings import Limits
from exporter.errors import PlatformError
from exporter.exposition.labels import joined, labelled
from exporter.sources.failing import ROW_ERRORS
from exporter.sources.mapping import SourcePlan, Stream

SeriesKey = tuple[str, str, tuple[tuple[str, str], ...]]
"""A series: metric, type, sorted labels."""


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """The `steps` + 1 times of samples from `start` (in Unix seconds), `step_seconds` apart."""

    start: int
    step_seconds: int
    steps: int

    @property
    def end(self) -> int:
        return self.start + self.steps * self.step_seconds

    def at(self, step: int) -> int:
        """Return a time by its number."""
        return self.start + step * self.step_seconds

    def pieces(self, seconds: int) -> Iterator[tuple[int, int]]:
        """Yield the first and last number of the times between two multiples of `seconds`."""
        first = 0
        while first <= self.steps:
            ends = (self.at(first) // seconds + 1) * seconds
            last = min(self.steps, (ends - 1 - self.start) // self.step_seconds)
            yield first, last
            first = last + 1


@dataclass(frozen=True, slots=True)
class Increment:
    """What a series grew by (a gauge: what it was set to) in the step that ends at time number `step`."""

    step: int
    key: SeriesKey
    value: float
    total: float | None
    buckets: list[float] | None


@dataclass(frozen=True, slots=True)
class SourcePast:
    """A source's series as they are now, what each grew by since the grid's start, and the increments in order.

    `increments` yields those of the grid by step; those after it are in `since` alone.
    """

    totals: tuple[Total, ...]
    since: dict[SeriesKey, Increment]
    increments: Iterator[Increment]


def key(metric: str, kind: str, labels: dict[str, str]) -> SeriesKey:
    """Return the key of a series; an empty label counts as missing."""
    return metric, kind, tuple(sorted((name, value) for name, value in labels.items() if value != ""))


def with_labels(past: SourcePast, added: Mapping[str, str]) -> SourcePast:
    """Return a past with the labels that the configuration adds to its series."""

    def moved(increment: Increment) -> Increment:
        metric, kind, own = increment.key
        return replace(increment, key=key(metric, kind, joined(metric, dict(own), added)))

    since = {found.key: found for found in map(moved, past.since.values())}
    return SourcePast(tuple(labelled(past.totals, added)), since, map(moved, past.increments))


@contextmanager
def read(
    connection: psycopg.Connection, plan: SourcePlan, grid: TimeGrid, limits: Limits, report: Callable[[str], None]
) -> Iterator[SourcePast]:
    """Yield the past of a source. `report` is called with each table before it is read.

    Blocks for as long as PostgreSQL needs to group every row since the grid's start; the groups stay in temporary
    tables there. Nothing is changed. Raises PlatformError where a table was never counted.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SET LOCAL jit = off; SET LOCAL work_mem = '64MB'")
        # Making a block of what was read may take long, and a reader does not block others.
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        now = snapshot.take(connection)
        for number, stream in enumerate(plan.streams):
            report(stream.relation)
            _group(connection, stream, f"past_{number}", grid, limits, now)
        union = " UNION ALL ".join(f"SELECT * FROM pg_temp.past_{number}" for number in range(len(plan.streams)))
        totals = tuple(read_totals(connection, plan))
        since = {found.key: found for found in _all_since(connection, union)}
        with connection.cursor(name="past") as cursor:
            cursor.itersize = 5_000
            cursor.execute(f"SELECT * FROM ({union}) past WHERE step <= {grid.steps} ORDER BY step".encode())
            yield SourcePast(totals, since, map(_increment, cursor))


def _group(
    connection: psycopg.Connection, stream: Stream, table: str, grid: TimeGrid, limits: Limits, now: snapshot.Cursor
) -> None:
    cursor = snapshot.read(connection, stream)
    if cursor is None or cursor.system_identifier != now.system_identifier:
        raise PlatformError(
            f"{stream.relation} of source {stream.source} was never counted in this database, so that the end "
            "of its series is unknown; start `platform-exporter serve` (it counts at once), then run this again"
        )
    parameters: dict[str, Any] = {
        "cluster": cursor.system_identifier, "snapshot": cursor.snapshot,
        "start": grid.start, "step": grid.step_seconds, "after": grid.steps + 1,
        "source": stream.source, "stream": stream.name,
        "future_tolerance_seconds": limits.future_tolerance_seconds, "sample_labels": list(stream.sample_labels),
    }  # fmt: skip
    recent = f"({stream.columns['at']}) > to_timestamp(%(start)s)"
    into = f"CREATE TEMP TABLE {table} ON COMMIT DROP AS"
    if not stream.adopted:
        counted = snapshot.Window(f"{recent} AND NOT ({snapshot.window(stream)})", parameters)
        _grouped(connection, stream, into, counted, parameters)
        return
    held = snapshot.Window(recent if stream.counted != "deleted" else "false", parameters)
    _grouped(connection, stream, into, held, parameters)
    # What the table holds, less what of it is captured and not counted yet.
    changed, waiting = captured.uncounted(connection, stream, recent, parameters)
    _grouped(connection, changed, f"INSERT INTO {table}", waiting, parameters, sign="-")


def _grouped(
    connection: psycopg.Connection, stream: Stream, into: str, window: snapshot.Window, parameters: dict[str, Any],
    sign: str = "",
) -> None:  # fmt: skip
    try:
        with connection.transaction():
            _create(connection, stream, into, window, parameters, sign)
    except ROW_ERRORS:
        stream, window, _ = malformed.without(connection, stream, window, parameters)
        _create(connection, stream, into, window, parameters, sign)


def _create(
    connection: psycopg.Connection, stream: Stream, into: str, window: snapshot.Window, parameters: dict[str, Any],
    sign: str,
) -> None:  # fmt: skip
    step = "least(ceil((extract(epoch FROM at) - %(start)s) / %(step)s), %(after)s)::integer"
    bins = grouping.bin_names(stream.kind)
    array = grouping.buckets(f"{sign}sum(c.{name})" for name in bins)
    # The series that the exporter shows: a candidate's own where it has one, or what it was folded into.
    query = f"""{into}
WITH {grouping.grouped(stream, window.sql, step, folds=True)}
SELECT c.step, x.metric, x.type, x.labels,
    CASE x.type WHEN 'gauge' THEN (max(c.latest))[2] ELSE {sign}sum(c.value) END AS value,
    {sign}sum(c.total) AS total, CASE x.type WHEN 'histogram' THEN {array} END AS buckets
FROM candidate c CROSS JOIN LATERAL (
    SELECT metric, type, labels FROM monitoring.rollup r
    WHERE r.source = %(source)s AND r.stream = %(stream)s AND r.type = c.type
        AND (r.metric, r.labels) IN ((c.metric, c.labels), (c.metric1, c.labels1), (c.metric2, c.labels2))
    ORDER BY r.metric = c.metric AND r.labels = c.labels DESC, r.metric = c.metric1 AND r.labels = c.labels1 DESC
    LIMIT 1
) x
{"WHERE x.type <> 'gauge'" if sign else ""}
GROUP BY 1, 2, 3, 4"""
    connection.execute(psycopg.ClientCursor(connection).mogrify(query, parameters | window.parameters).encode())


def _all_since(connection: psycopg.Connection, union: str) -> Iterator[Increment]:
    summed = f"SELECT 0, metric, type, labels, sum(value), sum(total), NULL FROM ({union}) past GROUP BY 2, 3, 4"
    binned = f"""SELECT metric, type, labels, array_agg(added ORDER BY place) FROM (
    SELECT metric, type, labels, place, sum(count) AS added
    FROM ({union}) past, unnest(buckets) WITH ORDINALITY AS bin(count, place) GROUP BY 1, 2, 3, 4
) bins GROUP BY 1, 2, 3"""
    rows = connection.execute(binned.encode())
    buckets = {key(metric, kind, labels): added for metric, kind, labels, added in rows}
    for found in map(_increment, connection.execute(summed.encode())):
        yield replace(found, buckets=buckets.get(found.key))


def _increment(row: tuple[Any, ...]) -> Increment:
    step, metric, kind, labels, value, total, buckets = row
    return Increment(step, key(metric, kind, labels), value or 0.0, total, buckets)
