"""An attempt at a task, whatever runs it: what the hooks of task queues share."""

from contextvars import Token
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any

from platform_sdk import emit, scope
from platform_sdk.events.background_task import BACKGROUND_TASK
from platform_sdk.jobs.scrapers import reason_of
from platform_sdk.jobs.scraping import ScrapingJob
from platform_sdk.typing import JobStatus


@dataclass(slots=True)
class Attempt:
    """An attempt at a task: a `background_task` when it ends, and where it is a scraping job its run.

    What is said by `set_user`, `set_tag` and `set_context` in the meantime is about this attempt, and ends with it.
    `scraper` makes it a scraping job; `job_id` is the run's, else the task's id is. `recorded` is False where no
    background task is wanted.
    """

    task: str
    task_id: str
    queue: str | None = None
    number: int | None = None
    worker: str | None = None
    wait_seconds: float | None = None
    scraper: str | None = None
    site: str | None = None
    job_id: str | None = None
    recorded: bool = True
    reason: str | None = None
    job: ScrapingJob | None = None
    began: float = field(default_factory=perf_counter)
    scope: Token[Any] | None = None

    def begin(self) -> "Attempt":
        """Begin it in this thread."""
        self.scope = scope.begin()
        if self.scraper is not None:
            self.job = ScrapingJob(self.scraper, self.site, self.job_id or self.task_id)
            self.job.__enter__()
        return self

    def failed(self, error: BaseException) -> None:
        """Record what it raised, as an error; `end` follows."""
        self.reason = type(error).__name__
        if self.job is not None:
            self.job.end_with(error)
        elif isinstance(error, Exception):  # not Ctrl-C, nor a task of asyncio's that was cancelled
            emit.exception(error, endpoint=self.task, job_id=self.task_id)

    def retried_for(self, error: BaseException | None) -> None:
        """Keep why another attempt follows, which is not an error; `end` follows."""
        self.reason = type(error).__name__ if error is not None else "retry"
        if self.job is not None:
            self.job.fail(reason_of(error) if error is not None else "other")

    def end(self, outcome: str, reason: str = "other") -> None:
        """End it in the thread where it began; `reason` is for a failure of which no more is known."""
        self.record(outcome, perf_counter() - self.began, reason)
        if self.job is not None and outcome != "success":
            self.job.fail(self.job.reason or ("cancelled" if reason == "cancelled" else "other"))
        self._leave()

    def abandon(self) -> None:
        """Leave it: its process is being ended, and the worker will record why."""
        if self.job is not None:
            self.job.abandon()
        self._leave()

    def _leave(self) -> None:
        if self.job is not None:
            self.job.__exit__(None, None, None)
        if self.scope is not None:
            scope.end(self.scope)
            self.scope = None

    def was_killed(self, outcome: str, duration_seconds: float, error: BaseException | None, reason: str) -> None:
        """Record an attempt that another process made and could not record; `reason` is for the case of no `error`."""
        self.reason = type(error).__name__ if error is not None else reason
        self.record(outcome, duration_seconds, reason)
        if self.scraper is None:
            return
        why = reason_of(error) if error is not None else "cancelled" if reason == "cancelled" else "other"
        job_id = self.job_id or self.task_id
        status: JobStatus = "cancelled" if why == "cancelled" else "failed"
        emit.job_heartbeat(job_id, self.scraper, self.site, status, finished_at=time())
        emit.scraping_run(job_id, self.scraper, self.site, "failure", duration_seconds, reason=why)

    def record(self, outcome: str, duration_seconds: float | None, reason: str) -> None:
        """Record the background task alone; without a duration where it never ran."""
        if self.recorded:
            emit.event(
                BACKGROUND_TASK, task_id=self.task_id, task=self.task, queue=self.queue, outcome=outcome,
                reason=None if outcome == "success" else self.reason or reason, attempt=self.number,
                wait_seconds=self.wait_seconds, duration_seconds=duration_seconds, worker=self.worker,
            )  # fmt: skip
