"""The shape of the configuration: frozen values, their defaults, their bounds and checks.

`loader.py` fills these from a file; nothing else builds them but tests. Units are in the names; times are seconds.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from exporter.config import watches
from exporter.config.schedules import TIME_ZONE, Job, is_time_zone
from exporter.config.thresholds import Objectives, Thresholds
from exporter.probes import Probes
from exporter.sections import (
    FilePath,
    Name,
    Problem,
    Secret,
    Section,
    authority_problems,
    dsn_parts,
    dsn_problems,
    duplicates,
    http_parts,
    is_host,
    is_port,
    sign_in_problems,
)
from platform_sdk.events import EVENTS

SHORTEST_ABSENCE_SECONDS = 120
"""Alertmanager sends the watchdog once a minute: below twice that, one late message would alarm people."""

Days = Annotated[int, Meta(ge=1, le=36_500)]
LabelName = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Labels = dict[LabelName, Annotated[str, Meta(min_length=1, max_length=200)]]
ColumnName = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]
Help = dict[Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_]+$")], Annotated[str, Meta(min_length=1)]]


class Preset(str):
    """A shipped mapping's name, or the path of a YAML file, which starts at the configuration's folder."""

    __slots__ = ()


class Database(Section, frozen=True):
    """A PostgreSQL database. `password` wins over one in the DSN."""

    dsn: Secret
    password: Secret | None = None
    poll_interval_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    connect_timeout_seconds: Annotated[float, Meta(ge=1, le=300)] = 5.0

    @property
    def place(self) -> str:
        """Return where the DSN points, for a person: `database D at HOST:PORT as USER`.

        As libpq does, what it leaves out is taken from the environment.
        """
        environment = {name: os.environ.get(f"PG{name.upper()}") for name in ("host", "port", "user")}
        parts = {**environment, "dbname": os.environ.get("PGDATABASE"), **(named := dsn_parts(self.dsn))}
        if "service" in named and not named.keys() & {"host", "hostaddr"}:
            return f"service {named['service']}"  # its file is where libpq alone looks
        host, port = parts["host"] or parts.get("hostaddr") or "the local socket", parts["port"] or 5432
        # libpq's default is the user's name, and the user's that of the process.
        name = parts["dbname"] or parts["user"]
        database = f"database {name}" if name else "the default database"
        return f"{database} at {host}:{port} as {parts['user'] or 'this user'}"

    def problems(self) -> Iterator[Problem]:
        yield from dsn_problems(self.dsn)


class Source(Section, frozen=True):
    """One mapping to count from."""

    preset: Preset = Preset("native")
    name: Name | None = None
    app: Name | None = None
    database: Database | None = None
    sample_labels: tuple[LabelName, ...] | None = None
    labels: Labels = msgspec.field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return what stands in the label `source`: the name, or the preset's name without folder and ending."""
        return self.name or self.preset.rsplit("/", 1)[-1].removesuffix(".yml").removesuffix(".yaml")

    def problems(self) -> Iterator[Problem]:
        for name in self.sample_labels or ():
            if name in ("app", "le", "quantile") or name.startswith("__"):
                yield Problem("sample_labels", "a label that has no meaning of its own in every series", name)


class Query(Section, frozen=True):
    """SQL whose result is gauges: `value` is one column, the metric NAME; `values` several, the metrics NAME_COLUMN."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,100}$")]
    sql: Annotated[str, Meta(min_length=1)]
    help: str | None = None
    value: str | None = None
    values: Help = msgspec.field(default_factory=dict)
    labels: tuple[LabelName, ...] = ()
    database: Database | None = None
    interval_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns that are values, and the help of each."""
        if self.value is not None:
            return {self.value: self.help or f"Column {self.value} of the query {self.name}."}
        return self.values

    def problems(self) -> Iterator[Problem]:
        if (self.value is None) == (not self.values):
            yield Problem("value", "either `value`, one column, or `values`, columns and the help of each", self.value)
        if self.help is not None and self.values:
            yield Problem("help", "no `help` beside `values`, which have their own", self.help)
        for label in self.labels:
            if label in ("le", "quantile", "job", "instance") or label.startswith("__"):
                yield Problem("labels", "a column whose name has no meaning as a label", label)
        if len({*self.labels, *self.columns}) < len(self.labels) + len(self.columns):
            yield Problem("labels", "each column once, as a label or as a value", list(self.labels))


