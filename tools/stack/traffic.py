"""Live traffic of the two demo applications: INSERTs and UPDATEs as they would make them, as their own users.

Everything is invented, and marked: it is written by the application name `platform demo`, with the user agent `demo`.
For ten minutes from its start, and again in each hour, most calls of SciTeX to semantic_scholar fail: the incident
that the alert PlatformApiSuccessLow is to find. In the last quarter of each hour a scraper finds no price, which
PlatformTableNullsRisen is to find. All else stays healthy.
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
REDESIGNED_FROM_SECONDS = 2700

# Dense while a person watches the first start, then so that a week of it is a few hundred thousand rows.
DENSE_SECONDS, DENSE_PAUSE_SECONDS, PAUSE_SECONDS = 900, 2.0, 10.0

APIS = ("arxiv", "biorxiv", "doaj", "pubmed", INCIDENT_API)
PAGES = ("/api/v1/projects/", "/api/v1/profile/me/", "/api/v1/documents/", "/scholar/", "/writer/", "/viz/", "/code/")
SCRAPERS = ("paper", "government", "web")
ENDPOINTS = ("/api/v1/jobs", "/api/v1/search", "/api/v1/web-scraper/scrape", "/api/v1/artifacts")

REQUEST = """insert into monitoring_app_systemmetric (metric_type, endpoint, value, status_code, timestamp, metadata)
values ('response_time', %s, %s, %s, now(), %s)"""
API_CALL = """insert into monitoring_app_apiusagemetric
(api_name, endpoint, response_time, status_code, success, query_params, response_size, timestamp)
values (%s, %s, %s, %s, %s, '{"demo": true}', %s, now())"""
ERROR = """insert into monitoring_app_errorlog
(severity, error_type, message, endpoint, user_agent, timestamp, resolved, metadata)
values ('medium', 'TimeoutError', %s, '/scholar/', 'demo', now(), false, '{"demo": true}')"""
USER_ACTIVITY = """insert into monitoring_app_useractivity
(activity_type, details, session_id, user_agent, timestamp, user_id, module, success)
select %s, '{"demo": true}', %s, 'demo', now(), id, 'scholar', true from auth_user order by id limit 1"""

JOBS_PROGRESS = """update scraping_jobs set updated_at = now(),
progress = least(100, progress + 5 + (random() * 25)::int),
completed_items = least(total_items, (total_items * (progress + 5) / 100)) where status = 'running'"""
JOBS_END = """update scraping_jobs set status = 'completed', completed_items = total_items, completed_at = now()
where status = 'running' and progress >= 100 returning id, job_type, total_items"""
# With six at a time the oldest job's wait grew by some 4 s a minute, without end.
JOBS_BEGIN = """update scraping_jobs set status = 'running', started_at = now(), updated_at = now() where id in
(select id from scraping_jobs where status = 'pending' order by created_at limit
(select greatest(0, 8 - count(*)) from scraping_jobs where status = 'running'))"""
JOB = """insert into scraping_jobs (id, user_id, job_type, keywords, status, total_items)
select gen_random_uuid(), id, %s, '{demo}', 'pending', %s from users order by random() limit 1"""
RUN = """insert into scraping_metrics
(id, job_id, scraper_type, success, duration_ms, items_processed, items_failed, error_message)
values (gen_random_uuid(), %s, %s, %s, %s, %s, %s, %s)"""
ACTIVITY = """insert into user_activity (id, user_id, activity_type, endpoint, user_agent, session_id)
select gen_random_uuid(), id, %s, %s, 'demo', %s from users order by random() limit 1"""
SAMPLES = """insert into performance_metrics (id, metric_name, metric_type, value, unit, labels, timestamp) values
(gen_random_uuid(), 'api_response_time', 'HISTOGRAM', %s, 'ms', '{"endpoint": "/api/v1/jobs", "method": "GET"}', now()),
(gen_random_uuid(), 'queue_size', 'GAUGE', %s, 'count', null, now())"""

RESULT = "insert into public.demo_prices (site, url, title, price) values ('prices.example', %s, 'demo', %s)"


@dataclass
class DemoApplications:
    """What the two applications do next, drawn from `random`; `incident` says whether the incident is on.

    `redesigned` says whether the site of the prices has another layout, in which none is found.
    """

    random: random.Random
    incident: bool = False
    redesigned: bool = False

    def scitex(self, connection: Connection) -> None:
        """Write one round of SciTeX: requests, calls of APIs, errors, activity."""
        for _ in range(8):
            status = self._pick({200: 940, 404: 58, 500: 2})
            metadata = json.dumps({"method": self._pick({"GET": 80, "POST": 20}), "user_agent": "demo"})
            connection.execute(REQUEST, [self.random.choice(PAGES), self._duration_ms(200), status, metadata])
        for api in APIS:
            for _ in range(3 if api == INCIDENT_API else 1):
                self._api_call(connection, api)
        if self.random.random() < 0.1 or (self.incident and self.random.random() < 0.3):
            message = f"{INCIDENT_API} did not answer" if self.incident else "an error of the demo itself"
            connection.execute(ERROR, [message])
        activity = self.random.choice(("search", "login", "document_edit"))
        connection.execute(USER_ACTIVITY, [activity, f"demo_{self.random.randrange(20)}"])

    def stratlogic(self, connection: Connection) -> None:
        """Write one round of StratLogic: jobs that progress, end and begin, runs, activity, samples."""
        connection.execute("set local timezone = 'UTC'")  # as the application keeps its times
        connection.execute(JOBS_PROGRESS)
        for job, kind, items in connection.execute(JOBS_END).fetchall():
            self._scraping_run(connection, job, kind, items)
        connection.execute(JOBS_BEGIN)
        for _ in range(self.random.randrange(3)):
            job_type = f"{self.random.choice(SCRAPERS)}_scraper"
            connection.execute(JOB, [job_type, self.random.randrange(20, 500)])
        for _ in range(2):
            activity = self._pick({"api_call": 70, "search": 20, "login": 10})
            session = f"demo{self.random.randrange(50)}"
            connection.execute(ACTIVITY, [activity, self.random.choice(ENDPOINTS), session])
        connection.execute(SAMPLES, [self._duration_ms(220), self.random.randrange(40, 160)])
        for _ in range(5):
            price = None if self.redesigned or self.random.random() < 0.02 else self.random.randrange(5, 500)
            connection.execute(RESULT, [f"https://prices.example/{self.random.randrange(5000)}", price])

    def _api_call(self, connection: Connection, api: str) -> None:
        failing = self.incident and api == INCIDENT_API
        status = self._pick({200: 25, 503: 60, 429: 15} if failing else {200: 995, 503: 5})
        duration = self._duration_ms(3000 if failing else 600)
        size = self.random.randrange(1_000, 50_000) if status == 200 else 0
        connection.execute(API_CALL, [api, f"https://api.{api}.org/search", duration, status, status == 200, size])

    def _scraping_run(self, connection: Connection, job: object, kind: str, items: int) -> None:
        success = self.random.random() >= 0.005
        scraper, duration = kind.removesuffix("_scraper"), self._duration_ms(300_000)
        failed = self.random.randrange(5)
        processed, error = (items, None) if success else (items // 3, "Timeout after 30 s")
        connection.execute(RUN, [job, scraper, int(success), duration, processed, failed, error])

    def _duration_ms(self, typical: float) -> float:
        return self.random.lognormvariate(0, 0.4) * typical

    def _pick(self, weights: dict[Any, int]) -> Any:
        return self.random.choices(list(weights), list(weights.values()))[0]


class TrafficWriter:
    """Writes rounds into both databases. A server that is away costs its own rows only."""

    def __init__(self, addresses: dict[str, str], applications: DemoApplications, log: Callable[[str], None]) -> None:
        self._addresses = addresses
        self._applications = applications
        self._log = log
        self._connections: dict[str, Connection] = {}

    def round(self, elapsed_seconds: float) -> int:
        """Write one round; return how many of the databases took theirs."""
        applications = self._applications
        applications.incident = elapsed_seconds % INCIDENT_EVERY_SECONDS < INCIDENT_SECONDS
        applications.redesigned = elapsed_seconds % INCIDENT_EVERY_SECONDS >= REDESIGNED_FROM_SECONDS
        works = {"scitex": applications.scitex, "stratlogic": applications.stratlogic}
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


def run(addresses: dict[str, str], heartbeat: Path) -> None:
    """Write until SIGTERM or SIGINT. After each round that both took, `heartbeat` says when the traffic began."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    applications = DemoApplications(random.Random())  # noqa: S311  # invented traffic, no secret
    writer = TrafficWriter(addresses, applications, _log)
    began, began_at = time.monotonic(), time.time()
    while not stop.is_set():
        elapsed = time.monotonic() - began
        if writer.round(elapsed) == len(addresses):
            new = heartbeat.with_name(heartbeat.name + ".new")
            new.write_text(json.dumps({"began_at": began_at}))
            new.replace(heartbeat)
        stop.wait(DENSE_PAUSE_SECONDS if elapsed < DENSE_SECONDS else PAUSE_SECONDS)


def _log(line: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {' '.join(line.split())}", flush=True)


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
