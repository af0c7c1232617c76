"""Notifications as Alertmanager sends them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from exporter.alerts.notification import Delivery, HistoryAlert, parse

T0 = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
NEVER = "0001-01-01T00:00:00Z"


def at(seconds: float) -> datetime:
    """Return a time this long after T0."""
    return T0 + timedelta(seconds=seconds)


def alert(
    starts: float, ends: float | None = None, *, fingerprint: str = "f1", name: str = "Down", severity: str = "high"
) -> dict[str, Any]:
    """Return one alert of a notification; without `ends` it fires."""
    return {
        "status": "firing" if ends is None else "resolved",
        "labels": {"alertname": name, "severity": severity, "app": "shop"},
        "annotations": {"summary": f"{name} of shop"},
        "startsAt": at(starts).isoformat(),
        "endsAt": NEVER if ends is None else at(ends).isoformat(),
        "generatorURL": "http://prometheus/graph",
        "fingerprint": fingerprint,
    }


def body(*alerts: dict[str, Any], group: str = '{}:{alertname="Down"}', **changes: Any) -> dict[str, Any]:
    """Return a whole notification."""
    return {
        "receiver": "history",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "version": "4",
        "groupKey": group,
        "truncatedAlerts": 0,
    } | changes


def delivery(*alerts: dict[str, Any], **changes: Any) -> Delivery:
    """Return a delivery with a new id."""
    notification = parse(msgspec.json.encode(body(*alerts, **changes)), HistoryAlert)
    return Delivery(id=uuid.uuid4(), received_at=datetime.now(UTC), notification=notification)
