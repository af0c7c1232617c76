"""Queries on states of health and firing alerts."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from exporter.indicators import INDICATORS
from grafana.queries.shared import UNKNOWN
from platform_sdk.events.error import SEVERITIES

PROMETHEUS = Path(__file__).parents[2] / "prometheus"

OVERALL = f"global:platform_health:max {UNKNOWN}"
COMPONENTS = "component:platform_health:state"
PAUSES = 'app:platform_events_idle:ratio{app=~"$app"}'
KIND_PAUSES = 'app_kind:platform_events_idle:ratio{app=~"$app"}'

# Others mute, or say that something is over.
_FIRING = 'ALERTS{alertstate="firing", alertname!="PlatformAlertEnded", severity%s}'
_CHOSEN = ', app=~"$app|"'
# What an alert may be about: what indicators are about, and what alerts without one are.
SUBJECT = tuple(dict.fromkeys(label for one in INDICATORS.values() for label in one.scope.labels))
SUBJECT += ("slo", "query", "storm", "alert_source", "job", "instance")


def indicator(name: str) -> str:
    """Return the worst state of one indicator about apps, over those chosen."""
    return f'max(app_indicator:platform_health:state{{indicator="{name}", app=~"$app"}}) {UNKNOWN}'


def firing(severity: str, *, of_chosen: bool) -> str:
    """Return how many alerts of a severity fire, of all or of the chosen apps and of no app."""
    return "count({}) or vector(0)".format(_FIRING % f'="{severity}"{_CHOSEN * of_chosen}')


def firing_alerts() -> str:
    """Return a series per firing alert of the chosen apps, or of no app, whose value is since when, in milliseconds.

    Its labels are `alertname`, the same as `meaning` and without our prefix as `entry`, `rank` (4 critical to 1 low),
    `subject`, `board` (the dashboard of its subject) and `chosen` (the app, or all).
    """
    severities = "|".join(SEVERITIES)
    fires = _FIRING % f'=~"{severities}"{_CHOSEN}'
    found = with_rank(with_subject(f"1000 * (ALERTS_FOR_STATE and ignoring (alertstate) {fires})"))
    replaced = [("board", board, "alertname", "|".join(names)) for board, names in boards().items()]
    replaced += [
        ("chosen", "$1", "app", "(.*)"),
        ("chosen", "$$__all", "app", ""),
        ("meaning", "$1", "alertname", "(.*)"),
        ("entry", "$1", "alertname", "(?:Platform)?(.*)"),
    ]
    for label, value, source, pattern in replaced:
        found = f'label_replace({found}, "{label}", "{value}", "{source}", "{pattern}")'
    return f"max by (alertname, entry, meaning, rank, subject, board, chosen) ({found})"


def with_subject(series: str) -> str:
    """Return series of alerts with the label `subject`: all that says what an alert is about."""
    return f'label_join({series}, "subject", " ", {", ".join(f"{chr(34)}{label}{chr(34)}" for label in SUBJECT)})'


def with_rank(series: str) -> str:
    """Return series of alerts with the label `rank`, 4 critical to 1 low: severities by name are not in their order."""
    for rank, severity in enumerate(SEVERITIES, 1):
        series = f'label_replace({series}, "rank", "{rank}", "severity", "{severity}")'
    return series


@cache
def boards() -> dict[str, list[str]]:
    """Return by dashboard the alerts whose notifications open it, or open one of its issues."""
    found: dict[str, list[str]] = {}
    for rule in _alerts():
        [board, *_] = re.findall(r"/d/platform-([\w-]+)/", rule["annotations"]["dashboard_url"])
        names = found.setdefault("errors" if board == "error" else board, [])
        if rule["alert"] not in names:
            names.append(rule["alert"])
    return found


@cache
def meanings() -> dict[str, str]:
    """Return what each alert means: of its entry in the runbook the first sentence, up to a colon, as plain text."""
    entries = re.split("^## ", (PROMETHEUS / "runbook.md").read_text(), flags=re.MULTILINE)[1:]
    found = (re.match(r"(\w+)\n\n\*\*Meaning\.\*\* (.+?\.)(?= [A-Z]|\n)", entry) for entry in entries)
    short = {match[1]: re.split(r": |\.$", re.sub(r" \([^)]*\)|`", "", match[2]))[0] for match in found if match}
    return {name: f"{text}." for name, text in short.items()}


def _alerts() -> list[dict[str, Any]]:
    files = (yaml.safe_load(path.read_text()) for path in sorted((PROMETHEUS / "rules").glob("*.yml")))
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if "alert" in rule]
