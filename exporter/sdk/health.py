"""Sum up how the system fares, from the event store. Stub: filled soon."""

from typing import Any


def get_system_health_summary(hours: float = 1.0, timeout_seconds: float = 2.0) -> dict[str, Any]:
    """Return health_status, error_count, avg_response_time and api_success_rate."""
    return {"health_status": "unknown", "error_count": None, "avg_response_time": None, "api_success_rate": None}
