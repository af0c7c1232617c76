"""Applications of the drills: how much they do each second, and how well it goes."""

import random
from dataclasses import dataclass, field
from typing import Any

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]

HTTP = (
    "insert into monitoring.http_request (at, app, route, method, status, duration_seconds, user_agent) "
    "values (now(), %s, '/', 'GET', %s, %s, 'drill')"
)
API = (
    "insert into monitoring.api_call (at, app, api, endpoint, outcome, reason, duration_seconds) "
    "values (now(), %s, %s, '/q', %s, %s, 0.2)"
)
RUN = (
    "insert into monitoring.scraping_run "
    "(at, app, job_id, scraper, outcome, reason, duration_seconds, items_processed) "
    "values (now(), %s, gen_random_uuid()::text, %s, %s, %s, 12, 20)"
)
ERROR = (
    "insert into monitoring.error (at, app, severity, error_type, message, endpoint) "
    "values (now(), %s, 'medium', 'TimeoutError', 'played by a drill', '/')"
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
    goes on where the application is quiet otherwise.
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
    failing_requests: float = 0
    failing_calls: float = 0
    failing_runs: float = 0
    stuck: bool = False
    quiet: bool = False
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
                (self.name, api, *self._outcome(f"api {api}", self.failing_calls, "server_error"))
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
