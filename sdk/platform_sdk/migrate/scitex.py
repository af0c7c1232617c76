"""SciTeX Cloud's monitoring helpers by their own names and order of arguments, so that only an import changes.

from platform_sdk.migrate.scitex import APIMonitor, log_error  # was: from apps.monitoring_app.utils import ...
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, Never, Self, cast

from platform_sdk import api, emit, health
from platform_sdk.actor import actor_of
from platform_sdk.client import guarded
from platform_sdk.outgoing import api_monitor
from platform_sdk.typing import Severity

__all__ = ["APIMonitor", "get_system_health_summary", "log_activity", "log_api_usage", "log_error", "log_system_metric"]

_WHO = ("user", "user_id", "username", "email", "session_id", "ip", "ip_address", "user_agent", "query_params")
"""What says in a metric's metadata whose request it was: it is not a label of a sample, which every viewer may see."""

_SUMMARY = (
    "health_status", "error_count", "avg_response_time", "total_requests", "api_success_rate", "total_api_calls"
)  # fmt: skip


class APIMonitor(api_monitor.APIMonitor):
    """Monitor of a call to an external API, as `with APIMonitor(api_name, endpoint, query_params):`.

    An exception of the application's passes through, and becomes an error of severity medium as well. Attributes as
    SciTeX's has them: start_time is in Unix seconds, response_time in milliseconds, None until the call ended.
    """

    def __init__(
        self,
        api_name: str = "unknown",
        endpoint: str | None = None,
        query_params: Mapping[str, Any] | None = None,
        *surplus: Never,
        **options: Any,
    ) -> None:
        super().__init__(api_name, endpoint, query_params, *surplus, **options)
        self.api_name, self.endpoint = api_name, endpoint
        self.query_params = {} if query_params is None else query_params
        self.start_time: float | None = None
        self.response_time: float | None = None

    def __enter__(self) -> Self:
        self.start_time = time.time()
        return super().__enter__()

    def __exit__(self, kind: object, exception: BaseException | None, trace: object) -> Literal[False]:  # type: ignore[override]
        super().__exit__(kind, exception, trace)
        self.response_time = self.duration_seconds * 1000
        if isinstance(exception, Exception):
            _log_failure(self, exception)
        return False


@guarded
def _log_failure(monitor: APIMonitor, exception: Exception) -> None:
    # As a message, not as this exception: that one is still to be recorded if nothing handles it.
    emit.error_message(
        str(exception), error_type=type(exception).__name__, severity="medium", endpoint=monitor.endpoint,
        context={"api_name": monitor.api_name, "query_params": dict(monitor.query_params),
                 "response_time": monitor.response_time},
    )  # fmt: skip


def get_system_health_summary() -> dict[str, Any]:
    """Return health_status and numbers of the last hour, 0 where nothing is known.

    As `platform_sdk.get_system_health_summary()`, whose health_status may be `unknown` beside SciTeX's three.
    """
    found = health.get_system_health_summary()
    return {name: 0 if found[name] is None else found[name] for name in _SUMMARY}


@guarded
def log_error(
    severity: str,
    error_type: str,
    message: str,
    endpoint: str | None = None,
    user: object = None,
    stack_trace: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Log an error of this type and text."""
    api.log_error(
        error_type, message, cast(Severity, severity), endpoint=endpoint, user_id=_user_id(user),
        stack_trace=stack_trace, context=metadata,
    )  # fmt: skip


@guarded
def log_api_usage(
    api_name: str,
    endpoint: str | None = None,
    response_time: float | None = None,
    status_code: int | None = None,
    success: bool | None = None,
    query_params: Mapping[str, Any] | None = None,
    response_size: int | None = None,
) -> None:
    """Log a call to an external API that took `response_time` milliseconds."""
    api.log_api_usage(
        api_name, endpoint, (response_time or 0.0) / 1000, status_code, success=success, params=query_params,
        response_bytes=response_size,
    )  # fmt: skip


@guarded
def log_system_metric(
    metric_type: str,
    value: float,
    endpoint: str | None = None,
    user: object = None,
    status_code: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Log a request of `value` milliseconds, where the type is `response_time`; of any other type a sample.

    The method is the metadata's. Of a sample, endpoint, status code and metadata are the labels, but for what says who
    it was; it is a summary, whose mean the old dashboard showed.
    """
    more = dict(metadata or {})
    if metric_type == "response_time":
        emit.request_finished(
            endpoint or "(unmatched)", str(more.get("method") or "GET"), 200 if status_code is None else status_code,
            value / 1000, more.get("content_length"), _user_id(user), None, None, more.get("ip_address"),
            more.get("user_agent"),
        )  # fmt: skip
        return
    about = {"endpoint": endpoint, "status_code": status_code}
    labels = {name: label for name, label in {**more, **about}.items() if label is not None and name not in _WHO}
    emit.sample(metric_type, value, "summary", None, labels or None)


@guarded
def log_activity(
    activity_type: str,
    user: object = None,
    session_id: str | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    details: Mapping[str, Any] | None = None,
    module: str | None = None,
    feature: str | None = None,
    success: bool = True,
) -> None:
    """Log something a user did, by the names of the columns of SciTeX's UserActivity."""
    api.log_activity(
        activity_type, _user_id(user), session_id=session_id, module=module, feature=feature, success=success,
        ip=ip_address, user_agent=user_agent, details=details,
    )  # fmt: skip


def _user_id(user: Any) -> object:
    """Return the id of Django's user, if it is loaded."""
    return actor_of(user)[0]
