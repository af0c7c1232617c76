"""What a task says of its user and tags is with its errors, and with no other task's."""

from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]  # ships no types
from huey import MemoryHuey

import platform_sdk
from platform_sdk.jobs import apscheduler, huey
from tests.sdk_jobs import tasks
from tests.sdk_jobs.store import Store
from tests.sdk_jobs.test_rq import queueing
from tests.sdk_jobs.workers import working
from tests.servers import poll_until
from tools.stack.servers import Redis

EXPECTED = [("nobody", None, None), ("nothing of 7", "7", "plan-7"), ("nothing of 8", "8", "plan-8")]


def errors(store: Store) -> list[tuple[Any, ...]]:
    """Return the errors, with their users and tags."""
    return store.rows("message, user_id, context->'tags'->>'plan'", "error")


def settled(store: Store) -> list[tuple[Any, ...]]:
    """Return them when all have come."""
    poll_until(lambda: store.count("error") >= len(EXPECTED), 240)
    return errors(store)


def test_celery(store: Store, redis_server: Redis) -> None:
    """In one process, one after the other."""
    with working(store, redis_server, "--pool", "solo") as broker:
        for name, *args in (["fails_for", 7], ["fails_for", 8], ["fails_for_nobody"]):
            broker.send(f"shop.{name}", *args).get(timeout=240, propagate=False)
        broker.end()

    assert settled(store) == EXPECTED


@pytest.mark.parametrize("pool", ["threads", "gevent"])
def test_celery_at_once(store: Store, redis_server: Redis, pool: str) -> None:
    """In threads or greenlets of one process, at the same time, and then in one that was used before."""
    with working(store, redis_server, "--pool", pool, "--concurrency", "2") as broker:
        results = [broker.send("shop.fails_for", user, True) for user in (7, 8)]
        for result in results:
            result.get(timeout=240, propagate=False)
        broker.send("shop.fails_for_nobody").get(timeout=240, propagate=False)
        broker.end()

    assert settled(store) == EXPECTED


def test_rq(store: Store, redis_server: Redis) -> None:
    """In a worker that does not fork."""
    with queueing(store, redis_server) as line:
        line.add(tasks.fail_for, 7)
        line.add(tasks.fail_for, 8)
        line.add(tasks.fail_for_nobody)
        line.work("platform_sdk.jobs.rq.MonitoredSimpleWorker")

    assert errors(store) == EXPECTED


def test_huey(store: Store, start: Callable[..., None]) -> None:
    """In one thread."""
    start()
    instance = MemoryHuey("scopes", immediate=True)
    huey.install(instance)
    fails_for, fails_for_nobody = instance.task()(tasks.fail_for), instance.task()(tasks.fail_for_nobody)
    fails_for(7)
    fails_for(8)
    fails_for_nobody()
    assert platform_sdk.flush(60)

    assert errors(store) == EXPECTED


def test_apscheduler(store: Store, start: Callable[..., None]) -> None:
    """In one thread of a pool."""
    start()
    apscheduler.install()
    one = {"default": {"type": "threadpool", "max_workers": 1}}
    scheduler = BackgroundScheduler(executors=one, timezone=UTC, job_defaults={"misfire_grace_time": 240})
    scheduler.start()
    try:
        for job, *args in ([tasks.fail_for, 7], [tasks.fail_for, 8], [tasks.fail_for_nobody]):
            scheduler.add_job(job, args=args)
        poll_until(lambda: platform_sdk.flush(60) and store.count("error") == 3, 240)
    finally:
        scheduler.shutdown()
        apscheduler.uninstall()

    assert errors(store) == EXPECTED
