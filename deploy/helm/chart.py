"""The chart as Helm renders it, and deploy/kubernetes made of it: python -m deploy.helm.chart, `make kubernetes`.

Helm is the library in the package helm-python-sdk (extra `kubernetes`): neither a program nor Go is needed.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.helm.generate import CHART, FILES
from exporter.mixin.yaml_text import dumped

Object = dict[str, Any]

MANIFESTS = Path(__file__).parents[1] / "kubernetes" / "exporter.yaml"
HEAD = "# Made by `make kubernetes` from deploy/helm/platform-exporter: change that, not this file. Its sources:"
RELEASE, NAMESPACE = "platform-exporter", "monitoring"
# They come from `files`, which kustomize reads itself.
WITHOUT_MONITORING = {name: {"enabled": False} for name in ("serviceMonitor", "prometheusRule", "dashboards")}


class _Loader(yaml.SafeLoader):
    """Reads `=` as a text, as Kubernetes does: it is a matcher of Alertmanager's."""


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:value", _text)


def rendered(values: Mapping[str, Any], release: str = RELEASE, namespace: str = NAMESPACE) -> list[Object]:
    """Return the objects of a release, hooks included. Raises HelmError where values or templates are refused."""
    found = texts(values, release, namespace).values()
    return [one for text in found for one in yaml.load_all(text, _Loader) if one]


def texts(values: Mapping[str, Any], release: str = RELEASE, namespace: str = NAMESPACE) -> dict[str, str]:
    """Return what each template of objects gives, by its name."""
    import helm_python

    with helm_python.Chart.load(str(CHART)) as chart:
        found = chart.render(dict(values), name=release, namespace=namespace)
    return {name.partition("/templates/")[2]: text for name, text in found.items() if name.endswith(".yaml")}


def manifests() -> str:
    """Return the exporter as plain objects, as Helm would install it with the default values."""
    objects = sorted(rendered(WITHOUT_MONITORING), key=lambda one: (one["kind"], one["metadata"]["name"]))
    for one in objects:
        _without_helm(one)
    return f"{HEAD} {fingerprint()}\n" + "---\n".join(map(dumped, objects))


def fingerprint() -> str:
    """Return the hash of all that the manifests are made of, for tests that have no Helm."""
    found = hashlib.sha256()
    for path in _sources():
        found.update(f"{path.relative_to(CHART)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _sources() -> Iterator[Path]:
    yield from sorted(path for path in CHART.rglob("*") if path.is_file() and FILES not in path.parents)


def _without_helm(value: Any) -> None:
    """Remove labels and annotations that say that Helm manages an object."""
    if isinstance(value, dict):
        for name in [name for name in value if name.startswith("helm.sh/") or name == "app.kubernetes.io/managed-by"]:
            del value[name]
        for key in [key for key, one in value.items() if key in ("labels", "annotations") and one == {}]:
            del value[key]
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _without_helm(one)
        if isinstance(one, dict) and one.get("annotations") == {}:
            del one["annotations"]


if __name__ == "__main__":
    MANIFESTS.write_text(manifests(), encoding="utf-8")
