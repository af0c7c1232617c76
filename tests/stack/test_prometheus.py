"""Prometheus and Alertmanager of the stack, of this release and the newest."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import PrometheusBinaries, poll_until
from tools.stack.errors import StackError
from tools.stack.servers import Alertmanager, Prometheus

ALWAYS = """
groups:
- name: always
  rules:
  - {alert: Always, expr: vector(1), labels: {severity: high}}
"""
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules/*.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs:
- {{job_name: self, static_configs: [{{targets: ["{alertmanager}"]}}]}}
"""

StartPrometheus = Callable[..., Prometheus]
StartAlertmanager = Callable[..., Alertmanager]


def test_an_alert_goes_all_the_way(
    prometheus_binaries: PrometheusBinaries,
    start_prometheus: StartPrometheus,
    start_alertmanager: StartAlertmanager,
    tmp_path: Path,
) -> None:
    """Scraped, queried, fired and received."""
    (tmp_path / "always.yml").write_text(ALWAYS)
    alertmanager = start_alertmanager(binary=prometheus_binaries.alertmanager)
    config = CONFIG.format(alertmanager=alertmanager.address)
    # Prometheus knows its Alertmanagers only after 5 s; an alert that fires before that is sent again after this delay.
    flags = ["--rules.alert.resend-delay=1s"]
    prometheus = start_prometheus(config, rules_dir=tmp_path, flags=flags, binary=prometheus_binaries.prometheus)

    poll_until(lambda: prometheus.query('up{job="self"} == 1'))
    assert [target["health"] for target in prometheus.targets()] == ["up"]
    poll_until(prometheus.alerts)
    assert [rule["name"] for rule in prometheus.rules()] == ["Always"]
    poll_until(alertmanager.alerts)
    assert [alert["labels"]["severity"] for alert in alertmanager.alerts()] == ["high"]
    assert alertmanager.alerts(filter='severity="low"') == []


def test_rules_are_reloaded(
    prometheus_binaries: PrometheusBinaries, start_prometheus: StartPrometheus, tmp_path: Path
) -> None:
    """Good ones are taken, bad ones refused in Prometheus' own words."""
    config = "rule_files: [rules/*.yml]\n"
    prometheus = start_prometheus(config, rules_dir=tmp_path, binary=prometheus_binaries.prometheus)
    assert prometheus.rules() == []

    (tmp_path / "always.yml").write_text(ALWAYS)
    prometheus.reload()
    assert len(prometheus.rules()) == 1
    (tmp_path / "always.yml").write_text("groups: nonsense\n")
    with pytest.raises(StackError, match="POST /-/reload answered 500"):
        prometheus.reload()


def test_bad_promql_is_reported(prometheus_binaries: PrometheusBinaries, start_prometheus: StartPrometheus) -> None:
    """In Prometheus' own words."""
    prometheus = start_prometheus(binary=prometheus_binaries.prometheus)

    with pytest.raises(StackError, match="parse error"):
        prometheus.query("1 +")


def test_a_frozen_alertmanager_hangs_and_goes_on(start_alertmanager: StartAlertmanager) -> None:
    """It is one process, and comes back."""
    alertmanager = start_alertmanager()
    alertmanager.freeze()
    assert alertmanager.alive

    alertmanager.thaw()
    assert alertmanager.alerts() == []


def test_a_bad_configuration_is_shown(start_alertmanager: StartAlertmanager) -> None:
    """The error has the end of its log."""
    with pytest.raises(StackError, match=r"(?s)alertmanager ended with status 1.*no routes? provided"):
        start_alertmanager("receivers: []\n")


def test_the_tools_work_from_any_folder(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """Debian's amtool looks for its templates in /usr/share, where nothing was installed."""
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: a}\nreceivers: [{name: a}]\ntemplates: []\n")
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n")
    for tool, arguments in {
        prometheus_binaries.amtool: ["check-config", "alertmanager.yml"],
        prometheus_binaries.promtool: ["check", "config", "prometheus.yml"],
    }.items():
        run = subprocess.run([tool.path, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr


def test_generations_differ() -> None:
    """Or the tests would run twice on the same."""
    stable, newest = PrometheusBinaries.of("stable"), PrometheusBinaries.of("newest")

    assert newest.prometheus.release >= (3,)
    assert newest.prometheus.release >= stable.prometheus.release
    assert newest.promtool.version == newest.prometheus.version
