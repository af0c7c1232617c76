"""StratLogic's MonitoringService, so that only an import changes where the application records something.

    from platform_sdk.migrate.stratlogic import MonitoringService  # was: from src.services.monitoring_service

Its coroutines end at once: nothing is written while the application waits, and nothing is raised. What the old service
read (health, analytics, metrics, lists of alerts) is in Grafana, Alertmanager and the exporter's /api/v1/health.
"""

import functools
import re
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ParamSpec

from platform_sdk import api, emit
from platform_sdk.client import guarded

Parameters = ParamSpec("Parameters")

# The application keeps a message, not a reason. The same patterns, in the same order, as in the preset `stratlogic`.
REASONS = (
    ("rate_limited", "429|rate.?limit|too many"),
    ("forbidden", "403|forbidden|denied"),
    ("blocked", "captcha|blocked|bot"),
    ("timeout", "time.?out|timed out"),
    ("connection", "connect|resolve|dns|reset|refused"),
    ("server_error", r"\b5\d\d\b|server error"),
    ("parse", "selector|parse|pars(er|ing)|matched nothing|no element"),
    ("cancelled", "cancel"),
)


@dataclass(slots=True)
class CreatedAlert:
    """What `create_alert` returns."""

    alert_type: str
    severity: str
    title: str
    message: str
    source: str
    details: Mapping[str, Any] | None = None
    resolved: bool = False
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def coroutine(function: Callable[Parameters, None]) -> Callable[Parameters, Coroutine[None, None, None]]:
    """Return a coroutine function that does the same, guarded, and ends at once."""
    call = guarded(function)

    @functools.wraps(function)
    async def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        call(*args, **kwargs)

    return run


class MonitoringService:
    """StratLogic's service. It takes the session and the MinIO client that theirs was made with, and uses neither."""

    def __init__(self, db: object = None, minio_client: object = None) -> None: ...

    @coroutine
    def record_scraping_metrics(
        self, job_id: object, scraper_type: str, success: bool, duration_ms: float, items_processed: int = 0,
        items_failed: int = 0, error_message: str | None = None,
    ) -> None:  # fmt: skip
        """Record a job that ended: a run and, if it failed with a message, an error of that job."""
        reason = None if success else reason_of_message(error_message)
        emit.scraping_run(
            str(job_id), scraper_type, None, "success" if success else "failure", duration_ms / 1000, reason=reason,
            items_processed=items_processed, items_failed=items_failed,
        )  # fmt: skip
        if error_message and not success:
            severity = "high" if reason in ("parse", "other") else "medium"  # ours to fix, or the site's doing
            emit.error_message(
                error_message, error_type="ScrapingFailed", severity=severity, endpoint=scraper_type,
                job_id=str(job_id),
            )  # fmt: skip

    @coroutine
    def record_user_activity(
        self, user_id: object, activity_type: str, endpoint: str | None = None, ip_address: str | None = None,
        user_agent: str | None = None, session_id: str | None = None, details: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Record something a user did; missing arguments are taken from the request that is being served."""
        more: dict[str, Any] = {} if endpoint is None else {"endpoint": endpoint}
        api.log_activity(
            activity_type, user_id, session_id=session_id, ip=ip_address, user_agent=user_agent, details=details, **more
        )

    @coroutine
    def record_performance_metric(
        self, metric_name: str, metric_type: str, value: float, unit: str, labels: Mapping[str, Any] | None = None
    ) -> None:
        """Record a value of a custom metric; `metric_type` is counter, gauge, histogram or summary, text or enum."""
        kind = metric_type.value if isinstance(metric_type, Enum) else metric_type
        emit.sample(metric_name, value, kind, unit, labels)

    async def create_alert(
        self, alert_type: str, severity: str, title: str, message: str, source: str,
        details: Mapping[str, Any] | None = None,
    ) -> CreatedAlert:  # fmt: skip
        """Record an error of this severity, one issue for each source and title, and return the alert."""
        _record_alert(alert_type, severity, title, message, source, details)
        return CreatedAlert(alert_type, severity, title, message, source, details)


async def get_monitoring_service() -> MonitoringService:
    """Return a service, as a dependency of FastAPI's."""
    return MonitoringService()


def reason_of_message(message: str | None) -> str:
    """Return why a job failed, by its message."""
    text = message if isinstance(message, str) else ""
    return next((reason for reason, pattern in REASONS if re.search(pattern, text[:4000], re.IGNORECASE)), "other")


@guarded
def _record_alert(
    kind: str, severity: str, title: str, message: str, source: str, details: Mapping[str, Any] | None
) -> None:
    emit.error_message(
        message, error_type=title, severity=severity, endpoint=source, fingerprint=f"{source}: {title}",
        context={"alert_type": kind, **(details or {})},
    )  # fmt: skip
