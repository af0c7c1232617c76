"""The dashboards of an installation: the bundle's, which ask only what is its business."""

import json
from typing import Any

from exporter.mixin.installation import Installation, ours
from exporter.mixin.promql import JOB, adapted

Dashboard = dict[str, Any]


def dashboards(installation: Installation) -> dict[str, Dashboard]:
    """Return every dashboard by the name of its file, without its suffix."""
    return {
        path.stem: _adapted(json.loads(path.read_text(encoding="utf-8")), installation)
        for path in sorted(ours("grafana/dashboards").glob("*.json"))
    }


def text(dashboard: Dashboard) -> str:
    """Return the text of a dashboard's file."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def compact(dashboard: Dashboard) -> str:
    """Return the text of a dashboard on one line.

    `kubectl apply` repeats an object in an annotation, of at most 262,144 bytes: indented, one of them is too long.
    """
    return json.dumps(dashboard, separators=(",", ":"), ensure_ascii=False, sort_keys=True) + "\n"


def _adapted(value: Any, installation: Installation, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _adapted(one, installation, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_adapted(one, installation, key) for one in value]
    if isinstance(value, str):
        asked = adapted(value, installation) if key == "expr" else value
        # Commands of the runbook, and what stands in descriptions.
        return asked.replace(f'job="{JOB}"', f'job="{installation.job}"')
    return value
