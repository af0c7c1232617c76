"""Record crawls: a Scrapy extension.

    EXTENSIONS = {"platform_sdk.jobs.scrapy.Monitor": 500}      # in the project's settings.py
    PLATFORM_SDK_DSN, PLATFORM_SDK_APP, PLATFORM_SDK_RELEASE    # there, or in the environment, or platform_sdk.init()

One crawl is one scraping job: scraper is the spider's name, site its first allowed domain, job id Scrapyd's or a new
one. It counts items scraped, dropped and failed (in a callback or a pipeline) and bytes downloaded; errors keep their
stack traces. Responses by status, retries and bans (responses 403, 429 and 503) become the samples scrapy_responses,
scrapy_retries and scrapy_bans, labelled scraper (and status), every minute and at the end.
"""

from collections import Counter
from typing import Any, Self
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.exceptions import NotConfigured

from platform_sdk import emit
from platform_sdk.diagnostics import note
from platform_sdk.jobs.scrapers import ensure_started
from platform_sdk.jobs.scraping import ScrapingJob

SAMPLE_SECONDS = 60.0

BANS = {403: "forbidden", 429: "rate_limited", 503: "blocked"}
"""Statuses by which sites refuse scrapers, and the reason of a run that got nothing else."""

_GOOD_ENDS = ("finished", "closespider_itemcount", "closespider_pagecount", "closespider_timeout")
_CANCELS = ("shutdown", "cancelled")


_SIGNALS = (
    "spider_opened", "spider_closed", "item_scraped", "item_dropped", "item_error", "spider_error",
    "response_downloaded",
)  # fmt: skip

Failure = Any  # Twisted's


class Monitor:
    """The extension of one crawler."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler
        self._job = ScrapingJob("unknown")  # until a spider is opened
        self._statuses: Counter[int] = Counter()
        self._reported: Counter[tuple[str, str]] = Counter()
        self._errors = 0
        self._items = 0
        self._sampling: Any = None

    @classmethod
    def from_crawler(cls, crawler: Any) -> Self:
        """Return the extension of a crawler, as Scrapy expects. Raises NotConfigured where the SDK is off."""
        settings = crawler.settings
        names = ("dsn", "app", "release")
        if not ensure_started(**{name: settings.get(f"PLATFORM_SDK_{name.upper()}") for name in names}):
            raise NotConfigured(
                "no PLATFORM_SDK_DSN and PLATFORM_SDK_APP in settings or environment, and no platform_sdk.init()"
            )
        monitor = cls(crawler)
        for name in _SIGNALS:
            crawler.signals.connect(getattr(monitor, name), signal=getattr(signals, name))
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
        """Count a response, even one that will be retried."""
        self._statuses[int(response.status)] += 1
        self._job.downloaded(len(response.body))

    def item_scraped(self) -> None:
        """Count an item that came through all pipelines."""
        self._items += 1
        self._job.item()

    def item_dropped(self) -> None:
        """Count an item that a pipeline dropped."""
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
        self._job.end(self._outcome(reason))

    def _failed(self, failure: Failure, endpoint: str) -> None:
        self._errors += 1
        self._job.failed()
        try:
            exception = failure.value
            place, context = None, None
            if exception.__traceback__ is None:  # older versions of Twisted keep it as text only
                if failure.frames:
                    function, file, *_ = failure.frames[-1]
                    place = f"{type(exception).__name__} in {file}, {function}"
                context = {"traceback": failure.getTraceback()[-2000:]}
            emit.exception(exception, endpoint=endpoint, job_id=self._job.id, fingerprint=place, context=context)
        except Exception as error:  # noqa: BLE001 - never into the crawl
            note("scrapy", error)

    def _outcome(self, finish: str) -> str | None:
        """Return why the run failed, None where it did not.

        A crawl that ends normally but without an item failed where it met only bans, errors in callbacks, or requests
        without a response.
        """
        if finish in _CANCELS:
            return "cancelled"
        if finish not in _GOOD_ENDS:
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
        return self._download_failure()

    def _download_failure(self) -> str | None:
        """Return why no request got a response, None where none was made."""
        prefix = "downloader/exception_type_count/"
        names = [name[len(prefix) :] for name in self._crawler.stats.get_stats() if name.startswith(prefix)]
        if not names:
            return None
        return "timeout" if all("Timeout" in name for name in names) else "connection"

    def _sample(self) -> None:
        """Emit what was counted since the last call."""
        totals: Counter[tuple[str, str]] = Counter()
        for status, count in self._statuses.items():
            totals["scrapy_responses", str(status)] = count
            if status in BANS:
                totals["scrapy_bans", str(status)] = count
        totals["scrapy_retries", ""] = int(self._crawler.stats.get_value("retry/count", 0))
        scraper = self._job.scraper
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
