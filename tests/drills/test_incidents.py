"""The list of drills."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.prometheus.names import rules
from tools.drills.configuration import notify_receivers
from tools.drills.incidents import DRILLS
from tools.drills.recorder import Receivers
from tools.drills.runner import SIDE_BY_SIDE
from tools.stack.checkout import CHECKOUT
from tools.stack.state import StackState


def test_all_incidents_are_there() -> None:
    """Each incident that is promised can be run by its name."""
    assert set(DRILLS) == {
        "api-success", "latency", "jobs-stuck", "error-burst", "application-down", "minio-drive", "redis-frozen",
        "postgresql-stopped", "prometheus-restarted", "alertmanager-killed", "ten-alerts", "few-requests",
        "exporter-away", "exporter-crashes", "password-wrong", "redis-unused", "reload-refused",
        "api-slow", "storm", "bucket-deleted", "connections-run-out", "minio-blip",
    }  # fmt: skip


def test_what_is_expected_exists() -> None:
    """A drill waits for an alert of the rules with a severity that it has, and only what is critical pages."""
    known = {(rule["alert"], rule["labels"]["severity"]) for rule in rules() if "alert" in rule}

    assert {(drill.expected.alertname, drill.expected.severity) for drill in DRILLS.values()} <= known
    assert all((drill.expected.pages > 0) == (drill.expected.severity == "critical") for drill in DRILLS.values())


def test_drills_of_one_bench_share_nothing() -> None:
    """Applications of drills that run side by side are different ones."""
    for testbed in SIDE_BY_SIDE:
        names = [one.name for drill in DRILLS.values() if drill.testbed == testbed for one in drill.applications]

        assert len(names) == len(set(names))


def test_an_unknown_name_is_wrong_usage() -> None:
    """The message lists the names there are."""
    argv = [sys.executable, "-m", "tools.drills", "nothing"]
    run = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert run.returncode == 2
    assert "redis-frozen" in run.stderr


def test_the_receivers_of_drills_are_a_valid_configuration(tmp_path: Path) -> None:
    """What the Alertmanagers of a testbed read is made by the generator of the shipped configuration."""
    ports = dict.fromkeys(("exporter", "alertmanager"), 1)
    state = StackState(tmp_path, ports=ports)
    receivers = Receivers()
    try:
        notify_receivers(state, receivers)
    finally:
        receivers.close()

    config = yaml.safe_load((tmp_path / "config/alertmanager/alertmanager.yml").read_text())
    assert {one["name"] for one in config["receivers"]} >= {"critical", "high", "medium"}
