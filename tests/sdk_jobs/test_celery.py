"""Celery workers of each pool on a real Redis: what their tasks emit is stored, whatever becomes of their processes."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import pytest
from celery import Celery, signals

import platform_sdk
from platform_sdk.jobs import celery as jobs
from tests.sdk_jobs.store import Store
from tests.sdk_jobs.workers import working
from tools.stack.servers import Redis


@dataclass(frozen=True)
class Ended:
    """A worker that has ended: what it stored, its exit code, and how long it ran."""

    store: Store
    exit_code: int
    elapsed_seconds: float


@pytest.fixture(scope="module")
def recycled(module_store: Store, redis_server: Redis) -> Ended:
    """Return what a worker left that replaces its children after every task: 20 good ones, and one of each other."""
    began = monotonic()
    options = ("--pool", "prefork", "--concurrency", "8", "--max-tasks-per-child", "1")
    with working(module_store, redis_server, *options) as broker:
        results = [broker.send("shop.scrape", 3) for _ in range(20)]
        results += [broker.send(f"shop.{name}") for name in ("tidy", "retried")]
        failing = [broker.send(f"shop.{name}") for name in ("scrape_badly", "broken", "killed", "slow")]
        for result in results:
            result.get(timeout=240)
        for result in failing:
            result.get(timeout=240, propagate=False)
        return Ended(module_store, broker.end(), monotonic() - began)


def test_recycled_children_lose_nothing(recycled: Ended) -> None:
    """20 tasks, each in a process that ends after it, are 20 runs with all their items."""
    runs = recycled.store.rows("outcome, items_processed", where="scraper = 'shop' AND outcome = 'success'")

    assert runs == [("success", 3)] * 20
    assert recycled.exit_code == 0


def test_ledgers_of_children_balance(recycled: Ended) -> None:
    """By the ledgers of all processes, too, nothing is missing."""
    assert recycled.store.lost() == 0


def test_ledgers_of_children_are_closed(recycled: Ended) -> None:
    """A child that ends closes its ledger if it has the time: otherwise there would be a row a task for a month."""
    ended = recycled.store.rows("process", "sdk_ledger", "ended_at IS NOT NULL")

    assert ended  # not all: on a busy machine the worker ends some children before that


def test_live_rows_are_closed(recycled: Ended) -> None:
    """No job is left running, not even those whose process was killed."""
    found = recycled.store.rows("scraper, status, count(*)", "scraping_job", "true GROUP BY 1, 2")

    assert found == [
        ("killed", "failed", 1), ("retried", "completed", 1), ("retried", "failed", 1), ("shop", "completed", 20),
        ("shop", "failed", 1), ("slow", "failed", 1),
    ]  # fmt: skip


def test_failed_scraping_task(recycled: Ended) -> None:
    """A task that raises is a failed run, and one error with the task's id and a stack trace."""
    ((job_id, reason),) = recycled.store.rows("job_id, reason", where="scraper = 'shop' AND outcome = 'failure'")
    ((message, trace),) = recycled.store.rows("message, stack_trace", "error", f"job_id = '{job_id}'")

    assert reason == "other"
    assert message == "no price"
    assert "raise ValueError(text)" in trace


def test_failed_task_that_is_no_scraping(recycled: Ended) -> None:
    """It is only an error; what the user did not call a scraper is not a run."""
    assert recycled.store.count("error", "endpoint = 'shop.broken' AND message = 'no disk'") == 1
    assert recycled.store.count(where="scraper NOT IN ('shop', 'retried', 'killed', 'slow')") == 0


def test_retry(recycled: Ended) -> None:
    """Each try of a task is a run; the one that asked for a retry failed for that reason."""
    rows = recycled.store.rows("outcome, reason, job_id", where="scraper = 'retried'")
    ((_, _, task_id), _) = rows

    assert rows == [("failure", "timeout", task_id), ("success", None, f"{task_id}/2")]


