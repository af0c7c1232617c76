"""The arithmetic of rules holds however often the exporter is scraped: the same alerts at the same times."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prometheus.names import ROOT, RULE_FILES, rules
from tests.prometheus.promtool import failures

SCRAPE_SECONDS = (5, 15, 30)
MINUTE = 60
HEALTHY, FAILING, OVER = 10 * MINUTE, 15 * MINUTE, 36 * MINUTE
LOST = 7 * MINUTE
"""When everything is healthy, when much fails and until when, the end; and a scrape that is lost."""

Value = Callable[[float], float]

releases = pytest.mark.parametrize("release", ["stable", "newest"])
scrapes = pytest.mark.parametrize("scrape_seconds", SCRAPE_SECONDS)


def counter(healthy: float, failing: float, *, start: float = 0) -> Value:
    """Return a counter with these rates a second before and after, and during the incident."""

    def value(second: float) -> float:
        during = min(max(second - HEALTHY, 0), FAILING - HEALTHY)
        return start + healthy * (second - during) + failing * during

    return value


def constant(number: float) -> Value:
    """Return a gauge."""
    return lambda _: number


def thresholds(**given: dict[str, float]) -> dict[str, Value]:
    """Return the series of thresholds."""
    return {'platform_threshold{indicator="minimum_events"}': constant(20)} | {
        f'platform_threshold{{indicator="{name}", severity="{severity}"}}': constant(number)
        for name, bands in given.items()
        for severity, number in bands.items()
    }


TRAFFIC: dict[str, Value] = {
    **thresholds(
        http_error_ratio={"medium": 0.02, "critical": 0.05},
        http_latency_seconds={"medium": 0.5, "critical": 1},
        api_success_ratio={"medium": 0.95, "critical": 0.9},
        scraping_failure_ratio={"medium": 0.1, "high": 0.25, "critical": 0.5},
        error_burst_factor={"medium": 5, "high": 20},
        login_failures={"medium": 20, "high": 100},
        sdk_dropped_ratio={"medium": 0, "high": 0.01},
    ),
    'platform_objective{slo="http_availability"}': constant(0.99),
    'platform_http_requests_total{app="a", code="200"}': counter(2, 1.6),
    'platform_http_requests_total{app="a", code="500"}': counter(0.002, 0.4, start=500),
    'platform_http_request_duration_seconds_count{app="a"}': counter(2, 2),
    'platform_http_request_duration_seconds_sum{app="a"}': counter(0.2, 6),
    'platform_api_calls_total{app="a", api="x"}': counter(1, 1),
    'platform_api_call_failures_total{app="a", api="x", reason="timeout"}': counter(0.001, 0.4, start=300),
    'platform_scraping_runs_total{app="a", scraper="s"}': counter(1, 1),
    'platform_scraping_run_failures_total{app="a", scraper="s", reason="timeout"}': counter(0.01, 0.8, start=200),
    'platform_errors_total{app="a", severity="low", error_type="E"}': counter(0.001, 2, start=50),
    'platform_user_activity_total{app="a", activity="login"}': counter(2, 2),
    'platform_user_activity_failures_total{app="a", activity="login"}': counter(0.01, 2, start=90),
    'platform_sdk_events_total{app="a"}': counter(5, 5),
    'platform_sdk_events_dropped_total{app="a", reason="x"}': counter(0, 1),
    'platform_exporter_events_total{source="native", instance="e"}': counter(5, 5),
    'platform_exporter_rows_rejected_total{source="native", reason="x"}': counter(0, 1, start=40),
}
ALERTS = {
    "PlatformHttpErrorsHigh",
    "PlatformHttpLatencyHigh",
    "PlatformApiSuccessLow",
    "PlatformScrapingFailuresHigh",
    "PlatformErrorBurst",
    "PlatformLoginFailureBurst",
    "PlatformSdkDroppingEvents",
    "PlatformRowsRejected",
}
FILES = ("thresholds", "http", "api", "scraping", "errors", "users", "sdk", "counting")


def series(given: dict[str, Value], scrape_seconds: int, end: float, lost: Iterable[int] = ()) -> list[dict[str, str]]:
    """Return input series with a sample a scrape; those at the seconds `lost` have none."""
    gone, times = set(lost), range(0, int(end) + 1, scrape_seconds)
    return [
        {"series": name, "values": " ".join("stale" if time in gone else f"{value(time):g}" for time in times)}
        for name, value in given.items()
    ]


def expected(second: float, found: Iterable[str]) -> dict[str, Any]:
    """Return the check that these alerts fire at this time, and no others."""
    return {
        "eval_time": f"{int(second)}s",
        "expr": 'group by (alertname) (ALERTS{alertstate="firing", severity!="none"})',
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(found)],
    }


def verdict(release: str, folder: Path, files: Iterable[str], evaluation_seconds: int, test: dict[str, Any]) -> str:
    """Return what promtool says of a test of some files of rules; nothing if it passes."""
    path = folder / "test.yml"
    path.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(ROOT / f"prometheus/rules/{name}.yml") for name in files],
                "evaluation_interval": f"{evaluation_seconds}s",
                "tests": [test],
            }
        )
    )
    return failures(release, path)


@releases
@scrapes
def test_alerts_about_traffic(release: str, scrape_seconds: int, tmp_path: Path) -> None:
    """A lost scrape raises nothing, the incident all, and after it nothing is left."""
    test = {
        "interval": f"{scrape_seconds}s",
        "input_series": series(TRAFFIC, scrape_seconds, OVER, [LOST]),
        "promql_expr_test": [
            expected(HEALTHY, []),
            expected(FAILING, ALERTS),
            expected(OVER, []),
        ],
    }

    assert verdict(release, tmp_path, FILES, 15, test) == ""


@releases
@scrapes
def test_a_lost_probe_is_no_outage(release: str, scrape_seconds: int, tmp_path: Path) -> None:
    """A component is down after two probes, not after one, and up after one."""

    def up(second: float) -> float:
        one = LOST <= second < LOST + scrape_seconds
        return float(not one and not HEALTHY <= second < FAILING)

    given = {'platform_component_up{component="redis", name="main", instance="e"}': up}
    lost = range(LOST, LOST + 3 * scrape_seconds + 10, 5)
    test = {
        "interval": f"{scrape_seconds}s",
        "input_series": series(given, scrape_seconds, FAILING + 5 * MINUTE),
        "promql_expr_test": [
            *(expected(second, []) for second in lost),
            expected(HEALTHY, []),
            expected(HEALTHY + 2 * scrape_seconds + 15, ["PlatformComponentDown"]),
            expected(FAILING, ["PlatformComponentDown"]),
            expected(FAILING + scrape_seconds + 30, []),
        ],
    }

    assert verdict(release, tmp_path, ["components"], 5, test) == ""


@releases
@scrapes
def test_connections_that_run_out(release: str, scrape_seconds: int, tmp_path: Path) -> None:
    """It is known before they are used up, and known without a break."""
    given = {
        **thresholds(saturation_ratio={"medium": 0.8, "high": 0.95}),
        # From 20 %, by 13.5 % a minute: 95 % after 5 minutes and 33 s.
        'platform_postgresql_connections{name="main"}': lambda second: min(40 + 0.45 * max(second - HEALTHY, 0), 200),
        'platform_postgresql_connections_limit{name="main"}': constant(200),
    }
    high = 'ALERTS{alertname="PlatformSaturationHigh", severity="high", alertstate="firing"}'
    labels = 'component="postgresql", indicator="saturation_ratio", name="main", resource="connections"'
    fires = high.replace("}", f", {labels}}}")
    test = {
        "interval": f"{scrape_seconds}s",
        "input_series": series(given, scrape_seconds, FAILING + MINUTE),
        "promql_expr_test": [
            {"eval_time": f"{second}s", "expr": high, "exp_samples": [{"labels": fires, "value": 1}]}
            for second in range(HEALTHY + 300, HEALTHY + 330, 15)
        ],
    }

    assert verdict(release, tmp_path, ["saturation"], 15, test) == ""


def test_every_group_has_its_interval() -> None:
    """What a rule's windows contain does not depend on the evaluation_interval of an owner's prometheus.yml."""
    groups = [(path.stem, group) for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]

    assert [(file, group["name"]) for file, group in groups if "interval" not in group] == []


def test_no_subquery_takes_the_default_step() -> None:
    """Without a step a subquery has that of the configuration, while what it is compared with has its group's."""
    assert [rule["expr"] for rule in rules() if ":]" in rule["expr"]] == []
