"""Would a poll of a source succeed? Asked without counting anything: what makes `source_up` 0 is a problem here too."""

from collections.abc import Iterable, Iterator

import psycopg

from exporter.aggregation import gauges, label_sets, poll, read_only, replica
from exporter.config.settings import Config, Limits, Source
from exporter.database import schema
from exporter.printing import plural
from exporter.sources import mapping
from exporter.sources.mapping import SourcePlan
from platform_sdk.events import KINDS
from platform_sdk.events.base import OTHER


def problems(connection: psycopg.Connection, source: Source, config: Config) -> list[str]:
    """Return what a poll of each stream and state would fail with. Raises what would fail all of them.

    `connection` is to the database of the source's cursors and counters.
    """
    plan = mapping.plan(source)
    schema.check_server(connection)
    if not plan.read_only:
        schema.check_version(connection, "store" if plan.native else "counting")
        return _known(_problems(connection, plan, config.limits))
    read_only.require_store(connection, plan.name)
    with replica.connect_to_read(config.database_of(source), "check") as reading:
        return _known(_problems_of_read_only(connection, reading, plan, config.limits))


def _known(found: Iterable[str | None]) -> list[str]:
    """Return what was found, once each: what concerns several tables is one problem."""
    return [problem for problem in dict.fromkeys(found) if problem]


def _problems(connection: psycopg.Connection, plan: SourcePlan, limits: Limits) -> Iterator[str | None]:
    for stream in plan.streams:
        yield poll.rehearse(connection, stream, limits)
    for state in plan.states:
        yield gauges.rehearse(connection, state)


def _problems_of_read_only(
    store: psycopg.Connection, reading: psycopg.Connection, plan: SourcePlan, limits: Limits
) -> Iterator[str | None]:
    for stream in plan.streams:
        yield read_only.rehearse(store, reading, stream, limits)
    for state in plan.states:
        yield gauges.rehearse(reading, state)


def folded(connection: psycopg.Connection, plan: SourcePlan) -> Iterator[str]:
    """Yield the apps that have more label sets than their share of the limit, in which metrics, and what to do."""
    for app, metrics in label_sets.over_limit(connection, plan):
        which = "further apps have" if app == OTHER else f"app {app} has"
        yield (
            f"{which} used up the room for label sets of {', '.join(metrics)}, and the rest counts as `{OTHER}`: write "
            "templates in place of raw paths and ids, end what is of no use with `platform-exporter series forget`, or "
            "raise `limits.series_per_metric`"
        )


def unknown_values(connection: psycopg.Connection, plan: SourcePlan) -> Iterator[str]:
    """Yield the columns whose values were not understood in the last day, an example of each, and what to do."""
    kinds = {stream.name: stream.kind.name for stream in plan.streams}
    rows = connection.execute(
        """SELECT stream, name, example, rows FROM monitoring.unknown_value
        WHERE source = %s AND stream = ANY(%s) AND last_seen > now() - interval '1 day' ORDER BY 1, 2""",
        [plan.name, list(kinds)],
    ).fetchall()
    for stream, name, example, count in rows:
        column = next(column for column in KINDS[kinds[stream]].all_columns if column.name == name)
        yield (
            f"{stream}: {name} {example!r} is not understood and {column.fate}, as in {plural(count, 'row')}: "
            f"expected one of {', '.join(column.values)}; change what writes it, or the mapping"
        )
