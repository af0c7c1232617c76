"""Scraping jobs: live rows with heartbeats, one run each, and exceptions that pass through."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

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


def test_requests_are_counted_by_site_and_status(store: Store) -> None:
    """By the response of any library, or by its status; what got none has no status."""
    with scraping_job(scraper="arxiv", site="arxiv.org", job_id="j1") as job:
        for _ in range(3):
            job.response(200, url="https://Export.arxiv.org/list?page=2", size_bytes=100)
        job.response(503, url="https://export.arxiv.org/list", retry=True)
        job.response(httpx.Response(404, request=httpx.Request("GET", "https://example.org/x")))
        job.response(None)
    assert run(store, "response_bytes") == (300,)

    assert store.rows("job_id, site, status, requests, retries, response_bytes", "scraping_request") == [
        ("j1", "arxiv.org", None, 1, 0, 0), ("j1", "example.org", 404, 1, 0, 0),
        ("j1", "export.arxiv.org", 200, 3, 0, 300), ("j1", "export.arxiv.org", 503, 1, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"expected_every": "1d"}, (90_000, 0, 0, 0)), ({"expected_every": "1h30m", "grace": 60}, (5460, 0, 0, 0)),
        ({"shortest": timedelta(seconds=5), "longest": 2.5}, (0, 0, 5, 2.5)), ({"least_items": 7}, (0, 7, 0, 0)),
        ({"expected_every": "soon", "least_items": -1, "longest": object()}, (0, 0, 0, 0)), ({}, (0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_what_is_expected_is_stored(store: Store, given: dict[str, Any], stored: tuple[float, ...]) -> None:
    """Of whatever spelling; nothing is expected of what is invalid, or of a job that says nothing."""
    with scraping_job(scraper="arxiv", **given):
        pass

    columns = "expected_within_seconds, least_items, shortest_seconds, longest_seconds"
    assert run(store, columns) == stored


def test_requests_of_many_sites_are_reported_before_the_end(store: Store) -> None:
    """What is kept apart in memory is bounded, and nothing of it is lost."""
    with scraping_job(scraper="arxiv") as job:
        for number in range(450):
            job.response(200, url=f"https://{number}.example.org/")
        assert platform_sdk.flush(60)
        before = store.count("scraping_request")
    run(store)

    assert before == 400
    assert store.count("scraping_request") == 450


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
            view = poll_until(lambda: worker.view if worker.view.polled_at else None)
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
    """A job that does nothing for a while can still be distinguished from a dead one."""
    with scraping_job(scraper="arxiv", heartbeat_seconds=0.1):
        poll_until(lambda: live(store))
        first = live(store, "heartbeat_at")
        poll_until(lambda: live(store, "heartbeat_at") > first)

        assert live(store, "status") == [("running",)]


def test_progress(store: Store) -> None:
    """What is done of how much is in the live row at the next heartbeat."""
    with scraping_job(scraper="arxiv", total=8, heartbeat_seconds=0.1) as job:
        job.progress(2)
        poll_until(lambda: live(store, "progress, completed_items, total_items") == [(25, 2, 8)])
        job.progress(5, 10)
        poll_until(
            lambda: live(store, "progress, completed_items, total_items") == [(50, 5, 10)],
        )


def test_items_are_progress(store: Store) -> None:
    """Without progress() the items count towards the total."""
    with scraping_job(scraper="arxiv", total=4, heartbeat_seconds=0.1) as job:
        job.item(3)
        poll_until(lambda: live(store, "progress, completed_items") == [(75, 3)])


def test_progress_differs_from_life(store: Store) -> None:
    """A job that beats but finishes nothing shows since when; an item is progress again."""
    with scraping_job(scraper="arxiv", heartbeat_seconds=0.1) as job:
        ((began, _),) = poll_until(lambda: live(store, "progressed_at, heartbeat_at"))
        poll_until(lambda: live(store, "heartbeat_at > progressed_at + interval '0.3 s'") == [(True,)])
        stood = live(store, "progressed_at")
        job.item()
        poll_until(lambda: live(store, "progressed_at") > stood)

    assert stood == [(began,)]


def test_a_job_from_before_an_upgrade_makes_progress_from_now_on(store: Store) -> None:
    """Where it was not kept when a job last made progress, its next heartbeat begins to."""
    with scraping_job(scraper="arxiv", heartbeat_seconds=0.1):
        poll_until(lambda: live(store))
        with store.postgres.connect(store.name) as connection:
            connection.execute("UPDATE monitoring.scraping_job SET progressed_at = NULL")
        poll_until(lambda: live(store, "progressed_at IS NOT NULL") == [(True,)])


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
    poll_until(lambda: "platform-sdk-heartbeats" not in [thread.name for thread in threading.enumerate()])

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
    assert not current_job()
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
        current_job().item(count)
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
            current_job().item()

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


def test_decorated_generator(store: Store) -> None:
    """Each iteration is a job, from its first value to its last."""

    @scraping_job(scraper="arxiv")
    def pages(count: int) -> Iterator[int]:
        for number in range(count):
            current_job().item()
            yield number

    assert [list(pages(2)), list(pages(3))] == [[0, 1], [0, 1, 2]]
    assert platform_sdk.flush(60)

    assert store.rows("items_processed") == [(2,), (3,)]


def test_decorated_generator_that_is_left(store: Store) -> None:
    """An iteration that nobody ends is over when the generator is closed."""

    @scraping_job(scraper="arxiv")
    def pages() -> Iterator[int]:
        while True:
            yield 1

    unfinished = pages()
    next(unfinished)
    cast(Generator[int], unfinished).close()

    assert run(store) == ("failure", "cancelled")


def test_decorated_async_generator(store: Store) -> None:
    """Those of coroutines, too."""

    @scraping_job(scraper="arxiv")
    async def pages() -> AsyncIterator[int]:
        current_job().item()
        yield 1

    async def main() -> list[int]:
        return [page async for page in pages()]

    assert asyncio.run(main()) == [1]
    assert run(store, "items_processed") == (1,)


def test_no_job() -> None:
    """Outside of any, the current job does nothing, whatever is called, and is false."""
    job = current_job()
    with job as entered:
        entered.item(3)
        job.progress(1, 2)
        job.fail("blocked")
        job.begin().end()

    assert not current_job()
    assert not job.live
    assert platform_sdk.stats()["produced"] == 0


class Hostile:
    """A number whose conversion fails, in an application's own way."""

    def __int__(self) -> int:
        raise RuntimeError("not today")


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("item", ("two",), {}), ("item", (1, 2), {}), ("item", (), {"count": 1}), ("item", (None,), {}),
    ("item", (float("nan"),), {}), ("item", (Hostile(),), {}), ("failed", ([],), {}), ("dropped", ({},), {}),
    ("downloaded", (), {}), ("downloaded", (float("inf"),), {}), ("progress", ("half",), {}), ("progress", (), {}),
    ("progress", (None,), {}), ("progress", (1, "many"), {}), ("progress", (1, 2, 3), {}), ("fail", ("a", "b"), {}),
    ("end", ("a", "b"), {}), ("end_with", (), {}), ("abandon", (1,), {}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "args", "kwargs"), WRONG)
