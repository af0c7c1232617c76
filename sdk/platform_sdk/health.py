"""A summary of how the system is doing, from the event store.

Only this part of the SDK and the modules of `platform_sdk.migrate` read and wait: for their timeout at most, as a role
that may (see `platform_sdk.reading`). The exporter's /api/v1/health and its metrics need none of that.
"""

from typing import Any

from platform_sdk import client
from platform_sdk.delivery.store import quoted
from platform_sdk.diagnostics import unfailing
from platform_sdk.reading import read_json

MINIMUM_EVENTS = 20
"""With fewer events in the window an indicator is unknown, never good."""

# Worse than the first is a warning, worse than the second critical, as the exporter's defaults.
LATENCY_SECONDS = (0.5, 1.0)
ERROR_RATIO = (0.02, 0.05)
API_SUCCESS_RATIO = (0.95, 0.90)

# An error counts until its issue is resolved.
_SQL = """SELECT json_build_object(
'requests', (SELECT json_build_array(coalesce(sum(coalesce(weight, 1)), 0),
    coalesce(sum(coalesce(weight, 1)) FILTER (WHERE status >= 500), 0),
    sum(coalesce(first_byte_seconds, duration_seconds) * coalesce(weight, 1)) / nullif(sum(coalesce(weight, 1)), 0))
    FROM monitoring_views.http_request WHERE {where}),
'calls', (SELECT json_build_array(count(*), count(*) FILTER (WHERE outcome = 'success'))
    FROM monitoring_views.api_call WHERE {where}),
'errors', (SELECT count(*) FROM monitoring_views.error e WHERE {where} AND NOT EXISTS (
    SELECT FROM monitoring_views.error_issue i
    WHERE i.app = e.app AND i.fingerprint = e.fingerprint AND i.status = 'resolved')))"""


@unfailing(lambda: _summary(None))
def get_system_health_summary(
    hours: float = 1.0, *, timeout_seconds: float = 2.0, dsn: str | None = None, app: str | None = None
) -> dict[str, Any]:
    """Return health_status, error_count, avg_response_time and api_success_rate over the last hours. Never raises.

    Errors whose issue is resolved do not count. Reads by the option `read_dsn`, or by `dsn`.

    health_status is healthy, warning, critical, or unknown if there are too few events or no answer in time;
    avg_response_time is in milliseconds and api_success_rate in percent, as SciTeX's helper has them, None if there is
    nothing to average. `error_rate` (percent of requests with status >= 500), `total_requests` and
    `total_api_calls` are added. `app` None means the application of `init`.
    """
    return _summary(_query(hours, timeout_seconds, dsn, app))


def _query(hours: float, timeout_seconds: float, dsn: str | None, app: str | None) -> dict[str, Any] | None:
    options = client.active_options()
    if options is None:
        return None
    where = f"at > now() - interval '1 hour' * {float(hours)!r} AND app = {quoted(app or options.app)}"
    found = read_json(_SQL.format(where=where), timeout_seconds, dsn)
    return found if isinstance(found, dict) else None


def _summary(found: dict[str, Any] | None) -> dict[str, Any]:
    requests, failed, mean = found["requests"] if found else (0, 0, None)
    calls, succeeded = found["calls"] if found else (0, 0)
    error_ratio = failed / requests if requests else None
    success_ratio = succeeded / calls if calls else None
    bands = []
    if requests >= MINIMUM_EVENTS:
        bands += [_band(mean, LATENCY_SECONDS), _band(error_ratio, ERROR_RATIO)]
    if calls >= MINIMUM_EVENTS:
        bands.append(_band(success_ratio, API_SUCCESS_RATIO, falling=True))
    return {
        "health_status": ("healthy", "warning", "critical")[max(bands)] if bands else "unknown",
        "error_count": found["errors"] if found else None,
        "avg_response_time": None if mean is None else round(mean * 1000, 2),
        "api_success_rate": None if success_ratio is None else round(success_ratio * 100, 2),
        "error_rate": None if error_ratio is None else round(error_ratio * 100, 2),
        "total_requests": int(requests),
        "total_api_calls": int(calls),
    }


def _band(value: float | None, bounds: tuple[float, float], *, falling: bool = False) -> int:
    """Return 0 for good, 1 for a warning, 2 for critical; `falling` if small values are bad."""
    if value is None:
        return 0
    warning, critical = bounds
    if falling:
        return 2 if value < critical else 1 if value <= warning else 0
    return 2 if value > critical else 1 if value >= warning else 0
