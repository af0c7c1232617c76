"""Every alert has labels, annotations, tested cases, a runbook entry, and a panel that shows why it fires.

To add an alert: the rule, its cases in prometheus/tests (named as tests/prometheus/cases.py says), its entry in
prometheus/runbook.md, and a dashboard_url whose dashboard has a panel on what the alert reads.
"""

import json
import re
from functools import cache
from typing import Any

import pytest

from exporter.alerts.manual import ALERTNAME
from tests.prometheus.cases import SHOWS, groups, shortcomings
from tests.prometheus.names import ROOT, named, read_by, rules, unknown, unlisted

ALERTS = [rule for rule in rules() if "alert" in rule]
EXPRESSIONS: dict[str, list[str]] = {}
for _rule in ALERTS:
    EXPRESSIONS.setdefault(_rule["alert"], []).append(_rule["expr"])
RUNBOOK = (ROOT / "prometheus/runbook.md").read_text()
ENTRIES = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
COMMAND = re.compile(r"^\d\. .+: `(?:promtool|curl|psql|amtool|platform-exporter|cat|openssl) .+`$", re.MULTILINE)
SEVERITIES = {"critical", "high", "medium", "low"}
ALWAYS_FIRING = {"PlatformWatchdog"}
MUTES_ONLY = {"PlatformComponentRecovering", "PlatformOutageRecovering"}

ONE_IS_ENOUGH = "a single fault, for which the amount of traffic is irrelevant"
EXEMPT: dict[tuple[str, str], str] = {
    ("PlatformWatchdog", "stays quiet"): "it always fires",
    ("PlatformWatchdog", "recovers"): "it always fires",
    ("PlatformWatchdog", "missing data"): "it reads nothing",
    ("PlatformOpenAlerts", "low traffic"): "people opened them: a single one counts",
    ("PlatformNewErrorIssue", "low traffic"): "it is about the first of a kind",
    ("PlatformErrorRegression", "low traffic"): "once is too often",
} | {
    (alert, "low traffic"): ONE_IS_ENOUGH
    for alert in (
        "PlatformApiQuotaExhausted",
        "PlatformAlertmanagerReloadFailed",
        "PlatformAlertmanagerUnreachable",
        "PlatformCertificateExpiring",
        "PlatformComponentDegraded",
        "PlatformComponentDown",
        "PlatformComponentRecovering",
        "PlatformConfigReloadFailed",
        "PlatformExporterAbsent",
        "PlatformExporterDown",
        "PlatformExporterReplicaDown",
        "PlatformExporterReplicasDisagree",
        "PlatformMinioDrivesOffline",
        "PlatformNoAlertmanager",
        "PlatformNotificationsFailing",
        "PlatformOutageRecovering",
        "PlatformPostgresqlTransactionOld",
        "PlatformQueryFailing",
        "PlatformQueueNotConsumed",
        "PlatformQueueOld",
        "PlatformRowsRejected",
        "PlatformRuleEvaluationFailing",
        "PlatformRuleGroupSlow",
        "PlatformSaturationHigh",
        "PlatformSaturationPredicted",
        "PlatformScrapingJobSilent",
        "PlatformScrapingJobStuck",
        "PlatformScrapingJobsWaiting",
        "PlatformScrapingLastSuccessOld",
        "PlatformSeriesFolded",
        "PlatformSourceDown",
        "PlatformSourceLagging",
        "PlatformTargetDown",
        "PlatformThresholdsMissing",
        "PlatformWatchdog",
    )
}
"""The cases that make no sense for an alert, and why."""

SUMMARIES = {"app_indicator:platform_health:state", "indicator:platform_health:max", "global:platform_health:max"}
"""Series that show that something is wrong, but not what: a panel on these explains no alert."""

every_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
every_case = pytest.mark.parametrize(
    ("alert", "case"),
    [(alert, case) for alert in sorted(EXPRESSIONS) for case in SHOWS if (alert, case) not in EXEMPT],
)


@every_alert
def test_labels(rule: dict[str, Any]) -> None:
    """Every alert has a severity, by which it is routed; one with thresholds or an objective has it as indicator."""
    severity = rule["labels"]["severity"]

    if rule["alert"] in ALWAYS_FIRING | MUTES_ONLY:
        assert severity == "none"
    elif rule["alert"] == "PlatformOpenAlerts":
        assert severity == "{{ $labels.severity }}"
    else:
        assert severity in SEVERITIES
    compared = "burn_rate" in rule["expr"] or ("threshold" in rule["expr"] and "unless on ()" not in rule["expr"])
    assert ("indicator" in rule["labels"]) == compared


@every_alert
def test_annotations(rule: dict[str, Any]) -> None:
    """A reader learns what, how much, and where to continue."""
    annotations = rule["annotations"]

    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "$value" in annotations["description"]
    if "indicator" in rule["labels"]:
        assert "with query" in annotations["description"], "the description needs the threshold in force"


