"""Record crawls: a Scrapy extension.

    EXTENSIONS = {"platform_sdk.jobs.scrapy.Monitor": 500}      # in the project's settings.py
    PLATFORM_SDK_DSN, PLATFORM_SDK_APP, PLATFORM_SDK_RELEASE    # there, or in the environment, or platform_sdk.init()

One crawl is one scraping job: scraper is the spider's name, site its first allowed domain, job id Scrapyd's or a new
one. It counts items scraped, dropped and failed (in a callback or a pipeline) and bytes downloaded; errors keep their
stack traces. Requests become rows of `scraping_request` by site and status, every minute and at the end; those that
Scrapy repeats are retries. What blocks a crawl is recognised whatever the status; PLATFORM_SDK_BLOCKED names a function
of a response that says so of others.

A crawl failed where something broke outside of single pages and items (opening or closing a pipeline or the spider,
start requests, a feed export), where it ended for a reason that is not among PLATFORM_SDK_EXPECTED_FINISH_REASONS, and
where it got nothing but refusals (of a proxy, too), errors or silence. It ends when its feeds are stored.
"""

import atexit
import logging
from collections import Counter
from fnmatch import fnmatchcase
from typing import Any, Self

from scrapy import signals
from scrapy.exceptions import IgnoreRequest, NotConfigured
from scrapy.utils.misc import load_object

from platform_sdk import emit
from platform_sdk.diagnostics import note
from platform_sdk.jobs.fields import pairs_of
from platform_sdk.jobs.responses import decoded, pairs
from platform_sdk.jobs.scrapers import REFUSALS, ensure_started, reason_of
from platform_sdk.jobs.scraping import ScrapingJob, current_job
from platform_sdk.jobs.scrapy_faults import LoggedFaults, watch
from platform_sdk.outgoing.blocks import START_BYTES, Page, headers_of
from platform_sdk.outgoing.proxies import provider_of
from platform_sdk.parsing import split_url

EXPECTED = ("finished", "closespider_itemcount", "closespider_pagecount", "closespider_timeout")
"""Finish reasons, or patterns of them, that are a success unless PLATFORM_SDK_EXPECTED_FINISH_REASONS lists others."""

_ENDS = {
    "shutdown": "cancelled", "cancelled": "cancelled", "closespider_errorcount": "parse",
    "closespider_pagecount_no_item": "parse", "closespider_timeout_no_item": "timeout",
}  # fmt: skip
"""The reasons of other ends; any other is "other"."""

_SIGNALS = (
    "spider_opened", "spider_closed", "engine_stopped", "item_scraped", "item_dropped", "item_error", "spider_error",
    "response_downloaded", "request_left_downloader",
)  # fmt: skip

Failure = Any  # Twisted's


