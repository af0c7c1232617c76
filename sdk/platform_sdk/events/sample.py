"""Samples: custom metrics, whose rows name the metric, its type, its unit and its labels.

A row named `db_query_time` in `ms` becomes `platform_sample_db_query_time_seconds`: base units, as Prometheus asks
(https://prometheus.io/docs/practices/naming/). Only labels on the source's allow-list are kept.
"""

from dataclasses import dataclass

from platform_sdk.events.base import LONGEST_LABEL, MAXIMUM, OTHER, Column, EventKind, Rollup, cut, reject_number

PREFIX = "platform_sample_"
BUDGET = "platform_sample"
"""What all samples of a source share one series limit under: the rows choose the names, so names count too."""

LABEL_BYTES = 1200
"""What a sample's own label values share: an index entry holds at most 2704 bytes, and `app` may take 800."""

BOUNDS = {
    "seconds": (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0),
    "bytes": (1e3, 1e4, 1e5, 5e5, 1e6, 5e6, 1e7, 5e7, 1e8, 5e8, 1e9, 1e10),
    "": (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1e3, 1e4, 1e6),
}
"""Histogram bounds by base unit; the empty unit stands for every other."""

TYPES = ("counter", "gauge", "histogram", "summary")

_UNITS = {
    "ns": ("seconds", 1e-9), "us": ("seconds", 1e-6), "ms": ("seconds", 1e-3), "s": ("seconds", 1.0),
    "sec": ("seconds", 1.0), "seconds": ("seconds", 1.0), "milliseconds": ("seconds", 1e-3),
    "min": ("seconds", 60.0), "minutes": ("seconds", 60.0), "h": ("seconds", 3600.0), "hours": ("seconds", 3600.0),
    "b": ("bytes", 1.0), "bytes": ("bytes", 1.0), "kb": ("bytes", 1e3), "mb": ("bytes", 1e6), "gb": ("bytes", 1e9),
    "kib": ("bytes", 1024.0), "mib": ("bytes", 1024.0**2), "gib": ("bytes", 1024.0**3),
    "%%": ("ratio", 0.01), "percent": ("ratio", 0.01), "ratio": ("ratio", 1.0),
    "": ("", 1.0), "count": ("", 1.0), "none": ("", 1.0), "items": ("", 1.0),
}  # fmt: skip


# Letters change case as in C: where the database speaks Turkish, lower('HISTOGRAM') has a dotless i.
_KIND = 'lower(kind COLLATE "C")'


def _clean(sql: str) -> str:
    return f"""trim(BOTH '_' FROM regexp_replace(lower({sql} COLLATE "C"), '[^a-z0-9]+', '_', 'g'))"""


def _by_unit(values: dict[str, str], otherwise: str) -> str:
    cases = " ".join(f"WHEN '{unit}' THEN {value}" for unit, value in values.items())
    return f"""CASE coalesce(lower(trim(unit) COLLATE "C"), '') {cases} ELSE {otherwise} END"""


_BASE_UNIT = _by_unit({unit: f"'{base}'" for unit, (base, _) in _UNITS.items()}, f"left({_clean('unit')}, 30)")
_FACTOR = _by_unit({unit: repr(factor) for unit, (_, factor) in _UNITS.items()}, "1.0")
# Nothing that is in range overflows or underflows here, and what is out of range (NaN too) is not computed at all.
_SCALED = f"""CASE WHEN abs(value) < 1e-200 THEN 0.0
    WHEN abs(value) <= {MAXIMUM!r} THEN value * {_FACTOR} END"""
_LONGEST = f"""(least({LONGEST_LABEL}, {LABEL_BYTES} / greatest(1, cardinality(%(sample_labels)s::text[])))
        / CASE WHEN octet_length(v) = length(v) THEN 1 ELSE 4 END)"""
_LABELS = f"""jsonb_build_object('app', coalesce(left(app, {LONGEST_LABEL}), '')) || coalesce((
    SELECT jsonb_object_agg(k, {cut("v", _LONGEST)})
    FROM jsonb_each_text(CASE WHEN jsonb_typeof(labels) = 'object' THEN labels END) AS pair(k, v)
    WHERE k = ANY(%(sample_labels)s) AND v IS NOT NULL), '{{}}')"""


def _bare(name: str) -> str:
    return f"regexp_replace(left({_clean(name)}, 100), '_total$', '')"


