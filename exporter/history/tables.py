"""The tables that can be read: the kinds of events of every source, and the tables of state."""

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.config.settings import Config, Source
from exporter.errors import ConfigError
from exporter.sources import mapping
from exporter.sources.mapping import Stream
from exporter.sources.occurrences import ISSUE_COLUMNS, issues
from platform_sdk.events import EVENTS, KINDS
from platform_sdk.events.base import Column


def _columns(text: str) -> tuple[Column, ...]:
    pairs = (item.strip().split(" ", 1) for item in text.split(","))
    return tuple(Column(name, type_, "") for name, type_ in pairs)


STATES = {
    "error_issue": ("last_seen", tuple(Column(name, type_, "") for name, type_ in ISSUE_COLUMNS.items())),
    "alert_notification": ("received_at", _columns(
        "group_key text, fingerprint text, status text, starts_at timestamptz, ends_at timestamptz, "
        "received_at timestamptz, receiver text, labels jsonb, annotations jsonb"
    )),
    "audit": ("at", _columns("at timestamptz, actor text, action text, object text, details jsonb")),
    "scraping_job": ("created_at", _columns(
        "app text, job_id text, scraper text, site text, status text, progress double precision, total_items bigint, "
        "completed_items bigint, created_at timestamptz, started_at timestamptz, heartbeat_at timestamptz, "
        "finished_at timestamptz"
    )),
}  # fmt: skip
"""The tables of state by name: their column of time, and all their columns."""

NAMES = (*KINDS, *STATES)


@dataclass(frozen=True, slots=True)
class Table:
    """A table to read: `at` is its column of time, `streams` the tables behind it (none: one of state, `relation`)."""

    name: str
    at: str
    columns: dict[str, Column]
    streams: tuple[Stream, ...] = ()
    relation: str = ""

    def query(self) -> str:
        """Return SQL of all rows, with all its columns. Percent signs are doubled."""
        if not self.streams:
            return f"SELECT * FROM {self.relation} kept"
        return " UNION ALL ".join(stream.select for stream in self.streams)


def find(name: str, source: Source) -> Table:
    """Return the table that `name` means in a source. Raises ConfigError where the source has none."""
    if name in STATES:
        at, columns = STATES[name]
        relation = issues([mapping.plan(source)]) if name == "error_issue" else f"monitoring.{name}"
        return Table(name, at, {column.name: column for column in columns}, relation=relation)
    streams = tuple(stream for stream in _held(source) if stream.kind.name == name)
    if not streams:
        raise ConfigError(f"source {source.label} holds no {name}: expected one of {', '.join(_kinds(source))}")
    return Table(name, "at", {column.name: column for column in KINDS[name].all_columns}, streams)


def named(config: Config, name: str) -> Source:
    """Return the source of this name. Raises ConfigError."""
    found = next((source for source in config.sources if source.label == name), None)
    if found is None:
        known = ", ".join(source.label for source in config.sources)
        raise ConfigError(f"`sources` has no entry named {name!r}: expected one of {known}")
    return found


def choose(config: Config, name: str, given: str | None) -> Source:
    """Return the source of this name, or the first that holds `name`. Raises ConfigError."""
    if given is not None:
        return named(config, given)
    if name in STATES:
        return Source()  # the event store itself
    holding = (source for source in config.sources if name in _kinds(source))
    found = next(holding, None)
    if found is None:
        raise ConfigError(f"no entry of `sources` holds {name}; add one to the configuration")
    return found


def chosen(table: Table, names: str | None, personal: bool) -> list[Column]:
    """Return the columns to show: those named, or all but personal ones. Raises ConfigError."""
    if names is None:
        return [column for column in table.columns.values() if personal or not column.personal]
    found = []
    for name in (part.strip() for part in names.split(",")):
        column = table.columns.get(name)
        if column is None:
            raise ConfigError(
                f"--columns: {table.name} has no column {name!r}: expected some of {', '.join(table.columns)}"
            )
        if column.personal and not personal:
            raise ConfigError(f"--columns: {name} is personal; add --personal if you may see it")
        found.append(column)
    return found


def _kinds(source: Source) -> Iterator[str]:
    present = {stream.kind.name for stream in _held(source)}
    yield from (kind.name for kind in EVENTS if kind.name in present)


def _held(source: Source) -> list[Stream]:
    """Return the streams whose tables hold what counted: not those whose rows count when they are deleted."""
    return [stream for stream in mapping.plan(source).streams if stream.counted != "deleted"]
