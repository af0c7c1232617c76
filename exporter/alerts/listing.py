"""The list of current alerts, from all Alertmanagers and the event store."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from exporter import printing
from exporter.alerts.manual import MANUAL, ManualAlert
from exporter.redaction import hide_addresses
from platform_sdk.events.error import SEVERITIES

HEADINGS = ("SEVERITY", "STATE", "SINCE (UTC)", "ALERT", "ABOUT", "SOURCE", "SUMMARY")
WORST_FIRST = SEVERITIES[::-1]
SUBJECT = ("app", "component", "name", "api", "scraper", "queue", "source", "job", "instance")
"""The labels that say what an alert is about, in this order."""


class ListedAlert(Struct, frozen=True, kw_only=True):
    """One alert. `state` is firing, silenced, inhibited, or unsent: known only to the event store.

    `source` is `manual` or `rule`; only manual alerts have an `id`. `alertmanagers` are those that know it.
    """

    fingerprint: str
    alertname: str
    severity: str
    state: str
    since: str
    source: str
    about: str
    summary: str
    id: str | None = None
    created_by: str | None = None
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    alertmanagers: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


def list_alerts(known: Mapping[str, list[dict[str, Any]]], opened: Iterable[ManualAlert]) -> list[ListedAlert]:
    """Return each alert once, the most severe first, then the oldest. `known` is by Alertmanager."""
    created = {alert.id: alert for alert in opened}
    found: dict[str, dict[str, Any]] = {}
    known_to: dict[str, list[str]] = {}
    for url, alerts in known.items():
        for alert in alerts:
            found.setdefault(alert["fingerprint"], alert)
            known_to.setdefault(alert["fingerprint"], []).append(hide_addresses(url))
    rows = [_of_alertmanager(alert, known_to[key], created) for key, alert in found.items()]
    sent = {row.id for row in rows}
    rows += [_unsent(alert) for alert in created.values() if alert.id not in sent]
    return sorted(rows, key=lambda row: (_rank(row.severity), row.since, row.fingerprint, row.id or ""))


def table(rows: Sequence[ListedAlert]) -> list[str]:
    """Return the lines of a table."""
    return list(printing.table(HEADINGS, [_cells(row) for row in rows])) or ["no alerts"]


def _cells(row: ListedAlert) -> tuple[str, ...]:
    source = row.source
    if row.id:
        source = f"{source} {row.id}" + (f" by {row.created_by}" if row.created_by else "")
    state = row.state + (f" by {row.silenced_by[0]}" if row.silenced_by else "")
    since = datetime.fromisoformat(row.since).astimezone(UTC)
    return (row.severity, state, f"{since:%F %T}", row.alertname, row.about, source, row.summary)


def _of_alertmanager(alert: dict[str, Any], known_to: list[str], created: Mapping[str, ManualAlert]) -> ListedAlert:
    labels, status = alert["labels"], alert["status"]
    manual = labels.get("alert_source") == MANUAL
    identifier: str | None = labels.get("id") if manual else None
    return ListedAlert(
        fingerprint=alert["fingerprint"],
        alertname=labels.get("alertname", ""),
        severity=labels.get("severity", ""),
        state="silenced" if status["silencedBy"] else "inhibited" if status["inhibitedBy"] else "firing",
        since=alert["startsAt"],
        source=MANUAL if manual else "rule",
        about=_about(labels),
        summary=alert["annotations"].get("summary", ""),
        id=identifier,
        created_by=created[identifier].created_by if identifier is not None and identifier in created else None,
        silenced_by=tuple(status["silencedBy"]),
        inhibited_by=tuple(status["inhibitedBy"]),
        receivers=tuple(receiver["name"] for receiver in alert["receivers"]),
        alertmanagers=tuple(known_to),
        labels=labels,
        annotations=alert["annotations"],
    )


def _unsent(alert: ManualAlert) -> ListedAlert:
    return ListedAlert(
        fingerprint="",
        alertname=alert.alertname,
        severity=alert.severity,
        state="unsent",
        since=alert.created_at.isoformat(),
        source=MANUAL,
        about=_about(alert.all_labels),
        summary=alert.annotations.get("summary", ""),
        id=alert.id,
        created_by=alert.created_by,
        labels=alert.all_labels,
        annotations=alert.annotations,
    )


def _about(labels: Mapping[str, str]) -> str:
    return " ".join(filter(None, (labels.get(name) for name in SUBJECT)))


def _rank(severity: str) -> int:
    return WORST_FIRST.index(severity) if severity in WORST_FIRST else len(WORST_FIRST)
