"""Read the file that says where each severity goes."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import yaml

from alertmanager.channels import KINDS, Channel
from alertmanager.errors import ChannelsError
from platform_sdk.events.error import SEVERITIES

RECEIVERS = (*SEVERITIES[::-1], "unsorted", "history", "watchdog")
# Nobody is told of these unless the owner wants to.
MAY_BE_EMPTY = ("history", "watchdog")
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

Interval = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What the owner decided.

    alertmanager: the oldest version that will read the result. tell: the channels of each receiver.
    working_hours, digest: entries of Alertmanager's time_intervals.
    """

    alertmanager: str
    tell: dict[str, list[Channel]]
    working_hours: Interval
    digest: Interval


def read(path: Path, history: dict[str, Any] | None = None) -> Settings:
    """Return what a file says; history is a channel for a file that names none for it. Raises ChannelsError."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = {"alertmanager", "secrets", "working_hours", "digest", "tell", "channels"}
    _check_keys("the file", content, wanted, wanted)
    version = _version(content["alertmanager"])
    secrets = PurePosixPath(str(content["secrets"]))
    if not secrets.is_absolute():
        raise ChannelsError(f"`secrets` is {str(secrets)!r}; wanted an absolute path, as Alertmanager will see it")
    channels = {
        name: _channel(name, keys, secrets, version) for name, keys in _mapping("channels", content["channels"]).items()
    }
    told = {name: _told(name, names, channels) for name, names in _told_mapping(content["tell"]).items()}
    if history and not told["history"]:
        told["history"] = [_channel("history", history, secrets, version)]
    return Settings(
        content["alertmanager"],
        told,
        _working_hours(content["working_hours"]),
        _digest(content["digest"]),
    )


def _told_mapping(tell: Any) -> dict[str, Any]:
    _check_keys("tell", tell, set(RECEIVERS), set(RECEIVERS))
    return {name: tell[name] for name in RECEIVERS}


def _told(name: str, names: Any, channels: dict[str, Channel]) -> list[Channel]:
    if not isinstance(names, list) or (not names and name not in MAY_BE_EMPTY):
        raise ChannelsError(f"`tell.{name}` is {names!r}; wanted a list of at least one name of `channels`")
    if unknown := [one for one in names if one not in channels]:
        raise ChannelsError(f"`tell.{name}` names {unknown[0]!r}; `channels` has {', '.join(channels)}")
    return [channels[one] for one in names]


def _channel(name: str, keys: Any, secrets: PurePosixPath, version: tuple[int, ...]) -> Channel:
    keys = _mapping(f"channels.{name}", keys)
    if keys.get("kind") not in KINDS:
        raise ChannelsError(f"`channels.{name}.kind` is {keys.get('kind')!r}; wanted one of {', '.join(KINDS)}")
    kind = KINDS[keys["kind"]]
    _check_keys(f"channels.{name}", keys, kind.required | {"kind"}, kind.required | kind.optional | {"kind"})
    for one, other in kind.together:
        if (one in keys) != (other in keys):
            raise ChannelsError(f"`channels.{name}` has only one of `{one}` and `{other}`; wanted both or none")
    return Channel(name, keys, secrets, version)


def _working_hours(keys: Any) -> Interval:
    wanted = {"days", "from", "to", "time_zone"}
    _check_keys("working_hours", keys, wanted, wanted)
    days = str(keys["days"])
    if not all(day in WEEKDAYS for part in days.split(",") for day in part.strip().split(":")):
        raise ChannelsError(f"`working_hours.days` is {days!r}; wanted such as monday:friday or monday,wednesday")
    begin, end = _minutes("working_hours.from", keys["from"]), _minutes("working_hours.to", keys["to"])
    if begin >= end:
        raise ChannelsError(f"`working_hours` ends at {keys['to']}, which is not after {keys['from']}")
    return {
        "weekdays": [part.strip() for part in days.split(",")],
        "times": [{"start_time": _clock(begin), "end_time": _clock(end)}],
        "location": _time_zone("working_hours", keys),
    }


def _digest(keys: Any) -> Interval:
    _check_keys("digest", keys, {"from", "time_zone"}, {"from", "time_zone"})
    begin = _minutes("digest.from", keys["from"])
    if begin + 60 > 24 * 60:
        raise ChannelsError(f"`digest.from` is {keys['from']!r}; wanted 23:00 or before: the hour must end by midnight")
    # An hour, as long as group_interval of that route: the reason stands there.
    times = [{"start_time": _clock(begin), "end_time": _clock(begin + 60)}]
    return {"times": times, "location": _time_zone("digest", keys)}


def _time_zone(where: str, keys: dict[str, Any]) -> str:
    name = str(keys["time_zone"])
    if name not in available_timezones():
        raise ChannelsError(f"`{where}.time_zone` is {name!r}; wanted a name such as UTC or Europe/Berlin")
    return ZoneInfo(name).key


def _minutes(key: str, value: Any) -> int:
    # Unquoted, YAML reads 18:00 as a number of base 60.
    match = re.fullmatch(r"(\d\d):(\d\d)", str(value)) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) > 59 or minutes > 24 * 60:
        raise ChannelsError(f'`{key}` is {value!r}; wanted a time in quotes, such as "09:00"')
    return minutes


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _version(value: Any) -> tuple[int, ...]:
    if not isinstance(value, str) or not re.fullmatch(r"0\.\d+", value) or _numbers(value) < (0, 25):
        raise ChannelsError(f'`alertmanager` is {value!r}; wanted a version in quotes from "0.25" on')
    return _numbers(value)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ChannelsError(f"`{where}` is {value!r}; wanted keys and values")
    return value


def _check_keys(
    where: str, value: Any, required: set[str] | frozenset[str], allowed: set[str] | frozenset[str]
) -> None:
    keys = set(_mapping(where, value))
    if unknown := sorted(map(str, keys - allowed)):
        raise ChannelsError(f"`{where}` has the unknown key `{unknown[0]}`; wanted one of {', '.join(sorted(allowed))}")
    if missing := sorted(required - keys):
        raise ChannelsError(f"`{where}` lacks the key `{missing[0]}`")
