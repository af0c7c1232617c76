"""APScheduler's own schedulers and executors: every run of a job is recorded, also the one that never came."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.executors.pool import ProcessPoolExecutor  # type: ignore[import-untyped]  # ships no types
from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped]
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]

import platform_sdk
from platform_sdk.jobs import apscheduler as jobs
from platform_sdk.jobs.scraping import current_job
from tests.sdk_jobs import tasks
from tests.sdk_jobs.store import Store
from tests.servers import poll_until

HERE = "tests.sdk_jobs"

_release = threading.Event()


def wait() -> None:
    """Run until the test lets it go."""
    _release.wait(60)


def tick() -> None:
    """Do something short."""


async def scrape_slowly(items: int) -> None:
    """Scrape, as a coroutine."""
    await asyncio.sleep(0)
    current_job().item(items)


async def fail_slowly() -> None:
    """Fail, as a coroutine."""
    await asyncio.sleep(0)
    raise LookupError("no page")


@pytest.fixture(autouse=True)
def recorded(start: Callable[..., None]) -> Iterator[None]:
    """Record the jobs that are scheduled."""
    start()
    jobs.install(scrapers={f"{HERE}.tasks.scrape": "shop", f"{HERE}.*.scrape_slowly": "slow", "by-id": "named"})
    yield
    jobs.uninstall()


@contextmanager
def scheduling(**options: Any) -> Iterator[Any]:
    """Run a scheduler until the block ends and its jobs have ended."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": 120}, **options)
    scheduler.start()
    try:
        yield scheduler
    finally:
        _release.set()
        scheduler.shutdown(wait=True)
        _release.clear()


def runs(store: Store, count: int, columns: str = "task_id, outcome, reason") -> list[tuple[Any, ...]]:
    """Return the background tasks, when there are so many."""
    poll_until(lambda: platform_sdk.flush(60) and store.count("background_task") >= count)
    return store.rows(columns, "background_task")


def test_runs(store: Store) -> None:
    """A job is named after its function; its executor is its queue, and it waits from the time that it was due."""
    with scheduling() as scheduler:
        scheduler.add_job(tasks.scrape, args=(3,), id="a")
        scheduler.add_job(tasks.fail, id="b")
        found = runs(store, 2, "task, task_id, queue, outcome, reason, wait_seconds < 60, duration_seconds < 60")

    assert found == [
        (f"{HERE}.tasks.fail", "b", "default", "failure", "ValueError", True, True),
        (f"{HERE}.tasks.scrape", "a", "default", "success", None, True, True),
    ]
    assert store.rows("scraper, job_id, items_processed") == [("shop", "a", 3)]
    assert store.rows("error_type, message, endpoint, job_id", "error") == [
        ("ValueError", "no price", f"{HERE}.tasks.fail", "b")
    ]
    assert "in fail" in store.rows("stack_trace", "error")[0][0]


def test_scraper_by_id(store: Store) -> None:
    """A job may be called by its id, and what it raises is the run's."""
    with scheduling() as scheduler:
        scheduler.add_job(tasks.unpicklable, args=("mirror",), id="by-id")
        runs(store, 1)

    assert store.rows("scraper, outcome, reason") == [("named", "failure", "connection")]
    assert store.rows("error_type, job_id", "error") == [("MirrorError", "by-id")]


def test_every_time(store: Store) -> None:
    """Each run of a job counts, under the same id."""
    with scheduling() as scheduler:
        scheduler.add_job(tick, "interval", seconds=0.1, id="often", max_instances=9)
        found = runs(store, 3)

    assert found[:3] == [("often", "success", None)] * 3


def test_missed(store: Store) -> None:
    """A run whose time has passed is a failure that did not last."""
    due = datetime.now(UTC) - timedelta(hours=1)
    with scheduling() as scheduler:
        scheduler.add_job(tick, "date", run_date=due, id="late", misfire_grace_time=5)
        found = runs(store, 1, "task_id, outcome, reason, duration_seconds")

    assert found == [("late", "failure", "missed", None)]


def test_still_running(store: Store) -> None:
    """A run that is skipped, as the one before has not ended, is a failure; that one goes on."""
    with scheduling() as scheduler:
        scheduler.add_job(wait, "interval", seconds=0.2, id="slow", next_run_time=datetime.now(UTC))
        skipped = "reason = 'max_instances'"
        poll_until(lambda: platform_sdk.flush(60) and store.count("background_task", skipped))
        scheduler.remove_job("slow")
    assert platform_sdk.flush(60)

    assert store.rows("outcome, reason", "background_task", f"NOT coalesce({skipped}, false)") == [("success", None)]
    assert set(store.rows("outcome, duration_seconds", "background_task", skipped)) == {("failure", None)}


def test_coroutines(store: Store) -> None:
    """Those of an event loop's scheduler, and the functions that it runs in threads."""

    async def main() -> None:
        scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": 120})
        scheduler.start()
        for job in (scrape_slowly, fail_slowly, tick):
            scheduler.add_job(job, args=(2,) if job is scrape_slowly else (), id=job.__name__)
        await asyncio.to_thread(runs, store, 3)
        scheduler.shutdown()

    asyncio.run(main())

    assert store.rows("task_id, outcome, reason", "background_task") == [
        ("fail_slowly", "failure", "LookupError"), ("scrape_slowly", "success", None), ("tick", "success", None)
    ]  # fmt: skip
    assert store.rows("scraper, items_processed") == [("slow", 2)]


def test_process_pool(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs in processes that begin again are recorded with the environment's options."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    with scheduling(executors={"default": ProcessPoolExecutor(1)}) as scheduler:
        scheduler.add_job(tasks.scrape, args=(3,), id="a")
        scheduler.add_job(tasks.unpicklable, args=("layout",), id="b")
        runs(store, 1)  # the second may be stored when its process ends

    assert runs(store, 2) == [("a", "success", None), ("b", "failure", "LayoutError")]
    assert store.rows("error_type, message", "error") == [("LayoutError", "page 7 has no price")]
    assert store.lost() == 0


def test_uninstalled(store: Store) -> None:
    """Afterwards jobs run as before, unrecorded."""
    jobs.uninstall()
    with scheduling() as scheduler:
        scheduler.add_job(_release.set)
        poll_until(_release.is_set)
    assert platform_sdk.flush(60)

    assert store.count("background_task") == 0
