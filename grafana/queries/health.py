"""Ask for states of health and for what fires."""

from grafana.queries.shared import UNKNOWN

OVERALL = f"global:platform_health:max {UNKNOWN}"
COMPONENTS = "component:platform_health:state"
WORST_COMPONENT = f"max(component:platform_health:state) {UNKNOWN}"
FIRING = 'ALERTS{alertstate="firing", alertname!="PlatformWatchdog"}'


def indicator(name: str) -> str:
    """Return the worst state of one indicator over the chosen apps."""
    return f'max(app_indicator:platform_health:state{{indicator="{name}", app=~"$app"}}) {UNKNOWN}'


def firing(severity: str) -> str:
    """Return how many alerts of a severity fire."""
    return f'count(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)'
