"""The parts of which the queries of all subjects are made.

$app and the like are the dashboards' variables, regular expressions in PromQL. What rules record is read from there.
"""

from exporter.config.thresholds import Thresholds
from platform_sdk.events import EVENTS

UNKNOWN = "or vector(-1)"
FEW = " No line below the minimum of events."


def replica_safe(metric: str) -> str:
    """Return the metric with all replicas of the exporter counted once; to be summed afterwards."""
    return f"max without (instance, pod, node) ({metric})"


def rate(metric: str, by: str = "", window: str = "$__rate_interval") -> str:
    """Return the metric's rate per second by some labels; by none, of all together."""
    return f"sum{f' by ({by})' if by else ''} ({replica_safe(f'rate({metric}[{window}])')})"


def increase(metric: str, by: str = "", window: str = "$__range") -> str:
    """Return by how much the metric grew, by some labels; by none, all together."""
    return f"sum{f' by ({by})' if by else ''} ({replica_safe(f'increase({metric}[{window}])')})"


def quantile(share: float, metric: str, by: str, window: str = "$__rate_interval") -> str:
    """Return a quantile of a histogram (its name without _bucket, and its selector), by some labels or of all."""
    name, brace, selector = metric.partition("{")
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{name}_bucket{brace}{selector}', labels, window)})"


def busiest(series: str, count: int) -> str:
    """Return the series that are greatest over the whole range; the same ones at each step, as topk alone does not."""
    return f"{series} and topk({count}, avg_over_time({series}[$__range] @ end()))"


def threshold(indicator: str, *, app: bool = True) -> str:
    """Return the thresholds of an indicator, one series per severity.

    Those in force for the chosen apps, as rules record them; where apps differ, the mildest. The defaults where none is
    recorded. Without app, and of indicators about no app, the defaults.
    """
    defaults = f'max by (severity) (platform_threshold{{indicator="{indicator}", severity!="", app="", api=""}})'
    if not app or indicator in Thresholds.ABOUT_NO_APP:
        return defaults
    in_force = f'app:platform_threshold:effective{{indicator="{indicator}", severity!="", app=~"$app"}}'
    return f"{_mildest(indicator)} by (severity) ({in_force}) or {defaults}"


def api_threshold(indicator: str) -> str:
    """Return the thresholds of an indicator per app and api, as threshold() does, over $app and $api."""
    in_force = (
        f'app_api:platform_threshold:effective{{indicator="{indicator}", severity!="", app=~"$app", api=~"$api"}}'
    )
    return f"{_mildest(indicator)} by (severity) ({in_force}) or {threshold(indicator, app=False)}"


def _mildest(indicator: str) -> str:
    return "min" if indicator in Thresholds.LOWER_IS_WORSE else "max"


GRAVE_ALERTS = 'ALERTS{alertstate="firing", severity=~"critical|high"}'
# A mark is placed at the value, in milliseconds.
RELEASES = "max by (app, release) (platform_release_first_seen_timestamp_seconds) * 1000"

_COUNTERS = ([rollup.metric for rollup in kind.rollups if rollup.type == "counter"] for kind in EVENTS)
APPS = f'{{__name__=~"{"|".join(names[0] for names in _COUNTERS if names)}|platform_open_alerts"}}'
"""Series whose label `app` names every app: the first counter of each kind of event, and alerts of adopted tables."""
