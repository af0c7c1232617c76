"""Write live traffic into the demo databases as the two applications would: INSERTs and UPDATEs, as their own users.

Everything is invented, and says so: it is written by the application name `platform demo`, with the user agent `demo`.
For ten minutes from its start, and again in each hour, calls of SciTeX to semantic_scholar mostly fail: the incident
that the alert PlatformApiSuccessLow is to find. All else stays healthy.
"""

import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

INCIDENT_API = "semantic_scholar"
INCIDENT_SECONDS = 600
INCIDENT_EVERY_SECONDS = 3600

# Dense while a person watches the first start, then so that a week of it is a few hundred thousand rows.
DENSE_SECONDS, DENSE_PAUSE_SECONDS, PAUSE_SECONDS = 900, 2.0, 10.0

APIS = ("arxiv", "biorxiv", "doaj", "pubmed", INCIDENT_API)
PAGES = ("/api/v1/projects/", "/api/v1/profile/me/", "/api/v1/documents/", "/scholar/", "/writer/", "/viz/", "/code/")
SCRAPERS = ("paper", "government", "web")
ENDPOINTS = ("/api/v1/jobs", "/api/v1/search", "/api/v1/web-scraper/scrape", "/api/v1/artifacts")


@dataclass
class Traffic:
    """Draw what happens next. `random` is its own, `incident` says whether the incident is on."""

    random: random.Random
    incident: bool = False

    def scitex(self, connection: Connection) -> None:
        """Write one round of SciTeX: requests, calls of APIs, errors, activity."""
        for _ in range(8):
            status = self._pick({200: 940, 404: 58, 500: 2})
            connection.execute(
                "insert into monitoring_app_systemmetric "
                "(metric_type, endpoint, value, status_code, timestamp, metadata) "
                "values ('response_time', %s, %s, %s, now(), %s)",
                [
                    self.random.choice(PAGES),
                    self._duration_ms(200),
                    status,
                    json.dumps({"method": self._pick({"GET": 80, "POST": 20}), "user_agent": "demo"}),
                ],
            )
        for api in APIS:
            for _ in range(3 if api == INCIDENT_API else 1):
                self._api_call(connection, api)
        if self.random.random() < 0.1 or (self.incident and self.random.random() < 0.3):
            connection.execute(
                "insert into monitoring_app_errorlog "
                "(severity, error_type, message, endpoint, user_agent, timestamp, resolved, metadata) "
                "values ('medium', 'TimeoutError', %s, '/scholar/', 'demo', now(), false, '{\"demo\": true}')",
                [f"{INCIDENT_API} did not answer" if self.incident else "the demo's own error"],
            )
        connection.execute(
            "insert into monitoring_app_useractivity "
            "(activity_type, details, session_id, user_agent, timestamp, user_id, module, success) "
            "select %s, '{\"demo\": true}', %s, 'demo', now(), id, 'scholar', true from auth_user order by id limit 1",
            [self.random.choice(("search", "login", "document_edit")), f"demo_{self.random.randrange(20)}"],
        )

    def _api_call(self, connection: Connection, api: str) -> None:
        failing = self.incident and api == INCIDENT_API
        status = self._pick({200: 25, 503: 60, 429: 15} if failing else {200: 995, 503: 5})
        connection.execute(
            "insert into monitoring_app_apiusagemetric "
            "(api_name, endpoint, response_time, status_code, success, query_params, response_size, timestamp) "
            "values (%s, %s, %s, %s, %s, '{\"demo\": true}', %s, now())",
            [
                api,
                f"https://api.{api}.org/search",
                self._duration_ms(3000 if failing else 600),
                status,
                status == 200,
                self.random.randrange(1_000, 50_000) if status == 200 else 0,
            ],
        )

    def stratlogic(self, connection: Connection) -> None:
        """Write one round of StratLogic: jobs that go on, end and begin, runs, activity, samples."""
        connection.execute("set local timezone = 'UTC'")  # as the application keeps its times
        connection.execute(
            "update scraping_jobs set updated_at = now(), progress = least(100, progress + 5 + (random() * 25)::int), "
            "completed_items = least(total_items, (total_items * (progress + 5) / 100)) where status = 'running'"
        )
        ended = connection.execute(
            "update scraping_jobs set status = 'completed', completed_items = total_items, completed_at = now() "
            "where status = 'running' and progress >= 100 returning id, job_type, total_items"
        ).fetchall()
        for job, kind, items in ended:
            success = self.random.random() >= 0.005
            connection.execute(
                "insert into scraping_metrics (id, job_id, scraper_type, success, duration_ms, items_processed, "
                "items_failed, error_message) values (gen_random_uuid(), %s, %s, %s, %s, %s, %s, %s)",
                [
                    job,
                    kind.removesuffix("_scraper"),
                    int(success),
                    self._duration_ms(300_000),
                    items if success else items // 3,
                    self.random.randrange(5),
                    None if success else "Timeout after 30 s",
                ],
            )
        # With six at a time the oldest job's wait grew by some 4 s a minute, for ever.
        connection.execute(
            "update scraping_jobs set status = 'running', started_at = now(), updated_at = now() where id in "
            "(select id from scraping_jobs where status = 'pending' order by created_at limit "
            "(select greatest(0, 8 - count(*)) from scraping_jobs where status = 'running'))"
        )
        for _ in range(self.random.randrange(3)):
            connection.execute(
                "insert into scraping_jobs (id, user_id, job_type, keywords, status, total_items) "
                "select gen_random_uuid(), id, %s, '{demo}', 'pending', %s from users order by random() limit 1",
                [f"{self.random.choice(SCRAPERS)}_scraper", self.random.randrange(20, 500)],
            )
        for _ in range(2):
            connection.execute(
                "insert into user_activity (id, user_id, activity_type, endpoint, user_agent, session_id) "
                "select gen_random_uuid(), id, %s, %s, 'demo', %s from users order by random() limit 1",
                [
                    self._pick({"api_call": 70, "search": 20, "login": 10}),
                    self.random.choice(ENDPOINTS),
                    f"demo{self.random.randrange(50)}",
                ],
            )
        connection.execute(
            "insert into performance_metrics (id, metric_name, metric_type, value, unit, labels, timestamp) values "
            "(gen_random_uuid(), 'api_response_time', 'HISTOGRAM', %s, 'ms', %s, now()), "
            "(gen_random_uuid(), 'queue_size', 'GAUGE', %s, 'count', null, now())",
            [
                self._duration_ms(220),
                json.dumps({"endpoint": "/api/v1/jobs", "method": "GET"}),
                self.random.randrange(40, 160),
            ],
        )

    def _duration_ms(self, typical: float) -> float:
        return self.random.lognormvariate(0, 0.4) * typical

    def _pick(self, weights: dict[Any, int]) -> Any:
        return self.random.choices(list(weights), list(weights.values()))[0]


