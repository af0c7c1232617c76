"""Turn what is counted and probed into metric families.

Counters come only from committed rollups. Where two sources feed one series (the same application seen twice), their
values add up: a series stands once in the exposition.
"""

import logging
import math
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from prometheus_client.core import Metric

from exporter import __version__
from exporter.aggregation.poller import Total, View
from exporter.aggregation.reading import Reading
from exporter.config.settings import Config
from exporter.config.thresholds import BANDS, Objectives, Thresholds
from exporter.exposition.families import (
    ALERT_FAMILIES,
    EVENT_FAMILIES,
    EXPORTER_FAMILIES,
    FAMILIES,
    STATE_FAMILIES,
    Family,
    sample_family,
)
from exporter.probes.base import ProbeResult, Status
from platform_sdk.events.sample import PREFIX, bounds_of

logger = logging.getLogger(__name__)

Key = tuple[str, ...]

FRESH_POLLS = 3
"""A source that succeeded within this many poll intervals (at least 15 s) is fresh."""


class Batch:
    """Hold families to encode: what prometheus_client's encoders call a registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> list[Metric]:
        return self._metrics


def counted(views: Sequence[View], *, created: bool) -> Iterator[Metric]:
    """Yield the families of events and states; `created` adds OpenMetrics created timestamps."""
    for family, totals in declared(total for view in views for total in view.totals):
        metric = _start(family)
        for total in totals:
            _add(metric, family, total, created=created)
        yield metric
    readings: dict[str, dict[Key, Reading]] = {}
    for view in views:
        for reading in view.readings:
            group = readings.setdefault(reading.metric, {})
            known = group.get(reading.labels)
            group[reading.labels] = reading if known is None else _combine(known, reading)
    for name, values in sorted(readings.items()):
        metric = _start(FAMILIES[name])
        for labels, reading in values.items():
            _sample_line(metric, FAMILIES[name], labels, reading.value)
            if created and reading.created is not None:
                names = dict(zip(FAMILIES[name].labels, labels, strict=True))
                metric.add_sample(f"{metric.name}_created", names, reading.created)
        yield metric


def declared(totals: Iterable[Total]) -> Iterator[tuple[Family, list[Total]]]:
    """Yield every family that these rollups make, with its series: each once, known ones that never occurred as 0."""
    merged = _merge(total for total in totals if _is_current(total))
    for family in EVENT_FAMILIES:  # what never failed yet has zeros to show all the same
        if family.zero_fill and (family.zero_fill.attempts, "counter") in merged:
            merged.setdefault((family.name, family.type), {})
    for family, series in _families(merged):
        yield family, list(_filled(family, series, merged))


def probed(
    results: Mapping[tuple[str, str], ProbeResult], failures: Mapping[tuple[str, str], Mapping[str, int]]
) -> Iterator[Metric]:
    """Yield the families of components. Both are by (component, name); failures by reason, and those are all there."""
    metrics: dict[str, Metric] = {}

    def add(name: str, labels: Key, value: float) -> None:
        family = FAMILIES[name]
        _sample_line(metrics.setdefault(name, _start(family)), family, labels, value)

    for target, result in results.items():
        add("platform_component_up", target, float(result.up))
        for status in Status:
            add("platform_component_status", (*target, status.value), float(result.status is status))
        add("platform_component_probe_duration_seconds", target, result.duration_seconds)
        for reason, count in failures.get(target, {}).items():
            add("platform_component_probe_failures_total", (*target, reason), float(count))
        for problem in result.problems:
            add("platform_component_problem", (*target, problem), 1.0)
        for gauge in result.gauges:
            name = f"platform_{gauge.metric}"
            values = {"component": target[0], "name": target[1], **gauge.labels}
            add(name, tuple(values[label] for label in FAMILIES[name].labels), gauge.value)
    yield from metrics.values()


def sources(views: Sequence[View], intervals: Mapping[str, float], now: float) -> Iterator[Metric]:
    """Yield how well the sources are counted; `now` is on the monotonic clock."""
    up = _start(FAMILIES["platform_exporter_source_up"])
    lag = _start(FAMILIES["platform_exporter_source_lag_seconds"])
    duration = _start(FAMILIES["platform_exporter_source_poll_duration_seconds"])
    for view in views:
        labels = {"source": view.source}
        up.add_sample(up.name, labels, float(is_up(view, intervals[view.source], now)))
        seconds = view.lag_seconds(now)
        # Never counted is not "fresh": an infinite lag alerts, an absent series would not.
        lag.add_sample(lag.name, labels, math.inf if seconds is None else seconds)
        duration.add_sample(duration.name, labels, view.poll_duration_seconds)
    yield from (up, lag, duration)


def is_up(view: View, interval_seconds: float, now: float) -> bool:
    """Tell whether a source's last poll was whole and recent; a poll that hangs is not up."""
    fresh = view.polled_at is not None and now - view.polled_at < max(FRESH_POLLS * interval_seconds, 15.0)
    return fresh and not view.problems


