"""Every indicator's thresholds and every objective: what they mean, their unit, defaults and order.

Rules and panels read them as the series `platform_threshold` and `platform_objective`; nothing else holds a number.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, get_type_hints

from msgspec import Meta, field

from exporter.sections import Finite, Name, Problem, Section


class Band(Section, frozen=True):
    """An indicator's thresholds by severity; None leaves out a severity."""

    medium: Finite | None = None
    high: Finite | None = None
    critical: Finite | None = None


BANDS = Band.__struct_fields__
"""The severities that an indicator may have a threshold for, from mild to bad."""


class Threshold(Band, frozen=True):
    """An indicator's thresholds, and the overrides for single apps and external APIs."""

    apps: dict[Name, Band] = field(default_factory=dict)
    apis: dict[Name, Band] = field(default_factory=dict)


class Thresholds(Section, frozen=True):
    """The only thresholds there are: rules and panels read the series `platform_threshold` made of them.

    The defaults of the first five are those of the two systems this product replaces. Below `minimum_events` in five
    minutes an indicator is unknown: never green, never an alert. A description says what is compared, and its unit.
    """

    LOWER_IS_WORSE: ClassVar[frozenset[str]] = frozenset(
        {
            "api_success_ratio",
            "api_quota_seconds",
            "scraping_volume_ratio",
            "saturation_seconds",
            "certificate_expiry_seconds",
        }
    )
    ABOUT_APIS: ClassVar[frozenset[str]] = frozenset(
        {"api_success_ratio", "api_forbidden_ratio", "api_rate_limited_ratio", "api_quota_seconds"}
    )
    ABOUT_NO_APP: ClassVar[frozenset[str]] = frozenset(
        {
            "source_lag_seconds",
            "saturation_ratio",
            "saturation_seconds",
            "transaction_age_seconds",
            "queue_age_seconds",
            "certificate_expiry_seconds",
        }
    )

    minimum_events: Annotated[int, Meta(ge=0)] = 20
    http_latency_seconds: Annotated[
        Threshold, Meta(description="Mean time an app took to answer its requests of 5 minutes.")
    ] = Threshold(medium=0.5, critical=1.0)
    http_error_ratio: Annotated[
        Threshold, Meta(description="Share of an app's requests of 5 minutes answered with a status of 500 or more.")
    ] = Threshold(medium=0.02, critical=0.05)
    api_success_ratio: Annotated[
        Threshold, Meta(description="Share of the calls of 5 minutes to an external API that succeeded.")
    ] = Threshold(medium=0.95, critical=0.90)
    api_forbidden_ratio: Annotated[
        Threshold, Meta(description="Share of the calls to an external API that it forbade (403): a ban.")
    ] = Threshold(medium=0.05, high=0.25)
    api_rate_limited_ratio: Annotated[
        Threshold, Meta(description="Share of the calls to an external API that exceeded its rate limit (429).")
    ] = Threshold(medium=0.05, high=0.25)
    api_quota_seconds: Annotated[
        Threshold, Meta(description="Predicted time until an external API's quota is used up.")
    ] = Threshold(medium=3600.0, high=900.0)
    scraping_failure_ratio: Annotated[
        Threshold, Meta(description="Share of a scraper's jobs ended in 5 minutes that failed.")
    ] = Threshold(medium=0.10, high=0.25, critical=0.50)
    scraping_forbidden_ratio: Annotated[
        Threshold,
        Meta(description="Share of a scraper's jobs ended in 5 minutes that were forbidden or blocked: a ban."),
    ] = Threshold(medium=0.05, high=0.25)
    scraping_rate_limited_ratio: Annotated[
        Threshold, Meta(description="Share of a scraper's jobs ended in 5 minutes that exceeded a rate limit.")
    ] = Threshold(medium=0.05, high=0.25)
    scraping_heartbeat_age_seconds: Annotated[
        Threshold, Meta(description="Age of the last heartbeat of the running job that has been silent for longest.")
    ] = Threshold(high=120.0, critical=600.0)
    scraping_progress_age_seconds: Annotated[
        Threshold, Meta(description="Time without progress of the running job that has made none for longest.")
    ] = Threshold(medium=900.0, high=3600.0)
    scraping_pending_age_seconds: Annotated[
        Threshold, Meta(description="Time that the longest waiting job has waited for its start.")
    ] = Threshold(medium=900.0, high=3600.0)
    scraping_last_success_age_seconds: Annotated[
        Threshold, Meta(description="Time since a job of a scraper last succeeded.")
    ] = Threshold(medium=86_400.0, high=172_800.0)
    scraping_volume_ratio: Annotated[
        Threshold,
        Meta(description="Items of the last hour as a share of the median of the same hour in earlier weeks."),
    ] = Threshold(medium=0.5, high=0.2)
    error_burst_factor: Annotated[
        Threshold, Meta(description="Errors of 5 minutes as a multiple of the mean of 5 minutes over the day before.")
    ] = Threshold(medium=5.0, high=20.0)
    login_failures: Annotated[
        Threshold, Meta(description="Logins of 5 minutes that failed, as a count.")
    ] = Threshold(medium=20.0, high=100.0)  # fmt: skip
    sdk_dropped_ratio: Annotated[Threshold, Meta(description="Share of an app's events that the SDK had to drop.")] = (
        Threshold(medium=0.0, high=0.01)
    )
    saturation_ratio: Annotated[
        Threshold, Meta(description="Used share of a component's connections, memory or disk.")
    ] = Threshold(medium=0.8, high=0.95)
    saturation_seconds: Annotated[
        Threshold, Meta(description="Predicted time until a component's connections, memory or disk are used up.")
    ] = Threshold(medium=86_400.0, high=14_400.0)
    transaction_age_seconds: Annotated[
        Threshold, Meta(description="Age of the oldest open transaction of a PostgreSQL server.")
    ] = Threshold(medium=900.0, high=3600.0)
    queue_age_seconds: Annotated[
        Threshold, Meta(description="Time that the oldest entry of a queue has waited; only of Redis streams.")
    ] = Threshold(medium=900.0, high=3600.0)
    certificate_expiry_seconds: Annotated[
        Threshold, Meta(description="Time left until a TLS certificate expires.")
    ] = Threshold(medium=1_814_400.0, high=604_800.0, critical=86_400.0)  # fmt: skip
    source_lag_seconds: Annotated[
        Threshold, Meta(description="Age of the newest count of a source.")
    ] = Threshold(high=60.0, critical=300.0)  # fmt: skip

    def indicators(self) -> dict[str, Threshold]:
        """Return every indicator's thresholds by the indicator's name."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "minimum_events"}

    def problems(self) -> Iterator[Problem]:
        """Yield values out of order, and overrides that no rule would read."""
        for indicator, threshold in self.indicators().items():
            if threshold.apis and indicator not in self.ABOUT_APIS:
                yield Problem(f"{indicator}.apis", f"no overrides but for {', '.join(sorted(self.ABOUT_APIS))}")
            if threshold.apps and indicator in self.ABOUT_NO_APP:
                yield Problem(f"{indicator}.apps", f"no overrides, only {', '.join(BANDS)}: it is not of an app")
            bands: dict[str, Band] = {indicator: threshold}
            bands |= {f"{indicator}.apps.{name}": band for name, band in threshold.apps.items()}
            bands |= {f"{indicator}.apis.{name}": band for name, band in threshold.apis.items()}
            falling = indicator in self.LOWER_IS_WORSE
            for place, band in bands.items():
                values = [value for value in (band.medium, band.high, band.critical) if value is not None]
                if values != sorted(values, reverse=falling):
                    expected = f"{'falling' if falling else 'rising'} values of medium, high, critical"
                    yield Problem(place, expected, values)


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
    """Return the description of each indicator or objective, by name."""
    hints: dict[str, Any] = get_type_hints(section, include_extras=True)
    metas = {name: getattr(hints[name], "__metadata__", ()) for name in section.__struct_fields__}
    return {name: meta.description for name, found in metas.items() for meta in found if meta.description}


def merge_defaults(tree: dict[str, Any]) -> None:
    """Let a file give one severity of an indicator, or only an objective's apps, and keep the other defaults."""
    given = _section(tree, "thresholds")
    for indicator, defaults in Thresholds().indicators().items():
        if isinstance(given.get(indicator), dict):
            given[indicator] = {name: getattr(defaults, name) for name in BANDS} | given[indicator]
    promised = _section(tree, "objectives")
    for name, _, target in Objectives().targets():
        if isinstance(promised.get(name), dict):
            promised[name] = {"target": target} | promised[name]


def _section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, dict) else {}
