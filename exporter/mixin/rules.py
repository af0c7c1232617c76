"""The rules of an installation: the bundle's, with its jobs, windows, replicas and links."""

from typing import Any

import yaml

from exporter.mixin import hours
from exporter.mixin.installation import Installation, ours
from exporter.mixin.promql import JOB, adapted

Rules = dict[str, Any]

MAKER = "`platform-exporter rules`"
_HOURS = "hours"


def files(installation: Installation) -> dict[str, list[Rules]]:
    """Return the groups of every file of rules by the name of the file, without its suffix.

    Each is loaded as a file of its own: two record the same series, of different indicators.
    """
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(ours("prometheus/rules").glob("*.yml"))}
    # Of an installation's own hours, and without alerts on trial.
    texts[_HOURS] = hours.rules(installation.working_hours, "", MAKER)
    return {
        name: [_group(group, installation) for group in yaml.safe_load(text)["groups"]] for name, text in texts.items()
    }


def _group(group: Rules, installation: Installation) -> Rules:
    return {**group, "rules": [_rule(rule, installation) for rule in group["rules"]]}


def _rule(rule: Rules, installation: Installation) -> Rules:
    found = {**rule, "expr": adapted(rule["expr"], installation)}
    if "annotations" in rule:
        found["annotations"] = {name: _said(text, installation) for name, text in rule["annotations"].items()}
    return found


def _said(text: str, installation: Installation) -> str:
    """Return an annotation with its links written out: labels for them would be in every series that is recorded."""
    replicas = "".join(f", {label}" for label in installation.replica_labels)
    for ours_, theirs in (
        ("{{ $externalLabels.grafana_url }}", installation.dashboard_url),
        ("{{ $externalLabels.runbook_url }}", installation.runbook_url),
        (f"The job {JOB} ", f"The job {installation.job} "),
        ("without (instance, pod, node", f"without (instance, pod, node{replicas}"),
    ):
        text = text.replace(ours_, theirs)
    return text
