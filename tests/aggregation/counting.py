"""What the tests of counting share: a store with its schema, polls of it, and what the rollups hold."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from exporter.aggregation import poll
from exporter.aggregation.poll import Counted
from exporter.aggregation.poller import Worker
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Retention, Source
from exporter.database import schema
from exporter.database.connection import connect
from exporter.sections import Secret
from exporter.sources import mapping
from exporter.sources.mapping import SourcePlan
from tools.stack.process import PATIENCE_SECONDS
from tools.stack.servers import Postgres

NATIVE = mapping.plan(Source(preset="native", sample_labels=("endpoint", "table")))

Value = float | None


def settings(dsn: str, poll_interval_seconds: float = 0.1) -> Settings:
    return Settings(
        dsn=Secret(dsn), poll_interval_seconds=poll_interval_seconds, connect_timeout_seconds=PATIENCE_SECONDS
    )


@dataclass
class Store:
    """A database with events in it, written by the superuser and counted as the exporter counts."""

    dsn: str
    plan: SourcePlan = NATIVE
    limits: Limits = field(default_factory=Limits)

    def execute(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement in a connection of its own; rows if there are any."""
        with self.connect() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def one(self, query: str, parameters: Any = None) -> Any:
        """Return the only value of a query."""
        return self.execute(query, parameters)[0][0]

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a new connection in autocommit mode."""
        return psycopg.connect(self.dsn, autocommit=True)

    def connect_as_exporter(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a connection such as polls use."""
        connection = connect(settings(self.dsn), "test")
        poll.register(connection, self.plan.name)
        return connection

    def poll(self, *streams: str) -> dict[str, Counted]:
        """Poll the named streams once, all without names."""
        with self.connect_as_exporter() as connection:
            return {
                stream.name: poll.poll(connection, stream, self.limits)
                for stream in self.plan.streams
                if not streams or stream.name in streams
            }

    def series(self, metric: str) -> dict[tuple[str, ...], float]:
        """Return the values of a metric by label values, in order of the label names."""
        rows = self.execute("SELECT labels, value FROM monitoring.rollup WHERE metric = %s", [metric])
        return {tuple(labels[name] for name in sorted(labels)): value for labels, value in rows}

    def value(self, metric: str, **labels: str) -> Value:
        """Return the sum of a metric's values with these labels, None where there is none."""
        found = self.one(
            "SELECT sum(value) FROM monitoring.rollup WHERE metric = %s AND labels @> %s::jsonb",
            [metric, json.dumps(labels)],
        )
        return None if found is None else float(found)

    def rejected(self) -> dict[str, float]:
        """Return the rows rejected, by reason; of all apps, whose names a session may not be able to read."""
        query = """SELECT labels->>'reason', sum(value) FROM monitoring.rollup
            WHERE metric = 'platform_exporter_rows_rejected_total' GROUP BY 1"""
        return {
            reason.decode() if isinstance(reason, bytes) else str(reason): value
            for reason, value in self.execute(query)
        }

    def worker(self, poll_interval_seconds: float = 0.1) -> Worker:
        """Return a worker, not started."""
        return Worker(self.plan, settings(self.dsn, poll_interval_seconds), self.limits, Retention())


def fresh_store(server: Postgres, name: str = "events") -> Store:
    """Return a store on a server of the test's own."""
    store = Store(server.create_database(name))
    with store.connect() as connection:
        schema.apply(connection)
    return store


def add_runs(store: Store, rows: int = 1, scraper: str = "s") -> None:
    """Insert runs in one transaction."""
    store.execute(
        "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
        "SELECT now(), 'a', %s, 'success', 1 FROM generate_series(1, %s)",
        [scraper, rows],
    )


def runs(store: Store) -> Value:
    """Return how many runs are counted."""
    return store.value("platform_scraping_runs_total")


# Imports no more than it needs: tests start many of these.
_POLLER = """
import sys
from exporter.aggregation import poll
from exporter.config.settings import Database, Limits, Secret, Source
from exporter.database import connection as connecting
from exporter.sources import mapping
dsn, idle_timeout = sys.argv[1:]
connecting._SESSION["idle_in_transaction_session_timeout"] = idle_timeout
connection = connecting.connect(Database(dsn=Secret(dsn), connect_timeout_seconds=120), "poller")
plan = mapping.plan(Source(preset="native"))
poll.register(connection, plan.name)
stream = next(stream for stream in plan.streams if stream.name == "scraping_run")
print("ready", flush=True)
while True:
    poll.poll(connection, stream, Limits(series_per_metric=10_000))
"""


class Poller:
    """One replica: a process of its own that polls scraping runs without a pause."""

    def __init__(self, dsn: str, idle_timeout: str = "60s") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _POLLER, dsn, idle_timeout], stdout=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> None:
        """Return once it is about to poll."""
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


@contextmanager
def pollers(dsn: str, count: int, idle_timeout: str = "60s") -> Iterator[list[Poller]]:
    """Run so many replicas inside the `with`."""
    started = [Poller(dsn, idle_timeout) for _ in range(count)]
    try:
        for poller in started:
            poller.wait_until_ready()
        yield started
    finally:
        for poller in started:
            poller.kill()
