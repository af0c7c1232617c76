"""Alerts on trial: they reach the history alone, and mute nothing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from alertmanager import generate, settings
from alertmanager.channels import ChannelsError
from exporter.mixin import hours
from tests.alertmanager.shipped import FOLDER, Labels, laid_out, post
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager

TRIED: Labels = {
    "alertname": "PlatformComponentDown", "severity": "critical", "component": "redis", "name": "main",
}  # fmt: skip
USUAL: Labels = {"alertname": "PlatformComponentDegraded", "severity": "high", "component": "redis", "name": "main"}


def channels(folder: Path, trial: str, people: str, history: str) -> Path:
    """Write a file of channels in which these alerts are on trial, and return its path."""
    text = (FOLDER / "channels.yml").read_text()
    text = text.replace("http://127.0.0.1:9848/", people).replace("history: []", "history: [history]")
    path = folder / "channels.yml"
    path.write_text(f"trial: {trial}\n{text}\n  history: {{kind: webhook, url: '{history}'}}\n")
    return path


def test_a_trial_notifies_no_one_and_mutes_nothing(
    prometheus_binaries: PrometheusBinaries, start_alertmanager: Callable[..., Alertmanager], tmp_path: Path
) -> None:
    """What an alert on trial would mute is sent; the alert itself is recorded."""
    people, history = HttpReceiver("webhook", "people"), HttpReceiver("webhook", "history")
    path = channels(tmp_path, "[PlatformComponentDown]", people.url, history.url)
    text = re.sub(r"group_wait: \S+", "group_wait: 1s", generate.configuration(path))
    config = laid_out(text, tmp_path / "am")
    try:
        server = start_alertmanager(config, binary=prometheus_binaries.alertmanager)
        post(server, TRIED, USUAL)

        assert poll_until(lambda: {"PlatformComponentDegraded"} <= names(people))
        assert poll_until(lambda: {"PlatformComponentDown", "PlatformComponentDegraded"} <= names(history))
        assert "PlatformComponentDown" not in names(people)
    finally:
        people.close()
        history.close()


def names(receiver: HttpReceiver) -> set[str]:
    """Return the names of the alerts that came."""
    return {alert["labels"]["alertname"] for one in receiver.arrivals for alert in one.content["alerts"]}


def test_rules_know_a_trial_before_its_alert_fires(tmp_path: Path) -> None:
    """PlatformDependencyDown mutes from the first probe that fails on, before PlatformComponentDown is in ALERTS."""
    read = settings.read(channels(tmp_path, "[PlatformComponentDown]", "http://a/", "http://b/"))
    text = hours.rules(read.working_hours, read.trial, "channels.yml")

    assert 'or label_replace(vector(1), "alertname", "PlatformComponentDown", "", "")' in text
    assert "PlatformHttpErrorsHigh" not in text


def test_all_may_be_on_trial(tmp_path: Path) -> None:
    """The watchdog still reaches its receiver: its route comes first."""
    text = generate.configuration(channels(tmp_path, "all", "http://a/", "http://b/"))

    assert text.index('alertname="PlatformWatchdog"') < text.index('alertname=~"Platform.+"')
    assert text.index('alertname=~"Platform.+"') < text.index('severity="critical"')


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[PlatformHttpLatencyHihg]", "meant: PlatformHttpLatencyHigh"),
        ("[PlatformWatchdog]", "expected an alert that notifies"),
        ("[PlatformDependencyDown]", "expected an alert that notifies"),
        ('["all"]', "meant: trial: all"),
    ],
)
def test_an_alert_that_would_notify_all_the_same_is_refused(tmp_path: Path, value: str, meant: str) -> None:
    """A misspelt name would be found when it pages."""
    with pytest.raises(ChannelsError, match=meant):
        generate.configuration(channels(tmp_path, value, "http://a/", "http://b/"))


@pytest.mark.parametrize("value", ["everything", "[Platform.+]", "{a: b}"])
def test_what_is_no_name_is_refused(tmp_path: Path, value: str) -> None:
    """A pattern would try more than its author meant."""
    with pytest.raises(ChannelsError, match="for `trial`: expected a list of names of alerts, or all"):
        generate.configuration(channels(tmp_path, value, "http://a/", "http://b/"))
