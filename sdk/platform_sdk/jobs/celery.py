"""Record Celery tasks by Celery's signals.

    import platform_sdk
    from platform_sdk.jobs import celery as jobs
    platform_sdk.init(dsn=..., app="shop")
    jobs.install(scrapers={"shop.tasks.scrape_*": "shop"})      # in the module that makes the Celery app

A task is a scraping job only where `scrapers` says so: then each try of it is a run with heartbeats, its job id the
task's (TASK/2 for the second try), and `platform_sdk.jobs.scraping.current_job()` counts items from inside the task.
For every task failures are recorded as errors with the task's id, and each attempt as a `background_task`: its outcome,
how long it ran, and how long it waited from publishing (or the ETA) to the start, where publisher and worker both run
this. A task that is run eagerly is an attempt like any other; one that is called as a function is none.

A pool's processes lose nothing: they flush before they end, and after each scraping job. Where one is killed in the
middle of a task, the worker notices and ends its run.
"""

import contextlib
import functools
import sys
from collections.abc import Mapping
from datetime import datetime
from time import monotonic, time
from typing import Any
from weakref import WeakValueDictionary

from celery import signals  # type: ignore[import-untyped]  # ships no types

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.jobs.attempt import Attempt
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, scraper_of

PUBLISHED = "platform_published_at"
"""The message header with the time at which a task was sent, in Unix seconds."""

_OUTCOMES = {"SUCCESS": "success", "IGNORED": "success", "RETRY": "retry"}
_REMEMBERED = 1000


