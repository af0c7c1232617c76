"""An invented hour of every series that the exporter may expose, with two incidents.

All is derived from exporter/exposition/families.py: a new family is covered by being declared there. From minute 20 to
30 and from 50 on, much fails: responses are slow, APIs and scrapers fail, Redis is down. So the end of the hour shows
what fires, and its middle what a past incident looks like.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product

from exporter.config.thresholds import Objectives, Thresholds
from exporter.exposition.collector import thresholds
from exporter.exposition.families import FAMILIES, Family, sample_family
from tests.grafana.foreign import FOREIGN
from tests.grafana.remote_write import Samples
from tools.testing.dashboard_sql import VALUES

STEP_SECONDS = 15
HOUR_SECONDS = 3600
# Windows that reach back need something before the hour.
WARM_UP_SECONDS = 15 * 60
INCIDENT_MINUTES = ((20, 30), (50, 61))
SCRAPED = {"instance": "127.0.0.1:9847", "job": "platform-exporter"}

USUAL = {
    "app:platform_http_requests:median1h": 4000.0,
    "app_api:platform_api_calls:median1h": 900.0,
    "app:platform_logins:median1h": 900.0,
    "app:platform_http_request_duration_seconds:median1h": 0.1,
    "app_api:platform_api_call_duration_seconds:median1h": 0.2,
}
"""What rules recorded of earlier weeks, each hour's median."""

Labels = dict[str, str]

OUTCOMES = ("success", "blocked", "refused", "unauthorized", "failed")
OF_FAMILY = {
    ("platform_scraping_jobs", "status"): ("pending", "running", "completed", "failed", "cancelled"),
    ("platform_exporter_source_app", "source"): ("native",),  # the other one is down in the incidents
    ("platform_job_schedule_info", "scraper"): ("nightly",),  # those with a schedule have no rhythm
    ("platform_scraping_expected_within_seconds", "scraper"): ("authors",),  # the other has a rhythm
    ("platform_scraping_site_requests_total", "outcome"): OUTCOMES,
    ("platform_scraping_proxy_requests_total", "outcome"): OUTCOMES,
    ("platform_sdk_processes", "state"): ("running", "lost"),
    ("platform_alert_notifications_total", "status"): ("firing", "resolved"),
}
CODE_SHARES = {"200": 0.92, "302": 0.03, "404": 0.04, "500": 0.01}
STATES = {False: "healthy", True: "unhealthy"}
SAMPLES = (
    sample_family("platform_sample_cache_hits_total", "counter", ("app",)),
    sample_family("platform_sample_uploaded_bytes_total", "counter", ("app",)),
    sample_family("platform_sample_index_size_bytes", "gauge", ("app",)),
    sample_family("platform_sample_replica_delay_seconds", "gauge", ("app",)),
    sample_family("platform_sample_cache_hit_ratio", "gauge", ("app",)),
    sample_family("platform_sample_open_documents", "gauge", ("app", "role")),
    sample_family("platform_sample_render_seconds", "histogram", ("app",)),
    sample_family("platform_sample_upload_bytes", "histogram", ("app",)),
    sample_family("platform_sample_results", "histogram", ("app",)),
)


def series(start: float) -> Iterator[tuple[Labels, Samples]]:
    """Yield every series and its samples, from the warm-up before `start` (Unix seconds) to an hour after it."""
    times = range(-WARM_UP_SECONDS, HOUR_SECONDS + 1, STEP_SECONDS)
    stamps = [round((start + time) * 1000) for time in times]
    for labels, value in _all():
        yield labels, [(stamp, value(time, start)) for stamp, time in zip(stamps, times, strict=True)]


def earlier_weeks(start: float) -> Iterator[tuple[Labels, Samples]]:
    """Yield what rules recorded in the same hour of three earlier weeks: items, gaps, requests, medians."""
    stamps = [start - week * 7 * 86400 + second for week in (3, 2, 1) for second in range(0, HOUR_SECONDS + 1, 60)]
    for app, scraper in product(VALUES["app"], VALUES["scraper"]):
        labels = {"__name__": "app_scraper:platform_scraping_items:increase1h", "app": app, "scraper": scraper}
        yield labels, [(round(stamp * 1000), 4000.0) for stamp in stamps]
        gap = {**labels, "__name__": "app_scraper:platform_scraping_success_gap:max1w"}
        yield gap, [(round(stamp * 1000), 300.0) for stamp in stamps]
    for app in VALUES["app"]:
        labels = {"__name__": "app:platform_http_requests:rate5m", "app": app}
        yield labels, [(round(stamp * 1000), 3.0) for stamp in stamps]
    # What is usual is read from half an hour later.
    stamps += [stamp + HOUR_SECONDS for stamp in stamps]
    for name, value in USUAL.items():
        for app, api in product(VALUES["app"], VALUES["api"] if name.startswith("app_api:") else ("",)):
            labels = {"__name__": name, "app": app} | ({"api": api} if api else {})
            yield labels, [(round(stamp * 1000), value) for stamp in sorted({*stamps})]


def earlier_month(start: float) -> Iterator[tuple[Labels, Samples]]:
    """Yield how much lower the counts of an app's objectives were a month ago: its budgets are not used up yet."""
    for slo, (name, count) in product(VALUES["slo"], (("events", 1e6), ("errors", 1e3))):
        labels = {"__name__": f"app_slo:platform_slo_{name}:sampled10m", "app": "library", "slo": slo}
        yield labels, [(round((start - 30.5 * 86400) * 1000), -count)]


