"""Ask for states of health and for what fires."""

from pathlib import Path

import yaml

from grafana.queries.shared import UNKNOWN

RULES = Path(__file__).parents[2] / "prometheus/rules"

OVERALL = f"global:platform_health:max {UNKNOWN}"
COMPONENTS = "component:platform_health:state"
WORST_COMPONENT = f"max(component:platform_health:state) {UNKNOWN}"
FIRING = 'ALERTS{alertstate="firing", alertname!="PlatformWatchdog"}'


def judged() -> list[str]:
    """Return the indicators whose health some rule records, in order of name."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    states = [rule for rule in rules if rule.get("record", "").endswith(":platform_health:state")]
    return sorted({rule["labels"]["indicator"] for rule in states if "indicator" in rule.get("labels", {})})


def indicator(name: str) -> str:
    """Return the worst state of one indicator over the chosen apps."""
    return f'max(app_indicator:platform_health:state{{indicator="{name}", app=~"$app"}}) {UNKNOWN}'


def firing(severity: str) -> str:
    """Return how many alerts of a severity fire."""
    return f'count(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)'
