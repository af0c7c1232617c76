"""Record RQ jobs: a worker class.

    rq worker --worker-class platform_sdk.jobs.rq.MonitoredWorker    # with PLATFORM_SDK_DSN and PLATFORM_SDK_APP set

RQ runs each job in a process that ends by `os._exit`, which stops its threads and runs no `atexit`. This worker stores
before that, after each job. Failures are recorded as errors with the job's id and stack trace. A job is
a scraping job only where the user says so: by `job.meta["scraper"]` (and `["site"]`), or by the attribute `scrapers` of
a subclass; then `platform_sdk.jobs.scraping.current_job()` counts items from inside it. Every job is recorded as a
`background_task`: its outcome, how long it waited in its queue and how long it ran.
"""

from datetime import UTC, datetime
from typing import Any

from rq import Retry, SimpleWorker, Worker

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.jobs.attempt import Attempt
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, scraper_of


class Monitored:
    """Mixin for any worker class of RQ, to be named before it."""

    scrapers: Scrapers | None = None
    """Scrapers by the names of functions (`shop.tasks.scrape`), or by patterns of them."""

    _attempt: Attempt | None = None
    _retries_left: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ensure_started()
        self.push_exc_handler(self._abandoned)  # type: ignore[attr-defined]  # of the other base

    def perform_job(self, job: Any, *args: Any, **kwargs: Any) -> bool:
        """Perform a job as the worker does, and store what it emitted before the process ends."""
        self._begin(job)
        succeeded = False
        try:
            succeeded = bool(super().perform_job(job, *args, **kwargs))  # type: ignore[misc]  # of the other base
        finally:
            self._end(job, succeeded)
        return succeeded

    def handle_exception(self, job: Any, *exc_info: Any) -> Any:
        """Record why a job failed, then do what the worker does."""
        try:
            exception = next((each for each in exc_info if isinstance(each, BaseException)), None)
            if exception is not None:
                (self._attempt or self._attempt_at(job)).failed(exception)
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)
        return super().handle_exception(job, *exc_info)  # type: ignore[misc]  # of the other base

    def handle_work_horse_killed(self, job: Any, retpid: Any, ret_val: Any, rusage: Any) -> Any:
        """Record a job whose process was killed; this runs in the worker itself."""
        text = f"the work horse of {_name_of(job)} was killed (wait status {ret_val})"
        self._lost(job, "WorkHorseKilled", text, _seconds_between(job.started_at, None))
        return super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[misc]  # the other base

    def handle_job_failure(self, job: Any, *args: Any, **kwargs: Any) -> Any:
        """Record a job that was stopped on request, which kills its process, then do what the worker does."""
        if getattr(self, "_stopped_job_id", None) == job.id:
            self._killed(job, "failure", "cancelled", _seconds_between(job.started_at, None))
        return super().handle_job_failure(job, *args, **kwargs)  # type: ignore[misc]  # of the other base

    def _begin(self, job: Any) -> None:
        try:
            self._attempt, self._retries_left = self._attempt_at(job), job.retries_left
            self._attempt.wait_seconds = _seconds_between(job.enqueued_at, None)
            self._attempt.begin()
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)

    def _end(self, job: Any, succeeded: bool) -> None:
        try:
            attempt, self._attempt = self._attempt, None
            if attempt is not None:
                # A retry takes one of those that are left, or was asked for by the job's result.
                again = job.retries_left != self._retries_left or isinstance(getattr(job, "_result", None), Retry)
                attempt.end("retry" if again else "success" if succeeded else "failure", "retry")
            if getattr(self, "is_horse", False):
                client.close()
            else:
                client.flush_now()
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)

    def _abandoned(self, job: Any, *exc_info: Any) -> None:
        """Record a job whose worker died with it, as another worker finds."""
        if getattr(exc_info[0], "__name__", "") == "AbandonedJobError":
            text = f"the worker that ran {_name_of(job)} is gone"
            self._lost(job, "AbandonedJobError", text, _seconds_between(job.started_at, job.last_heartbeat))

    def _lost(self, job: Any, error_type: str, text: str, ran: float | None) -> None:
        emit.error_message(text, error_type=error_type, severity="high", endpoint=_name_of(job), job_id=str(job.id))
        self._killed(job, "retry" if (job.retries_left or 0) > 0 else "failure", "killed", ran)

    def _killed(self, job: Any, outcome: str, reason: str, ran: float | None) -> None:
        try:
            self._attempt_at(job).was_killed(outcome, ran or 0.0, None, reason)
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)

    def _attempt_at(self, job: Any) -> Attempt:
        meta = job.meta or {}
        scraper, site = meta.get("scraper"), meta.get("site")
        return Attempt(
            _name_of(job), str(job.id), queue=str(job.origin), worker=getattr(self, "name", None),
            scraper=str(scraper) if scraper else scraper_of(self.scrapers, _name_of(job)),
            site=str(site) if site else None,
        )  # fmt: skip


class MonitoredWorker(Monitored, Worker):
    """RQ's Worker, which forks for each job, recorded."""


class MonitoredSimpleWorker(Monitored, SimpleWorker):
    """RQ's SimpleWorker, which does not fork, recorded."""


def _name_of(job: Any) -> str:
    try:
        return str(job.func_name)
    except Exception:  # noqa: BLE001 - the job's data may be unreadable, which may be why it failed
        return "unknown"


def _seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the time from one to the other, which is now if it is None."""
    if start is None:
        return None
    return max((_aware(end or datetime.now(UTC)) - _aware(start)).total_seconds(), 0.0)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # those of RQ before 2.0 are naive
