"""Queries on states of health and firing alerts."""

from pathlib import Path

from grafana.queries.shared import UNKNOWN

RULES = Path(__file__).parents[2] / "prometheus/rules"

OVERALL = f"global:platform_health:max {UNKNOWN}"
COMPONENTS = "component:platform_health:state"
WORST_COMPONENT = f"max(component:platform_health:state) {UNKNOWN}"
# The series behind indicators that are about no app.
INPUTS = {
    "saturation_ratio": "component_resource:platform_saturation:ratio",
    "saturation_seconds": "component_resource:platform_saturation:ratio",
    "transaction_age_seconds": "name:platform_postgresql_oldest_transaction_seconds:max",
    "queue_age_seconds": "queue:platform_queue_age:seconds",
    "certificate_expiry_seconds": "component:platform_certificate_remaining:seconds",
    "source_lag_seconds": "source:platform_exporter_source_lag_seconds:max",
}
FIRING = 'ALERTS{alertstate="firing", alertname!="PlatformWatchdog"}'


def indicator(name: str) -> str:
    """Return the worst state of one indicator, over the chosen apps where it is about apps."""
    if name in INPUTS:
        return _alerted(name)
    return f'max(app_indicator:platform_health:state{{indicator="{name}", app=~"$app"}}) {UNKNOWN}'


def _alerted(name: str) -> str:
    """Return the state of an indicator about no app from its alerts: no rule records it."""
    alerts = f'ALERTS{{indicator="{name}", alertstate=~"pending|firing", severity'
    bad, mild = f'2 * max({alerts}="critical"}})', f'max({alerts}=~"medium|high"}})'
    return f"{bad} or {mild} or 0 * max({INPUTS[name]}) {UNKNOWN}"


def firing(severity: str) -> str:
    """Return how many alerts of a severity fire."""
    return f'count(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)'
