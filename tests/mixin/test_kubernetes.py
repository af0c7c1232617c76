"""Objects of Kubernetes, as far as they can be checked without a cluster."""

import json
import re
from typing import Any

import pytest

from exporter.mixin import kubernetes, rules
from exporter.mixin.installation import ours
from tests.mixin.installations import JOB, installation

LAST_APPLIED_BYTES = 256 * 1024
"""What `kubectl apply` may write of an object into its annotations (Kubernetes: TotalAnnotationSizeLimitB)."""


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """Return the objects of an installation."""
    return list(kubernetes.objects(installation(30), "monitoring", {"release": "prometheus"}))


def test_names_and_labels(objects: list[dict[str, Any]]) -> None:
    """Names are those of DNS, each once; the selectors find all of them."""
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]

    assert len(names) == len(set(names))
    assert [name for _, name in names if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)] == []
    assert {one["metadata"]["labels"]["release"] for one in objects} == {"prometheus"}
    assert {one["metadata"]["namespace"] for one in objects} == {"monitoring"}


def test_none_is_too_large(objects: list[dict[str, Any]]) -> None:
    """Each can be stored."""
    assert max(len(json.dumps(one)) for one in objects) < LAST_APPLIED_BYTES


def test_rules_have_the_operator_s_fields_only(objects: list[dict[str, Any]]) -> None:
    """Those of monitoring.coreos.com/v1: an unknown field is refused, and all rules are there."""
    groups = [group for one in objects if one["kind"] == "PrometheusRule" for group in one["spec"]["groups"]]
    fields = {field for group in groups for rule in group["rules"] for field in rule}

    assert groups == [group for found in rules.files(installation(30)).values() for group in found]
    assert {field for group in groups for field in group} == {"name", "interval", "rules"}
    assert fields == {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}


def test_the_monitor_keeps_the_exporter_s_labels(objects: list[dict[str, Any]]) -> None:
    """Targets get labels from the operator that rules do not expect, and a job's name that they do not know."""
    [monitor] = [one for one in objects if one["kind"] == "ServiceMonitor"]
    [endpoint] = monitor["spec"]["endpoints"]

    assert endpoint["interval"] == "30s"
    assert endpoint["honorLabels"]
    assert {"action": "replace", "targetLabel": "job", "replacement": JOB} in endpoint["relabelings"]
    assert {"action": "labeldrop", "regex": "endpoint|service|container|namespace"} in endpoint["relabelings"]


def test_dashboards_are_found_by_the_sidecar(objects: list[dict[str, Any]]) -> None:
    """Each is a file of its own, with the label that the sidecar looks for."""
    maps = [one for one in objects if one["kind"] == "ConfigMap"]

    assert len(maps) == len(list(ours("grafana/dashboards").glob("*.json")))
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        [(name, text)] = one["data"].items()
        assert name == f"{json.loads(text)['uid']}.json"
