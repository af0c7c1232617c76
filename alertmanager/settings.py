"""The file that says where each severity goes."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml

from alertmanager.channels import KINDS, Channel, ChannelsError, Version
from exporter.config import strict_yaml
from exporter.errors import UnreadableError
from exporter.files import YAML_BYTES, read_text
from exporter.mixin import hours
from exporter.mixin.hours import Interval
from exporter.redaction import shown_key, shown_value, without_secrets
from platform_sdk.events.error import SEVERITIES

Value = TypeVar("Value")

OURS = "Platform"
"""What the names of our alerts begin with."""

NEWEST: Version = (9999,)
"""Stands for a version that could not be read: it has everything."""

RECEIVERS = (*SEVERITIES[::-1], "unsorted", "history", "watchdog")
# These may have no channel.
MAY_BE_EMPTY = ("history", "watchdog")

VALUES = {
    "url": (r"https?://[^\s/]\S*", "an address with http:// or https://"),
    "smarthost": (r"(\[[\da-fA-F:]+\]|[^\s:/]+):\d{1,5}", "HOST:PORT, e.g. smtp.example.com:587"),
    "to": (r".*[^\s@]@[^\s@].*", "mail addresses, separated by commas"),
    "from": (r".*[^\s@]@[^\s@].*", "a mail address"),
}
"""What the values of a channel's keys look like; those of other keys are not blank."""


@dataclass(frozen=True)
class Team:
    """The owners of some apps, and the channels of the severities that they get instead of `notify`."""

    name: str
    apps: list[str]
    notify: dict[str, list[Channel]]


@dataclass(frozen=True)
class ChannelSettings:
    """The content of the file.

    alertmanager: the oldest version that will read the result. notify: the channels of each receiver.
    teams: who gets alerts about some apps instead.
    working_hours, digest: entries of Alertmanager's time_intervals.
    trial: a regular expression of the alerts that notify no one; empty for none.
    """

    alertmanager: str
    notify: dict[str, list[Channel]]
    teams: list[Team]
    working_hours: Interval
    digest: Interval
    trial: str = ""

    @property
    def receivers(self) -> dict[str, list[Channel]]:
        """Return the channels of each receiver of the configuration, by its name."""
        own = {f"{severity}-{team.name}": them for team in self.teams for severity, them in team.notify.items()}
        return {name: them for name, them in self.notify.items() if name != "history" or them} | own | {"nobody": []}

    def secret_files(self) -> list[tuple[Channel, str]]:
        """Return every channel in use with each of its secrets' files, relative to the folder of secrets."""
        used = {channel.name: channel for channels in self.receivers.values() for channel in channels}
        return [(channel, name) for channel in used.values() for name in channel.secret_files]

    def unusable_secrets(self, folder: Path) -> list[str]:
        """Return a sentence for each secret that is not a file in this folder, or could not be sent as it is."""
        found = ((channel, folder / name) for channel, name in self.secret_files())
        return [
            f"`channels.{channel.name}` needs the secret {file}: {problem}"
            for channel, file in found
            if (problem := _secret_problem(file))
        ]


def read(path: Path, history: dict[str, Any] | None = None) -> ChannelSettings:
    """Return the settings of a file; `history` is its channel where the file names none.

    Raises ChannelsError, with a line for each problem.
    """
    try:
        content = strict_yaml.load(read_text(path, YAML_BYTES))
    except strict_yaml.StrictYamlError as error:
        raise ChannelsError(f"{path}: invalid YAML: {error}") from None
    except UnreadableError as error:
        raise ChannelsError(f"{path}: cannot be read: {error}") from error
    try:
        return _read(content, history)
    except ChannelsError as error:
        problems = without_secrets(str(error), content).splitlines()
        raise ChannelsError("\n".join(f"{path}: {problem}" for problem in problems)) from None


