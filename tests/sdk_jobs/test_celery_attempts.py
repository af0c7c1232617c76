"""Every attempt at a Celery task is recorded once, whatever Celery makes of it."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signature
from celery.app.trace import build_tracer
from celery.backends.base import DisabledBackend

import platform_sdk
from platform_sdk.jobs import celery as jobs
from platform_sdk.jobs.scraping import current_job
from tests.sdk_jobs import celery_app, tasks
from tests.sdk_jobs.store import Store
from tests.sdk_jobs.workers import Broker, working
from tests.servers import poll_until
from tools.stack.servers import Redis

Attempts = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Worked:
    """What a worker left."""

    store: Store

    def attempts(self, task_id: str, columns: str = "task, attempt, outcome, reason") -> Attempts:
        """Return the attempts at a task."""
        return self.store.rows(columns, "background_task", f"task_id = '{task_id}'")

    def runs(self, task_id: str, columns: str = "outcome, reason, items_processed") -> Attempts:
        """Return the runs of a task."""
        return self.store.rows(columns, where=f"job_id LIKE '{task_id}%'")

    def states(self, task_id: str) -> Attempts:
        """Return the states of its live jobs."""
        return self.store.rows("status", "scraping_job", f"job_id LIKE '{task_id}%'")

    def errors(self, task_id: str) -> Attempts:
        """Return the errors of a task."""
        return self.store.rows("error_type, message", "error", f"job_id LIKE '{task_id}%'")


def send_all(broker: Broker) -> None:
    """Send one task of each kind, whose id says which, and wait for all of them."""
    app = broker.app

    def named(name: str, *args: Any, task_id: str, **options: Any) -> Any:
        return signature(name, args, app=app, immutable=True, task_id=task_id, **options)

    results = [
        broker.send("shop.unpicklable", kind, task_id=kind) for kind in ("layout", "mirror", "captcha", "chained")
    ]
    results += [
        broker.send("shop.asks_again", kind, given, task_id=f"again-{kind}-{given}")
        for kind in ("layout", "mirror", "captcha")
        for given in (True, False)
    ]
    results += [
        broker.send(f"shop.{name}", *args, task_id=name)
        for name, *args in (["lost"], ["soft"], ["replaced", 3], ["nested"], ["scrape_counted", 2])
    ]
    results.append(broker.send("shop.rejected", True, task_id="requeued"))
    results.append(chain(named("shop.tidy", task_id="link-1"), named("shop.scrape", 1, task_id="link-2"))())
    header = group([named("shop.scrape", 1, task_id=f"member-{number}") for number in (1, 2)])
    results.append(chord(header)(signature("shop.total", app=app, task_id="body")))
    broken = group([named("shop.tidy", task_id="good"), named("shop.broken", task_id="bad")])
    results.append(chord(broken)(signature("shop.total", app=app, task_id="never")))
    for name, *args in (["ignored"], ["rejected", False], ["hangs"]):
        broker.send(f"shop.{name}", *args, task_id=name)
    for result in results:
        result.get(timeout=240, propagate=False)


@pytest.fixture(scope="module")
def worked(module_store: Store, redis_server: Redis) -> Worked:
    """Return what a worker with processes left of one task of each kind."""
    with working(module_store, redis_server, "--pool", "prefork", "--concurrency", "3") as broker:
        send_all(broker)
        control = broker.app.control
        poll_until(lambda: any("hangs" in str(each) for each in (control.inspect().active() or {}).values()))
        control.revoke("hangs", terminate=True)
        found = "task_id IN ('ignored', 'rejected', 'hangs')"
        poll_until(lambda: module_store.count("background_task", found) == 3)
        assert broker.end() == 0
    return Worked(module_store)


@pytest.mark.parametrize(
    ("task_id", "error_type", "message", "reason"),
    [
        ("layout", "LayoutError", "page 7 has no price", "other"),
        ("mirror", "MirrorError", "mirror.example hung up", "connection"),
        ("captcha", "BlockedByCaptchaError", "captcha on page 3", "blocked"),
        ("chained", "ValueError", "chained", "connection"),
    ],
)
def test_exception_that_cannot_be_pickled(
    worked: Worked, task_id: str, error_type: str, message: str, reason: str
) -> None:
    """The error is the one that was raised, with its trace, and so are the attempt's reason and the run's."""
    ((_, shown), (trace,)) = (
        worked.errors(task_id)[0],
        worked.store.rows("stack_trace", "error", f"job_id='{task_id}'")[0],
    )

    assert worked.errors(task_id) == [(error_type, message)]
    assert "in unpicklable" in trace
    assert shown == message
    assert worked.attempts(task_id) == [("shop.unpicklable", 1, "failure", error_type)]
    assert worked.runs(task_id) == [("failure", reason, 0)]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    ("kind", "error_type", "reason"),
    [
        ("layout", "LayoutError", "other"), ("mirror", "MirrorError", "connection"),
        ("captcha", "BlockedByCaptchaError", "blocked"),
    ],
)  # fmt: skip
def test_retry_for_an_exception_that_cannot_be_pickled(
    worked: Worked, kind: str, given: bool, error_type: str, reason: str
) -> None:
    """The reason of a retry, too, is what was raised, whether `retry` was given it or not."""
    task_id = f"again-{kind}-{given}"

    assert worked.attempts(task_id) == [
        ("shop.asks_again", 1, "retry", error_type), ("shop.asks_again", 2, "success", None)
    ]  # fmt: skip
    assert worked.runs(task_id) == [("failure", reason, 0), ("success", None, 0)]


def test_lost_and_delivered_again(worked: Worked) -> None:
    """The attempt whose process was killed is recorded, of which Celery says nothing; no job is left running."""
    assert worked.attempts("lost", "outcome, reason") == [("retry", "WorkerLostError"), ("success", None)]
    assert worked.runs("lost") == [("failure", "other", 0), ("success", None, 0)]
    assert worked.states("lost") == [("completed",)]
    assert [kind for kind, _ in worked.errors("lost")] == ["WorkerLostError"]


def test_replaced(worked: Worked) -> None:
    """A task that another one replaces is an attempt, and so is that other, under the same id."""
    assert worked.attempts("replaced", "task, outcome") == [("shop.replaced", "success"), ("shop.scrape", "success")]
    assert worked.runs("replaced", "scraper, items_processed") == [("replaced", 0), ("shop", 3)]
    assert worked.states("replaced") == [("completed",)]


def test_soft_time_limit(worked: Worked) -> None:
    """It is raised in the task, like any other exception."""
    assert worked.attempts("soft") == [("shop.soft", 1, "failure", "SoftTimeLimitExceeded")]
    assert [kind for kind, _ in worked.errors("soft")] == ["SoftTimeLimitExceeded"]


def test_revoked_while_it_runs(worked: Worked) -> None:
    """The worker ends its process, and records the attempt."""
    assert worked.attempts("hangs") == [("shop.hangs", 1, "failure", "cancelled")]
    assert worked.errors("hangs") == []


def test_rejected(worked: Worked) -> None:
    """A failure, where the message is not delivered again; else a retry, and no error in either case."""
    assert worked.attempts("rejected") == [("shop.rejected", 1, "failure", "rejected")]
    assert worked.attempts("requeued") == [
        ("shop.rejected", 1, "retry", "rejected"), ("shop.rejected", 1, "success", None)
    ]  # fmt: skip
    assert worked.states("requeued") == [("completed",)]
    assert worked.errors("rejected") + worked.errors("requeued") == []


def test_ignored(worked: Worked) -> None:
    """A task that wants no state has not failed."""
    assert worked.attempts("ignored") == [("shop.ignored", 1, "success", None)]


def test_chains_and_chords(worked: Worked) -> None:
    """Each of their tasks is an attempt; a body that never ran is none."""
    ran = worked.store.rows("task_id, outcome", "background_task", "task_id ~ 'link-|member-|body|good|bad|never'")

    assert ran == [
        ("bad", "failure"), ("body", "success"), ("good", "success"), ("link-1", "success"), ("link-2", "success"),
        ("member-1", "success"), ("member-2", "success"),
    ]  # fmt: skip


def test_eager_within_a_task(worked: Worked) -> None:
    """Those that a task runs by itself are attempts, and the outer one goes on."""
    inner = "task_id NOT IN (SELECT job_id FROM monitoring.scraping_run) AND queue IS NULL AND task <> 'shop.nested'"

    assert worked.attempts("nested") == [("shop.nested", 1, "success", None)]
    assert worked.store.rows("task, outcome", "background_task", inner) == [
        ("shop.broken", "failure"), ("shop.tidy", "success")
    ]  # fmt: skip


def test_task_class_of_the_application(worked: Worked) -> None:
    """It may call its base, which makes a second request of the same task."""
    assert worked.attempts("scrape_counted") == [("shop.scrape_counted", 1, "success", None)]
    assert worked.runs("scrape_counted") == [("success", None, 2)]


def test_no_job_is_left_running(worked: Worked) -> None:
    """Every live job has ended, and every attempt was stored."""
    assert worked.store.count("scraping_job", "status = 'running'") == 0
    assert worked.store.rows("task_id, count(*)", "background_task", "duration_seconds IS NULL GROUP BY 1") == []


@pytest.mark.parametrize("pool", ["threads", "gevent"])
def test_one_id_twice_at_once(store: Store, redis_server: Redis, pool: str) -> None:
    """Two deliveries of one task that run in one process at the same time are two attempts and two runs."""
    with working(store, redis_server, "--pool", pool, "--concurrency", "4") as broker:
        results = [broker.send("shop.meets", task_id="twice") for _ in range(2)]
        for result in results:
            result.get(timeout=240)
        poll_until(lambda: store.count("background_task") == 2)
        assert broker.end() == 0
    worked = Worked(store)

    assert worked.attempts("twice") == [("shop.meets", 1, "success", None)] * 2
    assert worked.runs("twice") == [("success", None, 1)] * 2
    assert worked.states("twice") == [("completed",)]


@pytest.fixture
def eager(start: Callable[..., None]) -> Iterator[Celery]:
    """Return the application with its tasks run where they are called, as in tests of Django."""
    start()
    jobs.install(scrapers=celery_app.SCRAPERS)
    before = celery_app.app.conf.task_always_eager
    celery_app.app.conf.task_always_eager = True
    yield celery_app.app
    celery_app.app.conf.task_always_eager = before
    celery_app.app.conf.task_eager_propagates = False
    jobs.uninstall()


def test_eager_replacement(store: Store, eager: Celery) -> None:
    """It runs within the task that it replaces, under its id: both are recorded, and no job is left running."""
    assert celery_app.replaced.apply(args=(3,), task_id="r").get() == 3
    assert platform_sdk.flush(60)
    worked = Worked(store)

    assert worked.attempts("r", "task, outcome") == [("shop.replaced", "success"), ("shop.scrape", "success")]
    assert worked.runs("r", "scraper, items_processed") == [("replaced", 0), ("shop", 3)]
    assert worked.states("r") == [("completed",)]
    assert not current_job()


def test_eager_retry(store: Store, eager: Celery) -> None:
    """It runs within the attempt that asked for it, under the same id."""
    assert celery_app.retried.apply_async(task_id="again").get() == "ok"
    assert platform_sdk.flush(60)
    worked = Worked(store)

    assert worked.attempts("again", "attempt, outcome, reason") == [
        (1, "retry", "TimeoutError"), (2, "success", None)
    ]  # fmt: skip
    assert store.rows("job_id, status", "scraping_job") == [("again", "failed"), ("again/2", "completed")]


@pytest.mark.parametrize("propagates", [True, False])
def test_eager_failure(store: Store, eager: Celery, propagates: bool) -> None:
    """It is one failed attempt and one error, whether the caller is to see the exception or not."""
    eager.conf.task_eager_propagates = propagates
    with pytest.raises(tasks.LayoutError) if propagates else nullcontext():
        celery_app.unpicklable.apply_async(("layout",), task_id="e")
    assert platform_sdk.flush(60)
    worked = Worked(store)

    assert worked.attempts("e") == [("shop.unpicklable", 1, "failure", "LayoutError")]
    assert worked.runs("e") == [("failure", "other", 0)]
    assert worked.errors("e") == [("LayoutError", "page 7 has no price")]


def test_id_used_again(store: Store, eager: Celery) -> None:
    """Each use is an attempt and a run; the live job is the newest one's."""
    for items in (1, 2):
        celery_app.scrape.apply_async((items,), task_id="nightly")
    assert platform_sdk.flush(60)
    worked = Worked(store)

    assert worked.runs("nightly", "items_processed") == [(1,), (2,)]
    assert worked.states("nightly") == [("completed",)]


