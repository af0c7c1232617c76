"""The requests of one scraping job, counted in memory: a row of `scraping_request` for each number of alike ones."""

import re
from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import Any

from platform_sdk import emit
from platform_sdk.events.scraping_request import SCRAPING_REQUEST
from platform_sdk.jobs.scrapers import REFUSALS
from platform_sdk.outgoing.blocks import Page
from platform_sdk.outgoing.proxies import cost_of
from platform_sdk.outgoing.rate_limits import wait_seconds

REPORT_SECONDS = 60.0
MOST_KINDS = 200
"""How many kinds of requests are kept apart until they are reported, whatever a crawl meets."""

Kind = tuple[str | None, int | None, str | None, str | None]
"""Site, status, block, provider of the proxy."""


@dataclass(slots=True)
class _Count:
    """How many requests of a kind there were, and what of them."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    early: int = 0
    disallowed: int = 0


class Traffic:
    """What a job requested, since the last report and in all. Its owner holds a lock."""

    def __init__(self) -> None:
        self._alike: dict[Kind, _Count] = {}
        self._reported_at = monotonic()
        self.bytes: int | None = None
        self.requests = self._pages = 0
        self.blocks: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def add(
        self, site: str | None, status: int | None, size_bytes: int | None, *, retry: bool, block: str | None = None,
        proxy: str | None = None, early: bool = False, passage: bool = False,
    ) -> None:  # fmt: skip
        """Count a request; a `passage`, such as a redirect, is followed by the page that it was for."""
        self.requests += 1
        self._pages += not passage
        if block is not None:
            self.blocks[block] += 1
        reason = "blocked" if block is not None else None if passage else _failure(status)
        if reason is not None:
            self._failures[reason] += 1
        count = self._count(site, status, block, proxy)
        count.requests += 1
        count.retries += retry
        count.early += early
        if size_bytes:
            count.bytes += size_bytes
            self.bytes = (self.bytes or 0) + size_bytes

    def disallow(self, site: str | None, pages: int) -> None:
        """Count pages that were not requested because robots.txt disallows them."""
        self._count(site, None, None, None).disallowed += pages

    def _count(self, *kind: Any) -> _Count:
        count = self._alike.get(kind)
        if count is None:
            count = self._alike[kind] = _Count()
        return count

    @property
    def due(self) -> bool:
        """Return whether it is time for a report."""
        return len(self._alike) >= MOST_KINDS or monotonic() - self._reported_at >= REPORT_SECONDS

    @property
    def block(self) -> str | None:
        """Return what blocked at least half of the pages, None where that is not so."""
        if not self.blocks or 2 * self.blocks.total() < self._pages:
            return None
        return self.blocks.most_common(1)[0][0]

    @property
    def failure(self) -> str | None:
        """Return why none of the pages came: refusals, server errors, silence; None where one did."""
        if not self._failures or self._failures.total() < self._pages:
            return None
        return self._failures.most_common(1)[0][0]

    def report(self, job_id: str, scraper: str) -> None:
        """Emit what was counted, and begin at 0."""
        alike, self._alike, self._reported_at = self._alike, {}, monotonic()
        for (site, status, block, proxy), count in alike.items():
            pages = count.requests if block is None and status is not None and status < 400 else 0
            emit.event(
                SCRAPING_REQUEST, job_id=job_id, scraper=scraper, site=site, status=status, block=block,
                requests=count.requests, retries=count.retries, response_bytes=count.bytes, proxy=proxy,
                cost=cost_of(proxy, count.requests, pages, count.bytes), early=count.early,
                disallowed=count.disallowed,
            )  # fmt: skip


def _failure(status: int | None) -> str | None:
    """Return the reason of a run whose responses all have this status; None where it may be what was asked for."""
    if status is None:
        return "connection"
    return REFUSALS.get(status) or ("server_error" if status >= 500 else None)


class History:
    """How large the pages of each route are, and whether each scraper finds items; in this process.

    Bounded: of routes those seen first are forgotten first. Wrong by one where threads meet, and that does not matter.
    """

    ROUTES, PAGES, RUNS, FACTOR, FORGET = 500, 20, 3, 4, 1000

    def __init__(self) -> None:
        self._routes: dict[tuple[str | None, str], list[int]] = {}
        self._runs: dict[str, int] = {}

    def is_small(self, site: str | None, page: Page) -> bool:
        """Tell whether a page is a quarter of the smallest that its route gave, if that is known of twenty.

        What is small stays out of the history, unless there is nothing else for a thousand pages: a new layout.
        """
        size = page.size
        if page.status != 200 or not size or not page.is_html or page.method != "GET":
            return False
        route = site, _NUMBER.sub("0", page.path.rpartition("/")[0])
        known = self._routes.get(route)
        if known is None:
            if len(self._routes) >= self.ROUTES:
                self._routes.pop(next(iter(self._routes)), None)
            self._routes[route] = [1, size, 0]
            return False
        if known[0] >= self.PAGES and size * self.FACTOR < known[1]:
            known[2] += 1
            if known[2] >= self.FORGET:
                self._routes.pop(route, None)
            return True
        known[:] = known[0] + 1, min(known[1], size), 0
        return False

    def found_nothing(self, scraper: str, items: int) -> bool:
        """Tell whether a run found no item after three in a row that found some."""
        before = self._runs.get(scraper, 0)
        if items:
            self._runs[scraper] = before + 1
        elif before < self.RUNS:
            self._runs.pop(scraper, None)
        return not items and before >= self.RUNS


class Waits:
    """Until when sites asked this process to wait, by Retry-After. Bounded as `History` is."""

    SITES, LONGEST_SECONDS, SLACK_SECONDS = 500, 3600.0, 1.0

    def __init__(self) -> None:
        self._of_site: dict[str | None, tuple[float, float]] = {}

    def is_early(self, site: str | None, seconds: float) -> bool:
        """Tell whether a request that began so long ago should have waited; those on their way then need not."""
        asked = self._of_site.get(site)
        return asked is not None and asked[0] < monotonic() - seconds < asked[1]

    def take(self, site: str | None, page: Page) -> None:
        """Take what a response asks for."""
        text = page.headers.get("retry-after")
        wait = None if text is None or page.status < 400 else wait_seconds(text)
        if wait is None or wait <= self.SLACK_SECONDS:
            return
        if site not in self._of_site and len(self._of_site) >= self.SITES:
            self._of_site.pop(next(iter(self._of_site)), None)
        now = monotonic()
        self._of_site[site] = now + self.SLACK_SECONDS, now + min(wait, self.LONGEST_SECONDS)


_NUMBER = re.compile(r"\d+")
HISTORY, WAITS = History(), Waits()
