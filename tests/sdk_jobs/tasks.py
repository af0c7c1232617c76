"""What the workers under test run: the same functions for RQ, and behind Celery's tasks."""

import os
import signal
import time

from platform_sdk.jobs.scraping import current_job


def scrape(items: int = 1) -> int:
    """Scrape some items."""
    job = current_job()
    if job is not None:
        job.item(items)
    return items


def fail(text: str = "no price") -> None:
    """Fail for a reason of the application."""
    raise ValueError(text)


def die() -> None:
    """Be killed, as by the kernel when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang(seconds: float = 30) -> None:
    """Take too long."""
    time.sleep(seconds)
