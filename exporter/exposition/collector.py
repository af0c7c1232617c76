"""The metric families of a scrape: what is counted and probed, and the exporter itself.

Counters come from committed rollups only. Where two sources have one series (the same application seen twice), their
values are added: the exposition has each series once.
"""

import math
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import Metric

from exporter import __version__
from exporter.aggregation.series import Reading, SourceView, Total
from exporter.config.settings import Config
from exporter.config.thresholds import BANDS, Objectives, Thresholds
from exporter.exposition.families import FAMILIES, Family
from exporter.exposition.labels import AddedLabels
from exporter.exposition.queries import families_of as query_families
from exporter.exposition.rollups import families_of
from exporter.probes.base import ProbeResult, Status
from exporter.queries import QueryView

_Labels = tuple[str, ...]
"""The values of a family's labels, in their order."""

_Pairs = tuple[tuple[str, str], ...]
"""Labels that the configuration adds, and their values."""

NO_LABELS = AddedLabels()

FRESH_POLLS = 3
"""A source that succeeded within this many poll intervals (at least 15 s) is fresh."""


def counted(views: Sequence[SourceView], *, created: bool, added: AddedLabels = NO_LABELS) -> Iterator[Metric]:
    """Yield the families of events and states; `created` adds OpenMetrics created timestamps."""
    for family, totals in families_of(added.totals(views), added.names):
        metric = _start(family)
        for total in totals:
            _add(metric, family, total, created=created)
        yield metric
    readings: dict[str, dict[tuple[_Labels, _Pairs], Reading]] = {}
    for view in views:
        pairs = tuple(added.of(view.source).items())
        for reading in view.readings:
            group = readings.setdefault(reading.metric, {})
            known = group.get((reading.labels, pairs))
            group[reading.labels, pairs] = reading if known is None else _combine(known, reading)
    for name, values in sorted(readings.items()):
        metric = _start(FAMILIES[name])
        for (labels, pairs), reading in values.items():
            _sample_line(metric, FAMILIES[name], labels, reading.value, pairs)
        yield metric


def probed(
    results: Mapping[tuple[str, str], ProbeResult],
    failures: Mapping[tuple[str, str], Mapping[str, int]],
    added: AddedLabels = NO_LABELS,
) -> Iterator[Metric]:
    """Yield the families of components. Both are by (component, name); failures by reason, and those are all there."""
    metrics: dict[str, Metric] = {}
    pairs = tuple(added.of_all.items())

    def add(name: str, labels: _Labels, value: float) -> None:
        family = FAMILIES[name]
        _sample_line(metrics.setdefault(name, _start(family)), family, labels, value, pairs)

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


def sources(views: Sequence[SourceView], intervals: Mapping[str, float], now: float) -> Iterator[Metric]:
    """Yield whether and how recently the sources were counted; `now` is on the monotonic clock."""
    prefix, labels = "platform_exporter_source", [{"source": view.source} for view in views]
    lags = [view.lag_seconds(now) for view in views]
    up = [float(is_up(view, intervals[view.source], now)) for view in views]
    yield _gauge(f"{prefix}_up", zip(labels, up, strict=True))
    # Never counted is an infinite lag: it alerts, a missing series would not.
    yield _gauge(f"{prefix}_lag_seconds", zip(labels, (math.inf if lag is None else lag for lag in lags), strict=True))
    durations = [view.poll_duration_seconds for view in views]
    yield _gauge(f"{prefix}_poll_duration_seconds", zip(labels, durations, strict=True))
    clocks = [({"source": view.source}, ahead) for view in views if (ahead := view.clock_ahead_seconds) is not None]
    yield _gauge(f"{prefix}_clock_ahead_seconds", clocks)


def is_up(view: SourceView, interval_seconds: float, now: float) -> bool:
    """Return whether a source's last poll was complete and recent; a poll that hangs is not up."""
    fresh = view.polled_at is not None and now - view.polled_at < max(FRESH_POLLS * interval_seconds, 15.0)
    return fresh and not view.problems


