"""Several Prometheus: a pair with one Alertmanager, and one that federates both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.alertmanager.exposition import Exposition
from tests.mixin.installations import JOB, written
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Alertmanager, Prometheus

DEADLINE_SECONDS = 180
LINES = [
    'platform_threshold{indicator="minimum_events"} 20',
    'platform_http_requests_total{app="shop",route="/",code="200",method="GET"} 40',
    'platform_exporter_source_up{source="native"} 1',
]
SUM = 'app:platform_http_requests:sum{app="shop"}'


def scraping(target: str, replica: str, alertmanager: str = "", rules: Path | None = None) -> str:
    """Return the configuration of one of a pair."""
    relabel = [{"regex": "replica", "action": "labeldrop"}]
    content: dict[str, Any] = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "1s", "external_labels": {"replica": replica}},
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [target]}]}],
    }
    if alertmanager:
        notified = [{"static_configs": [{"targets": [alertmanager]}]}]
        content["alerting"] = {"alert_relabel_configs": relabel, "alertmanagers": notified}
    if rules:
        content["rule_files"] = [f"{rules}/rules/*.yml"]
    return yaml.safe_dump(content)


def federating(*servers: Prometheus, rules: Path) -> str:
    """Return the configuration of one that evaluates rules over what others scraped."""
    job = {
        "job_name": "federate",
        "metrics_path": "/federate",
        "honor_labels": True,
        "params": {"match[]": [f'{{job="{JOB}"}}']},
        "static_configs": [{"targets": [server.address for server in servers]}],
    }
    content = {"scrape_interval": "2s", "scrape_timeout": "1s"}
    return yaml.safe_dump({"global": content, "scrape_configs": [job], "rule_files": [f"{rules}/rules/*.yml"]})


def test_a_pair_tells_one_alertmanager_once(
    tmp_path: Path,
    start_prometheus: Callable[..., Prometheus],
    start_alertmanager: Callable[..., Alertmanager],
) -> None:
    """Both see that the exporter is away; there is one alert, sent by both."""
    written(tmp_path, 5)
    alertmanager = start_alertmanager()
    nowhere = f"127.0.0.1:{free_port()}"
    pair = [
        start_prometheus(scraping(nowhere, replica, alertmanager.address, tmp_path), name=f"prometheus-{replica}")
        for replica in "ab"
    ]

    def firing(server: Prometheus) -> list[dict[str, str]]:
        found = [one["labels"] for one in server.alerts() if one["state"] == "firing"]
        return [labels for labels in found if labels["alertname"] == "PlatformExporterDown"]

    for server in pair:
        poll_until(lambda server=server: firing(server), DEADLINE_SECONDS)  # type: ignore[misc]
    down = 'alertname="PlatformExporterDown"'
    poll_until(lambda: alertmanager.alerts(filter=down), DEADLINE_SECONDS)
    # Each has sent what it knows by now, and the other's is the same alert.
    sent = "prometheus_notifications_sent_total"
    for server in pair:
        poll_until(lambda server=server: counted(server, sent), DEADLINE_SECONDS)  # type: ignore[misc]
    [alert] = alertmanager.alerts(filter=down)

    assert alert["labels"] == {"alertname": "PlatformExporterDown", "job": JOB, "severity": "critical"}


def counted(server: Prometheus, name: str) -> bool:
    """Tell whether a counter of the server itself is above 0."""
    text = requests.get(f"{server.url}/metrics", timeout=DEADLINE_SECONDS).text
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return any(float(line.rpartition(" ")[2]) > 0 for line in lines)


def test_federation_of_a_pair_counts_once(tmp_path: Path, start_prometheus: Callable[..., Prometheus]) -> None:
    """Whoever sees the series of both adds nothing twice, and misses none of what one of them would record."""
    once, twice = tmp_path / "once", tmp_path / "twice"
    written(once, 5, replica_labels=("replica",))
    written(twice, 5)
    with Exposition(lambda: LINES) as exposition:
        pair = [
            start_prometheus(scraping(exposition.address, replica), name=f"prometheus-{replica}") for replica in "ab"
        ]
        right = start_prometheus(federating(*pair, rules=once), name="right")
        wrong = start_prometheus(federating(*pair, rules=twice), name="wrong")
        poll_until(lambda: right.query(f"{SUM} > 0"), DEADLINE_SECONDS)
        # The option is what does it.
        poll_until(lambda: wrong.query(f"{SUM} == 80"), DEADLINE_SECONDS)
        poll_until(lambda: len(right.query(f'up{{job="{JOB}"}} == 1')) == 2, DEADLINE_SECONDS)
        [found] = right.query(SUM)

        assert found["value"][1] == "40"
        assert [one for one in right.rules() if one["health"] == "err"] == []
