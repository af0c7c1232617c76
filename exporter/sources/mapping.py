"""Mappings: which tables of a database hold which kind of event, and how their columns become ours.

A mapping is YAML: streams (tables of events), states (tables of the current state) and one SQL expression per column,
over the alias `t` of the table. Presets are mappings that ship with the package; `native` is the event store itself.
"""

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exporter.config import strict_yaml
from exporter.config.settings import Source
from exporter.errors import MappingError
from exporter.sections import Section
from platform_sdk.events import EVENTS, KINDS
from platform_sdk.events.base import EventKind

TX, CLUSTER = "platform_tx", "platform_cluster"
"""The columns that `adopt` adds: the transaction that wrote a row, and the cluster it was written in."""

_Relation = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_$]*\.[A-Za-z_][A-Za-z0-9_$]*$")]


_Label = Annotated[str, Meta(pattern=r"^(?!__|app$|le$|quantile$)[a-zA-Z_][a-zA-Z0-9_]*$")]


class StreamMapping(Section, frozen=True):
    """The mapping of one table of events. `columns` gives SQL per column of the kind.

    `issues: false` leaves issues to the application. `join` must not multiply rows; `reads` lists the tables that it
    reads, for the exporter's rights.
    """

    table: _Relation
    kind: str
    columns: dict[str, str]
    join: str = ""
    reads: tuple[_Relation, ...] = ()
    where: str = "true"
    issues: bool = True


class StateMapping(Section, frozen=True):
    """The mapping of one table of state: live jobs, open alerts or error issues."""

    table: _Relation
    kind: Literal["scraping_jobs", "open_alerts", "error_issues"]
    columns: dict[str, str]
    where: str = "true"


class Mapping(Section, frozen=True):
    """The mapping of one application's tables."""

    app: str
    streams: dict[str, StreamMapping]
    states: dict[str, StateMapping] = msgspec.field(default_factory=dict)
    sample_labels: tuple[_Label, ...] = ()


STATE_COLUMNS = {
    "scraping_jobs": ("scraper", "status", "created_at", "heartbeat_at"),
    "open_alerts": ("severity", "alert_source"),
    "error_issues": ("severity", "fingerprint", "resolved"),
}
OPTIONAL_COLUMNS = {"scraping_jobs": {"progressed_at": "NULL::timestamptz"}}
"""What a state's mapping may leave out, and what replaces it then."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One table of events and how to read it. `columns` maps each column of the kind to SQL over alias `t`."""

    source: str
    name: str
    kind: EventKind
    relation: str
    columns: dict[str, str]
    tx: str
    cluster: str
    join: str = ""
    where: str = "true"
    issues: bool = False
    sample_labels: tuple[str, ...] = ()

    @property
    def select(self) -> str:
        """Return SQL of its rows, columns named as the kind declares them; it ends in a WHERE clause to add to."""
        columns = ", ".join(
            f"({self.columns.get(column.name, 'NULL')})::{column.type} AS {column.name}"
            for column in self.kind.all_columns
        )
        return f"SELECT {columns}\n    FROM {self.relation} t {self.join}\n    WHERE ({self.where})"


@dataclass(frozen=True, slots=True)
class StateTable:
    """One table of state, and SQL for each of its columns; `app` is SQL as well."""

    kind: str
    relation: str
    columns: dict[str, str]
    app: str
    where: str = "true"


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """All that is read of one source."""

    name: str
    native: bool
    streams: tuple[Stream, ...]
    states: tuple[StateTable, ...] = field(default=())


def tables(mapping: Mapping) -> list[str]:
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
    streams = tuple(
        Stream(
            source=source.label,
            name=name,
            kind=KINDS[stream.kind],
            relation=stream.table,
            columns={"app": app, **{column: _escape(text) for column, text in stream.columns.items()}},
            tx=f"t.{TX}",
            cluster=f"t.{CLUSTER}",
            join=_escape(stream.join),
            where=_escape(stream.where),
            issues=stream.issues and KINDS[stream.kind].issues,
            sample_labels=labels,
        )
        for name, stream in mapping.streams.items()
    )
    states = tuple(
        StateTable(
            kind=state.kind,
            relation=state.table,
            columns=OPTIONAL_COLUMNS.get(state.kind, {})
            | {column: _escape(text) for column, text in state.columns.items()},
            app=app,
            where=_escape(state.where),
        )
        for state in mapping.states.values()
    )
    return SourcePlan(source.label, native=False, streams=streams, states=states)


def load(preset: str) -> Mapping:
    """Read the shipped mapping named `preset`, or the file at that path. Raises MappingError."""
    path = Path(preset)
    if preset.endswith((".yml", ".yaml")):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise MappingError(f"mapping {preset}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise MappingError(f"mapping {preset}: cannot be read (not UTF-8)") from error
    else:
        shipped = resources.files("exporter.sources").joinpath(f"{path.name}.yml")
        if path.name != preset or not shipped.is_file():
            raise MappingError(
                f"unknown preset `{preset}`: expected native, {', '.join(presets())}, or the path of a .yml file"
            )
        text = shipped.read_text(encoding="utf-8")
    try:
        mapping = msgspec.convert(strict_yaml.load(text), Mapping)
    except (msgspec.ValidationError, strict_yaml.StrictYamlError) as error:
        raise MappingError(f"mapping {preset}: {error}") from error
    _check(preset, mapping)
    return mapping


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
        for column in stream.columns:
            if column not in known:
                raise MappingError(
                    f"{where}.columns` names {column!r}: expected columns of {kind.name}: {sorted(known)}"
                )
        for column in kind.required:
            if column != "app" and column not in stream.columns:
                raise MappingError(f"{where}.columns` lacks {column!r}, which {kind.name} requires")
    for name, state in mapping.states.items():
        required = STATE_COLUMNS[state.kind]
        if set(state.columns) - set(OPTIONAL_COLUMNS.get(state.kind, ())) != set(required):
            raise MappingError(
                f"mapping {preset}: `states.{name}.columns` has {sorted(state.columns)}: expected {required}"
            )


def _native(source: Source) -> SourcePlan:
    streams = tuple(
        Stream(
            source=source.label,
            name=kind.name,
            kind=kind,
            relation=f"monitoring.{kind.name}",
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
        StateTable("scraping_jobs", "monitoring.scraping_job", jobs, "t.app"),
        StateTable(
            "error_issues",
            "monitoring.error_issue",
            {"severity": "t.severity", "fingerprint": "t.fingerprint", "resolved": "t.status"},
            "t.app",
        ),
    )
    return SourcePlan(source.label, native=True, streams=streams, states=states)


def _literal(text: str) -> str:
    return _escape("'" + text.replace("'", "''") + "'::text")


def _escape(text: str) -> str:
    """Double the percent signs of SQL that is sent with parameters."""
    return text.replace("%", "%%")
