"""What is deployed on Kubernetes, as far as it can be checked without Helm."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm import chart, generate
from exporter.mixin import routes
from tests.prometheus.promtool import promtool
from tests.servers import Database
from tools.stack.programs.search import find

DEADLINE_SECONDS = 600


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    """Return the objects of the exporter by their kind: one of each."""
    return {one["kind"]: one for one in yaml.safe_load_all(chart.MANIFESTS.read_text(encoding="utf-8"))}


def test_manifests_are_those_of_the_chart() -> None:
    """Whoever changes the chart runs `make kubernetes`."""
    first = chart.MANIFESTS.read_text(encoding="utf-8").partition("\n")[0]

    assert first == f"{chart.HEAD} {chart.fingerprint()}"


def test_kustomize_reads_all_that_is_generated() -> None:
    """All rules and dashboards; routes without receivers would notify nobody."""
    listed = yaml.safe_load((generate.FILES / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in generate.FILES.glob("*.yaml")} - {"kustomization.yaml"}

    assert there - set(listed) == {"alertmanagerconfig-platform-exporter.yaml"}
    assert set(listed) <= there


def test_nothing_is_left_of_an_earlier_bundle() -> None:
    """A dashboard that ended is not installed any more."""
    assert set(generate.FILES.iterdir()) <= set(generate.committed())


def test_configuration_is_valid(objects: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """The exporter accepts what the chart writes for it."""
    (tmp_path / "dsn").write_text("postgresql://platform:secret@db.example.org/platform")
    config = tmp_path / "platform-exporter.yml"
    config.write_text(placed(objects["ConfigMap"]["data"]["platform-exporter.yml"], tmp_path))

    done = subprocess.run(
        [sys.executable, "-m", "exporter", "check-config", config],
        capture_output=True, text=True, timeout=DEADLINE_SECONDS,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_schema_job(objects: dict[str, dict[str, Any]], database: Database, tmp_path: Path) -> None:
    """The command of the job creates the schema, from nothing but the Secret."""
    [container] = objects["Job"]["spec"]["template"]["spec"]["containers"]
    (tmp_path / "owner-dsn").write_text(database.dsn)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])

    done = subprocess.run(
        [*container["command"], *(placed(text, tmp_path) for text in container["args"])],
        env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=DEADLINE_SECONDS,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert database.execute("SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'monitoring'") == [(True,)]


def test_rules_are_rules(tmp_path: Path) -> None:
    """Promtool accepts what the PrometheusRules hold."""
    files = [tmp_path / path.name for path in sorted(generate.FILES.glob("prometheusrule-*.yaml"))]
    for file in files:
        file.write_text(yaml.safe_dump(yaml.safe_load((generate.FILES / file.name).read_text())["spec"]))

    done = promtool(find("promtool"), "check", "rules", *files)

    assert len(files) > 30
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_expect_the_monitor_s_interval_and_job() -> None:
    """What the ServiceMonitor scrapes is what the rules look for."""
    monitor = yaml.safe_load((generate.FILES / "servicemonitor-platform-exporter.yaml").read_text())
    [endpoint] = monitor["spec"]["endpoints"]

    assert endpoint["interval"] == f"{generate.INSTALLATION.interval_seconds}s"
    assert endpoint["relabelings"][-1]["replacement"] == generate.INSTALLATION.job


def test_routes_are_the_bundle_s() -> None:
    """In Alertmanager's own spelling the AlertmanagerConfig says what `rules --print routes` prints."""
    config = yaml.safe_load((generate.FILES / "alertmanagerconfig-platform-exporter.yaml").read_text())["spec"]
    expected = routes.additions(generate.INSTALLATION)
    for interval in expected["time_intervals"]:
        # In UTC, which the operator's type does not say.
        assert interval["time_intervals"][0].pop("location") == "UTC"

    assert spelled(config["route"]) == expected["route"]
    assert spelled(config["inhibitRules"]) == expected["inhibit_rules"]
    assert spelled(config["muteTimeIntervals"]) == expected["time_intervals"]


def spelled(value: Any) -> Any:
    """Return a value of the operator's in Alertmanager's spelling."""
    if isinstance(value, list):
        return [spelled(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "matchType" in value:
        return f'{value["name"]}{value["matchType"]}"{value["value"]}"'
    names = {"sourceMatch": "source_matchers", "targetMatch": "target_matchers"}
    return {
        names.get(key) or re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", key): spelled(one) for key, one in value.items()
    }


def placed(text: str, folder: Path) -> str:
    """Return a text of a container with its folders in a test's."""
    return text.replace("/run/secrets/database", str(folder)).replace("/tmp/schema.yml", str(folder / "schema.yml"))
