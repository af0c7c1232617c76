"""Write what the chart takes from the bundle: python -m deploy.helm.generate, from the top of the repository.

Rules, dashboards, ServiceMonitor and routes are objects of Kubernetes in `files`, which the chart's templates and
deploy/kubernetes read. The version is that of the package.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from exporter import __version__
from exporter.mixin import alertmanager_config, kubernetes
from exporter.mixin.installation import Installation
from exporter.mixin.yaml_text import dumped

CHART = Path(__file__).parent / "platform-exporter"
FILES = CHART / "files"
HEAD = "# Made by `make generate` from prometheus/rules, grafana/dashboards and alertmanager/routes.yml.\n"
INTERVAL_SECONDS = 15
GRAFANA = "https://grafana.example.org"
"""What the chart replaces by its value `links.grafana`."""

INSTALLATION = Installation(
    job="platform-exporter",
    interval_seconds=INTERVAL_SECONDS,
    dashboard_url=GRAFANA,
    runbook_url=f"{GRAFANA}/d/platform-runbook/runbook",
    receivers=alertmanager_config.own_receivers(),
)


def committed() -> dict[Path, str]:
    """Return the text of every file that is committed."""
    objects = {f"{one['kind'].lower()}-{one['metadata']['name']}.yaml": one for one in _objects()}
    applied = [name for name, one in objects.items() if one["kind"] != "AlertmanagerConfig"]
    # Without receivers routes would notify nobody: only the chart, which adds them, has these.
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(applied),
    }
    texts = {FILES / name: HEAD + dumped(one) for name, one in objects.items()}
    return texts | {FILES / "kustomization.yaml": HEAD + dumped(kustomization), CHART / "Chart.yaml": _chart()}


def _objects() -> Iterator[kubernetes.Object]:
    yield from kubernetes.objects(INSTALLATION, "", {})
    metadata = {"name": "platform-exporter", "labels": {"app.kubernetes.io/name": "platform-exporter"}}
    yield {
        "apiVersion": alertmanager_config.VERSION,
        "kind": "AlertmanagerConfig",
        "metadata": metadata,
        "spec": alertmanager_config.spec(INSTALLATION),
    }


def _chart() -> str:
    """Return Chart.yaml with the package's version in both places."""
    text = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^version: .*$", f"version: {__version__}", text, flags=re.MULTILINE)
    return re.sub(r"^appVersion: .*$", f'appVersion: "{__version__}"', text, flags=re.MULTILINE)


def write() -> None:
    """Write all of it, and remove what an earlier version of the bundle had."""
    texts = committed()
    FILES.mkdir(exist_ok=True)
    for old in set(FILES.iterdir()) - set(texts):
        old.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
