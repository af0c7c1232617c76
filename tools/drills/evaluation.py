"""How a drill is judged: what fired and arrived, against what was expected. Nothing here asks a server or a clock."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tools.drills.messages import ChannelMessage, Labels
from tools.drills.recorder import Firing

CHANNELS = {"critical": ("pager", "chat", "mail", "hook"), "high": ("chat", "mail", "hook"), "medium": ("chat", "hook")}
"""Who is notified of which severity, as tools/drills/configuration.py has it."""

IDENTIFYING_LABELS = ("app", "api", "scraper", "slo", "component", "name", "source", "instance", "severity")

NOTIFYING_SEVERITIES = tuple(CHANNELS)
"""`low` waits for the daily digest, and `none` notifies no one: a drill waits for neither."""


@dataclass(frozen=True)
class Subject:
    """What a drill is about: alerts with one of these sets of labels (by pattern), messages that match the text."""

    labels: tuple[Labels, ...]
    text: str

    def has_labels(self, labels: Labels) -> bool:
        """Return whether an alert belongs to this drill."""
        return any(
            all(re.fullmatch(pattern, labels.get(name, "")) for name, pattern in expected.items())
            for expected in self.labels
        )

    def has_message(self, message: ChannelMessage) -> bool:
        """Return whether a message belongs to this drill."""
        if message.alerts:
            return any(self.has_labels(one.labels) for one in message.alerts)
        return re.search(self.text, message.text) is not None


@dataclass(frozen=True)
class Expected:
    """What should come of an incident: which alert, how many pages, how soon, and how many alerts at least.

    says: a pattern that a message must have. quiet: alerts that nobody may be notified of.
    """

    alertname: str
    severity: str
    pages: int
    notified_within_seconds: float | None = None
    alerts: int = 1
    muted: int = 0
    says: str = ""
    quiet: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the channels to be notified."""
        return CHANNELS[self.severity]


@dataclass
class Evidence:
    """What is known of one drill so far; times are of the monotonic clock, ended_at is when the incident was over."""

    began_at: float
    firings: Sequence[Firing]
    messages: Sequence[ChannelMessage]
    last_look_at: float
    ended_at: float | None = None
    pending: Sequence[Labels] = ()

    @property
    def over(self) -> bool:
        """Return whether nothing fires or is about to, and every channel was notified of the end."""
        if any(_for_people(labels) for labels in self.pending):
            return False
        return not self.still_firing() and not self.end_not_notified()

    def notified_at(self, expected: Expected, channel: str) -> float | None:
        """Return when a channel was first notified of the alert; None before."""
        return next((one.at for one in self.messages if one.channel == channel and _announces(one, expected)), None)

    def notified(self, expected: Expected) -> bool:
        """Return whether all channels were notified."""
        return all(self.notified_at(expected, channel) is not None for channel in expected.channels)

    def still_firing(self) -> list[str]:
        """Return the alerts that fire now and notify people; what is muted may outlast its incident in long windows."""
        now = [one for one in self.firings if one.last_at >= self.last_look_at and not one.muted]
        return _names(one.labels for one in now if _for_people(one.labels))

    def end_not_notified(self) -> list[str]:
        """Return what was reported to fire and not to be over: alerts on the hook, incidents of the pager, channels."""
        last: dict[str, tuple[bool, str]] = {}
        for one in self.messages:
            if one.incident:
                last[one.incident] = one.firing, "an incident of the pager"
            elif one.channel != "hook":
                last[one.channel] = one.firing, one.channel
            for alert in one.alerts:
                last[alert.fingerprint] = alert.firing, f"{alert.labels.get('alertname')} on hook"
        return [what for firing, what in last.values() if firing]


