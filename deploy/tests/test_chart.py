"""The chart as Helm renders it, with several values: `make test-kubernetes`. No cluster was seen."""

import base64
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from deploy.helm import chart, generate

VALUES = {"default": {}} | {
    path.stem: yaml.safe_load(path.read_text()) for path in sorted((Path(__file__).parent / "values").glob("*.yaml"))
}
OPERATOR = ("ServiceMonitor", "PrometheusRule", "AlertmanagerConfig")
OLDEST, NEWEST = "1.27.0", "1.37.0"
LARGEST_SECRET_BYTES = 1024 * 1024
DEADLINE_SECONDS = 600


@pytest.fixture(scope="module", params=list(VALUES))
def objects(request: pytest.FixtureRequest) -> list[chart.Object]:
    """Return the objects that some values give."""
    return chart.rendered(VALUES[request.param])


@pytest.fixture(scope="module")
def everything() -> list[chart.Object]:
    """Return the objects with every value set."""
    return chart.rendered(VALUES["everything"])


def of(objects: list[chart.Object], kind: str) -> list[chart.Object]:
    return [one for one in objects if one["kind"] == kind]


@pytest.mark.parametrize("values", list(VALUES))
def test_lint(values: str) -> None:
    """`helm lint --strict` finds nothing but the icon that is not there."""
    found = helm_python.lint(str(chart.CHART), VALUES[values], strict=True)

    assert found["errors"] == []
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_schemas(objects: list[chart.Object], version: str) -> None:
    """Every object of Kubernetes' own has known fields of the right types, in the oldest and the newest version."""
    checked = [
        kubernetes_validate.validate(one, version, strict=True) for one in objects if one["kind"] not in OPERATOR
    ]

    assert len(checked) >= 3


def test_names(objects: list[chart.Object]) -> None:
    """Each name is there once, and one of DNS."""
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]

    assert len(names) == len(set(names))
    assert [name for _, name in names if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)] == []


