"""Store notifications in monitoring.alert_notification, and derive the counters platform_alert_* with the rows.

A firing is what lies between two ends of one fingerprint. Alertmanager may report it many times: again after
`repeat_interval`, from two members of a cluster, to two groups, with an earlier or later start where two Prometheus
send it or one restarts. The first report counts, every other one is a repeat.

A delivery is one transaction, and one at a time in all replicas: under that lock the stored rows decide what counts,
so that rows and counters can never disagree.
"""

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from exporter.aggregation.series import Total, stored_totals
from exporter.aggregation.shown import with_falls
from exporter.aggregation.snapshot import StoreState, store_state
from exporter.alerts.notification import Delivery, HistoryAlert
from exporter.config.settings import Alerts
from exporter.database import expiry
from exporter.database.connection import AdvisoryLock
from exporter.exposition.families import FAMILIES
from platform_sdk.events.base import LONGEST_LABEL, OTHER
from platform_sdk.events.error import SEVERITIES

logger = logging.getLogger(__name__)

SOURCE = STREAM = "alerts"
"""The names of the history's rollups; no poll advances them."""

LONGEST_GROUP_KEY_BYTES = 1000

ALERTNAMES = 300
"""How many alerts have series of their own: manual alerts may have any name."""

NOTIFICATIONS = "platform_alert_notifications_total"
REPEATS = "platform_alert_repeats_total"
FIRING_SECONDS = "platform_alert_firing_seconds_total"
TIME_TO_RESOLVE = "platform_alert_time_to_resolve_seconds"
FLAPS = "platform_alert_flaps_total"
NOISE = "platform_alert_noise_total"

Key = tuple[str, str]


@dataclass
class _Sums:
    """What one delivery adds, by alertname and severity."""

    counts: Counter[tuple[str, Key]] = field(default_factory=Counter)
    durations: dict[Key, list[float]] = field(default_factory=dict)
    keys: set[Key] = field(default_factory=set)

    def add(self, metric: str, key: Key) -> None:
        self.keys.add(key)
        self.counts[metric, key] += 1


def record(connection: psycopg.Connection, delivery: Delivery, settings: Alerts) -> bool:
    """Store one delivery, all or nothing; return False where it is stored already. Blocks. Raises psycopg.Error.

    `connection` is in autocommit mode.
    """
    with connection.transaction():
        AdvisoryLock.ALERT_HISTORY.wait(connection)
        # In the same transaction: a delivery whose commit was not confirmed is tried again, and is then known.
        new = connection.execute("INSERT INTO monitoring.batch (id) VALUES (%s) ON CONFLICT DO NOTHING", [delivery.id])
        if not new.rowcount:
            return False
        sums, names = _Sums(), _known_names(connection)
        for alert in delivery.notification.alerts:
            key = _key(alert, names)
            _count(connection, alert, key, sums, settings)
            _store(connection, delivery, alert)
        _add(connection, sums)
    return True


def read(connection: psycopg.Connection) -> tuple[list[Total], StoreState]:
    """Return the committed counters, and the state of their store. Raises psycopg.Error."""
    # Deliveries alone count here: there is no first count of what was there before.
    state = replace(store_state(connection, SOURCE, []), streams=(STREAM,))
    return with_falls(stored_totals(connection, SOURCE, [STREAM]), SOURCE, STREAM), state


def prune(connection: psycopg.Connection, days: int) -> int:
    """Remove rows that were last reported so many days ago, the oldest few days of them; counters stay.

    Nothing while this host's clock differs from the database's. Raises psycopg.Error.
    """
    if problem := expiry.clock_problem(expiry.clock_ahead_seconds(connection)):
        logger.error("alert history: %s", problem)
        return 0
    query = expiry.statement("alert_notification", "coalesce(last_received_at, received_at)")
    return connection.execute(query.encode(), {"days": days}).rowcount


def _known_names(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT DISTINCT labels->>'alertname' FROM monitoring.rollup WHERE source = %s AND stream = %s",
        [SOURCE, STREAM],
    ).fetchall()
    return {row[0] for row in rows}


def _key(alert: HistoryAlert, names: set[str]) -> Key:
    name = _clean(alert.labels.get("alertname", ""))[:LONGEST_LABEL] or "none"
    if name not in names:
        name = name if len(names) < ALERTNAMES else OTHER
        names.add(name)
    severity = alert.labels.get("severity", "") or "none"
    return name, severity if severity in SEVERITIES or severity == "none" else "other"


def _count(connection: psycopg.Connection, alert: HistoryAlert, key: Key, sums: _Sums, settings: Alerts) -> None:
    """Count an alert by the rows that are stored, before its own is."""
    if alert.status == "firing":
        _count_firing(connection, alert, key, sums, settings)
    else:
        _count_resolved(connection, alert, key, sums, settings)


def _count_firing(connection: psycopg.Connection, alert: HistoryAlert, key: Key, sums: _Sums, settings: Alerts) -> None:
    last_end, known = _row(
        connection,
        """WITH own AS (SELECT * FROM monitoring.alert_notification WHERE fingerprint = %(fingerprint)s),
        ends AS (SELECT max(ends_at) FILTER (WHERE ends_at <= %(starts_at)s) AS last,
            min(ends_at) FILTER (WHERE ends_at > %(starts_at)s) AS next FROM own WHERE status = 'resolved')
        SELECT last, EXISTS (SELECT FROM own WHERE status = 'firing' AND (starts_at = %(starts_at)s
            OR starts_at >= coalesce(last, '-infinity') AND starts_at < coalesce(next, 'infinity'))) FROM ends""",
        alert,
    )
    if known:
        sums.add(REPEATS, key)
        return
    sums.add(f"{NOTIFICATIONS} firing", key)
    if last_end is not None and (alert.startsAt - last_end).total_seconds() <= settings.flap_seconds:
        sums.add(FLAPS, key)