def test_wrong_call_of_a_job(store: Store, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """It raises nothing, is counted, and changes nothing; the job goes on."""
    with scraping_job(scraper="arxiv", total=4) as job:
        job.item()
        getattr(job, method)(*args, **kwargs)
        job.item()

    assert run(store, "items_processed, items_failed, outcome") == (2, 0, "success")
    assert live(store, "completed_items, total_items") == [(2, 4)]
    assert platform_sdk.stats()["dropped"] == {"internal": 1}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((), {"site": "a"}), (("a",), {"unknown": 1}), (("a",) * 9, {})],
)
def test_wrong_signature_of_a_job(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """What was decorated or is in the block runs; the job is not recorded, which is counted."""
    with scraping_job(*args, **kwargs) as job:
        job.item()

    @scraping_job(*args, **kwargs)
    def double(value: int) -> int:
        return 2 * value

    assert double(2) == 4
    assert not job
    assert platform_sdk.stats()["dropped"] == {"internal": 2}
    assert store.count("scraping_job") == 0


@pytest.mark.parametrize("argument", [{"total": "many"}, {"heartbeat_seconds": "x"}])
def test_wrong_argument_of_a_job(store: Store, argument: dict[str, Any]) -> None:
    """A job without a total, or with the usual heartbeats, is better than none."""
    with scraping_job(scraper="arxiv", **argument) as job:
        job.item()

    assert run(store, "items_processed, outcome") == (1, "success")
    assert platform_sdk.stats()["dropped"] == {}


TEXTS = [
    "C:\\new\\table", "two\nlines", "a\ttab", "\r\n", "\\N", "\\\\N", "\\.", "\\u0041", '"quoted"', "it's", "$$", "%s",
    "{0}", "naïve Größe 価格 \N{PILE OF POO}", "\x01\x1f\x7f", "\x85\u2028\u2029", " both ends ", "null", "e\u0301",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_as_given(store: Store, text: str) -> None:
    """In the live row as in the run's: a path, a title, whatever it is."""
    with scraping_job(scraper=text, site=text, job_id=text):
        assert platform_sdk.flush(60)
        poll_until(lambda: live(store, "status") == [("running",)])
    columns = "scraper, site, job_id"

    assert run(store, columns) == (text, text, text)
    assert live(store, columns) == [(text, text, text)]


@pytest.mark.parametrize(("text", "stored"), [("a\0b", "a\ufffdb"), ("a\ud800b", "a?b"), ("x" * 300, "x" * 200)])
def test_texts_that_no_column_holds(store: Store, text: str, stored: str) -> None:
    """NUL bytes and lone surrogates are replaced, long texts cut, in both rows alike."""
    with scraping_job(scraper=text, site=text, job_id=text):
        pass
    columns = "scraper, site, job_id"

    assert run(store, columns) == (stored, stored, stored)
    assert live(store, columns) == [(stored, stored, stored)]


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
    poll_until(lambda: live(store))
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    last = live(store, "heartbeat_at")
    poll_until(lambda: store.count("scraping_job", "heartbeat_at < now() - interval '0.5 s'"))

    assert live(store, "status, heartbeat_at") == [("running", last[0][0])]
    assert store.count() == 0
