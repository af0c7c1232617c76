"""Spiders for a loopback site. Run by the tests: `python -m tests.sdk_jobs.crawls SITE SPIDER ...`, all at once."""

import sys
from collections.abc import Iterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import DropItem

MONITOR = "platform_sdk.jobs.scrapy.Monitor"


class Pipeline:
    """Drop every item without a price; fail on those priced wrongly."""

    def process_item(self, item: dict[str, Any], spider: Any = None) -> dict[str, Any]:
        """Look at the price."""
        if item["price"] is None:
            raise DropItem("no price")
        return {**item, "price": float(item["price"])}


class Shop(scrapy.Spider):
    """Good pages, one that is limited at first, one whose callback fails, items to drop and to fail on."""

    name = "shop"
    paths = ("/page/1", "/page/2", "/limited-once", "/broken")
    site = ""

    @property
    def start_urls(self) -> list[str]:
        """Return where to begin, in a form that all versions of Scrapy accept."""
        return [f"{self.site}{path}" for path in self.paths]

    def parse(self, response: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a page."""
        if response.url.endswith("/broken"):
            raise KeyError("layout changed")
        for price in (1, 2, None, "cheap"):
            yield {"price": price}


class Banned(Shop):
    """Nothing but 403."""

    name = "banned"
    paths = ("/status/403", "/status/403?2")


class Limited(Shop):
    """Nothing but 429."""

    name = "limited"
    paths = ("/status/429",)


class Refused(Shop):
    """A port without a listener."""

    name = "refused"
    paths = ("/",)

    @property
    def start_urls(self) -> list[str]:
        """Return a port without a listener."""
        return ["http://127.0.0.1:1/"]


class Redesigned(Shop):
    """No callback that works."""

    name = "redesigned"
    paths = ("/broken",)


class Empty(Shop):
    """Pages, and rightly nothing in them."""

    name = "empty"
    paths = ("/page/1",)

    def parse(self, response: Any) -> Iterator[dict[str, Any]]:
        """Yield nothing."""
        yield from ()


class Proxied(Shop):
    """A site behind a proxy, of which one half is reached only by a tunnel; and pages that robots.txt disallows."""

    name = "proxied"
    custom_settings = {  # noqa: RUF012 - as Scrapy has it
        "ROBOTSTXT_OBEY": True,
        "ITEM_PIPELINES": {},
        "DOWNLOADER_MIDDLEWARES": {"tests.sdk_jobs.crawls.Through": 90},
    }
    paths = ("/page/1", "/private/1")

    @property
    def start_urls(self) -> list[str]:
        """Return pages of two schemes."""
        return [*(f"{self.site}{path}" for path in self.paths), "https://chairs.example/1"]

    def parse(self, response: Any) -> Iterator[dict[str, Any]]:
        """Yield an item."""
        yield {"price": 1}


class Through:
    """A downloader middleware that sends everything through the site itself, as a proxy with a password."""

    def process_request(self, request: Any, spider: Any = None) -> None:
        """Name the proxy."""
        request.meta["proxy"] = sys.argv[1].replace("//", "//customer:hunter2-of-the-proxy@")


class Unauthorized(Shop):
    """Nothing but 407 of a proxy."""

    name = "unauthorized"
    custom_settings = {"DOWNLOADER_MIDDLEWARES": {"tests.sdk_jobs.crawls.Through": 90}}  # noqa: RUF012 - Scrapy's way
    paths = ("/status/407",)


class Tunnelled(Unauthorized):
    """Nothing but a tunnel that a proxy refuses."""

    name = "tunnelled"

    @property
    def start_urls(self) -> list[str]:
        """Return a page that only a tunnel leads to."""
        return ["https://chairs.example/1"]


class Endless(Shop):
    """A page that never comes."""

    name = "endless"
    paths = ("/hang",)


SPIDERS = {
    spider.name: spider
    for spider in (Shop, Banned, Limited, Refused, Redesigned, Empty, Proxied, Unauthorized, Tunnelled, Endless)
}


def main(site: str, *names: str) -> None:
    """Crawl with the spiders named."""
    process = CrawlerProcess(
        {
            "EXTENSIONS": {MONITOR: 500},
            "ITEM_PIPELINES": {"tests.sdk_jobs.crawls.Pipeline": 1},
            "RETRY_TIMES": 1,
            "RETRY_HTTP_CODES": [429],
            "RETRY_PRIORITY_ADJUST": 0,
            "DOWNLOAD_TIMEOUT": 20,
            "DOWNLOAD_DELAY": 0,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "INFO",
        }
    )
    for name in names:
        process.crawl(SPIDERS[name], site=site)
    process.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