class _Hooks:
    """Receivers, by the names of Celery's signals; what `install` was given, and the tasks that run in this process."""

    def __init__(self, scrapers: Scrapers | None, tasks: bool, flush_every_task: bool) -> None:
        self._scrapers, self._tasks, self._flush_every_task = scrapers, tasks, flush_every_task
        # By the identity of the request, which is held here: one task id may run several times at once, delivered
        # again (visibility timeout), replaced, retried eagerly, or given twice by the application.
        self._attempts: dict[int, tuple[Any, Attempt]] = {}
        self._began_here: dict[str, Any] = {}
        self._exceeded: dict[str, Any] = {}
        self._received: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._in_child = False

    def before_task_publish(self, headers: Any = None, **_: Any) -> None:
        if isinstance(headers, dict):
            headers[PUBLISHED] = time()

    def task_received(self, request: Any = None, **_: Any) -> None:
        """Remember, in the worker itself, what its processes are given: only it knows, if one is killed."""
        self._received[str(request.id)] = request

    def task_prerun(self, task_id: str, task: Any, **_: Any) -> None:
        request = task.request
        attempt = self._attempt(task_id, str(task.name), request, request.retries)
        attempt.wait_seconds = _waited(request)
        self._attempts[id(request)] = request, attempt
        attempt.begin()
        _remember(self._began_here, task_id, None)

    def task_retry(self, request: Any, reason: Any = None, sender: Any = None, **_: Any) -> None:
        error = _asked_for(reason)
        if (attempt := self._running(request)) is not None:
            attempt.retried_for(error)
        elif str(request.id) not in self._began_here:  # the worker asks for it, as the task's process was killed
            self._end_for_another(request.id, _name_of(sender), "retry", error)

    def task_failure(self, task_id: str, exception: BaseException, sender: Any = None, **_: Any) -> None:
        if (attempt := self._running(getattr(sender, "request", None))) is not None and attempt.task_id == task_id:
            attempt.failed(_original(exception))
        elif type(exception).__name__ != "Reject" and task_id not in self._began_here:
            # The task's process was killed, and could not record it. (Some versions tell the worker of Reject, too.)
            limit = exception.args[0] if exception.args and isinstance(exception.args[0], int | float) else 0.0
            if not (limit and self._reported_before(task_id, limit)):
                emit.exception(exception, endpoint=_name_of(sender), job_id=task_id)
                self._end_for_another(task_id, _name_of(sender), "failure", exception, float(limit))

    def task_internal_error(self, task_id: str, exception: BaseException, sender: Any = None, **_: Any) -> None:
        """Record what went wrong in Celery's own part, as in storing a result."""
        emit.exception(exception, endpoint=_name_of(sender), job_id=task_id)

    def _reported_before(self, task_id: str, limit_seconds: float) -> bool:
        """Return whether this time limit was reported already: some versions of Celery report it twice, within it."""
        now = monotonic()
        last = self._exceeded.pop(task_id, None)
        _remember(self._exceeded, task_id, now)
        return last is not None and now - last < limit_seconds

    def task_revoked(self, request: Any, terminated: bool = False, sender: Any = None, **_: Any) -> None:
        if terminated and request.id not in self._began_here:
            self._end_for_another(request.id, _name_of(sender), "failure")

    def task_postrun(self, task_id: str, task: Any, state: str | None = None, retval: Any = None, **_: Any) -> None:
        attempt = self._running(task.request)
        if attempt is None:
            return
        del self._attempts[id(task.request)]
        raised = sys.exc_info()[1] if state is None else None
        if isinstance(raised, Exception):  # eagerly, to be passed on; or Celery itself failed, as at storing the result
            attempt.failed(raised)
            attempt.end("failure")
        elif state is None and self._in_child:
            attempt.abandon()  # its process is being ended: the worker knows why and ends the run
        else:
            again = state == "REJECTED" and getattr(retval, "requeue", False)
            attempt.end("retry" if again else _OUTCOMES.get(state or "", "failure"), (state or "cancelled").lower())
        eager = getattr(task.request, "is_eager", False)  # in someone's request, perhaps, who must not wait
        if not eager and (attempt.job is not None or self._flush_every_task):
            client.flush_now()

    def _running(self, request: Any) -> Attempt | None:
        return self._attempts.get(id(request), (None, None))[1]

    def _attempt(self, task_id: str, name: str, request: Any, retries: Any) -> Attempt:
        return Attempt(
            name, task_id, queue=_queue(request), number=None if retries is None else retries + 1,
            worker=getattr(request, "hostname", None), scraper=scraper_of(self._scrapers, name),
            job_id=_job_id(task_id, retries), recorded=self._tasks,
        )  # fmt: skip

    def _end_for_another(
        self, task_id: str, name: str, outcome: str, error: BaseException | None = None, limit_seconds: float = 0.0
    ) -> None:
        """Record an attempt whose process was killed (without an error: revoked); a limit says how long it took."""
        request = self._received.get(task_id)
        retries = request.request_dict.get("retries") if request is not None else 0
        started = getattr(request, "time_start", None)
        duration_seconds = limit_seconds or (max(time() - started, 0.0) if started else 0.0)
        self._attempt(task_id, name, request, retries).was_killed(outcome, duration_seconds, error, "cancelled")

    def worker_init(self, **_: Any) -> None:
        """Watch, in the worker itself, for tasks that are delivered again because their process was lost."""
        from celery.worker.request import Request  # type: ignore[import-untyped]

        fail = Request.on_failure
        requeued = _guarded("requeued", self._requeued)

        @functools.wraps(fail)
        def on_failure(request: Any, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
            requeued(request=request, error=getattr(exc_info.exception, "exc", exc_info.exception))
            return fail(request, exc_info, *args, **kwargs)

        Request.on_failure = on_failure
        _patched.append((Request, fail))

    def _requeued(self, request: Any, error: Any) -> None:
        """Record an attempt of which Celery sends no signal."""
        lost = type(error).__name__ == "WorkerLostError"
        if lost and request.task.acks_late and request.task.reject_on_worker_lost:
            emit.exception(error, endpoint=request.task.name, job_id=request.id)
            self._end_for_another(request.id, request.task.name, "retry", error)

    def worker_process_init(self, **_: Any) -> None:
        self._attempts.clear()
        self._began_here.clear()
        self._in_child = True

    def worker_process_shutdown(self, **_: Any) -> None:
        client.close()

    def worker_shutdown(self, **_: Any) -> None:
        client.flush_now()


_connected: list[tuple[Any, Any]] = []
_patched: list[tuple[Any, Any]] = []


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


def ensure() -> None:
    """Connect to Celery's signals, unless the application did."""
    if not _connected:
        install()


def uninstall() -> None:
    """Disconnect from Celery's signals."""
    while _connected:
        signal, receiver = _connected.pop()
        signal.disconnect(receiver)
    while _patched:
        request_class, fail = _patched.pop()
        request_class.on_failure = fail


def _guarded(name: str, hook: Any) -> Any:
    def receiver(**kwargs: Any) -> None:
        try:
            hook(**kwargs)
        except Exception as error:  # noqa: BLE001 - never into the task
            note(f"celery {name}", error)

    return receiver


def _remember(known: dict[str, Any], key: str, value: Any) -> None:
    known.pop(key, None)
    known[key] = value
    with contextlib.suppress(RuntimeError, StopIteration):  # another thread remembers something
        while len(known) > _REMEMBERED:
            known.pop(next(iter(known)), None)


def _name_of(task: Any) -> str:
    return str(getattr(task, "name", "unknown"))


def _original(shown: BaseException) -> BaseException:
    """Return what a task raised: of what cannot be pickled Celery shows a wrapper, or an exception of a base class.

    Its signals come while the exception is handled.
    """
    raised = sys.exc_info()[1]
    return shown if raised is None else raised


def _asked_for(reason: Any) -> BaseException | None:
    """Return why a retry was asked for. A Retry holds what can be pickled; its context is what was being handled."""
    error: Any = getattr(reason, "exc", None)
    handled: BaseException | None = getattr(reason, "__context__", None)
    if error is None:
        return handled
    wrapped = type(error).__name__ == "UnpickleableExceptionWrapper"
    name = error.exc_cls_name if wrapped else type(error).__name__
    if handled is not None and name in [kind.__name__ for kind in type(handled).__mro__]:
        return handled
    found: BaseException = error.restore() if wrapped else error
    return found


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
