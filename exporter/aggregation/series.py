"""A source's series as scrapes read them: committed rollups, and readings of what is so now."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from exporter.aggregation import issues, ledger
from exporter.sources.mapping import SourcePlan


class Exemplar(NamedTuple):
    """An event that a histogram counted: its value, when it was in Unix seconds, and its trace."""

    value: float
    at: float
    trace_id: str


@dataclass(frozen=True, slots=True)
class Total:
    """One committed rollup row; `created` is in Unix seconds, `buckets` are cumulative without +Inf.

    `exemplars` are by the place of the bucket that they are in, from 0.
    """

    metric: str
    type: str
    labels: dict[str, str]
    value: float
    total: float | None = None
    buckets: list[float] | None = None
    at: float | None = None
    created: float = 0.0
    stream: str = ""
    exemplars: dict[int, Exemplar] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One gauge of a state query: its metric, labels in order of the metric's declaration, and the value."""

    metric: str
    labels: tuple[str, ...]
    value: float


NOT_POLLED = ("not polled yet",)


@dataclass(frozen=True, slots=True)
class SourceView:
    """What is known of one source: an immutable value that scrapes read while its thread goes on polling.

    `polled_at` and `advanced_at` are on this process's monotonic clock; None before the first success, as is
    `clock_ahead_seconds`: how far the database's clock is ahead of this host's. `approximate`: rows are read by time.
    `known`: what was shown of it last is there, read or remembered. `doubled`: it is not counted, as another source
    counts its event store.
    """

    source: str
    totals: tuple[Total, ...] = ()
    readings: tuple[Reading, ...] = ()
    polled_at: float | None = None
    advanced_at: float | None = None
    poll_duration_seconds: float = 0.0
    problems: tuple[str, ...] = NOT_POLLED
    clock_ahead_seconds: float | None = None
    approximate: bool = False
    known: bool = False
    doubled: bool = False

    def lag_seconds(self, now: float) -> float | None:
        """Return how old the newest count is; it grows while polls fail or hang. None before the first."""
        return None if self.advanced_at is None else max(0.0, now - self.advanced_at)


WENT_BACK = "platform_exporter_counters_went_back_total"


def read_totals(connection: psycopg.Connection, plan: SourcePlan) -> list[Total]:
    """Return the committed rollups of a source, zeros of issues among them."""
    totals = stored_totals(connection, plan.name, [stream.name for stream in plan.streams])
    stream = next((stream.name for stream in plan.streams if stream.issues), None)
    if stream:
        zeros = issues.zeros((total.metric, total.labels, total.created) for total in totals)
        totals += [_counter(stream, *zero) for zero in ((name, labels, 0.0, at) for name, labels, at in zeros)]
    return totals


def read_ledger(connection: psycopg.Connection, plan: SourcePlan) -> list[Total]:
    """Return what the SDK's processes produced and dropped, where the source is the event store."""
    return [_counter(ledger.STREAM, *row) for row in ledger.read(connection, plan.name)] if plan.native else []


def _counter(stream: str, metric: str, labels: dict[str, str], value: float, created: float) -> Total:
    return Total(metric, "counter", labels, value, created=created, stream=stream)


def stored_totals(connection: psycopg.Connection, source: str, streams: list[str]) -> list[Total]:
    """Return the committed rollups of some streams of a source, as they are shown."""
    rows = connection.execute(
        """SELECT metric, type, labels, greatest(value - coalesce(base[1], 0), held[1]),
            greatest(total - coalesce(base[2], 0), held[2]),
            CASE WHEN held IS NULL AND base IS NULL THEN buckets ELSE (
                SELECT array_agg(greatest(a - coalesce(b, 0), h) ORDER BY place)
                FROM unnest(buckets, base[3:], held[3:]) WITH ORDINALITY AS bin(a, b, h, place)) END,
            at, extract(epoch FROM created_at)::double precision, stream, exemplars
        FROM monitoring.rollup WHERE source = %s AND stream = ANY(%s) ORDER BY metric, labels""",
        [source, streams],
    ).fetchall()
    return [Total(*(*row[:-1], _exemplars(row[-1]))) for row in rows]


def _exemplars(found: dict[str, list[Any]] | None) -> dict[int, Exemplar] | None:
    return {int(place): Exemplar(*each) for place, each in found.items()} if found else None
