"""The shipped Prometheus and Alertmanager together: from a series that changes to the notice that arrives."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.config.settings import convert
from exporter.dependencies import dependencies
from exporter.exposition import collector
from tests.alertmanager.exposition import Exposition, shipped_prometheus
from tests.alertmanager.shipped import turned_to
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager, Prometheus

HEALTHY_SECONDS = 30
"""How long all was well before an incident begins."""


Start = Callable[[Callable[[], Iterable[str]]], Prometheus]


@pytest.fixture
def scraping(
    prometheus_binaries: PrometheusBinaries,
    start_prometheus: Callable[..., Prometheus],
    start_alertmanager: Callable[..., Alertmanager],
    receiver: HttpReceiver,
    tmp_path: Path,
) -> Iterator[Start]:
    """Start the shipped Prometheus and Alertmanager, with other addresses only, on an exporter with given lines."""
    with ExitStack() as started:

        def start(lines: Callable[[], Iterable[str]]) -> Prometheus:
            exporter = started.enter_context(Exposition(lines))
            am = start_alertmanager(turned_to(receiver.url, tmp_path / "am"), binary=prometheus_binaries.alertmanager)
            config = shipped_prometheus(tmp_path / "prometheus", exporter.address, am.address)
            return start_prometheus(config, binary=prometheus_binaries.prometheus)

        yield start


def test_a_component_that_is_down_is_reported_and_so_is_its_return(scraping: Start, receiver: HttpReceiver) -> None:
    """The notification says all that people need."""
    up = [1]
    thresholds = 'platform_threshold{indicator="minimum_events"} 20'
    prometheus = scraping(lambda: [f'platform_component_up{{component="redis",name="main"}} {up[0]}', thresholds])
    poll_until(lambda: prometheus.query("component:platform_health:state == 0"), interval_seconds=0.2)

    up[0] = 0
    poll_until(lambda: receiver.alerts("firing"), 180, interval_seconds=0.1)
    up[0] = 1
    poll_until(lambda: receiver.alerts("resolved"), 180, interval_seconds=0.1)
    [notice] = receiver.alerts("firing")

    assert notice["labels"] == {
        "alertname": "PlatformComponentDown",
        "severity": "critical",
        "component": "redis",
        "name": "main",
    }
    assert notice["annotations"]["summary"] == "redis main is down"
    assert notice["annotations"]["runbook_url"].startswith("http://127.0.0.1:3000/d/platform-runbook/")
    assert notice["annotations"]["dashboard_url"].startswith("http://127.0.0.1:3000/d/platform-components/")
    assert len(receiver.arrivals) == 2


def incident(began_at: float) -> Iterator[str]:
    """Yield the series of three apps that fail while three components do, in different ways."""
    needs = {"shop": ["redis/main"], "crawler": ["minio/main"]}
    config = convert({"database": {"dsn": "dbname=x"}, "dependencies": needs})
    seconds = time.monotonic() - began_at
    for metric in (
        *collector.exporter(config, reload_ok=True, loaded_at=0, now=time.time()),
        *collector.needed(dependencies(config)),
    ):
        for sample in metric.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            yield f"{sample.name}{{{labels}}} {sample.value}"
    for component, name, reason in (
        ("redis", "main", "auth"),
        ("redis", "dev", "refused"),
        ("minio", "main", "timeout"),
    ):
        failing = seconds > HEALTHY_SECONDS
        yield f'platform_component_up{{component="{component}",name="{name}"}} {int(not failing)}'
        if failing:
            yield f'platform_component_problem{{component="{component}",name="{name}",reason="{reason}"}} 1'
    for app in ("shop", "blog", "crawler"):
        failed = max(0.0, seconds - HEALTHY_SECONDS) * 10
        yield f'platform_http_requests_total{{app="{app}",code="200",method="GET",route="/"}} {10 * seconds - failed}'
        yield f'platform_http_requests_total{{app="{app}",code="500",method="GET",route="/"}} {failed}'


def test_only_what_needs_a_component_is_muted(scraping: Start, receiver: HttpReceiver) -> None:
    """A wrong password of the exporter and an unused Redis mute no app; a store that is down mutes what needs it."""
    began_at = time.monotonic()
    prometheus = scraping(lambda: incident(began_at))
    expected = {
        ("PlatformComponentUnreachable", "redis main"),
        ("PlatformComponentDown", "redis dev"),
        ("PlatformComponentDown", "minio main"),
        ("PlatformHttpErrorsHigh", "shop"),
        ("PlatformHttpErrorsHigh", "blog"),
    }

    def notified() -> set[tuple[str, str]]:
        found = [alert["labels"] for alert in receiver.alerts("firing")]
        return {(one["alertname"], one.get("app") or f"{one.get('component')} {one.get('name')}") for one in found}

    crawler = 'ALERTS{alertname="PlatformHttpErrorsHigh", alertstate="firing", app="crawler", severity="critical"}'
    poll_until(lambda: prometheus.query(crawler) and notified() >= expected, 240, interval_seconds=0.5)

    assert notified() == expected
