"""Record Celery tasks by Celery's signals.

    import platform_sdk
    from platform_sdk.jobs import celery as jobs
    platform_sdk.init(dsn=..., app="shop")
    jobs.install(scrapers={"shop.tasks.scrape_*": "shop"})      # in the module that makes the Celery app

A task is a scraping job only where `scrapers` says so: then each try of it is a run with heartbeats, its job id the
task's (TASK/2 for the second try), and `platform_sdk.jobs.scraping.current_job()` counts items from inside the task.
For every task failures are recorded as errors with the task's id, and two histograms are sampled:
celery_queue_wait_seconds, from publishing (or the ETA) to the start, where publisher and worker both run this; and
celery_task_duration_seconds, with its end state.

A pool's processes lose nothing: they flush before they end, and after each scraping job. Where one is killed in the
middle of a task, the worker notices and ends its run.
"""

from collections.abc import Mapping
from datetime import datetime
from time import monotonic, perf_counter, time
from typing import Any
from weakref import WeakValueDictionary

from celery import signals  # type: ignore[import-untyped]  # ships no types

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, reason_of, scraper_of
from platform_sdk.jobs.scraping import ScrapingJob

PUBLISHED = "platform_published_at"
"""The message header with the time at which a task was sent, in Unix seconds."""


class _Hooks:
    """Receivers, by the names of Celery's signals; what `install` was given, and the tasks that run in this process."""

    def __init__(self, scrapers: Scrapers | None, samples: bool, flush_every_task: bool) -> None:
        self._scrapers, self._samples, self._flush_every_task = scrapers, samples, flush_every_task
        self._began: dict[str, float] = {}
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
        name = str(task.name)
        self._began[task_id] = perf_counter()
        waited = _waited(task.request) if self._samples else None
        if waited is not None:
            emit.sample("celery_queue_wait", waited, "histogram", "seconds", {"task": name, "queue": _queue(task)})
        scraper = scraper_of(self._scrapers, name)
        if scraper is not None:
            job = ScrapingJob(scraper, job_id=_job_id(task_id, task.request.retries))
            self._jobs[task_id] = job
            job.__enter__()

    def task_retry(self, request: Any, reason: Any = None, **_: Any) -> None:
        job = self._jobs.get(request.id)
        if job is not None:
            error = getattr(reason, "exc", reason)
            job.fail(reason_of(error) if isinstance(error, BaseException) else "other")

    def task_failure(self, task_id: str, exception: BaseException, sender: Any = None, **_: Any) -> None:
        name = str(getattr(sender, "name", "unknown"))
        job = self._jobs.get(task_id)
        if job is not None:
            job.end_with(exception)
            return
        # Where the task ran in another process, that one was killed and could not record it.
        killed = task_id not in self._began
        limit = exception.args[0] if exception.args and isinstance(exception.args[0], int | float) else 0.0
        if killed and limit and self._reported_before(task_id, limit):
            return
        emit.exception(exception, endpoint=name, job_id=task_id)
        scraper = scraper_of(self._scrapers, name) if killed else None
        if scraper is not None:
            self._end_for_another(task_id, scraper, reason_of(exception), float(limit))

    def _reported_before(self, task_id: str, limit_seconds: float) -> bool:
        """Return whether this time limit was reported already: some versions of Celery report it twice, within it."""
        now = monotonic()
        last = self._exceeded.pop(task_id, None)
        self._exceeded[task_id] = now
        while len(self._exceeded) > 1000:
            del self._exceeded[next(iter(self._exceeded))]
        return last is not None and now - last < limit_seconds

    def task_revoked(self, request: Any, terminated: bool = False, sender: Any = None, **_: Any) -> None:
        scraper = scraper_of(self._scrapers, str(getattr(sender, "name", "unknown")))
        if terminated and scraper is not None and request.id not in self._jobs:
            self._end_for_another(request.id, scraper, "cancelled")

    def task_postrun(self, task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
        began = self._began.pop(task_id, None)
        if began is not None and self._samples:
            labels = {"task": str(task.name), "state": str(state or "interrupted").lower()}
            emit.sample("celery_task_duration", perf_counter() - began, "histogram", "seconds", labels)
        job = self._jobs.pop(task_id, None)
        if job is not None:
            if state is None and self._in_child:
                job.abandon()  # its process is being ended: the worker knows why and ends the run
            elif state is None or state == "REJECTED":
                job.fail("cancelled" if state is None else "other")
            job.__exit__(None, None, None)
        if job is not None or self._flush_every_task:
            client.flush_now()

    def _end_for_another(self, task_id: str, scraper: str, reason: str, limit_seconds: float = 0.0) -> None:
        """End the run of a try whose process was killed; a time limit says how long the try took."""
        request = self._received.get(task_id)
        retries = request.request_dict.get("retries") if request is not None else 0
        started = getattr(request, "time_start", None)
        duration_seconds = limit_seconds or (max(time() - started, 0.0) if started else 0.0)
        status = "cancelled" if reason == "cancelled" else "failed"
        job_id = _job_id(task_id, retries)
        emit.job_heartbeat(job_id, scraper, status=status, finished_at=time())
        emit.scraping_run(job_id, scraper, None, "failure", duration_seconds, reason=reason)

    def worker_process_init(self, **_: Any) -> None:
        self._began.clear()
        self._jobs.clear()
        self._in_child = True

    def worker_process_shutdown(self, **_: Any) -> None:
        client.close()

    def worker_shutdown(self, **_: Any) -> None:
        client.flush_now()


_connected: list[tuple[Any, Any]] = []


def install(scrapers: Scrapers | None = None, *, samples: bool = True, flush_every_task: bool = False) -> None:
    """Connect to Celery's signals; a second call changes the options. Starts the SDK from the environment if necessary.

    `scrapers` maps names of tasks, or patterns of them, to scrapers. `flush_every_task` stores after each task, not
    only after scraping jobs and before a process ends: a commit per task, for children that are killed often.
    """
    uninstall()
    ensure_started()
    hooks = _Hooks(scrapers, samples, flush_every_task)
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


def _queue(task: Any) -> str:
    delivery = getattr(task.request, "delivery_info", None)
    return str(delivery.get("routing_key") or "") if isinstance(delivery, Mapping) else ""


def _job_id(task_id: str, retries: Any) -> str:
    """Return the job id of a try; each has its own, as one may begin before the previous one has ended."""
    return f"{task_id}/{retries + 1}" if retries else task_id