def exporter(config: Config, *, reload_ok: bool, loaded_at: float) -> Iterator[Metric]:
    """Yield thresholds, objectives, reload state and build."""
    threshold = _start(FAMILIES["platform_threshold"])
    for labels, value in thresholds(config.thresholds):
        threshold.add_sample(threshold.name, labels, value)
    yield threshold
    objective = _start(FAMILIES["platform_objective"])
    for labels, value in objectives(config.objectives):
        objective.add_sample(objective.name, labels, value)
    yield objective
    for name, value in (
        ("platform_exporter_config_last_reload_successful", float(reload_ok)),
        ("platform_exporter_config_last_reload_success_timestamp_seconds", loaded_at),
    ):
        metric = _start(FAMILIES[name])
        metric.add_sample(name, {}, value)
        yield metric
    build = _start(FAMILIES["platform_exporter_build_info"])
    build.add_sample(build.name, {"version": __version__, "python_version": platform.python_version()}, 1.0)
    yield build


def own_certificate(expiry: float | None) -> Iterator[Metric]:
    """Yield when the exporter's own certificate expires, where it serves TLS."""
    if expiry is not None:
        metric = _start(FAMILIES["platform_exporter_certificate_expiry_timestamp_seconds"])
        metric.add_sample(metric.name, {}, expiry)
        yield metric


def thresholds(settings: Thresholds) -> Iterator[tuple[dict[str, str], float]]:
    """Yield (labels, value) of every threshold; an override carries the label `app` or `api`."""
    yield {"indicator": "minimum_events"}, float(settings.minimum_events)
    for indicator, threshold in settings.indicators().items():
        overrides: list[tuple[dict[str, str], object]] = [({}, threshold)]
        overrides += [({"app": app}, band) for app, band in threshold.apps.items()]
        overrides += [({"api": api}, band) for api, band in threshold.apis.items()]
        for scope, band in overrides:
            for severity in BANDS:
                value = getattr(band, severity)
                if value is not None:
                    yield {"indicator": indicator, "severity": severity, **scope}, float(value)


def objectives(settings: Objectives) -> Iterator[tuple[dict[str, str], float]]:
    """Yield (labels, value) of every objective; an override carries the label `app`."""
    for slo, app, target in settings.targets():
        yield {"slo": slo} | ({"app": app} if app else {}), target


Series = dict[Key, Total]


def _merge(totals: Iterable[Total]) -> dict[tuple[str, str], Series]:
    merged: dict[tuple[str, str], Series] = {}
    for total in totals:
        series = merged.setdefault((total.metric, total.type), {})
        key = _key(total.labels)
        known = series.get(key)
        series[key] = total if known is None else _sum(known, total)
    return merged


def _key(labels: Mapping[str, str]) -> Key:
    """Return what tells series apart: an empty label is no label (https://prometheus.io/docs/concepts/data_model)."""
    return tuple(item for pair in sorted(labels.items()) if pair[1] != "" for item in pair)


_STORED = {
    family.name: family
    for family in (*EVENT_FAMILIES, *STATE_FAMILIES, *ALERT_FAMILIES, *EXPORTER_FAMILIES)
    if family in EVENT_FAMILIES or family.type in ("counter", "histogram")
}
"""The declared families whose series are rollups; all others are made at poll or scrape."""


def _is_current(total: Total) -> bool:
    """Tell whether a rollup is one that this version writes; an older version's may differ in name, type or buckets."""
    family = _STORED.get(total.metric)
    if family is None:
        known = total.metric.startswith(PREFIX) and (total.type != "counter" or total.metric.endswith("_total"))
    else:
        known = family.type == total.type
    bounds = bounds_of(total.metric) if family is None else family.bounds
    current = known and (total.type != "histogram" or len(total.buckets or ()) == len(bounds))
    if not current:
        logger.debug("rollup %s of type %s is an older version's", total.metric, total.type)
    return current


