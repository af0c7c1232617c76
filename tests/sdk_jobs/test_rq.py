"""RQ workers on a real Redis: what their jobs emit is stored, though each ends by `os._exit`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from redis import Redis as Connection
from rq import Queue, Retry, Worker
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

    def work(self, worker_class: str = "tests.sdk_jobs.test_rq.ShopWorker") -> None:
        """Run a worker until the queue is empty."""
        rq = str(Path(sys.executable).with_name("rq"))
        options = ["--burst", "--worker-class", worker_class, "--url", self.url, "--path", "."]
        self.store.run(rq, "worker", *options, self.queue.name).wait(240)


@contextmanager
def queueing(store: Store, redis: Redis) -> Iterator[Line]:
    """Make a queue, and delete it afterwards."""
    with Connection.from_url(redis.url) as connection:
        queue = Queue(store.folder.name, connection=connection)
        yield Line(store, redis.url, queue)
        queue.delete(delete_jobs=True)


@pytest.fixture
def line(store: Store, redis_server: Redis) -> Iterator[Line]:
    """Return an empty queue on a fresh event store."""
    with queueing(store, redis_server) as line:
        yield line


@dataclass(frozen=True)
class Worked:
    """What one worker left."""

    store: Store
    good: list[Job]
    failed: Job
    failed_no_scraping: Job
    hung: Job
    killed: Job
    elapsed_seconds: float

    def rows(self, job: Job, columns: str, table: str = "scraping_run") -> list[tuple[Any, ...]]:
        """Return columns of the rows of a job."""
        return self.store.rows(columns, table, f"job_id = '{job.id}'")


@pytest.fixture(scope="module")
def worked(module_store: Store, redis_server: Redis) -> Iterator[Worked]:
    """Return what a worker left of 20 good jobs, and of one of each other kind."""
    began = monotonic()
    with queueing(module_store, redis_server) as line:
        jobs = (
            [line.add(tasks.scrape, 3) for _ in range(20)],
            line.add(tasks.fail, meta={"scraper": "news"}),
            line.add(tasks.fail),
            line.add(tasks.hang, job_timeout=1),
            line.add(tasks.die),
        )
        line.work()
        yield Worked(module_store, *jobs, elapsed_seconds=monotonic() - began)


def test_work_horses_lose_nothing(worked: Worked) -> None:
    """20 jobs, each in a process that ends by os._exit, are 20 runs with all their items, and the ledger balances."""
    assert [job.get_status(refresh=True) for job in worked.good] == ["finished"] * 20
    assert worked.store.rows("outcome, items_processed", where="scraper = 'shop'") == [("success", 3)] * 20
    assert worked.store.lost() == 0


def test_failed_job(worked: Worked) -> None:
    """A job that raises is a failed run, and one error with the job's id and a stack trace."""
    ((message, trace),) = worked.rows(worked.failed, "message, stack_trace", "error")

    assert worked.rows(worked.failed, "outcome, reason") == [("failure", "other")]
    assert worked.rows(worked.failed, "status", "scraping_job") == [("failed",)]
    assert message == "no price"
    assert "raise ValueError(text)" in trace


def test_failed_job_that_is_no_scraping(worked: Worked) -> None:
    """It is only an error."""
    assert len(worked.rows(worked.failed_no_scraping, "error_type", "error")) == 1
    assert worked.rows(worked.failed_no_scraping, "outcome") == []


def test_job_that_takes_too_long(worked: Worked) -> None:
    """RQ's own time limit is a timeout."""
    assert worked.rows(worked.hung, "scraper, reason") == [("killed", "timeout")]


def test_killed_work_horse(worked: Worked) -> None:
    """The worker ends the run of a process that was killed, and records it."""
    assert worked.rows(worked.killed, "outcome, reason") == [("failure", "other")]
    assert worked.rows(worked.killed, "status", "scraping_job") == [("failed",)]
    assert worked.rows(worked.killed, "error_type", "error") == [("WorkHorseKilled",)]


def test_background_tasks(worked: Worked) -> None:
    """Each job is recorded with its outcome, why it failed, and how long it waited and ran, where that is known."""
    fits = f"bool_and(duration_seconds <= {worked.elapsed_seconds} AND queue <> '' AND worker <> '')"
    waited = f"bool_and(wait_seconds <= {worked.elapsed_seconds})"
    columns = f"replace(task, 'tests.sdk_jobs.tasks.', ''), outcome, reason, count(*), {fits}, {waited}"

    assert worked.store.rows(columns, "background_task", "true GROUP BY 1, 2, 3") == [
        ("die", "failure", "killed", 1, True, None), ("fail", "failure", "ValueError", 2, True, True),
        ("hang", "failure", "JobTimeoutException", 1, True, True), ("scrape", "success", None, 20, True, True),
    ]  # fmt: skip


def test_retried_job(line: Line) -> None:
    """An attempt that another one follows is a retry."""
    job = line.add(tasks.fail, retry=Retry(1))
    line.work()

    assert line.store.rows("outcome", "background_task", f"task_id = '{job.id}'") == [("failure",), ("retry",)]


def test_scraper_in_the_jobs_meta(line: Line) -> None:
    """Where a job's meta names scraper and site, the worker needs no configuration."""
    job = line.add(tasks.scrape, 2, meta={"scraper": "news", "site": "example.org"})
    line.add(tasks.scrape, 5)
    line.work("platform_sdk.jobs.rq.MonitoredWorker")

    assert line.store.rows("scraper, site, job_id, items_processed") == [("news", "example.org", job.id, 2)]


def test_simple_worker(line: Line) -> None:
    """A worker that does not fork stores as well."""
    line.add(tasks.scrape, 2, meta={"scraper": "news"})
    line.work("platform_sdk.jobs.rq.MonitoredSimpleWorker")

    assert line.store.rows("scraper, items_processed") == [("news", 2)]
