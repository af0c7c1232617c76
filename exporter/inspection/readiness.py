"""Would a poll of a source succeed? Asked without counting anything: what makes `source_up` 0 is a problem here too."""

from collections.abc import Iterator

import psycopg

from exporter.aggregation import gauges, poll
from exporter.config.settings import Limits, Source
from exporter.database import schema
from exporter.printing import plural
from exporter.sources import mapping
from exporter.sources.mapping import SourcePlan
from platform_sdk.events import KINDS


def problems(connection: psycopg.Connection, source: Source, limits: Limits) -> list[str]:
    """Return what a poll of each stream and state would fail with. Raises what would fail all of them."""
    plan = mapping.plan(source)
    schema.check_server(connection)
    schema.check_version(connection, "store" if plan.native else "counting")
    return [found for found in _problems(connection, plan, limits) if found]


def _problems(connection: psycopg.Connection, plan: SourcePlan, limits: Limits) -> Iterator[str | None]:
    for stream in plan.streams:
        yield poll.rehearse(connection, stream, limits)
    for state in plan.states:
        yield gauges.rehearse(connection, state)


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
