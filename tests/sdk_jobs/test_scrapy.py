"""Real crawls of a site on loopback, in processes."""

import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.sdk_jobs.store import Store
from tests.servers import poll_until

PAGE = b"<html><body>Four things to buy</body></html>"
ENDED = ("shop", "banned", "limited", "refused", "redesigned", "empty")


@contextmanager
def site() -> Iterator[str]:
    """Serve pages; those under /status/ have that status, /limited-once is limited the first time."""
    asked: Counter[str] = Counter()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path] += 1
            status = 200
            if self.path.startswith("/status/"):
                status = int(self.path[8:11])
            elif self.path == "/robots.txt":
                status = 404
            elif self.path == "/limited-once" and asked[self.path] == 1:
                status = 429
            elif self.path == "/hang":
                over.wait(240)
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def crawl(store: Store, address: str, *spiders: str) -> subprocess.Popen[str]:
    """Start the spiders."""
    return store.run("-m", "tests.sdk_jobs.crawls", address, *spiders)


@pytest.fixture(scope="module")
def crawled(module_store: Store) -> Store:
    """Return what six spiders left that ran to their ends."""
    with site() as address:
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


@pytest.mark.parametrize(
    ("scraper", "reason"),
    [("banned", "forbidden"), ("limited", "rate_limited"), ("refused", "connection"), ("redesigned", "parse")],
)
def test_crawl_that_got_nothing(crawled: Store, scraper: str, reason: str) -> None:
    """A crawl that ends normally but got nothing failed."""
    assert of(crawled, scraper) == [("failure", reason)]


def test_crawl_that_found_nothing(crawled: Store) -> None:
    """Pages without items are no failure."""
    assert of(crawled, "empty") == [("success", None)]


def test_errors(crawled: Store) -> None:
    """What callbacks and pipelines raise is recorded with its stack trace and the job."""
    found = crawled.rows(
        "endpoint, error_type, count(*), bool_and(stack_trace LIKE '%crawls.py%' OR context::text LIKE '%crawls.py%')",
        "error", "job_id IN (SELECT job_id FROM monitoring.scraping_run WHERE scraper = 'shop') GROUP BY 1, 2",
    )  # fmt: skip

    assert found == [("shop: parse", "KeyError", 1, True), ("shop: pipeline", "ValueError", 3, True)]


def test_statuses_bans_and_retries(crawled: Store) -> None:
    """Answers by status, bans and retries are counters of the spider."""
    found = crawled.rows(
        "name, labels->>'status', sum(value)",
        "sample",
        "labels->>'scraper' = 'shop' AND kind = 'counter' GROUP BY 1, 2",
    )

    assert found == [
        ("scrapy_bans", "429", 1), ("scrapy_responses", "200", 4), ("scrapy_responses", "429", 1),
        ("scrapy_retries", None, 1),
    ]  # fmt: skip


def test_live_rows(crawled: Store) -> None:
    """Every job that ended is closed."""
    assert crawled.rows("status, count(*)", "scraping_job", "true GROUP BY 1") == [("completed", 2), ("failed", 4)]


def test_interrupted_crawl(store: Store) -> None:
    """Ctrl-C is a cancelled run."""
    with site() as address:
        process = crawl(store, address, "endless")
        poll_until(lambda: store.count("scraping_job", "status = 'running'"), 90)
        poll_until(lambda: "Spider opened" in store.log(), 90)
        process.send_signal(signal.SIGINT)
        poll_until(lambda: "shutting down" in store.log(), 90)
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
