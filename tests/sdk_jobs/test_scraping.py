"""Scraping jobs: live rows with heartbeats, one run each, and exceptions that pass through."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import requests

import platform_sdk
from platform_sdk.delivery import heartbeats
from platform_sdk.jobs.scraping import current_job, scraping_job
from tests.sdk_jobs.store import Store
from tests.servers import poll_until

Start = Callable[..., None]


@pytest.fixture(autouse=True)
def on(start: Start) -> None:
    """Switch the SDK on."""
    start()


def run(store: Store, columns: str = "outcome, reason") -> tuple[Any, ...]:
    """Return the one run that was stored."""
    assert platform_sdk.flush(60)
    rows = store.rows(columns)
    assert len(rows) == 1, rows
    return rows[0]


def live(store: Store, columns: str = "status") -> list[tuple[Any, ...]]:
    """Return the rows of live jobs."""
    return store.rows(columns, "scraping_job")


def test_run_is_counted(store: Store) -> None:
    """At its end a job is one row, with what it counted."""
    with scraping_job(scraper="arxiv", site="arxiv.org", job_id="j1") as job:
        job.item()
        job.item(4)
        job.failed(2)
        job.dropped()
        job.downloaded(1000)

    columns = "job_id, scraper, site, outcome, reason, items_processed, items_failed, items_dropped, response_bytes"
    assert run(store, columns) == ("j1", "arxiv", "arxiv.org", "success", None, 5, 2, 1, 1000)


def test_run_reaches_the_exporter(store: Store) -> None:
    """The exporter counts it as a run with its items."""
    with scraping_job(scraper="counted") as job:
        job.item(3)
    assert platform_sdk.flush(60)
    store.counting.poll("scraping_run")

    assert store.counting.value("platform_scraping_runs_total", scraper="counted") == 1
    assert store.counting.value("platform_scraping_items_total", scraper="counted") == 3


def test_live_job_reaches_the_exporter(store: Store) -> None:
    """While it runs it is a running job with a heartbeat; afterwards it is not."""

    def readings() -> dict[tuple[str, tuple[str, ...]], float]:
        worker = store.counting.worker()
        worker.start()
        try:
            view = poll_until(lambda: worker.view if worker.view.polled_at else None, 60)
        finally:
            worker.stop()
        return {(reading.metric, reading.labels): reading.value for reading in view.readings}

    before = time.time()
    running = ("platform_scraping_jobs", ("shop", "arxiv", "running"))
    beat = ("platform_scraping_oldest_heartbeat_timestamp_seconds", ("shop", "arxiv"))
    progress = ("platform_scraping_oldest_progress_timestamp_seconds", ("shop", "arxiv"))
    with scraping_job(scraper="arxiv"):
        assert platform_sdk.flush(60)
        during = readings()
    after = time.time()
    assert platform_sdk.flush(60)

    assert during[running] == 1
    assert before - 1 < during[progress] <= during[beat] < after + 1  # the database's clock may differ a little
    assert readings().get(running, 0) == 0


def test_idle_job_beats(store: Store) -> None:
    """A job that does nothing for a while can still be told from a dead one."""
    with scraping_job(scraper="arxiv", heartbeat_seconds=0.1):
        poll_until(lambda: live(store), 60)
        first = live(store, "heartbeat_at")
        poll_until(lambda: live(store, "heartbeat_at") > first, 60)

        assert live(store, "status") == [("running",)]


def test_progress(store: Store) -> None:
    """What is done of how much is in the live row at the next heartbeat."""
    with scraping_job(scraper="arxiv", total=8, heartbeat_seconds=0.1) as job:
        job.progress(2)
        poll_until(lambda: live(store, "progress, completed_items, total_items") == [(25, 2, 8)], 60)
        job.progress(5, 10)
        poll_until(
            lambda: live(store, "progress, completed_items, total_items") == [(50, 5, 10)],
            60,
        )


def test_items_are_progress(store: Store) -> None:
    """Without progress() the items count towards the total."""
    with scraping_job(scraper="arxiv", total=4, heartbeat_seconds=0.1) as job:
        job.item(3)
        poll_until(lambda: live(store, "progress, completed_items") == [(75, 3)], 60)


def test_progress_differs_from_life(store: Store) -> None:
    """A job that beats but finishes nothing shows since when; an item is progress again."""
    with scraping_job(scraper="arxiv", heartbeat_seconds=0.1) as job:
        ((began, _),) = poll_until(lambda: live(store, "progressed_at, heartbeat_at"), 60)
        poll_until(lambda: live(store, "heartbeat_at > progressed_at + interval '0.3 s'") == [(True,)], 60)
        stood = live(store, "progressed_at")
        job.item()
        poll_until(lambda: live(store, "progressed_at") > stood, 60)

    assert stood == [(began,)]


def test_a_job_from_before_an_upgrade_makes_progress_from_now_on(store: Store) -> None:
    """Where it was not kept when a job last made progress, its next heartbeat begins to."""
    with scraping_job(scraper="arxiv", heartbeat_seconds=0.1):
        poll_until(lambda: live(store), 60)
        with store.postgres.connect(store.name) as connection:
            connection.execute("UPDATE monitoring.scraping_job SET progressed_at = NULL")
        poll_until(lambda: live(store, "progressed_at IS NOT NULL") == [(True,)], 60)


def test_end_of_the_live_row(store: Store) -> None:
    """When the job is over its row says how, and no heartbeat comes after."""
    with scraping_job(scraper="a", job_id="1", total=9):
        pass
    with pytest.raises(ValueError, match="bad"), scraping_job(scraper="a", job_id="2"):
        raise ValueError("bad")
    with pytest.raises(KeyboardInterrupt), scraping_job(scraper="a", job_id="3"):
        raise KeyboardInterrupt
    assert platform_sdk.flush(60)

    found = live(store, "job_id, status, progress, finished_at >= started_at")
    assert found == [("1", "completed", 100, True), ("2", "failed", None, True), ("3", "cancelled", None, True)]


def test_heartbeat_thread_ends_with_the_last_job() -> None:
    """There is a thread only while a job lives."""
    with scraping_job(scraper="a", heartbeat_seconds=0.1), scraping_job(scraper="b", heartbeat_seconds=0.1):
        names = [thread.name for thread in threading.enumerate()]
    poll_until(lambda: "platform-sdk-heartbeats" not in [thread.name for thread in threading.enumerate()], 60)

    assert names.count("platform-sdk-heartbeats") == 1


class CaptchaRequiredError(Exception):
    """What an application may raise itself."""


def _refused() -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        requests.get(f"http://127.0.0.1:{placeholder.getsockname()[1]}/", timeout=5)


def _status(code: int) -> Callable[[], None]:
    def raise_status() -> None:
        httpx.Response(code, request=httpx.Request("GET", "http://x/")).raise_for_status()

    return raise_status


def _bad_json() -> None:
    response = requests.Response()
    response._content = b"<html>"
    response.json()


def _raise(error: BaseException) -> Callable[[], None]:
    def raiser() -> None:
        raise error

    return raiser


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        pytest.param(_raise(TimeoutError()), "timeout", id="timeout"),
        pytest.param(_refused, "connection", id="refused"),
        pytest.param(_status(429), "rate_limited", id="429"),
        pytest.param(_status(403), "forbidden", id="403"),
        pytest.param(_status(502), "server_error", id="502"),
        pytest.param(_status(404), "other", id="404"),
        pytest.param(_raise(CaptchaRequiredError()), "blocked", id="captcha"),
        pytest.param(_bad_json, "parse", id="json"),
        pytest.param(lambda: ET.fromstring("<a"), "parse", id="xml"),
        pytest.param(_raise(FileNotFoundError(2, "no such file")), "other", id="file"),
        pytest.param(_raise(KeyError("price")), "other", id="other"),
        pytest.param(_raise(asyncio.CancelledError()), "cancelled", id="cancelled"),
        pytest.param(_raise(SystemExit(1)), "cancelled", id="exit"),
    ],
)
def test_reason_of_the_exception(store: Store, work: Callable[[], None], reason: str) -> None:
    """The exception that ends a job gives its reason, and is the application's again afterwards."""
    with pytest.raises(BaseException) as raised, scraping_job(scraper="arxiv"):  # noqa: PT011 - of all kinds
        work()

    assert raised.traceback[-1].name != "__exit__"
    assert run(store) == ("failure", reason)


