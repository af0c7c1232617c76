"""Every alert has labels, annotations, tested cases, a runbook entry, and a panel that shows why it fires.

To add an alert: its declaration in exporter/indicators, its cases in prometheus/tests (named as
tests/prometheus/cases.py says), and its entry in prometheus/runbook.md. Its dashboard needs a panel on what it reads.
"""

import json
import re
from functools import cache
from typing import Any

import pytest

from exporter.alerts.manual import ALERTNAME
from exporter.indicators import INDICATORS
from tests.prometheus.cases import SHOWS, groups, shortcomings
from tests.prometheus.names import ROOT, named, read_by, recorded, rules, unknown, unlisted

ALERTS = [rule for rule in rules() if "alert" in rule]
EXPRESSIONS: dict[str, list[str]] = {}
for _rule in ALERTS:
    EXPRESSIONS.setdefault(_rule["alert"], []).append(_rule["expr"])
RUNBOOK = (ROOT / "prometheus/runbook.md").read_text()
ENTRIES = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
COMMAND = re.compile(r"^\d\. .+: `(?:promtool|curl|psql|amtool|platform-exporter|cat|openssl) .+`$", re.MULTILINE)
SEVERITIES = {"critical", "high", "medium", "low"}
ALWAYS_FIRING = {"PlatformWatchdog"}
MUTES_ONLY = {"PlatformAlertStormMember", "PlatformDependencyDown", "PlatformOutageRecovering"}

ONE_IS_ENOUGH = "a single fault, for which the amount of traffic is irrelevant"
EXEMPT: dict[tuple[str, str], str] = (
    {
        ("PlatformWatchdog", "stays quiet"): "it always fires",
        ("PlatformWatchdog", "recovers"): "it always fires",
        ("PlatformWatchdog", "missing data"): "it reads only what its own Prometheus stores",
        ("PlatformPrometheusNotStoring", "missing data"): "missing data are what it is about",
        ("PlatformOpenAlerts", "low traffic"): "people opened them: a single one counts",
        ("PlatformNewErrorIssue", "low traffic"): "it is about the first of a kind",
        ("PlatformErrorRegression", "low traffic"): "once is too often",
    }
    | {
        (alert, "low traffic"): ONE_IS_ENOUGH
        for alert in (
            "PlatformAlertmanagerClusterSplit",
            "PlatformAlertmanagerConfigsDiffer",
            "PlatformAlertmanagerReloadFailed",
            "PlatformAlertmanagerStorageFailing",
            "PlatformAlertmanagerUnreachable",
            "PlatformAlertEnded",
            "PlatformAlertStorm",
            "PlatformAlertStormMember",
            "PlatformApiQuotaExhausted",
            "PlatformClocksDiffer",
            "PlatformComponentDegraded",
            "PlatformComponentDown",
            "PlatformComponentUnreachable",
            "PlatformConfigReloadFailed",
            "PlatformCrashLoop",
            "PlatformDependencyDown",
            "PlatformExporterAbsent",
            "PlatformExporterDown",
            "PlatformExporterReplicaDown",
            "PlatformExporterScrapeSlow",
            "PlatformExporterReplicasDisagree",
            "PlatformJobMissed",
            "PlatformScraperOverdue",
            "PlatformScrapingRunTooLong",
            "PlatformScrapingRunTooShort",
            "PlatformScrapingTooFewItems",
            "PlatformMinioDrivesOffline",
            "PlatformNoAlertmanager",
            "PlatformPostgresqlStandbyGone",
            "PlatformNotificationsFailing",
            "PlatformOutageRecovering",
            "PlatformPrometheusNotificationQueueFull",
            "PlatformPrometheusNotStoring",
            "PlatformPrometheusReloadFailed",
            "PlatformPrometheusRemoteWriteBehind",
            "PlatformPrometheusRemoteWriteFailing",
            "PlatformPrometheusSamplesRejected",
            "PlatformPrometheusStorageCorrupt",
            "PlatformPrometheusStorageFailing",
            "PlatformPrometheusTargetsRefused",
            "PlatformQueryFailing",
            "PlatformQueueGrowing",
            "PlatformQueueNotConsumed",
            "PlatformRowsMissed",
            "PlatformRowsRejected",
            "PlatformRuleEvaluationFailing",
            "PlatformRuleEvaluationsMissed",
            "PlatformRuleGroupSlow",
            "PlatformSdkCrashLoop",
            "PlatformSeriesFolded",
            "PlatformSourceDown",
            "PlatformTargetDown",
            "PlatformThresholdsMissing",
            "PlatformWatchdog",
            "PlatformWatchdogMessageFailed",
        )
    }
    | {(indicator.alert, "low traffic"): indicator.few for indicator in INDICATORS.values() if indicator.few}
)
"""The cases that make no sense for an alert, and why."""

