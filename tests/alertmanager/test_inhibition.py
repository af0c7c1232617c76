"""Who mutes whom, asked of real Alertmanagers of both generations with the shipped rules; only timers are shorter."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alertmanager.shipped import SHIPPED, Labels, post, turned_to
from tests.prometheus.names import ROOT, rules
from tests.servers import PrometheusBinaries, ServerFactory
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager

TIMERS = {"group_wait": "1s", "group_interval": "1s"}


def alert(name: str, severity: str, /, **labels: str) -> Labels:
    """Return the labels of an alert of ours."""
    return {"alertname": f"Platform{name}", "severity": severity, **labels}


def api(severity: str, name: str | None = "arxiv", app: str = "shop") -> Labels:
    """Return an alert on the success of an API."""
    return alert("ApiSuccessLow", severity, app=app, indicator="api_success_ratio", **({"api": name} if name else {}))


def burn(severity: str, slo: str, app: str = "shop") -> Labels:
    """Return an alert on an error budget."""
    return alert("ErrorBudgetBurn", severity, app=app, slo=slo, indicator=slo)


HTTP = {"app": "shop", "indicator": "http_error_ratio"}
POSTGRESQL = {"component": "postgresql", "name": "main"}
REDIS = {"component": "redis", "name": "main"}
ENDPOINT = {"component": "http", "name": "shop"}
SOURCE = {"source": "native"}
TARGET = {"job": "redis_exporter", "instance": "a:9121"}

# cause, what it mutes, what it does not
CASES: dict[str, tuple[Labels, list[Labels], list[Labels]]] = {
    "critical on one API": (
        api("critical"),
        [api("high"), api("medium"), api("low")],
        [
            api("medium", "crossref"),
            api("medium", app="blog"),
            api("medium", None),
            alert("ApiQuotaLow", "medium", app="shop", api="arxiv", indicator="api_quota_seconds"),
        ],
    ),
    "critical of a whole app": (
        alert("HttpErrorsHigh", "critical", **HTTP),
        [alert("HttpErrorsHigh", "medium", **HTTP)],
        [alert("HttpLatencyHigh", "medium", app="shop", indicator="http_latency_seconds"), api("medium")],
    ),
    "high": (
        alert("ScrapingFailuresHigh", "high", app="shop", scraper="news", indicator="scraping_failure_ratio"),
        [alert("ScrapingFailuresHigh", "medium", app="shop", scraper="news", indicator="scraping_failure_ratio")],
        [alert("ScrapingFailuresHigh", "medium", app="shop", scraper="jobs", indicator="scraping_failure_ratio")],
    ),
    "critical without an indicator": (
        # Two absent labels count as equal: this must mute nothing else that lacks app and indicator.
        alert("ExporterAbsentee", "critical"),
        [],
        [alert("ThresholdsMissing", "high"), alert("OpenAlerts", "medium", app="shop", alert_source="x")],
    ),
    "PostgreSQL down": (
        alert("ComponentDown", "critical", **POSTGRESQL),
        [
            alert("ComponentDegraded", "high", **POSTGRESQL),
            alert("SourceDown", "high", **SOURCE),
            alert("SourceLagging", "critical", **SOURCE, indicator="source_lag_seconds"),
            alert("HttpErrorsHigh", "critical", **HTTP),
            alert("ScrapingFailuresHigh", "critical", app="shop", scraper="a", indicator="scraping_failure_ratio"),
        ],
        [
            alert("ComponentDegraded", "high", component="redis", name="other"),
            alert("ComponentDown", "critical", **REDIS),
            api("critical"),
        ],
    ),
    "Redis just back": (
        alert("ComponentRecovering", "none", **REDIS),
        [alert("HttpErrorsHigh", "critical", **HTTP), alert("QueueStuck", "high", queue="celery")],
        [alert("ComponentDegraded", "high", **REDIS), alert("SourceDown", "high", **SOURCE)],
    ),
    "Redis down": (
        alert("ComponentDown", "critical", **REDIS),
        [alert("QueueStuck", "high", queue="celery"), alert("ComponentDegraded", "high", **REDIS)],
        [alert("SourceDown", "high", **SOURCE), alert("ComponentDegraded", "high", component="redis", name="other")],
    ),
    "MinIO down": (
        alert("ComponentDown", "critical", component="minio", name="main"),
        [
            alert("ScrapingFailuresHigh", "critical", app="shop", scraper="a", indicator="scraping_failure_ratio"),
            alert("ComponentDown", "critical", **ENDPOINT),
            alert("ComponentDegraded", "high", **ENDPOINT),
        ],
        [alert("SourceDown", "high", **SOURCE), alert("QueueStuck", "high", queue="celery")],
    ),
    "an endpoint down": (
        alert("ComponentDown", "critical", **ENDPOINT),
        [alert("ComponentDegraded", "high", **ENDPOINT)],
        [alert("ComponentDegraded", "high", **REDIS), alert("HttpErrorsHigh", "critical", **HTTP)],
    ),
    "an app that failed": (
        alert("OutageRecovering", "none", app="shop", slo="http_availability"),
        [burn("critical", "http_availability")],
        [
            burn("critical", "http_latency"),
            burn("medium", "scraping_success"),
            burn("critical", "http_availability", app="blog"),
            alert("HttpErrorsHigh", "critical", **HTTP),
        ],
    ),
    "source down": (
        alert("SourceDown", "high", **SOURCE),
        [alert("SourceLagging", "critical", **SOURCE, indicator="source_lag_seconds")],
        [alert("SourceLagging", "critical", source="stratlogic", indicator="source_lag_seconds")],
    ),
    "target down": (
        alert("TargetDown", "high", **TARGET),
        [alert("RedisMemoryHigh", "critical", **TARGET)],
        [
            alert("RedisMemoryHigh", "critical", job="redis_exporter", instance="b:9121"),
            alert("TargetDown", "high", job="minio", instance="a:9000"),
            alert("ConfigReloadFailed", "high"),
        ],
    ),
    "exporter down": (
        alert("ExporterDown", "critical", job="platform-exporter"),
        [
            alert("ComponentDown", "critical", **REDIS),
            alert("HttpErrorsHigh", "critical", **HTTP),
            alert("ExporterAbsent", "critical"),
        ],
        [
            alert("TargetDown", "high", **TARGET),
            alert("NotificationsFailing", "high", job="alertmanager", instance="a:9093", integration="email"),
            {"alertname": "MadeByHand", "severity": "critical"},
        ],
    ),
    "another installation": (
        alert("ExporterDown", "critical", job="platform-exporter", cluster="paris"),
        [alert("ComponentDown", "critical", **REDIS, cluster="paris")],
        [alert("ComponentDown", "critical", **REDIS, cluster="rome"), alert("ComponentDown", "critical", **REDIS)],
    ),
}


@pytest.fixture(scope="module")
def alertmanager(
    prometheus_binaries: PrometheusBinaries, server_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Alertmanager]:
    """Return an Alertmanager whose receivers do not matter; shared by the cases, each of which clears up after it."""
    factory = ServerFactory(server_folder / f"inhibition-{prometheus_binaries.generation}")
    with HttpReceiver("webhook") as receiver:
        config = turned_to(receiver.url, tmp_path_factory.mktemp("am") / "am", timers=TIMERS)
        yield factory.start(Alertmanager, config, binary=prometheus_binaries.alertmanager)
        factory.close()


def muted(alertmanager: Alertmanager, count: int) -> list[Labels]:
    """Return the labels of what is muted, as soon as as many are, or soon after."""

    def inhibited() -> list[Labels]:
        alerts: list[dict[str, Any]] = alertmanager.alerts()
        return [one["labels"] for one in alerts if one["status"]["inhibitedBy"]]

    poll_until(lambda: all(one["status"]["state"] != "unprocessed" for one in alertmanager.alerts()), 60)
    if count:
        poll_until(lambda: len(inhibited()) >= count, 60)
    return inhibited()


@pytest.mark.parametrize("case", list(CASES))
def test_who_mutes_whom(alertmanager: Alertmanager, case: str) -> None:
    """A cause mutes what follows from it and nothing else."""
    cause, follows, apart = CASES[case]
    try:
        post(alertmanager, cause, *follows, *apart)
        poll_until(lambda: len(alertmanager.alerts()) == 1 + len(follows) + len(apart), 60)
        found = muted(alertmanager, len(follows))
    finally:
        post(alertmanager, cause, *follows, *apart, resolved=True)
        poll_until(lambda: not alertmanager.alerts(), 60)

    assert sorted(found, key=str) == sorted(follows, key=str)


def test_causes_are_alerts_that_exist() -> None:
    """A rule whose cause was renamed would mute nothing, for ever."""
    known = {rule["alert"] for rule in rules() if "alert" in rule}

    assert {
        "PlatformComponentDown",
        "PlatformComponentRecovering",
        "PlatformExporterAbsent",
        "PlatformExporterDown",
        "PlatformExporterReplicaDown",
        "PlatformOutageRecovering",
        "PlatformSourceDown",
        "PlatformTargetDown",
    } <= known


def test_severities_are_compared_of_the_same_thing_only() -> None:
    """Whatever label an alert with an indicator has in its promtool tests is among those that are compared."""
    shipped = yaml.safe_load(SHIPPED.read_text())["inhibit_rules"]
    compared = [rule["equal"] for rule in shipped if rule["source_matchers"][0].startswith("severity=")]
    groups = [
        group
        for path in (ROOT / "prometheus/tests").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["tests"]
    ]
    checks = [check for group in groups for check in group.get("alert_rule_test", [])]
    labels = {
        label
        for check in checks
        for one in check["exp_alerts"] or []
        if "indicator" in one["exp_labels"]
        for label in one["exp_labels"]
    }

    assert len(compared) == 3
    assert len(labels) > 5
    assert all(labels - {"severity"} <= set(equal) for equal in compared)


def test_ten_alerts_of_one_outage_are_one_page(
    prometheus_binaries: PrometheusBinaries,
    start_alertmanager: Callable[..., Alertmanager],
    receiver: HttpReceiver,
    tmp_path: Path,
) -> None:
    """The database dies, and what it carries says so in ten voices: one notification comes."""
    config = turned_to(receiver.url, tmp_path / "am", timers=TIMERS)
    server = start_alertmanager(config, binary=prometheus_binaries.alertmanager)
    cause = alert("ComponentDown", "critical", **POSTGRESQL)
    post(server, cause)
    poll_until(lambda: receiver.arrivals, 60)
    symptoms = [alert("HttpErrorsHigh", "critical", app=f"app{n}", indicator="http_error_ratio") for n in range(5)]
    symptoms += [alert("SourceDown", "high", source=f"source{n}") for n in range(5)]
    post(server, *symptoms)
    poll_until(lambda: sum(bool(one["status"]["inhibitedBy"]) for one in server.alerts()) == 10, 60)
    post(server, cause, *symptoms, resolved=True)
    poll_until(lambda: receiver.alerts("resolved"), 60)

    assert [arrival.content["status"] for arrival in receiver.arrivals] == ["firing", "resolved"]
    assert [one["labels"] for one in receiver.alerts("firing")] == [cause]
