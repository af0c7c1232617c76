"""Judge a drill: what fired and what came, against what should have. Nothing here asks a server or a clock."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tools.drills.notices import Labels, Notice
from tools.drills.recording import Firing

CHANNELS = {"critical": ("pager", "chat", "mail", "hook"), "high": ("chat", "mail", "hook"), "medium": ("chat", "hook")}
"""Who is told of which severity, as tools/drills/configuration.py has it."""

TOLD_TO_PEOPLE = tuple(CHANNELS)
"""`low` waits for the daily digest, and `none` is told to nobody: a drill waits for neither."""


@dataclass(frozen=True)
class Subject:
    """What a drill is about: alerts with one of these sets of labels (by pattern), messages that match the text."""

    labels: tuple[Labels, ...]
    text: str

    def has_labels(self, labels: Labels) -> bool:
        """Tell whether an alert is of this drill."""
        return any(
            all(re.fullmatch(pattern, labels.get(name, "")) for name, pattern in wanted.items())
            for wanted in self.labels
        )

    def has_notice(self, notice: Notice) -> bool:
        """Tell whether a message is of this drill."""
        if notice.alerts:
            return any(self.has_labels(one.labels) for one in notice.alerts)
        return re.search(self.text, notice.text) is not None


@dataclass(frozen=True)
class Wanted:
    """What should come of an incident: which alert, how many pages, how soon, and how many alerts at least."""

    alertname: str
    severity: str
    pages: int
    told_within_seconds: float | None = None
    alerts: int = 1
    muted: int = 0

    @property
    def channels(self) -> tuple[str, ...]:
        """Return who is to be told."""
        return CHANNELS[self.severity]


@dataclass
class Evidence:
    """What is known of one drill so far; times are of the monotonic clock, ended_at is when the incident was over."""

    began_at: float
    firings: Sequence[Firing]
    notices: Sequence[Notice]
    looked_at: float
    ended_at: float | None = None
    pending: Sequence[Labels] = ()

    @property
    def over(self) -> bool:
        """Tell whether nothing fires or is about to, and all that was told was told to be over."""
        if any(_for_people(labels) for labels in self.pending):
            return False
        return not self.still_firing() and not self.not_told_over()

    def told_at(self, wanted: Wanted, channel: str) -> float | None:
        """Return when a channel was first told of the alert; None before."""
        return next((one.at for one in self.notices if one.channel == channel and _tells(one, wanted)), None)

    def told(self, wanted: Wanted) -> bool:
        """Tell whether all who are to be told were."""
        return all(self.told_at(wanted, channel) is not None for channel in wanted.channels)

    def still_firing(self) -> list[str]:
        """Return the alerts that fire now and are told to people."""
        return _names(one.labels for one in self.firings if one.last_at >= self.looked_at and _for_people(one.labels))

    def not_told_over(self) -> list[str]:
        """Return what was told to fire and not to be over: alerts on the hook, incidents of the pager, channels."""
        last: dict[str, tuple[bool, str]] = {}
        for one in self.notices:
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
    told_seconds: dict[str, float] = field(default_factory=dict)
    pages: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    severities: dict[str, list[str]] = field(default_factory=dict)
    fired: list[str] = field(default_factory=list)
    muted: list[str] = field(default_factory=list)
    resolved_seconds: float | None = None
    over_told_seconds: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Tell whether it went as it should."""
        return not self.problems


def judge(name: str, wanted: Wanted, evidence: Evidence) -> Outcome:
    """Return how a drill went."""
    began_at, ended_at = evidence.began_at, evidence.ended_at
    told = {channel: evidence.told_at(wanted, channel) for channel in wanted.channels}
    main = [one for one in evidence.firings if one.labels.get("alertname") == wanted.alertname and
            one.labels.get("severity") == wanted.severity]  # fmt: skip
    outcome = Outcome(
        name,
        detected_seconds=main[0].first_at - began_at if main else None,
        told_seconds={channel: at - began_at for channel, at in told.items() if at is not None},
        pages=pages(evidence.notices),
        fired=_names(one.labels for one in evidence.firings if one.labels.get("severity") != "none"),
        muted=_names(one.labels for one in evidence.firings if one.muted),
    )
    for one in evidence.notices:
        outcome.messages[one.channel] = outcome.messages.get(one.channel, 0) + 1
        severities = outcome.severities.setdefault(one.channel, [])
        if one.firing and one.severity and one.severity not in severities:
            severities.append(one.severity)
    if ended_at is not None and main:
        outcome.resolved_seconds = max(one.last_at for one in main) - ended_at
        for one in evidence.notices:
            if not one.firing:
                outcome.over_told_seconds[one.channel] = one.at - ended_at
    outcome.problems = [*_problems(wanted, evidence, outcome)]
    return outcome


def pages(notices: Sequence[Notice]) -> int:
    """Return how often somebody was woken: incidents that the pager opened.

    A trigger with the key of an incident that is open adds to that one (https://developer.pagerduty.com/docs/events-api-v2-overview).
    """
    opened, open_now = 0, set()
    for one in notices:
        if one.channel != "pager":
            continue
        if not one.firing:
            open_now.discard(one.incident)
        elif one.incident not in open_now:
            open_now.add(one.incident)
            opened += 1
    return opened


def _problems(wanted: Wanted, evidence: Evidence, outcome: Outcome) -> Iterable[str]:
    if outcome.detected_seconds is None:
        yield f"{wanted.alertname} ({wanted.severity}) did not fire"
    for channel in wanted.channels:
        if channel not in outcome.told_seconds:
            yield f"{channel} was not told of {wanted.alertname} ({wanted.severity})"
    if outcome.pages != wanted.pages:
        yield f"{outcome.pages} pages, wanted {wanted.pages}"
    slowest = max(outcome.told_seconds.values(), default=0.0)
    if wanted.told_within_seconds is not None and slowest > wanted.told_within_seconds:
        yield f"told after {slowest:.1f} s, wanted {wanted.told_within_seconds:g} s"
    if len(outcome.fired) < wanted.alerts:
        yield f"{len(outcome.fired)} alerts fired, wanted {wanted.alerts}"
    if len(outcome.muted) < wanted.muted:
        yield f"{len(outcome.muted)} alerts were muted, wanted {wanted.muted}"
    for one in evidence.notices:
        for problem in one.problems:
            yield f"{one.channel}: {problem}"
    for what in evidence.still_firing():
        yield f"{what} did not resolve"
    for what in evidence.not_told_over():
        yield f"{what} was not told to be over"


def _tells(notice: Notice, wanted: Wanted) -> bool:
    if notice.alerts:
        mine = {"alertname": wanted.alertname, "severity": wanted.severity}
        return any(one.firing and mine.items() <= one.labels.items() for one in notice.alerts)
    return notice.firing and notice.severity == wanted.severity


def _for_people(labels: Labels) -> bool:
    return labels.get("severity") in TOLD_TO_PEOPLE


def _names(all_labels: Iterable[Labels]) -> list[str]:
    """Return one name for each alert: what it is called, and the labels that tell it from its like."""
    found = set()
    for labels in all_labels:
        rest = [value for name, value in sorted(labels.items()) if name in TELLING and value]
        found.add(f"{labels.get('alertname', '?').removeprefix('Platform')}({', '.join(rest)})")
    return sorted(found)


TELLING = ("app", "api", "scraper", "slo", "component", "name", "source", "instance", "severity")
