"""Make the one SQL statement that counts new rows: GROUP BY labels, bound the label sets, add to the rollups.

The shape of it, each step a CTE:

    event      the window's rows of one table, columns named as the kind declares them
    checked    + why a row is rejected (NULL for a good one) + the kind's derived columns
    fine       grouped by the columns that labels are made of; all sums any of the kind's series needs
    good       the groups that were not rejected, with the labels made: per group, as per row it doubles the cost
    candidate  grouped by each series' own labels: one row a series, with what it would be folded into
    level0     candidates that exist already, or fit under the limit (the largest first), are kept
    level1     the rest, with their open labels `_other_`; kept if they fit
    level2     the rest of the rest, with every label `_other_`: one series a metric (of samples, one a type)
    final      what is kept, and the exporter's own counters; upserted into monitoring.rollup

Only counts come back: a million distinct values never reach Python, nor a row each.
"""

import re
from collections.abc import Iterator

from exporter.sources.mapping import Stream
from platform_sdk.events.base import EventKind, Rollup

IN_TIME = "at <= now() + make_interval(secs => %(future_tolerance_seconds)s) AND isfinite(at)"

SELF_EVENTS = "platform_exporter_events_total"
SELF_REJECTED = "platform_exporter_rows_rejected_total"
SELF_FOLDED = "platform_exporter_series_folded_total"


def everything(stream: Stream) -> str:
    """Return the window of a first pass: all rows there are.

    It names the columns that later windows need: a first pass over a table that is not adopted must fail, for rows
    written between it and the adoption could not be told from those it counted.
    """
    return f"(true OR {stream.tx} IS NULL OR {stream.cluster} IS NULL)"


def window(stream: Stream, *, elsewhere: bool = False) -> str:
    """Return SQL that is true for rows of %(cluster)s that became visible after %(snapshot)s was taken.

    A transaction that has not begun yet is no row's: one forged by a writer would otherwise be new at every poll.
    `elsewhere` says that the cluster is another one, whose transactions may well be ahead of those here.
    """
    begun = "" if elsewhere else f"AND {stream.tx} < pg_snapshot_xmax(pg_current_snapshot()) "
    return (
        f"{stream.cluster} = %(cluster)s AND {stream.tx} >= pg_snapshot_xmin(%(snapshot)s::pg_snapshot) "
        f"{begun}AND NOT pg_visible_in_snapshot({stream.tx}, %(snapshot)s::pg_snapshot)"
    )


def event(stream: Stream, window_sql: str) -> str:
    """Return the CTE `event`: all rows of the window, columns named as the kind declares them."""
    # A mapping's expressions may be dear (JSON in a text column): they too are evaluated once.
    once = "" if stream.relation == f"monitoring.{stream.kind.name}" else "OFFSET 0"
    return f"""event AS (
    SELECT {", ".join(_columns(stream))}
    FROM {stream.relation} t {stream.join}
    WHERE ({stream.where}) AND ({window_sql}) {once}
)"""


def checked(stream: Stream, window_sql: str) -> str:
    """Return the CTEs `event` and `checked`: good and rejected rows of the window.

    OFFSET 0 keeps the planner from evaluating `rejected` and the derived columns again at each of their uses.
    """
    derived = "".join(f", {text} AS {name}" for name, text in stream.kind.derived.items())
    return f"""{event(stream, window_sql)}, checked AS (
    SELECT *, CASE {" ".join(_checks(stream.kind))} END AS rejected{derived}
    FROM event OFFSET 0
)"""


