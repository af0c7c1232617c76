"""Routes, inhibition and templates, examined by amtool of both generations."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from stack.binaries import Binary
from tests.servers import PrometheusBinaries

FOLDER = Path(__file__).parents[2] / "alertmanager"
CONFIG = FOLDER / "alertmanager.yml"
DATA = {
    "receiver": "critical",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "PlatformComponentDown",
                "severity": "critical",
                "component": "redis",
                "name": "main",
            },
            "annotations": {
                "summary": "redis main is down",
                "description": "The exporter's probes of redis main fail (platform_component_up is 0, wanted 1).",
                "runbook_url": "http://runbook/#platformcomponentdown",
                "dashboard_url": "http://grafana/d/platform-overview/overview",
            },
            "startsAt": "2026-01-02T03:04:05Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
        }
    ],
    "groupLabels": {"alertname": "PlatformComponentDown"},
    "commonLabels": {"alertname": "PlatformComponentDown", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager",
}


def amtool(binary: Binary, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run amtool beside the configuration."""
    return subprocess.run([str(binary.path), *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60)


def test_config_is_clean(prometheus_binaries: PrometheusBinaries) -> None:
    """Configuration and templates pass, without a warning."""
    done = amtool(prometheus_binaries.amtool, "check-config", str(CONFIG))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
    assert "warn" not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=PlatformComponentDown", "severity=critical", "component=redis", "name=main"], "critical"),
        (["alertname=PlatformSourceDown", "severity=high", "source=native"], "high"),
        (["alertname=PlatformHttpLatencyHigh", "severity=medium", "app=shop"], "medium"),
        (["alertname=PlatformOpenAlerts", "severity=low", "app=shop"], "low"),
        (["alertname=PlatformOpenAlerts", "severity=urgent", "app=shop"], "unsorted"),
        (["alertname=SomebodyElse"], "unsorted"),
        (["alertname=PlatformWatchdog", "severity=none"], "watchdog"),
    ],
)
def test_routes(prometheus_binaries: PrometheusBinaries, labels: list[str], receiver: str) -> None:
    """Every severity reaches its own receiver, and nothing is lost for having none of the four."""
    arguments = ["config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={receiver}", *labels]
    done = amtool(prometheus_binaries.amtool, *arguments)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_receiver_is_routed_to_and_tells_of_resolution() -> None:
    """No receiver is left over, and all but the dead man's switch say when it is over."""
    config = yaml.safe_load(CONFIG.read_text())
    route = config["route"]
    routed = {one["receiver"] for one in [route, *route["routes"]]}

    assert {one["name"] for one in config["receivers"]} == routed
    for receiver in config["receivers"]:
        hooks = receiver.get("webhook_configs", [])
        assert bool(hooks) == (receiver["name"] != "watchdog")
        assert all(hook["send_resolved"] for hook in hooks)


def test_message_says_what_since_when_and_where(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """The shared template renders with both generations."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps(DATA))
    text = '{{ template "platform.title" . }}\n{{ template "platform.text" . }}'
    arguments = [f"--template.glob={FOLDER}/templates/*.tmpl", f"--template.data={data}", f"--template.text={text}"]
    done = amtool(prometheus_binaries.amtool, "template", "render", *arguments)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines() == [
        "[CRITICAL] redis main is down",
        "FIRING redis main is down",
        "The exporter's probes of redis main fail (platform_component_up is 0, wanted 1).",
        "Since: 2026-01-02 03:04:05 UTC",
        "Severity: critical, component: redis, name: main",
        "Runbook: http://runbook/#platformcomponentdown",
        "Dashboard: http://grafana/d/platform-overview/overview",
        "Query: http://prometheus/graph",
    ]