# What the series' name ends in decides the bounds, in `bounds_of` too: a row may give the unit in `unit` or in `name`.
_BOUNDS_UNIT = f"""CASE WHEN {_KIND} = 'histogram' THEN
    substring('_' || coalesce(nullif({_BASE_UNIT}, ''), {_bare("name")}) FROM '_(seconds|bytes)$') END"""


def _metric_sql() -> str:
    """Return SQL over the groups for the metric's name: the unit appended once, `_total` on counters."""
    bare = _bare("sample_name")
    suffix = (
        f"CASE WHEN sample_unit <> '' AND {bare} !~ ('(^|_)' || sample_unit || '$') THEN '_' || sample_unit ELSE '' END"
    )
    # A gauge `x_count` beside a histogram `x` would give two series of one name; the suffixes are the format's own.
    clash = f"CASE WHEN {bare} || {suffix} ~ '_(count|sum|bucket|created|info)$' THEN '_value' ELSE '' END"
    total = "CASE sample_type WHEN 'counter' THEN '_total' ELSE '' END"
    return f"'{PREFIX}' || {bare} || {suffix} || {clash} || {total}"


@dataclass(frozen=True)
class SampleRollup(Rollup):
    """The series of samples: metric, type and labels come from the rows.

    Rows are grouped by the raw name first; the metric's name is made per group, not per row.
    """

    @property
    def groups(self) -> dict[str, str]:
        return {
            "sample_name": "left(name, 200)",
            "sample_type": _KIND,
            "sample_unit": "base_unit",
            "sample_labels": f"({_LABELS})",
        }

    @property
    def metric_sql(self) -> str:
        return _metric_sql()

    @property
    def type_sql(self) -> str:
        return "sample_type"

    def labels_sql(self, level: int) -> str:
        app = f"'{OTHER}'" if level == 2 else "sample_labels->>'app'"
        return "sample_labels" if level == 0 else f"jsonb_build_object('app', {app})"

    def folded_metric_sql(self, level: int) -> str:
        """Return the metric's own name while apps are distinguished, and one name for all at the last level."""
        # The types' own names are left out: promtool objects to them.
        words = "WHEN 'counter' THEN 'total' WHEN 'gauge' THEN 'value' WHEN 'histogram' THEN 'distribution'"
        other = f"'{PREFIX}other_' || CASE sample_type {words} ELSE 'observations' END"
        return other if level == 2 else self.metric_sql

    @property
    def bounds_sql(self) -> tuple[str, ...]:
        return tuple(
            f"(CASE bounds_unit WHEN 'seconds' THEN {seconds!r} WHEN 'bytes' THEN {size!r} ELSE {plain!r} END)"
            for seconds, size, plain in zip(BOUNDS["seconds"], BOUNDS["bytes"], BOUNDS[""], strict=True)
        )


SAMPLE = EventKind(
    name="sample",
    rows_are="one value of a custom metric",
    retention_days=14,
    columns=(
        Column("name", "text", "the metric's name, without unit", required=True),
        Column("kind", "text", "the metric's type", required=True, values=TYPES, otherwise="malformed"),
        Column("value", "double precision", "the amount to add (counter), to set (gauge) or to observe", required=True),
        Column("unit", "text", "its unit; ms, KB, % and such become base units"),
        Column("labels", "jsonb", "an object of label names and values"),
    ),
    checks=(
        f"CASE WHEN {_KIND} NOT IN ({', '.join(map(repr, TYPES))}) THEN 'malformed' END",
        "CASE WHEN jsonb_typeof(labels) NOT IN ('object', 'null') THEN 'malformed' END",
        "CASE WHEN name !~ '[A-Za-z0-9]' THEN 'malformed' END",
        # What they add up never falls; a histogram's and a summary's sum does neither.
        f"CASE WHEN value < 0 AND value <> '-Infinity' AND {_KIND} <> 'gauge' THEN 'negative' END",
        reject_number("value", minimum=-MAXIMUM),
    ),
    rollups=(SampleRollup(BUDGET, "Custom samples.", (), value="scaled", type="sample"),),
    derived={"base_unit": _BASE_UNIT, "bounds_unit": _BOUNDS_UNIT, "scaled": _SCALED},
)


def bounds_of(metric: str) -> tuple[float, ...]:
    """Return the histogram bounds of the sample named `metric`, in its base unit."""
    for unit in ("seconds", "bytes"):
        if metric.endswith(f"_{unit}"):
            return BOUNDS[unit]
    return BOUNDS[""]
