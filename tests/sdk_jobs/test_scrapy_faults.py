"""Real crawls that go wrong outside of pages and items: Scrapy says "finished", or nothing at all."""

import signal

import pytest

from tests.sdk_jobs.crawls import SPIDERS as ENDLESS
from tests.sdk_jobs.faulty_crawls import SPIDERS
from tests.sdk_jobs.site import site
from tests.sdk_jobs.store import Store
from tests.servers import poll_until

ROBOTS = b"User-agent: *\nDisallow: /private/\n"

# What each spider's run is, and its errors.
EXPECTED: dict[str, tuple[str, str | None, list[tuple[str, str]]]] = {
    "feed": ("failure", "connection", [("OSError", "feed: feedexport")]),
    "no_feed": ("failure", "other", [("PermissionError", "no_feed: FeedExporter.item_scraped")]),
    "pipeline_close": ("failure", "connection", [("ConnectionResetError", "pipeline_close: engine")]),
    "spider_close": ("failure", "other", [("ValueError", "spider_close: Spider.close")]),
    "pipeline_open": ("failure", "timeout", [("TimeoutError", "pipeline_open: open_spider")]),
    "pipeline_init": ("failure", "other", [("KeyError", "pipeline_init: engine")]),
    "starts": ("failure", "connection", [("ConnectionRefusedError", "starts: start")]),
    "limit": ("failure", "other", []),
    "limit_expected": ("success", None, []),
    "finish_unexpected": ("failure", "other", []),
    "itemcount": ("success", None, []),
    "robots": ("failure", "forbidden", []),
    "robots_allow": ("success", None, []),
    "moved": ("failure", "forbidden", []),
    "handles": ("failure", "connection", []),
    "handles_badly": ("failure", "parse", [("KeyError", "handles_badly: failed")]),
    "output": ("failure", "parse", [("AttributeError", "output: parse")]),
    "nosy": ("success", None, [("LookupError", "nosy: Nosy.item_scraped")]),
    "patient": ("success", None, []),
    "skips": ("success", None, []),
}


def crawl(store: Store, reactor: str, *spiders: str) -> None:
    """Let spiders crawl to their ends, all in one process."""
    with site(ROBOTS) as address:
        store.run("-m", "tests.sdk_jobs.faulty_crawls", address, reactor, *spiders).wait(300)


@pytest.fixture(scope="module")
def crawled(module_store: Store) -> Store:
    """Return what all of them left."""
    crawl(module_store, "asyncio", *SPIDERS)
    return module_store


def outcome(store: Store, scraper: str) -> tuple[str, str | None, list[tuple[str, str]]]:
    """Return the one run of a spider and its errors."""
    ((how, reason, job_id),) = store.rows("outcome, reason, job_id", where=f"scraper = '{scraper}'")
    return how, reason, store.rows("error_type, endpoint", "error", f"job_id = '{job_id}'")  # type: ignore[return-value]


@pytest.mark.parametrize("scraper", EXPECTED)
def test_outcome(crawled: Store, scraper: str) -> None:
    """Each crawl is one run, and its fault one error."""
    assert outcome(crawled, scraper) == EXPECTED[scraper]


def test_all_are_expected(crawled: Store) -> None:
    """No spider is left out above, and none has a second run or an error that belongs to no run."""
    assert set(EXPECTED) == set(SPIDERS)
    assert crawled.count() == len(SPIDERS)
    assert crawled.count("error") == sum(len(errors) for _, _, errors in EXPECTED.values())


def test_no_job_is_left_running(crawled: Store) -> None:
    """Every live row is closed, and nothing was lost."""
    assert crawled.count("scraping_job", "status = 'running'") == 0
    assert crawled.lost() == 0


def test_items_before_a_fault(crawled: Store) -> None:
    """What was scraped before is counted."""
    assert crawled.rows("items_processed", where="scraper = 'feed'") == [(1,)]


@pytest.mark.parametrize("reactor", ["select", "none"])
def test_other_reactors(store: Store, reactor: str) -> None:
    """Scrapy's code differs where asyncio is not Twisted's reactor, and where there is none."""
    spiders = ("feed", "pipeline_close", "spider_close", "pipeline_open", "starts", "nosy")
    crawl(store, reactor, *spiders)

    assert {name: outcome(store, name) for name in spiders} == {name: EXPECTED[name] for name in spiders}


def test_killed_by_a_second_signal(store: Store) -> None:
    """A process that does not wait for its pages any more has cancelled its run."""
    with site() as address:
        process = store.run("-m", "tests.sdk_jobs.crawls", address, *(name for name in ENDLESS if name == "endless"))
        poll_until(lambda: "Spider opened" in store.log())
        poll_until(lambda: store.count("scraping_job", "status = 'running'"))
        process.send_signal(signal.SIGINT)
        poll_until(lambda: "shutting down gracefully" in store.log())
        process.send_signal(signal.SIGINT)
        process.wait(90)

    assert outcome(store, "endless") == ("failure", "cancelled", [])
    assert store.rows("status", "scraping_job") == [("cancelled",)]
