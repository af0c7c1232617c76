"""Exemplars: of each bucket of a histogram the newest event that names a sampled trace, found by the same poll.

Only the newest rows of a poll are looked at, so that what it costs is bounded, whatever has accumulated. They are kept
beside the series that counted them (monitoring.rollup.exemplars): one an existing series and bucket, never more.
"""

from exporter.aggregation.grouping import checked, has_traces
from exporter.sources.mapping import Stream
from platform_sdk.events.base import Rollup

NEWEST_ROWS = 1_000

# A bounded repetition in the pattern would take fifty times as long.
_TRACED = "trace_id !~ '[^0-9A-Za-z_-]' AND length(trace_id) BETWEEN 1 AND 64 AND trace_sampled IS NOT FALSE"
"""SQL of a row whose trace may be looked for; any program may write rows, and OpenMetrics allows 128 characters."""


def has_exemplars(stream: Stream) -> bool:
    """Return whether events of this stream may name a trace."""
    return not stream.adopted and has_traces(stream.kind)


def statement(stream: Stream, window_sql: str) -> str:
    """Return the statement that keeps the exemplars of a window which has been counted.

    Parameters: source, stream, future_tolerance_seconds, and those of `window_sql`. As in `rollup`, a FULL JOIN is
    never a nested loop, however few series the planner expects.
    """
    histograms = [rollup for rollup in stream.kind.rollups if rollup.type == "histogram"]
    return f"""WITH {checked(stream, window_sql, NEWEST_ROWS)}, traced AS (
    SELECT * FROM checked WHERE rejected IS NULL AND {_TRACED}
), found AS (
    {" UNION ALL ".join(map(_newest, histograms))}
), counted AS (
    SELECT ctid AS at, metric, labels FROM monitoring.rollup
    WHERE (source, stream, type) = (%(source)s, %(stream)s, 'histogram')
), matched AS MATERIALIZED (
    SELECT c.at, exemplars FROM found f FULL JOIN counted c ON c.metric = f.metric AND c.labels = f.labels
    WHERE CASE WHEN f.metric IS NULL OR c.metric IS NULL THEN false ELSE true END
)
UPDATE monitoring.rollup r SET exemplars = coalesce(r.exemplars, '{{}}') || (
    SELECT coalesce(jsonb_object_agg(place, exemplar), '{{}}')
    FROM jsonb_each(matched.exemplars) new(place, exemplar)
    WHERE coalesce((r.exemplars->place->>1)::double precision, 0) <= (exemplar->>1)::double precision)
FROM matched WHERE r.ctid = matched.at"""


def _newest(rollup: Rollup) -> str:
    """Return SQL of (metric, labels, exemplars by bucket) of a histogram."""
    names = ", ".join(rollup.groups)
    groups = ", ".join(f'({text}) COLLATE "C" AS {name}' for name, text in rollup.groups.items())
    # How many bounds are below: the bucket's place. `width_bucket` counts those that are not above.
    below = ", ".join(f"-({bound})" for bound in reversed(rollup.bounds_sql))
    place = f"{len(rollup.bounds_sql)} - width_bucket(-value, ARRAY[{below}])"
    return f"""SELECT {rollup.metric_sql}::text AS metric, {rollup.labels_sql(0)} AS labels,
        jsonb_object_agg(place, jsonb_build_array(value, extract(epoch FROM at)::double precision, trace_id))
            AS exemplars
    FROM (
        SELECT DISTINCT ON ({names}, place) {names}, place, value, at, trace_id FROM (
            SELECT *, {place} AS place FROM (
                SELECT {groups}, ({rollup.value})::double precision AS value, at, trace_id FROM traced
            ) measured WHERE value IS NOT NULL
        ) placed ORDER BY {names}, place, at DESC
    ) newest GROUP BY {names}"""
