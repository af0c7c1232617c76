"""The metric families of a scrape: what is counted and probed, and the exporter itself.

Counters come from committed rollups only. Where two sources have one series (an application that is spread over two
event stores, or seen twice), their values are added: the exposition has each series once.
"""

import math
import operator
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from prometheus_client.core import Exemplar, Metric

from exporter import __version__
from exporter.aggregation.series import Exemplar as EventExemplar
from exporter.aggregation.series import Reading, SourceView, Total
from exporter.config.settings import Config, WatchQuery
from exporter.config.thresholds import BANDS, Objectives, Thresholds
from exporter.dependencies import Dependency
from exporter.exposition.families import FAMILIES, JOB_FAMILIES, TABLE_FAMILIES, Family
from exporter.exposition.labels import AddedLabels
from exporter.exposition.queries import families_of as query_families
from exporter.exposition.rollups import families_of
from exporter.indicators.declaration import OVERRIDES
from exporter.jobs import JobState
from exporter.probes.base import ProbeResult, Status
from exporter.queries import QueryView

_Labels = tuple[str, ...]
"""The values of a family's labels, in their order."""

_Pairs = tuple[tuple[str, str], ...]
"""Labels that the configuration adds, and their values."""

NO_LABELS = AddedLabels()

_COMBINED: Mapping[str, Callable[[float, float], float]] = {
    "platform_sdk_last_report_timestamp_seconds": max,
    "platform_sdk_clock_ahead_seconds": partial(max, key=abs),
}
"""How one gauge of two sources is made one, where it is neither the sum nor the earlier of two times."""

FRESH_POLLS = 3
"""A source that succeeded within this many poll intervals (at least 15 s) is fresh."""


def counted(views: Sequence[SourceView], *, created: bool, added: AddedLabels = NO_LABELS) -> Iterator[Metric]:
    """Yield the families of events and states; `created` adds what only OpenMetrics has: `_created`, exemplars."""
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
    yield _gauge(f"{prefix}_app", (({"source": view.source, "app": app}, 1.0) for view in views for app in _apps(view)))
    yield _gauge(f"{prefix}_approximate", zip(labels, (float(view.approximate) for view in views), strict=True))
    # Never counted is an infinite lag: it alerts, a missing series would not.
    yield _gauge(f"{prefix}_lag_seconds", zip(labels, (math.inf if lag is None else lag for lag in lags), strict=True))
    durations = [view.poll_duration_seconds for view in views]
    yield _gauge(f"{prefix}_poll_duration_seconds", zip(labels, durations, strict=True))
    clocks = [({"source": view.source}, ahead) for view in views if (ahead := view.clock_ahead_seconds) is not None]
    yield _gauge(f"{prefix}_clock_ahead_seconds", clocks)


def _apps(view: SourceView) -> list[str]:
    """Return the apps that a source has readings of."""
    return sorted({one.labels[0] for one in view.readings if FAMILIES[one.metric].labels[:1] == ("app",)})


def is_up(view: SourceView, interval_seconds: float, now: float) -> bool:
    """Return whether a source's last poll was complete and recent; a poll that hangs is not up."""
    fresh = view.polled_at is not None and now - view.polled_at < max(FRESH_POLLS * interval_seconds, 15.0)
    return fresh and not view.problems


def fresh(views: Sequence[SourceView], intervals: Mapping[str, float], now: float) -> set[str]:
    """Return the sources whose newest count is recent, whatever else is wrong with them."""
    lags = {view.source: view.lag_seconds(now) for view in views}
    return {name for name, lag in lags.items() if lag is not None and lag < max(FRESH_POLLS * intervals[name], 15.0)}


def exporter(config: Config, *, reload_ok: bool, loaded_at: float, now: float) -> Iterator[Metric]:
    """Yield thresholds, objectives, clock, reload state and build; times are in Unix seconds."""
    yield _gauge("platform_threshold", thresholds(config.thresholds))
    yield _gauge("platform_objective", objectives(config.objectives))
    yield _gauge("platform_budget", ((budget.labels, budget.month) for budget in config.budgets))
    yield _gauge("platform_exporter_time_seconds", [({}, now)])
    yield _gauge("platform_exporter_config_last_reload_successful", [({}, float(reload_ok))])
    yield _gauge("platform_exporter_config_last_reload_success_timestamp_seconds", [({}, loaded_at)])
    build = {"version": __version__, "python_version": platform.python_version()}
    yield _gauge("platform_exporter_build_info", [(build, 1.0)])


def needed(found: Iterable[Dependency]) -> Iterator[Metric]:
    """Yield what needs which component."""
    yield _gauge("platform_dependency", ((dict(dependency.labels), 1.0) for dependency in found))


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
    yield from _watched(views, now, added)
    for view in views:
        for column, family in () if _is_watch(view) else query_families(view.query).items():
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