class WatchQuery(Query, frozen=True):
    """The query of a watch, whose rows are those of `watches.sql_of`: of the metrics `platform_table_*`."""

    time_zone: str = "UTC"


class Watch(Section, frozen=True):
    """A table that something writes results into: `time` is when a row came, `keys` are what tells rows apart.

    Rows of the last `window_seconds` are counted, and of `nulls` the share that is NULL. `time_zone` is that of times
    that have none of their own.
    """

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,100}$")]
    table: Annotated[str, Meta(min_length=1)]
    time: ColumnName
    time_zone: str = "UTC"
    keys: Annotated[tuple[ColumnName, ...], Meta(max_length=32)] = ()
    nulls: Annotated[tuple[ColumnName, ...], Meta(max_length=50)] = ()
    window_seconds: Annotated[float, Meta(ge=60, le=31_536_000)] = 86_400.0
    database: Database | None = None
    interval_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0

    @property
    def query(self) -> WatchQuery:
        """Return the query that asks for all of it."""
        return WatchQuery(
            self.name, watches.sql_of(self.table, self.time, self.window_seconds, self.keys, self.nulls),
            value="value", labels=("measure", "column"), database=self.database,
            interval_seconds=self.interval_seconds, timeout_seconds=self.timeout_seconds, time_zone=self.time_zone,
        )  # fmt: skip

    def problems(self) -> Iterator[Problem]:
        if watches.RELATION.fullmatch(self.table) is None:
            expected = 'a table as PostgreSQL writes it, such as shop.products or "Shop"."Products"'
            yield Problem("table", expected, self.table)
        if not is_time_zone(self.time_zone):
            yield Problem("time_zone", TIME_ZONE, self.time_zone)
        for key in ("keys", "nulls"):
            names = getattr(self, key)
            if len(set(names)) < len(names):
                yield Problem(key, "each column once", list(names))
        for key, name in (
            ("time", self.time),
            *(("keys", one) for one in self.keys),
            *(("nulls", one) for one in self.nulls),
        ):
            if len(name) > 1 and name[0] == name[-1] == '"':
                expected = f"a column's name without quotes, {name[1:-1]} (unlike `table`: columns are quoted for you)"
                yield Problem(key, expected, name)


class Limits(Section, frozen=True):
    """Bounds of what data can do to us: series per metric and source, and how far ahead an event's clock may be.

    A series without an event for `idle_series_days` ends where its metric needs the room.
    """

    series_per_metric: Annotated[int, Meta(ge=20, le=100_000)] = 500
    idle_series_days: Days = 30
    future_tolerance_seconds: Annotated[float, Meta(gt=0, le=31_536_000)] = 300.0


if TYPE_CHECKING:

    class Retention(Section, frozen=True):
        """For how many days the rows of each kind of event are kept before their partition is dropped."""

        def __init__(self, **days: int) -> None: ...
else:
    Retention = msgspec.defstruct(
        "Retention", [(kind.name, Days, kind.retention_days) for kind in EVENTS], bases=(Section,), frozen=True
    )


