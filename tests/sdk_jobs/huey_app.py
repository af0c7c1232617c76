"""The Huey instance under test. Run by `huey_consumer tests.sdk_jobs.huey_app.huey`."""

import os

from huey import CancelExecution, RedisHuey, RetryTask, crontab

from platform_sdk.jobs import huey as jobs
from tests.sdk_jobs import tasks

huey = RedisHuey(os.environ.get("PREFIX", "shop"), url=os.environ.get("BROKER", "redis://127.0.0.1:1"))
jobs.install(huey, scrapers={"tests.sdk_jobs.huey_app.scrape*": "shop"})


@huey.task()
def scrape(items: int) -> int:
    """Scrape, which is recorded as a job."""
    return tasks.scrape(items)


@huey.task()
def scrape_badly() -> None:
    """Scrape, and fail."""
    tasks.fail()


@huey.task()
def tidy() -> int:
    """Do something that is not scraping."""
    return tasks.scrape()


@huey.task(retries=2)
def flaky(mark: str) -> str:
    """Fail at first."""
    if tasks.first_time(mark):
        raise TimeoutError("slow site")
    return "ok"


@huey.task(retries=1)
def asks_again(mark: str) -> str:
    """Ask for another attempt at first."""
    if tasks.first_time(mark):
        raise RetryTask(delay=0)
    return "ok"


@huey.task()
def cancels() -> None:
    """Decide that there is nothing to do."""
    raise CancelExecution


@huey.task()
@huey.lock_task("one")
def locked() -> None:
    """Wait for a lock that someone has."""


@huey.task()
def unpicklable() -> None:
    """Fail with an exception that cannot be pickled."""
    tasks.unpicklable("layout")


@huey.task()
def hangs() -> None:
    """Take too long."""
    tasks.hang(240)


@huey.periodic_task(crontab(minute="*"))
def every_minute() -> None:
    """Be due each minute."""


@huey.pre_execute()
def refuse(task: object) -> None:
    """Refuse tasks of one name before they begin."""
    if type(task).__name__ == "refused":
        raise CancelExecution


@huey.task()
def refused() -> None:
    """Never run."""
