"""Every alert that the rules define, and some that they do not, routed by amtool."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from tests.alertmanager.shipped import SHIPPED, Labels
from tests.alertmanager.test_alertmanager_config import EXAMPLE, amtool, for_oldest
from tests.prometheus.names import rules
from tests.servers import PrometheusBinaries

SEVERITIES = ("critical", "high", "medium", "low")
WITHOUT_SEVERITY = {"PlatformWatchdog": "watchdog"}
# Labels that an alert may have beside its own; a route that looked at them would show.
MORE = {"app": "shop", "api": "arxiv", "component": "redis", "name": "main", "source": "native", "job": "x"}


def of_rules() -> list[tuple[Labels, str]]:
    """Return the labels of every alert of the rules, and its receiver; all severities where a series gives it.

    A label that a template makes is `x`: amtool takes no template for a value.
    """
    found = []
    for rule in rules():
        if "alert" not in rule:
            continue
        severity = rule["labels"]["severity"]
        for one in SEVERITIES if severity.startswith("{{") else (severity,):
            own = {name: "x" if "{{" in value else value for name, value in rule["labels"].items()}
            labels = {**MORE, **own, "alertname": rule["alert"], "severity": one}
            receiver = WITHOUT_SEVERITY.get(rule["alert"], "nobody" if one == "none" else one)
            found.append((labels, receiver))
    return found


OTHERS: list[tuple[Labels, str]] = [
    ({"alertname": "MadeByHand", "severity": "critical"}, "critical"),
    ({"alertname": "PlatformOpenAlerts", "severity": "urgent", "app": "shop"}, "unsorted"),
    ({"alertname": "AnotherAlert"}, "unsorted"),
    ({"alertname": "AnotherAlert", "severity": "none"}, "nobody"),
    ({"alertname": "PlatformWatchdog"}, "watchdog"),
]


def misrouted(binaries: PrometheusBinaries, config: Any, cases: list[tuple[Labels, str]]) -> list[str]:
    """Return what amtool says of the cases that reach another receiver."""

    def asked(case: tuple[Labels, str]) -> str:
        labels, receiver = case
        pairs = [f"{name}={value}" for name, value in labels.items()]
        arguments = ["config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receiver}", *pairs]
        done = amtool(binaries.amtool, *arguments)
        return "" if done.returncode == 0 else f"{labels}: {done.stdout}{done.stderr}"

    with ThreadPoolExecutor(4) as pool:
        return [said for said in pool.map(asked, cases) if said]


def test_every_alert_of_the_rules_reaches_its_severity(prometheus_binaries: PrometheusBinaries) -> None:
    """An alert reaches the receiver of its severity, whatever other labels it has."""
    cases = of_rules()

    assert len(cases) > 20
    assert misrouted(prometheus_binaries, SHIPPED, cases) == []


def test_nothing_is_lost_for_having_no_severity(prometheus_binaries: PrometheusBinaries) -> None:
    """Alerts with none of the four severities reach `unsorted`; those with `none` the receiver `nobody`."""
    assert misrouted(prometheus_binaries, SHIPPED, OTHERS) == []


def test_history_gets_alerts_in_addition_to_the_others(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """With a history, every alert reaches it first, and then the usual receiver."""
    config = EXAMPLE if prometheus_binaries.generation == "newest" else for_oldest(tmp_path)
    alone = ("watchdog", "nobody")
    cases = [
        (labels, receiver if receiver in alone else f"history,{receiver}")
        for labels, receiver in [*of_rules(), *OTHERS]
    ]

    assert misrouted(prometheus_binaries, config, cases) == []


def test_every_route_is_tried() -> None:
    """A route that no case above reaches would be untested."""
    routes = yaml.safe_load(SHIPPED.read_text())["route"]
    receiver = {name for _, name in [*of_rules(), *OTHERS]}

    assert {route["receiver"] for route in [routes, *routes["routes"]]} == receiver