class Feeder:
    """Write rounds until told to stop. A server that is away costs its own rows only."""

    def __init__(self, addresses: dict[str, str], traffic: Traffic, log: Callable[[str], None]) -> None:
        self._addresses = addresses
        self._traffic = traffic
        self._log = log
        self._connections: dict[str, Connection] = {}

    def round(self, elapsed_seconds: float) -> int:
        """Write one round; return how many of the databases took theirs."""
        traffic = self._traffic
        traffic.incident = elapsed_seconds % INCIDENT_EVERY_SECONDS < INCIDENT_SECONDS
        works = {"scitex": traffic.scitex, "stratlogic": traffic.stratlogic}
        return sum(self._write(database, work) for database, work in works.items())

    def _write(self, database: str, work: Callable[[Connection], None]) -> bool:
        try:
            connection = self._connections.get(database)
            if connection is None or connection.closed:
                address = self._addresses[database]
                connection = psycopg.connect(address, application_name="platform demo", connect_timeout=3)
                self._connections[database] = connection
            with connection.transaction():
                work(connection)
        except psycopg.Error as error:
            self._log(f"{database}: {error}")
            if connection := self._connections.pop(database, None):
                connection.close()
            return False
        return True


def run(addresses: dict[str, str], sign_of_life: Path) -> None:
    """Write until SIGTERM or SIGINT. After each round that all took, `sign_of_life` tells when we began."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    feeder = Feeder(addresses, Traffic(random.Random()), _log)  # noqa: S311 - invented traffic, no secret
    began, began_at = time.monotonic(), time.time()
    while not stop.is_set():
        elapsed = time.monotonic() - began
        if feeder.round(elapsed) == len(addresses):
            new = sign_of_life.with_name(sign_of_life.name + ".new")
            new.write_text(json.dumps({"began_at": began_at}))
            new.replace(sign_of_life)
        stop.wait(DENSE_PAUSE_SECONDS if elapsed < DENSE_SECONDS else PAUSE_SECONDS)


def _log(line: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {' '.join(line.split())}", flush=True)


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
