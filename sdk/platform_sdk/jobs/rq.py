"""Record RQ jobs: a worker class.

    rq worker --worker-class platform_sdk.jobs.rq.MonitoredWorker    # with PLATFORM_SDK_DSN and PLATFORM_SDK_APP set

RQ runs each job in a process that ends by `os._exit`, which stops its threads and runs no `atexit`. This worker stores
before that, after each job. Failures are recorded as errors with the job's id and stack trace. A job is
a scraping job only where the user says so: by `job.meta["scraper"]` (and `["site"]`), or by the attribute `scrapers` of
a subclass; then `platform_sdk.jobs.scraping.current_job()` counts items from inside it. Two histograms are sampled:
rq_queue_wait_seconds and rq_job_duration_seconds.
"""

from datetime import UTC, datetime
from time import perf_counter, time
from typing import Any

from rq import SimpleWorker, Worker

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, scraper_of
from platform_sdk.jobs.scraping import ScrapingJob


class Monitored:
    """Mixin for any worker class of RQ, to be named before it."""

    scrapers: Scrapers | None = None
    """Scrapers by the names of functions (`shop.tasks.scrape`), or by patterns of them."""

    _run: ScrapingJob | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ensure_started()

    def perform_job(self, job: Any, *args: Any, **kwargs: Any) -> bool:
        """Perform a job as the worker does, and store what it emitted before the process ends."""
        began = perf_counter()
        run = self._run = self._begin(job)
        succeeded = False
        try:
            succeeded = bool(super().perform_job(job, *args, **kwargs))  # type: ignore[misc]  # of the other base
        finally:
            self._end(job, run, succeeded, perf_counter() - began)
        return succeeded

    def handle_exception(self, job: Any, *exc_info: Any) -> Any:
        """Record why a job failed, then do what the worker does."""
        try:
            exception = next((each for each in exc_info if isinstance(each, BaseException)), None)
            if exception is not None:
                if self._run is not None:
                    self._run.end_with(exception)
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
            scraper, site = self._scraper_of(job)
            if scraper is not None:
                started = job.started_at
                ran = (datetime.now(UTC) - _utc(started)).total_seconds() if started else 0.0
                emit.job_heartbeat(str(job.id), scraper, site, "failed", finished_at=time())
                emit.scraping_run(str(job.id), scraper, site, "failure", max(ran, 0.0), reason="other")
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)
        return super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[misc]  # the other base

    def _begin(self, job: Any) -> ScrapingJob | None:
        try:
            if job.enqueued_at is not None:
                waited = max((datetime.now(UTC) - _utc(job.enqueued_at)).total_seconds(), 0.0)
                labels = {"job": _name_of(job), "queue": str(job.origin)}
                emit.sample("rq_queue_wait", waited, "histogram", "seconds", labels)
            scraper, site = self._scraper_of(job)
            return None if scraper is None else ScrapingJob(scraper, site, str(job.id)).__enter__()
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)
            return None

    def _end(self, job: Any, run: ScrapingJob | None, succeeded: bool, duration_seconds: float) -> None:
        try:
            labels = {"job": _name_of(job), "state": "success" if succeeded else "failure"}
            emit.sample("rq_job_duration", duration_seconds, "histogram", "seconds", labels)
            if run is not None:
                if not succeeded:
                    run.fail("other")
                run.__exit__(None, None, None)
            if getattr(self, "is_horse", False):
                client.close()
            else:
                client.flush_now()
        except Exception as error:  # noqa: BLE001 - never into the worker
            note("rq", error)

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


def _utc(moment: datetime) -> datetime:
    """Return an aware moment: those of RQ before 2.0 are naive, in UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
