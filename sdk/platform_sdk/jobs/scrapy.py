"""Record crawls: a Scrapy extension.

    EXTENSIONS = {"platform_sdk.jobs.scrapy.Monitor": 500}      # in the project's settings.py
    PLATFORM_SDK_DSN, PLATFORM_SDK_APP, PLATFORM_SDK_RELEASE    # there, or in the environment, or platform_sdk.init()

One crawl is one scraping job: scraper is the spider's name, site its first allowed domain, job id Scrapyd's or a new
one. Items scraped, dropped and failed (in a callback or a pipeline) and bytes as downloaded are the job's; errors keep
their stack traces. Answers by status, retries and bans (403, 429 and 503 answers) become the samples scrapy_responses,
scrapy_retries and scrapy_bans, labelled scraper (and status), every minute and at the end.
"""

from collections import Counter
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.exceptions import NotConfigured

from platform_sdk import emit
from platform_sdk.diagnostics import note
from platform_sdk.jobs.scraping import ScrapingJob
from platform_sdk.jobs.settings import ensure_started

SAMPLE_SECONDS = 60.0

BANS = {403: "forbidden", 429: "rate_limited", 503: "blocked"}
"""Statuses that sites turn scrapers away with, and the reason of a run that got nothing else."""

_WANTED_ENDS = ("finished", "closespider_itemcount", "closespider_pagecount", "closespider_timeout")
_CANCELS = ("shutdown", "cancelled")


class Failure(Protocol):
    """Twisted's, as far as it is used here."""

    value: BaseException
    frames: list[tuple[Any, ...]]
    """The innermost last: function, file, line, ..."""

    def getTraceback(self) -> str:  # noqa: N802 - Twisted's name
        """Return the traceback as text."""


