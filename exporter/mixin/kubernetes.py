"""An installation as objects of Kubernetes, for the operator of Prometheus and Grafana's sidecar."""

from collections.abc import Iterator, Mapping
from typing import Any

from exporter.mixin import dashboards, rules
from exporter.mixin.installation import Installation

Object = dict[str, Any]

OPERATOR = "monitoring.coreos.com"

DASHBOARD_LABEL = {"grafana_dashboard": "1"}
"""What Grafana's sidecar looks for, unless its own values say otherwise."""

TARGET_LABELS = "endpoint|service|container|namespace"
"""Labels of targets that the operator adds. `endpoint` and others are also labels of ours, which they would hide."""


def objects(installation: Installation, namespace: str, labels: Mapping[str, str]) -> Iterator[Object]:
    """Yield the ServiceMonitor, a PrometheusRule for each file of rules and a ConfigMap for each dashboard.

    labels: what the selectors of the operator's Prometheus look for.
    """
    yield _monitor(installation, namespace, labels)
    for name, groups in rules.files(installation).items():
        named = f"platform-{name.replace('_', '-')}"
        yield _object(f"{OPERATOR}/v1", "PrometheusRule", named, namespace, labels, {"spec": {"groups": groups}})
    for name, dashboard in dashboards.dashboards(installation).items():
        data = {"data": {f"platform-{name}.json": dashboards.compact(dashboard)}}
        yield _object("v1", "ConfigMap", f"platform-dashboard-{name}", namespace, {**labels, **DASHBOARD_LABEL}, data)


def _monitor(installation: Installation, namespace: str, labels: Mapping[str, str]) -> Object:
    endpoint = {
        "port": "http",
        "interval": f"{installation.interval_seconds}s",
        "honorLabels": True,
        "relabelings": [
            {"action": "labeldrop", "regex": TARGET_LABELS},
            {"action": "replace", "targetLabel": "job", "replacement": installation.job},
        ],
    }
    selector = {"matchLabels": {"app.kubernetes.io/name": "platform-exporter"}}
    spec = {"endpoints": [endpoint], "selector": selector}
    return _object(f"{OPERATOR}/v1", "ServiceMonitor", "platform-exporter", namespace, labels, {"spec": spec})


def _object(version: str, kind: str, name: str, namespace: str, labels: Mapping[str, str], content: Object) -> Object:
    known = {"app.kubernetes.io/name": "platform-exporter", **labels}
    metadata = {"name": name, "labels": known} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}
