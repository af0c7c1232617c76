"""How often alerts would have fired: their expressions, evaluated over the past."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.history import replay
from exporter.history.blocks import names_in
from exporter.history.increments import TimeGrid
from exporter.history.replay import Rule

NOTIFYING = ("critical", "high", "medium", "low")
GROUPS = ("app", "component", "name", "source")
"""What alertmanager/routes.yml groups notifications by: alerts that share all of these are one notification."""

WITHOUT_MEANING = frozenset({"alertname", "alertstate", "__name__"})

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that fired: its labels without its name, and from when until when, in Unix seconds."""

    alert: str
    labels: Labels
    start: int
    end: int

    @property
    def severity(self) -> str:
        return dict(self.labels)["severity"]

    @property
    def subject(self) -> Labels:
        """Return what it is about: its labels without the severity."""
        return tuple(pair for pair in self.labels if pair[0] != "severity")

    @property
    def group(self) -> Labels:
        """Return the labels by which its notification is grouped."""
        return tuple(pair for pair in self.labels if pair[0] in GROUPS)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one alert of one severity."""

    alert: str
    severity: str
    firings: tuple[Firing, ...]
    notified: int


def firings(
    prometheus: Path, folder: Path, alerts: Iterable[Rule], grid: TimeGrid, done: Callable[[int], None]
) -> Iterator[Firing]:
    """Yield what fired, alert by alert. `done` is called with 1 after each. Raises PlatformError."""
    with replay.asking(prometheus, folder) as ask:
        for rule in alerts:
            times: dict[Labels, list[int]] = {}
            for series in (one for piece in ask(rule, grid) for one in piece):
                labels = series["metric"] | _filled(rule["labels"], series["metric"])
                times.setdefault(_labels(labels), []).extend(int(at) for at, _ in series["values"])
            hold, keep = _seconds(rule, "for"), _seconds(rule, "keep_firing_for")
            for labels, found in times.items():
                for start, end in held(found, grid.step_seconds, hold, keep):
                    yield Firing(rule["alert"], labels, start, end)
            done(1)


def held(times: Sequence[int], step: int, hold: int, keep: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each firing, of the moments at which an alert's condition held, `step` seconds apart.

    As Prometheus: it fires once the condition has held for `hold` seconds, until `keep` seconds after the first moment
    at which it does not; if it holds again by then, it is the same firing.
    https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
    """
    began = fired = last = None
    for at in sorted(set(times)):
        if last is None or at - last > step:  # a moment at which the condition did not hold
            if fired is not None and last is not None and at - last > step + keep:
                yield fired, last + step + keep
                fired = None
            began = at
        if fired is None and began is not None and at - began >= hold:
            fired = at
        last = at
    if fired is not None and last is not None:
        yield fired, last + step + keep


def judge(found: Sequence[Firing]) -> list[Judged]:
    """Return what each alert of each severity did, the most frequent first.

    A notification is the beginning of a group of alerts: what fires while another alert of the same severity and group
    fires is in its notification, and what a graver band of the same indicator covers is muted.
    """
    by_alert: dict[tuple[str, str], list[Firing]] = {}
    for firing in sorted(found, key=lambda one: one.start):
        by_alert.setdefault((firing.severity, firing.alert), []).append(firing)
    beginnings = _notifications(found)
    judged = [
        Judged(alert, severity, tuple(own), sum(one in beginnings for one in own))
        for (severity, alert), own in by_alert.items()
    ]
    return sorted(judged, key=lambda one: (NOTIFYING.index(one.severity), -one.notified, -len(one.firings), one.alert))


def read_by(rules: Iterable[Rule], expressions: Iterable[str]) -> set[str]:
    """Return the names of all series that expressions read, directly or by recording rules."""
    makers: dict[str, set[str]] = {}
    for rule in rules:
        if "record" in rule:
            makers.setdefault(rule["record"], set()).update(names_in(rule["expr"]))
    seen: set[str] = set()
    waiting = {name for expression in expressions for name in names_in(expression)}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= makers.get(name, set()) - seen
    return seen


def _notifications(found: Sequence[Firing]) -> set[Firing]:
    """Return the firings that begin a notification."""
    until: dict[tuple[str, Labels], int] = {}
    beginnings = set()
    for firing in sorted(found, key=lambda one: (one.start, one.alert)):
        if firing.severity not in NOTIFYING or _muted(firing, found):
            continue
        key = (firing.severity, firing.group)
        if firing.start > until.get(key, -1):
            beginnings.add(firing)
        until[key] = max(until.get(key, -1), firing.end)
    return beginnings


def _muted(firing: Firing, found: Sequence[Firing]) -> bool:
    """Tell whether a graver band of the same indicator and subject fires as long as this one does."""
    indicator = dict(firing.labels).get("indicator")
    return indicator is not None and any(
        NOTIFYING.index(other.severity) < NOTIFYING.index(firing.severity)
        and other.subject == firing.subject
        and other.start <= firing.start + HANDOVER_SECONDS
        and other.end >= firing.end
        for other in found
        if other.severity in NOTIFYING
    )


HANDOVER_SECONDS = 60
"""A milder band fires at most this long before the graver one of the same incident, whose `for` is shorter."""


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if name not in WITHOUT_MEANING and value))


def _seconds(rule: Mapping[str, Any], key: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", str(rule.get(key, ""))))


_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def _filled(given: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that a rule gives an alert, with `{{ $labels.NAME }}` replaced."""
    return {
        name: re.sub(r"\{\{ *\$labels\.(\w+) *\}\}", lambda found: labels.get(found[1], ""), value)
        for name, value in given.items()
    }
