"""What goes wrong in a crawl outside of its spider's callbacks and pipelines' items, of which Scrapy sends no signal.

Errors in closing (of a pipeline, the spider, the scheduler), in start requests and in feed exports are only logged, by
Scrapy's own loggers, with their exception and spider. What fails before a spider is opened (a pipeline's `open_spider`,
a component that cannot be made) is raised out of `Crawler.crawl`, which closes its engine while it handles it.
"""

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any, Protocol

from pydispatch.dispatcher import getAllReceivers, liveReceivers  # type: ignore[import-untyped]  # ships no types
from scrapy import signals
from scrapy.exceptions import CloseSpider

from platform_sdk.diagnostics import note

_FATAL = ("scrapy.core.engine", "scrapy.extensions.feedexport")
_HANDLERS = "scrapy.utils.signal"
_AT_THE_ENDS = (signals.engine_started, signals.spider_opened, signals.spider_closed)


class Faults(Protocol):
    """What is told of a crawl's faults."""

    def request_failed(self, request: Any, exception: BaseException) -> None:
        """Count a request that got no response, before middlewares try it again."""

    def fault(self, error: BaseException, place: str, *, fatal: bool) -> None:
        """Record an error; a fatal one makes the run a failure."""

    def over(self) -> None:
        """End the run: everything that belongs to the spider is closed, feeds are stored."""


class LoggedFaults(logging.Handler):
    """A handler of the errors that Scrapy logs about one crawl; download errors are not among them."""

    def __init__(self, crawler: Any, faults: Faults) -> None:
        super().__init__(logging.ERROR)
        self._crawler, self._faults = crawler, faults

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a record."""
        try:
            error = record.exc_info[1] if record.exc_info else None
            if error is None or getattr(record, "spider", None) is not self._crawler.spider:
                return
            if record.name in _FATAL:
                place = "start" if "start" in str(record.msg) else record.name.rpartition(".")[2]
                self._faults.fault(error, place, fatal=True)
            elif record.name == _HANDLERS and isinstance(record.args, dict):
                self._raised_by_a_handler(error, record.args)
        except Exception as problem:  # noqa: BLE001 - never into the crawl
            note("scrapy", problem)

    def _raised_by_a_handler(self, error: BaseException, args: Any) -> None:
        receiver = args.get("receiver")
        if receiver is None:
            return
        known = [each for signal in _AT_THE_ENDS for each in self._receivers(signal)]
        place = str(getattr(receiver, "__qualname__", type(receiver).__name__))
        self._faults.fault(error, place, fatal=receiver in known or getattr(receiver, "__module__", "") in _FATAL)

    def _receivers(self, signal: Any) -> Any:
        return liveReceivers(getAllReceivers(self._crawler.signals.sender, signal))


def watch(crawler: Any, faults: Faults) -> None:
    """Notice what `crawler` cannot open, and when it has closed everything."""
    make = crawler._create_engine

    @functools.wraps(make)
    def make_engine() -> Any:
        try:
            engine = make()
        except Exception as error:
            faults.fault(error, "engine", fatal=True)
            faults.over()
            raise
        _watch_engine(engine, faults)
        try:
            engine.downloader.middleware.methods["process_exception"].appendleft(_failing(faults))
        except Exception as error:  # noqa: BLE001 - another version of Scrapy: requests are counted at the end
            note("scrapy", error)
        return engine

    crawler._create_engine = make_engine


def _failing(faults: Faults) -> Callable[..., None]:
    """Return a middleware's `process_exception`, which leaves what follows to others; some versions give a spider."""

    def process_exception(request: Any, exception: BaseException, spider: Any = None) -> None:
        try:
            faults.request_failed(request, exception)
        except Exception as problem:  # noqa: BLE001 - never into the crawl
            note("scrapy", problem)

    return process_exception


def _watch_engine(engine: Any, faults: Faults) -> None:
    for name in ("close", "close_async"):
        if hasattr(engine, name):
            setattr(engine, name, _noticing(getattr(engine, name), faults))
    closed = getattr(engine, "_spider_closed_callback", None)
    if closed is not None:

        def spider_closed(spider: Any) -> Any:
            faults.over()
            return closed(spider)

        engine._spider_closed_callback = spider_closed


def _noticing(close: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    @functools.wraps(close)
    def noticing(*args: Any, **kwargs: Any) -> Any:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, CloseSpider):
            faults.fault(error, "open_spider", fatal=True)
            faults.over()
        return close(*args, **kwargs)

    return noticing
