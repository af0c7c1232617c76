"""The Celery application under test. Run by `celery -A tests.sdk_jobs.celery_app worker` and by the tests."""

import os
import sys
from typing import Any

from celery import Celery, Task, signature
from celery.exceptions import Ignore, Reject

from platform_sdk.jobs import celery as jobs
from tests.sdk_jobs import tasks

app = Celery("shop", broker=os.environ.get("BROKER", "memory://"), backend=os.environ.get("BROKER", "cache+memory://"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": os.environ.get("PREFIX", "")},
    result_backend_transport_options={"global_keyprefix": os.environ.get("PREFIX", "")},
    task_track_started=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
)
SCRAPERS = {"shop.scrape*": "shop"} | {
    f"shop.{name}": name
    for name in ("retried", "killed", "slow", "unpicklable", "asks_again", "meets", "lost", "replaced", "rejected")
}
jobs.install(scrapers=SCRAPERS)


@app.task(name="shop.scrape")
def scrape(items: int) -> int:
    """Scrape, which is recorded as a job."""
    return tasks.scrape(items)


@app.task(name="shop.scrape_badly")
def scrape_badly() -> None:
    """Scrape, and fail."""
    tasks.fail()


@app.task(name="shop.tidy")
def tidy() -> int:
    """Do something that is not scraping."""
    return tasks.scrape()


@app.task(name="shop.broken")
def broken() -> None:
    """Fail at something that is not scraping."""
    tasks.fail("no disk")


@app.task(name="shop.retried", bind=True, max_retries=2)
def retried(self: "Task[Any, Any]") -> str:
    """Time out once, then succeed."""
    if self.request.retries == 0:
        raise self.retry(exc=TimeoutError("slow site"), countdown=0)
    return "ok"


@app.task(name="shop.killed")
def killed() -> None:
    """Have its process killed."""
    tasks.die()


@app.task(name="shop.exits")
def exits() -> None:
    """End its process."""
    sys.exit(3)


@app.task(name="shop.slow", time_limit=3)
def slow() -> None:
    """Exceed its time limit."""
    tasks.hang()


@app.task(name="shop.unpicklable")
def unpicklable(kind: str) -> None:
    """Fail in a way that no other process can be told."""
    tasks.unpicklable(kind)


@app.task(name="shop.asks_again", bind=True, max_retries=1)
def asks_again(self: "Task[Any, Any]", kind: str, given: bool) -> str:
    """Ask for a retry because of such a failure, which is given to it or being handled."""
    if self.request.retries:
        return "ok"
    try:
        tasks.unpicklable(kind)
    except Exception as error:  # noqa: BLE001 - of three kinds
        raise self.retry(exc=error if given else None, countdown=0) from None
    return "never"


@app.task(name="shop.meets")
def meets() -> int:
    """Run while another task runs in the same process."""
    return tasks.meet()


@app.task(name="shop.lost", bind=True, acks_late=True, reject_on_worker_lost=True)
def lost(self: "Task[Any, Any]") -> str:
    """Have its process killed, until it is delivered again."""
    if not self.request.delivery_info.get("redelivered"):
        tasks.die()
    return "ok"


@app.task(name="shop.soft", soft_time_limit=1)
def soft() -> None:
    """Exceed its soft time limit."""
    tasks.hang()


@app.task(name="shop.hangs")
def hangs() -> None:
    """Hang, until it is revoked."""
    tasks.hang(240)


@app.task(name="shop.rejected", bind=True, acks_late=True)
def rejected(self: "Task[Any, Any]", requeue: bool) -> str:
    """Reject its message, and where it is delivered again, succeed."""
    if self.request.delivery_info.get("redelivered"):
        return "ok"
    raise Reject("not now", requeue=requeue)


@app.task(name="shop.ignored")
def ignored() -> None:
    """End without a state."""
    raise Ignore


@app.task(name="shop.replaced", bind=True)
def replaced(self: "Task[Any, Any]", items: int) -> Any:
    """Have another task do the work, under the same id."""
    return self.replace(signature("shop.scrape", (items,), app=app))


@app.task(name="shop.nested")
def nested() -> int:
    """Run two others eagerly, one of which fails."""
    tidy.apply()
    broken.apply()
    return int(scrape.apply(args=(2,)).get(disable_sync_subtasks=False))


class Counted(Task):  # type: ignore[type-arg]
    """A task class of the application, which calls its base as many do."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        return super().__call__(*args, **kwargs)


@app.task(name="shop.scrape_counted", base=Counted)
def scrape_counted(items: int) -> int:
    """Scrape, as a task of such a class."""
    return tasks.scrape(items)


@app.task(name="shop.total")
def total(counts: list[int]) -> int:
    """Add up, as the body of a chord."""
    return sum(counts)


@app.task(name="shop.fails_for")
def fails_for(user: int, wait: bool = False) -> None:
    """Fail for a user."""
    tasks.fail_for(user, wait)


@app.task(name="shop.fails_for_nobody")
def fails_for_nobody() -> None:
    """Fail for nobody."""
    tasks.fail_for_nobody()
