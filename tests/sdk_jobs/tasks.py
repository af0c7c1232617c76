"""What the workers under test run: the same functions for RQ, and behind Celery's tasks."""

import os
import signal
import threading
import time
from pathlib import Path

from rq import Retry

import platform_sdk
from platform_sdk.jobs.scraping import current_job


def scrape(items: int = 1) -> int:
    """Scrape some items."""
    current_job().item(items)
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


def fail_for(user: int, wait: bool = False) -> None:
    """Fail for a user, while another task may do so for another one."""
    platform_sdk.set_user(user)
    platform_sdk.set_tag("plan", f"plan-{user}")
    if wait:
        _both.wait(60)
    raise LookupError(f"nothing of {user}")


def fail_for_nobody() -> None:
    """Fail without having said for whom."""
    raise LookupError("nobody")


def again_at_first(mark: str) -> Retry | None:
    """Ask for another attempt by the result, once."""
    return Retry(1) if first_time(mark) else None


def first_time(mark: str) -> bool:
    """Return whether this is the first call with such a file."""
    path = Path(mark)
    known = path.exists()
    path.touch()
    return not known


class LayoutError(Exception):
    """An error that cannot be pickled, nor any class above it: the reason of a parser that broke."""

    def __init__(self, page: int, what: str) -> None:
        super().__init__(f"page {page} has no {what}")
        self.lock = threading.Lock()


class MirrorError(ConnectionError):
    """An error that cannot be pickled, though its base class can."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} hung up")
        self.lock = threading.Lock()


class BlockedByCaptchaError(Exception):
    """An error that is pickled but cannot be read again: its arguments are not those of its class."""

    def __init__(self, page: int, *, kind: str) -> None:
        super().__init__(f"{kind} on page {page}")


def unpicklable(kind: str) -> None:
    """Fail in a way that no other process can be told."""
    if kind == "layout":
        raise LayoutError(7, "price")
    if kind == "mirror":
        raise MirrorError("mirror.example")
    if kind == "captcha":
        raise BlockedByCaptchaError(3, kind="captcha")
    try:
        raise MirrorError("mirror.example")
    except MirrorError as error:
        raise ValueError("chained") from error


_both = threading.Barrier(2)


def meet() -> int:
    """Wait until another task runs in this process."""
    current_job().item()
    _both.wait(60)
    return 1
