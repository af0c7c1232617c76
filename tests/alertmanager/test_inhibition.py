"""Who mutes whom, asked of real Alertmanagers of both generations with the shipped rules; only timers are shorter."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alertmanager.shipped import SHIPPED, Labels, post, turned_to
from tests.prometheus.cases import Check, groups
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
        [alert("ComponentDegraded", "high", **POSTGRESQL)],
        [
            alert("ComponentDegraded", "high", component="redis", name="other"),
            alert("ComponentDown", "critical", **REDIS),
            alert("SourceDown", "high", **SOURCE),
            alert("HttpErrorsHigh", "critical", **HTTP),
            alert("ComponentDown", "critical", **ENDPOINT),
            alert("DependencyDown", "none", **POSTGRESQL),
        ],
    ),
    "a field is empty": (
        alert("ScrapingFieldEmpty", "high", app="shop", scraper="a", field="price", indicator="scraping_field_ratio"),
        [alert("ScrapingFieldVanished", "medium", app="shop", scraper="a", field="price")],
        [
            alert("ScrapingFieldVanished", "medium", app="shop", scraper="a", field="title"),
            alert("ScrapingFieldNew", "low", app="shop", scraper="a"),
        ],
    ),
    "a table gets no rows": (
        alert("TableStale", "medium", watch="prices", indicator="table_age_seconds"),
        [alert("TableRowsFallen", "high", watch="prices", indicator="table_rows_ratio")],
        [
            alert("TableRowsFallen", "high", watch="titles", indicator="table_rows_ratio"),
            alert("TableNullsRisen", "high", watch="prices", column="price", indicator="table_null_rise_ratio"),
        ],
    ),
    "the exporter cannot sign in": (
        alert("ComponentUnreachable", "high", **REDIS),
        [alert("QueueNotConsumed", "high", queue="celery", **REDIS)],
        [
            alert("CertificateExpiring", "critical", **REDIS),
            alert("DependencyDown", "none", **REDIS),
            alert("HttpErrorsHigh", "critical", **HTTP),
        ],
    ),
    "an app needs what is down": (
        alert("DependencyDown", "none", app="shop"),
        [
            alert("HttpErrorsHigh", "critical", **HTTP),
            alert("HttpLatencyHigh", "medium", app="shop", indicator="http_latency_seconds"),
            alert("ErrorBurst", "high", app="shop", indicator="error_burst_factor"),
            alert("LoginFailureBurst", "high", app="shop", indicator="login_failures"),
            alert("ScrapingFailuresHigh", "critical", app="shop", scraper="a", indicator="scraping_failure_ratio"),
            alert("ScrapingJobStuck", "high", app="shop", scraper="a", indicator="scraping_progress_age_seconds"),
        ],
        [
            alert("HttpErrorsHigh", "critical", app="blog", indicator="http_error_ratio"),
            burn("critical", "http_availability"),
            burn("medium", "http_latency"),
            api("critical"),
            alert("ScrapingForbidden", "high", app="shop", scraper="a", indicator="scraping_forbidden_ratio"),
            alert("NewErrorIssue", "medium", app="shop"),
            alert("ErrorRegression", "medium", app="shop"),
            alert("SdkDroppingEvents", "high", app="shop", indicator="sdk_dropped_ratio"),
            alert("SourceDown", "high", **SOURCE),
            alert("ComponentDown", "critical", **ENDPOINT),
        ],
    ),
    "an endpoint needs what is down": (
        alert("DependencyDown", "none", **ENDPOINT),
        [alert("ComponentDown", "critical", **ENDPOINT), alert("ComponentDegraded", "high", **ENDPOINT)],
        [
            alert("ComponentDown", "critical", component="http", name="blog"),
            alert("ComponentDown", "critical", component="redis", name="shop"),
            alert("HttpErrorsHigh", "critical", **HTTP),
        ],
    ),
    "a source and a query need what is down": (
        alert("DependencyDown", "none", **SOURCE, query="orders"),
        [
            alert("SourceDown", "high", **SOURCE),
            alert("SourceLagging", "critical", **SOURCE, indicator="source_lag_seconds"),
            alert("QueryFailing", "medium", query="orders"),
        ],
        [
            alert("SourceDown", "high", source="stratlogic"),
            alert("QueryFailing", "medium", query="stock"),
            alert("RowsRejected", "medium", **SOURCE),
        ],
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
    "an app in a storm of critical alerts": (
        alert("AlertStormMember", "none", storm="apps", app="shop", mutes="critical"),
        [
            alert("HttpErrorsHigh", "critical", **HTTP),
            api("critical"),
            alert("AlertStorm", "critical", storm="APIs", app="shop"),
        ],
        [
            api("high", "crossref"),
            api("critical", app="blog"),
            alert("AlertStorm", "critical", storm="apps"),
            alert("ComponentDown", "critical", **REDIS),
        ],
    ),
    "an API in a storm of medium alerts": (
        alert("AlertStormMember", "none", storm="APIs", app="shop", api="arxiv", mutes="medium"),
        [api("medium")],
        [
            api("high"),
            api("medium", "crossref"),
            api("medium", app="blog"),
            alert("HttpErrorsHigh", "medium", **HTTP),
            alert("AlertStorm", "medium", storm="APIs", app="shop"),
        ],
    ),
    "a target in a storm of high alerts": (
        alert("AlertStormMember", "none", storm="targets", instance="a:9121", mutes="high"),
        [alert("TargetDown", "high", **TARGET)],
        [alert("TargetDown", "high", job="minio", instance="a:9000"), alert("AlertStorm", "high", storm="targets")],
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

    poll_until(lambda: all(one["status"]["state"] != "unprocessed" for one in alertmanager.alerts()))
    if count:
        poll_until(lambda: len(inhibited()) >= count)
    return inhibited()


@pytest.mark.parametrize("case", list(CASES))
def test_who_mutes_whom(alertmanager: Alertmanager, case: str) -> None:
    """A cause mutes what follows from it and nothing else."""
    cause, follows, apart = CASES[case]
    try:
        post(alertmanager, cause, *follows, *apart)
        poll_until(lambda: len(alertmanager.alerts()) == 1 + len(follows) + len(apart))
        found = muted(alertmanager, len(follows))
    finally:
        post(alertmanager, cause, *follows, *apart, resolved=True)
        poll_until(lambda: not alertmanager.alerts())

    assert sorted(found, key=str) == sorted(follows, key=str)


def test_the_end_of_one_of_two_outages_unmutes_nothing(alertmanager: Alertmanager) -> None:
    """An app that needs two components is muted until both are back, whichever is back first."""
    outages = [alert("ComponentDown", "critical", **REDIS), alert("ComponentDown", "critical", **POSTGRESQL)]
    needs, fails = alert("DependencyDown", "none", app="shop"), alert("HttpErrorsHigh", "critical", **HTTP)
    found = []
    try:
        post(alertmanager, *outages, needs, fails)
        poll_until(lambda: muted(alertmanager, 1) == [fails])
        for first in outages:
            post(alertmanager, first, resolved=True)
            poll_until(lambda: len(alertmanager.alerts()) == 3)
            found.append(muted(alertmanager, 1))
            post(alertmanager, first)
            poll_until(lambda: len(alertmanager.alerts()) == 4)
    finally:
        post(alertmanager, *outages, needs, fails, resolved=True)
        poll_until(lambda: not alertmanager.alerts())

    assert found == [[fails], [fails]]


def test_causes_are_alerts_that_exist() -> None:
    """A rule whose cause was renamed would mute nothing, for ever."""
    known = {rule["alert"] for rule in rules() if "alert" in rule}

    assert {
        "PlatformAlertStormMember",
        "PlatformComponentDown",
        "PlatformComponentUnreachable",
        "PlatformDependencyDown",
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


INDEPENDENT = {
    *("ApiCallsHigh", "ApiCallsLow", "ApiForbidden", "ApiLatencyHigh", "ApiLatencyUnusual", "ApiQuotaExhausted"),
    *(
        "ApiQuotaRunningOut",
        "ApiRateLimited",
        "ApiSlowCalls",
        "ApiSuccessLow",
        "ModelUnpriced",
        "ScrapingBlocked",
        "ScrapingFieldEmpty",
        "ScrapingFieldNew",
        "ScrapingFieldTypeChanged",
        "ScrapingFieldVanished",
        "ScrapingForbidden",
        "ScrapingProxyFailing",
        "ScrapingProxyUnauthorized",
        "ScrapingRateLimited",
        "ScrapingRetryAfterIgnored",
        "ScrapingRobotsDisallow",
    ),  # others' doing
    *(
        "AppSilent",
        "EventsMissing",
        "SdkProcessesGone",
        "SdkCrashLoop",
        "SdkDroppingEvents",
        "JobMissed",
    ),  # nobody else would tell
    *("ClocksDiffer", "ErrorBudgetBurn", "ErrorRegression", "NewErrorIssue", "OpenAlerts"),
    *("BudgetForecast", "BudgetSpent"),  # money is spent whatever runs
    *("DependencyDown", "OutageRecovering"),
    *("RowsRejected", "SeriesFolded", "ClocksDiffer"),  # how well an app is counted
    *("AlertEnded", "AlertStorm", "AlertStormMember"),  # these stand for others
}
"""Alerts about an app that an outage of what it needs does not explain, or must not hide."""


def test_every_alert_about_an_app_follows_from_an_outage_or_does_not() -> None:
    """A new alert is muted with the others of its app, or listed here."""
    shipped = yaml.safe_load(SHIPPED.read_text())["inhibit_rules"]
    [rule] = [rule for rule in shipped if rule["source_matchers"][0] == 'alertname="PlatformDependencyDown"'][:1]
    about_apps = {
        name
        for group in groups()
        for name, checks in group.checks.items()
        if any("app" in labels for check in checks for labels in check.firing)
    }
    muted = {name for name in about_apps if matches({"alertname": name}, rule["target_matchers"][0])}

    for name in ("storms", "digest"):
        assert rule["target_matchers"][0] in (ROOT / f"prometheus/rules/{name}.yml").read_text(), "rules know the same"
    assert len(muted) >= 10
    assert {name.removeprefix("Platform") for name in about_apps - muted} <= INDEPENDENT
    assert not {name.removeprefix("Platform") for name in muted} & INDEPENDENT


def test_no_rule_has_two_sources_with_equal_labels() -> None:
    """Alertmanager 0.30 to 0.34 forgets one of them, and mutes nothing for up to a minute when the other ends."""
    shipped = yaml.safe_load(SHIPPED.read_text())["inhibit_rules"]
    fired = [
        [{**labels, "alertname": name} for name, checks in group.checks.items() for labels in found(checks, seconds)]
        for group in groups()
        for seconds in {check.seconds for checks in group.checks.values() for check in checks}
    ]
    twice = [
        (rule["source_matchers"], key)
        for rule in shipped
        for together in fired
        for key, count in Counter(
            tuple(labels.get(name) for name in rule["equal"])
            for labels in together
            if all(matches(labels, matcher) for matcher in rule["source_matchers"])
        ).items()
        if count > 1
    ]

    assert sum(map(len, fired)) > 300
    assert twice == []


def found(checks: list[Check], seconds: float) -> list[Labels]:
    """Return the different labels that an alert is expected with at a time."""
    firing = [labels for check in checks if check.seconds == seconds for labels in check.firing]
    return [labels for index, labels in enumerate(firing) if labels not in firing[:index]]


def matches(labels: Labels, matcher: str) -> bool:
    """Tell whether labels match one of Alertmanager's matchers."""
    name, operator, pattern = re.fullmatch(r'(\w+)(=~|=)"(.*)"', matcher).groups()  # type: ignore[union-attr]
    return bool(re.fullmatch(pattern if operator == "=~" else re.escape(pattern), labels.get(name, "")))


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
    helpers = [alert("DependencyDown", "none", app=f"app{n}") for n in range(5)]
    helpers += [alert("DependencyDown", "none", source=f"source{n}") for n in range(5)]
    post(server, cause, *helpers)
    poll_until(lambda: receiver.arrivals)
    symptoms = [alert("HttpErrorsHigh", "critical", app=f"app{n}", indicator="http_error_ratio") for n in range(5)]
    symptoms += [alert("SourceDown", "high", source=f"source{n}") for n in range(5)]
    post(server, *symptoms)
    poll_until(lambda: sum(bool(one["status"]["inhibitedBy"]) for one in server.alerts()) == 10)
    post(server, cause, *symptoms, resolved=True)
    poll_until(lambda: receiver.alerts("resolved"))

    assert [arrival.content["status"] for arrival in receiver.arrivals] == ["firing", "resolved"]
    assert [one["labels"] for one in receiver.alerts("firing")] == [cause]
