"""Every block of docs/existing.md, as it stands but for addresses and folders, on real servers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.mixin.grafanas import Target, grafana
from tests.prometheus.names import ROOT
from tests.sdk_examples.document import blocks
from tests.servers import Database, PrometheusBinaries, ServerFactory
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Alertmanager, Prometheus

DEADLINE_SECONDS = 180
BLOCKS = {heading: found for heading, found in blocks(ROOT / "docs/existing.md").items() if found}
PROMETHEUS = """\
# Ours, since 2019.
global:
  scrape_interval: 1m

rule_files:
  # - "first_rules.yml"

scrape_configs:
  - job_name: "prometheus"
    static_configs:
      - targets: ["127.0.0.1:9"]  # not up today
"""
ALERTMANAGER = "route:\n  receiver: team\nreceivers:\n  - name: team\n  - name: pager\n  - name: chat\n"
EVENT = (
    "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) VALUES (now(), 'shop', '/', 200, 1)"
)


@dataclass
class Machine:
    """A machine with servers of its own; what a block names is replaced by where it is here."""

    root: Path
    binaries: PrometheusBinaries
    exporter: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    addresses: dict[str, str] = field(default_factory=dict)
    started: ExitStack = field(default_factory=ExitStack)

    def run(self, text: str, **environment: str) -> str:
        """Run a block to its end and return what it printed; what it starts in the background ends with the machine."""
        for there, here in {"/etc/": f"{self.root}/etc/", "127.0.0.1:9847": self.exporter, **self.addresses}.items():
            text = text.replace(there, here)
        folders = [Path(sys.executable).parent, self.binaries.promtool.path.parent, self.binaries.amtool.path.parent]
        path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
        log = self.root / "block.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text], cwd=self.root, start_new_session=True,
                env={**os.environ, "PATH": path, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.started.callback(_end, process.pid)
        assert process.wait(DEADLINE_SECONDS) == 0, log.read_text()
        return log.read_text()

    def write(self, name: str, text: str) -> Path:
        """Write a file below /etc."""
        path = self.root / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a machine whose processes end with the test."""
    found = Machine(tmp_path, PrometheusBinaries.of("newest"))
    with found.started:
        yield found


def block(heading: str) -> str:
    """Return the only block below a heading."""
    [found] = BLOCKS[heading]
    assert found.language == "sh"
    return found.text


def test_every_block_has_a_test() -> None:
    """A new section of the document gets one."""
    source = Path(__file__).read_text()

    assert [heading for heading in BLOCKS if f'block("{heading}")' not in source] == []


def test_four_commands(
    machine: Machine, database: Database, servers: ServerFactory, start_prometheus: Callable[..., Prometheus]
) -> None:
    """From someone's Prometheus and Grafana to the overview with data; the exporter's port is another one."""
    config = {"listen": machine.exporter, "database": {"dsn": database.dsn, "poll_interval_seconds": 0.2}}
    machine.write("platform-exporter/platform-exporter.yml", yaml.safe_dump(config))
    prometheus = start_prometheus(
        machine.write("prometheus/prometheus.yml", PROMETHEUS), binary=machine.binaries.prometheus
    )
    with grafana(servers, prometheus.url) as target:
        machine.addresses = {"http://127.0.0.1:9090": prometheus.url, "http://127.0.0.1:3000": target.url}
        commands = block("Four commands").replace(" rules ", f" rules --target {machine.exporter} ")
        assert len(commands.splitlines()) == 4
        machine.run(commands, GRAFANA_TOKEN=target.token)
        database.execute(EVENT)
        health = "global:platform_health:max"
        poll_until(lambda: prometheus.query('app:platform_http_requests:sum{app="shop"} == 1'), DEADLINE_SECONDS)
        poll_until(lambda: prometheus.query(health), DEADLINE_SECONDS)
        _check(prometheus, target, health)
    text = (machine.root / "etc/prometheus/prometheus.yml").read_text()

    assert all(line in text for line in PROMETHEUS.splitlines())


