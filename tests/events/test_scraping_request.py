"""Requests of scraping jobs: every series equals what plain SQL says of the table."""

import pytest

from tests.aggregation.counting import Store
from tests.servers import Database

ROWS = """INSERT INTO monitoring.scraping_request (at, app, scraper, site, status, requests, retries, response_bytes,
        proxy, cost, early, disallowed, block)
    SELECT now(), 'app', 'scraper' || i % 3, CASE WHEN i % 4 > 0 THEN 'site' || i % 5 END,
        (ARRAY[200, 404, 403, 503, NULL, 999, 1200, 407])[1 + i % 8], 1 + i % 3, i % 2, nullif(i % 6, 0) * 1000,
        (ARRAY[NULL, 'acme', 'kite'])[1 + i % 3], nullif(i % 5, 0) * 0.25, i % 2, i % 4,
        CASE WHEN i % 11 = 0 THEN 'captcha' END
    FROM generate_series(1, 900) i"""


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return the event store, with rows of all sorts counted."""
    store = Store(store_database.dsn)
    store.execute(ROWS)
    store.poll("scraping_request")
    return store


def test_requests_are_counted_by_status(store: Store) -> None:
    """What got no response is `none`, a number that is not a status `other`."""
    rows = store.execute(
        "SELECT app, CASE WHEN status IS NULL THEN 'none' WHEN status > 999 THEN 'other' ELSE status::text END, "
        "scraper, sum(requests)::float8 FROM monitoring.scraping_request GROUP BY 1, 2, 3"
    )

    assert store.series("platform_scraping_requests_total") == {row[:3]: row[3] for row in rows}


def test_retries_are_counted(store: Store) -> None:
    """By scraper."""
    rows = store.execute("SELECT app, scraper, sum(retries)::float8 FROM monitoring.scraping_request GROUP BY 1, 2")

    assert store.series("platform_scraping_retries_total") == {row[:2]: row[2] for row in rows}


OUTCOME = """CASE WHEN block IS NOT NULL THEN 'blocked' WHEN status < 400 THEN 'success'
    WHEN status = 407 THEN 'unauthorized' WHEN status IN (403, 503) THEN 'refused' ELSE 'failed' END"""


def test_sites_have_outcomes(store: Store) -> None:
    """Refused is another thing than failed; rows without a site make no series."""
    rows = store.execute(
        f"SELECT app, {OUTCOME}, site, sum(requests)::float8 FROM monitoring.scraping_request "
        "WHERE site IS NOT NULL GROUP BY 1, 2, 3"
    )

    assert store.series("platform_scraping_site_requests_total") == {row[:3]: row[3] for row in rows}


def test_bytes_are_counted_by_site(store: Store) -> None:
    """A row that does not say how many counts as 0."""
    rows = store.execute(
        "SELECT app, site, coalesce(sum(response_bytes), 0)::float8 FROM monitoring.scraping_request "
        "WHERE site IS NOT NULL GROUP BY 1, 2"
    )

    assert store.series("platform_scraping_site_bytes_total") == {row[:2]: row[2] for row in rows}


def test_a_proxys_requests_have_outcomes(store: Store) -> None:
    """What the proxy itself refuses is another thing; requests without a proxy make no series."""
    rows = store.execute(
        f"SELECT app, {OUTCOME}, proxy, sum(requests)::float8 "
        "FROM monitoring.scraping_request WHERE proxy IS NOT NULL GROUP BY 1, 2, 3"
    )

    assert store.series("platform_scraping_proxy_requests_total") == {row[:3]: row[3] for row in rows}


@pytest.mark.parametrize(
    ("metric", "label", "what"),
    [
        ("platform_scraping_proxy_bytes_total", "proxy", "response_bytes"),
        ("platform_scraping_proxy_cost_total", "proxy", "cost"),
        ("platform_scraping_site_early_requests_total", "site", "early"),
        ("platform_scraping_site_disallowed_total", "site", "disallowed"),
        ("platform_scraping_cost_total", "scraper", "cost"),
        ("platform_scraping_pages_total", "scraper", "CASE WHEN block IS NULL AND status = 200 THEN requests END"),
    ],
)
def test_sums(store: Store, metric: str, label: str, what: str) -> None:
    """What a row does not say counts as 0."""
    rows = store.execute(
        f"SELECT app, {label}, coalesce(sum({what}), 0)::float8 FROM monitoring.scraping_request "
        f"WHERE {label} IS NOT NULL GROUP BY 1, 2"
    )

    assert store.series(metric) == {row[:2]: row[2] for row in rows}


def test_a_provider_costs_as_an_api_does(store: Store) -> None:
    """In all and by month, for budgets; what is paid without a proxy is paid to the site."""
    rows = store.execute(
        "SELECT coalesce(proxy, site, ''), app, to_char(at AT TIME ZONE 'UTC', 'YYYYMM'), sum(cost)::float8 "
        "FROM monitoring.scraping_request WHERE cost IS NOT NULL GROUP BY 1, 2, 3"
    )

    assert store.series("platform_api_cost_month_total") == {row[:3]: row[3] for row in rows}
    assert store.series("platform_api_cost_total") == {row[:2]: row[3] for row in rows if row[0]}


@pytest.mark.parametrize("column", ["requests", "retries", "response_bytes", "cost", "early", "disallowed"])
def test_a_negative_number_is_rejected(store: Store, column: str) -> None:
    """No counter falls."""
    store.execute(
        f"INSERT INTO monitoring.scraping_request (at, app, scraper, {column}) VALUES (now(), 'app', 'bad', -1)"
    )
    store.poll("scraping_request")

    assert store.value("platform_exporter_rows_rejected_total", reason="negative") == 1
    assert store.value("platform_scraping_retries_total", scraper="bad") is None
