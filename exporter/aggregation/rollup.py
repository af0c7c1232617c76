"""The one SQL statement that counts new rows: group by labels, limit the label sets, add to the rollups.

Each step is a CTE; those of `exporter.aggregation.grouping` come first, down to `candidate`:

    candidate  one row a series, with what it would be folded into
    level0     candidates; those that exist already, or that their app has room for (the largest first), are kept
    level1     the rest, with their open labels `_other_`; kept by the same rule
    level2     the rest of the rest, with every label `_other_`: one series a metric (of samples, one a type)
    final      what is kept, and the exporter's own counters; upserted into monitoring.rollup

How many label sets of a metric an app may have, `allowed` in `quota0` and `quota1`, is the greater of two numbers:

    by need    what is left of the limit, given to the apps with the fewest label sets first (max-min fairness)
    its share  what it had by need if all apps came at once, or a tenth of the limit, whatever the others have taken. It
               is past the limit, within as much again, of which each app gets at most an equal part, and leaves one
               free (https://doi.org/10.1109/90.664262): there is room for whoever comes later. New apps get a share
               while there are fewer than half as many apps as the limit: their names may be made up.

Only counts come back: a million distinct values never reach Python, nor a row each.
"""

from collections.abc import Iterable

import psycopg
from psycopg.types.json import Jsonb

from exporter.aggregation.grouping import bin_names, buckets, grouped, has_traces, inputs, readable
from exporter.sources.mapping import Stream
from platform_sdk.events.base import LONGEST_LABEL, OTHER, EventKind

SELF_EVENTS = "platform_exporter_events_total"
SELF_REJECTED = "platform_exporter_rows_rejected_total"
SELF_FOLDED = "platform_exporter_series_folded_total"

REJECTING_APPS = 50
"""How many apps a stream's rejected rows are named by, as rows may have any name; the others are one, `_other_`."""


_APP = """(labels->>'app') COLLATE "C\""""


def statement(stream: Stream, window_sql: str, *, fits: bool = False) -> str:
    """Return the statement that counts a window of `stream` into monitoring.rollup.

    `fits` says that there is room for whatever series the rows may make: all candidates are kept.

    Parameters: source, stream, limit, reserve, future_tolerance_seconds, sample_labels, and those of `window_sql`.
    Result: one row (rows seen, rows rejected, label sets folded, rows that name a trace), all bigint.
    """
    kind = stream.kind
    traced = "coalesce(sum(traced), 0)::bigint" if has_traces(kind) else "0"
    series = _as_they_are(kind) if fits else f"{_levels(kind)}, final AS ({_merged(kind)})"
    return f"""WITH {grouped(stream, window_sql, folds=not fits)}, {_rejecting(stream)}, {series}, counters AS (
    {_own()}
), {_WRITTEN}{_noted(stream)}
SELECT coalesce(sum(n), 0)::bigint, coalesce(sum(n) FILTER (WHERE rejected IS NOT NULL), 0)::bigint,
    (SELECT coalesce(sum(folded), 0)::bigint FROM taken), {traced}
FROM fine"""


def add(connection: psycopg.Connection, stream: Stream, metric: str, labels: dict[str, str], rows: int) -> None:
    """Add rows to one of the exporter's own counters of a source."""
    connection.execute(
        """INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, created_at)
        VALUES (%s, %s, %s, 'counter', %s, %s, now())
        ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET value = r.value + excluded.value""",
        [stream.source, stream.name, metric, Jsonb({"source": stream.source, **labels}), rows],
    )


def _as_they_are(kind: EventKind) -> str:
    """Return the CTEs down to `final` where every candidate is a series."""
    array = _array(bin_names(kind))
    return f"""taken AS (
    SELECT NULL AS budget, '{OTHER}' AS app, 0 AS folded WHERE false
), final AS (
    SELECT budget, metric, type, labels, CASE type WHEN 'gauge' THEN latest[2] ELSE value END AS value,
        CASE WHEN type IN ('histogram', 'summary') THEN total END AS total, {array} AS buckets, latest[1] AS at, since
    FROM candidate
)"""


def _merged(kind: EventKind) -> str:
    """Return SQL of the series, of which some were folded into the same one."""
    return f"""SELECT min(budget) AS budget, metric, type, labels,
        CASE type WHEN 'gauge' THEN (max(latest))[2] ELSE sum(value) END AS value,
        CASE WHEN type IN ('histogram', 'summary') THEN sum(total) END AS total,
        {_array(f"sum({name})" for name in bin_names(kind))} AS buckets, (max(latest))[1] AS at, min(since) AS since
    FROM series GROUP BY metric, type, labels"""


def _array(bins: Iterable[str]) -> str:
    return f"CASE WHEN type = 'histogram' THEN {buckets(bins)} END"


