"""The labels that the configuration adds to series: the same for a whole installation, or for a source."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from exporter.config.settings import Config
from exporter.errors import ConfigError
from exporter.exposition.families import FAMILIES
from exporter.redaction import hide_users

if TYPE_CHECKING:  # `check-config` is done before the driver of PostgreSQL is loaded
    from exporter.aggregation.series import SourceView, Total

EXPORTER_PREFIX = "platform_exporter_"
"""Series about the exporter itself are distinguished by what scrapes it."""

_MEANINGS = dict.fromkeys(("job", "instance"), "every scrape") | dict.fromkeys(("le", "quantile"), "histograms")
_MEANINGS |= {label: family.name for family in FAMILIES.values() for label in family.labels}
"""The labels that have a meaning, and where."""


@dataclass(frozen=True, slots=True)
class AddedLabels:
    """The labels added to all series, and to those of each source (where they hold those for all)."""

    of_all: Mapping[str, str] = field(default_factory=dict)
    of_source: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all labels that are added anywhere."""
        return tuple(dict.fromkeys(name for labels in (self.of_all, *self.of_source.values()) for name in labels))

    def of(self, source: str) -> Mapping[str, str]:
        """Return what is added to the series of a source, or of the history of alerts."""
        return self.of_source.get(source, self.of_all)

    def totals(self, views: "Iterable[SourceView]") -> "Iterator[Total]":
        """Yield the rollups of all views with what is added to them."""
        for view in views:
            yield from labelled(view.totals, self.of(view.source))


def added_labels(config: Config) -> AddedLabels:
    """Return the labels of a configuration; a source's own win over those for all. Raises ConfigError."""
    _check("labels", config.labels)
    for number, source in enumerate(config.sources):
        where = f"sources[{number}]"
        _check(f"{where}.labels", source.labels)
        for name in source.sample_labels or ():
            if name in config.labels or name in source.labels:
                raise ConfigError(f"invalid value {name!r} for `{where}.sample_labels`: `labels` adds it to all series")
    return AddedLabels(config.labels, {source.label: {**config.labels, **source.labels} for source in config.sources})


def labelled(totals: "Iterable[Total]", added: Mapping[str, str]) -> "Iterable[Total]":
    """Return rollups with labels added."""
    return (replace(total, labels=joined(total.metric, total.labels, added)) for total in totals) if added else totals


def joined(metric: str, labels: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a series with those added; a custom sample's own label of such a name stays what it is."""
    own = {name: value for name, value in labels.items() if value != ""}
    return own if metric.startswith(EXPORTER_PREFIX) else {**added, **own}


def _check(where: str, labels: Mapping[str, str]) -> None:
    for name, value in labels.items():
        if hide_users(value) != value:
            raise ConfigError(f"invalid value for `{where}.{name}`: expected an address without user and password")
        if name in _MEANINGS or name.startswith("__"):
            meaning = f"; {name} is a label of {_MEANINGS[name]}" if name in _MEANINGS else ""
            raise ConfigError(f"invalid label {name!r} in `{where}`: expected a name without a meaning{meaning}")
