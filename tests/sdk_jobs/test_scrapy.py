"""Real crawls of a site on loopback, in processes."""

import signal
import subprocess

import pytest

from tests.sdk_jobs.site import PAGE, site
from tests.sdk_jobs.store import Store
from tests.servers import poll_until

NOTHING = {
    "banned": "forbidden", "limited": "rate_limited", "refused": "connection", "redesigned": "parse",
    "unauthorized": "connection", "tunnelled": "connection",
}  # fmt: skip
"""Crawls that get nothing, and the reason."""
ENDED = ("shop", *NOTHING, "empty", "proxied")
ROBOTS = b"User-agent: *\nDisallow: /private"


def crawl(store: Store, address: str, *spiders: str) -> subprocess.Popen[str]:
    """Start the spiders."""
    return store.run("-m", "tests.sdk_jobs.crawls", address, *spiders)


@pytest.fixture(scope="module")
def crawled(module_store: Store) -> Store:
    """Return what the spiders left that ran to their ends."""
    with site(ROBOTS) as address:
        code = crawl(module_store, address, *ENDED).wait(240)
    assert code == 0, module_store.log()
    return module_store


def of(store: Store, scraper: str, columns: str = "outcome, reason") -> list[tuple[object, ...]]:
    """Return the runs of a spider."""
    return store.rows(columns, where=f"scraper = '{scraper}'")


def test_each_spider_is_one_run(crawled: Store) -> None:
    """A crawl is a scraping job, stored when it ended."""
    assert sorted(scraper for (scraper,) in crawled.rows("scraper")) == sorted(ENDED)
    assert crawled.lost() == 0


def test_items(crawled: Store) -> None:
    """Of three pages: two good items each, one dropped, one that the pipeline failed on; and a callback that failed."""
    assert of(crawled, "shop", "outcome, items_processed, items_dropped, items_failed") == [("success", 6, 3, 4)]


def test_bytes(crawled: Store) -> None:
    """All that was downloaded counts, the answer that was retried too."""
    assert of(crawled, "shop", "response_bytes") == [(5 * len(PAGE),)]


def test_site(crawled: Store) -> None:
    """Without allowed domains, where it began."""
    assert of(crawled, "shop", "site") == [("127.0.0.1",)]


@pytest.mark.parametrize(("scraper", "reason"), NOTHING.items())
def test_crawl_that_got_nothing(crawled: Store, scraper: str, reason: str) -> None:
    """A crawl that ends normally but got nothing failed."""
    assert of(crawled, scraper) == [("failure", reason)]


def test_crawl_that_found_nothing(crawled: Store) -> None:
    """Pages without items are not a failure."""
    assert of(crawled, "empty") == [("success", None)]


def test_errors(crawled: Store) -> None:
    """What callbacks and pipelines raise is recorded with its stack trace and the job."""
    found = crawled.rows(
        "endpoint, error_type, count(*), bool_and(stack_trace LIKE '%crawls.py%' OR context::text LIKE '%crawls.py%')",
        "error", "job_id IN (SELECT job_id FROM monitoring.scraping_run WHERE scraper = 'shop') GROUP BY 1, 2",
    )  # fmt: skip

    assert found == [("shop: parse", "KeyError", 1, True), ("shop: pipeline", "ValueError", 3, True)]


def test_requests_are_counted(crawled: Store) -> None:
    """Requests by site and status, the second try of one among them."""
    columns = "site, status, sum(requests)::int, sum(retries)::int, sum(response_bytes) > 0"
    found = crawled.rows(columns, "scraping_request", "scraper = 'shop' GROUP BY 1, 2")

    assert found == [("127.0.0.1", 200, 4, 1, True), ("127.0.0.1", 429, 1, 0, True)]


def test_requests_without_a_response_are_counted(crawled: Store) -> None:
    """A port without a listener, asked again as often as Scrapy does."""
    found = crawled.rows("status, requests, retries", "scraping_request", "scraper = 'refused'")

    assert found == [(None, 2, 1)]


def test_bytes_are_those_of_all_responses(crawled: Store) -> None:
    """A run's bytes are the sum of its requests'."""
    [(run,)] = crawled.rows("response_bytes::int", "scraping_run", "scraper = 'shop'")
    [(requests,)] = crawled.rows("sum(response_bytes)::int", "scraping_request", "scraper = 'shop'")

    assert run == requests > 0


def test_live_rows(crawled: Store) -> None:
    """Every job that ended is closed."""
    assert crawled.rows("status, count(*)", "scraping_job", "true GROUP BY 1") == [
        ("completed", 3),
        ("failed", len(NOTHING)),
    ]


def test_requests_through_a_proxy(crawled: Store) -> None:
    """Each has its provider, a tunnel that is refused its status; the password is nowhere."""
    columns = "site, status, proxy, sum(requests)::int, sum(disallowed)::int"
    found = crawled.rows(columns, "scraping_request", "scraper = 'proxied' GROUP BY 1, 2, 3")

    assert found == [
        ("127.0.0.1", 200, "other", 2, 0), ("127.0.0.1", None, None, 0, 1), ("chairs.example", 407, "other", 4, 0),
    ]  # fmt: skip
    tables = ("scraping_request", "scraping_run", "error")
    assert "hunter2" not in "".join(str(crawled.rows(f"{table}::text", table)) for table in tables)


def test_interrupted_crawl(store: Store) -> None:
    """Ctrl-C is a cancelled run."""
    with site() as address:
        process = crawl(store, address, "endless")
        poll_until(lambda: store.count("scraping_job", "status = 'running'"))
        poll_until(lambda: "Spider opened" in store.log())
        process.send_signal(signal.SIGINT)
        poll_until(lambda: "shutting down" in store.log())
    process.wait(90)  # the page has come

    assert of(store, "endless") == [("failure", "cancelled")]
    assert store.rows("status", "scraping_job") == [("cancelled",)]


def test_scrapy_without_the_sdk(store: Store) -> None:
    """Where nothing is configured the extension says so and the crawl goes on."""
    environment = {"PLATFORM_SDK_DSN": "", "PLATFORM_SDK_APP": ""}
    with site() as address:
        process = store.run("-m", "tests.sdk_jobs.crawls", address, "empty", **environment)
        code = process.wait(90)

    assert code == 0
    assert "no PLATFORM_SDK_DSN" in store.log()
    assert "Spider closed (finished)" in store.log()
