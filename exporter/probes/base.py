"""What a kind of probe declares, and what a probe answers."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any, ClassVar

from exporter.sections import Name, Section


class Status(StrEnum):
    """How a component is; the order is from good to bad, and unknown is never good."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a probe failed, of whatever kind: a kind may declare more `reasons`."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    AUTH = "auth"
    TLS = "tls"
    DNS = "dns"
    PROTOCOL = "protocol"
    OTHER = "other"


TOO_MANY_CONNECTIONS = "too_many_connections"
"""The reason of kinds that have a limit: the server works, and has no connection left for anyone."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """One thing that is wrong with a component that answers, and the sentence that says it to a person."""

    weakness: str
    cause: str


@dataclass(frozen=True, slots=True)
class GaugeFamily:
    """One more thing that a kind of probe measures: metric name without prefix, help, and labels beside `name`."""

    metric: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gauge:
    """The value of one series of such a family, and its labels beside `name`."""

    metric: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe's result.

    `up` is whether the component can be used at all; DEGRADED is up with a `cause` and its `weaknesses`. `reason` is
    set exactly when the probe failed. `cause` is one sentence for a person and never holds a secret.
    """

    status: Status
    duration_seconds: float
    cause: str = ""
    reason: str | None = None
    gauges: tuple[Gauge, ...] = ()
    weaknesses: tuple[str, ...] = ()

    @property
    def up(self) -> bool:
        return self.status in (Status.HEALTHY, Status.DEGRADED)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return why the component is down or degraded, each reason once; nothing where it is well."""
        return tuple(dict.fromkeys(self.weaknesses)) if self.reason is None else (str(self.reason),)


class ProbeError(Exception):
    """Raised inside a probe when a component cannot be used; the runner turns it into a ProbeResult.

    `gauges` is what could be measured all the same, such as the drives of a store that lost its quorum.
    """

    def __init__(self, reason: str, cause: str, gauges: tuple[Gauge, ...] = ()) -> None:
        super().__init__(cause)
        self.reason = reason
        self.cause = cause
        self.gauges = gauges


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe that reached its component found: degradations (none is healthy) and gauges."""

    degraded: tuple[Degradation, ...] = ()
    gauges: tuple[Gauge, ...] = ()


class Target(Section, frozen=True):
    """Base class of the settings of one component to probe: an entry of its kind's list in `probes`."""

    name: Name


class Probe(ABC):
    """Base class of the kinds of probes: what a kind declares, and the probe of one target.

    A module's docstring says in one line what its kind asks, for docs/metrics.md. An instance belongs to one worker
    thread, may keep a connection between calls, and must give it up after any failure. Probes of equal `settings` are
    interchangeable, and every Secret in the settings is kept out of the causes shown.
    """

    component: ClassVar[str]
    """The key in the configuration's `probes`, the module's name and the label `component`."""

    target: ClassVar[type[Target]]
    """The settings of one target: keys, defaults and bounds, and as `problems` its checks across keys."""

    families: ClassVar[tuple[GaugeFamily, ...]] = ()
    reasons: ClassVar[tuple[str, ...]] = ()
    """Why a probe of this kind may fail beside what `Reason` has."""

    weaknesses: ClassVar[tuple[str, ...]] = ()
    """Why a component that answers may be degraded."""

    example: ClassVar[str]
    """One target with every key, in YAML, for platform-exporter.example.yml."""

    def __init__(self, settings: Any) -> None:
        """Take settings of this kind's `target`. Connects to nothing."""
        self.settings = settings

    @property
    def name(self) -> str:
        name: str = self.settings.name
        return name

    @classmethod
    def all_reasons(cls) -> tuple[str, ...]:
        """Return the closed list of the label `reason` for failures of this kind."""
        return (*map(str, Reason), *cls.reasons)

    @classmethod
    def summary(cls) -> str:
        """Return what this kind asks, in one line."""
        return (sys.modules[cls.__module__].__doc__ or "").partition("\n")[0].removeprefix("Probe ")

    @abstractmethod
    def check(self, timeout_seconds: float) -> Answer:
        """Ask the component, in at most about `timeout_seconds`. Raises ProbeError, or anything (see reasons.py)."""

    def close(self) -> None:  # noqa: B027 - a kind that keeps nothing has nothing to give up
        """Give up connections. Never raises."""


class Driver:
    """A client library that is imported when it is first used: checking a configuration needs none of them."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)
