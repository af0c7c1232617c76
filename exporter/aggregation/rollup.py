"""The one SQL statement that counts new rows: group by labels, limit the label sets, add to the rollups.

Each step is a CTE; those of `exporter.aggregation.grouping` come first, down to `candidate`:

    candidate  one row a series, with what it would be folded into
    level0     candidates that exist already, or fit under the limit (the largest first), are kept
    level1     the rest, with their open labels `_other_`; kept if they fit
    level2     the rest of the rest, with every label `_other_`: one series a metric (of samples, one a type)
    final      what is kept, and the exporter's own counters; upserted into monitoring.rollup

Only counts come back: a million distinct values never reach Python, nor a row each.
"""

from exporter.aggregation.grouping import bin_names, grouped, inputs
from exporter.sources.mapping import Stream
from platform_sdk.events.base import EventKind

SELF_EVENTS = "platform_exporter_events_total"
SELF_REJECTED = "platform_exporter_rows_rejected_total"
SELF_FOLDED = "platform_exporter_series_folded_total"


def statement(stream: Stream, window_sql: str) -> str:
    """Return the statement that counts a window of `stream` into monitoring.rollup.

    Parameters: source, stream, limit, reserve, future_tolerance_seconds, sample_labels, and those of `window_sql`.
    Result: one row (rows seen, rows rejected, label sets folded), all bigint.
    """
    kind = stream.kind
    bins = bin_names(kind)
    array = f"CASE WHEN type = 'histogram' THEN ARRAY[{', '.join(f'sum({b})' for b in bins)}]::double precision[] END"
    return f"""WITH {grouped(stream, window_sql)}, {_levels(kind)}, final AS (
    SELECT min(budget) AS budget, metric, type, labels,
        CASE type WHEN 'gauge' THEN (max(latest))[2] ELSE sum(value) END AS value,
        CASE WHEN type IN ('histogram', 'summary') THEN sum(total) END AS total,
        {array} AS buckets, (max(latest))[1] AS at, min(since) AS since
    FROM series GROUP BY metric, type, labels
    UNION ALL {_own()}
), {_WRITTEN}{_noted(stream)}
SELECT coalesce(sum(n), 0)::bigint, coalesce(sum(n) FILTER (WHERE rejected IS NOT NULL), 0)::bigint,
    (SELECT coalesce(sum(folded), 0)::bigint FROM taken)
FROM fine"""


def _levels(kind: EventKind) -> str:
    """Return the CTEs that keep as many candidates as there is room for and fold the others: down to `series`."""
    bins = bin_names(kind)
    sums = ", ".join(["sum(value) AS value", "sum(total) AS total", *(f"sum({b}) AS {b}" for b in bins)])
    sums += ", max(latest) AS latest, min(since) AS since"
    kept = ", ".join(["budget", "metric", "type", "labels", "value", "total", *bins, "latest", "since"])
    last = max(
        1 if rollup.type != "sample" else 4 for rollup in kind.rollups
    )  # series of level2: of samples one a type
    return f"""room AS (
    SELECT budget, count(*) AS used FROM monitoring.rollup
    WHERE source = %(source)s AND stream = %(stream)s AND budget IS NOT NULL GROUP BY budget
), level0 AS (
    SELECT m.*, {_admit("m.known, m.budget", "%(limit)s - %(reserve)s - coalesce(r.used, 0)")} AS admitted
    FROM ({_marked("candidate")}) m LEFT JOIN room r USING (budget)
), taken AS (
    SELECT budget, count(*) FILTER (WHERE admitted AND NOT known) AS used,
        count(*) FILTER (WHERE NOT admitted) AS folded
    FROM level0 GROUP BY budget
), folded1 AS (
    SELECT budget, metric1 AS metric, type, labels1 AS labels, metric2, labels2, {sums}
    FROM level0 WHERE NOT admitted GROUP BY 1, 2, 3, 4, 5, 6
), level1 AS (
    SELECT m.*, {_admit("m.known, m.budget", f"%(limit)s - {last} - coalesce(r.used, 0) - t.used")} AS admitted
    FROM ({_marked("folded1")}) m LEFT JOIN room r USING (budget) JOIN taken t USING (budget)
), level2 AS (
    SELECT budget, metric2 AS metric, type, labels2 AS labels, {sums}
    FROM level1 WHERE NOT admitted GROUP BY 1, 2, 3, 4
), series AS (
    SELECT {kept} FROM level0 WHERE admitted
    UNION ALL SELECT {kept} FROM level1 WHERE admitted
    UNION ALL SELECT {kept} FROM level2
)"""


