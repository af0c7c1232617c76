"""The seeds' summary of the system's health."""

from collections.abc import Callable

import pytest

import platform_sdk
from platform_sdk import emit
from tests.aggregation import counting
from tests.sdk.events import Store

Start = Callable[..., None]


@pytest.mark.parametrize(
    ("milliseconds", "failing", "failing_calls", "status"),
    [
        (100, 0, 0, "healthy"), (700, 0, 0, "warning"), (1500, 0, 0, "critical"), (100, 3, 0, "warning"),
        (100, 10, 0, "critical"), (100, 0, 7, "warning"), (100, 0, 15, "critical"),
    ],
)  # fmt: skip
def test_bands(store: Store, start: Start, milliseconds: int, failing: int, failing_calls: int, status: str) -> None:
    """The worst indicator decides, by the seeds' thresholds; of 100 requests and calls here."""
    start()
    for number in range(100):
        emit.request_finished("/", "GET", 500 if number < failing else 200, milliseconds / 1000)
        emit.api_call("arxiv", "/", "failure" if number < failing_calls else "success", 0.1)
    platform_sdk.log_error("it broke")
    assert platform_sdk.flush(60)
    summary = platform_sdk.get_system_health_summary()

    assert summary["health_status"] == status
    assert summary["error_count"] == 1
    assert summary["avg_response_time"] == pytest.approx(milliseconds)
    assert summary["api_success_rate"] == 100 - failing_calls


def test_resolved_errors_do_not_count(store: Store, start: Start) -> None:
    """As in the seeds: an error counts until someone resolved it."""
    start()
    platform_sdk.log_error("one", fingerprint="one")
    platform_sdk.log_error("other", fingerprint="other")
    assert platform_sdk.flush(60)
    counting.Store(store.dsn).poll("error")
    store.database.execute("UPDATE monitoring.error_issue SET status = 'resolved' WHERE fingerprint = 'one'")

    assert platform_sdk.get_system_health_summary()["error_count"] == 1


def test_few_events_are_unknown(start: Start) -> None:
    """No data is not health."""
    start()
    emit.request_finished("/", "GET", 200, 0.1)
    assert platform_sdk.flush(60)

    assert platform_sdk.get_system_health_summary()["health_status"] == "unknown"


def test_no_answer_is_unknown() -> None:
    """Without init, and without a database, the summary says so and raises nothing."""
    summary = platform_sdk.get_system_health_summary()

    assert summary["health_status"] == "unknown"
    assert summary["error_count"] is None
