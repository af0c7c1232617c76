"""Queries on the applications' own samples, whose names and labels they choose.

A name ends with its base unit, so each unit has its queries. Each selects one name, that of the repeated panel: a rate
drops names, and two samples with the same labels would clash.
"""

from collections.abc import Callable, Mapping

from grafana.queries.shared import counted
from platform_sdk.events.sample import PREFIX

GAUGE_UNITS = {"seconds": "s", "bytes": "bytes", "ratio": "percentunit", "": "short"}
COUNTER_UNITS = {"bytes": "Bps", "": "cps"}
DISTRIBUTION_UNITS = {"seconds": "s", "bytes": "bytes", "": "short"}
"""The unit in Grafana of names that end with a base unit; the empty one is for all others."""

ALL = f'{{__name__=~"{PREFIX}.+", __name__!~".+_created"}}'
# When a counter began is not a sample.
_NO_GAUGE = '__name__!~".+_(total|bucket|sum|count|created)"'
GAUGE_NAMES = f'{{__name__=~"{PREFIX}.+", {_NO_GAUGE}, app=~"$app"}}'
COUNTER_NAMES = f'{{__name__=~"{PREFIX}.+_total", app=~"$app"}}'
# Histograms and summaries alike.
DISTRIBUTION_NAMES = f'{{__name__=~"{PREFIX}.+_count", app=~"$app"}}'

_REPLICAS = "instance, pod, node, job"
_COUNTED = f'{{__name__=~"{PREFIX}.+", __name__!~".+_(bucket|sum|created)", app=~"$app"}}'
NAMES = f"count(count by (__name__) ({_COUNTED}))"
_NAMED = f'label_replace({{}}, "sample", "$1", "__name__", "{PREFIX}(.+)")'
SERIES = f"count(max without ({_REPLICAS}) ({_NAMED.format(_COUNTED)}))"
FOLDED = "{} or vector(0)".format(counted(f'platform_exporter_series_folded_total{{metric=~"{PREFIX.rstrip("_")}.*"}}'))
GAUGES_NOW = f"max without ({_REPLICAS}) ({_NAMED.format(GAUGE_NAMES)})"


def gauge(unit: str) -> str:
    """Return the chosen gauge, where it has this base unit, a series per set of its own labels."""
    return f"max without ({_REPLICAS}) ({_selected('gauge', '', unit, GAUGE_UNITS)})"


def counter(unit: str) -> str:
    """Return the rate per second of the chosen counter, where it has this base unit."""
    return f"max without ({_REPLICAS}) (rate({_selected('counter', '_total', unit, COUNTER_UNITS)}[$__rate_interval]))"


def quantile(share: float) -> Callable[[str], str]:
    """Return what makes a quantile of the chosen histogram per app, where it has the base unit given."""
    return lambda unit: f"histogram_quantile({share}, {_rate('_bucket', unit, 'app, le')})"


def mean(unit: str) -> str:
    """Return the mean of the chosen histogram or summary per app, where it has this base unit."""
    return f"{_rate('_sum', unit, 'app')} / ({_rate('_count', unit, 'app')} > 0)"


def _rate(ending: str, unit: str, by: str) -> str:
    selected = _selected("distribution", ending, unit, DISTRIBUTION_UNITS)
    return f"sum by ({by}) (max without (instance, pod, node) (rate({selected}[$__rate_interval])))"


def _selected(variable: str, ending: str, unit: str, units: Mapping[str, str]) -> str:
    """Return the selector of the one name that is chosen, where it has this base unit, or with "" none of these."""
    name = f"${{{variable}}}{ending if variable == 'distribution' else ''}"
    others = "|".join(filter(None, units))
    has_unit = f'__name__=~".+_{unit}{ending}"' if unit else f'__name__!~".+_({others}){ending}"'
    # When all names are searched, as tests do, names of other kinds are excluded.
    kind = f'__name__=~"{PREFIX}.+{ending}"' + ("" if ending else f", {_NO_GAUGE}")
    return f'{{__name__=~"{name}", {kind}, {has_unit}, app=~"$app"}}'


WRITTEN = """SELECT app, name, kind, unit, count(*) AS rows, avg(value) AS average, min(value) AS minimum,
    max(value) AS maximum, max(at) AS last_written
FROM monitoring_views.sample
WHERE $__timeFilter(at) AND at > $__timeTo()::timestamptz - interval '24 hours' AND app IN (${app:sqlstring})
GROUP BY app, name, kind, unit ORDER BY last_written DESC LIMIT 500"""
