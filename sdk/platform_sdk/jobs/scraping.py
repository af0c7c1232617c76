"""Scraping jobs: live while they run, with heartbeats, and one `scraping_run` when they end.

    with scraping_job(scraper="arxiv", site="arxiv.org", total=len(pages)) as job:
        for page in pages:
            job.item(len(scrape(page)))

It is an `async with` and a decorator of functions, too, generators and coroutines included; `current_job()` finds the
job from anywhere within. A call whose arguments do not fit is counted and logged; a job that was made by one does
nothing.
"""

import functools
import os
import threading
import uuid
from collections.abc import Callable
from time import perf_counter, time
from typing import ParamSpec, Self

from platform_sdk import client, emit
from platform_sdk.arguments import checked
from platform_sdk.delivery import heartbeats
from platform_sdk.diagnostics import note, unfailing
from platform_sdk.events.base import MAXIMUM
from platform_sdk.jobs.decorator import Function, decorated
from platform_sdk.jobs.expectations import Duration, Expectations, expectations
from platform_sdk.jobs.fields import Fields, pairs_of
from platform_sdk.jobs.responses import elapsed_seconds, loaded_body, page_of
from platform_sdk.jobs.scrapers import reason_of
from platform_sdk.jobs.traffic import HISTORY, WAITS, Traffic
from platform_sdk.outgoing.blocks import Page, block_of
from platform_sdk.outgoing.current_job import Counting, current, running
from platform_sdk.outgoing.hooks import ApiResponse, Blocked
from platform_sdk.outgoing.proxies import provider_of
from platform_sdk.parsing import split_url
from platform_sdk.typing import JobStatus, Severity

Parameters = ParamSpec("Parameters")

HEARTBEAT_SECONDS = 5.0


@unfailing(lambda: _NONE)
def current_job() -> "ScrapingJob":
    """Return the innermost job that runs here; outside of any, one that does nothing and is false.

    Threads do not inherit it: pass it to them.
    """
    job = running()
    return job if isinstance(job, ScrapingJob) else _NONE


