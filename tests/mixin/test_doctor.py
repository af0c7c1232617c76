"""The doctor in a Prometheus that others use, too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from exporter.__main__ import main
from tests.alertmanager.exposition import Exposition
from tests.mixin.installations import JOB, written
from tools.stack.process import poll_until
from tools.stack.servers import Prometheus

DEADLINE_SECONDS = 180
THEIRS = """\
groups:
  - name: theirs
    interval: 1s
    rules: [{record: "their:rule", expr: 'vector(1) * on () (vector(1) or label_replace(vector(1), "a", "b", "", ""))'}]
"""


def findings(prometheus: Prometheus, folder: Path) -> list[str]:
    """Return what the doctor says of this Prometheus."""
    config = folder / "platform-exporter.yml"
    stack = {"prometheus_url": prometheus.url}
    config.write_text(json.dumps({"database": {"dsn": "postgresql://a@127.0.0.1:1/b"}, "sources": [], "stack": stack}))
    lines = CliRunner().invoke(main, ["doctor", "--config", str(config)]).stdout.splitlines()
    return [line for line in lines if " prometheus " in line]


def started(start: Callable[..., Prometheus], folder: Path, job: str, target: str) -> Prometheus:
    """Return a Prometheus with rules for a job of ours, rules of others that fail, and a scrape job."""
    written(folder, 5)
    (folder / "theirs.yml").write_text(THEIRS)
    content: dict[str, Any] = {
        "global": {"scrape_interval": "1s"},
        "rule_files": [f"{folder}/rules/*.yml", f"{folder}/theirs.yml"],
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [target]}]}],
    }
    server = start(yaml.safe_dump(content))
    poll_until(lambda: any(rule["health"] == "err" for rule in server.rules()), DEADLINE_SECONDS)
    poll_until(lambda: {target["health"] for target in server.targets()} in ({"up"}, {"down"}), DEADLINE_SECONDS)
    return server


def test_it_knows_the_job_from_the_rules(tmp_path: Path, start_prometheus: Callable[..., Prometheus]) -> None:
    """Whatever the job is called; rules of others that fail are not ours."""
    with Exposition(lambda: ["platform_exporter_time_seconds 1"]) as exposition:
        found = findings(started(start_prometheus, tmp_path, JOB, exposition.address), tmp_path)

    assert "scrapes 1 exporter" in "\n".join(found)
    assert "evaluates" in "\n".join(found)
    assert [line for line in found if line.startswith("FAIL")] == []


def test_it_says_which_job_is_missing(tmp_path: Path, start_prometheus: Callable[..., Prometheus]) -> None:
    """By the name that the rules look for."""
    with Exposition(list) as exposition:
        found = findings(started(start_prometheus, tmp_path, "other", exposition.address), tmp_path)

    assert f"no scrape job `{JOB}`" in "\n".join(found)