def incident(second: float) -> bool:
    """Return whether much fails at this second of the hour."""
    return any(first * 60 <= second < last * 60 for first, last in INCIDENT_MINUTES)


Value = Callable[[float, float], float]
"""The value of a series at a second of the hour, which began at a Unix time."""


def _all() -> Iterator[tuple[Labels, Value]]:
    for indicator_labels, threshold in thresholds(Thresholds()):
        yield {"__name__": "platform_threshold", **SCRAPED, **indicator_labels}, _constant(threshold)
    for slo, app, target in Objectives().targets():
        yield {"__name__": "platform_objective", "slo": slo, "app": app or "", **SCRAPED}, _constant(target)
    for family in (*FAMILIES.values(), *SAMPLES):
        if family.name not in ("platform_threshold", "platform_objective"):
            yield from _family(family)
    for name, label_sets in FOREIGN.items():
        for labels in label_sets:
            kind = "counter" if name.endswith("_total") else "gauge"
            yield {"__name__": name, **labels}, _counter(0.2) if kind == "counter" else _gauge(name, labels)


def _family(family: Family) -> Iterator[tuple[Labels, Value]]:
    for labels in _label_sets(family):
        known = {**SCRAPED, **labels}
        if family.type == "histogram":
            yield from _histogram(family, known)
        elif family.type == "counter":
            yield {"__name__": family.name, **known}, _counter(*_rates(family, labels))
        elif family.type == "stateset":
            yield {"__name__": family.name, **known}, _state(labels, labels[family.name])
        else:
            yield {"__name__": family.name, **known}, _gauge(family.name, labels)


def _label_sets(family: Family) -> Iterator[Labels]:
    def values(label: str) -> tuple[str, ...]:
        if label == family.name:
            return ("healthy", "degraded", "unhealthy", "unknown")
        if family.zero_fill and label == family.zero_fill.label:
            return family.zero_fill.values
        return OF_FAMILY.get((family.name, label)) or VALUES.get(label, ("one", "two"))

    for chosen in product(*(values(label) for label in family.labels)):
        yield dict(zip(family.labels, chosen, strict=True))


def _rates(family: Family, labels: Labels) -> tuple[float, float]:
    """Return the events per second of a counter in health and during an incident."""
    if "code" in labels:
        share = CODE_SHARES[labels["code"]]
        return share / 2, (0.25 if labels["code"] == "500" else share / 2)
    if any(
        word in family.name
        for word in ("_failures", "_errors", "_dropped", "_rejected", "_blocked", "_folded", "_noise")
    ):
        return 0.002, 0.12
    return 1.0, 1.0


def _counter(healthy: float, failing: float | None = None) -> Value:
    failing = healthy if failing is None else failing

    def value(second: float, start: float) -> float:
        elapsed = second + WARM_UP_SECONDS
        bad = sum(max(0.0, min(second, last * 60) - first * 60) for first, last in INCIDENT_MINUTES)
        return math.floor(100 * (healthy * (elapsed - bad) + failing * bad)) / 100

    return value


def _histogram(family: Family, labels: Labels) -> Iterator[tuple[Labels, Value]]:
    bounds = (*family.bounds, math.inf)
    fast, slow = bounds[len(bounds) // 3], bounds[-2]
    for bound in bounds:
        shown = "+Inf" if bound == math.inf else f"{bound:g}"
        healthy, failing = (1 / (1 + (typical / bound) ** 2) for typical in (fast, slow))
        yield {"__name__": f"{family.name}_bucket", "le": shown, **labels}, _counter(healthy, failing)
    yield {"__name__": f"{family.name}_count", **labels}, _counter(1.0)
    yield {"__name__": f"{family.name}_sum", **labels}, _counter(fast, slow)


def _state(labels: Labels, state: str) -> Value:
    def value(second: float, start: float) -> float:
        return float(state == STATES[labels["component"] == "redis" and incident(second)])

    return value


def _gauge(name: str, labels: Labels) -> Value:
    """Return a gauge's course by what its name ends with."""
    fragile = labels.get("component", "redis") == "redis" and labels.get("source", "stratlogic") == "stratlogic"
    if "expiry_timestamp" in name:
        return lambda second, start: start + 10 * 86400
    if "first_seen" in name:
        return lambda second, start: start + (600 if labels.get("release") == "1.4.0" else 2400)
    if "reset_timestamp" in name:
        return lambda second, start: start + second + 900
    if name.endswith("_timestamp_seconds"):
        return lambda second, start: start + second - (900 if incident(second) else 20)
    if name.endswith("_up") or name == "up":
        return lambda second, start: float(not (fragile and incident(second) and name != "up"))
    if name == "platform_redis_cache":
        return _constant(0)
    if "limit_bytes" in name or name.endswith("_limit"):
        return _constant(1e9 if "bytes" in name else 100)
    if "remaining" in name:
        return lambda second, start: 4500 - 1.1 * second  # used up some minutes after the hour, before it starts again
    if name.endswith(("_successful", "_info")):
        return _constant(1)
    if name.endswith(("_total_bytes", "_filesystem_size_bytes")):
        return _constant(1e12)
    if name.endswith("_ratio"):
        return lambda second, start: 0.5 if incident(second) else 0.92
    if name == "platform_table_rows":
        return lambda second, start: 40 if incident(second) else 400
    scale = 4e8 if "bytes" in name else 30 if "connections" in name else 5
    return lambda second, start: scale * (1 + 0.2 * math.sin(second / 400)) * (2.3 if incident(second) else 1)


def _constant(number: float) -> Value:
    return lambda second, start: number