def exporter(config: Config, *, reload_ok: bool, loaded_at: float) -> Iterator[Metric]:
    """Yield thresholds, objectives, reload state and build."""
    yield _gauge("platform_threshold", thresholds(config.thresholds))
    yield _gauge("platform_objective", objectives(config.objectives))
    yield _gauge("platform_exporter_config_last_reload_successful", [({}, float(reload_ok))])
    yield _gauge("platform_exporter_config_last_reload_success_timestamp_seconds", [({}, loaded_at)])
    build = {"version": __version__, "python_version": platform.python_version()}
    yield _gauge("platform_exporter_build_info", [(build, 1.0)])


def reconciled(found: Iterable[tuple[str, float, Mapping[str, float]]]) -> Iterator[Metric]:
    """Yield what no known cause explains, of (source, when, differences by metric); nothing before the first time."""
    done = [({"source": source}, at, differences) for source, at, differences in found]
    if done:
        yield _gauge("platform_exporter_reconcile_success_timestamp_seconds", ((labels, at) for labels, at, _ in done))
        yield _gauge(
            "platform_exporter_reconcile_difference",
            (
                ({**labels, "metric": metric}, value)
                for labels, _, differences in done
                for metric, value in differences.items()
            ),
        )


def queried(views: Sequence[QueryView], now: float, added: AddedLabels = NO_LABELS) -> Iterator[Metric]:
    """Yield the metrics of the configuration's queries, and how each is; `now` is on the monotonic clock."""
    for view in views:
        for column, family in query_families(view.query).items():
            metric = _start(family)
            for values, number in view.values.get(column, {}).items():
                own = {label: value for label, value in zip(family.labels, values, strict=True) if value != ""}
                metric.add_sample(family.name, {**added.of_all, **own}, number)
            yield metric
    prefix, labels = "platform_exporter_query", [{"query": view.query.name} for view in views]
    ages = [view.age_seconds(now) for view in views]
    yield _gauge(f"{prefix}_up", zip(labels, (float(view.is_up(now)) for view in views), strict=True))
    yield _gauge(f"{prefix}_age_seconds", zip(labels, (math.inf if age is None else age for age in ages), strict=True))
    durations = [view.duration_seconds for view in views]
    yield _gauge(f"{prefix}_duration_seconds", zip(labels, durations, strict=True))


def own_certificate(expiry: float | None) -> Iterator[Metric]:
    """Yield when the exporter's own certificate expires, where it serves TLS."""
    if expiry is not None:
        yield _gauge("platform_exporter_certificate_expiry_timestamp_seconds", [({}, expiry)])


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


def _start(family: Family) -> Metric:
    return Metric(family.base_name, family.help, family.type)


def _gauge(name: str, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    metric = _start(FAMILIES[name])
    for labels, value in samples:
        metric.add_sample(name, labels, value)
    return metric


def _sample_line(metric: Metric, family: Family, labels: _Labels, value: float, pairs: _Pairs) -> None:
    metric.add_sample(family.name, dict(zip(family.labels, labels, strict=True)) | dict(pairs), value)


def _add(metric: Metric, family: Family, total: Total, *, created: bool) -> None:
    """Add a series as its type must be: an older version counted fractional weights and negative observations."""
    labels = {label: value for label in family.labels if (value := total.labels.get(label, "")) != ""}
    if family.type in ("histogram", "summary"):
        count = float(math.floor(total.value))
        if total.buckets is not None:
            for bound, within in zip(family.bounds, total.buckets, strict=True):
                metric.add_sample(f"{family.name}_bucket", {**labels, "le": repr(bound)}, float(math.floor(within)))
            metric.add_sample(f"{family.name}_bucket", {**labels, "le": "+Inf"}, count)
        metric.add_sample(f"{family.name}_count", labels, count)
        metric.add_sample(f"{family.name}_sum", labels, max(0.0, total.total or 0.0))
    else:
        metric.add_sample(family.name, labels, total.value)
    if created and family.type != "gauge":
        # A row of before 1970 may have begun it.
        metric.add_sample(f"{metric.name}_created", labels, max(0.0, total.created))


def _combine(a: Reading, b: Reading) -> Reading:
    """Return one series of two sources as one: the earlier of two times, the sum of two numbers."""
    value = min(a.value, b.value) if a.metric.endswith("_timestamp_seconds") else a.value + b.value
    return Reading(a.metric, a.labels, value)