class Alertmanager(Section, frozen=True):
    """The Alertmanagers that `alerts` and manual alerts go to, and how to sign in to them.

    All of one cluster, or each on its own: both work. `timeout_seconds` is for one request to one of them. The exporter
    repeats manual alerts every `resend_seconds`.
    """

    urls: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    username: str | None = None
    password: Secret | None = None
    bearer_token: Secret | None = None
    ca_file: FilePath | None = None
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    resend_seconds: Annotated[float, Meta(ge=1, le=300)] = 15.0

    def problems(self) -> Iterator[Problem]:
        for index, url in enumerate(self.urls):
            if "@" in url:
                yield Problem(f"urls[{index}]", "http://HOST:PORT without user, and `username` and `password_file`")
            elif not _is_http(url):
                expected = "http://HOST:PORT or https://HOST:PORT, with Alertmanager's path if any"
                yield Problem(f"urls[{index}]", expected, url)
        if len(set(self.urls)) < len(self.urls):
            yield Problem("urls", "each Alertmanager once", list(self.urls))
        yield from sign_in_problems(self.username, self.password, self.bearer_token)
        yield from authority_problems(self.ca_file)


class Errors(Section, frozen=True):
    """Who may change error issues over HTTP: whoever knows `token`, in any name; without a token no one may."""

    token: Secret | None = None


class Alerts(Section, frozen=True):
    """How Alertmanager's notifications become history; without `token` none are taken.

    What comes while the event store is away waits in `spool_folder`, where there is one, up to `spool_limit_bytes`.
    An alert that fires again within `flap_seconds` of having resolved flapped; one that fired for at most
    `noise_seconds` was noise.
    """

    token: Secret | None = None
    spool_folder: FilePath | None = None
    spool_limit_bytes: Annotated[int, Meta(ge=65_536)] = 67_108_864
    flap_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
    noise_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 120.0
    retention_days: Days = 400


class WatchdogMail(Section, frozen=True):
    """The mail server that the dead man's switch uses."""

    to: Annotated[tuple[Annotated[str, Meta(pattern="^[^@\\s,]+@[^@\\s,]+$")], ...], Meta(min_length=1)]
    sender: Annotated[str, Meta(pattern="^[^@\\s,]+@[^@\\s,]+$")]
    server: str
    username: str | None = None
    password: Secret | None = None
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: FilePath | None = None

    def problems(self) -> Iterator[Problem]:
        try:
            parse_address(self.server)
        except ValueError:
            yield Problem("server", "HOST:PORT such as smtp.example.com:587", self.server)
        yield from sign_in_problems(self.username, self.password, None)
        yield from authority_problems(self.ca_file)


class WatchdogWebhook(Section, frozen=True):
    """The address that the dead man's switch posts to; it may be a secret, as those of chats are."""

    address: Secret
    token: Secret | None = None
    ca_file: FilePath | None = None

    def problems(self) -> Iterator[Problem]:
        if http_parts(self.address.reveal()) is None:
            yield Problem("address", "http://HOST... or https://HOST...")
        yield from authority_problems(self.ca_file)


class Watchdog(Section, frozen=True):
    """The dead man's switch: who is notified, without Alertmanager, when PlatformWatchdog stays away.

    Alertmanager posts it with `token`; without one there is no switch. With `expect_scrapes` Prometheus must scrape
    this exporter, too.
    """

    token: Secret | None = None
    missing_after_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    repeat_seconds: Annotated[float, Meta(ge=60, le=604_800)] = 3600.0
    expect_scrapes: bool = True
    mail: WatchdogMail | None = None
    webhook: WatchdogWebhook | None = None

    def problems(self) -> Iterator[Problem]:
        if self.missing_after_seconds < SHORTEST_ABSENCE_SECONDS:
            expected = f"at least {SHORTEST_ABSENCE_SECONDS}: the watchdog comes once a minute"
            yield Problem("missing_after_seconds", expected, self.missing_after_seconds)
        if (self.token is None) != (self.mail is None and self.webhook is None):
            yield Problem("token", "`token_file`, and `mail` or `webhook` or both")