def test_exception_is_recorded_as_an_error_of_the_job(store: Store) -> None:
    """The stack trace is found by the job's id, once, though jobs are nested."""
    with pytest.raises(KeyError), scraping_job(scraper="all"), scraping_job(scraper="arxiv", job_id="j1"):
        raise KeyError("price")
    assert platform_sdk.flush(60)

    ((job_id, error_type, trace),) = store.rows("job_id, error_type, stack_trace", "error")
    assert (job_id, error_type) == ("j1", "KeyError")
    assert "test_exception_is_recorded" in trace


def test_cancellation_is_no_error(store: Store) -> None:
    """Ctrl-C is nothing to be mended."""
    with pytest.raises(KeyboardInterrupt), scraping_job(scraper="arxiv"):
        raise KeyboardInterrupt
    assert platform_sdk.flush(60)

    assert store.count("error") == 0


def test_failure_without_an_exception(store: Store) -> None:
    """A job may say that it failed, though it raises nothing."""
    with scraping_job(scraper="arxiv") as job:
        job.fail("blocked")

    assert run(store) == ("failure", "blocked")


def test_nested_jobs(store: Store) -> None:
    """Each counts for itself; the innermost is the current one."""
    with scraping_job(scraper="outer") as outer:
        outer.item(1)
        with scraping_job(scraper="inner") as inner:
            assert current_job() is inner
            inner.item(2)
        assert current_job() is outer
    assert current_job() is None
    assert platform_sdk.flush(60)

    assert store.rows("scraper, items_processed") == [("inner", 2), ("outer", 1)]


