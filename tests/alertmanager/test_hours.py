"""When medium and low are sent: real Alertmanagers, whose hours are laid around now or away from it."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from alertmanager import generate
from exporter.mixin import hours
from tests.alertmanager.shipped import FOLDER, SHIPPED, laid_out, post
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager

MEDIUM = {"alertname": "PlatformApiSuccessLow", "severity": "medium", "app": "shop"}
LOW = [{"alertname": "PlatformOpenAlerts", "severity": "low", "app": app} for app in ("shop", "blog", "news")]
SENTINEL = {"alertname": "PlatformExporterDown", "severity": "high"}
HOURS = {"weekdays": ["monday:wednesday", "saturday"], "times": [{"start_time": "08:30", "end_time": "17:00"}]}
ZONES = ("UTC", "Asia/Tokyo")


def zone_at_daytime() -> str:
    """Return a time zone in which no hour used here crosses midnight: there is always one where it is day."""
    return next(zone for zone in ZONES if 3 <= datetime.now(ZoneInfo(zone)).hour <= 20)


def clock(zone: str, minutes: int) -> str:
    """Return the time of day so many minutes from now, there."""
    return f"{datetime.now(ZoneInfo(zone)) + timedelta(minutes=minutes):%H:%M}"


def config(receiver: HttpReceiver, folder: Path, *, now: bool) -> Path:
    """Write the shipped configuration with hours around now, or with hours that are over.

    The timers of medium and low are exchanged for a second, and nothing else.
    """
    zone = zone_at_daytime()
    content: dict[str, Any] = yaml.safe_load((FOLDER / "channels.yml").read_text())
    begin, end = (-30, 30) if now else (-150, -90)
    content["working_hours"] = {"days": "sunday:saturday", "from": clock(zone, begin), "to": clock(zone, end)}
    content["working_hours"]["time_zone"] = zone
    content["digest"] = {"from": clock(zone, begin), "time_zone": zone}
    content["channels"]["local"]["url"] = receiver.url
    folder.mkdir()
    (folder / "channels.yml").write_text(yaml.safe_dump(content))
    text = generate.configuration(folder / "channels.yml")
    return laid_out(re.sub(r"(group_wait|group_interval): \d+[mh]$", r"\1: 1s", text, flags=re.MULTILINE), folder)


def sent(receiver: HttpReceiver, severity: str) -> list[int]:
    """Return how many alerts each message to the receiver of this severity had."""
    return [len(one.content["alerts"]) for one in receiver.arrivals if one.content["receiver"] == severity]


def some_looks_later(seconds: float = 4) -> None:
    """Wait for several intervals of a second: what would be sent again is sent by then."""
    end = time.monotonic() + seconds
    poll_until(lambda: time.monotonic() > end, seconds + 5)


def test_within_their_hours_each_is_sent_once(
    prometheus_binaries: PrometheusBinaries,
    start_alertmanager: Callable[..., Alertmanager],
    receiver: HttpReceiver,
    tmp_path: Path,
) -> None:
    """Medium is sent, and all that is low in one message, however often Alertmanager looks at the group."""
    server = start_alertmanager(config(receiver, tmp_path / "am", now=True), binary=prometheus_binaries.alertmanager)
    post(server, *LOW, MEDIUM, began_seconds_ago=0)
    poll_until(lambda: sent(receiver, "low") and sent(receiver, "medium"))
    some_looks_later()

    assert sent(receiver, "low") == [3]
    assert sent(receiver, "medium") == [1]


def test_outside_their_hours_nothing_is_sent(
    prometheus_binaries: PrometheusBinaries,
    start_alertmanager: Callable[..., Alertmanager],
    receiver: HttpReceiver,
    tmp_path: Path,
) -> None:
    """Neither medium nor low is sent, while high is; they stay visible as alerts."""
    server = start_alertmanager(config(receiver, tmp_path / "am", now=False), binary=prometheus_binaries.alertmanager)
    post(server, *LOW, MEDIUM, SENTINEL)
    poll_until(lambda: sent(receiver, "high"))
    some_looks_later(2)

    assert sent(receiver, "low") == sent(receiver, "medium") == []
    assert len(server.alerts(active=True)) == 5


def test_one_look_a_day_falls_into_the_digests_hour() -> None:
    """Looks at the group are as far apart as the interval is long, the first one too; a day later it is repeated."""
    shipped = yaml.safe_load(SHIPPED.read_text())
    [route] = [one for one in shipped["route"]["routes"] if one["receiver"] == "low"]
    [interval] = [one for one in shipped["time_intervals"] if one["name"] == "digest"]
    [times] = interval["time_intervals"][0]["times"]
    begin, end = (datetime.strptime(times[key], "%H:%M").replace(tzinfo=UTC) for key in ("start_time", "end_time"))

    assert route["group_wait"] == route["group_interval"] == "1h"
    assert end - begin == timedelta(hours=1)
    assert "weekdays" not in interval["time_intervals"][0]
    assert route["repeat_interval"] == "23h", "less than a day, as a look may come some milliseconds early"
    assert "app" not in route["group_by"], "all in one message"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_rules_know_the_working_hours_of_the_time_zone(zone: str) -> None:
    """The rule's local time is that of the zone's clocks, in summer and winter, in all years that it covers."""
    content = yaml.safe_load(hours.rules({**HOURS, "location": zone}, "", "channels.yml"))
    local_time, active = content["groups"][0]["rules"]
    expression = local_time["expr"].replace("bool ", "").replace("time()", "now").removeprefix("vector")
    begin = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)

    for now in (begin + timedelta(hours=97 * n) for n in range(1_700)):
        offset = now.astimezone(ZoneInfo(zone)).utcoffset()
        assert offset is not None
        assert eval(expression, {"now": now.timestamp()}) == now.timestamp() + offset.total_seconds(), now
    assert [int(day) for day in re.findall(r"== bool (\d)", active["expr"])] == [1, 2, 3, 6]
    assert [int(minutes) for minutes in re.findall(r"[<>]=? bool (\d+)", active["expr"])] == [8 * 60 + 30, 17 * 60]


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(notify:.*?)```", (FOLDER.parent / "docs/alerting.md").read_text(), re.S)
)
def test_the_documents_example_can_be_used(tmp_path: Path, block: str) -> None:
    """What docs/alerting.md shows is a file of channels, once hours and version are beside it."""
    content = yaml.safe_load((FOLDER / "channels.yml").read_text()) | yaml.safe_load(block)
    (tmp_path / "channels.yml").write_text(yaml.safe_dump(content))

    assert "pagerduty_configs" in generate.configuration(tmp_path / "channels.yml")
