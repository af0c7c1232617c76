"""Play the platform live: one process an app, as each has an SDK of its own, and one that watches over them."""

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

import psycopg

import platform_sdk
from exporter.config.settings import Database
from exporter.demo.platform import APPS
from exporter.demo.players import PLAYERS, Player
from exporter.demo.queues import Queues
from exporter.demo.schedule import Schedule
from exporter.demo.stage import Stage
from exporter.demo.troubles import IN_APP
from exporter.errors import DemoError, RightsError

logger = logging.getLogger(__name__)

STEP_SECONDS = 1.0
LONGEST_STEP_SECONDS = 5.0
"""A process that was stopped for a while does not make up for it."""
END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Play:
    """Say where events go, and what is played."""

    database: Database
    seed: int
    speed: float
    opened_at: float


def prepare(connection: psycopg.Connection) -> None:
    """Cancel the jobs that an earlier life left running: nobody works on them. Raises RightsError."""
    row = connection.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'monitoring' "
        "AND c.relname = 'http_request' AND has_schema_privilege(n.oid, 'USAGE') "
        "AND has_table_privilege(c.oid, 'INSERT')"
    ).fetchone()
    if row is None:
        info = connection.info
        raise RightsError(
            f"user {info.user} may not write events into database {info.dbname}; wanted a user who may, after "
            f"`platform-exporter schema apply`: GRANT platform_writer TO {info.user};"
        )
    connection.execute(
        "UPDATE monitoring.scraping_job SET status = 'cancelled', finished_at = now() "
        "WHERE app = ANY(%s) AND status IN ('pending', 'running')",
        [list(APPS)],
    )


def run(play: Play, queues: Sequence[Queues], stop: threading.Event) -> None:
    """Play until `stop` is set. Raises DemoError where the process of an app ends before that."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_act, args=(make, play), name=make.app, daemon=True) for make in PLAYERS]
    for process in processes:
        process.start()
    try:
        while not stop.wait(2 * STEP_SECONDS):
            if dead := [process.name for process in processes if not process.is_alive()]:
                raise DemoError(f"the process of {dead[0]} ended; what it said is above")
            for one in queues:
                one.step()
    finally:
        _end(processes)


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _act(make: type[Player], play: Play) -> None:
    """Be the process of one app."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us all; our parent tells us
    parent = os.getppid()
    chance = Random(f"{play.seed}/{make.app}/live")  # noqa: S311 - invented data, no secret
    stage = Stage(Schedule(play.seed, play.opened_at), chance, play.opened_at, play.speed)
    player, release, before = make(stage), "", time.time()
    while not stop.is_set() and os.getppid() == parent:
        now = time.time()
        if (current := stage.schedule.release(now)) != release:
            release = current
            start(make.app, release, play.database)
        player.step(max(before, now - LONGEST_STEP_SECONDS), now)
        before = now
        stop.wait(STEP_SECONDS)
    player.close(time.time())
    platform_sdk.close(END_SECONDS / 2)


def start(app: str, release: str, database: Database) -> None:
    """Start the SDK as the app of that release; one that ran ends first, as at a deployment. Raises DemoError."""
    password = database.password.reveal() if database.password else None
    # Nothing is left on disk: what cannot be stored is counted as dropped, as it is only a demo.
    good = platform_sdk.init(
        database.dsn.reveal(), app, release, password=password, enabled=True, spool_folder="", in_app=IN_APP,
        statement_timeout_seconds=10.0, sample_above_per_second=None,
    )  # fmt: skip
    if not good:
        raise DemoError(f"the SDK does not start for {app}; its log says why")
