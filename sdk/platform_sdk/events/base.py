"""How a kind of event is declared: its columns, what makes a row invalid, and the series made of it.

One declaration feeds the schema, retention, the aggregation SQL, the exposition, the reference documentation and the
SDK. All SQL in a declaration is over the kind's own column names and must not raise on any value of those types.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from platform_sdk.events import spellings

OTHER = "_other_"
"""The label value that label sets beyond `limits.series_per_metric` are folded into."""

MAXIMUM = 1e15
"""Values beyond this are rejected as `out_of_range`: their sum must never overflow a double and stop a poll."""

LONGEST_LABEL = 200
"""Label values are cut to this many characters: a series name is not a place for a document."""

SHORT_APP = f"left(app, {LONGEST_LABEL})"
"""SQL of what an index and views hold: no text too long for an index."""

REJECTIONS = (
    "null", "future", "negative", "not_finite", "out_of_range", "fractional", "unknown_value", "malformed",
)  # fmt: skip
"""The closed list of the label `reason` of platform_exporter_rows_rejected_total."""


Lane = Literal["plain", "other", "urgent"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a kind.

    `personal` columns are left out of exports unless asked for, and of the views that every viewer of Grafana may read.
    `restricted` ones are left out of those views only: who it was, and what shows an application's inside.
    The SDK cuts a text to `longest` characters, replaces the secrets in it where it is `free_text`, and writes
    `unnamed` where a required text without a default is missing. `values` are those that are understood, also as
    `spellings` has them; a row with any other counts as `otherwise`, or is rejected for that reason.
    """

    name: str
    type: str
    doc: str
    required: bool = False
    default: str | None = None
    personal: bool = False
    restricted: bool = False
    longest: int = 200
    free_text: bool = False
    unnamed: str = "unknown"
    values: tuple[str, ...] = ()
    otherwise: str = "other"
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def understood(self) -> str:
        """Return SQL of which of `values` it means; NULL for none."""
        return understood(self.name, self.values, self.spellings)

    @property
    def closed(self) -> str:
        """Return SQL of a label: which of `values` it means, or `otherwise`; NULL stays NULL."""
        return f"CASE WHEN {self.name} IS NOT NULL THEN coalesce({self.understood}, '{self.otherwise}') END"

    @property
    def check(self) -> str:
        """Return SQL of the reason that a row is rejected for where its value is not understood, NULL among them."""
        good = f"{self.name} IN ({_listed(*self.values)})"
        return f"CASE WHEN {good} THEN NULL WHEN {self.understood} IS NULL THEN '{self.otherwise}' END"

    @property
    def stand_in(self) -> str:
        """What the SDK writes where a required text is missing: the default's text, if there is one."""
        return self.default.strip("'") if self.default else self.unnamed

    @property
    def description(self) -> str:
        """What it is, and which values are understood."""
        if not self.values:
            return self.doc
        return f"{self.doc}: {', '.join(self.values)}; anything else {self.fate}"

    @property
    def fate(self) -> str:
        """What becomes of a row whose value is not understood."""
        return f"is rejected as {self.otherwise}" if self.otherwise in REJECTIONS else f"counts as {self.otherwise}"

    @property
    def for_viewers(self) -> bool:
        """Whether every viewer of Grafana may read it."""
        return not (self.personal or self.restricted)


@dataclass(frozen=True, slots=True)
class Label:
    """A label: its SQL text over the event's columns, and whether its values are an open set.

    An open label becomes `_other_` when the series limit is reached; a closed one (a method, a status code, a
    severity) keeps its value, so that ratios stay true under an attack on cardinality.
    """

    name: str
    sql: str
    open: bool = True

    @property
    def short(self) -> str:
        """Return SQL of the label, no longer than it may be."""
        return cut(self.sql) if self.open else f"left({self.sql}, {LONGEST_LABEL})"


@dataclass(frozen=True, slots=True)
class ZeroFill:
    """Series to show as 0 before they first occur: each of `values` beside each label set of `attempts`."""

    attempts: str
    label: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Rollup:
    """A family of series aggregated from the rows of one kind.

    `value` is SQL for what one row adds (counter), observes (histogram) or sets (gauge; the newest row wins, NULL
    sets nothing). `require` names a label that must not be empty for a row to count; a histogram that is `optional`
    observes nothing where its value is NULL.
    """

    metric: str
    help: str
    labels: tuple[Label, ...]
    value: str
    type: str = "counter"
    bounds: tuple[float, ...] = ()
    require: str | None = None
    optional: bool = False
    zero_fill: ZeroFill | None = None

    @property
    def groups(self) -> dict[str, str]:
        """Return the columns to group rows by: alias -> SQL. The same SQL in two rollups gets the same alias."""
        return {label.name: f"coalesce({label.short}, '')" for label in self.labels}

    @property
    def metric_sql(self) -> str:
        return f"'{self.metric}'"

    @property
    def type_sql(self) -> str:
        return f"'{self.type}'"

    def labels_sql(self, level: int) -> str:
        """Return SQL for the label set as jsonb: as it is (0), open labels folded (1), or all of them (2)."""
        pairs = ", ".join(
            f"'{label.name}', " + (f"'{OTHER}'" if level > (0 if label.open else 1) else label.name)
            for label in self.labels
        )
        return f"jsonb_build_object({pairs})"

    def folded_metric_sql(self, level: int) -> str:
        """Return SQL for the metric that a folded label set belongs to."""
        return self.metric_sql

    @property
    def bounds_sql(self) -> tuple[str, ...]:
        return tuple(f"{bound!r}::double precision" for bound in self.bounds)


