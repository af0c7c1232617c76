"""Give the shape of the configuration: frozen values, their defaults and their bounds.

`config.py` fills these from a file; nothing else builds them but tests. Units are in the names; times are seconds.
"""

import hmac
from typing import Annotated

import msgspec
from msgspec import Meta

from exporter.config.section import Name
from exporter.config.section import Section as _Settings
from exporter.config.thresholds import Objectives, Thresholds

Days = Annotated[int, Meta(ge=1, le=36_500)]


class Secret:
    """Hold a value that must never be printed: `repr`, `str` and formatting show asterisks."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; call it only where a connection is made."""
        return self._value

    def equals(self, given: bytes) -> bool:
        """Compare with what a client sent, in constant time."""
        return hmac.compare_digest(given, self._value.encode("utf-8"))

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Database(_Settings, frozen=True):
    """Name a PostgreSQL database. `password` wins over one in the DSN."""

    dsn: Secret
    password: Secret | None = None
    poll_interval_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    connect_timeout_seconds: Annotated[float, Meta(ge=1, le=300)] = 5.0


class Source(_Settings, frozen=True):
    """Name one mapping to count from. `preset` is a shipped mapping's name or the path of a YAML file."""

    preset: str = "native"
    name: Name | None = None
    app: Name | None = None
    database: Database | None = None
    sample_labels: tuple[Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], ...] | None = None

    @property
    def label(self) -> str:
        """Return what stands in the label `source`: the name, or the preset's name without folder and ending."""
        return self.name or self.preset.rsplit("/", 1)[-1].removesuffix(".yml").removesuffix(".yaml")


class PostgresqlProbe(_Settings, frozen=True):
    """Name a PostgreSQL server to probe. `primary: false` accepts a server in recovery."""

    name: Name
    dsn: Secret
    password: Secret | None = None
    primary: bool = True
    connections_degraded_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.9


class RedisProbe(_Settings, frozen=True):
    """Name a Redis server to probe, and the lists whose lengths are queue lengths."""

    name: Name
    url: Secret
    password: Secret | None = None
    queues: tuple[str, ...] = ()
    primary: bool = True
    memory_degraded_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.9


class MinioProbe(_Settings, frozen=True):
    """Name an S3-compatible store to probe, and the buckets that must be visible with these keys."""

    name: Name
    endpoint: Annotated[str, Meta(min_length=1)]
    access_key: Secret
    secret_key: Secret
    secure: bool = True
    ca_file: str | None = None
    region: str | None = None
    buckets: tuple[str, ...] = ()


class Probes(_Settings, frozen=True):
    """List the dependencies to probe at every scrape, by kind."""

    postgresql: tuple[PostgresqlProbe, ...] = ()
    redis: tuple[RedisProbe, ...] = ()
    minio: tuple[MinioProbe, ...] = ()


class Limits(_Settings, frozen=True):
    """Bound what data can do to us: series per metric and source, and how far ahead an event's clock may be."""

    series_per_metric: Annotated[int, Meta(ge=20, le=100_000)] = 500
    future_tolerance_seconds: Annotated[float, Meta(gt=0, le=31_536_000)] = 300.0


class Retention(_Settings, frozen=True):
    """Say for how many days the rows of each kind of event are kept before their partition is dropped."""

    http_request: Days = 14
    api_call: Days = 30
    scraping_run: Days = 90
    user_activity: Days = 90
    error: Days = 90
    sample: Days = 14


class Alertmanager(_Settings, frozen=True):
    """Name the Alertmanagers that `alerts` and alerts made by hand go to, and how to sign in to them.

    All of one cluster, or each on its own: both work. `timeout_seconds` is for one request to one of them. The exporter
    repeats alerts made by hand every `resend_seconds`.
    """

    urls: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    username: str | None = None
    password: Secret | None = None
    bearer_token: Secret | None = None
    ca_file: str | None = None
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    resend_seconds: Annotated[float, Meta(ge=1, le=300)] = 15.0


class Errors(_Settings, frozen=True):
    """Say who may change error issues over HTTP: whoever knows `token`, in any name; without it nobody may."""

    token: Secret | None = None


class Alerts(_Settings, frozen=True):
    """Say how Alertmanager's notifications become history; without `token` none are taken.

    What comes while the event store is away waits in `spool_folder`, where there is one, up to `spool_limit_bytes`.
    An alert that fires again within `flap_seconds` of having resolved flapped; one that fired for at most
    `noise_seconds` was noise.
    """

    token: Secret | None = None
    spool_folder: str | None = None
    spool_limit_bytes: Annotated[int, Meta(ge=65_536)] = 67_108_864
    flap_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
    noise_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 120.0
    retention_days: Days = 400


class Stack(_Settings, frozen=True):
    """Say where the servers around the exporter answer; only `doctor` asks them."""

    prometheus_url: str | None = None
    alertmanager_url: str | None = None
    grafana_url: str | None = None


class Config(_Settings, frozen=True):
    """Hold the whole configuration."""

    database: Database
    listen: str = "127.0.0.1:9847"
    sources: tuple[Source, ...] = (Source(),)
    probes: Probes = Probes()
    probe_timeout_seconds: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
    objectives: Objectives = Objectives()
    retention_days: Retention = Retention()
    alertmanager: Alertmanager = Alertmanager()
    alerts: Alerts = Alerts()
    errors: Errors = Errors()
    stack: Stack = Stack()

    def database_of(self, source: Source) -> Database:
        """Return the database that `source` counts in: its own, or the event store."""
        return source.database or self.database


def convert(tree: object) -> Config:
    """Turn plain YAML values into a Config.

    Raises msgspec.ValidationError, whose message ends in ``- at `$.path` ``.
    """
    # Not strict: what a variable of the environment gave is a text, also where a number is wanted.
    return msgspec.convert(tree, Config, strict=False, dec_hook=_decode)


def _decode(kind: type, value: object) -> object:
    if kind is Secret:
        if isinstance(value, str) and value:
            return Secret(value)
        raise ValueError("Expected a text that is not empty (a number only in quotes)")
    raise NotImplementedError(kind)
