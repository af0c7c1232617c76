"""Consumers: the largest by name, the rest together; every row has its own."""

import pytest

from exporter.config.settings import Limits
from tests.aggregation.counting import Store
from tests.servers import Database

LIMIT = 20
REQUESTS = """INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds, consumer)
    SELECT now(), 'app', '/', CASE WHEN i % 4 = 0 THEN 503 WHEN i % 10 = 1 THEN 404 ELSE 200 END, 0.2, 'c' || i % k
    FROM generate_series(1, 60) k, generate_series(1, 100) i"""
CALLS = """INSERT INTO monitoring.api_call (at, app, api, outcome, duration_seconds, cost, consumer)
    SELECT now(), 'app', 'maps', CASE WHEN i % 5 = 0 THEN 'failure' ELSE 'success' END, 0.2, 0.25,
        CASE WHEN i % 2 = 0 THEN 'acme' END FROM generate_series(1, 100) i"""


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return an event store with more consumers than there is room for, counted."""
    store = Store(store_database.dsn, limits=Limits(series_per_metric=LIMIT))
    store.execute(REQUESTS)
    store.execute(CALLS)
    store.poll("http_request", "api_call")
    return store


def test_the_largest_have_names(store: Store) -> None:
    """As many as there is room for; all requests are counted, and all consumers are in the rows."""
    series = {labels[1]: value for labels, value in store.series("platform_consumer_requests_total").items()}
    others = series.pop("_other_")
    rows = dict(store.execute("SELECT consumer, count(*) FROM monitoring.http_request GROUP BY 1"))

    assert LIMIT / 2 < len(series) < LIMIT < len(rows) == 60
    assert sum(series.values()) + others == sum(rows.values()) == 6000
    assert series.items() <= rows.items()
    assert min(series.values()) >= max(count for name, count in rows.items() if name not in series)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("platform_consumer_api_calls_total", 50),
        ("platform_consumer_api_call_failures_total", 10),
        ("platform_consumer_api_call_duration_seconds", 50),
        ("platform_consumer_api_cost_total", 12.5),
    ],
)
def test_calls_on_behalf_of_a_consumer(store: Store, metric: str, value: float) -> None:
    """Those of nobody are not among them."""
    assert store.series(metric) == {("app", "acme"): value}
