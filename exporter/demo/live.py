"""Simulate the platform live: one process per app, as each has an SDK of its own, and a parent that watches them.

The parent also fills queues in Redis whose names begin with `demo`. A queue of any other name may belong to an
application, whose workers could not read the demo's entries.
"""

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from random import Random
from types import FrameType
from typing import Any

import psycopg
import redis

import platform_sdk
from exporter.config.settings import Database
from exporter.demo.apps import SIMULATED_APPS, App
from exporter.demo.faults import IN_APP
from exporter.demo.platform import APPS
from exporter.demo.schedule import Schedule, Simulation
from exporter.errors import DatabaseError, PlatformError
from exporter.probes.redis import RedisTarget
from exporter.probes.redis_queues import PUBLISHED

logger = logging.getLogger(__name__)

STEP_SECONDS = 1.0
LONGEST_STEP_SECONDS = 5.0
"""A process that was stopped for longer skips the rest."""
SHUTDOWN_SECONDS = 10.0
LONGEST_QUEUE = 60
REDIS_TIMEOUT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Where events go, and what is simulated; `opened_at` is when it began."""

    database: Database
    seed: int
    speed: float
    opened_at: float


def prepare(connection: psycopg.Connection) -> None:
    """Cancel the jobs that an earlier run left running. Raises DatabaseError."""
    row = connection.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'monitoring' "
        "AND c.relname = 'http_request' AND has_schema_privilege(n.oid, 'USAGE') "
        "AND has_table_privilege(c.oid, 'INSERT')"
    ).fetchone()
    if row is None:
        info = connection.info
        raise DatabaseError(
            f"user {info.user} may not write events into database {info.dbname}; run `platform-exporter schema apply`, "
            f"then: GRANT platform_writer TO {info.user};"
        )
    connection.execute("SET row_security = on")  # a writer sees its own jobs only, and no error because of the others
    connection.execute(
        "UPDATE monitoring.scraping_job SET status = 'cancelled', finished_at = now() "
        "WHERE app = ANY(%s) AND status IN ('pending', 'running')",
        [list(APPS)],
    )


def run(settings: LiveSettings, queues: Sequence["Queues"], stop: threading.Event) -> None:
    """Simulate until `stop` is set. Raises PlatformError where an app's process ends before that."""
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_run_app, args=(app, settings), name=app.name, daemon=True) for app in SIMULATED_APPS
    ]
    for process in processes:
        process.start()
    try:
        while not stop.wait(2 * STEP_SECONDS):
            if dead := [process.name for process in processes if not process.is_alive()]:
                raise PlatformError(f"the process of {dead[0]} ended; see its log above")
            for one in queues:
                one.step()
    finally:
        _end(processes)


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(SHUTDOWN_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _run_app(make: type[App], settings: LiveSettings) -> None:
    """Run as the process of one app."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent sends SIGTERM
    parent = os.getppid()
    chance = Random(f"{settings.seed}/{make.name}/live")  # noqa: S311 - invented data, no secret
    schedule = Schedule(settings.seed, settings.opened_at)
    app, release, before = make(Simulation(schedule, chance, settings.opened_at, settings.speed)), "", time.time()
    while not stop.is_set() and os.getppid() == parent:
        now = time.time()
        if (current := schedule.release(now)) != release:
            release = current
            start_sdk(make.name, release, settings.database)
        app.step(max(before, now - LONGEST_STEP_SECONDS), now)
        before = now
        stop.wait(STEP_SECONDS)
    app.close(time.time())
    platform_sdk.close(SHUTDOWN_SECONDS / 2)


def start_sdk(app: str, release: str, database: Database) -> None:
    """Start the SDK for a release of an app, in place of an earlier one, as a deployment does. Raises PlatformError."""
    password = database.password.reveal() if database.password else None
    # Without a spool: what cannot be stored is counted as dropped, which does not matter in a demo.
    started = platform_sdk.init(
        database.dsn.reveal(), app, release, password=password, enabled=True, spool_folder="", in_app=IN_APP,
        statement_timeout_seconds=10.0, sample_above_per_second=None,
    )  # fmt: skip
    if not started:
        raise PlatformError(f"the SDK does not start for {app}; see its log above")


class Queues:
    """The demo's queues on one Redis server: entries arrive, and are taken after a while."""

    def __init__(self, probe: RedisTarget, chance: Random) -> None:
        password = {"password": probe.password.reveal()} if probe.password else {}
        self._names = tuple(name for name in probe.queues if name.startswith("demo"))
        self._client: Any = redis.Redis.from_url(
            probe.url.reveal(), socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            **password,
        )  # fmt: skip
        self._chance = chance
        self._failing = False

    def step(self) -> None:
        """Simulate one step. While the server is away nothing happens."""
        try:
            for name in self._names:
                # With `stream` in its name it is a stream, whose entries have an age.
                (self._step_stream if "stream" in name else self._step_list)(name)
            self._failing = False
        except redis.RedisError as error:
            if not self._failing:
                logger.warning("Redis queues are not filled: %s", type(error).__name__)
            self._failing = True

    def remove(self) -> None:
        """Remove the queues. Raises redis.RedisError."""
        if self._names:
            self._client.delete(*self._names)

    def close(self) -> None:
        self._client.close()

    def _step_list(self, name: str) -> None:
        """As Celery does: added at the front, with the time, and taken from the end."""
        for _ in range(self._chance.randrange(6)):
            self._client.lpush(name, json.dumps({"body": "demo", "headers": {PUBLISHED: time.time()}}))
        self._client.rpop(name, self._chance.randrange(1, 6))
        self._client.ltrim(name, 0, LONGEST_QUEUE - 1)

    def _step_stream(self, name: str) -> None:
        for _ in range(self._chance.randrange(4)):
            self._client.xadd(name, {"demo": "1"})
        # The newest are kept: the oldest entry is some seconds to a minute old.
        self._client.xtrim(name, maxlen=self._chance.randrange(10, LONGEST_QUEUE), approximate=False)
