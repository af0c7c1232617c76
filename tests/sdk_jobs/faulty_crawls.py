"""Spiders whose crawls go wrong outside of callbacks: `python -m tests.sdk_jobs.faulty_crawls SITE REACTOR NAME`."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy import crawler, signals
from scrapy.exceptions import CloseSpider, DontCloseSpider, IgnoreRequest

MONITOR = "platform_sdk.jobs.scrapy.Monitor"
HERE = "tests.sdk_jobs.faulty_crawls"


def within(name: str) -> dict[str, int]:
    """Return the setting of one component of this module."""
    return {f"{HERE}.{name}": 500}


class ClosesBadly:
    """A pipeline that cannot commit what it collected."""

    def process_item(self, item: Any, spider: Any = None) -> Any:
        """Pass an item on."""
        return item

    def close_spider(self, spider: Any = None) -> None:
        """Fail."""
        raise ConnectionResetError("commit failed")


class OpensBadly(ClosesBadly):
    """A pipeline whose database is away."""

    def open_spider(self, spider: Any = None) -> None:
        """Fail."""
        raise TimeoutError("no database")


class CannotBeMade:
    """A pipeline that lacks a setting."""

    def __init__(self) -> None:
        raise KeyError("BUCKET")


class BrokenStorage:
    """A feed's storage that takes everything and stores nothing."""

    def __init__(self, uri: str, **options: Any) -> None:
        self.path = Path("/dev/null")

    def open(self, spider: Any) -> Any:
        """Return where to write."""
        return self.path.open("wb")

    def store(self, file: Any) -> None:
        """Fail."""
        raise OSError("bucket is gone")


class AbsentStorage(BrokenStorage):
    """A feed's storage that cannot be opened."""

    def open(self, spider: Any) -> Any:
        """Fail."""
        raise PermissionError(13, "no such bucket")


class Nosy:
    """An extension whose handler fails on every item."""

    @classmethod
    def from_crawler(cls, crawler: Any) -> "Nosy":
        """Connect it."""
        nosy = cls()
        crawler.signals.connect(nosy.item_scraped, signal=signals.item_scraped)
        return nosy

    def item_scraped(self, item: Any) -> None:
        """Fail."""
        raise LookupError("nosy")


class Patient:
    """An extension that keeps a spider open once."""

    def __init__(self) -> None:
        self.asked = 0

    @classmethod
    def from_crawler(cls, crawler: Any) -> "Patient":
        """Connect it."""
        patient = cls()
        crawler.signals.connect(patient.spider_idle, signal=signals.spider_idle)
        return patient

    def spider_idle(self) -> None:
        """Ask for more time at first."""
        self.asked += 1
        if self.asked == 1:
            raise DontCloseSpider


class Skips:
    """A downloader middleware that has seen everything."""

    def process_request(self, request: Any, spider: Any = None) -> None:
        """Skip a request."""
        raise IgnoreRequest("seen")


class MiddlewareOfOutput:
    """A spider middleware that fails on what a callback yields."""

    def process_spider_output(self, response: Any, result: Any, spider: Any = None) -> Iterator[Any]:
        """Fail."""
        raise AttributeError("no output")
        yield

    async def process_spider_output_async(self, response: Any, result: Any, spider: Any = None) -> AsyncIterator[Any]:
        """Fail."""
        raise AttributeError("no output")
        yield


class Base(scrapy.Spider):
    """A page with one item."""

    site = ""
    paths: tuple[str, ...] = ("/page/1",)

    async def start(self) -> AsyncIterator[Any]:
        """Yield the requests, as Scrapy asks since 2.13."""
        for request in self.requests():
            yield request

    def start_requests(self) -> Iterator[Any]:
        """Yield the requests, as it asked before."""
        yield from self.requests()

    def requests(self) -> Iterator[Any]:
        """Yield the requests."""
        for path in self.paths:
            yield scrapy.Request(f"{self.site}{path}", errback=getattr(self, "failed", None))

    def parse(self, response: Any) -> Any:
        """Yield the item."""
        yield {"price": 1}