def test_task_called_as_a_function(store: Store, eager: Celery) -> None:
    """It is not an attempt; what it raises is the caller's."""
    assert celery_app.scrape(2) == 2
    with pytest.raises(ValueError, match="no price"):
        celery_app.scrape_badly()
    assert platform_sdk.flush(60)

    assert store.count("background_task") + store.count("error") + store.count() == 0


class Forgetful(DisabledBackend):
    """A result backend that is away."""

    def store_result(self, *args: Any, **kwargs: Any) -> None:
        """Fail."""
        raise ConnectionRefusedError("no backend")

    mark_as_done = mark_as_failure = store_result


@pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "outcome", "reason", "errors"),
    [
        ("scrape", "success", None, [("ConnectionRefusedError", "no backend")]),
        ("scrape_badly", "failure", "ConnectionRefusedError", [("ConnectionRefusedError", "no backend")]),
    ],
)
def test_result_that_cannot_be_stored(
    store: Store, eager: Celery, name: str, outcome: str, reason: str | None, errors: Attempts
) -> None:
    """Celery calls that an internal error; the attempt is recorded once, and the error that it ended with."""
    app = Celery("forgetful", set_as_current=False)
    task = app.task(name=f"shop.{name}", shared=False)(tasks.scrape if name == "scrape" else tasks.fail)
    task.backend = Forgetful(app)
    trace = build_tracer(task.name, task, app=app)
    with suppress(ConnectionRefusedError):
        trace("t", (), {}, {"id": "t", "delivery_info": {}})
    assert platform_sdk.flush(60)
    worked = Worked(store)

    assert worked.attempts("t", "outcome, reason") == [(outcome, reason)]
    assert worked.errors("t") == errors
    assert worked.states("t") == [("completed" if outcome == "success" else "failed",)]
