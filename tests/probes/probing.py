"""What the tests of probes share: targets on the fixtures' servers, and one result at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from exporter.probes import PROBES, Probes, build
from exporter.probes.base import Answer, Probe, ProbeError, ProbeResult, Reason, Target
from exporter.probes.minio import MinioTarget
from exporter.probes.postgresql import PostgresqlTarget
from exporter.probes.redis import RedisTarget
from exporter.probes.run import ProbeRunner
from exporter.sections import Secret
from tools.stack.servers import Minio

TIMEOUT_SECONDS = 60.0
"""Plenty for a server that answers, also on a busy machine; tests where none does wait for a shorter time."""

SHORT_SECONDS = 0.3


class Subject:
    """The probe of one target, run by itself."""

    def __init__(self, settings: Target) -> None:
        self.kind = next(kind for kind in PROBES if type(settings) is kind.target)
        self.runner = ProbeRunner(build(Probes(**{self.kind.component: (settings,)})))

    def ask(self, timeout_seconds: float = TIMEOUT_SECONDS) -> ProbeResult:
        """Return one result; all that it holds is declared by its kind."""
        (result,) = self.runner.run(timeout_seconds).values()
        assert {*result.problems} <= {*self.kind.all_reasons(), *self.kind.weaknesses}
        declared = {family.metric: family.labels for family in self.kind.families}
        declared["component_certificate_expiry_timestamp_seconds"] = ()
        assert all(declared[gauge.metric] == (*gauge.labels,) for gauge in result.gauges)
        return result


@contextmanager
def target(settings: Target) -> Iterator[Subject]:
    """Run a target's probe inside the `with`."""
    subject = Subject(settings)
    try:
        yield subject
    finally:
        subject.runner.close()


@contextmanager
def direct(settings: Target) -> Iterator[Probe]:
    """Build a target's probe without a runner, which would give up on a check by itself."""
    kind = next(kind for kind in PROBES if type(settings) is kind.target)
    (probe,) = build(Probes(**{kind.component: (settings,)}))
    try:
        yield probe
    finally:
        probe.close()


def gives_up(probe: Probe) -> bool:
    """Tell whether a check ends at its own deadline; of a server that never answers no other end would come."""
    with pytest.raises(ProbeError) as caught:
        probe.check(SHORT_SECONDS)
    return (caught.value.reason, caught.value.cause) == (Reason.TIMEOUT, f"no answer in {SHORT_SECONDS} s")


def postgresql(dsn: str, **options: Any) -> PostgresqlTarget:
    return PostgresqlTarget(name="main", dsn=Secret(dsn), **options)


def redis(url: str, **options: Any) -> RedisTarget:
    return RedisTarget(name="main", url=Secret(url), **options)


def minio(server: Minio, **options: Any) -> MinioTarget:
    keys = {"access_key": Secret(server.access_key), "secret_key": Secret(server.secret_key)}
    return MinioTarget(**{"name": "main", "endpoint": server.address, "secure": False, **keys, **options})


def gauges(result: ProbeResult) -> dict[str, float]:
    """Return a result's gauges by name, a label's value behind a colon."""
    return {":".join((gauge.metric, *gauge.labels.values())): gauge.value for gauge in result.gauges}


class Scripted(Probe):
    """A probe that answers when a test lets it."""

    component = "scripted"
    name = ""

    def __init__(self, name: str = "main", settings: object = None, *, holds: bool = False) -> None:
        super().__init__(settings)
        self.name = name
        self.failure: Exception | None = None
        self.answer = Answer()
        self.started = threading.Semaphore(0)
        self.free = threading.Event()
        self.checks = 0
        self.closed = threading.Event()
        if not holds:
            self.free.set()

    def check(self, timeout_seconds: float) -> Answer:
        self.checks += 1
        self.started.release()
        self.free.wait(60)
        if self.failure is not None:
            raise self.failure
        return self.answer

    def close(self) -> None:
        self.closed.set()
