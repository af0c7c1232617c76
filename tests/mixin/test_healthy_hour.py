"""An hour in a Prometheus of many: nothing fires while all is well here, whatever is wrong with others."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mixin.installations import JOB, written
from tests.prometheus.names import RULE_FILES
from tests.prometheus.promtool import failures
from tests.prometheus.test_intervals import constant, counter, thresholds

HOUR_SECONDS, OUTAGE_SECONDS, SOON_SECONDS = 3600, 3600 + 180, 600
OURS, OTHER = f'job="{JOB}", instance="exporter:9847"', 'job="their-app", instance="app:8080"'

FIRING = 'ALERTS{alertstate="firing", severity!="none"}'
HEALTHY = {
    **thresholds(
        http_error_ratio={"medium": 0.02, "critical": 0.05},
        http_latency_seconds={"medium": 0.5, "critical": 1},
        api_success_ratio={"medium": 0.95, "critical": 0.9},
        scraping_failure_ratio={"medium": 0.1, "high": 0.25, "critical": 0.5},
        saturation_ratio={"medium": 0.8, "high": 0.95},
        error_burst_factor={"medium": 5, "high": 20},
        source_lag_seconds={"medium": 30, "high": 120},
    ),
    'platform_objective{slo="http_availability"}': constant(0.99),
    'platform_http_requests_total{app="a", code="200"}': counter(2, 2),
    'platform_http_requests_total{app="a", code="500"}': counter(0.002, 0.002, start=500),
    'platform_http_request_duration_seconds_count{app="a"}': counter(2, 2),
    'platform_http_request_duration_seconds_sum{app="a"}': counter(0.2, 0.2),
    'platform_api_calls_total{app="a", api="x"}': counter(1, 1),
    'platform_api_call_failures_total{app="a", api="x", reason="timeout"}': counter(0.001, 0.001, start=300),
    'platform_scraping_runs_total{app="a", scraper="s"}': counter(1, 1),
    'platform_errors_total{app="a", severity="low", error_type="E"}': counter(0.001, 0.001, start=50),
    'platform_user_activity_total{app="a", activity="login"}': counter(2, 2),
    'platform_sdk_events_total{app="a"}': counter(5, 5),
    'platform_component_up{component="redis", name="main"}': constant(1),
    'platform_component_status{component="redis", name="main", platform_component_status="healthy"}': constant(1),
    'platform_open_alerts{app="a", severity="high", alert_source="x"}': constant(0),
    'platform_exporter_events_total{source="native"}': counter(5, 5),
    'platform_exporter_source_up{source="native"}': constant(1),
    'platform_exporter_source_lag_seconds{source="native"}': constant(0.5),
    "platform_exporter_time_seconds": lambda second: second,
    "process_start_time_seconds": constant(1),
}
"""What an exporter exposes of an app in good health."""

OTHERS = {
    "up": constant(0),
    "process_start_time_seconds": lambda second: second,
    "prometheus_config_last_reload_successful": constant(0),
    'prometheus_rule_evaluation_failures_total{rule_group="theirs"}': counter(1, 1),
    'prometheus_notifications_errors_total{alertmanager="x"}': counter(1, 1),
    "prometheus_notifications_alertmanagers_discovered": constant(1),
    'alertmanager_notifications_failed_total{integration="mail"}': counter(1, 1),
    'node_filesystem_avail_bytes{mountpoint="/"}': constant(1),
    'node_filesystem_size_bytes{mountpoint="/"}': constant(100),
}
"""What is wrong with others who share the Prometheus: they have alerts of their own."""


def scraped(name: str, target: str) -> str:
    """Return a series with the labels of a target."""
    metric, _, labels = name.rstrip("}").partition("{")
    return f"{metric}{{{', '.join(filter(None, [labels, target]))}}}"


def inputs(interval_seconds: int) -> list[dict[str, str]]:
    """Return the hour, and an outage of the exporter after it."""
    times = range(0, OUTAGE_SECONDS + 1, interval_seconds)
    found = [
        {
            "series": scraped(name, OURS),
            "values": " ".join(f"{value(time):.12g}" if time <= HOUR_SECONDS else "stale" for time in times),
        }
        for name, value in HEALTHY.items()
    ]
    found.append({"series": f"up{{{OURS}}}", "values": " ".join(str(int(time <= HOUR_SECONDS)) for time in times)})
    return found + [
        {"series": scraped(name, OTHER), "values": " ".join(f"{value(time):.12g}" for time in times)}
        for name, value in OTHERS.items()
    ]


def expected(second: int, expression: str, *alerts: str) -> dict[str, Any]:
    """Return a check that an expression about alerts finds these."""
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    return {"eval_time": f"{second}s", "expr": f"group by (alertname) ({expression})", "exp_samples": samples}


def verdict(folder: Path, rules: list[Path], interval_seconds: int, *checks: dict[str, Any]) -> str:
    """Return what promtool says of the hour with these rules; nothing if it is as expected."""
    test = {
        "interval": f"{interval_seconds}s",
        "input_series": inputs(interval_seconds),
        "promql_expr_test": list(checks),
    }
    content = {"rule_files": [str(rule) for rule in rules], "evaluation_interval": "15s", "tests": [test]}
    path = folder / "test.yml"
    path.write_text(yaml.safe_dump(content))
    return failures("newest", path)


@pytest.mark.parametrize("interval_seconds", [15, 30, 60])
def test_no_false_alert_in_an_hour(interval_seconds: int, tmp_path: Path) -> None:
    """However often the exporter is scraped nothing fires; then it dies, and that is told within three scrapes."""
    rules = written(tmp_path / "platform", interval_seconds)
    found = verdict(
        tmp_path,
        rules,
        interval_seconds,
        expected(HOUR_SECONDS, f"max_over_time({FIRING}[1h])"),
        expected(HOUR_SECONDS + 2 * interval_seconds + 30, FIRING, "PlatformExporterDown"),
    )

    assert found == ""


def test_the_bundle_s_own_rules_would_raise_some(tmp_path: Path) -> None:
    """The hour can fail: rules of another job name, for a Prometheus that is theirs alone, complain within minutes."""
    alerts = ("PlatformExporterAbsent", "PlatformTargetDown", "PlatformRuleEvaluationFailing", "PlatformSaturationHigh")
    names = "|".join(alerts)
    found = verdict(
        tmp_path, RULE_FILES, 15, expected(SOON_SECONDS, FIRING.replace("}", f', alertname=~"{names}"}}'), *alerts)
    )

    assert found == ""
