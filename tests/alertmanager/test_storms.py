"""Many apps fail at the same time: the shipped Prometheus, two Alertmanagers that know each other, and a receiver."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.alertmanager.exposition import Exposition, shipped_prometheus
from tests.alertmanager.shipped import turned_to
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager, Prometheus
from tools.stack.servers.alertmanager import Cluster

APPS = [f"app{number:02}" for number in range(60)]
THRESHOLDS = [
    'platform_threshold{indicator="minimum_events"} 20',
    'platform_threshold{indicator="http_error_ratio",severity="medium"} 0.01',
    'platform_threshold{indicator="http_error_ratio",severity="critical"} 0.05',
]


class Apps:
    """Counters of requests of 60 apps; all of the requests to an app that is `failing` fail."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self._good = dict.fromkeys(APPS, 1000)
        self._bad = dict.fromkeys(APPS, 0)

    def lines(self) -> Iterator[str]:
        """Yield the series after as many more requests as an app has between two scrapes."""
        for app in APPS:
            counts = self._bad if app in self.failing else self._good
            counts[app] += 100
        for code, counts in ((200, self._good), (500, self._bad)):
            for app in APPS:
                yield f'platform_http_requests_total{{app="{app}",code="{code}"}} {counts[app]}'
        yield from THRESHOLDS

    def heal(self, apps: set[str]) -> None:
        """Let so many requests succeed that the failures are soon a share of nearly nothing."""
        self.failing -= apps
        for app in apps:
            self._good[app] += 1_000_000


class Stage:
    """The apps, what scrapes them, and what was notified."""

    def __init__(self, apps: Apps, prometheus: Prometheus, receiver: HttpReceiver) -> None:
        self.apps, self.prometheus, self.receiver = apps, prometheus, receiver

    def messages(self) -> list[tuple[str, str, int]]:
        """Return status, alert and app or 0 alerts of each message of severity critical, in order, each once.

        Alertmanager delivers at least once: on a busy machine the second of the pair sends what the first has sent.
        """
        posts = [one.content for one in self.receiver.arrivals if one.content["receiver"] == "critical"]
        told: dict[tuple[str, str, str], tuple[str, str, int]] = {}
        for one in posts:
            first = one["alerts"][0]
            key = (one["status"], first["fingerprint"], first["startsAt"])
            told.setdefault(key, (one["status"], first["labels"].get("app", "storm"), len(one["alerts"])))
        return list(told.values())

    def firing(self, alert: str) -> int:
        """Return how many alerts of this name Prometheus has firing."""
        return len(self.prometheus.query(f'ALERTS{{alertname="{alert}", alertstate="firing", severity!="medium"}}'))


@pytest.fixture
def stage(
    prometheus_binaries: PrometheusBinaries,
    start_prometheus: Callable[..., Prometheus],
    start_alertmanager: Callable[..., Alertmanager],
    receiver: HttpReceiver,
    tmp_path: Path,
) -> Iterator[Stage]:
    """Return the whole chain, as shipped but for addresses, and for how long alerts are held."""
    first = Cluster()
    options: dict[str, Any] = {"binary": prometheus_binaries.alertmanager, "flags": ["--cluster.peer-timeout=5s"]}
    am = turned_to(receiver.url, tmp_path / "am")
    pair = [
        start_alertmanager(am, cluster=first, **options),
        start_alertmanager(am, cluster=Cluster(peers=(first.address,)), **options),
    ]
    apps = Apps()
    with Exposition(apps.lines) as exporter:
        config = shipped_prometheus(tmp_path / "prometheus", exporter.address, *(one.address for one in pair))
        for rules in (tmp_path / "prometheus/rules").glob("*.yml"):
            held = re.sub(r"keep_firing_for: 2m", "keep_firing_for: 30s", rules.read_text())
            rules.write_text(re.sub(r"keep_firing_for: 1m", "keep_firing_for: 15s", held).replace("[1m]))", "[15s]))"))
        prometheus = start_prometheus(config, binary=prometheus_binaries.prometheus)
        poll_until(lambda: len(prometheus.query("app:platform_http_request_errors:ratio5m")) == 60)
        yield Stage(apps, prometheus, receiver)
        prometheus.stop()


def test_sixty_apps_at_the_same_time_are_one_page_and_one_end(stage: Stage) -> None:
    """One page names the first three and the number; one message comes of the end."""
    stage.apps.failing = set(APPS)
    poll_until(lambda: stage.firing("PlatformHttpErrorsHigh") == 60)
    poll_until(lambda: stage.messages())
    stage.apps.heal(set(APPS))
    poll_until(lambda: len(stage.messages()) > 1, 300)
    [beginning, end] = stage.receiver.alerts("firing")[:1], stage.receiver.alerts("resolved")[-1:]

    assert stage.messages() == [("firing", "storm", 1), ("resolved", "storm", 1)]
    assert beginning[0]["annotations"]["summary"] == "60 apps fail: app00, app01, app02 and 57 more"
    assert "app09 and 50 more." in beginning[0]["annotations"]["description"]
    assert end[0]["annotations"]["summary"] == "60 apps fail: app00, app01, app02 and 57 more"


def test_who_failed_before_and_who_fails_after_a_storm_is_notified_singly(stage: Stage) -> None:
    """The first of the apps has a page and an end of its own, and so has the last; the rest is the storm."""
    early, late = "app00", "app59"
    stage.apps.failing = {early}
    poll_until(lambda: stage.messages())
    stage.apps.failing = set(APPS)
    poll_until(lambda: stage.firing("PlatformHttpErrorsHigh") == 60)
    poll_until(lambda: len(stage.messages()) > 1)
    stage.apps.heal(set(APPS) - {early, late})
    poll_until(lambda: ("firing", late, 1) in stage.messages(), 300)
    stage.apps.heal({early, late})
    poll_until(lambda: ("resolved", late, 1) in stage.messages() and ("resolved", early, 1) in stage.messages(), 300)

    assert stage.messages()[:4] == [
        ("firing", early, 1),
        ("firing", "storm", 1),
        ("resolved", "storm", 1),
        ("firing", late, 1),
    ]
    assert sorted(stage.messages()[4:]) == [("resolved", early, 1), ("resolved", late, 1)]
