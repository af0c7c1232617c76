"""What StratLogic's service reads, from the event store's views, in the shapes that its routes have.

Everything blocks, and answers with the same keys where nothing could be read: 0, {} or []. Events count that this
application recorded by the SDK; what its own tables hold from before is not among them.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from uuid import UUID, uuid4

from platform_sdk import client
from platform_sdk.capture.context import plain_text
from platform_sdk.delivery.store import quoted
from platform_sdk.diagnostics import note
from platform_sdk.reading import read_json

MOST_METRICS = 10_000
"""Metrics returned at once, the newest: an application may record millions a day."""

_SCRAPING = """SELECT json_build_array(count(*), count(*) FILTER (WHERE outcome = 'success'),
    coalesce(avg(duration_seconds) * 1000, 0), coalesce(sum(items_processed), 0), coalesce(sum(items_failed), 0))
FROM monitoring_views.scraping_run WHERE {recent}{of_scraper}"""

_ACTIVITY = """WITH recent AS MATERIALIZED (
    SELECT activity, details ->> 'endpoint' AS endpoint FROM monitoring_restricted.user_activity
    WHERE {recent}{of_user})
SELECT json_build_array(
    (SELECT coalesce(json_object_agg(activity, n ORDER BY n DESC, activity), '{{}}') FROM (
        SELECT activity, count(*) AS n FROM recent GROUP BY 1) AS counted),
    (SELECT coalesce(json_object_agg(endpoint, n ORDER BY n DESC, endpoint), '{{}}') FROM (
        SELECT endpoint, count(*) AS n FROM recent WHERE endpoint <> ''
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10) AS top))"""

_METRICS = """SELECT json_agg(json_build_object('id', md5(s::text)::uuid, 'metric_name', name, 'metric_type', kind,
    'value', value, 'unit', coalesce(unit, ''), 'labels', labels, 'timestamp', at::timestamp) ORDER BY at DESC)
FROM (SELECT * FROM monitoring_views.sample WHERE {recent}{of_name} ORDER BY at DESC LIMIT {most}) AS s"""

# An alert is an issue whose fingerprint is made of its source and title; until the exporter has counted it, an error.
_ALERTS = """WITH alert AS (
    SELECT app, fingerprint, severity, error_type, message, endpoint, first_seen, last_seen,
        CASE status WHEN 'resolved' THEN resolved_at END AS resolved_at,
        CASE status WHEN 'resolved' THEN resolved_by END AS resolved_by
    FROM monitoring_views.error_issue
    WHERE app = {app} AND fingerprint = left(endpoint || ': ' || error_type, 200) AND {chosen}
    UNION ALL (
    SELECT DISTINCT ON (fingerprint) app, fingerprint, severity, error_type, message, endpoint, at, at, NULL, NULL
    FROM monitoring_views.error e
    WHERE app = {app} AND fingerprint = left(endpoint || ': ' || error_type, 200) AND at > now() - interval '1 hour'
        AND NOT EXISTS (
            SELECT FROM monitoring_views.error_issue i WHERE i.app = e.app AND i.fingerprint = e.fingerprint)
    ORDER BY fingerprint, at DESC))
SELECT json_agg(json_build_object('id', {id}, 'severity', severity, 'title', error_type, 'message', message,
    'source', endpoint, 'created_at', first_seen, 'updated_at', last_seen, 'resolved_at', resolved_at,
    'resolved_by', resolved_by, 'context', newest.context) ORDER BY first_seen DESC)
FROM alert LEFT JOIN LATERAL (
    SELECT context FROM monitoring_restricted.error e
    WHERE e.app = alert.app AND e.fingerprint = alert.fingerprint ORDER BY at DESC LIMIT 1) AS newest ON true
WHERE {wanted}"""

_ID = "md5(app || E'\\n' || fingerprint)::uuid"
"""The id of an alert, whose first half is that of its issue."""


@dataclass(slots=True)
class Alert:
    """An alert with the attributes of StratLogic's model; `details` is JSON, `resolved_at` UTC without a zone."""

    alert_type: str
    severity: str
    title: str
    message: str
    source: str
    details: str | None = None
    resolved: bool = False
    resolved_at: datetime | None = None
    resolved_by: UUID | str | int | None = None
    id: UUID = field(default_factory=uuid4)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def issue(self) -> str:
        """Return the id of the issue that this alert is."""
        return self.id.hex[:16]


def fingerprint_of(source: object, title: object) -> str:
    """Return the fingerprint of an alert's issue."""
    return f"{plain_text(source)}: {plain_text(title)}"[:200]


