"""Requests: what the SDK merges is on `/metrics` what it would be without."""

import pytest

import platform_sdk
from platform_sdk import emit
from tests.aggregation.counting import Store
from tests.servers import Database

APPS = ("alone", "merged")
COUNT, DURATION = "platform_http_requests_total", "platform_http_request_duration_seconds"


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return an event store with the same requests of two applications, one of which merges all that it may."""
    store = Store(store_database.dsn)
    for app, above in zip(APPS, (None, 0), strict=True):
        platform_sdk.init(store.dsn, app, sample_above_per_second=above, spool_folder="")
        for number in range(3000):
            status = 500 if number % 50 == 0 else 304 if number % 7 == 0 else 200
            user_id = number % 5 if number % 10 == 0 else None
            first_byte = 0.03 if number % 400 == 0 else None
            seconds = number % 97 * 0.0013 if number % 200 else 3.5
            emit.request_finished(
                *(f"/{number % 3}", "GET", status, seconds, number, user_id),
                first_byte_seconds=first_byte,
                consumer=("acme", None)[number % 2],
            )
        assert platform_sdk.close(60)
    store.poll("http_request")
    return store


@pytest.mark.parametrize(("metric", "count"), [(COUNT, 3000), ("platform_consumer_requests_total", 1500),
                                               ("platform_consumer_server_errors_total", 60)])  # fmt: skip
def test_counts_are_the_same(store: Store, metric: str, count: int) -> None:
    """By route, method and code, and by consumer."""
    series = store.series(metric)
    alone, merged = ({labels[1:]: value for labels, value in series.items() if labels[0] == app} for app in APPS)

    assert sum(alone.values()) == count
    assert merged == alone


@pytest.mark.parametrize(("metric", "count"), [(DURATION, 3000), ("platform_consumer_request_duration_seconds", 1500)])
def test_histograms_are_the_same(store: Store, metric: str, count: int) -> None:
    """Count, every bucket, and the sum but for the last bits of a float."""
    found = {
        app: store.execute(
            "SELECT labels->>'route', value, buckets, total FROM monitoring.rollup WHERE metric = %s "
            "AND labels->>'app' = %s ORDER BY 1",
            [metric, app],
        )
        for app in APPS
    }

    assert sum(row[1] for row in found["alone"]) == count
    assert found["merged"] == [(*row[:3], pytest.approx(row[3], rel=1e-12)) for row in found["alone"]]


def test_rows_are_few(store: Store) -> None:
    """One per route, method, status and bucket, and those of failed and slow requests and of users."""
    rows = dict(store.execute("SELECT app, count(*) FROM monitoring.http_request GROUP BY 1"))

    assert rows["alone"] == 3000
    assert rows["merged"] < 300
