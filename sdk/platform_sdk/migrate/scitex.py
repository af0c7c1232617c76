"""SciTeX Cloud's monitoring helpers by their own names and order of arguments, so that only an import changes.

from platform_sdk.migrate.scitex import APIMonitor, log_error  # was: from apps.monitoring_app.utils import ...
"""

from collections.abc import Mapping
from typing import Any

from platform_sdk import api
from platform_sdk.client import guarded
from platform_sdk.health import get_system_health_summary
from platform_sdk.outgoing import api_monitor
from platform_sdk.web.actor import actor_of

__all__ = ["APIMonitor", "get_system_health_summary", "log_activity", "log_api_usage", "log_error"]


class APIMonitor(api_monitor.APIMonitor):
    """Monitor of a call to an external API, as `with APIMonitor(api_name, endpoint, query_params):`."""

    def __init__(
        self,
        api_name: str = "unknown",
        endpoint: str | None = None,
        query_params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(api_name, endpoint, query_params, **options)


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
        error_type, message, severity, endpoint=endpoint, user_id=_user_id(user), stack_trace=stack_trace,
        context=metadata,
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
    """Return the id of Django's user. Only what is loaded is read: an attribute might run a query."""
    held = getattr(user, "__dict__", {})
    return actor_of(held.get("_wrapped") or user)[0]  # request.user is a lazy object
