"""The parts of which the queries of all subjects are made.

$app and the like are the dashboards' variables, regular expressions in PromQL. What rules record is read from there.
"""

from exporter.indicators import INDICATORS
from platform_sdk.events import EVENTS

UNKNOWN = "or vector(-1)"
NONE_REPORTED = "or max(platform_exporter_source_up) * 0"
"""0 where the exporter reports none; nothing while it is away, when how many there are is not known."""
BOUNDED = " At most the last 24 hours of the range."
FEW = " No line below the minimum of events."


def replica_safe(metric: str) -> str:
    """Return the metric with all replicas of the exporter counted once; to be summed afterwards."""
    return f"max without (instance, pod, node) ({metric})"


def rate(metric: str, by: str = "", window: str = "$__rate_interval") -> str:
    """Return the metric's rate per second by some labels; by none, of all together."""
    return f"sum{f' by ({by})' if by else ''} ({replica_safe(f'rate({metric}[{window}])')})"


def increase(metric: str, by: str = "", window: str = "$__range") -> str:
    """Return by how much the metric grew, by some labels; by none, all together. Of a ratio or a sum of seconds."""
    return f"sum{f' by ({by})' if by else ''} ({replica_safe(f'increase({metric}[{window}])')})"


def counted(metric: str, by: str = "", window: str = "$__range") -> str:
    """Return how many events a counter counted, as `increase`, but whole: Prometheus extrapolates to the window."""
    return f"round({increase(metric, by, window)})"


def quantile(share: float, metric: str, by: str, window: str = "$__rate_interval") -> str:
    """Return a quantile of a histogram (its name without _bucket, and its selector), by some labels or of all."""
    name, brace, selector = metric.partition("{")
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{name}_bucket{brace}{selector}', labels, window)})"


def busiest(series: str, count: int) -> str:
    """Return the series that are greatest over the whole range; the same ones at each step, as topk alone does not."""
    return f"{series} and {greatest(f'avg_over_time({series}[$__range])', count)}"


def greatest(series: str, count: int) -> str:
    """Return the greatest at the end of the range of series that have a value for all of it, at each step."""
    return f"topk({count}, {series.replace('[$__range]', '[$__range] @ end()')})"


def threshold(indicator: str, *, app: bool = True) -> str:
    """Return the thresholds of an indicator, one series per severity.

    Those in force for the chosen apps, as rules record them; where subjects differ, the mildest. The defaults where
    none is recorded. Without app, and of indicators about no app, the defaults.
    """
    scope = INDICATORS[indicator].scope
    none = ", ".join(f'{label}=""' for label in scope.overrides or ("app",))
    defaults = f'max by (severity) (platform_threshold{{indicator="{indicator}", severity!="", {none}}})'
    if not app or "app" not in scope.labels:
        return defaults
    in_force = f'{scope.level}:platform_threshold:effective{{indicator="{indicator}", severity!="", app=~"$app"}}'
    return f"{_mildest(indicator)} by (severity) ({in_force}) or {defaults}"


def api_threshold(indicator: str) -> str:
    """Return the thresholds of an indicator per app and api, as threshold() does, over $app and $api."""
    in_force = (
        f'app_api:platform_threshold:effective{{indicator="{indicator}", severity!="", app=~"$app", api=~"$api"}}'
    )
    return f"{_mildest(indicator)} by (severity) ({in_force}) or {threshold(indicator, app=False)}"


def _mildest(indicator: str) -> str:
    return "min" if INDICATORS[indicator].lower_is_worse else "max"


def onsets(of_app: bool) -> str:
    """Return when what grave alerts report began, of the chosen apps and of no app, or of all.

    A mark is placed at the value, in milliseconds: one per onset, however long the alert fires and whatever the step.
    """
    chosen = 'severity=~"critical|high"' + (', app=~"$app|"' if of_app else "")
    began = f'ALERTS_FOR_STATE{{{chosen}}} and ignoring (alertstate) ALERTS{{alertstate="firing", {chosen}}}'
    return f"1000 * min by (alertname, app, severity) ({began})"


# Placed as onsets are.
RELEASES = "max by (app, release) (platform_release_first_seen_timestamp_seconds) * 1000"

_COUNTERS = ([rollup.metric for rollup in kind.rollups if rollup.type == "counter"] for kind in EVENTS)
APPS = f'{{__name__=~"{"|".join(names[0] for names in _COUNTERS if names)}|platform_open_alerts"}}'
"""Series whose label `app` names every app: the first counter of each kind of event, and alerts of adopted tables."""


# Only where a trace may be kept, and only an address: what a viewer types is not to be a script.
TRACE_URL = """CASE WHEN trace_sampled IS NOT FALSE AND trace_id ~ '^[0-9A-Za-z_-]+$'
    AND ${traces:sqlstring} ~ '^(https?://|/[^/]).*[{]trace_id[}]'
    THEN replace(${traces:sqlstring}, '{trace_id}', trace_id) ELSE '#' END"""
"""SQL of the address of a row's trace; of the same page where it has none, or nobody said where traces are."""