class Monitor:
    """Follow one crawler."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler
        self._job: ScrapingJob | None = None
        self._statuses: Counter[int] = Counter()
        self._reported: Counter[tuple[str, str]] = Counter()
        self._errors = 0
        self._items = 0
        self._sampling: Any = None

    @classmethod
    def from_crawler(cls, crawler: Any) -> Self:
        """Return the extension of a crawler, as Scrapy asks for it. Raises NotConfigured where the SDK is off."""
        settings = crawler.settings
        names = ("dsn", "app", "release")
        if not ensure_started(**{name: settings.get(f"PLATFORM_SDK_{name.upper()}") for name in names}):
            raise NotConfigured(
                "no PLATFORM_SDK_DSN and PLATFORM_SDK_APP in settings or environment, and no platform_sdk.init()"
            )
        monitor = cls(crawler)
        for handler, signal in (
            (monitor.spider_opened, signals.spider_opened),
            (monitor.spider_closed, signals.spider_closed),
            (monitor.item_scraped, signals.item_scraped),
            (monitor.item_dropped, signals.item_dropped),
            (monitor.item_error, signals.item_error),
            (monitor.spider_error, signals.spider_error),
            (monitor.response_downloaded, signals.response_downloaded),
        ):
            crawler.signals.connect(handler, signal=signal)
        return monitor

    def spider_opened(self, spider: Any) -> None:
        """Begin the job."""
        job_id = getattr(spider, "_job", None)  # given by Scrapyd
        self._job = ScrapingJob(str(spider.name), _site_of(spider), job_id if isinstance(job_id, str) else None).begin()
        try:
            from twisted.internet.task import LoopingCall

            self._sampling = LoopingCall(self._sample)
            self._sampling.start(SAMPLE_SECONDS, now=False)
        except Exception as error:  # noqa: BLE001 - never into the crawl
            note("scrapy", error)

    def response_downloaded(self, response: Any) -> None:
        """Count an answer, one that will be retried too."""
        self._statuses[int(response.status)] += 1
        if self._job is not None:
            self._job.downloaded(len(response.body))

    def item_scraped(self) -> None:
        """Count an item that came through all pipelines."""
        self._items += 1
        if self._job is not None:
            self._job.item()

    def item_dropped(self) -> None:
        """Count an item that a pipeline dropped."""
        if self._job is not None:
            self._job.dropped()

    def item_error(self, failure: Failure, spider: Any) -> None:
        """Count and record an item that a pipeline failed on."""
        self._failed(failure, f"{spider.name}: pipeline")

    def spider_error(self, failure: Failure, response: Any, spider: Any) -> None:
        """Count and record a callback that failed on a page."""
        request = getattr(response, "request", None)
        callback = getattr(getattr(request, "callback", None), "__name__", None) or "parse"
        self._failed(failure, f"{spider.name}: {callback}")

    def spider_closed(self, reason: str) -> None:
        """End the job."""
        try:
            if self._sampling is not None and self._sampling.running:
                self._sampling.stop()
            self._sample()
        except Exception as error:  # noqa: BLE001 - never into the crawl
            note("scrapy", error)
        if self._job is not None:
            self._job.end(self._outcome(reason))

    def _failed(self, failure: Failure, endpoint: str) -> None:
        self._errors += 1
        if self._job is None:
            return
        self._job.failed()
        try:
            error = failure.value
            place, context = None, None
            if error.__traceback__ is None:  # older versions of Twisted keep it as text only
                frames = failure.frames
                place = f"{type(error).__name__} in {frames[-1][1]}, {frames[-1][0]}" if frames else None
                context = {"traceback": failure.getTraceback()[-2000:]}
            emit.exception(error, endpoint=endpoint, job_id=self._job.id, fingerprint=place, context=context)
        except Exception as trouble:  # noqa: BLE001 - never into the crawl
            note("scrapy", trouble)

    def _outcome(self, finish: str) -> str | None:
        """Return why the run failed, None where it did not.

        A crawl that ends as wanted yet brought no item failed where there was nothing but trouble: bans, errors in
        callbacks, requests without any answer.
        """
        if finish in _CANCELS:
            return "cancelled"
        if finish not in _WANTED_ENDS:
            return "parse" if finish == "closespider_errorcount" else "other"
        if self._items:
            return None
        if finish == "closespider_timeout":
            return "timeout"
        good = sum(count for status, count in self._statuses.items() if status < 400)
        if self._errors:
            return "parse"
        if good:
            return None
        if self._statuses:
            commonest = max(self._statuses, key=lambda each: self._statuses[each])
            return BANS.get(commonest) or ("server_error" if commonest >= 500 else "other")
        return self._download_trouble()

    def _download_trouble(self) -> str | None:
        """Return why no request was answered, None where none was made."""
        prefix = "downloader/exception_type_count/"
        names = [name[len(prefix) :] for name in self._stats() if name.startswith(prefix)]
        if not names:
            return None
        return "timeout" if all("Timeout" in name for name in names) else "connection"

    def _stats(self) -> dict[str, Any]:
        found = self._crawler.stats.get_stats()
        return dict(found) if found else {}

    def _sample(self) -> None:
        """Emit what was counted since the last time."""
        totals: Counter[tuple[str, str]] = Counter()
        for status, count in self._statuses.items():
            totals["scrapy_responses", str(status)] = count
            if status in BANS:
                totals["scrapy_bans", str(status)] = count
        totals["scrapy_retries", ""] = int(self._stats().get("retry/count", 0))
        scraper = self._job.scraper if self._job is not None else "unknown"
        for (name, code), count in (totals - self._reported).items():
            labels = {"scraper": scraper, "status": code} if code else {"scraper": scraper}
            emit.sample(name, count, "counter", labels=labels)
        self._reported = totals


def _site_of(spider: Any) -> str | None:
    try:
        domains = getattr(spider, "allowed_domains", None)
        if domains:
            return str(next(iter(domains)))
        starts = getattr(spider, "start_urls", None)
        return urlsplit(str(next(iter(starts)))).hostname if starts else None
    except Exception as error:  # noqa: BLE001 - the user's own attributes, and never into the crawl
        note("scrapy", error)
        return None
