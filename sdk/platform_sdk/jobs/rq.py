"""Record RQ jobs: a worker class.

    rq worker --worker-class platform_sdk.jobs.rq.MonitoredWorker    # with PLATFORM_SDK_DSN and PLATFORM_SDK_APP set

RQ runs each job in a process that ends by `os._exit`, which stops its threads and runs no `atexit`. This worker stores
before that, after each job. Failures are recorded as errors with the job's id and stack trace. A job is
a scraping job only where the user says so: by `job.meta["scraper"]` (and `["site"]`), or by the attribute `scrapers` of
a subclass; then `platform_sdk.jobs.scraping.current_job()` counts items from inside it. Every job is recorded as a
`background_task`: its outcome, how long it waited in its queue and how long it ran.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter, time
from typing import Any

from rq import SimpleWorker, Worker

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.events.background_task import BACKGROUND_TASK
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, scraper_of
from platform_sdk.jobs.scraping import ScrapingJob


@dataclass(slots=True)
class _Attempt:
    """An attempt at a job: its run where it is a scraping job, and what is known of it so far."""

    began: float
    run: ScrapingJob | None = None
    wait_seconds: float | None = None
    retries_left: int | None = None
    reason: str | None = None


class Monitored:
    """Mixin for any worker class of RQ, to be named before it."""

    scrapers: Scrapers | None = None
    """Scrapers by the names of functions (`shop.tasks.scrape`), or by patterns of them."""

    _attempt: _Attempt | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ensure_started()

    def perform_job(self, job: Any, *args: Any, **kwargs: Any) -> bool:
        """Perform a job as the worker does, and store what it emitted before the process ends."""
        attempt = self._attempt = self._begin(job)
        succeeded = False
        try:
            succeeded = bool(super().perform_job(job, *args, **kwargs))  # type: ignore[misc]  # of the other base
        finally:
            self._end(job, attempt, succeeded)
        return succeeded

    def handle_exception(self, job: Any, *exc_info: Any) -> Any:
        """Record why a job failed, then do what the worker does."""
        try:
            exception = next((each for each in exc_info if isinstance(each, BaseException)), None)
            if exception is not None:
                if self._attempt is not None:
                    self._attempt.reason = type(exception).__name__
                    if self._attempt.run is not None:
                        self._attempt.run.end_with(exception)
                emit.exception(exception, endpoint=_name_of(job), job_id=str(job.id))  # recorded once
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)
        return super().handle_exception(job, *exc_info)  # type: ignore[misc]  # of the other base

    def handle_work_horse_killed(self, job: Any, retpid: Any, ret_val: Any, rusage: Any) -> Any:
        """Record a job whose process was killed; this runs in the worker itself."""
        try:
            name = _name_of(job)
            text = f"the work horse of {name} was killed (wait status {ret_val})"
            emit.error_message(text, error_type="WorkHorseKilled", severity="high", endpoint=name, job_id=str(job.id))
            ran = _seconds_since(job.started_at) or 0.0
            self._finished(job, "failure", ran, "killed")
            scraper, site = self._scraper_of(job)
            if scraper is not None:
                emit.job_heartbeat(str(job.id), scraper, site, "failed", finished_at=time())
                emit.scraping_run(str(job.id), scraper, site, "failure", ran, reason="other")
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)
        return super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[misc]  # the other base

    def _begin(self, job: Any) -> _Attempt:
        attempt = _Attempt(perf_counter())
        try:
            attempt.wait_seconds, attempt.retries_left = _seconds_since(job.enqueued_at), job.retries_left
            scraper, site = self._scraper_of(job)
            attempt.run = None if scraper is None else ScrapingJob(scraper, site, str(job.id)).__enter__()
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)
        return attempt

    def _end(self, job: Any, attempt: _Attempt, succeeded: bool) -> None:
        try:
            retried = job.retries_left != attempt.retries_left  # a retry takes one of those that are left
            outcome = "success" if succeeded else "retry" if retried else "failure"
            self._finished(job, outcome, perf_counter() - attempt.began, attempt.reason, attempt.wait_seconds)
            if attempt.run is not None:
                if not succeeded:
                    attempt.run.fail("other")
                attempt.run.__exit__(None, None, None)
            if getattr(self, "is_horse", False):
                client.close()
            else:
                client.flush_now()
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)

    def _finished(
        self, job: Any, outcome: str, duration_seconds: float, reason: str | None, wait_seconds: float | None = None
    ) -> None:
        emit.event(
            BACKGROUND_TASK, task_id=str(job.id), task=_name_of(job), queue=str(job.origin), outcome=outcome,
            reason=reason, wait_seconds=wait_seconds, duration_seconds=duration_seconds,
            worker=getattr(self, "name", None),
        )  # fmt: skip

    def _scraper_of(self, job: Any) -> tuple[str | None, str | None]:
        meta = job.meta or {}
        scraper, site = meta.get("scraper"), meta.get("site")
        return str(scraper) if scraper else scraper_of(self.scrapers, _name_of(job)), str(site) if site else None


class MonitoredWorker(Monitored, Worker):
    """RQ's Worker, which forks for each job, recorded."""


class MonitoredSimpleWorker(Monitored, SimpleWorker):
    """RQ's SimpleWorker, which does not fork, recorded."""


def _name_of(job: Any) -> str:
    try:
        return str(job.func_name)
    except Exception:  # noqa: BLE001 - the job's data may be unreadable, which may be why it failed
        return "unknown"


def _seconds_since(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # those of RQ before 2.0 are naive
    return max((datetime.now(UTC) - moment).total_seconds(), 0.0)