def test_killed_child(recycled: Ended) -> None:
    """The worker ends the run of a process that was killed, and records why."""
    ((outcome, reason, duration_seconds),) = recycled.store.rows(
        "outcome, reason, duration_seconds", where="scraper = 'killed'"
    )

    assert (outcome, reason) == ("failure", "other")
    assert 0 < duration_seconds < recycled.elapsed_seconds
    assert recycled.store.count("error", "endpoint = 'shop.killed' AND error_type = 'WorkerLostError'") == 1


def test_a_child_that_dies_is_one_error(store: Store, redis_server: Redis) -> None:
    """Where all that is logged is recorded, too: Celery and billiard log the same two and three times."""
    options = ("--pool", "prefork", "--concurrency", "1")
    with working(store, redis_server, *options, PLATFORM_SDK_INTEGRATIONS="auto") as broker:
        for name in ("exits", "killed", "slow", "broken"):
            broker.send(f"shop.{name}").get(timeout=240, propagate=False)
        broker.end()

    assert store.rows("endpoint, error_type", "error") == [
        ("shop.broken", "ValueError"), ("shop.exits", "WorkerLostError"), ("shop.killed", "WorkerLostError"),
        ("shop.slow", "TimeLimitExceeded"),
    ]  # fmt: skip


def test_time_limit(recycled: Ended) -> None:
    """The worker ends the run of a process that it killed for its time limit, which is how long it took."""
    assert recycled.store.rows("reason, duration_seconds", where="scraper = 'slow'") == [("timeout", 3.0)]


def test_wait_in_the_queue(recycled: Ended) -> None:
    """From publishing to start, for every task that was not killed."""
    waits = recycled.store.rows("wait_seconds", "background_task", "task = 'shop.scrape' AND queue = 'celery'")

    assert len([wait for (wait,) in waits if 0 <= wait < recycled.elapsed_seconds]) == 20


def test_every_attempt_is_a_background_task(recycled: Ended) -> None:
    """Once, with its outcome, why it failed and which attempt it was; those that were killed too."""
    columns = "task, attempt, outcome, reason, count(*)"
    found = recycled.store.rows(columns, "background_task", "worker <> '' GROUP BY 1, 2, 3, 4")

    assert found == [
        ("shop.broken", 1, "failure", "ValueError", 1), ("shop.killed", 1, "failure", "WorkerLostError", 1),
        ("shop.retried", 1, "retry", "TimeoutError", 1), ("shop.retried", 2, "success", None, 1),
        ("shop.scrape", 1, "success", None, 20), ("shop.scrape_badly", 1, "failure", "ValueError", 1),
        ("shop.slow", 1, "failure", "TimeLimitExceeded", 1), ("shop.tidy", 1, "success", None, 1),
    ]  # fmt: skip


def test_task_without_an_end_state_was_cancelled(store: Store, start: Callable[..., None]) -> None:
    """Celery sends no state for a task whose process is being ended."""

    def work() -> None:
        """Never run."""

    start()
    jobs.install()
    # Not shared: every application made later in this process would get it beside its own of that name.
    task = Celery("shop", set_as_current=False).task(name="shop.slow", shared=False)(work)
    signals.task_prerun.send(sender=task, task_id="1", task=task)
    signals.task_postrun.send(sender=task, task_id="1", task=task, state=None)
    jobs.uninstall()

    assert platform_sdk.flush(60)
    assert store.rows("task, outcome, reason", "background_task") == [("shop.slow", "failure", "cancelled")]


@pytest.mark.parametrize("pool", ["solo", "threads", "gevent", "prefork"])
def test_warm_shutdown_loses_nothing(store: Store, redis_server: Redis, pool: str) -> None:
    """Whatever the pool: SIGTERM while tasks wait, and each task whose result came is stored."""
    with working(store, redis_server, "--pool", pool, "--concurrency", "2") as broker:
        results = [broker.send(f"shop.{name}", *args) for name, *args in [("scrape", 1), ("tidy",)] * 5]
        for result in results:
            result.get(timeout=240)
        code = broker.end()

    assert code == 0
    assert store.count(where="scraper = 'shop'") == 5
    assert store.count("background_task", "outcome = 'success'") == 10
    assert store.lost() == 0