def _levels(kind: EventKind) -> str:
    """Return the CTEs that keep as many candidates as there is room for and fold the others: down to `series`."""
    bins = bin_names(kind)
    sums = ", ".join(["sum(value) AS value", "sum(total) AS total", *(f"sum({b}) AS {b}" for b in bins)])
    sums += ", max(latest) AS latest, min(since) AS since"
    kept = ", ".join(["budget", "metric", "type", "labels", "value", "total", *bins, "latest", "since"])
    last = max(
        1 if rollup.type != "sample" else 4 for rollup in kind.rollups
    )  # series of level2: of samples one a type
    return f"""existing AS (
    SELECT budget, metric, type, labels FROM monitoring.rollup
    WHERE source = %(source)s AND stream = %(stream)s AND budget IS NOT NULL
), room AS (
    SELECT budget, {_APP} AS app, count(*) AS have FROM existing GROUP BY 1, 2
), level0 AS (
    {_placed(f"(SELECT *, {_APP} AS app FROM candidate)")}
), {_quota("0", "room", "%(reserve)s", "0", "%(limit)s / 10")}, taken AS (
    SELECT budget, CASE WHEN have + taken > 0 THEN app ELSE '{OTHER}' END AS app, sum(wanted - taken) AS folded
    FROM quota0 GROUP BY 1, 2
), folded1 AS (
    SELECT budget, app, metric1 AS metric, type, labels1 AS labels, metric2, labels2, {sums}
    FROM level0 FULL JOIN quota0 USING (budget, app) WHERE {_FOLDED} GROUP BY 1, 2, 3, 4, 5, 6, 7
), room1 AS (
    SELECT budget, app, have + taken AS have FROM quota0
), level1 AS (
    {_placed("folded1")}
), {_quota("1", "room1", str(last), "have", "0")}, level2 AS (
    SELECT budget, metric2 AS metric, type, labels2 AS labels, {sums}
    FROM level1 FULL JOIN quota1 USING (budget, app) WHERE {_FOLDED} GROUP BY 1, 2, 3, 4
), series AS (
    SELECT {kept} FROM level0 FULL JOIN quota0 USING (budget, app) WHERE {_KEPT}
    UNION ALL SELECT {kept} FROM level1 FULL JOIN quota1 USING (budget, app) WHERE {_KEPT}
    UNION ALL SELECT {kept} FROM level2
)"""


# Both sides of a join may be large while the planner expects a row of each: a FULL JOIN is never a nested loop, and
# CASE keeps it one. By the quota of the candidate's app; where there is no candidate `place` is NULL: neither.
_KEPT = "CASE WHEN known THEN true ELSE place <= taken END"
_FOLDED = "CASE WHEN known THEN false ELSE place > taken END"


def _placed(candidates: str) -> str:
    """Return SQL of candidates: `known` if the series exists, otherwise by `place` among their app's new ones."""
    return f"""SELECT *, row_number() OVER (
        PARTITION BY budget, app, known ORDER BY value DESC NULLS LAST, labels, metric) AS place
    FROM (
        SELECT c.*, x.metric IS NOT NULL AS known FROM {candidates} c FULL JOIN existing x
            ON x.metric = c.metric AND x.type = c.type AND x.labels = c.labels
        WHERE CASE WHEN c.metric IS NULL THEN false ELSE true END
    ) marked"""


def _quota(level: str, room: str, reserve: str, base: str, least_share: str) -> str:
    """Return the CTEs down to quota`level`: how many of the label sets `wanted` by each app are `taken`.

    `room` has the label sets an app has, `wanted` are new; `reserve` are left for the levels that follow. Shares
    are counted from `base`: what is folded is given on top of what an app has. MATERIALIZED saves ten
    milliseconds of planning a poll, and changes nothing else.
    """
    return f"""need{level} AS (
    SELECT budget, app, coalesce(have, 0) AS have, coalesce(wanted, 0) AS wanted, weight
    FROM (
        SELECT budget, app, count(*) AS wanted, sum(value) AS weight FROM level{level} WHERE NOT known GROUP BY 1, 2
    ) new FULL JOIN {room} USING (budget, app)
), free{level} AS (
    SELECT budget, %(limit)s - {reserve} AS whole, %(limit)s - {reserve} - sum(have)::bigint AS free
    FROM need{level} GROUP BY budget
), filled{level} AS MATERIALIZED (
    {_filled(level, "have", "free")}
), fair{level} AS MATERIALIZED (
    {_filled(level, "0", "whole")}
), shared{level} AS MATERIALIZED (
    SELECT *, CASE WHEN next IS NULL THEN %(limit)s ELSE next - 1 + (at_next AND row_number() OVER (
        PARTITION BY budget, at_next ORDER BY weight DESC NULLS LAST, app) <= free - filled)::integer END AS by_need
    FROM (
        SELECT need.*, free, f.next, f.filled, have < f.next AND f.next <= have + wanted AS at_next,
            greatest(coalesce(fair.next - 1, %(limit)s), {least_share}) AS fair
        FROM need{level} need JOIN free{level} USING (budget)
        LEFT JOIN filled{level} f USING (budget) LEFT JOIN fair{level} fair USING (budget)
    ) leveled
), asking{level} AS MATERIALIZED (
    SELECT *, got < least(fair, have + wanted) AND 2 * (got - {base}) < past AS asks,
        sum((got > 0)::integer) OVER (PARTITION BY budget) AS apps
    FROM (SELECT *, 2 * %(limit)s - {reserve} - sum(got) OVER (PARTITION BY budget)::bigint AS past FROM (
        SELECT *, greatest(have, least(have + wanted, by_need)) AS got FROM shared{level}) reached) known
), quota{level} AS (
    SELECT budget, app, have, wanted, greatest(0, least(wanted, allowed - have)) AS taken FROM (
        SELECT *, greatest(by_need, least(fair, CASE
            WHEN NOT asks OR got = 0 AND 2 * apps >= %(limit)s THEN 0
            ELSE {base} + past / (1 + count(*) FILTER (WHERE asks AND got > 0) OVER b)
                / CASE WHEN got > 0 THEN 1 ELSE 1 + count(*) FILTER (WHERE asks AND got = 0) OVER b END END)) AS allowed
        FROM asking{level} WINDOW b AS (PARTITION BY budget)) shares
)"""