def _count_resolved(
    connection: psycopg.Connection, alert: HistoryAlert, key: Key, sums: _Sums, settings: Alerts
) -> None:
    began, known = _row(
        connection,
        """WITH own AS (SELECT * FROM monitoring.alert_notification WHERE fingerprint = %(fingerprint)s),
        ends AS (SELECT max(ends_at) AS last FROM own WHERE status = 'resolved' AND ends_at <= %(starts_at)s)
        SELECT (SELECT min(starts_at) FROM own WHERE status = 'firing' AND starts_at <= %(ends_at)s
                AND starts_at >= coalesce(last, '-infinity')),
            EXISTS (SELECT FROM own WHERE status = 'resolved'
                AND (starts_at = %(starts_at)s OR starts_at < %(ends_at)s AND ends_at > %(starts_at)s)) FROM ends""",
        alert,
    )
    if known:
        return
    seconds = max(0.0, (_end(alert) - min(began or alert.startsAt, alert.startsAt)).total_seconds())
    sums.add(f"{NOTIFICATIONS} resolved", key)
    sums.durations.setdefault(key, []).append(seconds)
    if seconds <= settings.noise_seconds:
        sums.add(NOISE, key)


def _row(connection: psycopg.Connection, query: str, alert: HistoryAlert) -> tuple[datetime | None, bool]:
    parameters = {"fingerprint": _clean(alert.fingerprint), "starts_at": alert.startsAt, "ends_at": _end(alert)}
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
    return row[0], row[1]


def _end(alert: HistoryAlert) -> datetime:
    """Return when a firing ended; a clock that went back does not make it end before it began."""
    return max(alert.endsAt, alert.startsAt)


def _store(connection: psycopg.Connection, delivery: Delivery, alert: HistoryAlert) -> None:
    # What is stored decides when the row is removed, so that it is a time of the database's clock.
    waited = max(timedelta(), datetime.now(UTC) - delivery.received_at)
    connection.execute(
        """INSERT INTO monitoring.alert_notification AS n (group_key, fingerprint, status, starts_at, ends_at,
            received_at, last_received_at, receiver, labels, annotations)
        VALUES (%s, %s, %s, %s, %s, now() - %s, now() - %s, %s, %s, %s)
        ON CONFLICT (fingerprint, starts_at, status, group_key) DO UPDATE SET repeats = n.repeats + 1,
            last_received_at = greatest(n.last_received_at, excluded.last_received_at)""",
        [
            _group_key(delivery.notification.groupKey),
            _clean(alert.fingerprint),
            alert.status,
            alert.startsAt,
            _end(alert) if alert.status == "resolved" else None,
            waited,
            waited,
            _clean(delivery.notification.receiver),
            Jsonb({_clean(name): _clean(text) for name, text in alert.labels.items()}),
            Jsonb({_clean(name): _clean(text) for name, text in alert.annotations.items()}),
        ],
    )


def _group_key(text: str) -> str:
    """Return what tells groups apart; it is part of an index's key, whose entries are bounded."""
    text = _clean(text)
    if len(text.encode()) <= LONGEST_GROUP_KEY_BYTES:
        return text
    return f"{text[:200]} sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _clean(text: str) -> str:
    """Return a text that PostgreSQL can store: without NUL."""
    return text.replace("\0", "\ufffd")


def _add(connection: psycopg.Connection, sums: _Sums) -> None:
    """Add to the rollups; for an alert that is new all counters begin, if need be at 0."""
    for key in sorted(sums.keys):
        labels = {"alertname": key[0], "severity": key[1]}
        durations = sums.durations.get(key, [])
        for status in ("firing", "resolved"):
            count = sums.counts[f"{NOTIFICATIONS} {status}", key]
            _upsert(connection, NOTIFICATIONS, "counter", {**labels, "status": status}, count)
        for metric in (REPEATS, FLAPS, NOISE):
            _upsert(connection, metric, "counter", labels, sums.counts[metric, key])
        _upsert(connection, FIRING_SECONDS, "counter", labels, sum(durations))
        buckets = [sum(value <= bound for value in durations) for bound in FAMILIES[TIME_TO_RESOLVE].bounds]
        _upsert(connection, TIME_TO_RESOLVE, "histogram", labels, len(durations), sum(durations), buckets)


def _upsert(
    connection: psycopg.Connection,
    metric: str,
    kind: str,
    labels: dict[str, str],
    value: float,
    total: float | None = None,
    buckets: list[int] | None = None,
) -> None:
    row: list[Any] = [SOURCE, STREAM, metric, kind, Jsonb(labels), value, total, buckets]
    connection.execute(
        """INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, total, buckets, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s::double precision[], now())
        ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET value = r.value + excluded.value,
            total = r.total + excluded.total, buckets = (SELECT array_agg(a + b ORDER BY i)
                FROM unnest(r.buckets, excluded.buckets) WITH ORDINALITY AS both_of(a, b, i))""",
        row,
    )
