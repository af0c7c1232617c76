"""The promtool tests as cases of alerts, and whether a group shows what its name says.

A group that shows cases is named `ALERT[, ALERT...]: CASE[, CASE...]`, with free words in parentheses after it:

    PlatformQueueNotConsumed: fires, recovers (a worker dies at 1 m)

SHOWS has the requirements of each case. They are checked in the group's checks (`alert_rule_test`, or a
`promql_expr_test` of `ALERTS{alertname="...", alertstate="firing"`) and in its input series.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from tests.prometheus.names import ROOT

LOOKBACK_SECONDS = 300
"""How long Prometheus considers a sample current; a `stale` marker ends it at once."""

IDENTITIES = (
    "app",
    "api",
    "consumer",
    "model",
    "scraper",
    "field",
    "watch",
    "task",
    "component",
    "name",
    "query",
    "queue",
    "group",
    "source",
    "instance",
    "job",
    "fingerprint",
    "slo",
)
"""The labels whose values identify the subjects of a group."""

_NAME = re.compile(r"(?P<alerts>Platform\w+(?:, Platform\w+)*): (?P<cases>[a-z ]+(?:, [a-z ]+)*?)(?: \(.+\))?")
_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_NUMBER = r"[\d.]+(?:[eE][+-]?\d+)?"
_VALUES = re.compile(rf"(?P<start>-?{_NUMBER}|-?inf|NaN)(?:(?P<step>[+-]{_NUMBER})?x(?P<times>\d+))?")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Series:
    """An input series; samples has None where there is none, and "stale" where it ends."""

    name: str
    labels: dict[str, str]
    samples: list[str | None]


@dataclass(frozen=True)
class Check:
    """What a check expects to fire at a time; annotated if it compares the annotations too."""

    seconds: float
    firing: list[dict[str, str]]
    annotated: bool


@dataclass(frozen=True)
class Group:
    """A group of promtool tests."""

    name: str
    alerts: tuple[str, ...]
    cases: tuple[str, ...]
    interval_seconds: float
    series: list[Series]
    checks: dict[str, list[Check]]

    def present(self, names: set[str], seconds: float) -> set[str]:
        """Return those of these names of which any series has a current sample at this time."""
        return {one.name for one in self.series if one.name in names and self._has(one, seconds)}

    def subjects(self, names: set[str]) -> set[str]:
        """Return the values of identifying labels of the input series of these names."""
        found = [one.labels for one in self.series if one.name in names]
        return {labels[label] for labels in found for label in IDENTITIES if label in labels}

    def _has(self, series: Series, seconds: float) -> bool:
        last = int(seconds // self.interval_seconds)
        first = max(0, last - int(LOOKBACK_SECONDS // self.interval_seconds))
        for sample in reversed(series.samples[first : last + 1]):
            if sample is not None:
                return sample != "stale"
        return False


@cache
def groups() -> list[Group]:
    """Return the groups of all files that name cases."""
    paths = sorted((ROOT / "prometheus/tests").glob("*.yml"))
    tests = [test for path in paths for test in yaml.safe_load(path.read_text())["tests"]]
    return [group for test in tests if (group := group_of(test))]


def group_of(test: dict[str, Any]) -> Group | None:
    """Return a group of promtool tests with what its name says; None where it names no case."""
    match = _NAME.fullmatch(test.get("name", ""))
    if match is None:
        return None
    series = [_series(one) for one in test["input_series"]]
    alerts, cases = match["alerts"].split(", "), match["cases"].split(", ")
    return Group(test["name"], tuple(alerts), tuple(cases), _seconds(test["interval"]), series, _checks(test))


def shortcomings(group: Group, alert: str, case: str, reads: set[str]) -> str:
    """Return what this group lacks to show this case of this alert, or nothing; `reads` is all that the alert reads."""
    if not group.checks.get(alert):
        return "no check of this alert"
    return SHOWS[case](group, group.checks[alert], reads)


def _fires(_: Group, checks: list[Check], __: set[str]) -> str:
    return "" if any(one.firing and one.annotated for one in checks) else "no alert_rule_test with its annotations"


def _stays_quiet(group: Group, checks: list[Check], reads: set[str]) -> str:
    if _quiet_subjects(group, checks, reads):
        return ""
    if any(not one.firing and group.present(reads, one.seconds) for one in checks):
        return ""
    return "no check where data are there and nothing fires"


def _recovers(group: Group, checks: list[Check], reads: set[str]) -> str:
    for before in checks:
        for after in checks:
            gone = [one for one in before.firing if one not in after.firing]
            if gone and after.seconds > before.seconds and group.present(reads, after.seconds):
                return ""
    return "nothing fires, and later does not while data are still there"


def _low_traffic(group: Group, checks: list[Check], reads: set[str]) -> str:
    if not any(one.labels.get("indicator") == "minimum_events" for one in group.series):
        return 'no platform_threshold{indicator="minimum_events"} among the input series'
    if not any(one.firing for one in checks):
        return "no subject with enough traffic that fires, to compare with"
    return "" if _quiet_subjects(group, checks, reads) else "no subject that stays quiet"


def _missing_data(group: Group, checks: list[Check], reads: set[str]) -> str:
    roots = {name for name in reads if ":" not in name}
    ever = {one.name for one in group.series if one.name in roots and any(one.samples)}
    if not ever:
        return "no input series that the alert reads at all"
    expected = _given_anywhere(roots) | ever
    if any(group.present(roots, one.seconds) != expected for one in checks):
        return ""
    return "every series that the alert reads has a current sample at every check"


SHOWS: dict[str, Callable[[Group, list[Check], set[str]], str]] = {
    "fires": _fires,
    "stays quiet": _stays_quiet,
    "recovers": _recovers,
    "low traffic": _low_traffic,
    "missing data": _missing_data,
}


def _quiet_subjects(group: Group, checks: list[Check], reads: set[str]) -> set[str]:
    """Return the subjects that the alert could be about and that it is never expected for, while others may fire."""
    fired = {value for one in checks for labels in one.firing for value in labels.values()}
    return group.subjects(reads) - fired if fired else set()


def _given_anywhere(names: set[str]) -> set[str]:
    """Return those of these names that any group gives as an input: alternatives that none uses do not count."""
    return names & {series.name for group in groups() for series in group.series}


def _checks(test: dict[str, Any]) -> dict[str, list[Check]]:
    checks: dict[str, list[Check]] = {}
    for check in test.get("alert_rule_test", []):
        expected = check.get("exp_alerts") or []
        firing = [{name: str(value) for name, value in one["exp_labels"].items()} for one in expected]
        annotated = bool(expected) and all(one.get("exp_annotations") for one in expected)
        checks.setdefault(check["alertname"], []).append(Check(_seconds(check["eval_time"]), firing, annotated))
    for check in test.get("promql_expr_test", []):
        asked = dict(_LABEL.findall(check["expr"])) if check["expr"].startswith("ALERTS{") else {}
        if asked.get("alertstate") == "firing":
            samples = check.get("exp_samples") or []
            firing = [_without_state(dict(_LABEL.findall(one["labels"]))) for one in samples]
            checks.setdefault(asked["alertname"], []).append(Check(_seconds(check["eval_time"]), firing, False))
    return checks


def _without_state(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in ("alertname", "alertstate")}


def _series(given: dict[str, str]) -> Series:
    match = _SERIES.fullmatch(given["series"].strip())
    assert match, given["series"]
    samples: list[str | None] = []
    for word in str(given["values"]).split():
        if word.startswith("_"):
            samples += [None] * (int(word[2:]) if word[1:] else 1)
        elif word == "stale":
            samples.append(word)
        else:
            value = _VALUES.fullmatch(word)
            assert value, f"{given['series']}: {word}"
            samples += [value["start"]] * (int(value["times"] or 0) + 1)
    return Series(match["name"], dict(_LABEL.findall(match["labels"] or "")), samples)


def _seconds(duration: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", str(duration)))
