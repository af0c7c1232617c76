"""Which scraping job runs here, for those who count for it without knowing more of it."""

from contextvars import ContextVar
from typing import Protocol

from platform_sdk.outgoing.blocks import Page


class Counting(Protocol):
    """A job that counts requests."""

    live: bool
    outer: "Counting | None"

    def observe(
        self, site: str | None, page: Page, *, size_bytes: int | None, retry: bool, block: str | None = None,
        proxy: str | None = None, seconds: float = 0.0,
    ) -> str | None:  # fmt: skip
        """Count a request that began so long ago; return what blocked it, None where nothing did."""


current: ContextVar[Counting | None] = ContextVar("platform_sdk_scraping_job", default=None)


def running() -> Counting | None:
    """Return the innermost job that runs here, None outside of any."""
    job = current.get()
    while job is not None and not job.live:
        job = job.outer
    return job