def _guarded(method: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Return a method that counts and logs what goes wrong in it, or in calling it."""

    @functools.wraps(method)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - never into the application
            _failed(error)

    return call


def _failed(error: Exception) -> None:
    intake = client.current
    if intake is None:
        note("scraping_job", error)
    else:
        intake.fail("scraping_job", error)


class ScrapingJob:
    """One job, entered by `with` or `async with`, or decorating a function; usually called `scraping_job`.

    Without `job_id` it gets a random one; `total` is how many items are expected. An exception that ends the job is
    passed on; it gives the run its reason and, with `record_errors`, is recorded as an error of this job. `blocked`
    is asked about responses whose body was read whether they are useless, beside what the SDK recognises by itself.
    What is expected of its successful runs, `least_items`, `shortest` and `longest`, and that one succeeds
    `expected_every` so often, at most `grace` later, is judged by alerts. All methods may be called from any thread;
    none raises or waits. A job is true where it is recorded.
    """

    scraper: str = "unknown"
    site: str | None = None
    id: str = ""
    live = False
    outer: Counting | None = None
    reason: str | None = None
    _usable = False
    _expected = Expectations()
    _process = 0

    @_guarded
    @checked
    def __init__(
        self,
        scraper: str,
        site: str | None = None,
        job_id: str | None = None,
        total: int | None = None,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        record_errors: bool = True,
        blocked: Blocked = None,
        expected_every: Duration | None = None,
        grace: Duration = "1h",
        least_items: int | None = None,
        shortest: Duration | None = None,
        longest: Duration | None = None,
    ) -> None:
        self.scraper = scraper
        self.site = site
        self.id = uuid.uuid4().hex if job_id is None or (isinstance(job_id, str) and not job_id) else job_id
        self.heartbeat_seconds = max(float(heartbeat_seconds), 0.1)
        self._given_id, self._given_total, self._record_errors = job_id, None, record_errors
        self._blocked = blocked
        self._expected = expectations(_failed, expected_every, grace, least_items, shortest, longest)
        self._entered = False
        try:
            self._given_total = None if total is None else _whole("total", total)
        except TypeError as error:  # a job is worth more than how much of it there is
            _failed(error)
        self._reset()
        self._usable = True

    def _reset(self) -> None:
        # An RLock: a signal handler of the application may count, too. A new one: a fork may have copied it locked.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._items = self._failed = self._dropped = 0
        self._bytes: int | None = None
        self._traffic, self._fields = Traffic(), Fields()
        self._done: int | None = None
        self._total = self._given_total
        self.reason = None
        self._started_at, self._began = time(), perf_counter()

    @_guarded
    def item(self, n: object = 1) -> None:
        """Count an item that was scraped, or so many.

        Of an item (a mapping, a dataclass, an object of attrs or pydantic) is counted which of its fields are filled.
        """
        pairs = None if type(n) is int else pairs_of(n)
        self._count("_items", 1 if pairs is not None else n)
        if pairs is not None and self._mine:
            with self._lock:
                self._fields.add(pairs)  # may raise what the item's own code does: it is an item all the same

    @_guarded
    def failed(self, n: int = 1) -> None:
        """Count items that could not be scraped."""
        self._count("_failed", n)

    @_guarded
    def dropped(self, n: int = 1) -> None:
        """Count items that were dropped on purpose: duplicates, filtered ones."""
        self._count("_dropped", n)

    @_guarded
    def downloaded(self, size_bytes: int) -> None:
        """Count bytes of responses."""
        self._count("_bytes", size_bytes, "size_bytes")

    @_guarded
    @checked
    def response(
        self, response: object, *, url: object = None, size_bytes: int | None = None, retry: bool = False,
        block: str | None = None, proxy: object = None,
    ) -> None:  # fmt: skip
        """Count a request by its response, or status (None where none came), and by the host of `url`.

        Of a response of requests, httpx or aiohttp the rest is known, and whether it is a challenge, a captcha or
        another page in place of that asked for. `block` says so of others, `retry` that it repeated an earlier one,
        `proxy` is the address of the proxy that it went through.
        Not for requests of libraries whose hook is installed: those are counted. Bytes count as downloaded where
        `downloaded` is not called.
        """
        host, page = page_of(response, url, size_bytes)
        if block is None and page.start is not None and page.status < 400:
            body = loaded_body(response) or b""
            headers = getattr(response, "headers", {})
            if self.asks(lambda: ApiResponse(page.status, headers, str(url or getattr(response, "url", "")), body)):
                block = "custom"
        self.observe(
            host or self.site, page, size_bytes=page.size, retry=retry, block=block, proxy=provider_of(proxy),
            seconds=elapsed_seconds(response),
        )  # fmt: skip

    @_guarded
    def disallowed(self, url: object = None, n: int = 1) -> None:
        """Count a page, or so many of a host, that was not requested because the site's robots.txt disallows it."""
        if self._mine:
            pages = _whole("n", n)
            with self._lock:
                self._traffic.disallow(split_url(url).host or self.site, pages)

    def observe(
        self, site: str | None, page: Page, *, size_bytes: int | None, retry: bool, block: str | None = None,
        proxy: str | None = None, seconds: float = 0.0,
    ) -> str | None:  # fmt: skip
        """Count a request, status 0 where no response came; return what blocked it. Never raises; for hooks.

        `proxy` is who provides the proxy that it went through; it began so many `seconds` ago.
        """
        try:
            if not self._mine:
                return None
            if block is None and page.status:
                block = block_of(page) or ("small" if HISTORY.is_small(site, page) else None)
            early = WAITS.is_early(site, seconds)
            WAITS.take(site, page)
            with self._lock:
                self._traffic.add(
                    site or None, page.status or None, size_bytes, retry=retry, block=block, proxy=proxy, early=early,
                    passage=(300 <= page.status < 400 and page.status != 304) or page.path == "/robots.txt",
                )  # fmt: skip
                if self._traffic.due:
                    self._report()
        except Exception as error:  # noqa: BLE001 - never into the application
            _failed(error)
            return None
        return block

    def asks(self, response: Callable[[], ApiResponse]) -> bool:
        """Return what the job's `blocked` says of a response, False where there is none or it fails."""
        if self._blocked is None:
            return False
        try:
            return bool(self._blocked(response()))
        except Exception as error:  # noqa: BLE001 - the user's code, and never into the application
            _failed(error)
            return False

    @_guarded
    def progress(self, done: float, total: float | None = None) -> None:
        """Report how much is done, of how much; without it items count towards `total`. Shown at the next heartbeat."""
        if self._mine:
            done, total = _whole("done", done), self._total if total is None else _whole("total", total)
            with self._lock:
                self._done, self._total = done, total

    @_guarded
    @checked
    def fail(self, reason: str = "other") -> None:
        """Report that the job fails though it raises nothing: all was blocked, nothing could be parsed.

        `reason` is timeout, connection, rate_limited, forbidden, server_error, blocked, parse, cancelled or other.
        """
        if self._mine:
            self.reason = reason

    def begin(self) -> Self:
        """Start the job, where neither `with` nor a decorator fits; call `end` afterwards."""
        self._begin()
        return self

    @_guarded
    def _begin(self) -> None:
        if not self._usable:
            return
        self._reset()
        self.live = True
        self._emit_state("running")
        if client.current is not None:
            heartbeats.of_this_process().add(self)

    @property
    def is_blocked(self) -> bool:
        """Whether at least half of the pages that it asked for were refused, or useless."""
        return self._traffic.block is not None

    @_guarded
    @checked
    def end(self, reason: str | None = None) -> None:
        """End the job, as failed where there is a `reason`; a second call does nothing."""
        if not self._mine:
            return
        with self._lock:
            if not self.live:
                return
            self.live = False
            reason = reason or self.reason
            block = self._traffic.block
            if self._items:
                HISTORY.found_nothing(self.scraper, self._items)
            elif reason is None:
                reason, block = self._why_empty(block)
            status: JobStatus = "completed"
            if reason is not None:
                status = "cancelled" if reason == "cancelled" else "failed"
            self._emit_state(status, finished_at=time())
            self._report()
            size_bytes = self._traffic.bytes if self._bytes is None else self._bytes
            emit.scraping_run(
                self.id, self.scraper, self.site, "success" if reason is None else "failure",
                perf_counter() - self._began, reason=reason, items_processed=self._items,
                items_failed=self._failed, items_dropped=self._dropped, response_bytes=size_bytes,
                block=block if reason == "blocked" else None, expected=self._expected,
            )  # fmt: skip
        heartbeats.of_this_process().remove(self)

    def _why_empty(self, block: str | None) -> tuple[str | None, str | None]:
        """Return why a run without items failed and what blocked it; None where it did not."""
        lost = self._lost_its_items()
        if block is not None:
            return "blocked", block
        if (failure := self._traffic.failure) is not None:
            return failure, None
        return ("blocked", "no_items") if lost else (None, None)

    def _lost_its_items(self) -> bool:
        """Tell whether a run without items is one that was given pages, of a scraper that used to find some."""
        lost = HISTORY.found_nothing(self.scraper, self._items)
        return lost and self._traffic.requests > 0 and not self._failed and not self._dropped

    @_guarded
    def abandon(self) -> None:
        """Stop following the job without ending it: another process will end it."""
        self.live = False
        with self._lock:
            self._report()
        heartbeats.of_this_process().remove(self)

    @_guarded
    @checked
    def end_with(self, exception: BaseException) -> None:
        """End the job as failed for the exception's reason, and record the exception as an error of this job."""
        reason = "other"
        try:
            reason = self.reason or reason_of(exception)
            if self._record_errors and self._mine and isinstance(exception, Exception) and reason != "cancelled":
                severity: Severity = "high" if reason in ("parse", "other") else "medium"  # our mistake, or the site
                emit.exception(exception, severity=severity, endpoint=self.scraper, job_id=self.id)
        except Exception as error:  # noqa: BLE001 - never into the application
            _failed(error)
        self.end(reason)

    def beat(self) -> None:
        """Emit the state now; the heartbeat thread calls this."""
        with self._lock:
            if self.live:
                self._emit_state("running")
                if self._traffic.due:
                    self._report()

    @property
    def _mine(self) -> bool:
        """Return whether the job runs in this process: a forked child neither counts for nor ends its parent's job."""
        return self._process == os.getpid()

    def __bool__(self) -> bool:
        return self._usable

    def _count(self, name: str, n: object, argument: str = "n") -> None:
        if self._mine:
            number = _whole(argument, n)
            if not 0 <= number <= MAXIMUM:  # the run's row would be rejected
                raise ValueError(f"invalid number for {argument}: expected 0 to {MAXIMUM:g}")
            with self._lock:
                setattr(self, name, (getattr(self, name) or 0) + number)

    def _report(self) -> None:
        self._traffic.report(self.id, self.scraper)
        self._fields.report(self.id, self.scraper)

    def _emit_state(self, status: JobStatus, finished_at: float | None = None) -> None:
        done = self._items if self._done is None else self._done
        percent = min(max(100.0 * done / self._total, 0.0), 100.0) if self._total else None
        if status == "completed":
            percent = 100.0
        emit.job_heartbeat(
            self.id, self.scraper, self.site, status, percent, self._total, done, self._started_at, finished_at
        )

    def __enter__(self) -> Self:
        if not self._usable:
            return self
        if self._entered and self._given_id is None:
            self.id = uuid.uuid4().hex  # another job
        self._entered = True
        self.outer = current.get()
        current.set(self)
        return self.begin()

    def __exit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        if exception is None:
            self.end()
        else:
            self.end_with(exception)
        if current.get() is self:  # generators may end out of order
            current.set(self.outer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        self.__exit__(kind, exception, trace)

    def __call__(self, function: Function) -> Function:
        """Make each call of `function` another job; of a generator function, each iteration."""
        if not self._usable:
            return function

        def fresh() -> ScrapingJob:
            job = ScrapingJob(
                self.scraper, self.site, self._given_id, self._given_total,
                heartbeat_seconds=self.heartbeat_seconds, record_errors=self._record_errors, blocked=self._blocked,
            )  # fmt: skip
            job._expected = self._expected
            return job

        return decorated(function, fresh)


scraping_job = ScrapingJob

_NONE: ScrapingJob = ScrapingJob.__new__(ScrapingJob)
"""The job outside of any, which does nothing."""


def _whole(name: str, value: object) -> int:
    try:
        number: int = int(value)  # type: ignore[call-overload]  # whatever it is
    except Exception:  # noqa: BLE001 - the application's __int__, too
        shown = repr(value[:50]) if type(value) is str else f"<{type(value).__name__}>"
        raise TypeError(f"invalid {shown} for {name}: expected a number") from None
    return number
