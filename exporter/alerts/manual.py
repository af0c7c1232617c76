"""Manual alerts: rows of monitoring.manual_alert, each change with a row in monitoring.audit."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from exporter.errors import ConfigError, PlatformError

ALERTNAME = "PlatformManualAlert"
MANUAL = "manual"
RESERVED = ("alertname", "severity", "app", "alert_source", "id")

HELD = timedelta(hours=1)
"""How long a manual alert lasts in an Alertmanager that gets no more updates: exporter and event store may both be
unavailable for so long."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class ManualAlert:
    """One row."""

    id: str
    alertname: str
    severity: str
    app: str | None
    labels: dict[str, str]
    annotations: dict[str, str]
    created_by: str
    created_at: datetime
    resolved_by: str | None = None
    resolved_at: datetime | None = None

    @property
    def all_labels(self) -> dict[str, str]:
        """Return the labels that Alertmanager gets; `id` distinguishes similar alerts."""
        own = {"alertname": self.alertname, "severity": self.severity, "alert_source": MANUAL, "id": self.id}
        return {**self.labels, **own, **({"app": self.app} if self.app else {})}


def to_api(alert: ManualAlert, now: datetime) -> dict[str, Any]:
    """Return an alert for Alertmanager's API: firing for HELD from now, or ended when it was resolved."""
    # An end before the start would be refused, and clocks of two machines differ.
    ends = max(alert.resolved_at, alert.created_at) if alert.resolved_at else now + HELD
    return {
        "labels": alert.all_labels,
        "annotations": alert.annotations,
        "startsAt": alert.created_at.isoformat(),
        "endsAt": ends.isoformat(),
    }


def new(
    *, summary: str, severity: str, by: str, alertname: str = ALERTNAME, app: str | None = None,
    labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None,
) -> ManualAlert:  # fmt: skip
    """Return a new alert with a new id. Raises ConfigError for labels that Alertmanager would refuse."""
    for name in labels or {}:
        if name in RESERVED or not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name):
            reserved = ", ".join(RESERVED)
            raise ConfigError(f"invalid label {name!r}: expected letters, digits and _, and none of {reserved}")
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", alertname):
        raise ConfigError(f"invalid name {alertname!r}: expected CamelCase, e.g. {ALERTNAME}")
    if not summary.strip():
        raise ConfigError("the summary is empty: expected a sentence that says what is wrong")
    # Alertmanager drops labels and annotations without a value.
    shown = {"summary": summary, **(annotations or {})}
    return ManualAlert(
        id=secrets.token_hex(4),
        alertname=alertname,
        severity=severity,
        app=app or None,
        labels={name: value for name, value in (labels or {}).items() if value},
        annotations={name: value for name, value in shown.items() if value},
        created_by=by,
        created_at=datetime.now(UTC),
    )


def create(connection: Connection, alert: ManualAlert) -> None:
    """Store a new alert with its row in the audit. Raises psycopg.Error."""
    with connection.transaction():
        connection.execute(
            """INSERT INTO monitoring.manual_alert (id, alertname, severity, app, labels, annotations, created_by,
                created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""",
            [alert.id, alert.alertname, alert.severity, alert.app, Jsonb(alert.labels), Jsonb(alert.annotations),
             alert.created_by, alert.created_at],
        )  # fmt: skip
        details = {**alert.all_labels, "summary": alert.annotations["summary"]}
        audit(connection, alert.created_by, "alert.create", f"manual_alert/{alert.id}", details)


def resolve(connection: Connection, identifier: str, by: str, comment: str | None = None) -> ManualAlert:
    """End an alert, and store who did; one that is resolved already stays as it is.

    `identifier` may be the beginning of an id. Raises PlatformError, psycopg.Error.
    """
    with connection.transaction():
        alert = _find(connection, identifier)
        if alert.resolved_at:
            return alert
        ended = replace(alert, resolved_by=by, resolved_at=datetime.now(UTC))
        # If two resolve it at the same time, the first wins.
        done = connection.execute(
            """UPDATE monitoring.manual_alert SET resolved_by = %s, resolved_at = %s
            WHERE id = %s AND resolved_at IS NULL""",
            [ended.resolved_by, ended.resolved_at, alert.id],
        )
        if not done.rowcount:
            return _find(connection, alert.id)
        audit(connection, by, "alert.resolve", f"manual_alert/{alert.id}", {"comment": comment} if comment else None)
    return ended


def unsettled(connection: Connection) -> list[ManualAlert]:
    """Return the open alerts, and those resolved so recently that an Alertmanager may still hold them."""
    return _select(
        connection,
        "WHERE resolved_at IS NULL OR resolved_at > now() - %s ORDER BY created_at",
        [HELD + timedelta(minutes=5)],
    )


def opened(connection: Connection) -> list[ManualAlert]:
    """Return the open alerts, the oldest first."""
    return _select(connection, "WHERE resolved_at IS NULL ORDER BY created_at", [])


def audit(connection: Connection, by: str, action: str, what: str, details: Mapping[str, object] | None) -> None:
    """Store who did what. Raises psycopg.Error."""
    connection.execute(
        "INSERT INTO monitoring.audit (actor, action, object, details) VALUES (%s, %s, %s, %s)",
        [by, action, what, Jsonb(dict(details)) if details else None],
    )


def _find(connection: Connection, identifier: str) -> ManualAlert:
    found = _select(connection, "WHERE starts_with(id, %s) ORDER BY created_at", [identifier]) if identifier else []
    if not found:
        raise PlatformError(f"no manual alert has the id {identifier!r}; see `platform-exporter alerts list`")
    if len(found) > 1:
        raise PlatformError(
            f"several alerts have an id that begins with {identifier!r}: {', '.join(alert.id for alert in found)}"
        )
    return found[0]


def _select(connection: Connection, where: str, parameters: list[object]) -> list[ManualAlert]:
    with connection.cursor(row_factory=class_row(ManualAlert)) as cursor:
        query = f"""SELECT id, alertname, severity, app, labels, annotations, created_by, created_at, resolved_by,
            resolved_at FROM monitoring.manual_alert {where}"""
        return cursor.execute(query.encode(), parameters).fetchall()
