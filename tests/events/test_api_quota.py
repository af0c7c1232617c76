"""Quotas of external APIs: the newest report of each window, beside that of calls, which comes with the calls."""

import pytest

from tests.aggregation.counting import Store
from tests.servers import Database

REPORTS = """INSERT INTO monitoring.api_quota (at, app, api, quota, quota_limit, remaining, resets_at)
    SELECT now() - (100 - i) * interval '1 second', 'app', 'openai', (ARRAY['tokens', 'day'])[1 + i % 2], 90000,
        90000 - 10 * i, to_timestamp(2e9 + i) FROM generate_series(1, 100) i"""
CALL = """INSERT INTO monitoring.api_call
    (at, app, api, outcome, duration_seconds, rate_limit, rate_limit_remaining, rate_limit_reset)
    VALUES (now(), 'app', 'openai', 'success', 1, 60, 59, to_timestamp(2e9))"""


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return an event store with reports of one API, counted."""
    store = Store(store_database.dsn)
    store.execute(REPORTS)
    store.execute(CALL)
    store.poll("api_quota", "api_call")
    return store


@pytest.mark.parametrize(
    ("metric", "tokens", "day", "calls"),
    [
        ("platform_api_rate_limit", 90000, 90000, 60),
        ("platform_api_rate_limit_remaining", 89000, 89010, 59),
        ("platform_api_rate_limit_reset_timestamp_seconds", 2e9 + 100, 2e9 + 99, 2e9),
    ],
)
def test_the_newest_report_of_each_window(store: Store, metric: str, tokens: float, day: float, calls: float) -> None:
    """Limit, what is left and the window's end; that of calls has no name."""
    assert store.series(metric) == {
        ("openai", "app", "day"): day, ("openai", "app", "tokens"): tokens, ("openai", "app", ""): calls,
    }  # fmt: skip