class _Problems:
    """What is wrong with the file, so that all of it is said at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def collect(self, read: Callable[[], Value], otherwise: Value) -> Value:
        """Return what `read` returns, and `otherwise` where that is a problem."""
        try:
            return read()
        except ValueError as error:
            self._found.append(str(error))
            return otherwise

    def check(self) -> None:
        """Raise ChannelsError where there are problems."""
        if self._found:
            raise ChannelsError("\n".join(self._found))


def _read(content: Any, history: dict[str, Any] | None) -> ChannelSettings:
    keys = {"alertmanager", "secrets", "working_hours", "digest", "notify", "channels"}
    _check_keys("the file", content, keys, keys | {"teams", "trial"})
    found = _Problems()
    version = found.collect(lambda: _version(content["alertmanager"]), NEWEST)
    secrets = found.collect(lambda: _secrets(content["secrets"]), PurePosixPath("/"))
    channels = _read_channels(found, content["channels"], secrets, version)
    notify = _read_notify(found, content["notify"], channels)
    if history and not notify["history"]:
        notify["history"] = [_channel("history", history, secrets, version)]
    working: Interval = found.collect(lambda: _working_hours(content["working_hours"]), {})
    digest: Interval = found.collect(lambda: _digest(content["digest"]), {})
    teams: list[Team] = found.collect(lambda: _teams(content.get("teams") or {}, channels), [])
    trial = found.collect(lambda: _trial(content.get("trial", [])), "")
    found.check()
    return ChannelSettings(content["alertmanager"], notify, teams, working, digest, trial)


def _secrets(value: Any) -> PurePosixPath:
    secrets = PurePosixPath(str(value))
    if not secrets.is_absolute():
        raise ChannelsError(
            f"invalid path {str(secrets)!r} for `secrets`: expected an absolute path on Alertmanager's machine"
        )
    return secrets


def _read_channels(found: _Problems, given: Any, secrets: PurePosixPath, version: Version) -> dict[str, Channel]:
    """Return the channels by name; one with a problem is there as well, so that its name is known."""
    mapping: dict[str, Any] = found.collect(lambda: _mapping("channels", given), {})
    return {
        name: found.collect(partial(_channel, name, keys, secrets, version), Channel(name, {}, secrets, version))
        for name, keys in mapping.items()
    }


def _read_notify(found: _Problems, given: Any, channels: dict[str, Channel]) -> dict[str, list[Channel]]:
    found.collect(lambda: _check_keys("notify", given, set(RECEIVERS), set(RECEIVERS)), None)
    known = given if isinstance(given, dict) else {}
    return {
        name: found.collect(partial(_channels_of, f"notify.{name}", known[name], channels), []) if name in known else []
        for name in RECEIVERS
    }


def _secret_problem(file: Path) -> str:
    """Return what is wrong with a secret's file, without its content; nothing where it can be used."""
    if not file.is_file() or not (text := file.read_bytes()).strip():
        return "expected a file that is not empty"
    if text.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark, which would be sent: expected none, as by printf %s KEY > FILE"
    if b"\n" in text or b"\r" in text:
        return "it has a line break, which some versions send: expected none, as by printf %s KEY > FILE"
    return ""


def _trial(names: Any) -> str:
    if names == "all":
        return "Platform.+"
    if not isinstance(names, list) or not all(re.fullmatch(r"[A-Za-z_]\w*", str(name)) for name in names):
        raise ChannelsError(
            f"invalid value{shown_value(names)} for `trial`: expected a list of names of alerts, or all"
        )
    known = _notifying()
    unknown = [name for name in map(str, names) if (name.startswith(OURS) and name not in known) or name == "all"]
    if unknown:
        raise ChannelsError(
            "\n".join(
                f"invalid value{shown_value(name)} in `trial`: expected an alert that notifies{_meant(name, known)}"
                for name in unknown
            )
        )
    return "|".join(map(str, names))


def _meant(name: str, known: set[str]) -> str:
    """Return what is probably meant. What all names begin with makes no two of them alike."""
    if name == "all":
        return "; meant: trial: all"
    ends = {alert.removeprefix(OURS): alert for alert in known}
    close = difflib.get_close_matches(name.removeprefix(OURS), ends, 1, cutoff=0.7)
    return f"; meant: {ends[close[0]]}" if close else "; see prometheus/runbook.md"