def id_of(source: object, title: object) -> UUID:
    """Return the id of an alert of this application, the same for each of its occurrences."""
    key = f"{_app()}\n{fingerprint_of(source, title)}"
    return UUID(md5(key.encode(errors="replace"), usedforsecurity=False).hexdigest())


def scraping(days: Any = 7, scraper_type: object = None) -> dict[str, Any]:
    """Return how many jobs there were, how many succeeded, how long they took and what they processed."""
    scraper = _text(scraper_type)
    of_scraper = f" AND scraper = {quoted(scraper)}" if scraper else ""
    found = _read("get_scraping_analytics", _SCRAPING, ("day", days), of_scraper=of_scraper)
    return scraping_of(found, days, scraper)


def scraping_of(found: Any = None, days: Any = 7, scraper: str = "") -> dict[str, Any]:
    """Return the answer about jobs that were `found`."""
    total, succeeded, milliseconds, processed, failed = found or (0, 0, 0, 0, 0)
    return {
        "period_days": days,
        "total_jobs": total,
        "successful_jobs": succeeded,
        "failed_jobs": total - succeeded,
        "success_rate": round(succeeded / total * 100, 2) if total else 0,
        "average_duration_ms": round(float(milliseconds), 2) if total else 0,
        "total_items_processed": processed,
        "total_items_failed": failed,
        "scraper_type": scraper or "all",
    }


def user_activity(days: Any = 7, user_id: object = None) -> dict[str, Any]:
    """Return how many activities there were, by type, and the ten endpoints with the most."""
    user = _text(user_id)
    of_user = f" AND user_id = {quoted(user)}" if user else ""
    found = _read("get_user_activity_analytics", _ACTIVITY, ("day", days), of_user=of_user)
    return user_activity_of(found, days, user)


def user_activity_of(found: Any = None, days: Any = 7, user: str = "") -> dict[str, Any]:
    """Return the answer about activities that were `found`."""
    types, endpoints = found or ({}, {})
    return {
        "period_days": days,
        "total_activities": sum(types.values()),
        "activity_types": types,
        "top_endpoints": endpoints,
        "user_id": user or "all",
    }


def performance_metrics(metric_name: object = None, hours: Any = 24) -> list[dict[str, Any]]:
    """Return the samples of custom metrics, the newest first."""
    name = _text(metric_name)
    of_name = f" AND name = {quoted(name)}" if name else ""
    period = ("hour", hours)
    found = _read("get_system_performance_metrics", _METRICS, period, of_name=of_name, most=MOST_METRICS) or []
    return [
        {
            **metric,
            "value": float(metric["value"]),  # JSON does not tell 58.0 from 58
            "timestamp": datetime.fromisoformat(metric["timestamp"]).isoformat(),
        }
        for metric in found
    ]


def active_alerts() -> list[Alert]:
    """Return the alerts of this application that are open, the newest first."""
    found = _read("get_active_alerts", _ALERTS, chosen="status = 'open'", wanted="true") or []
    return [_alert(row) for row in found]


def alert_with(alert_id: object) -> Alert | None:
    """Return an alert of this application, open or not, None for an id that none has."""
    try:
        key = UUID(_text(alert_id))
    except ValueError:
        return None
    found = _read("resolve_alert", _ALERTS, chosen=f"id = '{key.hex[:16]}'", wanted=f"{_ID} = '{key}'")
    return _alert(found[0]) if found else None


def _read(name: str, query: str, period: tuple[str, Any] | None = None, **parts: object) -> Any:
    """Return what a query selects of this application, None where that is nothing, or where it fails: that is logged.

    `period` is a unit of time and how many of them.
    """
    try:
        app = quoted(_app())
        if period is not None:
            parts["recent"] = f"app = {app} AND at > now() - interval '1 {period[0]}' * {float(period[1])!r}"
        return read_json(query.format(app=app, id=_ID, **parts))
    except Exception as error:  # noqa: BLE001 - never into the application
        note(name, error)
        return None


def _app() -> str:
    options = client.active_options()
    return "" if options is None else options.app[:200]


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else plain_text(value)


def _alert(row: dict[str, Any]) -> Alert:
    context = dict(row["context"] or {})
    resolved_at = row["resolved_at"]
    return Alert(
        alert_type=str(context.pop("alert_type", "error")),
        severity=row["severity"],
        title=row["title"],
        message=row["message"] or "",
        source=row["source"],
        details=json.dumps(context) if context else None,
        resolved=resolved_at is not None,
        resolved_at=None if resolved_at is None else datetime.fromisoformat(resolved_at).replace(tzinfo=None),
        resolved_by=row["resolved_by"],
        id=UUID(row["id"]),
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
    )
