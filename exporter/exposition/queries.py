"""The names of the metrics that the configuration's queries make."""

from exporter.config.settings import Config, Query
from exporter.errors import ConfigError
from exporter.exposition.families import FAMILIES, Family, used_names
from exporter.exposition.labels import added_labels
from platform_sdk.events.sample import PREFIX

OTHERS_PREFIXES = (PREFIX, "platform_exporter_", "process_", "scrape_")

PROMETHEUS_NAMES = ("up", "ALERTS", "ALERTS_FOR_STATE")
"""What Prometheus writes itself, as it does `scrape_...`."""

OTHERS_SUFFIXES = ("_total", "_bucket", "_created")
"""What the names of counters and histograms end in; these are gauges."""


def families_of(query: Query) -> dict[str, Family]:
    """Return the metrics of a query by column: NAME where it has one value, otherwise NAME_COLUMN."""
    names = {column: query.name if query.value else f"{query.name}_{column}" for column in query.columns}
    return {column: Family(names[column], "gauge", help_, query.labels) for column, help_ in query.columns.items()}


def check(config: Config) -> None:
    """Check that every metric of a query has a name, and every label, of its own. Raises ConfigError."""
    taken = {name: family.name for family in FAMILIES.values() for name in used_names(family)}
    taken |= dict.fromkeys(PROMETHEUS_NAMES, "Prometheus itself")
    added = added_labels(config).of_all
    for number, query in enumerate(config.queries):
        for column, family in families_of(query).items():
            where = f"queries[{number}]"
            if family.name.startswith(OTHERS_PREFIXES) or family.name.endswith(OTHERS_SUFFIXES):
                expected = (
                    f"not beginning with {', '.join(OTHERS_PREFIXES)} and not ending in {', '.join(OTHERS_SUFFIXES)}"
                )
                raise ConfigError(
                    f"invalid metric {family.name!r} in `{where}`, column {column}: expected a name {expected}"
                )
            if family.name in taken:
                raise ConfigError(
                    f"invalid metric {family.name!r} in `{where}`, column {column}: "
                    f"expected a name of its own, {taken[family.name]} has it"
                )
            taken[family.name] = f"`queries[{number}]`"
        for label in set(query.labels) & set(added):
            raise ConfigError(f"invalid value {label!r} for `queries[{number}].labels`: `labels` adds it to all series")