class Budget(Section, frozen=True):
    """What calls to external APIs may cost in a month (UTC), in the account's currency.

    Of an app, of an API, of an app's calls to an API; of everything without either.
    """

    month: Annotated[float, Meta(gt=0, le=1e15)]
    app: Name | None = None
    api: Name | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of its series."""
        return {name: value for name, value in (("app", self.app), ("api", self.api)) if value is not None}


class Stack(Section, frozen=True):
    """Where the servers around the exporter answer; only `doctor` and `reconcile` ask them."""

    prometheus_url: str | None = None
    alertmanager_url: str | None = None
    grafana_url: str | None = None

    def problems(self) -> Iterator[Problem]:
        for name, url in msgspec.structs.asdict(self).items():
            if url is not None and not _is_http(url):
                # Its value is left out: it may hold a user and a password.
                yield Problem(name, "http(s)://HOST:PORT, with a path if any")


class Reconcile(Section, frozen=True):
    """How often the exporter compares its counters with the rows; None: only when asked to, by `reconcile`."""

    interval_seconds: Annotated[float, Meta(ge=60, le=604_800)] | None = None


class Config(Section, frozen=True):
    """The whole configuration."""

    database: Database
    listen: str = "127.0.0.1:9847"
    state_folder: FilePath | None = None
    scrape_interval_seconds: Annotated[float, Meta(ge=0, le=600)] = 5.0
    labels: Labels = msgspec.field(default_factory=dict)
    sources: tuple[Source, ...] = (Source(),)
    probes: Probes = Probes()
    probe_timeout_seconds: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    dependencies: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    queries: tuple[Query, ...] = ()
    watches: tuple[Watch, ...] = ()
    jobs: tuple[Job, ...] = ()
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    objectives: Objectives = Objectives()
    budgets: tuple[Budget, ...] = ()
    retention_days: Retention = Retention()
    alertmanager: Alertmanager = Alertmanager()
    alerts: Alerts = Alerts()
    errors: Errors = Errors()
    watchdog: Watchdog = Watchdog()
    stack: Stack = Stack()
    reconcile: Reconcile = Reconcile()

    def database_of(self, source: Source) -> Database:
        """Return the database that `source` counts in: its own, or the event store."""
        return source.database or self.database

    @property
    def stores(self) -> tuple[Database, ...]:
        """Return the event stores: `database`, and those of sources with `preset: native`; each once."""
        found: dict[object, Database] = {(self.database.dsn, self.database.password): self.database}
        for source in self._native:
            database = self.database_of(source)
            found.setdefault((database.dsn, database.password), database)
        return tuple(found.values())

    def store_name(self, store: Database) -> str | None:
        """Return the name of the source that is counted in an event store, the first of several; None without one."""
        return next((source.label for source in self._native if self.database_of(source) == store), None)

    @property
    def _native(self) -> list[Source]:
        return [source for source in self.sources if source.preset == "native"]

    @property
    def all_queries(self) -> tuple[Query, ...]:
        """Return the queries, and those of the watches."""
        return (*self.queries, *(watch.query for watch in self.watches))

    def problems(self) -> Iterator[Problem]:
        try:
            parse_address(self.listen)
        except ValueError as error:
            yield Problem("listen", str(error).removeprefix("expected "), self.listen)
        yield from duplicates("queries", [query.name for query in self.queries])
        yield from duplicates("watches", [watch.name for watch in self.watches])
        for name in sorted({one.name for one in self.queries} & {one.name for one in self.watches}):
            yield Problem(
                "watches", "a name that no entry of `queries` has (both are queries: rename one of the two)", name
            )
        yield from duplicates("sources", [source.label for source in self.sources])
        counted: dict[object, str] = {}
        for source in self._native:
            database = self.database_of(source)
            other = counted.setdefault((database.dsn, database.password), source.label)
            if other != source.label:
                expected = f"a `database` of its own: source {other} counts the events of this one already"
                yield Problem("sources", expected, source.label)
        names = [", ".join(f"{key}: {name}" for key, name in job.labels.items()) for job in self.jobs]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("jobs", "one entry for each scraper or task of an app", name)
        subjects = [", ".join(f"{key}: {name}" for key, name in one.labels.items()) or "all" for one in self.budgets]
        yield from duplicates("budgets", subjects)
        yield from self._dependency_problems()
        yield from self._override_problems()

    def _override_problems(self) -> Iterator[Problem]:
        """Yield thresholds of what is named in this configuration and nowhere else: a misspelt name would move none."""
        known = {
            "watches": dict.fromkeys(watch.name for watch in self.watches),
            "queues": dict.fromkeys(queue for redis in self.probes.redis for queue in redis.queues),
        }
        for indicator, threshold in self.thresholds.indicators().items():
            for key, name, _ in threshold.overrides():
                if name not in known.get(key, (name,)):
                    expected = f"one of this configuration's {key} ({', '.join(known[key]) or 'there is none'})"
                    yield Problem(f"thresholds.{indicator}.{key}", expected, name)

    def _dependency_problems(self) -> Iterator[Problem]:
        """Yield what `dependencies` names that is not there: a misspelt name would mute nothing."""
        probed = [f"{kind}/{one.name}" for kind in self.probes.__struct_fields__ for one in getattr(self.probes, kind)]
        known = {one for one in probed if one.startswith("http/")}
        known |= {f"source/{one.label}" for one in self.sources} | {f"query/{one.name}" for one in self.all_queries}
        for dependent, components in self.dependencies.items():
            if not dependent or ("/" in dependent and dependent not in known):
                expected = "an app, or http/NAME, source/NAME or query/NAME of this configuration"
                yield Problem("dependencies", expected, dependent)
            for component in components:
                if component not in probed:
                    there = ", ".join(probed) or "none is probed"
                    yield Problem(f"dependencies.{dependent}", f"components that are probed ({there})", component)
        for dependent in self.dependencies:
            if cycle := _cycle(self.dependencies, dependent):
                expected = "no cycle: while all of them are down, each mutes the other's alerts, and no one is notified"
                yield Problem(f"dependencies.{dependent}", expected, " -> ".join(cycle))


def _cycle(needs: Mapping[str, Sequence[str]], start: str) -> tuple[str, ...]:
    """Return the shortest way from a dependent over what it needs back to itself; empty if there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for way in ways:  # grows meanwhile
        for one in needs.get(way[-1], ()):
            if one == start:
                return (*way, one)
            if one not in seen:
                seen.add(one)
                ways.append((*way, one))
    return ()