@every_alert
def test_held_against_flapping(rule: dict[str, Any]) -> None:
    """An alert has `for` and `keep_firing_for`, except those that applications opened and the one that always fires."""
    if rule["alert"] not in ALWAYS_FIRING | {"PlatformOpenAlerts"}:
        assert rule["for"]
        assert rule["keep_firing_for"]


@every_case
def test_has_case(alert: str, case: str) -> None:
    """A group of promtool tests has the name `ALERT: CASE` and really shows it."""
    named = [group for group in groups() if alert in group.alerts and case in group.cases]
    reads = read_by(EXPRESSIONS[alert])

    assert named, f"prometheus/tests has no group named `{alert}: {case}`"
    assert {group.name: lack for group in named if (lack := shortcomings(group, alert, case, reads))} == {}


@every_alert
def test_fires_with_each_severity(rule: dict[str, Any]) -> None:
    """A case that fires shows every severity of an alert."""
    checks = [check for group in groups() if "fires" in group.cases for check in group.checks.get(rule["alert"], [])]
    found = {labels["severity"] for check in checks for labels in check.firing}
    severity = rule["labels"]["severity"]

    assert found >= (SEVERITIES if severity.startswith("{{") else {severity})


def test_case_names_are_known() -> None:
    """A case that is misspelt, or of an alert that is gone, shows nothing."""
    assert {case for group in groups() for case in group.cases} <= SHOWS.keys()
    assert {alert for group in groups() for alert in group.alerts} <= EXPRESSIONS.keys()
    assert EXEMPT.keys() <= {(alert, case) for alert in EXPRESSIONS for case in SHOWS}


@every_alert
def test_runbook_entry(rule: dict[str, Any]) -> None:
    """The runbook has an entry with its name, to which its address leads, with all that on-call needs."""
    name = rule["alert"]
    entry = ENTRIES[name]
    parts = ["Meaning", "Impact", "First checks", "Fix", "Who to call"]

    assert rule["annotations"]["runbook_url"] == f"{{{{ $externalLabels.runbook_url }}}}#{name.lower()}"
    assert re.findall(r"^\*\*([\w ]+)\.\*\*", entry, re.MULTILINE) == parts
    assert len(COMMAND.findall(entry)) == 3


@every_alert
def test_dashboard(rule: dict[str, Any]) -> None:
    """The address leads to a provisioned dashboard that has its variables and a panel on the alert."""
    address = rule["annotations"]["dashboard_url"]
    match = re.fullmatch(r"\{\{ \$externalLabels\.grafana_url \}\}/d/([\w-]+)/[\w-]+(?:\?(var-.*))?", address)
    assert match
    uid, variables = match[1], set(re.findall(r"(?:^|&)var-(\w+)=", match[2] or ""))
    assert uid in dashboards()
    shown = shown_on(uid)

    assert variables <= {one["name"] for one in dashboards()[uid]["templating"]["list"]}
    if rule["alert"] not in ALWAYS_FIRING:
        assert shown & explaining(rule["expr"]), f"{uid} has no panel that reads {sorted(explaining(rule['expr']))}"


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by uid."""
    found = [json.loads(path.read_text()) for path in (ROOT / "grafana/dashboards").glob("*.json")]
    return {board["uid"]: board for board in found}


@cache
def shown_on(uid: str) -> set[str]:
    """Return the series that a dashboard shows, without summaries."""
    return read_by(named(queries(dashboards()[uid].get("panels", []))) - SUMMARIES)


def queries(panels: list[dict[str, Any]]) -> list[str]:
    """Return the PromQL of all panels, those of rows too."""
    found = [target["expr"] for panel in panels for target in panel.get("targets", []) if "expr" in target]
    return found + [text for panel in panels if panel.get("panels") for text in queries(panel["panels"])]


def explaining(expression: str) -> set[str]:
    """Return the series that explain why an alert fires: all that it reads except thresholds."""
    return read_by([expression], without="threshold")


def test_runbook_has_no_entry_without_alert() -> None:
    """There is no entry without its alert, except for manual alerts, which have no rule."""
    assert set(ENTRIES) == {rule["alert"] for rule in ALERTS} | {ALERTNAME}


def test_rules_name_only_existing_metrics() -> None:
    """A rule on a series that nothing exposes would never fire."""
    texts = [rule["expr"] for rule in rules()] + [text for rule in ALERTS for text in rule["annotations"].values()]

    assert unknown(texts) == set()
    assert unlisted(rule["expr"] for rule in rules()) == set()


def test_runbook_names_only_existing_metrics() -> None:
    """Commands of the runbook use only series that exist."""
    assert unknown([RUNBOOK]) == set()