@dataclass
class Outcome:
    """How a drill went; seconds count from the incident's beginning or, for what is over, from its end."""

    name: str
    detected_seconds: float | None = None
    notified_seconds: dict[str, float] = field(default_factory=dict)
    pages: int = 0
    message_counts: dict[str, int] = field(default_factory=dict)
    severities: dict[str, list[str]] = field(default_factory=dict)
    fired: list[str] = field(default_factory=list)
    muted: list[str] = field(default_factory=list)
    resolved_seconds: float | None = None
    end_notified_seconds: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Return whether it went as it should."""
        return not self.problems


def evaluate(name: str, expected: Expected, evidence: Evidence) -> Outcome:
    began_at, ended_at = evidence.began_at, evidence.ended_at
    notified = {channel: evidence.notified_at(expected, channel) for channel in expected.channels}
    main = [one for one in evidence.firings if one.labels.get("alertname") == expected.alertname and
            one.labels.get("severity") == expected.severity]  # fmt: skip
    outcome = Outcome(
        name,
        detected_seconds=main[0].first_at - began_at if main else None,
        notified_seconds={channel: at - began_at for channel, at in notified.items() if at is not None},
        pages=pages(evidence.messages),
        fired=_names(one.labels for one in evidence.firings if one.labels.get("severity") != "none"),
        muted=_names(one.labels for one in evidence.firings if one.muted),
    )
    for one in evidence.messages:
        outcome.message_counts[one.channel] = outcome.message_counts.get(one.channel, 0) + 1
        severities = outcome.severities.setdefault(one.channel, [])
        if one.firing and one.severity and one.severity not in severities:
            severities.append(one.severity)
    if ended_at is not None and main:
        outcome.resolved_seconds = max(one.last_at for one in main) - ended_at
        for one in evidence.messages:
            if not one.firing:
                outcome.end_notified_seconds[one.channel] = one.at - ended_at
    outcome.problems = [*_problems(expected, evidence, outcome)]
    return outcome


def pages(messages: Sequence[ChannelMessage]) -> int:
    """Return how often a person was woken: incidents that the pager opened.

    A trigger with the key of an incident that is open adds to that one (https://developer.pagerduty.com/docs/events-api-v2-overview).
    """
    opened, open_now = 0, set()
    for one in messages:
        if one.channel != "pager":
            continue
        if not one.firing:
            open_now.discard(one.incident)
        elif one.incident not in open_now:
            open_now.add(one.incident)
            opened += 1
    return opened


def _problems(expected: Expected, evidence: Evidence, outcome: Outcome) -> Iterable[str]:
    if outcome.detected_seconds is None:
        yield f"{expected.alertname} ({expected.severity}) did not fire"
    for channel in expected.channels:
        if channel not in outcome.notified_seconds:
            yield f"{channel} was not notified of {expected.alertname} ({expected.severity})"
    if outcome.pages != expected.pages:
        yield f"{counted(outcome.pages, 'page')}, expected {expected.pages}"
    slowest = max(outcome.notified_seconds.values(), default=0.0)
    if expected.notified_within_seconds is not None and slowest > expected.notified_within_seconds:
        yield f"notified after {slowest:.1f} s, expected {expected.notified_within_seconds:g} s"
    if len(outcome.fired) < expected.alerts:
        yield f"{counted(len(outcome.fired), 'alert')} fired, expected {expected.alerts}"
    if len(outcome.muted) < expected.muted:
        yield f"{counted(len(outcome.muted), 'alert')} muted, expected {expected.muted}"
    if not any(re.search(expected.says, one.text) for one in evidence.messages):
        yield f"no message says {expected.says!r}"
    for name in expected.quiet:
        if any(alert.labels.get("alertname") == name for one in evidence.messages for alert in one.alerts):
            yield f"hook was notified of {name}, expected nothing of it"
    for one in evidence.messages:
        for problem in one.problems:
            yield f"{one.channel}: {problem}"
    for what in evidence.still_firing():
        yield f"{what} did not resolve"
    for what in evidence.end_not_notified():
        yield f"{what} was not notified of the end"


def counted(number: int, what: str) -> str:
    """Return a number with its noun: 1 page, 2 pages."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _announces(message: ChannelMessage, expected: Expected) -> bool:
    if message.alerts:
        mine = {"alertname": expected.alertname, "severity": expected.severity}
        return any(one.firing and mine.items() <= one.labels.items() for one in message.alerts)
    return message.firing and message.severity == expected.severity


def _for_people(labels: Labels) -> bool:
    return labels.get("severity") in NOTIFYING_SEVERITIES


def _names(all_labels: Iterable[Labels]) -> list[str]:
    """Return one name for each alert: what it is called, and the labels that distinguish it from others."""
    found = set()
    for labels in all_labels:
        rest = [value for name, value in sorted(labels.items()) if name in IDENTIFYING_LABELS and value]
        found.add(f"{labels.get('alertname', '?').removeprefix('Platform')}({', '.join(rest)})")
    return sorted(found)
