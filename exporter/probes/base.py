"""Define what a probe is and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Status(StrEnum):
    """Say how a component is; the order is from good to bad, and unknown is never good."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Say why a probe failed: the closed list of the label `reason`."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    AUTH = "auth"
    TLS = "tls"
    DNS = "dns"
    PROTOCOL = "protocol"
    OTHER = "other"


class Weakness(StrEnum):
    """Say why a component that answers is degraded: with the reasons above, all that `problems` may hold."""

    RECOVERY = "recovery"
    READ_ONLY = "read_only"
    REPLICA = "replica"
    REPLICATION = "replication"
    CONNECTIONS = "connections"
    MEMORY = "memory"
    PERSISTENCE = "persistence"
    QUEUE = "queue"
    BUCKET = "bucket"
    DRIVES = "drives"


@dataclass(frozen=True, slots=True)
class Degradation:
    """Hold one thing that is wrong with a component that answers, and the sentence that says it to a person."""

    weakness: Weakness
    cause: str


@dataclass(frozen=True, slots=True)
class Gauge:
    """Hold one more thing a probe measured: metric name without prefix, value, and labels beside `name`."""

    metric: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Hold one probe's answer.

    `up` is whether the component can be used at all; DEGRADED is up with a `cause` and its `weaknesses`. `reason` is
    set exactly when the probe failed. `cause` is one sentence for a person and never holds a secret.
    """

    status: Status
    duration_seconds: float
    cause: str = ""
    reason: Reason | None = None
    gauges: tuple[Gauge, ...] = ()
    weaknesses: tuple[Weakness, ...] = ()

    @property
    def up(self) -> bool:
        return self.status in (Status.HEALTHY, Status.DEGRADED)

    @property
    def problems(self) -> tuple[Reason | Weakness, ...]:
        """Return why the component is down or degraded, each reason once; nothing where it is well."""
        return tuple(dict.fromkeys(self.weaknesses)) if self.reason is None else (self.reason,)


class ProbeError(Exception):
    """Say that a component could not be used; raised inside a probe, turned into a ProbeResult by the runner.

    `gauges` is what could be measured all the same, such as the drives of a store that lost its quorum.
    """

    def __init__(self, reason: Reason, cause: str, gauges: tuple[Gauge, ...] = ()) -> None:
        super().__init__(cause)
        self.reason = reason
        self.cause = cause
        self.gauges = gauges


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a probe that reached its component found: degradations (none is healthy) and gauges."""

    degraded: tuple[Degradation, ...] = ()
    gauges: tuple[Gauge, ...] = ()


class Probe(Protocol):
    """Probe one component.

    An instance belongs to one worker thread, may keep a connection between calls, and must give it up after any
    failure. `component` and `name` are the labels of its series; probes of equal `settings` are interchangeable, and
    every Secret in the settings is kept out of the causes shown.
    """

    @property
    def component(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> object: ...

    def check(self, timeout_seconds: float) -> Answer:
        """Ask the component, in at most about `timeout_seconds`. Raises ProbeError, or anything (see reasons.py)."""

    def close(self) -> None:
        """Give up connections. Never raises."""