def test_pods_are_restricted(objects: list[chart.Object]) -> None:
    """Every pod may run where the Pod Security Standard `restricted` is enforced, and none may ask the cluster."""
    for one in objects:
        pod = one.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {key for volume in pod["volumes"] for key in volume} <= {"name", "configMap", "secret", "emptyDir"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip


def test_selectors_find_the_pods_and_nothing_else(objects: list[chart.Object]) -> None:
    """Service, budget and policy are those of the replicas; the schema's job is none."""
    [deployment] = of(objects, "Deployment")
    wanted = deployment["spec"]["selector"]["matchLabels"]
    [service] = of(objects, "Service")
    selectors = [one["spec"]["selector"]["matchLabels"] for one in of(objects, "PodDisruptionBudget")]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of(objects, "NetworkPolicy")]

    assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert all(selector == wanted for selector in [*selectors, service["spec"]["selector"]])
    for job in of(objects, "Job"):
        assert not wanted.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    for monitor in of(objects, "ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


def test_little_needs_no_operator() -> None:
    """Where there is no operator, the chart has none of its types."""
    assert {one["kind"] for one in chart.rendered(VALUES["little"])} == {"ConfigMap", "Deployment", "Service"}


def test_the_schema_is_applied_before_a_replica_starts(everything: list[chart.Object]) -> None:
    """The job is a hook, and needs no object of the release: none is there yet."""
    [job] = of(everything, "Job")

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    assert {name for volume in job["spec"]["template"]["spec"]["volumes"] for name in volume} == {
        "name",
        "secret",
        "emptyDir",
    }


def test_configuration(everything: list[chart.Object], tmp_path: Path) -> None:
    """All values reach the exporter's configuration, which it accepts."""
    [data] = [one["data"] for one in of(everything, "ConfigMap") if "platform-exporter.yml" in one["data"]]
    for name, text in {"database": "uri", "shop-database": "uri", "redis": "password", "alertmanager": "token"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / text).write_text("postgresql://platform@db.example.org/platform")
    for name, text in data.items():
        (tmp_path / name).write_text(text.replace("/run/secrets", str(tmp_path)))
    found = yaml.safe_load(data["platform-exporter.yml"])

    done = subprocess.run(
        [sys.executable, "-m", "exporter", "check-config", str(tmp_path / "platform-exporter.yml")],
        env={"REGION": "eu"}, capture_output=True, text=True, timeout=DEADLINE_SECONDS,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert found["database"] == {"dsn_file": "/run/secrets/database/uri", "poll_interval_seconds": 10}
    assert found["alerts"]["spool_folder"] == "/var/lib/platform-exporter/alerts"


def test_secrets_are_files_for_the_exporter_s_group(everything: list[chart.Object]) -> None:
    """Each Secret is mounted where the configuration names it, and no other user can read it."""
    [deployment] = of(everything, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    mounted = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    secrets = {mounted[one["name"]]: one["secret"] for one in pod["volumes"] if "secret" in one}

    assert {path: one["secretName"] for path, one in secrets.items()} == {
        "/run/secrets/database": "events-app",
        "/run/secrets/shop-database": "shop-database",
        "/run/secrets/redis": "redis",
        "/run/secrets/alertmanager": "alertmanager",
    }
    assert {one["defaultMode"] for one in secrets.values()} == {0o440}


def test_a_changed_configuration_replaces_the_pods() -> None:
    """Nobody has to remember to restart them."""
    checksums = set()
    for values in (
        {},
        {"thresholds": {"minimum_events": 5}},
        {"files": {"a.yml": "a"}},
        {"config": {"labels": {"a": "b"}}},
    ):
        [deployment] = of(chart.rendered(chart.WITHOUT_MONITORING | values), "Deployment")
        checksums.add(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/configuration"])

    assert len(checksums) == 4


def test_rules_and_dashboards_are_the_generated_ones(everything: list[chart.Object]) -> None:
    """Only links differ; Prometheus's and Grafana's own templates are left alone."""
    for kind, key in (("PrometheusRule", "spec"), ("ConfigMap", "data")):
        expected = [
            yaml.safe_load(linked(path.read_text(encoding="utf-8")))[key]
            for path in sorted(generate.FILES.glob(f"{kind.lower()}-*.yaml"))
        ]

        assert [one[key] for one in of(everything, kind) if "platform-exporter.yml" not in one[key]] == expected
    assert "grafana.example.org" not in json.dumps(everything)


def test_monitoring_has_the_labels_that_are_looked_for(everything: list[chart.Object]) -> None:
    """The operator's objects have those of its selectors, dashboards those of the sidecar."""
    labels = [one["metadata"]["labels"] for one in everything if one["kind"] in OPERATOR]
    dashboards = [one["metadata"] for one in of(everything, "ConfigMap") if one["metadata"]["namespace"] == "grafana"]

    assert {one["release"] for one in labels} == {"kube-prometheus-stack"}
    assert {one["labels"]["grafana_dashboard"] for one in dashboards} == {"platform"}
    assert {one["annotations"]["grafana_folder"] for one in dashboards} == {"Platform"}
    assert len(dashboards) == len(list(generate.FILES.glob("configmap-*")))


def test_every_route_has_a_receiver(everything: list[chart.Object]) -> None:
    """Those of the values are there; nobody gets what only mutes others and, unless asked for, the watchdog."""
    [config] = of(everything, "AlertmanagerConfig")
    receivers = {one["name"]: set(one) - {"name"} for one in config["spec"]["receivers"]}

    assert [name for name, integrations in receivers.items() if not integrations] == [
        "platform-exporter-nobody",
        "watchdog",
    ]
    assert routed(config["spec"]["route"]) == set(receivers)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 3}, "replica"),
        ({"replicas": "3"}, "/replicas"),
        ({"database": {"existingSecret": "Not A Name"}}, "/database/existingSecret"),
        ({"secrets": ["database"]}, "/secrets/0"),
        ({"config": {"sources": []}}, "sources"),
        ({"networkPolicy": {"from": []}}, "/networkPolicy/from"),
        ({"links": {"grafana": "grafana.example.org"}}, "/links/grafana"),
        ({"alertmanagerConfig": {"receivers": {"everybody": {"webhookConfigs": []}}}}, "everybody"),
        ({"alertmanagerConfig": {"enabled": True}}, "alertmanagerConfig.receivers.critical is missing"),
    ],
)
def test_invalid_values(values: dict[str, Any], said: str) -> None:
    """What is misspelt, of the wrong type, or would notify nobody, is refused by its name."""
    with pytest.raises(helm_python.HelmError, match=re.escape(said)):
        chart.rendered(values)


def test_a_release_can_be_stored() -> None:
    """Helm keeps chart and objects of a release in one Secret, compressed, which may have 1 MiB."""
    files = {
        str(path): base64.b64encode(path.read_bytes()).decode() for path in chart.CHART.rglob("*") if path.is_file()
    }
    release = json.dumps({"chart": files, "manifest": "".join(chart.texts(VALUES["everything"]).values())})

    assert len(base64.b64encode(gzip.compress(release.encode()))) < 0.9 * LARGEST_SECRET_BYTES


def test_plain_manifests_are_the_chart_s() -> None:
    """What kustomize reads is what Helm renders."""
    assert chart.MANIFESTS.read_text(encoding="utf-8") == chart.manifests()


def routed(route: dict[str, Any]) -> set[str]:
    """Return the receivers of a route and of those below it."""
    return {route["receiver"]}.union(*(routed(one) for one in route.get("routes", [])))


def linked(text: str) -> str:
    """Return a generated file with the links of values/everything.yaml."""
    links = VALUES["everything"]["links"]
    return text.replace(generate.INSTALLATION.runbook_url, links["runbook"]).replace(generate.GRAFANA, links["grafana"])
