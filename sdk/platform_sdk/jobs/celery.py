"""Record Celery tasks by Celery's signals.

    import platform_sdk
    from platform_sdk.jobs import celery as jobs
    platform_sdk.init(dsn=..., app="shop")
    jobs.install(scrapers={"shop.tasks.scrape_*": "shop"})      # in the module that makes the Celery app

A task is a scraping job only where `scrapers` says so: then each try of it is a run with heartbeats, its job id the
task's (TASK/2 for the second try), and `platform_sdk.jobs.scraping.current_job()` counts items from inside the task.
For every task failures are recorded as errors with the task's id, and each attempt as a `background_task`: its outcome,
how long it ran, and how long it waited from publishing (or the ETA) to the start, where publisher and worker both run
this.

A pool's processes lose nothing: they flush before they end, and after each scraping job. Where one is killed in the
middle of a task, the worker notices and ends its run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, perf_counter, time
from typing import Any
from weakref import WeakValueDictionary

from celery import signals  # type: ignore[import-untyped]  # ships no types

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.events.background_task import BACKGROUND_TASK
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, reason_of, scraper_of
from platform_sdk.jobs.scraping import ScrapingJob

PUBLISHED = "platform_published_at"
"""The message header with the time at which a task was sent, in Unix seconds."""

_OUTCOMES = {"SUCCESS": "success", "IGNORED": "success", "RETRY": "retry"}


@dataclass(slots=True)
class _Attempt:
    """An attempt at a task that runs in this process."""

    began: float
    wait_seconds: float | None
    reason: str | None = None


class _Hooks:
    """Receivers, by the names of Celery's signals; what `install` was given, and the tasks that run in this process."""

    def __init__(self, scrapers: Scrapers | None, tasks: bool, flush_every_task: bool) -> None:
        self._scrapers, self._tasks, self._flush_every_task = scrapers, tasks, flush_every_task
        self._attempts: dict[str, _Attempt] = {}
        self._jobs: dict[str, ScrapingJob] = {}
        self._exceeded: dict[str, float] = {}
        self._received: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._in_child = False

    def before_task_publish(self, headers: Any = None, **_: Any) -> None:
        if isinstance(headers, dict):
            headers[PUBLISHED] = time()

    def task_received(self, request: Any = None, **_: Any) -> None:
        """Remember, in the worker itself, what its processes are given: only it knows, if one is killed."""
        self._received[str(request.id)] = request

    def task_prerun(self, task_id: str, task: Any, **_: Any) -> None:
        self._attempts[task_id] = _Attempt(perf_counter(), _waited(task.request))
        scraper = scraper_of(self._scrapers, str(task.name))
        if scraper is not None:
            job = ScrapingJob(scraper, job_id=_job_id(task_id, task.request.retries))
            self._jobs[task_id] = job
            job.__enter__()

    def task_retry(self, request: Any, reason: Any = None, **_: Any) -> None:
        error = getattr(reason, "exc", reason)
        self._keep_reason(request.id, error)
        job = self._jobs.get(request.id)
        if job is not None:
            job.fail(reason_of(error) if isinstance(error, BaseException) else "other")

    def task_failure(self, task_id: str, exception: BaseException, sender: Any = None, **_: Any) -> None:
        name = str(getattr(sender, "name", "unknown"))
        self._keep_reason(task_id, exception)
        job = self._jobs.get(task_id)
        if job is not None:
            job.end_with(exception)
            return
        # Where the task ran in another process, that one was killed and could not record it.
        killed = task_id not in self._attempts
        limit = exception.args[0] if exception.args and isinstance(exception.args[0], int | float) else 0.0
        if killed and limit and self._reported_before(task_id, limit):
            return
        emit.exception(exception, endpoint=name, job_id=task_id)
        if killed:
            self._end_for_another(task_id, name, exception, float(limit))

    def _keep_reason(self, task_id: str, error: Any) -> None:
        if task_id in self._attempts:
            self._attempts[task_id].reason = type(error).__name__

    def _reported_before(self, task_id: str, limit_seconds: float) -> bool:
        """Return whether this time limit was reported already: some versions of Celery report it twice, within it."""
        now = monotonic()
        last = self._exceeded.pop(task_id, None)
        self._exceeded[task_id] = now
        while len(self._exceeded) > 1000:
            del self._exceeded[next(iter(self._exceeded))]
        return last is not None and now - last < limit_seconds

    def task_revoked(self, request: Any, terminated: bool = False, sender: Any = None, **_: Any) -> None:
        if terminated and request.id not in self._attempts:
            self._end_for_another(request.id, str(getattr(sender, "name", "unknown")))

    def task_postrun(self, task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
        attempt = self._attempts.pop(task_id, None)
        if attempt is not None and (state is not None or not self._in_child):  # else the worker records it, as below
            outcome = _OUTCOMES.get(state or "", "failure")
            reason = None if outcome == "success" else attempt.reason or (state or "cancelled").lower()
            ran = perf_counter() - attempt.began
            self._finished(task_id, str(task.name), task.request, outcome, reason, ran, attempt.wait_seconds)
        job = self._jobs.pop(task_id, None)
        if job is not None:
            if state is None and self._in_child:
                job.abandon()  # its process is being ended: the worker knows why and ends the run
            elif state is None or state == "REJECTED":
                job.fail("cancelled" if state is None else "other")
            job.__exit__(None, None, None)
        if job is not None or self._flush_every_task:
            client.flush_now()

    def _finished(
        self, task_id: str, name: str, request: Any, outcome: str, reason: str | None, duration_seconds: float,
        wait_seconds: float | None = None, retries: int | None = None,
    ) -> None:  # fmt: skip
        if self._tasks:
            retries = getattr(request, "retries", None) if retries is None else retries
            emit.event(
                BACKGROUND_TASK, task_id=task_id, task=name, queue=_queue(request), outcome=outcome, reason=reason,
                attempt=None if retries is None else retries + 1, wait_seconds=wait_seconds,
                duration_seconds=duration_seconds, worker=getattr(request, "hostname", None),
            )  # fmt: skip

    def _end_for_another(
        self, task_id: str, name: str, exception: BaseException | None = None, limit_seconds: float = 0.0
    ) -> None:
        """Record an attempt whose process was killed (without an exception: revoked); a limit says how long it took."""
        request = self._received.get(task_id)
        retries = request.request_dict.get("retries") if request is not None else 0
        started = getattr(request, "time_start", None)
        duration_seconds = limit_seconds or (max(time() - started, 0.0) if started else 0.0)
        kind = type(exception).__name__ if exception else "cancelled"
        self._finished(task_id, name, request, "failure", kind, duration_seconds, retries=retries)
        scraper = scraper_of(self._scrapers, name)
        if scraper is None:
            return
        reason = reason_of(exception) if exception else "cancelled"
        status = "cancelled" if reason == "cancelled" else "failed"
        job_id = _job_id(task_id, retries)
        emit.job_heartbeat(job_id, scraper, status=status, finished_at=time())
        emit.scraping_run(job_id, scraper, None, "failure", duration_seconds, reason=reason)

    def worker_process_init(self, **_: Any) -> None:
        self._attempts.clear()
        self._jobs.clear()
        self._in_child = True

    def worker_process_shutdown(self, **_: Any) -> None:
        client.close()

    def worker_shutdown(self, **_: Any) -> None:
        client.flush_now()


_connected: list[tuple[Any, Any]] = []


def install(scrapers: Scrapers | None = None, *, tasks: bool = True, flush_every_task: bool = False) -> None:
    """Connect to Celery's signals; a second call changes the options. Starts the SDK from the environment if necessary.

    `scrapers` maps names of tasks, or patterns of them, to scrapers. `tasks=False` records no background tasks.
    `flush_every_task` stores after each task, not only after scraping jobs and before a process ends: a commit per
    task, for children that are killed often.
    """
    uninstall()
    ensure_started()
    hooks = _Hooks(scrapers, tasks, flush_every_task)
    for name in (name for name in vars(_Hooks) if not name.startswith("_")):
        receiver = _guarded(name, getattr(hooks, name))
        signal = getattr(signals, name)
        signal.connect(receiver, weak=False)
        _connected.append((signal, receiver))


def uninstall() -> None:
    """Disconnect from Celery's signals."""
    while _connected:
        signal, receiver = _connected.pop()
        signal.disconnect(receiver)


def _guarded(name: str, hook: Any) -> Any:
    def receiver(**kwargs: Any) -> None:
        try:
            hook(**kwargs)
        except Exception as error:  # noqa: BLE001 - never into the task
            note(f"celery {name}", error)

    return receiver


def _waited(request: Any) -> float | None:
    """Return how long a task waited, by the clocks of publisher and worker, None where the publisher sent no time."""
    headers = getattr(request, "headers", None)
    published = headers.get(PUBLISHED) if isinstance(headers, Mapping) else None
    if published is None:
        published = getattr(request, PUBLISHED, None)
    if not isinstance(published, int | float):
        return None
    eta = getattr(request, "eta", None)
    if isinstance(eta, str):
        eta = datetime.fromisoformat(eta)
    if isinstance(eta, datetime) and eta.tzinfo is not None:
        published = max(published, eta.timestamp())
    return max(time() - published, 0.0)


def _queue(request: Any) -> str | None:
    delivery = getattr(request, "delivery_info", None)
    return delivery.get("routing_key") if isinstance(delivery, Mapping) else None


def _job_id(task_id: str, retries: Any) -> str:
    """Return the job id of a try; each has its own, as one may begin before the previous one has ended."""
    return f"{task_id}/{retries + 1}" if retries else task_id
