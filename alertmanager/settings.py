"""The file that says where each severity goes."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import yaml

from alertmanager.channels import KINDS, Channel, ChannelsError
from platform_sdk.events.error import SEVERITIES

RECEIVERS = (*SEVERITIES[::-1], "unsorted", "history", "watchdog")
# These may have no channel.
MAY_BE_EMPTY = ("history", "watchdog")
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

Interval = dict[str, Any]


@dataclass(frozen=True)
class ChannelSettings:
    """The content of the file.

    alertmanager: the oldest version that will read the result. notify: the channels of each receiver.
    working_hours, digest: entries of Alertmanager's time_intervals.
    """

    alertmanager: str
    notify: dict[str, list[Channel]]
    working_hours: Interval
    digest: Interval


def read(path: Path, history: dict[str, Any] | None = None) -> ChannelSettings:
    """Return the settings of a file; `history` is its channel where the file names none. Raises ChannelsError."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys = {"alertmanager", "secrets", "working_hours", "digest", "notify", "channels"}
    _check_keys("the file", content, keys, keys)
    version = _version(content["alertmanager"])
    secrets = PurePosixPath(str(content["secrets"]))
    if not secrets.is_absolute():
        raise ChannelsError(
            f"invalid path {str(secrets)!r} for `secrets`: expected an absolute path on Alertmanager's machine"
        )
    channels = {
        name: _channel(name, keys, secrets, version) for name, keys in _mapping("channels", content["channels"]).items()
    }
    _check_keys("notify", content["notify"], set(RECEIVERS), set(RECEIVERS))
    notify = {name: _channels_of(name, content["notify"][name], channels) for name in RECEIVERS}
    if history and not notify["history"]:
        notify["history"] = [_channel("history", history, secrets, version)]
    hours, digest = _working_hours(content["working_hours"]), _digest(content["digest"])
    return ChannelSettings(content["alertmanager"], notify, hours, digest)


def _channels_of(name: str, names: Any, channels: dict[str, Channel]) -> list[Channel]:
    if not isinstance(names, list) or (not names and name not in MAY_BE_EMPTY):
        raise ChannelsError(
            f"invalid value {names!r} for `notify.{name}`: expected a list of at least one name of `channels`"
        )
    if unknown := [one for one in names if one not in channels]:
        raise ChannelsError(f"unknown channel {unknown[0]!r} in `notify.{name}`: expected one of {', '.join(channels)}")
    return [channels[one] for one in names]


def _channel(name: str, keys: Any, secrets: PurePosixPath, version: tuple[int, ...]) -> Channel:
    keys = _mapping(f"channels.{name}", keys)
    if keys.get("kind") not in KINDS:
        raise ChannelsError(f"invalid `channels.{name}.kind` {keys.get('kind')!r}: expected one of {', '.join(KINDS)}")
    kind = KINDS[keys["kind"]]
    _check_keys(f"channels.{name}", keys, kind.required | {"kind"}, kind.required | kind.optional | {"kind"})
    for one, other in kind.together:
        if (one in keys) != (other in keys):
            raise ChannelsError(f"`channels.{name}` has only one of `{one}` and `{other}`: expected both or none")
    return Channel(name, keys, secrets, version)


def _working_hours(keys: Any) -> Interval:
    names = {"days", "from", "to", "time_zone"}
    _check_keys("working_hours", keys, names, names)
    days = str(keys["days"])
    if not all(day in WEEKDAYS for part in days.split(",") for day in part.strip().split(":")):
        raise ChannelsError(f"invalid `working_hours.days` {days!r}: expected e.g. monday:friday or monday,wednesday")
    begin, end = _minutes("working_hours.from", keys["from"]), _minutes("working_hours.to", keys["to"])
    if begin >= end:
        raise ChannelsError(f"invalid `working_hours.to` {keys['to']}: expected a time after {keys['from']}")
    return {
        "weekdays": [part.strip() for part in days.split(",")],
        "times": [{"start_time": _clock(begin), "end_time": _clock(end)}],
        "location": _time_zone("working_hours", keys),
    }


def _digest(keys: Any) -> Interval:
    _check_keys("digest", keys, {"from", "time_zone"}, {"from", "time_zone"})
    begin = _minutes("digest.from", keys["from"])
    if begin + 60 > 24 * 60:
        raise ChannelsError(
            f"invalid `digest.from` {keys['from']!r}: expected at most 23:00, as the hour must end by midnight"
        )
    # An hour, like group_interval of that route: see there.
    times = [{"start_time": _clock(begin), "end_time": _clock(begin + 60)}]
    return {"times": times, "location": _time_zone("digest", keys)}


def _time_zone(where: str, keys: dict[str, Any]) -> str:
    name = str(keys["time_zone"])
    if name not in available_timezones():
        raise ChannelsError(f"invalid `{where}.time_zone` {name!r}: expected e.g. UTC or Europe/Berlin")
    return ZoneInfo(name).key


def _minutes(key: str, value: Any) -> int:
    # Unquoted, YAML reads 18:00 as a number of base 60.
    match = re.fullmatch(r"(\d\d):(\d\d)", str(value)) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) > 59 or minutes > 24 * 60:
        raise ChannelsError(f'invalid time {value!r} for `{key}`: expected a time in quotes, e.g. "09:00"')
    return minutes


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _version(value: Any) -> tuple[int, ...]:
    if not isinstance(value, str) or not re.fullmatch(r"0\.\d+", value) or _numbers(value) < (0, 25):
        raise ChannelsError(f'invalid version {value!r} for `alertmanager`: expected e.g. "0.25", in quotes, or newer')
    return _numbers(value)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ChannelsError(f"invalid value {value!r} for `{where}`: expected keys and values")
    return value


def _check_keys(
    where: str, value: Any, required: set[str] | frozenset[str], allowed: set[str] | frozenset[str]
) -> None:
    keys = set(_mapping(where, value))
    if unknown := sorted(map(str, keys - allowed)):
        raise ChannelsError(f"unknown key `{unknown[0]}` in `{where}`: expected one of {', '.join(sorted(allowed))}")
    if missing := sorted(required - keys):
        raise ChannelsError(f"missing key `{missing[0]}` in `{where}`")
