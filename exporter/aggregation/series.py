"""A source's series as scrapes read them: committed rollups, and readings of what is so now."""

from dataclasses import dataclass

import psycopg

from exporter.aggregation import issues, snapshot
from exporter.sources.mapping import SourcePlan


@dataclass(frozen=True, slots=True)
class Total:
    """One committed rollup row; `created` is in Unix seconds, `buckets` are cumulative without +Inf."""

    metric: str
    type: str
    labels: dict[str, str]
    value: float
    total: float | None = None
    buckets: list[float] | None = None
    at: float | None = None
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a state query: its metric, labels in order of the metric's declaration, and the value.

    `created` is when a counter began, in Unix seconds; None for a gauge.
    """

    metric: str
    labels: tuple[str, ...]
    value: float
    created: float | None = None


@dataclass(frozen=True, slots=True)
class SourceView:
    """What is known of one source: an immutable value that scrapes read while its thread goes on polling.

    `polled_at` and `advanced_at` are on this process's monotonic clock; None before the first success, as is
    `clock_ahead_seconds`: how far the database's clock is ahead of this host's.
    """

    source: str
    totals: tuple[Total, ...] = ()
    readings: tuple[Reading, ...] = ()
    polled_at: float | None = None
    advanced_at: float | None = None
    poll_duration_seconds: float = 0.0
    problems: tuple[str, ...] = ("not polled yet",)
    clock_ahead_seconds: float | None = None

    def lag_seconds(self, now: float) -> float | None:
        """Return how old the newest count is; it grows while polls fail or hang. None before the first."""
        return None if self.advanced_at is None else max(0.0, now - self.advanced_at)


def read_totals(connection: psycopg.Connection, plan: SourcePlan) -> tuple[tuple[Total, ...], float | None]:
    """Return the committed rollups of a source, zeros of issues among them, and `snapshot.age_seconds`."""
    totals = stored_totals(connection, plan.name, [stream.name for stream in plan.streams])
    if any(stream.issues for stream in plan.streams):
        zeros = issues.zeros((total.metric, total.labels, total.created) for total in totals)
        totals += [Total(metric, "counter", labels, 0.0, created=created) for metric, labels, created in zeros]
    return tuple(totals), snapshot.age_seconds(connection, plan)


def stored_totals(connection: psycopg.Connection, source: str, streams: list[str]) -> list[Total]:
    """Return the committed rollups of some streams of a source."""
    rows = connection.execute(
        """SELECT metric, type, labels, value, total, buckets, at, extract(epoch FROM created_at)::double precision
        FROM monitoring.rollup WHERE source = %s AND stream = ANY(%s) ORDER BY metric, labels""",
        [source, streams],
    ).fetchall()
    return [Total(*row) for row in rows]
