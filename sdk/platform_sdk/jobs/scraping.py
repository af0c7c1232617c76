"""Follow scraping jobs: live while they run, with heartbeats, and one `scraping_run` when they end.

    with scraping_job(scraper="arxiv", site="arxiv.org", total=len(pages)) as job:
        for page in pages:
            job.item(len(scrape(page)))

Works as `async with` and as a decorator of functions and coroutine functions, too; `current_job()` finds the job from
anywhere within.
"""

import functools
import inspect
import os
import threading
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from math import isfinite
from time import perf_counter, time
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from platform_sdk import client, emit
from platform_sdk.delivery import heartbeats
from platform_sdk.diagnostics import note
from platform_sdk.jobs.outcomes import reason_of

Function = TypeVar("Function", bound=Callable[..., Any])

HEARTBEAT_SECONDS = 5.0

_current: ContextVar["ScrapingJob | None"] = ContextVar("platform_sdk_scraping_job", default=None)


def scraping_job(
    scraper: str,
    site: str | None = None,
    job_id: str | None = None,
    total: int | None = None,
    *,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    record_errors: bool = True,
) -> "ScrapingJob":
    """Return a job to be entered by `with` or `async with`, or to decorate a function with.

    `job_id` is made up where not given; `total` is how many items are expected. An exception that ends the job is
    passed on; it gives the run its reason and, with `record_errors`, is recorded as an error of this job.
    """
    return ScrapingJob(
        scraper, site, job_id, total, heartbeat_seconds=heartbeat_seconds, record_errors=record_errors
    )  # fmt: skip


def current_job() -> "ScrapingJob | None":
    """Return the innermost job that runs here, None outside of any. Threads do not inherit it: hand it to them."""
    job = _current.get()
    while job is not None and not job.live:
        job = job.outer
    return job


class ScrapingJob:
    """Count what a job does. All methods may be called from any thread; none raises or waits."""

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
        self.scraper, self.site, self.id = scraper, site, job_id or uuid.uuid4().hex
        self.heartbeat_seconds = max(heartbeat_seconds, 0.1)
        self.live = False
        self.outer: ScrapingJob | None = None
        self._given = (job_id, total, record_errors)
        self._entered = False
        self._reset()

    def _reset(self) -> None:
        # An RLock: a signal handler of the application's may count, too. Made anew, as a fork may have copied it taken.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._items = self._failed = self._dropped = 0
        self._bytes: int | None = None
        self._done: int | None = None
        self._total = _whole(self._given[1])
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
        """Tell how much is done of how much; without it, items count towards `total`. Shown at the next heartbeat."""
        if self._mine:
            with self._lock:
                self._done = _whole(done)
                self._total = self._total if total is None else _whole(total)

    def fail(self, reason: str = "other") -> None:
        """Tell that the job fails though it will raise nothing: all was blocked, nothing could be parsed.

        `reason` is timeout, connection, rate_limited, forbidden, server_error, blocked, parse, cancelled or other.
        """
        self._reason = reason

    def begin(self) -> Self:
        """Start the job, where neither `with` nor a decorator fits; `end` it then."""
        try:
            self._reset()
            self.live = True
            self._tell("running")
            if client.current is not None:
                heartbeats.of_this_process().add(self)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)
        return self

    def end(self, reason: str | None = None) -> None:
        """End the job, in failure where there is a `reason`; a second call does nothing."""
        try:
            if not self._mine:
                return
            with self._lock:
                if not self.live:
                    return
                self.live = False
                reason = reason or self._reason
                status = "completed" if reason is None else "cancelled" if reason == "cancelled" else "failed"
                self._tell(status, finished_at=time())
                emit.scraping_run(
                    self.id, self.scraper, self.site, "success" if reason is None else "failure",
                    perf_counter() - self._began, reason=reason, items_processed=self._items,
                    items_failed=self._failed, items_dropped=self._dropped, response_bytes=self._bytes,
                )  # fmt: skip
            heartbeats.of_this_process().remove(self)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)

    def abandon(self) -> None:
        """Stop following the job without ending it: another process will."""
        try:
            self.live = False
            heartbeats.of_this_process().remove(self)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)

    def end_with(self, exc: BaseException) -> None:
        """End the job in failure for the reason that an exception tells, and record it as an error of this job."""
        try:
            reason = self._reason or reason_of(exc)
            if self._given[2] and self._mine and isinstance(exc, Exception) and reason != "cancelled":
                severity = "high" if reason in ("parse", "other") else "medium"  # ours to mend, or the site's doing
                emit.exception(exc, severity=severity, endpoint=self.scraper, job_id=self.id)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)
            reason = "other"
        self.end(reason)

    def beat(self) -> None:
        """Tell the state now; the heartbeat thread calls this."""
        with self._lock:
            if self.live:
                self._tell("running")

    @property
    def _mine(self) -> bool:
        """Tell whether this is the process the job runs in: a forked child neither counts nor ends its parent's."""
        return self._process == os.getpid()

    def _count(self, name: str, n: int) -> None:
        try:
            if self._mine:
                n = int(n)
                with self._lock:
                    setattr(self, name, (getattr(self, name) or 0) + n)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("scraping_job", error)

    def _tell(self, status: str, finished_at: float | None = None) -> None:
        done = self._items if self._done is None else self._done
        percent = min(max(100.0 * done / self._total, 0.0), 100.0) if self._total else None
        if status == "completed":
            percent = 100.0
        emit.job_heartbeat(
            self.id, self.scraper, self.site, status, percent, self._total, done, self._started_at, finished_at
        )

    def __enter__(self) -> Self:
        if self._entered and self._given[0] is None:
            self.id = uuid.uuid4().hex  # another job
        self._entered = True
        self.outer = _current.get()
        _current.set(self)
        return self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is None:
            self.end()
        else:
            self.end_with(exc)
        if _current.get() is self:  # generators may end out of order
            _current.set(self.outer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, trace)

    def __call__(self, function: Function) -> Function:
        """Make each call of `function` a job of its own."""

        def fresh() -> ScrapingJob:
            job_id, total, record_errors = self._given
            return ScrapingJob(
                self.scraper, self.site, job_id, total,
                heartbeat_seconds=self.heartbeat_seconds, record_errors=record_errors,
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


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and isfinite(value) else None