def test_counts_of_many_threads(store: Store) -> None:
    """No count is lost."""
    previous = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with scraping_job(scraper="arxiv") as job, ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(lambda: [job.item() for _ in range(2000)])
    finally:
        sys.setswitchinterval(previous)

    assert run(store, "items_processed") == (16_000,)


def test_decorated_function(store: Store) -> None:
    """Each call is another job, and returns the function's result."""

    @scraping_job(scraper="arxiv", site="arxiv.org")
    def scrape(count: int) -> str:
        """Scrape."""
        job = current_job()
        assert job is not None
        job.item(count)
        return "done"

    assert [scrape(1), scrape(2)] == ["done", "done"]
    assert platform_sdk.flush(60)

    assert scrape.__doc__ == "Scrape."
    assert store.rows("items_processed, site") == [(1, "arxiv.org"), (2, "arxiv.org")]
    assert store.count(where="job_id IS NOT NULL") == len({row[0] for row in store.rows("job_id")}) == 2


def test_decorated_coroutines(store: Store) -> None:
    """Jobs of tasks that run at once are not mixed up."""

    @scraping_job(scraper="arxiv")
    async def scrape(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)
            job = current_job()
            assert job is not None
            job.item()

    async def main() -> None:
        await asyncio.gather(*(scrape(count) for count in range(5)))

    asyncio.run(main())
    assert platform_sdk.flush(60)

    assert store.rows("items_processed") == [(0,), (1,), (2,), (3,), (4,)]


def test_async_with(store: Store) -> None:
    """A job that is cancelled by asyncio says so."""

    async def main() -> None:
        async with asyncio.timeout(0.05), scraping_job(scraper="arxiv"):
            await asyncio.sleep(30)

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert run(store) == ("failure", "cancelled")


def test_generator_is_refused() -> None:
    """A generator cannot be decorated: its job would end before its work begins."""

    def pages() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="inside it"):
        scraping_job(scraper="arxiv")(pages)


def test_odd_arguments_harm_nothing(store: Store) -> None:
    """Counts of a wrong type are left out; the job goes on."""
    with scraping_job(scraper="arxiv", total="many") as job:  # type: ignore[arg-type]
        job.item("two")  # type: ignore[arg-type]
        job.progress(None)  # type: ignore[arg-type]
        job.item(1)

    assert run(store, "items_processed, outcome") == (1, "success")


def test_forked_child_ends_nothing_of_its_parents(store: Store) -> None:
    """A child that leaves the block on its way out neither counts nor ends the parent's job."""
    with scraping_job(scraper="arxiv", heartbeat_seconds=0.1) as job:
        job.item()
        child = os.fork()
        if child == 0:
            job.item(100)
            job.end()
            platform_sdk.flush_now(60)
            os._exit(0)
        os.waitpid(child, 0)

    assert run(store, "items_processed, outcome") == (1, "success")


def test_child_has_heartbeats_of_its_own(store: Store) -> None:
    """After a fork a child's jobs beat, though threads are not inherited."""
    with scraping_job(scraper="parent", heartbeat_seconds=0.1):
        child = os.fork()
        if child == 0:
            beats = heartbeats.of_this_process()
            with scraping_job(scraper="child", heartbeat_seconds=0.1):
                alive = beats._thread is not None and beats._thread.is_alive()
            platform_sdk.flush_now(60)
            os._exit(0 if alive else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.rows("scraper", where="scraper = 'child'") == [("child",)]  # the parent's may be on its way


def test_killed_job_ages(store: Store) -> None:
    """Of a process that was killed the live row stays, running, with a heartbeat that gets older."""
    code = """
import signal
import platform_sdk
from platform_sdk.jobs.scraping import scraping_job
platform_sdk.init(flush_interval_seconds=0.05)
with scraping_job(scraper="arxiv", heartbeat_seconds=0.1):
    signal.pause()
"""
    process = store.run("-c", code)
    poll_until(lambda: live(store), 60)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    last = live(store, "heartbeat_at")
    poll_until(lambda: store.count("scraping_job", "heartbeat_at < now() - interval '0.5 s'"), 60)

    assert live(store, "status, heartbeat_at") == [("running", last[0][0])]
    assert store.count() == 0
