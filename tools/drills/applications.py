"""Applications of the drills: what they do each second, and how it is written into a stack's databases."""

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tools.stack import config_files, traffic
from tools.stack.state import StackState

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]

HTTP = (
    "insert into monitoring.http_request (at, app, route, method, status, duration_seconds, user_agent) "
    "values (now(), %s, '/', 'GET', %s, %s, 'drill')"
)
API = (
    "insert into monitoring.api_call (at, app, api, endpoint, outcome, reason, duration_seconds) "
    "values (now(), %s, %s, '/q', %s, %s, %s)"
)
RUN = (
    "insert into monitoring.scraping_run "
    "(at, app, job_id, scraper, outcome, reason, duration_seconds, items_processed) "
    "values (now(), %s, gen_random_uuid()::text, %s, %s, %s, 12, 20)"
)
ERROR = (
    "insert into monitoring.error (at, app, severity, error_type, message, endpoint) "
    "values (now(), %s, 'medium', 'TimeoutError', 'made by a drill', '/')"
)
JOB = (
    "insert into monitoring.scraping_job "
    "(app, job_id, scraper, status, total_items, completed_items, started_at, heartbeat_at, progressed_at) "
    "values (%s, 'drill', 'news', %s, 1000, 0, now(), now(), now()) on conflict (app, job_id) do update set "
    "status = excluded.status, heartbeat_at = now(), completed_items = scraping_job.completed_items + %s::int, "
    "progressed_at = case when %s::int > 0 then now() else scraping_job.progressed_at end"
)


@dataclass
class Application:
    """One application. Numbers of events are per second and may be fractions; shares are of 1.

    What an incident changes are its attributes, while it runs. `jobs` makes it keep one scraping job running, which
    continues where the application is quiet otherwise. `needs` are the components that it needs, as the exporter knows.
    """

    name: str
    requests: float = 0
    apis: tuple[str, ...] = ()
    calls: float = 0
    scrapers: tuple[str, ...] = ()
    runs: float = 0
    errors: float = 0
    jobs: bool = False
    request_seconds: float = 0.08
    call_seconds: float = 0.2
    failing_requests: float = 0
    failing_calls: float = 0
    failing_runs: float = 0
    stuck: bool = False
    quiet: bool = False
    needs: tuple[str, ...] = ()
    _owed: dict[str, float] = field(default_factory=dict)

    def second(self, chance: random.Random) -> Rows:
        """Return the rows of one second, by the statement that writes them."""
        rows: Rows = {} if self.quiet else self._events(chance)
        if self.jobs:
            items = 0 if self.stuck else 1
            rows[JOB] = [(self.name, "running", items, items)]
        return {statement: found for statement, found in rows.items() if found}

    def _events(self, chance: random.Random) -> Rows:
        return {
            HTTP: [
                (self.name, 500 if self._fails("http", self.failing_requests) else 200, self._seconds(chance))
                for _ in range(self._due("http", self.requests))
            ],
            API: [
                (self.name, api, *self._outcome(f"api {api}", self.failing_calls, "server_error"), self.call_seconds)
                for api in self.apis
                for _ in range(self._due(f"calls {api}", self.calls))
            ],
            RUN: [
                (self.name, scraper, *self._outcome(f"run {scraper}", self.failing_runs, "timeout"))
                for scraper in self.scrapers
                for _ in range(self._due(f"runs {scraper}", self.runs))
            ],
            ERROR: [(self.name,)] * self._due("errors", self.errors),
        }

    def _seconds(self, chance: random.Random) -> float:
        return self.request_seconds * chance.lognormvariate(0, 0.2)

    def _outcome(self, of: str, share: float, reason: str) -> tuple[str, str | None]:
        return ("failure", reason) if self._fails(of, share) else ("success", None)

    def _due(self, what: str, rate: float) -> int:
        """Return how many are due now: on average `rate`, spread evenly, so that a drill is the same each time."""
        owed = self._owed.get(what, 0) + rate
        self._owed[what] = owed - int(owed)
        return int(owed)

    def _fails(self, what: str, share: float) -> bool:
        return bool(self._due(f"failing {what}", share))


# Outside the incident that the demo's own traffic has in the first ten minutes of each hour.
HEALTHY_SECONDS = traffic.INCIDENT_SECONDS + 1
DEMO_EVERY_SECONDS = 2


class DrillTraffic:
    """Writes healthy traffic of the demo, and what the given applications do, second by second, in threads."""

    def __init__(self, state: StackState, applications: Mapping[str, Application], seed: int = 0) -> None:
        self._dsn = f"postgresql://writer:{state.secret('writer')}@{state.address('postgres')}/platform"
        self._applications = applications
        self._random = random.Random(seed)  # noqa: S311  # invented traffic, no secret
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._own, daemon=True)]
        addresses = config_files.traffic_addresses(state)
        self._demo = traffic.TrafficWriter(addresses, traffic.DemoApplications(self._random), log=_silent)
        self._threads.append(threading.Thread(target=self._demos, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        if self._connection:
            self._connection.close()

    def _demos(self) -> None:
        while not self._stop.wait(DEMO_EVERY_SECONDS):
            self._demo.round(HEALTHY_SECONDS)

    def _own(self) -> None:
        """Write a second's rows each second; rows that a hanging database has delayed are not made up for."""
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1, time.monotonic() - 5)
            try:
                self._write()
            except psycopg.Error:
                if self._connection:
                    self._connection.close()
                self._connection = None

    def _write(self) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._dsn, application_name="drill", connect_timeout=3, options="-c statement_timeout=5000"
            )
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for application in list(self._applications.values()):
                for statement, rows in application.second(self._random).items():
                    cursor.executemany(statement.encode(), rows)


def _silent(line: str) -> None:
    """Take no message: that a server is away is what drills are about."""