def statement(stream: Stream, window_sql: str) -> str:
    """Return the statement that counts a window of `stream` into monitoring.rollup.

    Parameters: source, stream, limit, reserve, future_tolerance_seconds, sample_labels, and those of `window`.
    Result: one row (rows seen, rows rejected, label sets folded), all bigint.
    """
    kind = stream.kind
    bins = bin_names(kind)
    sums = ", ".join(["sum(value) AS value", "sum(total) AS total", *(f"sum({b}) AS {b}" for b in bins)])
    sums += ", max(latest) AS latest, min(since) AS since"
    kept = ", ".join(["budget", "metric", "type", "labels", "value", "total", *bins, "latest", "since"])
    array = f"CASE WHEN type = 'histogram' THEN ARRAY[{', '.join(f'sum({b})' for b in bins)}]::double precision[] END"
    return f"""WITH {grouped(stream, window_sql)}, room AS (
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
    SELECT m.*, {_admit("m.known, m.budget", f"%(limit)s - {_last(kind)} - coalesce(r.used, 0) - t.used")} AS admitted
    FROM ({_marked("folded1")}) m LEFT JOIN room r USING (budget) JOIN taken t USING (budget)
), level2 AS (
    SELECT budget, metric2 AS metric, type, labels2 AS labels, {sums}
    FROM level1 WHERE NOT admitted GROUP BY 1, 2, 3, 4
), series AS (
    SELECT {kept} FROM level0 WHERE admitted
    UNION ALL SELECT {kept} FROM level1 WHERE admitted
    UNION ALL SELECT {kept} FROM level2
), final AS (
    SELECT min(budget) AS budget, metric, type, labels,
        CASE type WHEN 'gauge' THEN (max(latest))[2] ELSE sum(value) END AS value,
        CASE WHEN type IN ('histogram', 'summary') THEN sum(total) END AS total,
        {array} AS buckets, (max(latest))[1] AS at, min(since) AS since
    FROM series GROUP BY metric, type, labels
    UNION ALL {_own()}
), written AS (
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
)
SELECT coalesce(sum(n), 0)::bigint, coalesce(sum(n) FILTER (WHERE rejected IS NOT NULL), 0)::bigint,
    (SELECT coalesce(sum(folded), 0)::bigint FROM taken)
FROM fine"""


def grouped(stream: Stream, window_sql: str, step: str = "") -> str:
    """Return the CTEs up to `candidate`; `step`, SQL over the event's columns, keeps groups of its values apart.

    A candidate is (budget, metric, type, labels, metric1, labels1, metric2, labels2, value, total, b0 ..., latest,
    since) and, where asked for, `step`: metric1 and labels1 are what it is folded into first, metric2 and labels2 then.
    """
    kind = stream.kind
    groups = _groups(kind)
    labels = "".join(f", {text} AS {alias}" for alias, text in groups.items())
    inputs = ", ".join(["rejected", *_inputs(kind, groups)])
    made, kept = (f", {step} AS step", ", step") if step else ("", "")
    candidates = " UNION ALL ".join(_candidate(index, rollup, kind, kept) for index, rollup in enumerate(kind.rollups))
    return f"""{checked(stream, window_sql)}, fine AS MATERIALIZED (
    SELECT {inputs}{made}, count(*) AS n, min(at) AS since{"".join(_aggregates(kind))}
    FROM checked GROUP BY {inputs}{kept}
), good AS (
    SELECT n, since{kept}{labels}{"".join(_aggregate_names(kind))} FROM fine WHERE rejected IS NULL
), candidate AS (
    {candidates}
)"""


def bin_names(kind: EventKind) -> list[str]:
    """Return the names of the columns that hold a histogram's buckets: as many as the widest of the kind has."""
    return [f"b{index}" for index in range(max(len(rollup.bounds_sql) for rollup in kind.rollups))]


def _columns(stream: Stream) -> Iterator[str]:
    for column in stream.kind.all_columns:
        text = stream.columns.get(column.name, "NULL")
        yield f"({text})::{column.type} AS {column.name}"


def _checks(kind: EventKind) -> Iterator[str]:
    yield f"WHEN {' OR '.join(f'{name} IS NULL' for name in kind.required)} THEN 'null'"
    yield f"WHEN NOT ({IN_TIME}) THEN 'future'"
    yield f"ELSE coalesce({', '.join(kind.checks)})" if kind.checks else ""


def _inputs(kind: EventKind, groups: dict[str, str]) -> list[str]:
    """Return the columns that the labels' SQL names, in the order of their declaration."""
    words = set(re.findall(r"[a-z_]+", " ".join(groups.values())))
    return [name for name in (*(column.name for column in kind.all_columns), *kind.derived) if name in words]