def _is_http(url: str) -> bool:
    """Tell whether an address is http or https, with a host and no query."""
    parts = http_parts(url)
    return parts is not None and not parts.query and not parts.fragment


def parse_address(text: str) -> tuple[str, int]:
    """Split HOST:PORT or [V6]:PORT or :PORT (all addresses). Raises ValueError that says what was expected."""
    host, colon, port = text.rpartition(":")
    if not colon or not (is_port(port) or port == "0") or (":" in host and not host.startswith("[")):
        raise ValueError("expected HOST:PORT such as 127.0.0.1:9847, [::1]:9847 or :9847")
    if host and not is_host(host):
        raise ValueError("expected an address, or a host whose name has parts of 1 to 63 characters")
    return host.strip("[]"), int(port)


def convert(tree: object, folder: Path = Path()) -> Config:
    """Turn plain values into a Config; relative paths start at `folder`.

    Raises msgspec.ValidationError, whose message ends in ``- at `$.path` ``.
    """

    def decode(kind: type, value: object) -> object:
        if kind is Secret:
            if isinstance(value, str) and value:
                return Secret(value)
            raise ValueError("Expected a text that is not empty (a number only in quotes)")
        if not isinstance(value, str):
            raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
        if kind is Preset and not value.endswith((".yml", ".yaml")):
            return Preset(value)
        return kind(folder / value)

    # Not strict: a variable of the environment is a text, also where a number is expected.
    return msgspec.convert(tree, Config, strict=False, dec_hook=decode)
