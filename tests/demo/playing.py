"""What the tests of the demo share: a store with a past and a played quarter of an hour in it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest

import platform_sdk
from exporter.aggregation.poller import Worker
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Retention, Secret, Source
from exporter.database import schema
from exporter.demo import live, past
from exporter.demo.players import PLAYERS, Player
from exporter.demo.schedule import Schedule
from exporter.demo.stage import Stage
from exporter.sources import mapping
from platform_sdk.events import EVENTS
from tests.servers import Database, fresh_database
from tools.stack.servers import Postgres

SEED = 7
PAST_DAYS = 4.0
PLAYED_SECONDS = 900


@dataclass(frozen=True)
class Played:
    """A store after the demo: what the past said it wrote, and the SDK's books of each app's live part."""

    database: Database
    span: past.Span
    past: dict[str, int]
    books: dict[str, dict[str, object]]


def settings(database: Database) -> Settings:
    return Settings(dsn=Secret(database.dsn))


def write_past(database: Database, span: past.Span) -> dict[str, int]:
    """Write a past, at a tenth of the usual traffic."""
    with database.connect() as connection:
        return past.write(connection, span, SEED, 0.1, lambda share: None)


def play_live(make: type[Player], database: Database, opened_at: float) -> dict[str, object]:
    """Play an app's first quarter of an hour in a moment; return the SDK's books."""
    schedule = Schedule(SEED, opened_at)
    player = make(Stage(schedule, Random(SEED), opened_at))
    release = ""
    for second in range(PLAYED_SECONDS):
        at = opened_at + second
        if schedule.release(at) != release:
            release = schedule.release(at)
            live.start(make.app, release, settings(database))
        player.step(at, at + 1)
        if second % 100 == 99:
            platform_sdk.flush(10)
    platform_sdk.flush(10)
    books = platform_sdk.stats()
    platform_sdk.close(10)
    return books


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
        what = "coalesce(sum(weight), 0)" if kind.name == "http_request" else "count(*)"
        [(number,)] = database.execute(f"SELECT {what} FROM monitoring.{kind.name} WHERE app = %s", [app])
        found[kind.name] = int(number)
    return found


@pytest.fixture(scope="module")
def played(postgres: Postgres) -> Iterator[Played]:
    """Return a store with four days of past, counted, and then the live part's first quarter of an hour."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        now = time.time()
        span = past.Span(now - PAST_DAYS * 86_400, now)
        written = write_past(database, span)
        count(database)
        books = {make.app: play_live(make, database, now) for make in PLAYERS}
        count(database)
        yield Played(database, span, written, books)