def _families(merged: Mapping[tuple[str, str], Series]) -> Iterator[tuple[Family, Series]]:
    """Yield every family with its series, no name twice.

    The rows of samples choose names and types, so two may claim one name: a gauge and a histogram `x`, or a counter
    whose series `x_total` is a gauge's name. The one that was there first keeps it, the other gets a word for
    its type appended; only where that name is taken too is it left out.
    """
    taken = {name for family in FAMILIES.values() for name in _names(family)}
    chosen: dict[tuple[str, str], Family] = {}
    since = {key: min((total.created for total in series.values()), default=0.0) for key, series in merged.items()}
    for name, kind in sorted(merged, key=lambda key: (since[key], key)):
        family = _STORED.get(name)
        if family is None:
            first = _sample(name, kind, merged[name, kind])
            family = next((f for f in (first, _renamed(first)) if taken.isdisjoint(_names(f))), None)
        if family is None:
            logger.warning("sample %s of type %s is left out: its name is another's", name, kind)
            continue
        taken.update(_names(family))
        chosen[name, kind] = family
    for key in sorted(chosen):
        yield chosen[key], merged[key]


def _names(family: Family) -> set[str]:
    """Return every name that a family occupies, in either format."""
    name = family.name.removesuffix("_total") if family.type == "counter" else family.name
    suffixes = {
        "counter": ("_total", "_created"),
        "histogram": ("_bucket", "_count", "_sum", "_created"),
        "summary": ("_count", "_sum", "_created"),
    }
    return {name, family.name, *(name + suffix for suffix in suffixes.get(family.type, ()))}


_WORDS = {"counter": "increments", "gauge": "value", "histogram": "distribution", "summary": "observations"}
"""What is appended to a name by type; promtool frowns on the types' own names there."""


def _renamed(family: Family) -> Family:
    name = family.name.removesuffix("_total") if family.type == "counter" else family.name
    suffix = "_total" if family.type == "counter" else ""
    text = f"{family.help.removesuffix('.')}; the name without _{_WORDS[family.type]} is that of another sample."
    return replace(family, name=f"{name}_{_WORDS[family.type]}{suffix}", help=text)


def _sum(a: Total, b: Total) -> Total:
    created = min(a.created, b.created)
    if a.type == "gauge":
        newest = a if (a.at or 0.0) >= (b.at or 0.0) else b
        return Total(a.metric, a.type, a.labels, newest.value, None, None, newest.at, created)
    total = None if a.total is None or b.total is None else a.total + b.total
    buckets = None
    if a.buckets is not None and b.buckets is not None:
        buckets = [x + y for x, y in zip(a.buckets, b.buckets, strict=True)]
    return Total(a.metric, a.type, a.labels, a.value + b.value, total, buckets, None, created)


def _sample(name: str, kind: str, series: Series) -> Family:
    names = {label for total in series.values() for label in total.labels}
    return sample_family(name, kind, ("app", *sorted(names - {"app"})))


def _filled(family: Family, series: Series, merged: Mapping[tuple[str, str], Series]) -> Iterator[Total]:
    """Yield the series, and zeros for those that are known to be possible but did not occur yet."""
    yield from series.values()
    fill = family.zero_fill
    if fill is None:
        return
    for attempt in merged.get((fill.attempts, "counter"), {}).values():
        for value in fill.values:
            labels = {**attempt.labels, fill.label: value}
            if _key(labels) not in series:
                yield Total(family.name, family.type, labels, 0.0, None, None, None, attempt.created)


def _start(family: Family) -> Metric:
    name = family.name.removesuffix("_total") if family.type == "counter" else family.name
    return Metric(name, family.help, family.type)


def _sample_line(metric: Metric, family: Family, labels: Key, value: float) -> None:
    metric.add_sample(family.name, dict(zip(family.labels, labels, strict=True)), value)


def _add(metric: Metric, family: Family, total: Total, *, created: bool) -> None:
    labels = {label: value for label in family.labels if (value := total.labels.get(label, "")) != ""}
    if total.buckets is not None:
        for bound, count in zip(family.bounds, total.buckets, strict=True):
            metric.add_sample(f"{family.name}_bucket", {**labels, "le": repr(bound)}, count)
        metric.add_sample(f"{family.name}_bucket", {**labels, "le": "+Inf"}, total.value)
    if family.type in ("histogram", "summary"):
        metric.add_sample(f"{family.name}_count", labels, total.value)
        metric.add_sample(f"{family.name}_sum", labels, total.total or 0.0)
    else:
        metric.add_sample(family.name, labels, total.value)
    if created and family.type != "gauge":
        metric.add_sample(f"{metric.name}_created", labels, total.created)


def _combine(a: Reading, b: Reading) -> Reading:
    """Put the same series of two sources together: of two times the earlier, of two numbers the sum."""
    value = min(a.value, b.value) if a.metric.endswith("_timestamp_seconds") else a.value + b.value
    created = min((time for time in (a.created, b.created) if time is not None), default=None)
    return Reading(a.metric, a.labels, value, created)