def _is_watch(view: QueryView) -> bool:
    return isinstance(view.query, WatchQuery)


def _watched(views: Sequence[QueryView], now: float, added: AddedLabels) -> Iterator[Metric]:
    """Yield what is known of watched tables now: an age of rows that nobody could look at would only grow."""
    known = [view for view in views if _is_watch(view) and view.is_up(now)]
    for measure, family in TABLE_FAMILIES.items() if known else ():
        metric = _start(family)
        for view in known:
            for (found, column), number in view.values.get("value", {}).items():
                if found == measure:
                    own = {"watch": view.query.name, **({"column": column} if "column" in family.labels else {})}
                    metric.add_sample(family.name, {**added.of_all, **own}, number)
        yield metric


def jobs(states: Iterable[JobState], added: AddedLabels = NO_LABELS) -> Iterator[Metric]:
    """Yield the schedules of jobs, and when each is expected."""
    metrics = {family.name: _start(family) for family in JOB_FAMILIES}

    def add(name: str, labels: Mapping[str, str], value: float | None) -> None:
        if value is not None:
            metrics[f"platform_job_{name}"].add_sample(f"platform_job_{name}", {**added.of_all, **labels}, value)

    for state in states:
        job, labels, expected = state.job, state.job.labels, state.expected
        add("schedule_info", {**labels, "schedule": job.schedule, "time_zone": job.time_zone}, 1.0)
        add("last_success_timestamp_seconds", labels, state.succeeded)
        for name, value in job.expected_values.items():
            add(name, labels, value)
        if expected is not None:
            add("expected_timestamp_seconds", labels, expected)
            add("deadline_timestamp_seconds", labels, expected + job.grace_seconds)
            add("utc_offset_seconds", labels, job.utc_offset_seconds(expected))
    yield from (metric for metric in metrics.values() if metric.samples)


def watchdog(seen_at: float | None, missing: bool, successful: Mapping[str, bool]) -> Iterator[Metric]:
    """Yield what the dead man's switch knows: the last watchdog if any, and the last message of each channel."""
    prefix = "platform_exporter_watchdog"
    yield _gauge(f"{prefix}_missing", [({}, float(missing))])
    if seen_at is not None:
        yield _gauge(f"{prefix}_last_seen_timestamp_seconds", [({}, seen_at)])
    sent = [({"channel": name}, float(worked)) for name, worked in successful.items()]
    yield _gauge(f"{prefix}_last_message_successful", sent)


def own_certificate(expiry: float | None) -> Iterator[Metric]:
    """Yield when the exporter's own certificate expires, where it serves TLS."""
    if expiry is not None:
        yield _gauge("platform_exporter_certificate_expiry_timestamp_seconds", [({}, expiry)])


def thresholds(settings: Thresholds) -> Iterator[tuple[dict[str, str], float]]:
    """Yield (labels, value) of every threshold; an override carries the label of what it is for."""
    yield {"indicator": "minimum_events"}, float(settings.minimum_events)
    for indicator, threshold in settings.indicators().items():
        overrides: list[tuple[dict[str, str], object]] = [({}, threshold)]
        overrides += [({OVERRIDES[key]: name}, band) for key, name, band in threshold.overrides()]
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
            found = total.exemplars or {} if created else {}
            buckets = [*zip(map(repr, family.bounds), total.buckets, strict=True), ("+Inf", count)]
            for place, (bound, within) in enumerate(buckets):
                exemplar = _exemplar(found[place]) if place in found else None
                name, le = f"{family.name}_bucket", {**labels, "le": bound}
                metric.add_sample(name, le, float(math.floor(within)), exemplar=exemplar)
        metric.add_sample(f"{family.name}_count", labels, count)
        metric.add_sample(f"{family.name}_sum", labels, max(0.0, total.total or 0.0))
    else:
        metric.add_sample(family.name, labels, total.value)
    if created and family.type != "gauge":
        # A row of before 1970 may have begun it.
        metric.add_sample(f"{metric.name}_created", labels, max(0.0, total.created))


def _exemplar(found: EventExemplar) -> Exemplar:
    return Exemplar({"trace_id": found.trace_id}, found.value, found.at)


def _combine(a: Reading, b: Reading) -> Reading:
    """Return one series of two sources as one: the earlier of two times, the sum of two numbers, or as said above."""
    usual: Callable[[float, float], float] = min if a.metric.endswith("_timestamp_seconds") else operator.add
    return Reading(a.metric, a.labels, _COMBINED.get(a.metric, usual)(a.value, b.value))
