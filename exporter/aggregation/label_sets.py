"""The label sets of a source's series: which are the fattest, and how they end.

A series ends as a whole: its rollup is removed, it is gone from the next poll on, and what its label set counts later
is a new series. Its value is added to no other one, where `increase()` would count it a second time, but recorded in
`monitoring.removed`, so that counters and rows can still be compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.types.json import Jsonb

from exporter.config.settings import Limits
from exporter.sources.mapping import SourcePlan
from platform_sdk.events.base import OTHER
from platform_sdk.events.sample import BUDGET

SERIES_ENDED = "platform_exporter_series_ended_total"

Reason = Literal["forgotten", "idle"]
REASONS: tuple[Reason, ...] = ("forgotten", "idle")


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter of label sets: of several values of one kind any must match, of several kinds all, and all `labels`."""

    apps: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.apps or self.metrics or self.labels)

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return SQL over monitoring.rollup as `r`, and its parameters: no series but those of an app's events."""
        conditions = ["r.labels ? 'app' AND NOT starts_with(r.metric, 'platform_exporter_')"]
        conditions += ["r.labels->>'app' = ANY(%(apps)s)"] if self.apps else []
        conditions += ["r.metric = ANY(%(metrics)s)"] if self.metrics else []
        conditions += ["r.labels @> %(labels)s"] if self.labels else []
        parameters = {"apps": list(self.apps), "metrics": list(self.metrics), "labels": Jsonb(dict(self.labels))}
        return " AND ".join(conditions), parameters