class Monitor:
    """The extension of one crawler."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler
        self._job = current_job()  # none, until a spider is opened
        self._answered: set[int] = set()  # requests whose response has come, until they leave the downloader
        self._unanswered: dict[int, Any] = {}  # requests that left it without one, until it is known why
        self._pages: Counter[int] = Counter()  # statuses, without those of robots.txt
        self._errors = 0
        self._items = 0
        self._expected = crawler.settings.getlist("PLATFORM_SDK_EXPECTED_FINISH_REASONS", EXPECTED)
        blocked = crawler.settings.get("PLATFORM_SDK_BLOCKED")
        self._blocked = load_object(blocked) if isinstance(blocked, str) else blocked
        self._broken: str | None = None
        self._finish = "shutdown"
        self._logged = LoggedFaults(crawler, self)

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
        logging.getLogger("scrapy").addHandler(monitor._logged)
        try:
            watch(crawler, monitor)
        except Exception as error:  # noqa: BLE001 - another version of Scrapy
            note("scrapy", error)
        return monitor

    def spider_opened(self, spider: Any) -> None:
        """Begin the job."""
        self._begin(spider)

    def _begin(self, spider: Any) -> None:
        job_id = getattr(spider, "_job", None)  # given by Scrapyd
        self._job = ScrapingJob(str(spider.name), _site_of(spider), job_id if isinstance(job_id, str) else None).begin()
        atexit.register(self.over)  # where a second Ctrl-C ends the process

    def response_downloaded(self, response: Any, request: Any = None) -> None:
        """Count a response, even one that will be retried."""
        self._answered.add(id(request))
        self._observe(response, request)
        callback = getattr(request, "callback", None)
        if not (getattr(callback, "__name__", "") == "NO_CALLBACK" and response.url.endswith("/robots.txt")):
            self._pages[int(response.status)] += 1

    def _observe(self, response: Any, request: Any) -> None:
        to, body = split_url(response.url), response.body
        start, size, block = None, len(body), None
        try:
            encoding = (response.headers.get("Content-Encoding") or b"").decode("latin-1").strip().lower()
            start = decoded(body, encoding)
            if start is not None and size > len(start) and len(start) < START_BYTES:
                size = len(start)
            if self._blocked is not None and self._blocked(response):
                block = "custom"
        except Exception as error:  # noqa: BLE001 - a body that is no such thing, or the user's code
            note("scrapy", error)
        method = str(getattr(request, "method", "GET"))
        page = Page(method, to.path, int(response.status), headers_of(pairs(response.headers.items())), start, size)
        meta = getattr(request, "meta", {})
        self._job.observe(
            to.host, page, size_bytes=len(body), retry=_is_retry(request), block=block,
            proxy=provider_of(meta.get("proxy")), seconds=float(meta.get("download_latency") or 0.0),
        )  # fmt: skip

    def request_left_downloader(self, request: Any) -> None:
        """Remember a request that got no response: why is known next."""
        if id(request) in self._answered:
            self._answered.remove(id(request))
        else:
            self._unanswered[id(request)] = request

    def request_failed(self, request: Any, exception: BaseException) -> None:
        """Count a request that got no response, or that was not made because robots.txt disallows it."""
        if self._unanswered.pop(id(request), None) is not None:
            # Of a proxy that refuses to make a tunnel: "... [{'status': 407, 'reason': b'Proxy Authentication ...'}]".
            unauthorized = type(exception).__name__ == "TunnelError" and "'status': 407" in str(exception)
            self._count_unanswered(request, 407 if unauthorized else 0)
        elif isinstance(exception, IgnoreRequest) and "robots.txt" in str(exception):
            self._job.disallowed(request.url)

    def _count_unanswered(self, request: Any, status: int = 0) -> None:
        to = split_url(request.url)
        page = Page(str(request.method), to.path, status, {}, None, None)
        proxy = provider_of(request.meta.get("proxy"))
        self._job.observe(to.host, page, size_bytes=None, retry=_is_retry(request), proxy=proxy)

    def item_scraped(self, item: Any) -> None:
        """Count an item that came through all pipelines, and which of its fields are filled."""
        self._items += 1
        self._job.item(item if pairs_of(item) is not None else 1)

    def item_dropped(self) -> None:
        """Count an item that a pipeline dropped."""
        self._job.dropped()

    def item_error(self, failure: Failure, spider: Any) -> None:
        """Count and record an item that a pipeline failed on."""
        self._failed(failure, f"{spider.name}: pipeline")

    def spider_error(self, failure: Failure, response: Any, spider: Any) -> None:
        """Count and record a callback that failed on a page."""
        if response is None:
            self.fault(failure.value, "start", fatal=True)
            return
        request = getattr(response, "request", None)
        kind = "callback" if hasattr(response, "status") else "errback"  # which is given a failure
        called = getattr(getattr(request, kind, None), "__name__", None) or ("parse" if kind == "callback" else kind)
        self._failed(failure, f"{spider.name}: {called}")

    def spider_closed(self, reason: str) -> None:
        """Remember why the crawl ended; feeds are still being stored."""
        self._finish = reason

    def engine_stopped(self) -> None:
        """End the job, if that was not done before."""
        self.over()

    def fault(self, error: BaseException, place: str, *, fatal: bool) -> None:
        """Record an error outside of pages and items; a fatal one makes the run a failure."""
        try:
            spider = self._crawler.spider
            if fatal:
                self._broken = self._broken or reason_of(error)
                if not self._job:
                    self._begin(spider)
            emit.exception(error, endpoint=f"{spider.name}: {place}", job_id=self._job.id or None)
        except Exception as problem:  # noqa: BLE001 - never into the crawl
            note("scrapy", problem)

    def over(self) -> None:
        """End the job."""
        logging.getLogger("scrapy").removeHandler(self._logged)
        atexit.unregister(self.over)
        if not self._job.live:
            return
        for request in self._unanswered.values():
            self._count_unanswered(request)
        self._unanswered.clear()
        self._job.end(self._outcome(self._finish))

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
        if self._broken is not None:
            return self._broken
        if not any(fnmatchcase(finish, str(pattern)) for pattern in self._expected):
            return _ENDS.get(finish, "other")
        if self._items:
            return None
        if finish == "closespider_timeout":
            return "timeout"
        if self._job.is_blocked:
            return None  # the job knows by what
        if self._errors:
            return "parse"
        if any(status < 300 or status == 304 for status in self._pages):
            return None
        if self._pages:
            commonest = max(self._pages, key=lambda each: (each >= 400, self._pages[each]))
            return REFUSALS.get(commonest) or ("server_error" if commonest >= 500 else "other")
        return self._download_failure()

    def _download_failure(self) -> str | None:
        """Return why no request got a response, None where none was to."""
        if self._crawler.stats.get_value("robotstxt/forbidden", 0):
            return "forbidden"
        prefix = "downloader/exception_type_count/"
        names = [name[len(prefix) :] for name in self._crawler.stats.get_stats() if name.startswith(prefix)]
        names = [name for name in names if not name.endswith(".IgnoreRequest")]  # the application's own will
        if not names:
            return None
        return "timeout" if all("Timeout" in name for name in names) else "connection"


def _is_retry(request: Any) -> bool:
    return bool(getattr(request, "meta", {}).get("retry_times"))


def _site_of(spider: Any) -> str | None:
    try:
        domains = getattr(spider, "allowed_domains", None)
        if domains:
            return str(next(iter(domains)))
        starts = getattr(spider, "start_urls", None)
        return split_url(next(iter(starts))).host or None if starts else None
    except Exception as error:  # noqa: BLE001 - the user's own attributes, and never into the crawl
        note("scrapy", error)
        return None