_WRITTEN = """written AS (
    INSERT INTO monitoring.rollup AS r
        (source, stream, budget, metric, type, labels, value, total, buckets, at, created_at)
    SELECT %(source)s, %(stream)s, budget, metric, type, labels, value, total, buckets, at,
        least(now(), coalesce(since, now()))
    FROM final
    ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET
        value = CASE WHEN r.type <> 'gauge' THEN r.value + excluded.value
            WHEN excluded.at >= r.at THEN excluded.value ELSE r.value END,
        total = r.total + excluded.total,
        buckets = CASE WHEN r.buckets IS NOT NULL THEN (
            SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY position)
            FROM unnest(r.buckets, excluded.buckets) WITH ORDINALITY AS pair(a, b, position)) END,
        at = greatest(r.at, excluded.at)
)"""


def _noted(stream: Stream) -> str:
    """Return the CTE that keeps an example of the values that are not understood, if the kind has such columns.

    What is no plain word may be a secret, or anything: only its length is kept.
    """
    unknown = [
        f"SELECT '{column.name}' AS name, {column.name} AS example, n FROM fine "
        f"WHERE {column.name} IS NOT NULL AND {column.understood} IS NULL"
        for column in stream.kind.columns
        if column.values and column.name in inputs(stream.kind)
    ]
    if not unknown:
        return ""
    return f""", noted AS (
    INSERT INTO monitoring.unknown_value AS u (source, stream, name, example, rows)
    SELECT %(source)s, %(stream)s, name, max(CASE WHEN example ~ '^[[:alnum:]_ .-]{{1,40}}$' THEN example
        ELSE length(example) || ' characters' END), sum(n)
    FROM ({" UNION ALL ".join(unknown)}) found GROUP BY name
    ON CONFLICT (source, stream, name) DO UPDATE SET example = excluded.example, rows = u.rows + excluded.rows,
        last_seen = now()
)"""


def _marked(name: str) -> str:
    """Return SQL for the rows of a CTE, each marked `known` if its series exists already."""
    return f"""SELECT c.*, x.metric IS NOT NULL AS known FROM {name} c LEFT JOIN monitoring.rollup x
        ON x.source = %(source)s AND x.stream = %(stream)s
        AND x.metric = c.metric AND x.type = c.type AND x.labels = c.labels"""


def _admit(partition: str, room: str) -> str:
    order = "m.value DESC NULLS LAST, m.metric, m.labels"
    return f"m.known OR row_number() OVER (PARTITION BY {partition} ORDER BY {order}) <= {room}"


def _own() -> str:
    """Return SQL for the exporter's own counters: rows counted, rows rejected by reason, label sets folded."""
    rest = "NULL::double precision, NULL::double precision[], NULL::double precision"
    source = "'source', %(source)s::text"
    return f"""SELECT NULL, '{SELF_EVENTS}', 'counter', jsonb_build_object({source}),
        sum(n)::double precision, {rest}, now() FROM fine WHERE rejected IS NULL HAVING count(*) > 0
    UNION ALL SELECT NULL, '{SELF_REJECTED}', 'counter', jsonb_build_object({source}, 'reason', rejected),
        sum(n)::double precision, {rest}, now() FROM fine WHERE rejected IS NOT NULL GROUP BY rejected
    UNION ALL SELECT NULL, '{SELF_FOLDED}', 'counter', jsonb_build_object({source}, 'metric', budget),
        folded::double precision, {rest}, now() FROM taken WHERE folded > 0"""
