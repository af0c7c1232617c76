"""Record Huey's tasks.

    from huey import RedisHuey
    from platform_sdk.jobs import huey as jobs
    huey = RedisHuey("shop")
    jobs.install(huey, scrapers={"shop.tasks.scrape_*": "shop"})      # where the instance is made

Every attempt at a task, and every run of a periodic one, is a `background_task`: its outcome, how long it ran and,
where it had an ETA, how long it waited beyond that (Huey's messages do not say when they were sent). What a task raises
is recorded as an error with the task's id. A task is a scraping job only where `scrapers` says so; then what it emitted
is stored when it ends, whatever becomes of the consumer's process.
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from platform_sdk import client
from platform_sdk.diagnostics import note
from platform_sdk.jobs.attempt import Attempt
from platform_sdk.jobs.scrapers import Scrapers, ensure_started, scraper_of

_ASKED_FOR = ("CancelExecution", "RetryTask", "TaskLockedException", "RateLimitExceeded")
"""Exceptions of Huey's own, which are not errors."""


class _Hooks:
    """What was given to `install`, and the attempts that run in this process."""

    def __init__(self, huey: Any, scrapers: Scrapers | None) -> None:
        self._huey, self.scrapers = huey, scrapers
        self._attempts: dict[int, Attempt] = {}

    def begin(self, task: Any) -> None:
        name, retries = f"{type(task).__module__}.{task.name}", int(type(task).default_retries) - int(task.retries)
        self._attempts[id(task)] = Attempt(
            name, str(task.id), queue=str(self._huey.name), number=retries + 1 if retries >= 0 else None,
            wait_seconds=self._waited(task), scraper=scraper_of(self.scrapers, name),
        ).begin()  # fmt: skip

    def finished(self, task: Any, value: Any, error: BaseException | None) -> None:
        """Keep how it ended; Huey calls this in the worker, before it decides on what follows."""
        attempt = self._attempts.get(id(task))
        if attempt is not None and error is not None:
            if type(error).__name__ in _ASKED_FOR:
                attempt.retried_for(error)
            else:
                attempt.failed(error)
        self._end(task, "success" if error is None else "retry" if task.retries else "failure")

    def left(self, task: Any) -> None:
        """End an attempt that did not come to its end, or that the consumer does not wait for when it is shut down."""
        self._end(task, "failure", "cancelled")

    def _end(self, task: Any, outcome: str, reason: str = "other") -> None:
        attempt = self._attempts.pop(id(task), None)
        if attempt is not None:
            attempt.end(outcome, reason)
            if attempt.job is not None and not self._huey.immediate:
                client.flush_now()

    def _waited(self, task: Any) -> float | None:
        due = task.eta
        if not isinstance(due, datetime):
            return None
        if due.tzinfo is None:
            due = due.replace(tzinfo=UTC) if self._huey.utc else due.astimezone()
        return max((datetime.now(UTC) - due).total_seconds(), 0.0)


def install(huey: Any, scrapers: Scrapers | None = None) -> None:
    """Record the tasks of a Huey instance; a second call changes the options. Starts the SDK from the environment.

    `scrapers` maps names of tasks (`shop.tasks.scrape`), or patterns of them, to scrapers.
    """
    ensure_started()
    earlier = getattr(huey, "_platform_sdk", None)
    if earlier is not None:
        earlier.scrapers = scrapers
        return
    hooks = huey._platform_sdk = _Hooks(huey, scrapers)
    begin, left, finished, execute = (
        _guarded(hooks.begin),
        _guarded(hooks.left),
        _guarded(hooks.finished),
        huey._execute,
    )

    @functools.wraps(execute)
    def recorded(task: Any, *args: Any, **kwargs: Any) -> Any:
        begin(task)
        try:
            return execute(task, *args, **kwargs)
        finally:
            left(task)

    huey._execute = recorded
    huey.post_execute("platform_sdk")(finished)
    huey.signal("interrupted")(lambda _, task: left(task))


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    def call(*args: Any) -> None:
        try:
            hook(*args)
        except Exception as error:  # noqa: BLE001 - never into the task
            note("huey", error)

    return call