def _check(prometheus: Prometheus, target: Target, health: str) -> None:
    """Hold what is there to what the overview shows."""
    rules = prometheus.rules()
    poll_until(lambda: all(one["health"] != "err" for one in prometheus.rules()), DEADLINE_SECONDS)
    overview = target.dashboard("platform-overview")

    assert len(rules) > 250
    assert overview
    assert health in str(overview)
    if target.grafana:
        assert target.asked(health)


def test_import(machine: Machine, servers: ServerFactory) -> None:
    """Dashboards come by one command; a token that does not do is said in Grafana's own words."""
    with grafana(servers, "http://127.0.0.1:9") as target:
        machine.addresses = {"http://127.0.0.1:3000": target.url}
        machine.run(block("By import"), GRAFANA_TOKEN=target.token)
        assert 'job="web-monitoring"' in str(target.dashboard("platform-monitoring")).replace("\\", "")

        with pytest.raises(AssertionError, match=r"status 401 .*set GRAFANA_TOKEN"):
            machine.run(block("By import"), GRAFANA_TOKEN="wrong")


def test_scrape_job(machine: Machine) -> None:
    """It prints a job that Prometheus takes."""
    jobs: dict[str, Any] = yaml.safe_load(machine.run(block("Scrape job")))

    assert jobs["scrape_configs"] == [
        {
            "job_name": "web-monitoring",
            "scrape_interval": "30s",
            "scrape_timeout": "10s",
            "static_configs": [{"targets": ["10.0.0.5:9847", "10.0.0.6:9847"]}],
        }
    ]


def test_rules(machine: Machine) -> None:
    """They are written, and promtool takes them."""
    assert "SUCCESS" in machine.run(block("Rules"))


def test_routes(machine: Machine, start_alertmanager: Callable[..., Alertmanager]) -> None:
    """A running Alertmanager takes them: an alert of ours goes to the pager, one that mutes to no one."""
    config = machine.write("alertmanager/alertmanager.yml", ALERTMANAGER)
    alertmanager = start_alertmanager(config, binary=machine.binaries.alertmanager)
    machine.addresses = {"http://127.0.0.1:9093": alertmanager.url}
    machine.run(block("Routes"))
    alerts = [
        {"labels": {"alertname": "PlatformComponentDown", "severity": "critical"}},
        {"labels": {"alertname": "PlatformWatchdog", "severity": "none"}},
        {"labels": {"alertname": "Theirs", "severity": "critical"}},
    ]
    requests.post(f"{alertmanager.url}/api/v2/alerts", json=alerts, timeout=DEADLINE_SECONDS).raise_for_status()
    poll_until(lambda: len(alertmanager.alerts()) == 3, DEADLINE_SECONDS)
    receivers = {one["labels"]["alertname"]: one["receivers"][0]["name"] for one in alertmanager.alerts()}

    assert receivers == {
        "PlatformComponentDown": "pager",
        "PlatformWatchdog": "platform-exporter-nobody",
        "Theirs": "team",
    }


def test_provisioning(machine: Machine) -> None:
    """Grafana's provider leads to the dashboards that were written."""
    (machine.root / "etc/grafana/provisioning/dashboards").mkdir(parents=True)
    machine.run(block("By provisioning"))
    provider = yaml.safe_load((machine.root / "etc/grafana/provisioning/dashboards/platform.yml").read_text())
    folder = Path(provider["providers"][0]["options"]["path"])

    assert len(list(folder.glob("*.json"))) == len(list((ROOT / "grafana/dashboards").glob("*.json")))


def test_kubernetes(machine: Machine) -> None:
    """An object a file."""
    machine.run(block("Kubernetes"))
    kinds = {yaml.safe_load(path.read_text())["kind"] for path in (machine.root / "manifests").iterdir()}

    assert kinds == {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