def _groups(kind: EventKind) -> dict[str, str]:
    """Return every label of the kind once, alias -> SQL. Raises ValueError where two rollups disagree on one."""
    groups: dict[str, str] = {}
    for rollup in kind.rollups:
        for alias, text in rollup.groups.items():
            if groups.setdefault(alias, text) != text:
                raise ValueError(f"{kind.name}: label {alias} is declared twice, differently")
    return groups


def _parts(rollup: Rollup) -> tuple[str, ...]:
    """Return which sums a rollup needs of each group."""
    needs = {"counter": ("sum",), "gauge": ("latest",), "histogram": ("count", "sum", "bins")}
    return needs.get(rollup.type, ("count", "sum", "bins", "latest"))


def _weight(kind: EventKind) -> str:
    return "coalesce(weight, 1)" if any(column.name == "weight" for column in kind.columns) else ""


def _aggregates(kind: EventKind) -> Iterator[str]:
    """Yield `, sum(...) AS name` for every rollup.

    Rejected rows are in groups of their own, never read, but their values must not be added up either: a sum or a
    product of what is out of range overflows, and an error would stop the stream for ever.
    """
    weight = _weight(kind)
    good = "FILTER (WHERE rejected IS NULL)"
    count = f"sum({weight}) {good}" if weight else "count(*)"
    for index, rollup in enumerate(kind.rollups):
        value = f"({rollup.value})::double precision"
        parts = _parts(rollup)
        weighted = f"{value} * {weight}" if weight and "count" in parts else value
        if "count" in parts:
            yield f", {count} AS r{index}_count"
        if "sum" in parts:
            constant = count if rollup.value in ("1", weight) else f"sum({weighted}) {good}"
            yield f", {constant} AS r{index}_sum"
        if "bins" in parts:
            for position, bound in enumerate(rollup.bounds_sql):
                within = f"FILTER (WHERE {value} <= {bound} AND rejected IS NULL)"
                yield f", {f'sum({weight})' if weight else 'count(*)'} {within} AS r{index}_b{position}"
        if "latest" in parts:
            pair = f"ARRAY[extract(epoch FROM at)::double precision, {value}]"
            yield f", max({pair}) FILTER (WHERE {value} IS NOT NULL) AS r{index}_latest"


def _aggregate_names(kind: EventKind) -> Iterator[str]:
    for text in _aggregates(kind):
        yield f", {text.rsplit(' AS ', 1)[1]}"


def _candidate(index: int, rollup: Rollup, kind: EventKind, kept: str) -> str:
    parts = _parts(rollup)
    nothing = "NULL::double precision"
    added = f"sum(r{index}_sum)::double precision" if "sum" in parts else nothing
    observed = f"sum(r{index}_count)::double precision" if "count" in parts else nothing
    value = {"counter": added, "histogram": observed, "gauge": nothing}.get(
        rollup.type, f"CASE {rollup.type_sql} WHEN 'counter' THEN {added} ELSE {observed} END"
    )
    total = added if "count" in parts else nothing
    bins = [
        f"coalesce(sum(r{index}_b{position}), 0)::double precision" if position < len(rollup.bounds_sql) else nothing
        for position in range(len(bin_names(kind)))
    ]
    latest = f"max(r{index}_latest)" if "latest" in parts else "NULL::double precision[]"
    conditions = [f"{rollup.require} <> ''"] if rollup.require else []
    if rollup.type == "gauge":
        conditions.append(f"r{index}_latest IS NOT NULL")
    return f"""SELECT '{rollup.metric}'::text AS budget, {rollup.metric_sql}::text AS metric,
        {rollup.type_sql}::text AS type, {rollup.labels_sql(0)} AS labels,
        {rollup.folded_metric_sql(1)}::text AS metric1, {rollup.labels_sql(1)} AS labels1,
        {rollup.folded_metric_sql(2)}::text AS metric2, {rollup.labels_sql(2)} AS labels2,
        {value} AS value, {total} AS total,
        {"".join(f"{text} AS b{position}, " for position, text in enumerate(bins))}{latest} AS latest,
        min(since) AS since{kept}
    FROM good WHERE {" AND ".join(conditions) or "true"} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8{kept}"""


def _last(kind: EventKind) -> int:
    """Return how many series the last level may add to a metric: one, or of samples one a type."""
    return max(1 if rollup.type != "sample" else 4 for rollup in kind.rollups)


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