@dataclass(frozen=True, slots=True)
class Group:
    """The label sets of one metric that one app has; `labels` is how many values each label has among them.

    `budget` is the name under which the limit counts them, and `in_budget` how many there are of all apps.
    """

    source: str
    app: str
    metric: str
    label_sets: int
    in_budget: int
    counted_at: datetime
    labels: dict[str, int]

    @property
    def widest(self) -> str:
        """Return the label with the most values, and their number."""
        name, values = max(self.labels.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        return f"{name} ({values:,})" if name else ""


def listed(connection: psycopg.Connection, plan: SourcePlan, selection: Selection) -> list[Group]:
    """Return the label sets of a source by app and metric, most first."""
    where, parameters = selection.where()
    rows = connection.execute(
        f"""WITH chosen AS (
            SELECT r.labels->>'app' AS app, r.metric, r.stream, coalesce(r.budget, r.metric) AS budget, r.labels,
                r.counted_at
            FROM monitoring.rollup r WHERE r.source = %(source)s AND r.stream = ANY(%(streams)s) AND {where}
        ), budgets AS (
            SELECT stream, coalesce(budget, metric) AS budget, count(*) AS in_budget FROM monitoring.rollup
            WHERE source = %(source)s GROUP BY 1, 2
        ), widths AS (
            SELECT app, metric, jsonb_object_agg(name, width) AS widths FROM (
                SELECT app, metric, name, count(DISTINCT value) AS width
                FROM chosen CROSS JOIN LATERAL jsonb_each_text(labels) label(name, value)
                WHERE name <> 'app' GROUP BY 1, 2, 3) counted
            GROUP BY 1, 2
        )
        SELECT app, metric, count(*), max(in_budget), max(counted_at), coalesce(any_value, '{{}}') FROM (
            SELECT c.*, b.in_budget, w.widths AS any_value FROM chosen c JOIN budgets b USING (stream, budget)
            LEFT JOIN widths w ON w.app = c.app AND w.metric = c.metric) joined
        GROUP BY app, metric, any_value ORDER BY 3 DESC, 1, 2""".encode(),
        parameters | _of(plan),
    ).fetchall()
    return [Group(plan.name, *row) for row in rows]


def over_limit(connection: psycopg.Connection, plan: SourcePlan) -> Iterator[tuple[str, list[str]]]:
    """Yield each app of which label sets were folded in the last day, and the metrics; the worst ten apps first.

    An app that came when there was no room at all is `_other_` itself.
    """
    yield from connection.execute(
        f"""SELECT app, array_agg(budget ORDER BY budget) FROM (
            SELECT DISTINCT labels->>'app' AS app, budget FROM monitoring.rollup
            WHERE source = %(source)s AND stream = ANY(%(streams)s) AND budget IS NOT NULL
                AND counted_at > now() - interval '1 day'
                AND EXISTS (SELECT FROM jsonb_each_text(labels) WHERE value = '{OTHER}')) folded
        GROUP BY app ORDER BY count(*) DESC, app LIMIT 10""".encode(),
        _of(plan),
    ).fetchall()


def forget(
    connection: psycopg.Connection, plan: SourcePlan, selection: Selection, actor: str, note: str | None = None
) -> int:
    """End the series selected, in one transaction that no poll runs beside; return how many.

    Blocks until a poll that runs has ended. Raises psycopg.Error, LockNotAvailable where that takes long.
    """
    where, parameters = selection.where()
    details = {
        "apps": list(selection.apps), "metrics": list(selection.metrics), "labels": dict(selection.labels),
        "note": note,
    }  # fmt: skip
    with connection.transaction():
        return _end(
            connection, where, parameters | _of(plan), "forgotten", actor, {k: v for k, v in details.items() if v}
        )


def forget_consumer(connection: psycopg.Connection, consumer: str, app: str | None, actor: str) -> int:
    """End the series of a consumer who is a person, as `forget` does, of every source that a database has.

    That includes sources and tables that are in no configuration any more. The audit does not name the consumer.
    """
    where, parameters = Selection(apps=(app,) if app else (), labels={"consumer": consumer}).where()
    query = f"SELECT r.source, array_agg(DISTINCT r.stream) FROM monitoring.rollup r WHERE {where} GROUP BY 1"
    with connection.transaction():
        # A poll that runs may still add a series of it; none begins until this ends.
        connection.execute("SELECT 1 FROM monitoring.source ORDER BY name FOR UPDATE")
        found = [{"source": row[0], "streams": row[1]} for row in connection.execute(query.encode(), parameters)]
        note = {"note": "users erase"}
        return sum(_end(connection, where, parameters | of, "forgotten", actor, note) for of in found)


def end_idle(connection: psycopg.Connection, plan: SourcePlan, limits: Limits) -> int:
    """End series without an event for long, of metrics that need the room; return how many.

    By the database's clock, the longest idle first, a tenth of the limit of a metric at most. None of a table whose
    poll fails: what it missed may be of any series. Raises psycopg.Error.
    """
    where = """(r.stream, r.metric, r.type, r.labels) IN (
        SELECT stream, metric, type, labels FROM (
            SELECT *, row_number() OVER (PARTITION BY stream, budget ORDER BY counted_at, labels) AS place,
                count(*) OVER (PARTITION BY stream, budget) AS have
            FROM monitoring.rollup WHERE source = %(source)s AND budget IS NOT NULL
        ) budgeted JOIN monitoring.cursor c USING (source, stream)
        WHERE have >= %(limit)s - greatest(4, %(limit)s / 10) AND place <= greatest(1, %(limit)s / 10)
            AND counted_at < now() - make_interval(days => %(days)s)
            AND c.advanced_at > now() - make_interval(mins => 10))"""
    parameters = {"limit": limits.series_per_metric, "days": limits.idle_series_days}
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '500ms'")
        return _end(connection, where, parameters | _of(plan), "idle", "exporter", {"days": limits.idle_series_days})


def _of(plan: SourcePlan) -> dict[str, Any]:
    return {"source": plan.name, "streams": [stream.name for stream in plan.streams]}


def _end(
    connection: psycopg.Connection,
    where: str,
    parameters: dict[str, Any],
    reason: Reason,
    actor: str,
    details: dict[str, Any],
) -> int:
    """End the series of `source` and `streams`, which are among the parameters, that the condition selects."""
    # Polls skip a source whose row is locked: none adds to a series while it ends.
    connection.execute("SELECT 1 FROM monitoring.source WHERE name = %s FOR UPDATE", [parameters["source"]])
    row = connection.execute(
        f"""WITH ended AS (
            DELETE FROM monitoring.rollup r
            WHERE r.source = %(source)s AND r.stream = ANY(%(streams)s) AND {where} RETURNING r.*
        ), removed AS (
            INSERT INTO monitoring.removed AS m (source, stream, metric, detail, value, total, buckets)
            SELECT source, stream, budget, CASE WHEN budget = '{BUDGET}' THEN type ELSE '' END, -sum(value),
                -coalesce(sum(total), 0), -coalesce(sum((SELECT sum(b) FROM unnest(buckets) b)), 0)
            FROM ended WHERE budget IS NOT NULL AND type <> 'gauge' GROUP BY 1, 2, 3, 4
            ON CONFLICT (source, stream, metric, detail) DO UPDATE SET value = m.value + excluded.value,
                total = m.total + excluded.total, buckets = m.buckets + excluded.buckets
        ), counted AS (
            INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, created_at)
            SELECT source, stream, '{SERIES_ENDED}', 'counter', jsonb_build_object('source', source, 'metric',
                coalesce(budget, metric), 'reason', %(reason)s::text), count(*), now()
            FROM ended GROUP BY source, stream, coalesce(budget, metric)
            ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET value = r.value + excluded.value
        ), audited AS (
            INSERT INTO monitoring.audit (actor, action, object, details)
            SELECT %(actor)s, 'series.{reason}', 'series/' || %(source)s::text,
                %(details)s::jsonb || jsonb_build_object('series', count(*)) FROM ended HAVING count(*) > 0
        )
        SELECT count(*) FROM ended""".encode(),
        parameters | {"reason": reason, "actor": actor, "details": Jsonb(details)},
    ).fetchone()
    return int(row[0]) if row else 0
