"""SQL that reads a window of events, rejects the bad rows and groups the good ones by the labels of their series.

Each step is a CTE:

    event      the window's rows of one table, columns named as the kind declares them
    checked    + why a row is rejected (NULL for a good one) + the kind's derived columns
    fine       grouped by the columns that labels are made of; all sums any of the kind's series needs
    good       the groups that were not rejected, with the labels made: per group, as per row it doubles the cost
    candidate  grouped by each series' own labels: one row a series, with what it would be folded into
"""

import re
from collections.abc import Iterable, Iterator

from exporter.sources.mapping import Stream
from platform_sdk.events.base import LONGEST_LABEL, TRACE, EventKind, Rollup

IN_TIME = "at <= now() + make_interval(secs => %(future_tolerance_seconds)s) AND isfinite(at)"
"""SQL that is false for a row from the future, beyond the configured tolerance."""


def event(stream: Stream, window_sql: str, newest: int | None = None) -> str:
    """Return the CTE `event`: all rows of the window, or its `newest`, columns named as the kind declares them."""
    # A mapping's expressions may be dear (JSON in a text column): they too are evaluated once.
    once = "OFFSET 0" if stream.adopted else ""
    if newest is not None:
        once = f"ORDER BY {stream.tx} DESC LIMIT {newest}"
    return f"""event AS (
    {stream.select} AND ({window_sql}) {once}
)"""


def checked(stream: Stream, window_sql: str, newest: int | None = None) -> str:
    """Return the CTEs `event` and `checked`: good and rejected rows of the window, or of its `newest`.

    OFFSET 0 keeps the planner from evaluating `rejected` and the derived columns again at each of their uses.
    """
    derived = "".join(f", {text} AS {name}" for name, text in stream.kind.derived.items())
    return f"""{event(stream, window_sql, newest)}, checked AS (
    SELECT *, CASE {" ".join(_checks(stream))} END AS rejected{derived}
    FROM event OFFSET 0
)"""


def grouped(stream: Stream, window_sql: str, step: str = "", *, folds: bool = False) -> str:
    """Return the CTEs up to `candidate`; `step`, SQL over the event's columns, keeps groups of its values apart.

    A candidate is (budget, metric, type, labels, value, total, b0 ..., latest, since) and, where asked for, `step`, and
    (metric1, labels1, metric2, labels2): what it is folded into first, and then.
    """
    kind = stream.kind
    groups = _groups(kind)
    labels = "".join(f", {text} AS {alias}" for alias, text in groups.items())
    by = ", ".join(["rejected", *inputs(kind)])
    made, kept = (f", {step} AS step", ", step") if step else ("", "")
    traced = ", count(trace_id) AS traced" if has_traces(kind) else ""
    candidates = " UNION ALL ".join(
        _candidate(index, rollup, kind, kept, folds=folds) for index, rollup in enumerate(kind.rollups)
    )
    return f"""{checked(stream, window_sql)}, fine AS MATERIALIZED (
    SELECT {by}{made}, count(*) AS n, min(at) AS since{traced}{"".join(_aggregates(kind))}
    FROM checked GROUP BY {by}{kept}
), good AS (
    SELECT n, since{kept}{labels}{"".join(_aggregate_names(kind))} FROM fine WHERE rejected IS NULL
), candidate AS (
    {candidates}
)"""


def has_traces(kind: EventKind) -> bool:
    """Return whether rows of a kind that has histograms may name a trace."""
    return TRACE[0] in kind.columns and any(rollup.type == "histogram" for rollup in kind.rollups)


def bin_names(kind: EventKind) -> list[str]:
    """Return the names of the columns that hold a histogram's buckets: as many as the widest of the kind has."""
    return [f"b{index}" for index in range(max(len(rollup.bounds_sql) for rollup in kind.rollups))]


def buckets(bins: Iterable[str]) -> str:
    """Return SQL of a histogram's buckets; what is NULL is of a wider one of the same kind."""
    return f"array_remove(ARRAY[{', '.join(bins)}]::double precision[], NULL)"


def readable(stream: Stream, *columns: str) -> str:
    """Return SQL that is false for a row with a text in these columns that UTF-8 cannot have.

    The database's encoding is asked for once a statement, where the stream does not know it: in UTF-8 all texts are.
    """
    if not stream.readable:
        return "true"
    text = f"concat_ws(' ', {', '.join(columns)})"
    return f"((SELECT getdatabaseencoding() = 'UTF8') OR {stream.readable}({text}) = {text})"


def _shown(kind: EventKind) -> list[str]:
    """Return the texts of a row that series, releases and issues show."""
    shown = {*inputs(kind), "app", "release"}
    shown |= {"error_type", "message", "endpoint", "fingerprint", "former_fingerprint"} if kind.issues else set()
    texts = [column.name for column in kind.all_columns if column.name in shown and column.type in ("text", "jsonb")]
    return [*texts, f"left(app, {LONGEST_LABEL})", f"left(release, {LONGEST_LABEL})"]


def _checks(stream: Stream) -> Iterator[str]:
    kind = stream.kind
    yield f"WHEN {' OR '.join(f'{name} IS NULL' for name in kind.required)} THEN 'null'"
    yield f"WHEN NOT ({IN_TIME}) THEN 'future'"
    yield f"WHEN NOT {readable(stream, *_shown(kind))} THEN 'malformed'"
    yield f"ELSE coalesce({', '.join(kind.checks)})" if kind.checks else ""


def inputs(kind: EventKind) -> list[str]:
    """Return the columns that the labels' SQL names, in the order of their declaration."""
    words = set(re.findall(r"[a-z_]+", " ".join(_groups(kind).values())))
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
    product of what is out of range overflows, and an error would stop the stream forever.
    """
    weight = _weight(kind)
    good = "FILTER (WHERE rejected IS NULL)"
    count = f"sum({weight}) {good}" if weight else "count(*)"
    for index, rollup in enumerate(kind.rollups):
        value = f"({rollup.value})::double precision"
        parts = _parts(rollup)
        weighted = f"{value} * {weight}" if weight and "count" in parts else value
        if "count" in parts:
            present = f"{f'sum({weight})' if weight else 'count(*)'} {good[:-1]} AND {value} IS NOT NULL)"
            yield f", {present if rollup.optional else count} AS r{index}_count"
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


def _candidate(index: int, rollup: Rollup, kind: EventKind, kept: str, *, folds: bool) -> str:
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
    if rollup.optional:
        conditions.append(f"r{index}_count > 0")
    levels = (1, 2) if folds else ()
    into = "".join(
        f"{rollup.folded_metric_sql(level)}::text AS metric{level}, {rollup.labels_sql(level)} AS labels{level}, "
        for level in levels
    )
    by = ", ".join(["1, 2, 3, 4", *(f"metric{level}, labels{level}" for level in levels)])
    return f"""SELECT '{rollup.metric}'::text AS budget, {rollup.metric_sql}::text AS metric,
        {rollup.type_sql}::text AS type, {rollup.labels_sql(0)} AS labels,
        {into}{value} AS value, {total} AS total,
        {"".join(f"{text} AS b{position}, " for position, text in enumerate(bins))}{latest} AS latest,
        min(since) AS since{kept}
    FROM good WHERE {" AND ".join(conditions) or "true"} GROUP BY {by}{kept}"""
