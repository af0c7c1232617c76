"""What the tests of the demo share: a store with a past and a simulated quarter of an hour in it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest

import platform_sdk
from exporter.aggregation.poller import Worker
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Retention, Source
from exporter.database import schema
from exporter.demo import event_history, live
from exporter.demo.apps import SIMULATED_APPS, App
from exporter.demo.schedule import Schedule, Simulation
from exporter.sections import Secret
from exporter.sources import mapping
from platform_sdk.events import EVENTS
from tests.servers import Database, fresh_database
from tools.stack.servers import Postgres

SEED = 7
PAST_DAYS = 4.0
LIVE_SECONDS = 900


@dataclass(frozen=True)
class Simulated:
    """A store after the demo: how many events of the past were written, by app."""

    database: Database
    period: event_history.Period
    past: dict[str, int]


def settings(database: Database) -> Settings:
    return Settings(dsn=Secret(database.dsn))


def write_past(database: Database, period: event_history.Period) -> dict[str, int]:
    """Write a past, at a tenth of the usual traffic."""
    with database.connect() as connection:
        return event_history.write(connection, period, SEED, 0.1, lambda share: None)


def simulate_live(make: type[App], database: Database, opened_at: float) -> None:
    """Simulate an app's first quarter of an hour in a moment."""
    schedule = Schedule(SEED, opened_at)
    app = make(Simulation(schedule, Random(SEED), opened_at))
    release = ""
    for second in range(LIVE_SECONDS):
        at = opened_at + second
        if schedule.release(at) != release:
            release = schedule.release(at)
            live.start_sdk(make.name, release, settings(database))
        app.step(at, at + 1)
        if second % 100 == 99:
            platform_sdk.flush(60)
    platform_sdk.flush(60)
    platform_sdk.close(60)


def count(database: Database) -> None:
    """Count everything as the exporter does."""
    worker = Worker(mapping.plan(Source()), settings(database), Limits(), Retention())
    worker.poll()
    worker._disconnect()
    assert worker.view.problems == ()


def rows(database: Database, app: str) -> dict[str, int]:
    """Return how many events of an app the tables hold, by kind; of weighted rows what they stand for."""
    found = {}
    for kind in EVENTS:
        what = f"coalesce(sum({kind.sampled.weight}), 0)" if kind.sampled else "count(*)"
        [(number,)] = database.execute(f"SELECT {what} FROM monitoring.{kind.name} WHERE app = %s", [app])
        found[kind.name] = int(number)
    return found


@pytest.fixture(scope="module")
def simulated(postgres: Postgres) -> Iterator[Simulated]:
    """Return a store with four days of past, counted, and then the live part's first quarter of an hour."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        now = time.time()
        period = event_history.Period(now - PAST_DAYS * 86_400, now)
        written = write_past(database, period)
        count(database)
        for app in SIMULATED_APPS:
            simulate_live(app, database, now)
        count(database)
        yield Simulated(database, period, written)
