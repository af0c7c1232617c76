"""RQ workers on a real Redis: what their jobs emit is stored, though each ends by `os._exit`."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Connection
from rq import Queue, Worker
from rq.job import Job

from platform_sdk.jobs.rq import Monitored
from tests.sdk_jobs import tasks
from tests.sdk_jobs.store import Store
from tools.stack.servers import Redis


class ShopWorker(Monitored, Worker):
    """A worker whose scrapers are named by functions."""

    scrapers = {"tests.sdk_jobs.tasks.scrape": "shop", "tests.sdk_jobs.tasks.[dh]*": "killed"}  # noqa: RUF012


@dataclass
class Line:
    """A queue, and the worker for it."""

    store: Store
    url: str
    queue: Queue

    def add(self, work: Any, *args: Any, **options: Any) -> Job:
        """Enqueue a job."""
        return self.queue.enqueue(work, args=args, **options)

    def work(self, worker_class: str = "tests.sdk_jobs.test_rq.ShopWorker") -> subprocess.Popen[str]:
        """Run a worker until the queue is empty."""
        rq = str(Path(sys.executable).with_name("rq"))
        options = ["--burst", "--worker-class", worker_class, "--url", self.url, "--path", "."]
        process = self.store.run(rq, "worker", *options, self.queue.name)
        process.wait(240)
        return process


@pytest.fixture
def line(store: Store, redis_server: Redis) -> Iterator[Line]:
    """Return an empty queue on a fresh event store."""
    with Connection.from_url(redis_server.url) as connection:
        queue = Queue(store.folder.name, connection=connection)
        yield Line(store, redis_server.url, queue)
        queue.delete(delete_jobs=True)


def test_work_horses_lose_nothing(line: Line) -> None:
    """20 jobs, each in a process that ends by os._exit, are 20 runs with all their items, and balanced books."""
    jobs = [line.add(tasks.scrape, 3) for _ in range(20)]
    line.work()

    assert [job.get_status(refresh=True) for job in jobs] == ["finished"] * 20
    assert line.store.rows("outcome, items_processed") == [("success", 3)] * 20
    assert line.store.lost() == 0


def test_scraper_by_the_jobs_own_words(line: Line) -> None:
    """Where a job's meta names scraper and site, it needs no worker that knows."""
    job = line.add(tasks.scrape, 2, meta={"scraper": "news", "site": "example.org"})
    line.add(tasks.scrape, 5)
    line.work("platform_sdk.jobs.rq.MonitoredWorker")

    assert line.store.rows("scraper, site, job_id, items_processed") == [("news", "example.org", job.id, 2)]


def test_simple_worker(line: Line) -> None:
    """A worker that does not fork stores as well."""
    line.add(tasks.scrape, 2, meta={"scraper": "news"})
    line.work("platform_sdk.jobs.rq.MonitoredSimpleWorker")

    assert line.store.rows("scraper, items_processed") == [("news", 2)]


def test_failed_job(line: Line) -> None:
    """A job that raises is a failed run, and one error with the job's id and a stack trace."""
    job = line.add(tasks.fail, meta={"scraper": "news"})
    line.work()
    ((message, trace),) = line.store.rows("message, stack_trace", "error", f"job_id = '{job.id}'")

    assert line.store.rows("outcome, reason") == [("failure", "other")]
    assert line.store.rows("status", "scraping_job") == [("failed",)]
    assert message == "no price"
    assert "raise ValueError(text)" in trace


def test_failed_job_that_is_no_scraping(line: Line) -> None:
    """Only an error."""
    line.add(tasks.fail)
    line.work()

    assert line.store.count("error") == 1
    assert line.store.count() == 0


def test_job_that_takes_too_long(line: Line) -> None:
    """RQ's own time limit is a timeout."""
    line.add(tasks.hang, job_timeout=1)
    line.work()

    assert line.store.rows("scraper, reason") == [("killed", "timeout")]


def test_killed_work_horse(line: Line) -> None:
    """The worker ends the run of a process that was killed, and records it."""
    line.add(tasks.die)
    line.work()

    assert line.store.rows("outcome, reason") == [("failure", "other")]
    assert line.store.rows("status", "scraping_job") == [("failed",)]
    assert line.store.rows("error_type", "error") == [("WorkHorseKilled",)]


def test_samples(line: Line) -> None:
    """How long jobs waited and took is sampled."""
    line.add(tasks.scrape)
    line.work()

    found = line.store.rows("name, kind, unit, labels->>'job', value BETWEEN 0 AND 60", "sample")
    assert found == [
        (f"rq_{what}", "histogram", "seconds", "tests.sdk_jobs.tasks.scrape", True)
        for what in ("job_duration", "queue_wait")
    ]
