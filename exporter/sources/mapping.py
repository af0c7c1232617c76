"""Mappings: which tables of a database hold which kind of event, and how their columns become ours.

A mapping is YAML: streams (tables of events), states (tables of the current state) and one SQL expression per column,
over the alias `t` of the table. Presets are mappings that ship with the package; `native` is the event store itself.
"""

import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

import msgspec
from msgspec import Meta

from exporter.config import strict_yaml
from exporter.config.places import Place, place_of
from exporter.config.settings import Config, Database, Source
from exporter.errors import MappingError, UnreadableError
from exporter.files import YAML_BYTES, read_text
from exporter.redaction import may_be_secret, shown_key, without_secrets
from exporter.sections import Section
from platform_sdk.events import EVENTS, KINDS
from platform_sdk.events.base import EventKind

_PART = r'(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*|"(?:[^"\x00]|"")+")'
_NAME = re.compile(rf"({_PART})\.({_PART})")
LONGEST_NAME_BYTES = 63


class Relation(str):
    """A table's name, as PostgreSQL reads it: SCHEMA.TABLE, each quoted where it must be."""

    __slots__ = ()

    @classmethod
    def of(cls, schema: str, name: str) -> Self:
        return cls(f"{quoted(schema)}.{quoted(name)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read SCHEMA.TABLE as SQL does: what stands without quotes is in lower case. Raises ValueError."""
        if not _NAME.fullmatch(text):
            raise ValueError(f'Expected `SCHEMA.TABLE` such as public.jobs or public."ScrapeJobs", got {text!r}')
        found = cls(text)
        for part in (found.schema, found.name):
            if len(part.encode()) > LONGEST_NAME_BYTES:
                raise ValueError(f"Expected names of at most {LONGEST_NAME_BYTES} bytes, got {part!r}")
        return cls.of(found.schema, found.name)

    @property
    def schema(self) -> str:
        return self._part(1)

    @property
    def name(self) -> str:
        return self._part(2)

    @property
    def sql(self) -> str:
        """Return the name for SQL with parameters, where percent signs are doubled."""
        return _escape(self)

    def _part(self, number: int) -> str:
        found = _NAME.fullmatch(self)
        assert found is not None  # noqa: S101 - only `of` and `parse` make one
        return _unquoted(found[number])


def quoted(name: str) -> str:
    """Return a name as SQL writes it: in quotes unless it is plain and no word of SQL's own."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", name) and name not in _WORDS
    return name if plain else '"' + name.replace('"', '""') + '"'


# Words that cannot be a schema's or column's name without quotes, of PostgreSQL 13 to 18.
_WORDS = frozenset(
    """all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case
    cast char character check coalesce collate collation column concurrently constraint create cross current_catalog
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default
    deferrable desc distinct do else end except exists extract false fetch float for foreign freeze from full grant
    greatest group grouping having ilike in initially inner inout int integer intersect interval into is isnull join
    json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize
    json_table json_value lateral leading least left like limit localtime localtimestamp merge_action national natural
    nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay placing
    position precision primary real references returning right row select session_user setof similar smallint some
    substring symmetric system_user table tablesample then time timestamp to trailing treat trim true union unique
    user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists
    xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable""".split()  # noqa: SIM905 - quotes would make it a page
)


def _unquoted(part: str) -> str:
    if part.startswith('"'):
        return part[1:-1].replace('""', '"')
    return re.sub("[A-Z]+", lambda capitals: capitals[0].lower(), part)  # letters with accents stay as they are


_Label = Annotated[str, Meta(pattern=r"^(?!__|app$|le$|quantile$)[a-zA-Z_][a-zA-Z0-9_]*$")]


_Sql = Annotated[str, Meta(pattern=r"\S")]
"""SQL that was given: an empty one is a mistake."""

Counted = Literal["once", "every_change", "deleted"]
"""Which changes of a row count."""


class StreamMapping(Section, frozen=True):
    """The mapping of one table of events. `columns` gives SQL per column of the kind.

    `issues: false` leaves issues to the application. `join` must not multiply rows; `reads` lists the tables that it
    reads, for the exporter's rights. A row counts when it is inserted, or where `counted_when` is given, with the
    change that first makes this condition true; or, by `counted`, with every such change, or when it is deleted. `key`
    names the columns that distinguish rows, where the table has no primary key. `details` gives SQL for columns that
    exports and `errors show` read, and counting does not. `cursor` is SQL of the time in whose order rows are read,
    where the mapping is `read_only`.
    """

    table: Relation
    kind: str
    columns: dict[str, str]
    join: str = ""
    reads: tuple[Relation, ...] = ()
    where: _Sql = "true"
    counted_when: _Sql = ""
    counted: Counted = "once"
    key: tuple[str, ...] = ()
    cursor: _Sql = ""
    issues: bool = True
    details: dict[str, str] = msgspec.field(default_factory=dict)


class StateMapping(Section, frozen=True):
    """The mapping of one table of state: live jobs, open alerts or error issues."""

    table: Relation
    kind: Literal["scraping_jobs", "open_alerts", "error_issues"]
    columns: dict[str, str]
    where: str = "true"


class ReadOnly(Section, frozen=True):
    """How tables that may only be read are counted: a row once its time is so long ago that none earlier is to come."""

    settle_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 60.0


class Mapping(Section, frozen=True):
    """The mapping of one application's tables."""

    app: str
    streams: dict[str, StreamMapping]
    description: str = ""
    read_only: ReadOnly | None = None
    states: dict[str, StateMapping] = msgspec.field(default_factory=dict)
    sample_labels: tuple[_Label, ...] = ()


READABLE = "monitoring.readable"
"""The function that says whether UTF-8 can have a text; without a name every text is taken to be readable."""

STAND_INS = {"monitoring.try_jsonb(": "pg_catalog.jsonb(", "monitoring.try_number(": "pg_catalog.float8("}
"""What stands for our functions where they are not there: casts, which fail where they give a bad value."""

STATE_COLUMNS = {
    "scraping_jobs": ("scraper", "status", "created_at", "heartbeat_at"),
    "open_alerts": ("severity", "alert_source"),
    "error_issues": ("severity", "fingerprint", "resolved"),
}
OPTIONAL_COLUMNS = {"scraping_jobs": {"progressed_at": "NULL::timestamptz"}}
"""What a state's mapping may leave out, and what replaces it then."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One table of events and how to read it. `columns` maps each column of the kind to SQL over alias `t`.

    `relation` is the table itself. An application's own (`adopted`) is only read there for what it holds now; what is
    new is read from the changes captured of it. One that may only be read has a `cursor`: SQL of the time in whose
    order its rows are read, `settle_seconds` after it.
    """

    source: str
    name: str
    kind: EventKind
    relation: Relation
    columns: dict[str, str]
    tx: str
    cluster: str
    join: str = ""
    where: str = "true"
    counted_when: str = ""
    counted: Counted = "once"
    key: tuple[str, ...] = ()
    issues: bool = False
    sample_labels: tuple[str, ...] = ()
    adopted: bool = False
    changes: str = ""
    details: dict[str, str] = field(default_factory=dict)
    readable: str = READABLE
    reads: tuple[Relation, ...] = ()
    cursor: str = ""
    settle_seconds: float = 0.0

    @property
    def rows(self) -> str:
        """Return what stands in FROM: the table, or `changes`, SQL of what was captured of it."""
        return self.changes or self.relation.sql

    @property
    def captured(self) -> bool:
        """Whether triggers capture what changes in the table."""
        return self.adopted and not self.cursor

    @property
    def select(self) -> str:
        """Return SQL of the rows that its table holds now and that count, columns named as the kind declares them.

        It ends in a WHERE clause to add to.
        """
        mapped = self.columns if self.changes else self.details | self.columns
        columns = ", ".join(
            f"({mapped.get(column.name, 'NULL')})::{column.type} AS {column.name}" for column in self.kind.all_columns
        )
        return f"SELECT {columns}\n    FROM {self.rows} t {self.join}\n    WHERE {self.condition}"

    @property
    def condition(self) -> str:
        """Return SQL over alias `t` that is true for a row that counts."""
        return f"({self.where}) AND ({self.counted_when})" if self.counted_when else f"({self.where})"


@dataclass(frozen=True, slots=True)
class StateTable:
    """One table of state, and SQL for each of its columns; `app` is SQL as well."""

    kind: str
    relation: Relation
    columns: dict[str, str]
    app: str
    where: str = "true"


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """All that is read of one source. One that is `read_only` counts in the event store's database, approximately."""

    name: str
    native: bool
    streams: tuple[Stream, ...]
    states: tuple[StateTable, ...] = field(default=())
    read_only: bool = False


def tables(mapping: Mapping) -> list[Relation]:
    """Return every table a mapping reads, the streams' own first."""
    streams = [stream.table for stream in mapping.streams.values()]
    joined = [table for stream in mapping.streams.values() for table in stream.reads]
    return list(dict.fromkeys([*streams, *joined, *(state.table for state in mapping.states.values())]))


def plan(source: Source) -> SourcePlan:
    """Return the plan of a configured source. Raises MappingError."""
    if source.preset == "native":
        return _native(source)
    mapping = load(source.preset)
    app = _literal(source.app or mapping.app)
    labels = mapping.sample_labels if source.sample_labels is None else source.sample_labels
    read_only = mapping.read_only is not None
    sql = _foreign if read_only else _escape
    streams = tuple(
        Stream(
            source=source.label,
            name=name,
            kind=KINDS[stream.kind],
            relation=stream.table,
            columns={"app": app, **{column: sql(text) for column, text in stream.columns.items()}},
            tx="t.platform_tx",
            cluster="t.platform_cluster",
            join=sql(stream.join),
            where=sql(stream.where),
            reads=stream.reads,
            counted_when=sql(stream.counted_when),
            counted=stream.counted,
            key=stream.key,
            issues=stream.issues and KINDS[stream.kind].issues,
            sample_labels=labels,
            adopted=True,
            details={column: sql(text) for column, text in stream.details.items()},
            readable="" if read_only else READABLE,
            cursor=sql(stream.cursor),
            settle_seconds=mapping.read_only.settle_seconds if mapping.read_only else 0.0,
        )
        for name, stream in mapping.streams.items()
    )
    states = tuple(
        StateTable(
            kind=state.kind,
            relation=state.table,
            columns=OPTIONAL_COLUMNS.get(state.kind, {})
            | {column: sql(text) for column, text in state.columns.items()},
            app=app,
            where=sql(state.where),
        )
        for state in mapping.states.values()
    )
    return SourcePlan(source.label, native=False, streams=streams, states=states, read_only=read_only)


def store_of(config: Config, source: Source) -> Database:
    """Return the database of a source's cursors and counters: that of its tables, unless they may only be read.

    Raises MappingError.
    """
    return config.database if plan(source).read_only else config.database_of(source)


def load(preset: str) -> Mapping:
    """Read the shipped mapping named `preset`, or the file at that path. Raises MappingError."""
    path = Path(preset)
    if preset.endswith((".yml", ".yaml")):
        try:
            text = read_text(path, YAML_BYTES)
        except UnreadableError as error:
            raise MappingError(f"mapping {preset}: cannot be read ({error})") from error
    else:
        if preset not in presets():
            shown = f" `{preset}`" if not may_be_secret(preset) else ""
            raise MappingError(
                f"unknown preset{shown}: expected native, {', '.join(presets())}, or the path of a .yml file"
            )
        text = resources.files("exporter.sources").joinpath(f"{preset}.yml").read_text(encoding="utf-8")
    try:
        tree = strict_yaml.load(text)
    except strict_yaml.StrictYamlError as error:
        raise MappingError(f"mapping {preset}: {error}") from error
    try:
        return _checked(preset, tree)
    except MappingError as error:
        raise MappingError(without_secrets(str(error), tree)) from None


def _checked(preset: str, tree: object) -> Mapping:
    try:
        mapping = _converted(tree)
    except msgspec.ValidationError as error:
        place = place_of(error, tree, _converted)
        where = (
            f"key {shown_key(place.key)} in `{place.path}`"
            if place.key
            else f"`{place.path}`"
            if place.path
            else "the file"
        )
        raise MappingError(f"mapping {preset}: {where}: {_expected(place)}") from error
    _check(preset, mapping)
    return mapping


def _converted(tree: object) -> Mapping:
    return msgspec.convert(tree, Mapping, dec_hook=_decoded)


def _expected(place: Place) -> str:
    """Return what is wrong, with the values that may stand where one is invalid; msgspec names only that one."""
    problem = place.problem[0].lower() + place.problem[1:]
    if not problem.startswith("invalid enum value"):
        return problem
    choices = get_args(Counted if place.steps[-1] == "counted" else StateMapping.__annotations__["kind"])
    return f"{problem}: expected one of {', '.join(choices)}"


def _decoded(kind: type, value: object) -> Relation:
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    return Relation.parse(value)


def presets() -> list[str]:
    """Return the names of the mappings that ship with the package."""
    names = (entry.name for entry in resources.files("exporter.sources").iterdir())
    return sorted(name.removesuffix(".yml") for name in names if name.endswith(".yml"))


def _check(preset: str, mapping: Mapping) -> None:
    if not mapping.streams and not mapping.states:
        raise MappingError(f"mapping {preset}: `streams` is empty: expected at least one table")
    for name, stream in mapping.streams.items():
        where = f"mapping {preset}: `streams.{name}"
        kind = KINDS.get(stream.kind)
        if kind is None:
            raise MappingError(f"{where}.kind` is {stream.kind!r}: expected one of {', '.join(KINDS)}")
        known = {column.name for column in kind.all_columns} - {"app"}
        for column in (*stream.columns, *stream.details):
            if column not in known:
                raise MappingError(
                    f"{where}.columns` names {column!r}: expected columns of {kind.name}: {sorted(known)}"
                )
        _check_cursor(where, stream, read_only=mapping.read_only is not None)
        if stream.counted == "every_change" and not stream.counted_when:
            raise MappingError(f"{where}.counted` is every_change: expected `counted_when`, which says which changes")
        for column in kind.required:
            if column != "app" and column not in stream.columns:
                raise MappingError(f"{where}.columns` lacks {column!r}, which {kind.name} requires")
    for name, state in mapping.states.items():
        required = STATE_COLUMNS[state.kind]
        if set(state.columns) - set(OPTIONAL_COLUMNS.get(state.kind, ())) != set(required):
            raise MappingError(
                f"mapping {preset}: `states.{name}.columns` has {sorted(state.columns)}: expected {required}"
            )


_MOVING = re.compile(
    r"\b(current_\w+|localtime\w*|(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random)\s*\()",
    re.IGNORECASE,
)
"""What is another time at each poll."""


def _check_cursor(where: str, stream: StreamMapping, *, read_only: bool) -> None:
    """Raise MappingError where a stream is counted partly by its changes and partly by time."""
    if not read_only:
        if stream.cursor:
            raise MappingError(
                f"{where}.cursor` is given: expected `read_only` in the mapping as well, or no `cursor`: a table with "
                "triggers is counted exactly without one"
            )
        return
    if not stream.cursor:
        raise MappingError(
            f"{where}.cursor` is missing: expected SQL of a time that each row gets once, such as t.created_at, "
            "because tables that are `read_only` are read in its order"
        )
    moving = _MOVING.search(stream.cursor)
    if moving or not re.search(r'\bt\.["\w]', stream.cursor):
        reads = f"reads {moving[0]}" if moving else "reads no column of `t`"
        raise MappingError(
            f"{where}.cursor`: {stream.cursor} {reads}: expected SQL of a time that each row gets once and keeps, "
            "such as t.created_at"
        )
    needs_changes = {"counted_when": stream.counted_when, "counted": stream.counted != "once", "key": stream.key}
    for key in (name for name, given in needs_changes.items() if given):
        raise MappingError(
            f"{where}.{key}` is given: expected none, because changes of a table that is `read_only` cannot be seen; "
            "take as `cursor` a time that is set when a row is to count, such as t.finished_at, and a `where`"
        )


def _native(source: Source) -> SourcePlan:
    streams = tuple(
        Stream(
            source=source.label,
            name=kind.name,
            kind=kind,
            relation=Relation.of("monitoring", kind.name),
            columns={column.name: f"t.{column.name}" for column in kind.all_columns},
            tx="t.tx",
            cluster="t.cluster",
            issues=kind.issues,
            sample_labels=source.sample_labels or (),
        )
        for kind in EVENTS
    )
    jobs = {"scraper": "t.scraper", "status": "t.status", "created_at": "t.created_at"}
    jobs |= {"heartbeat_at": "coalesce(t.heartbeat_at, t.started_at)", "progressed_at": "t.progressed_at"}
    states = (
        StateTable("scraping_jobs", Relation.of("monitoring", "scraping_job"), jobs, "t.app"),
        StateTable(
            "error_issues",
            Relation.of("monitoring", "error_issue"),
            {"severity": "t.severity", "fingerprint": "t.fingerprint", "resolved": "t.status"},
            "t.app",
        ),
    )
    return SourcePlan(source.label, native=True, streams=streams, states=states)


def _literal(text: str) -> str:
    return _escape("'" + text.replace("'", "''") + "'::text")


def _foreign(text: str) -> str:
    """Return SQL for a database that has none of our functions."""
    for ours, stand_in in STAND_INS.items():
        text = text.replace(ours, stand_in)
    return _escape(text)


def _escape(text: str) -> str:
    """Double the percent signs of SQL that is sent with parameters."""
    return text.replace("%", "%%")
