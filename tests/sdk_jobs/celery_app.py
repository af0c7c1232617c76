"""The Celery application under test. Run by `celery -A tests.sdk_jobs.celery_app worker` and by the tests."""

import os
from typing import Any

from celery import Celery, Task

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
jobs.install(scrapers={"shop.scrape*": "shop", "shop.retried": "retried", "shop.killed": "killed", "shop.slow": "slow"})


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


@app.task(name="shop.slow", time_limit=3)
def slow() -> None:
    """Exceed its time limit."""
    tasks.hang()