@dataclass(frozen=True, slots=True)
class Sampled:
    """Which events the SDK may merge while there are very many: those whose value of `column` is below `below`.

    One row then stands for those alike in the columns `alike` and in their bucket of the histogram, and `weight` says
    how many they are.
    """

    column: str
    below: float
    alike: tuple[str, ...]
    weight: str = "weight"


@dataclass(frozen=True, slots=True)
class EventKind:
    """A kind of event. `rows_are` completes the sentence "One row is ...".

    Rows are kept for `retention_days` unless the configuration says otherwise. Where there is no room for everything
    the SDK drops `plain` events first and `urgent` ones last; a kind that is `sampled` is plain only where it may be.
    `checks` are SQL texts that give the reason a row is rejected for, or NULL; the first reason counts.
    `shown` gives the SQL of columns in the views where it is not the column itself; `indexes` are those by what else
    than time rows are looked up, name -> definition, short however long a text is: an index must never refuse a row.
    `derived` holds SQL to compute once a row, for use by several rollups. `actors` names the columns that say who was
    active, `issues` says that rows are occurrences of an error to be grouped.
    """

    name: str
    rows_are: str
    columns: tuple[Column, ...]
    checks: tuple[str, ...]
    rollups: tuple[Rollup, ...]
    retention_days: int = 30
    lane: Lane = "other"
    sampled: Sampled | None = None
    derived: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    indexes: Mapping[str, str] = field(default_factory=dict)
    actors: Mapping[str, str] = field(default_factory=dict)
    issues: bool = False

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Return the columns a writer may give, the common ones first."""
        return COMMON + self.columns

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.all_columns if column.required)

    def named_in(self, sql: str) -> frozenset[str]:
        """Return the columns that a declaration's SQL reads, directly or by what is derived of them."""
        words = set(re.findall(r"[a-z_]+", re.sub("'[^']*'", "", sql)))
        derived = (self.named_in(text) for name, text in self.derived.items() if name in words)
        return frozenset(column.name for column in self.all_columns if column.name in words).union(*derived)


COMMON = (
    Column("at", "timestamptz", "when it happened, in UTC", required=True),
    Column("app", "text", "the application that did it", required=True),
    Column("release", "text", "the application's release or version"),
)

APP = Label("app", "app", open=False)

CODE = "CASE WHEN status BETWEEN 100 AND 999 THEN status::text WHEN status IS NULL THEN 'none' ELSE 'other' END"
"""SQL of the label `code`: a response's status, or that there was none."""


def outcome(doc: str, values: tuple[str, ...]) -> Column:
    """Return the column of how something ended: what is not understood is rejected, never silently a failure."""
    return Column(
        "outcome", "text", doc, required=True, values=values, otherwise="unknown_value", spellings=spellings.OUTCOMES
    )


USER_AGENT = Column("user_agent", "text", "the client's software", personal=True, longest=400, free_text=True)

TRACE = (
    Column("trace_id", "text", "the trace that it belongs to: of W3C's traceparent, or OpenTelemetry's", longest=64),
    Column("trace_sampled", "boolean", "whether that trace is sampled; of one that is not, nothing may be kept"),
)
"""Which distributed trace something belongs to."""

ACTORS = {"user": "user_id", "session": "session_id"}
"""Who was active: the kind of an actor -> the column that names it."""


def reject_number(column: str, *, minimum: float = 0.0, maximum: float = MAXIMUM, whole: bool = False) -> str:
    """Return the check of a number that must be finite, within bounds, and `whole` if asked for; NULL passes.

    The good case is tested first: it is nearly every row. NaN sorts above every number in PostgreSQL.
    """
    value = f"({column})::double precision"
    within = f"{value} BETWEEN {minimum!r} AND {maximum!r}"
    fractional = f"WHEN {within} THEN 'fractional' " if whole else ""
    return (
        f"CASE WHEN {value} IS NULL OR {within}{f' AND {value} = trunc({value})' if whole else ''} THEN NULL "
        f"WHEN {value} IN ('NaN', 'Infinity', '-Infinity') THEN 'not_finite' {fractional}"
        f"WHEN {value} < 0 AND {minimum!r} >= 0 THEN 'negative' ELSE 'out_of_range' END"
    )


def cut(sql: str, longest: str | int = LONGEST_LABEL) -> str:
    """Return SQL of at most so many characters of a text.

    SQL_ASCII counts bytes: the last letter, which would be cut in the middle, is left out there.
    """
    short = f"left({sql}, {longest})"
    whole = f"octet_length({sql}) > length({sql}) OR length({sql}) <= {longest}"
    return (
        f"CASE WHEN {whole} THEN {short} ELSE regexp_replace({short}, '[\\u00c0-\\u00ff][\\u0080-\\u00bf]*$', '') END"
    )


def understood(sql: str, values: tuple[str, ...], spellings: Mapping[str, tuple[str, ...]]) -> str:
    """Return SQL of which of `values` a text means, in any case and spelling of `spellings`; NULL for none of them.

    The good case is tested first: it is nearly every row.
    """
    # As letters of C, see `test_capital_letters_in_turkish`. One look-up: a case for each value takes longer to plan.
    word = f"""translate(lower(btrim({sql}) COLLATE "C"), ' -', '__')"""
    meanings = json.dumps({word: value for value in values for word in (value.lower(), *spellings.get(value, ()))})
    return f"CASE WHEN {sql} IN ({_listed(*values)}) THEN {sql} ELSE '{meanings}'::jsonb ->> {word} END"


def _listed(*values: str) -> str:
    return ", ".join(f"'{value}'" for value in values)
