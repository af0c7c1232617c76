"""RQ workers on a real Redis: what their jobs emit is stored, though each ends by `os._exit`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest
from redis import Redis as Connection
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.job import Job
from rq.registry import StartedJobRegistry

import platform_sdk
from platform_sdk.jobs.rq import Monitored
from tests.sdk_jobs import tasks
from tests.sdk_jobs.store import Store
from tests.servers import poll_until
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


def test_job_that_asks_for_a_retry(line: Line) -> None:
    """One that returns a Retry has not succeeded yet."""
    job = line.add(tasks.again_at_first, str(line.store.folder / "began"))
    line.work()

    found = line.store.rows("outcome, reason", "background_task", f"task_id = '{job.id}'")
    assert found == [("retry", "retry"), ("success", None)]


def test_stopped_job(line: Line) -> None:
    """A job that is stopped on request was cancelled: its process is killed, and its run does not stay open."""
    job = line.add(tasks.hang, 240)
    rq = str(Path(sys.executable).with_name("rq"))
    options = ["--burst", "--worker-class", "tests.sdk_jobs.test_rq.ShopWorker", "--url", line.url, "--path", "."]
    worker = line.store.run(rq, "worker", *options, line.queue.name)
    poll_until(lambda: job.get_status() == "started" and line.store.count("scraping_job", "status = 'running'"))
    send_stop_job_command(line.queue.connection, job.id)
    worker.wait(240)

    assert line.store.rows("outcome, reason", "background_task") == [("failure", "cancelled")]
    assert line.store.rows("outcome, reason") == [("failure", "cancelled")]
    assert line.store.rows("status", "scraping_job") == [("cancelled",)]


def test_abandoned_job(line: Line, start: Callable[..., None]) -> None:
    """A job whose worker was killed with it is recorded when another worker cleans up."""
    job = line.add(tasks.hang, 240)
    rq = str(Path(sys.executable).with_name("rq"))
    options = ["--burst", "--worker-class", "tests.sdk_jobs.test_rq.ShopWorker", "--url", line.url, "--path", "."]
    worker = line.store.run(rq, "worker", *options, line.queue.name)
    poll_until(lambda: job.get_status() == "started" and line.store.count("scraping_job", "status = 'running'"))
    processes = [worker, *psutil.Process(worker.pid).children(recursive=True)]
    for process in processes:
        process.kill()
    worker.wait(60)
    start()
    other = ShopWorker([line.queue], connection=line.queue.connection)
    StartedJobRegistry(queue=line.queue).cleanup(2e9, other._exc_handlers)
    assert platform_sdk.flush(60)

    assert line.store.rows("outcome, reason", "background_task") == [("failure", "killed")]
    assert line.store.rows("outcome, reason") == [("failure", "other")]
    assert line.store.rows("status", "scraping_job") == [("failed",)]
    assert line.store.rows("error_type", "error") == [("AbandonedJobError",)]


def test_exception_that_cannot_be_pickled(line: Line) -> None:
    """RQ keeps a text of it; the error is the one that was raised."""
    job = line.add(tasks.unpicklable, "layout")
    line.work()

    found = line.store.rows("error_type, message", "error", f"job_id = '{job.id}'")
    assert found == [("LayoutError", "page 7 has no price")]


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