SUMMARIES = {"app_indicator:platform_health:state", "global:platform_health:max"}
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
    compared = "burning" in rule["expr"] or ("threshold" in rule["expr"] and "unless on ()" not in rule["expr"])
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


def test_critical_alerts_are_not_pending_for_long() -> None:
    """A storm counts them while they are pending (storms.yml): those that fire only much later would begin it early."""
    soon = {"0s", "5s", "10s", "15s", "20s", "30s", "1m"}
    critical = [rule for rule in ALERTS if rule["labels"]["severity"] == "critical"]

    assert {rule["alert"]: rule["for"] for rule in critical if rule["for"] not in soon} == {}


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

    # The dashboard shows the entry of that variable; a Git hosting scrolls to the heading.
    link = f"{{{{ $externalLabels.runbook_url }}}}?var-alert={name}#{name.lower()}"
    assert rule["annotations"]["runbook_url"] == link
    assert re.findall(r"^\*\*([\w ]+)\.\*\*", entry, re.MULTILINE) == parts
    assert len(COMMAND.findall(entry)) == 3


@every_alert
def test_dashboard(rule: dict[str, Any]) -> None:
    """The address leads to a provisioned dashboard that has its variables and a panel on the alert.

    One that opens a single issue may lead elsewhere first: the address without it is checked for the panel.
    """
    pages = re.split(r"\{\{ with .*?\}\}(?=/d/)|\{\{ else \}\}|\{\{ end \}\}$", rule["annotations"]["dashboard_url"])
    assert pages[0].startswith("{{ $externalLabels.grafana_url }}")
    for page in filter(None, (one.removeprefix("{{ $externalLabels.grafana_url }}") for one in pages)):
        match = re.fullmatch(r"/d/([\w-]+)/[\w-]+(?:\?(var-.*))?", page)
        assert match, page
        uid, variables = match[1], set(re.findall(r"(?:^|&)var-(\w+)=", match[2] or ""))
        assert variables <= {one["name"] for one in dashboards()[uid]["templating"]["list"]}
    if rule["alert"] not in ALWAYS_FIRING:
        read = explaining(rule["expr"])
        assert shown_on(uid) & read, f"{uid} has no panel that reads {sorted(read)}"


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


def test_every_recorded_series_is_read() -> None:
    """A series that no other rule, dashboard, notification or document reads shows nothing, and costs."""
    texts = [rule["expr"] for rule in ALERTS] + [text for rule in ALERTS for text in rule["annotations"].values()]
    texts += [text for board in dashboards().values() for text in queries(board.get("panels", []))]
    texts += [json.dumps(board["templating"]) for board in dashboards().values()]
    paths = [path for folder in ("alertmanager", "docs") for path in (ROOT / folder).rglob("*.*")]
    files = [path for path in paths if path.suffix in (".md", ".yml", ".tmpl", ".py")]
    others = {name for rule in rules() if "record" in rule for name in named([rule["expr"]]) - {rule["record"]}}

    assert recorded() - others - named([*texts, RUNBOOK, *(path.read_text() for path in files)]) == set()


def test_every_tile_has_its_state() -> None:
    """The state of each indicator that a tile asks for is recorded; else the tile is grey for ever."""
    states = [rule for rule in rules() if rule.get("record", "").endswith(":platform_health:state")]
    of_levels: dict[str, set[str]] = {}
    for rule in states:
        of_levels.setdefault(rule["record"], set()).update(filter(None, [rule.get("labels", {}).get("indicator")]))
    # What belongs to an app counts for the app: the worst of its APIs, its scrapers, its kinds of events.
    for rule in states:
        for level in named([rule["expr"]]) & of_levels.keys():
            of_levels[rule["record"]] |= of_levels[level]
    texts = [text for board in dashboards().values() for text in queries(board.get("panels", []))]
    asked = {pair for text in texts for pair in re.findall(r'(\w+:platform_health:state)\{indicator="(\w+)"', text)}

    assert asked
    assert {(level, name) for level, name in asked if name not in of_levels.get(level, set())} == set()
