"""A real Alertmanager with the shipped configuration, only its address exchanged, posts to a real receiver."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.alertmanager.shipped import Labels, post, turned_to
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager

DOWN = {"alertname": "PlatformComponentDown", "severity": "critical", "component": "redis", "name": "main"}


@pytest.fixture
def alertmanager(
    prometheus_binaries: PrometheusBinaries,
    start_alertmanager: Callable[..., Alertmanager],
    receiver: HttpReceiver,
    tmp_path: Path,
) -> Alertmanager:
    """Return an Alertmanager with the shipped configuration; only the receiver's port is this test's."""
    return start_alertmanager(turned_to(receiver.url, tmp_path / "am"), binary=prometheus_binaries.alertmanager)


def labels_of(receiver: HttpReceiver, status: str) -> list[Labels]:
    """Return the labels of the alerts that came with this status."""
    return [alert["labels"] for alert in receiver.alerts(status)]


def test_critical_is_out_within_seconds_and_so_is_its_resolution(
    alertmanager: Alertmanager, receiver: HttpReceiver
) -> None:
    """group_wait of 5 s for the firing notice, group_interval of 10 s for the resolved one."""
    begin = time.monotonic()
    post(alertmanager, DOWN)
    poll_until(lambda: DOWN in labels_of(receiver, "firing"), 15)
    fired = time.monotonic()
    post(alertmanager, DOWN, resolved=True)
    poll_until(lambda: DOWN in labels_of(receiver, "resolved"), 20)

    assert fired - begin < 8
    assert time.monotonic() - fired < 13
    assert receiver.arrivals[0].content["receiver"] == "critical"
    assert receiver.problems == []


def test_an_outage_of_one_app_is_one_page(alertmanager: Alertmanager, receiver: HttpReceiver) -> None:
    """What breaks at once in one app is told together; another app, and each component, by itself."""
    of_shop: list[Labels] = [
        {"alertname": f"Platform{name}", "severity": "critical", "app": "shop", "indicator": name}
        for name in ("HttpErrorsHigh", "HttpLatencyHigh", "ApiSuccessLow", "ScrapingFailuresHigh")
    ]
    of_blog = {**of_shop[2], "app": "blog"}
    post(alertmanager, *of_shop, of_blog)
    poll_until(lambda: len(labels_of(receiver, "firing")) == 5, 20)

    assert sorted(len(arrival.content["alerts"]) for arrival in receiver.arrivals) == [1, 4]
