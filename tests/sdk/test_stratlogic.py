"""StratLogic's own calls, with nothing but the import changed."""

import asyncio
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from uuid import UUID

import pytest

import exporter.sources
import platform_sdk
from platform_sdk.migrate.stratlogic import REASONS, MonitoringService, get_monitoring_service, reason_of_message
from tests.sdk.events import Store, difference

Start = Callable[..., None]

JOB = UUID("6f1c0a52-3f53-4d6a-9d3e-0c7f6a1c2b11")


class MetricType(str, Enum):  # noqa: UP042 - as theirs is
    """StratLogic's."""

    HISTOGRAM = "histogram"


def test_scraping_metrics(store: Store, start: Start) -> None:
    """A job is a run; one that failed has its reason by its message, and the message is an error of the job."""
    start()

    async def record() -> None:
        service = MonitoringService(object(), object())  # type: ignore[arg-type, unused-ignore]
        await service.record_scraping_metrics(
            job_id=JOB, scraper_type="web", success=True, duration_ms=1500.0, items_processed=10, items_failed=2
        )
        await service.record_scraping_metrics(JOB, "paper", False, 20.0, error_message="HTTP 429: too many requests")

    asyncio.run(record())
    assert platform_sdk.flush(60)

    columns = "job_id, scraper, outcome, reason, duration_seconds, items_processed, items_failed"
    assert store.rows(columns, "scraping_run") == [
        (str(JOB), "web", "success", None, 1.5, 10, 2), (str(JOB), "paper", "failure", "rate_limited", 0.02, 0, 0),
    ]  # fmt: skip
    assert store.rows("severity, message, endpoint, job_id", "error") == [
        ("medium", "HTTP 429: too many requests", "paper", str(JOB))
    ]


def test_user_activity(store: Store, start: Start) -> None:
    """The session is stored as a digest, the address truncated, the endpoint among the details."""
    start()
    asyncio.run(
        MonitoringService().record_user_activity(
            user_id=JOB, activity_type="login", endpoint="/api/v1/auth/login", ip_address="192.168.1.77",
            user_agent="Mozilla/5.0", session_id="session123", details={"way": "password"},
        )
    )  # fmt: skip
    assert platform_sdk.flush(60)

    columns = "activity, user_id, host(ip), user_agent, details, session_id <> 'session123'"
    details = {"way": "password", "endpoint": "/api/v1/auth/login"}
    assert store.rows(columns, "user_activity") == [
        ("login", str(JOB), "192.168.1.0", "Mozilla/5.0", details, True)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["histogram", MetricType.HISTOGRAM])
def test_performance_metric(store: Store, start: Start, kind: str) -> None:
    """It is a sample, whether the type is a text or the application's enum."""
    start()
    asyncio.run(
        MonitoringService().record_performance_metric(
            metric_name="api_response_time", metric_type=kind, value=150.5, unit="ms", labels={"endpoint": "/jobs"}
        )
    )
    assert platform_sdk.flush(60)

    assert store.rows("name, kind, value, unit, labels", "sample") == [
        ("api_response_time", "histogram", 150.5, "ms", {"endpoint": "/jobs"})
    ]


def test_create_alert(store: Store, start: Start) -> None:
    """It is an error, one issue for each source and title; the caller gets the alert."""
    start()

    async def create() -> tuple[str, bool]:
        service = await get_monitoring_service()
        alert = await service.create_alert(
            alert_type="error", severity="critical", title="Database Connection Failed", message="no answer",
            source="monitoring_service", details={"retry_count": 3},
        )  # fmt: skip
        return alert.title, alert.resolved

    assert asyncio.run(create()) == ("Database Connection Failed", False)
    assert platform_sdk.flush(60)

    assert store.rows("severity, error_type, message, endpoint, fingerprint, context", "error") == [
        ("critical", "Database Connection Failed", "no answer", "monitoring_service",
         "monitoring_service: Database Connection Failed", {"alert_type": "error", "retry_count": 3}),
    ]  # fmt: skip


def test_garbage_harms_nothing(start: Start) -> None:
    """What is of a wrong type is counted, not raised."""
    start()

    async def record() -> None:
        service = MonitoringService()
        await service.record_scraping_metrics(None, None, object(), "soon", [], {}, 5)  # type: ignore[arg-type]
        await service.record_user_activity(object(), None, details=5)  # type: ignore[arg-type]
        await service.record_performance_metric(None, None, "x", None, [])  # type: ignore[arg-type]
        await service.record_performance_metric("x", colour=1)  # type: ignore[call-arg]
        await service.create_alert(None, None, None, None, None, [1])  # type: ignore[arg-type]

    asyncio.run(record())
    assert platform_sdk.flush(60)

    assert difference() == 0


@pytest.mark.parametrize(("reason", "pattern"), REASONS)
def test_reasons_are_the_presets(reason: str, pattern: str) -> None:
    """What the application says live and what `adopt` reads in its tables get the same reason, in the same order."""
    preset = Path(exporter.sources.__file__).with_name("stratlogic.yml").read_text()
    cases = [line.strip() for line in preset.splitlines() if "t.error_message ~*" in line]
    posix = rf"\m{pattern[2:]}".replace(r"\b|", r"\M|") if pattern.startswith(r"\b") else pattern

    assert cases[[name for name, _ in REASONS].index(reason)] == f"WHEN t.error_message ~* '{posix}' THEN '{reason}'"
    assert len(cases) == len(REASONS)


def test_reason_of_no_message() -> None:
    """Where nothing is said the reason is `other`."""
    assert reason_of_message(None) == reason_of_message("odd") == "other"
