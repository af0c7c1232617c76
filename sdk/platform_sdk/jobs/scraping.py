"""Scraping jobs: live while they run, with heartbeats, and one `scraping_run` when they end.

    with scraping_job(scraper="arxiv", site="arxiv.org", total=len(pages)) as job:
        for page in pages:
            job.item(len(scrape(page)))

It is an `async with` and a decorator of functions and coroutine functions, too; `current_job()` finds the job from
anywhere within.
"""

import functools
import inspect
import os
import threading
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter, time
from typing import Any, Self, TypeVar, cast

from platform_sdk import client, emit
from platform_sdk.delivery import heartbeats
from platform_sdk.diagnostics import note
from platform_sdk.jobs.scrapers import reason_of

Function = TypeVar("Function", bound=Callable[..., Any])

HEARTBEAT_SECONDS = 5.0

_current: ContextVar["ScrapingJob | None"] = ContextVar("platform_sdk_scraping_job", default=None)


def current_job() -> "ScrapingJob | None":
    """Return the innermost job that runs here, None outside of any. Threads do not inherit it: pass it to them."""
    job = _current.get()
    while job is not None and not job.live:
        job = job.outer
    return job


class ScrapingJob:
    """One job, entered by `with` or `async with`, or decorating a function; usually called `scraping_job`.

    Without `job_id` it gets a random one; `total` is how many items are expected. An exception that ends the job is
    passed on; it gives the run its reason and, with `record_errors`, is recorded as an error of this job. All methods
    may be called from any thread; none raises or waits.
    """

    def __init__(
        self,
        scraper: str,
        site: str | None = None,
        job_id: str | None = None,
        total: int | None = None,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        record_errors: bool = True,
    ) -> None:
        self.scraper, self.site = scraper, site
        self.id = uuid.uuid4().hex if job_id is None or (isinstance(job_id, str) and not job_id) else job_id
        self.heartbeat_seconds = max(heartbeat_seconds, 0.1)
        self.live = False
        self.outer: ScrapingJob | None = None
        self._given_id, self._given_total, self._record_errors = job_id, total, record_errors
        self._entered = False
        self._reset()

    def _reset(self) -> None:
        # An RLock: a signal handler of the application may count, too. A new one: a fork may have copied it locked.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._items = self._failed = self._dropped = 0
        self._bytes: int | None = None
        self._done: int | None = None
        self._total = _whole(self._given_total)
        self._reason: str | None = None
        self._started_at, self._began = time(), perf_counter()

    def item(self, n: int = 1) -> None:
        """Count items that were scraped."""
        self._count("_items", n)

    def failed(self, n: int = 1) -> None:
        """Count items that could not be scraped."""
        self._count("_failed", n)

    def dropped(self, n: int = 1) -> None:
        """Count items that were dropped on purpose: duplicates, filtered ones."""
        self._count("_dropped", n)

    def downloaded(self, size_bytes: int) -> None:
        """Count bytes of responses."""
        self._count("_bytes", size_bytes)

    def progress(self, done: int, total: int | None = None) -> None:
        """Report how much is done, of how much; without it items count towards `total`. Shown at the next heartbeat."""
        if self._mine:
            with self._lock:
                self._done = _whole(done)
                self._total = self._total if total is None else _whole(total)

    def fail(self, reason: str = "other") -> None:
        """Report that the job fails though it raises nothing: all was blocked, nothing could be parsed.

        `reason` is timeout, connection, rate_limited, forbidden, server_error, blocked, parse, cancelled or other.
        """
        self._reason = reason

    def begin(self) -> Self:
        """Start the job, where neither `with` nor a decorator fits; call `end` afterwards."""
        try:
            self._reset()
            self.live = True
            self._emit_state("running")
            if client.current is not None:
                heartbeats.of_this_process().add(self)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)
        return self

    def end(self, reason: str | None = None) -> None:
        """End the job, as failed where there is a `reason`; a second call does nothing."""
        try:
            if not self._mine:
                return
            with self._lock:
                if not self.live:
                    return
                self.live = False
                reason = reason or self._reason
                status = "completed" if reason is None else "cancelled" if reason == "cancelled" else "failed"
                self._emit_state(status, finished_at=time())
                emit.scraping_run(
                    self.id, self.scraper, self.site, "success" if reason is None else "failure",
                    perf_counter() - self._began, reason=reason, items_processed=self._items,
                    items_failed=self._failed, items_dropped=self._dropped, response_bytes=self._bytes,
                )  # fmt: skip
            heartbeats.of_this_process().remove(self)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)

    def abandon(self) -> None:
        """Stop following the job without ending it: another process will end it."""
        try:
            self.live = False
            heartbeats.of_this_process().remove(self)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)

    def end_with(self, exception: BaseException) -> None:
        """End the job as failed for the exception's reason, and record the exception as an error of this job."""
        try:
            reason = self._reason or reason_of(exception)
            if self._record_errors and self._mine and isinstance(exception, Exception) and reason != "cancelled":
                severity = "high" if reason in ("parse", "other") else "medium"  # our mistake, or the site
                emit.exception(exception, severity=severity, endpoint=self.scraper, job_id=self.id)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)
            reason = "other"
        self.end(reason)

    def beat(self) -> None:
        """Emit the state now; the heartbeat thread calls this."""
        with self._lock:
            if self.live:
                self._emit_state("running")

    @property
    def _mine(self) -> bool:
        """Return whether the job runs in this process: a forked child neither counts for nor ends its parent's job."""
        return self._process == os.getpid()

    def _count(self, name: str, n: int) -> None:
        try:
            if self._mine:
                n = int(n)
                with self._lock:
                    setattr(self, name, (getattr(self, name) or 0) + n)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)

    def _emit_state(self, status: str, finished_at: float | None = None) -> None:
        done = self._items if self._done is None else self._done
        percent = min(max(100.0 * done / self._total, 0.0), 100.0) if self._total else None
        if status == "completed":
            percent = 100.0
        emit.job_heartbeat(
            self.id, self.scraper, self.site, status, percent, self._total, done, self._started_at, finished_at
        )

    def __enter__(self) -> Self:
        if self._entered and self._given_id is None:
            self.id = uuid.uuid4().hex  # another job
        self._entered = True
        self.outer = _current.get()
        _current.set(self)
        return self.begin()

    def __exit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        if exception is None:
            self.end()
        else:
            self.end_with(exception)
        if _current.get() is self:  # generators may end out of order
            _current.set(self.outer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        self.__exit__(kind, exception, trace)

    def __call__(self, function: Function) -> Function:
        """Make each call of `function` another job."""

        def fresh() -> ScrapingJob:
            return ScrapingJob(
                self.scraper, self.site, self._given_id, self._given_total,
                heartbeat_seconds=self.heartbeat_seconds, record_errors=self._record_errors,
            )  # fmt: skip

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            async with fresh():
                return await function(*args, **kwargs)

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with fresh():
                return function(*args, **kwargs)

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"scraping_job: {function.__name__} is a generator; use `with scraping_job(...)` inside it")
        return cast(Function, coroutine if inspect.iscoroutinefunction(function) else plain)


scraping_job = ScrapingJob


def _whole(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | float) else None
    except (OverflowError, ValueError):  # infinite, or not a number
        return None
