"""The thresholds of every indicator, as declared in exporter.indicators, and every objective.

Rules and panels read them as the series `platform_threshold` and `platform_objective`; nothing else holds a number.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from msgspec import Meta, defstruct, field

from exporter.errors import ConfigError
from exporter.indicators import INDICATORS
from exporter.indicators.declaration import OVERRIDES, Indicator
from exporter.sections import Name, Problem, Section

Limit = Annotated[float, Meta(ge=0, le=1e15)]
"""A threshold: what it is compared with is never negative."""


class Band(Section, frozen=True):
    """An indicator's thresholds by severity; None leaves out a severity."""

    low: Limit | None = None
    medium: Limit | None = None
    high: Limit | None = None
    critical: Limit | None = None


BANDS = Band.__struct_fields__
"""The severities that an indicator may have a threshold for, from mild to bad."""


class Threshold(Band, frozen=True):
    """An indicator's thresholds, and the overrides for what it is about: single apps, external APIs, scrapers ..."""

    apps: dict[Name, Band] = field(default_factory=dict)
    apis: dict[Name, Band] = field(default_factory=dict)
    scrapers: dict[Name, Band] = field(default_factory=dict)
    queues: dict[Name, Band] = field(default_factory=dict)
    components: dict[Name, Band] = field(default_factory=dict)
    watches: dict[Name, Band] = field(default_factory=dict)

    def overrides(self) -> Iterator[tuple[str, str, Band]]:
        """Yield (key such as `apps`, name, thresholds) of every override."""
        for key in OVERRIDES:
            yield from ((key, name, band) for name, band in getattr(self, key).items())


class _Thresholds(Section, frozen=True):
    """The only thresholds there are: rules and panels read the series `platform_threshold` made of them.

    Below `minimum_events` in five minutes an indicator is unknown: never green, never an alert.
    """

    minimum_events: Annotated[int, Meta(ge=0)] = 20

    def indicators(self) -> dict[str, Threshold]:
        """Return every indicator's thresholds by the indicator's name."""
        return {name: getattr(self, name) for name in INDICATORS}

    def problems(self) -> Iterator[Problem]:
        """Yield values out of order, and overrides that no rule would read."""
        for name, threshold in self.indicators().items():
            indicator = INDICATORS[name]
            allowed = overrides_of(indicator)
            bands: dict[str, Band] = {name: threshold}
            for key, subject, band in threshold.overrides():
                bands[f"{name}.{key}.{subject}"] = band
            for key in {key for key, _, _ in threshold.overrides()} - {*allowed}:
                yield Problem(f"{name}.{key}", f"only {', '.join((*indicator.bands, *allowed))}: it is not about {key}")
            severities = ", ".join(indicator.bands)
            order = "falling" if indicator.lower_is_worse else "rising"
            for place, band in bands.items():
                given = _given(band)
                for severity in given.keys() - indicator.bands.keys():
                    yield Problem(f"{place}.{severity}", f"only {severities}: it has no other alert")
                for severity, value in given.items():
                    if indicator.is_share and value > 1:
                        yield Problem(f"{place}.{severity}", "a share from 0 to 1, such as 0.05 for 5 %", value)
                in_force = [*{**dict.fromkeys(BANDS), **_given(threshold), **given}.values()]
                values = [value for value in in_force if value is not None]
                if values != sorted(values, reverse=indicator.lower_is_worse):
                    yield Problem(place, f"{order} values of {severities}", values)


def _given(band: Band) -> dict[str, float]:
    """Return the thresholds that a band has, by severity from mild to bad."""
    return {severity: value for severity in BANDS if (value := getattr(band, severity)) is not None}


if TYPE_CHECKING:

    class Thresholds(_Thresholds, frozen=True):
        """The thresholds of all indicators, each as an attribute of its name."""

        def __getattr__(self, name: str) -> Threshold: ...

else:
    Thresholds = defstruct(
        "Thresholds",
        [
            (
                name,
                Threshold,
                Threshold(**{severity: band.threshold for severity, band in indicator.bands.items()}),
            )
            for name, indicator in INDICATORS.items()
        ],
        bases=(_Thresholds,),
        module=__name__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def overrides_of(indicator: Indicator) -> list[str]:
    """Return the keys by which an indicator's thresholds may be overridden, such as `apps`."""
    return [key for key, label in OVERRIDES.items() if label in indicator.scope.overrides]


Share = Annotated[float, Meta(gt=0, lt=1)]
"""A share such as 0.99. One of 1 leaves no error budget: any failure at all would burn it infinitely fast."""


class Objective(Section, frozen=True):
    """An objective's target, and other targets for single apps; without a target only those apps have one."""

    target: Share | None = None
    apps: dict[Name, Share] = field(default_factory=dict)


class Objectives(Section, frozen=True):
    """The shares of good events promised over 30 days; a number stands for `{target: ..}`, null for none."""

    http_availability: Annotated[
        Objective | Share | None, Meta(description="Share of requests that were not answered with a status of 5xx.")
    ] = 0.99
    http_latency: Annotated[
        Objective | Share | None, Meta(description="Share of requests that were answered within 0.5 s.")
    ] = 0.95
    scraping_success: Annotated[
        Objective | Share | None, Meta(description="Share of scraping jobs that succeeded.")
    ] = 0.9  # fmt: skip

    def targets(self) -> Iterator[tuple[str, str | None, float]]:
        """Yield (objective, app, target) of every target there is; app is None where it is that of all other apps."""
        for name in self.__struct_fields__:
            given = getattr(self, name)
            objective = given if isinstance(given, Objective) else Objective(target=given)
            if objective.target is not None:
                yield name, None, objective.target
            yield from ((name, app, target) for app, target in objective.apps.items())


def descriptions(section: type[Section]) -> dict[str, str]:
    """Return the description of each field that has one, by name."""
    hints: dict[str, Any] = get_type_hints(section, include_extras=True)
    metas = {name: getattr(hints[name], "__metadata__", ()) for name in section.__struct_fields__}
    return {name: meta.description for name, found in metas.items() for meta in found if meta.description}


def merge_defaults(tree: dict[str, Any]) -> None:
    """Let a file give one severity of an indicator, or only an objective's apps, and keep the other defaults."""
    given = _section(tree, "thresholds")
    for indicator, defaults in Thresholds().indicators().items():
        if isinstance(given.get(indicator), dict):
            _check_overrides(f"thresholds.{indicator}", given[indicator])
            given[indicator] = {name: getattr(defaults, name) for name in BANDS} | given[indicator]
    promised = _section(tree, "objectives")
    for name, _, target in Objectives().targets():
        if isinstance(promised.get(name), dict):
            promised[name] = {"target": target} | promised[name]


def _section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, dict) else {}


def _check_overrides(where: str, threshold: dict[str, Any]) -> None:
    """Refuse what would have no effect, or one on more than is meant. Raises ConfigError."""
    for key in OVERRIDES:
        for name, band in _section(threshold, key).items():
            if key == "components" and re.fullmatch(r"\w+/[\w.:-]+", str(name)):
                raise ConfigError(
                    f"invalid key `{name}` in `{where}.{key}`: expected a name without its kind, "
                    f"`{name.partition('/')[2]}`; it holds for all components of that name"
                )
            for severity in _section({name: band}, name):
                if band[severity] is None:
                    raise ConfigError(
                        f"invalid value null for `{where}.{key}.{name}.{severity}`: expected a number; an override "
                        "moves a threshold and cannot leave it out, so give one that is never reached"
                    )
