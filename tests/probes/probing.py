"""What the tests of probes share: targets on the fixtures' servers, and one result at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exporter.config.settings import MinioProbe, PostgresqlProbe, Probes, RedisProbe, Secret
from exporter.probes import build
from exporter.probes.base import Answer, ProbeResult
from exporter.probes.run import ProbeRunner
from tools.stack.servers import Minio

TIMEOUT_SECONDS = 2.0
"""Plenty for a server that answers, and the wait of tests where none does is kept shorter."""

SHORT_SECONDS = 0.3


class Target:
    """Run the probe of one target."""

    def __init__(self, settings: PostgresqlProbe | RedisProbe | MinioProbe) -> None:
        kind = {PostgresqlProbe: "postgresql", RedisProbe: "redis", MinioProbe: "minio"}[type(settings)]
        self.runner = ProbeRunner(build(Probes(**{kind: (settings,)})))

    def ask(self, timeout_seconds: float = TIMEOUT_SECONDS) -> ProbeResult:
        (result,) = self.runner.run(timeout_seconds).values()
        return result


@contextmanager
def target(settings: PostgresqlProbe | RedisProbe | MinioProbe) -> Iterator[Target]:
    """Run a target's probe inside the `with`."""
    subject = Target(settings)
    try:
        yield subject
    finally:
        subject.runner.close()


def postgresql(dsn: str, **options: Any) -> PostgresqlProbe:
    return PostgresqlProbe(name="main", dsn=Secret(dsn), **options)


def redis(url: str, **options: Any) -> RedisProbe:
    return RedisProbe(name="main", url=Secret(url), **options)


def minio(server: Minio, **options: Any) -> MinioProbe:
    keys = {"access_key": Secret(server.access_key), "secret_key": Secret(server.secret_key)}
    return MinioProbe(**{"name": "main", "endpoint": server.address, "secure": False, **keys, **options})


def gauges(result: ProbeResult) -> dict[str, float]:
    """Return a result's gauges by name, a label's value behind a colon."""
    return {":".join((gauge.metric, *gauge.labels.values())): gauge.value for gauge in result.gauges}


class Scripted:
    """Be a probe that answers when it is told to."""

    def __init__(self, name: str = "main", settings: object = None, *, holds: bool = False) -> None:
        self.component, self.name, self.settings = "scripted", name, settings
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
        self.free.wait(10)
        if self.failure is not None:
            raise self.failure
        return self.answer

    def close(self) -> None:
        self.closed.set()
