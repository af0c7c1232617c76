"""Record the jobs of APScheduler 3, of all its schedulers and executors.

    from platform_sdk.jobs import apscheduler as jobs
    jobs.install(scrapers={"shop.tasks.scrape_*": "shop"})      # before or after the scheduler starts

Every run of a job is a `background_task` named after the job's function, with the job's id and its executor as the
queue: its outcome, how long it ran, and how long after its time it began. What it raises is recorded as an error. A run
that was missed, or skipped as earlier ones still ran, is a failure for that reason. A job is a scraping job only where
`scrapers` says so. A pool's processes know nothing: they record with the environment's options, unless the module
of a job's function calls `init` and `install`.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors import base  # type: ignore[import-untyped]  # ships no types

from platform_sdk.diagnostics import note
from platform_sdk.jobs.attempt import Attempt
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, scraper_of

try:
    from apscheduler.executors.base_py3 import run_coroutine_job as _run_coroutine_job  # type: ignore[import-untyped]
except ImportError:  # since 3.11
    from apscheduler.executors.base import run_coroutine_job as _run_coroutine_job  # type: ignore[import-untyped]

_EXECUTORS = ("base", "base_py3", "asyncio", "debug", "gevent", "pool", "tornado", "twisted")

_scrapers: Scrapers | None = None
_patched: list[tuple[Any, str, Any]] = []
_run_job = base.run_job


class _Run:
    """A job, as it looks to the code that runs it once, at the time it is due."""

    def __init__(self, job: Any, due: datetime) -> None:
        self._job, self._due = job, due
        self._began = False
        self._attempt: Attempt | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def __str__(self) -> str:
        return str(self._job)

    @property
    def func(self) -> Callable[..., Any]:
        """The job's function; what follows, up to `end`, is its run."""
        self._began = True
        try:
            self._attempt = _attempt(self._job)
            self._attempt.wait_seconds = max((datetime.now(UTC) - self._due).total_seconds(), 0.0)
            self._attempt.begin()
        except Exception as error:  # noqa: BLE001 - never into the job
            note("apscheduler", error)
        function: Callable[..., Any] = self._job.func
        return function

    def end(self, events: Sequence[Any]) -> None:
        """End the run, of which the job's executor made these events."""
        try:
            error = next((found for event in events if (found := getattr(event, "exception", None)) is not None), None)
            if not self._began:
                _attempt(self._job).record("failure", None, "missed")
            elif self._attempt is not None:
                if error is not None:
                    self._attempt.failed(error)
                self._attempt.end("success" if error is None else "failure")
        except Exception as problem:  # noqa: BLE001 - never into the job
            note("apscheduler", problem)


def install(scrapers: Scrapers | None = None) -> None:
    """Record all runs that begin from now on; a second call changes the options.

    `scrapers` maps names of functions (`shop.tasks.scrape`) or ids of jobs, or patterns of them, to scrapers. Starts
    the SDK from the environment if necessary.
    """
    global _scrapers
    ensure_started()
    _scrapers = scrapers
    if _patched:
        return
    modules = [found for name in _EXECUTORS if (found := sys.modules.get(f"apscheduler.executors.{name}"))]
    for made in (run_job, run_coroutine_job):
        for module in modules:
            if hasattr(module, made.__name__):
                _patch(module, made.__name__, made)
    _patch(base.BaseExecutor, "submit_job", _submitting(base.BaseExecutor.submit_job))


def ensure() -> None:
    """Record all runs, unless the application installed this already."""
    if not _patched:
        install()


def uninstall() -> None:
    """Record no more runs."""
    while _patched:
        owner, name, before = _patched.pop()
        setattr(owner, name, before)


def _patch(owner: Any, name: str, made: Any) -> None:
    _patched.append((owner, name, getattr(owner, name)))
    setattr(owner, name, made)


def run_job(job: Any, jobstore: Any, run_times: Sequence[datetime], logger: str) -> list[Any]:
    """Run a job as APScheduler does, recorded. A process pool finds this function by its name."""
    ensure_started()
    events = []
    for due in run_times:
        run = _Run(job, due)
        made = _run_job(run, jobstore, [due], logger)
        run.end(made)
        events += made
    return events


async def run_coroutine_job(job: Any, jobstore: Any, run_times: Sequence[datetime], logger: str) -> list[Any]:
    """Run a job that is a coroutine function, recorded."""
    events = []
    for due in run_times:
        run = _Run(job, due)
        made = await _run_coroutine_job(run, jobstore, [due], logger)
        run.end(made)
        events += made
    return events


def _submitting(submit_job: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(submit_job)
    def submitting(executor: Any, job: Any, run_times: Any) -> None:
        try:
            submit_job(executor, job, run_times)
        except base.MaxInstancesReachedError:
            try:
                _attempt(job).record("failure", None, "max_instances")
            except Exception as error:  # noqa: BLE001 - never into the scheduler
                note("apscheduler", error)
            raise

    return submitting


def _attempt(job: Any) -> Attempt:
    name = str(job.func_ref or job.name).replace(":", ".")
    scraper = scraper_of(_scrapers, name) or scraper_of(_scrapers, str(job.id))
    return Attempt(name, str(job.id), queue=str(job.executor), scraper=scraper)
