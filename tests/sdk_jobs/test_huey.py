"""Huey's consumers on a real Redis: every attempt at a task is recorded, whatever becomes of it."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huey import MemoryHuey, RedisHuey

import platform_sdk
from platform_sdk.jobs import huey as jobs
from platform_sdk.jobs.scraping import current_job
from tests.sdk_jobs import huey_app
from tests.sdk_jobs.store import Store
from tests.servers import poll_until
from tools.stack.servers import Redis

Tasks = dict[str, Any]


@contextmanager
def consuming(store: Store, redis: Redis, *options: str) -> Iterator[Any]:
    """Run a consumer; the block gets its process and the instance that it works for, and may enqueue."""
    name = f"shop-{store.folder.name}"
    script = str(Path(sys.executable).with_name("huey_consumer"))
    process = store.run(script, "tests.sdk_jobs.huey_app.huey", *options, BROKER=redis.url, PREFIX=name)
    instance, before = RedisHuey(name, url=redis.url), huey_app.huey.storage
    huey_app.huey.storage = instance.storage
    try:
        yield process, instance
    finally:
        huey_app.huey.storage = before
        instance.storage.flush_all()
        instance.storage.pool.disconnect()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(60)


def send_all(folder: Path) -> Tasks:
    """Enqueue one task of each kind; return their results by name."""
    sent: Tasks = {f"scrape-{number}": huey_app.scrape(3) for number in range(5)}
    for task in ("scrape_badly", "tidy", "cancels", "locked", "unpicklable", "refused"):
        sent[task] = getattr(huey_app, task)()
    for task in ("flaky", "asks_again"):
        sent[task] = getattr(huey_app, task)(str(folder / task))
    sent["later"] = huey_app.tidy.schedule(delay=1)
    return sent


@dataclass(frozen=True)
class Worked:
    """What a consumer left."""

    store: Store
    sent: Tasks

    def attempts(self, name: str, columns: str = "outcome, reason") -> list[tuple[Any, ...]]:
        """Return the attempts at a task."""
        return self.store.rows(columns, "background_task", f"task_id = '{self.sent[name].id}'")

    def errors(self, name: str) -> list[tuple[Any, ...]]:
        """Return the errors of a task."""
        return self.store.rows("error_type, message", "error", f"job_id = '{self.sent[name].id}'")


@pytest.fixture(scope="module", params=["thread", "process"])
def worked(request: pytest.FixtureRequest, module_store: Store, redis_server: Redis) -> Worked:
    """Return what a consumer with threads, or processes, left of all tasks."""
    with module_store.postgres.connect(module_store.name) as connection:
        for table in ("background_task", "scraping_run", "scraping_job", "error", "sdk_ledger"):
            connection.execute(f"DELETE FROM monitoring.{table}".encode())
    for mark in ("flaky", "asks_again"):
        (module_store.folder / mark).unlink(missing_ok=True)
    with consuming(module_store, redis_server, "-k", request.param, "-w", "2", "-n") as (process, huey):
        with huey.lock_task("one"):
            sent = send_all(module_store.folder)
            ids = ", ".join(f"'{result.id}'" for result in sent.values())
            final = f"task_id IN ({ids}) AND outcome <> 'retry'"
            poll_until(lambda: module_store.count("background_task", final) == len(sent), 240)
        process.send_signal(signal.SIGINT)
        process.wait(120)
    return Worked(module_store, sent)


def test_successes(worked: Worked) -> None:
    """A good task is an attempt, and where it is a scraping job a run with its items."""
    columns = "task, queue <> '', attempt, outcome, reason"

    assert worked.attempts("tidy", columns) == [("tests.sdk_jobs.huey_app.tidy", True, 1, "success", None)]
    assert worked.store.rows("scraper, items_processed", where="outcome = 'success'") == [("shop", 3)] * 5


def test_failure(worked: Worked) -> None:
    """A task that raises is a failed attempt, a failed run and one error."""
    assert worked.attempts("scrape_badly") == [("failure", "ValueError")]
    assert worked.store.rows("reason", where="outcome = 'failure'") == [("other",)]
    assert worked.errors("scrape_badly") == [("ValueError", "no price")]


def test_exception_that_cannot_be_pickled(worked: Worked) -> None:
    """It is the one that was raised."""
    assert worked.attempts("unpicklable") == [("failure", "LayoutError")]
    assert worked.errors("unpicklable") == [("LayoutError", "page 7 has no price")]


def test_retries(worked: Worked) -> None:
    """An attempt that another one follows is a retry; what it raised is an error, what it asked for is none."""
    assert worked.attempts("flaky", "attempt, outcome, reason") == [(1, "retry", "TimeoutError"), (2, "success", None)]
    assert worked.errors("flaky") == [("TimeoutError", "slow site")]
    assert worked.attempts("asks_again") == [("retry", "RetryTask"), ("success", None)]
    assert worked.errors("asks_again") == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("cancels", "CancelExecution"), ("locked", "TaskLockedException"), ("refused", "cancelled")],
)
def test_tasks_that_do_not_run(worked: Worked, name: str, reason: str) -> None:
    """They are failures without an error."""
    assert worked.attempts(name) == [("failure", reason)]
    assert worked.errors(name) == []


def test_wait_beyond_the_eta(worked: Worked) -> None:
    """It is known of tasks that had one."""
    assert worked.attempts("later", "wait_seconds >= 0 AND wait_seconds < 240") == [(True,)]
    assert worked.attempts("tidy", "wait_seconds") == [(None,)]


def test_nothing_is_lost_or_left_running(worked: Worked) -> None:
    """The live jobs are closed, and the ledgers balance."""
    assert worked.store.count("scraping_job", "status = 'running'") == 0
    assert worked.store.lost() == 0


def test_interrupted(store: Store, redis_server: Redis) -> None:
    """A consumer that is shut down at once says which tasks it leaves."""
    with consuming(store, redis_server, "-k", "thread", "-n") as (process, _):
        huey_app.hangs()
        poll_until(lambda: "Executing" in store.log())
        process.send_signal(signal.SIGTERM)
        process.wait(120)

    assert store.rows("outcome, reason", "background_task") == [("failure", "cancelled")]


def test_immediate(store: Store, start: Any) -> None:
    """In tests a task runs where it is called, as does one that it calls."""
    start()
    huey = MemoryHuey("tests", immediate=True)
    for scrapers in (None, {"*.outer": "shop"}):
        jobs.install(huey, scrapers=scrapers)

    @huey.task()
    def inner() -> None:
        current_job().item()

    @huey.task()
    def outer() -> None:
        inner()
        inner.call_local()

    outer()
    assert platform_sdk.flush(60)

    assert store.rows("split_part(task, '.', 4), outcome", "background_task") == [
        ("inner", "success"), ("outer", "success")
    ]  # fmt: skip
    assert store.rows("items_processed") == [(2,)]
    assert not current_job()
