"""What every alert owes: labels, annotations, tests that fire it and keep it quiet, a runbook entry, a dashboard."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.prometheus.names import ROOT, rules, unknown

ALERTS = [rule for rule in rules() if "alert" in rule]
RUNBOOK = (ROOT / "prometheus/runbook.md").read_text()
ENTRIES = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
SEVERITIES = {"critical", "high", "medium", "low"}
ALWAYS_FIRING = {"PlatformWatchdog"}
every_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")


def unit_tests() -> list[dict[str, Any]]:
    """Return the groups of promtool tests of all files."""
    files = sorted((ROOT / "prometheus/tests").glob("*.yml"))
    return [group for path in files for group in yaml.safe_load(path.read_text())["tests"]]


def expectations(alert: str) -> list[set[str]]:
    """Return, per check of this alert's firing in the promtool tests, the severities it expects; empty where quiet."""
    groups = unit_tests()
    checks = [check for group in groups for check in group.get("alert_rule_test", []) if check["alertname"] == alert]
    found = [{one["exp_labels"]["severity"] for one in check["exp_alerts"]} for check in checks]
    for group in groups:
        for check in group.get("promql_expr_test", []):
            if f'alertname="{alert}", alertstate="firing"' in check["expr"]:
                labels = [sample["labels"] for sample in check["exp_samples"] or []]
                found.append(set(re.findall(r'severity="(\w+)"', " ".join(labels))))
    return found


@every_alert
def test_labels(rule: dict[str, Any]) -> None:
    """An alert is routed by its severity; one with thresholds names its indicator."""
    severity = rule["labels"]["severity"]

    if rule["alert"] in ALWAYS_FIRING:
        assert severity == "none"
    elif rule["alert"] == "PlatformOpenAlerts":
        assert severity == "{{ $labels.severity }}"
    else:
        assert severity in SEVERITIES
    assert ("indicator" in rule["labels"]) == ("threshold" in rule["expr"] and "unless on ()" not in rule["expr"])


@every_alert
def test_annotations(rule: dict[str, Any]) -> None:
    """A reader learns what, how much, and where to go on."""
    annotations = rule["annotations"]

    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "$value" in annotations["description"]
    if "indicator" in rule["labels"]:
        assert "with query" in annotations["description"], "the threshold in force belongs into the description"


@every_alert
def test_held_against_flapping(rule: dict[str, Any]) -> None:
    """An alert lasts a while before it fires and after; what applications opened or what always fires needs neither."""
    if rule["alert"] not in ALWAYS_FIRING | {"PlatformOpenAlerts"}:
        assert rule["for"]
        assert rule["keep_firing_for"]


@every_alert
def test_has_unit_tests(rule: dict[str, Any]) -> None:
    """A promtool test makes this alert fire with this severity, and another keeps it quiet."""
    found = expectations(rule["alert"])
    severity = rule["labels"]["severity"]

    if severity.startswith("{{"):
        assert set().union(*found) >= SEVERITIES
    else:
        assert severity in set().union(*found)
    assert rule["alert"] in ALWAYS_FIRING or set() in found


@every_alert
def test_runbook_entry(rule: dict[str, Any]) -> None:
    """The address of the runbook ends with the anchor of an entry of its name, which says what on-call needs."""
    name = rule["alert"]
    entry = ENTRIES[name]

    assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.runbook_url }}}}#{name.lower()}"
    assert all(f"**{part}.**" in entry for part in ("Meaning", "Impact", "First checks", "Mend"))
    assert len(re.findall(r"^\d\. .+: `.+`$", entry, re.MULTILINE)) == 3


@every_alert
def test_dashboard(rule: dict[str, Any]) -> None:
    """The address of the dashboard names one that is provisioned, and only variables that it has."""
    address = rule["annotations"]["dashboard_url"]
    match = re.fullmatch(r"\{\{ \$externalLabels\.grafana_url \}\}/d/([\w-]+)/[\w-]+(?:\?var-(\w+)=.*)?", address)
    assert match
    uid, variable = match.groups()
    files = (ROOT / "grafana/dashboards").glob("*.json")
    dashboards = {board["uid"]: board for board in (json.loads(path.read_text()) for path in files)}

    assert uid in dashboards
    assert variable is None or variable in {one["name"] for one in dashboards[uid]["templating"]["list"]}


def test_runbook_has_no_entry_without_alert() -> None:
    """An alert that is gone takes its entry with it."""
    assert set(ENTRIES) == {rule["alert"] for rule in ALERTS}


def test_rules_name_only_existing_metrics() -> None:
    """A rule on a series that nothing exposes would be silent for ever."""
    texts = [rule["expr"] for rule in rules()] + [text for rule in ALERTS for text in rule["annotations"].values()]

    assert unknown(texts) == set()


def test_runbook_names_only_existing_metrics() -> None:
    """A command of the runbook finds what it asks for."""
    assert unknown([RUNBOOK]) == set()