def spider(name: str, base: type[Base] = Base, **members: Any) -> type[Base]:
    """Make a spider; members in capitals are its settings."""
    settings = {key: value for key, value in members.items() if key.isupper()}
    others = {key: value for key, value in members.items() if not key.isupper()}
    return type(name, (base,), {"name": name, "custom_settings": settings, **others})


class Starts(Base):
    """One whose list of addresses ends in the middle."""

    def requests(self) -> Iterator[Any]:
        """Yield a request, then fail."""
        yield from super().requests()
        raise ConnectionRefusedError("no list of addresses")


class Limits(Base):
    """One that has enough."""

    def parse(self, response: Any) -> Any:
        """Yield an item, and stop."""
        yield {"price": 1}
        raise CloseSpider("limit_reached")


class Handles(Base):
    """One that gets nothing, and handles that."""

    def failed(self, failure: Any) -> None:
        """Say nothing."""


class HandlesBadly(Base):
    """One whose errback fails."""

    def failed(self, failure: Any) -> None:
        """Fail."""
        raise KeyError("status")


def closed(self: Any, reason: str) -> None:
    """Fail, as a spider's last act."""
    raise ValueError("report not sent")


NOWHERE = {"site": "http://127.0.0.1:1"}
SPIDERS = {
    made.name: made
    for made in (
        spider("feed", FEEDS={"broken://a": {"format": "json"}}),
        spider("no_feed", FEEDS={"absent://a": {"format": "json"}}),
        spider("pipeline_close", ITEM_PIPELINES=within("ClosesBadly")),
        spider("spider_close", closed=closed),
        spider("pipeline_open", ITEM_PIPELINES=within("OpensBadly")),
        spider("pipeline_init", ITEM_PIPELINES=within("CannotBeMade")),
        spider("starts", Starts),
        spider("limit", Limits),
        spider("limit_expected", Limits, PLATFORM_SDK_EXPECTED_FINISH_REASONS=["finished", "limit_*"]),
        spider("finish_unexpected", PLATFORM_SDK_EXPECTED_FINISH_REASONS="limit_reached,closespider_itemcount"),
        spider("itemcount", CLOSESPIDER_ITEMCOUNT=1),
        spider("robots", ROBOTSTXT_OBEY=True, paths=("/private/1", "/private/2")),
        spider("robots_allow", ROBOTSTXT_OBEY=True, parse=lambda self, response: None),
        spider("moved", paths=("/moved",)),
        spider("handles", Handles, **NOWHERE),
        spider("handles_badly", HandlesBadly, **NOWHERE),
        spider("output", SPIDER_MIDDLEWARES=within("MiddlewareOfOutput")),
        spider("nosy", EXTENSIONS={MONITOR: 500, **within("Nosy")}),
        spider("patient", EXTENSIONS={MONITOR: 500, **within("Patient")}),
        spider("skips", DOWNLOADER_MIDDLEWARES=within("Skips")),
    )
}

REACTORS: dict[str, dict[str, Any]] = {
    "asyncio": {"TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor"},
    "select": {"TWISTED_REACTOR": "twisted.internet.selectreactor.SelectReactor"},
    "none": {"TWISTED_REACTOR_ENABLED": False},
}


def main(site: str, reactor: str, *names: str) -> None:
    """Crawl with the spiders named."""
    storages = {"broken": f"{HERE}.BrokenStorage", "absent": f"{HERE}.AbsentStorage"}
    settings = {
        "EXTENSIONS": {MONITOR: 500}, "FEED_STORAGES": storages, "RETRY_ENABLED": False, "DOWNLOAD_DELAY": 0,
        "TELNETCONSOLE_ENABLED": False, "LOG_LEVEL": "INFO", **REACTORS[reactor],
    }  # fmt: skip
    process = (crawler.AsyncCrawlerProcess if reactor == "none" else crawler.CrawlerProcess)(settings)
    for name in names:
        process.crawl(SPIDERS[name], **({} if SPIDERS[name].site else {"site": site}))
    process.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