def _filled(level: str, start: str, free: str) -> str:
    """Return SQL of how far each budget's apps can go side by side from `start` label sets, with so much `free`.

    Row: budget, `next`, the place that there is no room for any more in every app (NULL: all have all they want), and
    the places `filled` before it.
    """
    return f"""SELECT budget, min(place) FILTER (WHERE filled > {free}) AS next,
        coalesce(max(filled) FILTER (WHERE filled <= {free}), 0) AS filled
    FROM (
        SELECT budget, place, sum(count(*)) OVER (PARTITION BY budget ORDER BY place) AS filled
        FROM need{level}, generate_series({start} + 1, least(have + wanted, %(limit)s)) place GROUP BY budget, place
    ) places JOIN free{level} USING (budget) GROUP BY budget"""


_WRITTEN = """written AS (
    INSERT INTO monitoring.rollup AS r
        (source, stream, budget, metric, type, labels, value, total, buckets, at, created_at)
    SELECT %(source)s, %(stream)s, budget, metric, type, labels, value, total, buckets, at,
        greatest(least(now(), coalesce(since, now())), (
            SELECT advanced_at FROM monitoring.cursor WHERE source = %(source)s AND stream = %(stream)s))
    FROM (SELECT * FROM final UNION ALL SELECT * FROM counters) new
    ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET
        value = CASE WHEN r.type <> 'gauge' THEN r.value + excluded.value
            WHEN excluded.at >= r.at THEN excluded.value ELSE r.value END,
        total = r.total + excluded.total,
        buckets = CASE WHEN r.buckets IS NOT NULL THEN (
            SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY position)
            FROM unnest(r.buckets, excluded.buckets) WITH ORDINALITY AS pair(a, b, position)) END,
        at = greatest(r.at, excluded.at), counted_at = now(), budget = coalesce(r.budget, excluded.budget)
)"""


def _noted(stream: Stream) -> str:
    """Return the CTE that keeps an example of the values that are not understood, if the kind has such columns.

    What is not a plain word may be a secret, or anything: only its length is kept.
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


def _rejecting(stream: Stream) -> str:
    """Return the CTE of the rows rejected by app and reason: apps named before first, then those with the most rows.

    An app that is NULL, or no text, is an empty name.
    """
    return f"""refused AS (
    SELECT rejected, CASE WHEN {readable(stream, "app")} THEN left(app, {LONGEST_LABEL}) END AS name, sum(n) AS n
    FROM fine WHERE rejected IS NOT NULL GROUP BY 1, 2
), named AS (
    SELECT name, row_number() OVER (ORDER BY bool_or(known) DESC, sum(n) DESC, name) AS place FROM (
        SELECT name, n, false AS known FROM refused WHERE name IS NOT NULL
        UNION ALL SELECT labels->>'app', 0, true FROM monitoring.rollup WHERE source = %(source)s
            AND stream = %(stream)s AND metric = '{SELF_REJECTED}' AND type = 'counter' AND labels ? 'app'
    ) names GROUP BY name
), rejecting AS (
    SELECT rejected, CASE WHEN name IS NULL THEN '' WHEN place <= {REJECTING_APPS} THEN name ELSE '{OTHER}' END AS app,
        sum(n) AS n
    FROM refused LEFT JOIN named USING (name) GROUP BY 1, 2
)"""


def _own() -> str:
    """Return SQL for the exporter's own counters: rows counted, rows rejected by reason and app, label sets folded."""
    rest = "NULL::double precision, NULL::double precision[], NULL::double precision"
    source = "'source', %(source)s::text"
    app = "CASE WHEN app <> '' THEN jsonb_build_object('app', app) ELSE '{}' END"
    return f"""SELECT NULL, '{SELF_EVENTS}', 'counter', jsonb_build_object({source}),
        sum(n)::double precision, {rest}, now() FROM fine WHERE rejected IS NULL HAVING count(*) > 0
    UNION ALL SELECT NULL, '{SELF_REJECTED}', 'counter', jsonb_build_object({source}, 'reason', rejected) || {app},
        n::double precision, {rest}, now() FROM rejecting
    UNION ALL SELECT NULL, '{SELF_FOLDED}', 'counter', jsonb_build_object({source}, 'metric', budget) || {app},
        folded::double precision, {rest}, now() FROM taken WHERE folded > 0"""