def _notifying() -> set[str]:
    """Return the names of the alerts of the rules that notify people."""
    files = (Path(__file__).parents[1] / "prometheus/rules").glob("*.yml")
    groups = (group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"])
    rules = (rule for group in groups for rule in group["rules"] if "alert" in rule)
    return {rule["alert"] for rule in rules if rule["labels"]["severity"] != "none"}


def _teams(content: Any, channels: dict[str, Channel]) -> list[Team]:
    teams = [_team(str(name), keys, channels) for name, keys in _mapping("teams", content).items()]
    owners: dict[str, str] = {}
    for team in teams:
        for app in team.apps:
            if owners.setdefault(app, team.name) != team.name:
                raise ChannelsError(
                    f"app {app!r} is in `teams.{owners[app]}.apps` and `teams.{team.name}.apps`: expected one of them"
                )
    return teams


def _team(name: str, keys: Any, channels: dict[str, Channel]) -> Team:
    where = f"teams.{name}"
    if not re.fullmatch(r"[\w-]+", name):
        raise ChannelsError(f"invalid name{shown_value(name)} in `teams`: expected letters, digits, _ and -")
    _check_keys(where, keys, {"apps", "notify"}, {"apps", "notify"})
    apps = keys["apps"]
    # What would end a matcher, or a class of characters in it.
    if not isinstance(apps, list) or not apps or any(re.search(r"""["'\\^\]\n]|^$""", str(app)) for app in apps):
        raise ChannelsError(f"invalid value{shown_value(apps)} for `{where}.apps`: expected a list of names of apps")
    _check_keys(f"{where}.notify", keys["notify"], set(), set(SEVERITIES))
    notify = {
        severity: _channels_of(f"{where}.notify.{severity}", keys["notify"][severity], channels)
        for severity in SEVERITIES[::-1]
        if severity in keys["notify"]
    }
    return Team(name, [str(app) for app in apps], notify)


def _channels_of(where: str, names: Any, channels: dict[str, Channel]) -> list[Channel]:
    if not isinstance(names, list) or (not names and where.removeprefix("notify.") not in MAY_BE_EMPTY):
        raise ChannelsError(
            f"invalid value{shown_value(names)} for `{where}`: expected a list of at least one name of `channels`"
        )
    if unknown := [one for one in names if one not in channels]:
        expected = f"expected one of {', '.join(channels)}"
        raise ChannelsError("\n".join(f"unknown channel{shown_value(one)} in `{where}`: {expected}" for one in unknown))
    return [channels[one] for one in names]


def _channel(name: str, keys: Any, secrets: PurePosixPath, version: tuple[int, ...]) -> Channel:
    keys = _mapping(f"channels.{name}", keys)
    if keys.get("kind") not in KINDS:
        raise ChannelsError(
            f"invalid `channels.{name}.kind`{shown_value(keys.get('kind'))}: expected one of {', '.join(KINDS)}"
        )
    kind = KINDS[keys["kind"]]
    _check_keys(f"channels.{name}", keys, kind.required | {"kind"}, kind.required | kind.optional | {"kind"})
    for one, other in kind.together:
        if (one in keys) != (other in keys):
            raise ChannelsError(f"`channels.{name}` has only one of `{one}` and `{other}`: expected both or none")
    for key, value in keys.items():
        pattern, expected = VALUES.get(key, (r".*\S.*", "a value"))
        if value is None or not re.fullmatch(pattern, str(value)):
            # An address may contain a secret.
            given = "" if key == "url" else shown_value(value)
            raise ChannelsError(f"invalid `channels.{name}.{key}`{given}: expected {expected}")
    channel = Channel(name, keys, secrets, version)
    channel.requires(kind.since, f"kind `{keys['kind']}`" + (f" (until then: {kind.before})" if kind.before else ""))
    # What is invalid across its keys.
    kind.block(channel)
    return channel


def _working_hours(keys: Any) -> Interval:
    names = {"days", "from", "to", "time_zone"}
    _check_keys("working_hours", keys, names, names)
    return hours.working_hours(str(keys["days"]), keys["from"], keys["to"], str(keys["time_zone"]))


def _digest(keys: Any) -> Interval:
    _check_keys("digest", keys, {"from", "time_zone"}, {"from", "time_zone"})
    return hours.digest(keys["from"], str(keys["time_zone"]))


def _version(value: Any) -> tuple[int, ...]:
    if not isinstance(value, str) or not re.fullmatch(r"0\.\d+", value) or _numbers(value) < (0, 25):
        raise ChannelsError(
            f'invalid version{shown_value(value)} for `alertmanager`: expected e.g. "0.25", in quotes, or newer'
        )
    return _numbers(value)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ChannelsError(f"invalid value{shown_value(value)} for `{where}`: expected keys and values")
    return value


def _check_keys(
    where: str, value: Any, required: set[str] | frozenset[str], allowed: set[str] | frozenset[str]
) -> None:
    keys = set(_mapping(where, value))
    expected = f"expected one of {', '.join(sorted(allowed))}"
    problems = [f"unknown key {shown_key(key)} in `{where}`: {expected}" for key in sorted(map(str, keys - allowed))]
    problems += [f"missing key `{key}` in `{where}`" for key in sorted(required - keys)]
    if problems:
        raise ChannelsError("\n".join(problems))
