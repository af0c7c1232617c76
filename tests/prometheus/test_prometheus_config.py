"""Prometheus' configuration and rules, checked by promtool of both releases and run by a real Prometheus."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.prometheus.names import ROOT, RULE_FILES
from tests.prometheus.promtool import promtool
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.servers import Prometheus

FOLDER = ROOT / "prometheus"
TARGET_FOLDERS = [FOLDER / "targets", FOLDER / "targets/compose"]
LAID_OVER = FOLDER / "targets/compose-exporters"
"""What the profile `exporters` lays over the targets of containers."""


def laid_out(folder: Path, *targets: Path) -> Path:
    """Copy configuration, rules and folders of targets as they are laid out where Prometheus runs."""
    shutil.copy(FOLDER / "prometheus.yml", folder)
    shutil.copytree(FOLDER / "rules", folder / "rules")
    for one in targets:
        ignored = shutil.ignore_patterns("compose*")
        shutil.copytree(one, folder / "targets", ignore=ignored, dirs_exist_ok=True)
    return folder / "prometheus.yml"


@pytest.mark.parametrize(
    "targets",
    [*([folder] for folder in TARGET_FOLDERS), [TARGET_FOLDERS[1], LAID_OVER]],
    ids=lambda folders: folders[-1].name,
)
def test_config_is_clean(prometheus_binaries: PrometheusBinaries, targets: list[Path], tmp_path: Path) -> None:
    """The one prometheus.yml passes, without a warning, with each folder of targets."""
    done = promtool(prometheus_binaries.promtool, "check", "config", "--lint=all", laid_out(tmp_path, *targets))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr


def test_target_folders_hold_the_same_files() -> None:
    """A job of prometheus.yml finds its file in every folder of targets."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = config["scrape_configs"] + config["alerting"]["alertmanagers"]
    expected = {Path(file).name for job in jobs for found in job["file_sd_configs"] for file in found["files"]}

    for folder in TARGET_FOLDERS:
        assert {path.name for path in folder.glob("*.yml")} == expected
    assert {path.name for path in LAID_OVER.glob("*.yml")} <= expected


def test_rules_are_clean(prometheus_binaries: PrometheusBinaries) -> None:
    """Every rule file passes, with no duplicate and no lint."""
    done = promtool(prometheus_binaries.promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)

    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_runs_it_without_complaint(
    prometheus_binaries: PrometheusBinaries, tmp_path: Path, start_prometheus: Callable[..., Prometheus]
) -> None:
    """A real Prometheus evaluates every rule without an error, and logs no warning about its configuration."""
    config = laid_out(tmp_path, FOLDER / "targets")
    for targets in (tmp_path / "targets").glob("*.yml"):
        # What runs on the default ports of this machine does not belong to this test.
        targets.write_text("[]")
    for rules in (tmp_path / "rules").glob("*.yml"):
        # Otherwise the test would wait for groups that are evaluated every few minutes.
        rules.write_text(re.sub(r"^    interval: \w+$", "    interval: 5s", rules.read_text(), flags=re.MULTILINE))
    server = start_prometheus(config, binary=prometheus_binaries.prometheus)

    def evaluated() -> bool:
        return all(rule["health"] != "unknown" for rule in server.rules())

    def firing() -> list[str]:
        return [alert["labels"]["alertname"] for alert in server.alerts() if alert["state"] == "firing"]

    poll_until(evaluated, interval_seconds=0.2)
    poll_until(lambda: "PlatformWatchdog" in firing(), interval_seconds=0.2)

    assert {rule["name"]: rule.get("lastError") for rule in server.rules() if rule["health"] != "ok"} == {}
    assert firing() == ["PlatformWatchdog"]
    log = (server.state_dir / f"{server.name}.log").read_text()
    assert [line for line in log.splitlines() if "level=warn" in line.lower() or "level=error" in line.lower()] == []


def test_what_is_written_elsewhere_has_no_address_as_a_label(
    tmp_path: Path, start_prometheus: Callable[..., Prometheus]
) -> None:
    """The remote_write that prometheus.yml shows leaves out the external labels that only links need."""
    elsewhere = start_prometheus(name="elsewhere", flags=["--web.enable-remote-write-receiver"])
    config = laid_out(tmp_path, FOLDER / "targets")
    for targets in (tmp_path / "targets").glob("*.yml"):
        targets.write_text("[]")
    [block] = re.findall(r"^# remote_write:\n(?:#   .*\n)+", config.read_text(), re.MULTILINE)
    written = config.read_text().replace(block, block.replace("# ", ""))
    config.write_text(written.replace("http://127.0.0.1:8428/api/v1/write", f"{elsewhere.url}/api/v1/write"))
    assert "remote_write" in yaml.safe_load(config.read_text())
    start_prometheus(config)
    poll_until(lambda: elsewhere.query("global:platform_health:max"), 180, interval_seconds=0.2)

    assert elsewhere.query('{__name__=~".+", grafana_url!=""} or {__name__=~".+", runbook_url!=""}') == []
