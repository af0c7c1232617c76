"""What an indicator is: one declaration, from which thresholds, rules, cells of the overview and documents are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scope:
    """What an indicator is about: the labels that identify one subject, and those that thresholds may differ by.

    `level` is the first word of recorded series with these labels. The first override that exists counts.
    """

    level: str
    labels: tuple[str, ...]
    overrides: tuple[str, ...] = ()


APP = Scope("app", ("app",), ("app",))
APP_API = Scope("app_api", ("app", "api"), ("api", "app"))
APP_SCRAPER = Scope("app_scraper", ("app", "scraper"), ("scraper", "app"))
COMPONENT = Scope("component", ("component", "name"), ("name",))
RESOURCE = Scope("component_resource", ("component", "name", "resource"), ("name",))
SERVER = Scope("name", ("name",), ("name",))
QUEUE = Scope("queue", ("name", "queue", "group"), ("queue",))
SOURCE = Scope("source", ("source",))

OVERRIDES = {
    "apps": "app",
    "apis": "api",
    "scrapers": "scraper",
    "queues": "queue",
    "components": "name",
    "watches": "watch",
}
"""The keys of a threshold's overrides in the configuration, and the label of `platform_threshold` that each becomes."""


@dataclass(frozen=True)
class Band:
    """A severity's default threshold, how long it must be exceeded, and how long its alert is held afterwards."""

    threshold: float
    hold: str
    keep_firing: str


@dataclass(frozen=True)
class Record:
    """A recording rule. A comment is written above it."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""


@dataclass(frozen=True)
class Indicator:
    """A figure that is compared with thresholds, the alert that follows, and what people read of both.

    name: of the thresholds in the configuration, and of the label `indicator`; ends with its unit.
    title: of its tile, and in the overview's matrix; a few words.
    meaning: what is compared, as a sentence.
    value: the series that is compared, with the labels of the scope.
    members: a series that exists for every subject, also where the value is unknown; by default the value.
    bands: by severity, from the mildest to the gravest.
    summary, text: of the alert's notification; `text` continues with the thresholds in force.
    shown: the template function that formats a value or threshold; `times` is what follows it.
    subject: the dashboard with a panel on it; `about` are labels of the alert beside those of the scope.
    inclusive: whether the mildest band begins at its threshold itself; the others begin beyond theirs.
    state: PromQL of its state (0 healthy, 1 warning, 2 critical, -1 unknown); by default made from value and
        members, and unknown where there is no value. None where no state is recorded.
    clues: what may explain it, as templates from exporter.indicators.clues; sentences after the description.
    enough: PromQL that must hold too, for all bands but the mildest.
    covered_by: alerts of the same subject, as a regular expression, that say it already: it does not begin while one of
        them fires, nor for 5 minutes after, in which its own window still contains what is over.
    few: why the alert does not depend on the amount of traffic; empty where the value is unknown below minimum_events.
    column: of the overview's matrix, if it is about an app; by default that of its subject.
    """

    name: str
    alert: str
    title: str
    meaning: str
    scope: Scope
    value: str
    bands: Mapping[str, Band]
    summary: str
    text: str
    subject: str
    members: str = ""
    shown: str = "humanizePercentage"
    times: str = ""
    lower_is_worse: bool = False
    inclusive: bool = True
    about: Mapping[str, str] = field(default_factory=dict)
    state: str | None = ""
    enough: str = ""
    covered_by: str = ""
    few: str = ""
    comment: str = ""
    clues: tuple[str, ...] = ()
    column: str = ""

    @property
    def is_share(self) -> bool:
        """Tell whether the value lies between 0 and 1: what is shown as a percentage; a multiple is not."""
        return self.shown == "humanizePercentage"


@dataclass(frozen=True)
class Alert:
    """An alert without thresholds; it is about the labels that its expression leaves.

    page: a template of the path that its link opens in Grafana, where that is not its subject's dashboard.
    column: as of an indicator.
    """

    name: str
    severity: str
    expr: str
    hold: str
    keep_firing: str
    summary: str
    text: str
    subject: str
    labels: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""
    page: str = ""
    column: str = ""


@dataclass(frozen=True)
class Group:
    """A group of rules, in the order in which they are evaluated."""

    name: str
    interval: str
    rules: tuple[Record | Indicator | Alert, ...]


@dataclass(frozen=True)
class RuleFile:
    """A file of rules: what it says at its top, and its groups."""

    name: str
    head: str
    groups: tuple[Group, ...]
