"""A real Alertmanager with the shipped configuration posts to a real receiver."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from stack.polling import poll_until
from stack.servers import Alertmanager
from tests.alertmanager.receiver import Receiver
from tests.alertmanager.shipped import turned_to
from tests.servers import PrometheusBinaries

DOWN = {"alertname": "PlatformComponentDown", "severity": "critical", "component": "redis", "name": "main"}
LATENCY = {"alertname": "PlatformHttpLatencyHigh", "app": "shop", "indicator": "http_latency_seconds"}


@pytest.fixture
def alertmanager(
    prometheus_binaries: PrometheusBinaries,
    start_alertmanager: Callable[..., Alertmanager],
    receiver: Receiver,
    tmp_path: Path,
) -> Alertmanager:
    """Return an Alertmanager with the shipped configuration; only the receiver's port is this test's."""
    return start_alertmanager(turned_to(receiver.url, tmp_path), binary=prometheus_binaries.alertmanager)


def post(server: Alertmanager, *labels: dict[str, str], resolved: bool = False) -> None:
    """Send alerts as Prometheus does: starting now. One that started earlier would not wait for its group."""
    now = datetime.now(UTC)
    ends = now if resolved else now + timedelta(minutes=4)
    span = {"startsAt": now.isoformat(), "endsAt": ends.isoformat()}
    alerts = [{"labels": one, **span} for one in labels]
    requests.post(f"{server.url}/api/v2/alerts", json=alerts, timeout=5).raise_for_status()


def test_critical_is_out_within_seconds_and_so_is_its_resolution(
    alertmanager: Alertmanager, receiver: Receiver
) -> None:
    """group_wait of 5 s for the firing notice, group_interval of 10 s for the resolved one."""
    begin = time.monotonic()
    post(alertmanager, DOWN)
    poll_until(lambda: DOWN in receiver.alerts("firing"), 15)
    fired = time.monotonic()
    post(alertmanager, DOWN, resolved=True)
    poll_until(lambda: DOWN in receiver.alerts("resolved"), 20)

    assert fired - begin < 8
    assert time.monotonic() - fired < 13
    assert receiver.posts[0][1]["receiver"] == "critical"


def test_what_follows_is_muted(alertmanager: Alertmanager, receiver: Receiver) -> None:
    """A critical band mutes the lower ones of its app and indicator, a dead component its being degraded; no others."""
    critical = {**LATENCY, "severity": "critical"}
    muted = [
        {**LATENCY, "severity": "medium"},
        {"alertname": "PlatformComponentDegraded", "severity": "high", "component": "redis", "name": "main"},
    ]
    loud = [
        {**LATENCY, "app": "blog", "severity": "medium"},
        {**LATENCY, "indicator": "http_error_ratio", "severity": "medium"},
        {"alertname": "PlatformComponentDegraded", "severity": "high", "component": "redis", "name": "other"},
        # Neither app nor indicator: two absent labels must not count as the same app.
        {"alertname": "PlatformTargetDown", "severity": "high", "job": "minio", "instance": "a"},
    ]
    post(alertmanager, critical, DOWN, *muted, *loud)
    poll_until(lambda: len(alertmanager.alerts()) == 8, 10)

    def states() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        alerts = alertmanager.alerts()
        inhibited = [alert["labels"] for alert in alerts if alert["status"]["inhibitedBy"]]
        return inhibited, [alert["labels"] for alert in alerts if not alert["status"]["inhibitedBy"]]

    poll_until(lambda: len(states()[0]) == 2, 10)
    # The high alerts of the first post go out after 15 s; by then the muted one of that route would have, too.
    poll_until(lambda: loud[2] in receiver.alerts("firing"), 25)

    inhibited, others = states()
    assert sorted(inhibited, key=str) == sorted(muted, key=str)
    assert sorted(others, key=str) == sorted([critical, DOWN, *loud], key=str)
    assert not [one for one in receiver.alerts("firing") if one in muted]
    assert critical in receiver.alerts("firing")


def test_dead_exporter_mutes_what_is_derived_from_it(alertmanager: Alertmanager, receiver: Receiver) -> None:
    """One page for the exporter, none for the alerts whose series ended with it; the rest of the stack still counts."""
    exporter = {"alertname": "PlatformExporterDown", "severity": "critical", "job": "platform-exporter"}
    target = {"alertname": "PlatformTargetDown", "severity": "high", "job": "redis_exporter", "instance": "a"}
    post(alertmanager, exporter)
    post(alertmanager, DOWN, {**LATENCY, "severity": "critical"}, target)
    poll_until(lambda: target in receiver.alerts("firing"), 25)

    assert receiver.alerts("firing") == [exporter, target]
