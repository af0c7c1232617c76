"""StratLogic's MonitoringService, so that only an import changes.

    from platform_sdk.migrate.stratlogic import MonitoringService  # was: from src.services.monitoring_service

Coroutines that record end at once: nothing is written while the application waits. Those that read do so in a thread,
for two seconds at most, by the option `read_dsn`; where that is not possible they answer in the same shape with
nothing in it. None of them raises.
"""

import asyncio
import functools
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from platform_sdk import api, client, emit, exporter_api
from platform_sdk.client import guarded
from platform_sdk.diagnostics import note
from platform_sdk.migrate import stratlogic_analytics as analytics
from platform_sdk.migrate import stratlogic_health as health
from platform_sdk.migrate.stratlogic_analytics import Alert
from platform_sdk.typing import SampleKind, Severity

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")
Asked = Callable[Parameters, Coroutine[Any, Any, Answer]]

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


def coroutine(function: Callable[Parameters, None]) -> Callable[Parameters, Coroutine[None, None, None]]:
    """Return a coroutine function that does the same, guarded, and ends at once."""
    call = guarded(function)

    @functools.wraps(function)
    async def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        call(*args, **kwargs)

    return run


def answering(otherwise: Callable[[], Answer]) -> Callable[[Asked[Parameters, Answer]], Asked[Parameters, Answer]]:
    """Return a decorator of coroutine functions: where one fails, or its arguments do not fit, that is logged, and
    `otherwise()` is the answer."""

    def decorate(function: Asked[Parameters, Answer]) -> Asked[Parameters, Answer]:
        @functools.wraps(function)
        async def ask(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
            try:
                return await function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - never into the application
                note(function.__name__, error)
                return otherwise()

        return ask

    return decorate


class MonitoringService:
    """StratLogic's service. Session and MinIO client are used to check their health, and for nothing else."""

    def __init__(self, db: Any = None, minio_client: Any = None, *surplus: object, **unknown: object) -> None:
        self.db = db
        self.minio_client = minio_client
        if surplus or unknown:
            note(
                "MonitoringService", f"{len(surplus) + len(unknown)} unexpected arguments: expected db and minio_client"
            )

    @answering(health.unknown)
    async def check_system_health(self) -> dict[str, Any]:
        """Return status, response_time_ms and details (or error_message) of database, minio and redis.

        Session and MinIO client are tried; what was not given, and Redis, is as the exporter says.
        """
        return await health.of_system(self.db, self.minio_client)

    # What its own tests call.

    async def _check_database_health(self) -> dict[str, Any]:
        return await health.of_database(self.db)

    async def _check_minio_health(self) -> dict[str, Any]:
        return await health.of_minio(self.minio_client)

    @answering(analytics.scraping_of)
    async def get_scraping_analytics(self, days: int = 7, scraper_type: str | None = None) -> dict[str, Any]:
        """Return numbers of the scraping jobs of some days, of one scraper or of all."""
        return await asyncio.to_thread(analytics.scraping, days, scraper_type)

    @answering(analytics.user_activity_of)
    async def get_user_activity_analytics(self, days: int = 7, user_id: object = None) -> dict[str, Any]:
        """Return numbers of what users did in some days, of one user or of all."""
        return await asyncio.to_thread(analytics.user_activity, days, user_id)

    @answering(lambda: list[dict[str, Any]]())
    async def get_system_performance_metrics(
        self, metric_name: str | None = None, hours: int = 24
    ) -> list[dict[str, Any]]:
        """Return the values of custom metrics of some hours, the newest first, 10,000 at most."""
        return await asyncio.to_thread(analytics.performance_metrics, metric_name, hours)

    @answering(lambda: list[Alert]())
    async def get_active_alerts(self) -> list[Alert]:
        """Return the alerts that `create_alert` made and nobody resolved, the newest first."""
        return await asyncio.to_thread(_flushed, analytics.active_alerts)

    @answering(lambda: cast(Alert | None, None))
    async def resolve_alert(self, alert_id: object, resolved_by: UUID | str | int | None) -> Alert | None:
        """Resolve an alert, that is its error issue, by the exporter; return it, None if there is none of this id.

        Where the exporter cannot be asked, that is logged, and the alert returned as it is: not resolved.
        """
        return await asyncio.to_thread(_resolve, alert_id, resolved_by)

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
            severity: Severity = (
                "high" if reason in ("parse", "other") else "medium"
            )  # ours to fix, or the site's doing
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
        emit.sample(metric_name, value, cast(SampleKind, kind), unit, labels)

    @answering(lambda: Alert("", "", "", "", ""))
    async def create_alert(
        self, alert_type: str, severity: str, title: str, message: str, source: str,
        details: Mapping[str, Any] | None = None,
    ) -> Alert:  # fmt: skip
        """Record an error of this severity, one issue for each source and title, and return the alert."""
        _record_alert(alert_type, severity, title, message, source, details)
        return Alert(alert_type, severity, title, message, source, _json(details), id=analytics.id_of(source, title))


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
        message, error_type=title, severity=cast(Severity, severity), endpoint=source,
        fingerprint=analytics.fingerprint_of(source, title), context={"alert_type": kind, **(details or {})},
    )  # fmt: skip


def _json(details: Mapping[str, Any] | None) -> str | None:
    try:
        return json.dumps(details) if details else None
    except (TypeError, ValueError, RecursionError) as error:
        note("create_alert", error)
        return None


def _flushed(read: Callable[[], list[Alert]]) -> list[Alert]:
    client.flush(1.0)  # an alert that was just created is among them
    return read()


def _resolve(alert_id: object, resolved_by: UUID | str | int | None) -> Alert | None:
    alert = analytics.alert_with(alert_id)
    if alert is None or alert.resolved:
        return alert
    try:
        exporter_api.resolve_issue(alert.issue, str(resolved_by))
        alert.resolved, alert.resolved_by = True, resolved_by
        alert.resolved_at = datetime.now(UTC).replace(tzinfo=None)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("resolve_alert", error)
    return alert
