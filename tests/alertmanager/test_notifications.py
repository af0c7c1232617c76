"""A real Alertmanager with the shipped configuration, only its address exchanged, posts to a real receiver."""

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


def test_critical_comes_before_high_and_so_does_its_resolution(
    alertmanager: Alertmanager, receiver: HttpReceiver
) -> None:
    """group_wait of 5 s instead of 10 s for the firing notification, group_interval of 10 s instead of 1 m after it."""
    high = {"alertname": "PlatformApiSuccessLow", "severity": "high", "app": "shop"}
    post(alertmanager, high, began_seconds_ago=0)
    post(alertmanager, DOWN, began_seconds_ago=0)
    poll_until(lambda: len(receiver.arrivals) == 2)
    post(alertmanager, DOWN, high, resolved=True)
    poll_until(lambda: labels_of(receiver, "resolved"))

    assert [arrival.content["receiver"] for arrival in receiver.arrivals] == ["critical", "high", "critical"]
    assert receiver.problems == []


def test_an_outage_of_one_app_is_one_page(alertmanager: Alertmanager, receiver: HttpReceiver) -> None:
    """What breaks at the same time in one app is one notification; another app has its own."""
    of_shop: list[Labels] = [
        {"alertname": f"Platform{name}", "severity": "critical", "app": "shop", "indicator": name}
        for name in ("HttpErrorsHigh", "HttpLatencyHigh", "ApiSuccessLow", "ScrapingFailuresHigh")
    ]
    of_blog = {**of_shop[2], "app": "blog"}
    # An alert that began longer ago than group_wait would be sent without waiting for the others of its group.
    post(alertmanager, *of_shop, of_blog, began_seconds_ago=0)
    poll_until(lambda: len(labels_of(receiver, "firing")) == 5)

    assert sorted(len(arrival.content["alerts"]) for arrival in receiver.arrivals) == [1, 4]
