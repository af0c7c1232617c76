"""Our routes in someone's Alertmanager: our alerts go where they should, and theirs as before."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.errors import ConfigError
from exporter.mixin import files, routes
from tests.mixin.installations import installation
from tests.servers import PrometheusBinaries

THEIRS = """\
# The platform team's.
route:
  receiver: team
  group_by: [job]
  routes:
    # Rings.
    - matchers: [severity="page"]
      receiver: pager

receivers:
  - name: team
  - name: pager  # at any time
  - name: chat
inhibit_rules:
  - source_matchers: [severity="page"]
    target_matchers: [severity="info"]
    equal: [job]
"""
RECEIVERS = {"critical": "pager", "high": "chat", "watchdog": "team"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of an Alertmanager that others use."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(THEIRS)
    return path


def amtool(binaries: PrometheusBinaries, *arguments: object) -> str:
    """Run amtool and return what it prints."""
    done = subprocess.run([binaries.amtool.path, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "PlatformComponentDown", "severity": "critical"}, "pager"),
        ({"alertname": "PlatformSourceDown", "severity": "high"}, "chat"),
        ({"alertname": "PlatformErrorBurst", "severity": "medium"}, "team"),
        ({"alertname": "PlatformDependencyDown", "severity": "none"}, "platform-exporter-nobody"),
        ({"alertname": "PlatformWatchdog", "severity": "none"}, "team"),
        ({"alertname": "PlatformOpenAlerts", "severity": "strange"}, "team"),
        ({"alertname": "Watchdog", "severity": "none"}, "team"),
        ({"alertname": "DiskFull", "severity": "page", "app": "shop"}, "pager"),
    ],
)
def test_where_an_alert_goes(
    prometheus_binaries: PrometheusBinaries, config: Path, labels: dict[str, str], receiver: str
) -> None:
    """Each severity has its receiver, or theirs; what only mutes others notifies no one."""
    files.add_to_alertmanager(config, installation(receivers=RECEIVERS))
    given = [f"{name}={value}" for name, value in labels.items()]
    amtool(prometheus_binaries, "check-config", config)

    assert amtool(prometheus_binaries, "config", "routes", "test", f"--config.file={config}", *given) == receiver


def test_without_receivers_nothing_is_posted_for_ever() -> None:
    """The alert that always fires goes nowhere unless someone asks for it; the rest goes where theirs goes."""
    top = routes.additions(installation())["route"]
    named = {child["matchers"][0]: child.get("receiver") for child in top["routes"]}

    assert "receiver" not in top
    assert {matcher: name for matcher, name in named.items() if name} == {
        'alertname="PlatformWatchdog"': "platform-exporter-nobody",
        'severity="none"': "platform-exporter-nobody",
    }


def test_the_history_gets_everything_before_people_do() -> None:
    """A receiver for it adds the routes of the history."""
    children = routes.additions(installation(receivers={"history": "exporter"}))["route"]["routes"]
    [history] = [child for child in children if child.get("receiver") == "exporter"]

    assert history["continue"]
    assert children[-1]["matchers"] == ['severity!~"critical|high|medium|low"']


def test_inhibition_concerns_ours_only(config: Path) -> None:
    """Neither does an alert of theirs mute ours, nor the other way round."""
    files.add_to_alertmanager(config, installation())
    theirs, *ours = yaml.safe_load(config.read_text())["inhibit_rules"]

    assert theirs == yaml.safe_load(THEIRS)["inhibit_rules"][0]
    assert len(ours) > 20
    for rule in ours:
        assert rule["source_matchers"][0] == rule["target_matchers"][0] == routes.OURS


def test_their_file_stays_theirs(config: Path) -> None:
    """Every line of it is there, in its order; again with other options replaces only ours."""
    files.add_to_alertmanager(config, installation())
    first = config.read_text()
    lines = iter(first.splitlines())
    assert all(line in lines for line in THEIRS.splitlines())

    assert files.add_to_alertmanager(config, installation()) == []
    assert files.add_to_alertmanager(config, installation(receivers=RECEIVERS)) == [config]
    assert files.add_to_alertmanager(config, installation()) == [config]
    assert config.read_text() == first


def test_a_file_that_cannot_be_changed_safely_stays(config: Path) -> None:
    """It says what to add."""
    text = "route: {receiver: team}\nreceivers: [{name: team}]\n"
    config.write_text(text)

    with pytest.raises(ConfigError, match=r"cannot add to `route\.routes`"):
        files.add_to_alertmanager(config, installation())
    assert config.read_text() == text


def test_an_unknown_receiver_of_ours_is_noticed() -> None:
    """routes.yml may get another severity: it is not sent somewhere by accident."""
    route: dict[str, Any] = {"receiver": "new"}

    with pytest.raises(ValueError, match="unknown receiver 'new'"):
        routes._route(route, installation())
