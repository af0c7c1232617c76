"""The golden expositions: one example of everything, always the same.

`python -m tests.exposition.golden` writes them again; look at the difference before committing it.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric

from exporter.aggregation.series import Exemplar, Reading, SourceView, Total
from exporter.config.schedules import Job
from exporter.config.settings import Watch, convert
from exporter.dependencies import dependencies
from exporter.exposition import collector
from exporter.exposition.families import EVENT_FAMILIES, FAMILIES
from exporter.exposition.negotiation import Format
from exporter.jobs import JobState
from exporter.probes import PROBES
from exporter.probes.base import Gauge, GaugeFamily, ProbeResult, Reason, Status
from exporter.queries import QueryView
from platform_sdk.events.sample import bounds_of

FOLDER = Path(__file__).parent
FILES = {
    FOLDER / "golden.txt": "text/plain;version=0.0.4",
    FOLDER / "golden.openmetrics.txt": "application/openmetrics-text;version=1.0.0",
}
CREATED = 1_700_000_000.0
NOW = 5_000.0
ODD = 'a "quoted"\\back\nline — ünïcode 😀'


QUERIES: list[dict[str, Any]] = [
    {"name": "stock", "sql": "S", "values": {"parts": "Parts.", "age_seconds": "Age."}, "labels": ["area", "hall"]},
    {"name": "slow", "sql": "S", "value": "v"},
]


def total(metric: str, value: float, labels: dict[str, str], kind: str | None = None, **more: object) -> Total:
    """Return a rollup of a declared family, or of a sample of type `kind`; of a histogram `value` is the count."""
    family = FAMILIES.get(metric)
    kind = kind or (family.type if family else "gauge")
    bounds = family.bounds if family else bounds_of(metric)
    buckets = [float(min(index, value)) for index, _ in enumerate(bounds)] if kind == "histogram" else None
    spent = value * 0.25 if kind in ("histogram", "summary") else None
    at = CREATED if kind == "gauge" else None
    return Total(metric, kind, labels, value, spent, buckets, at, CREATED + float(str(more.get("after", 0))))


def totals() -> Iterator[Total]:
    """Yield the series that were chosen for what they show."""
    shop, crawl = {"app": "shop"}, {"app": "crawl", "scraper": "news"}
    yield total("platform_http_requests_total", 12, {**shop, "route": "/items/{id}", "method": "GET", "code": "200"})
    yield total("platform_http_requests_total", 1, {**shop, "route": ODD, "method": "other", "code": "other"})
    yield total("platform_http_requests_total", 3, {**shop, "route": "", "method": "GET", "code": "404"})
    duration = total("platform_http_request_duration_seconds", 13, {**shop, "route": "/items/{id}"})
    exemplar = Exemplar(0.0071, CREATED + 3.25, "4bf92f3577b34da6a3ce929d0e0e4736")
    yield replace(duration, exemplars={1: exemplar, 11: Exemplar(12.5, CREATED + 4, "x" * 64)})
    yield total("platform_api_calls_total", 4, {**shop, "api": "arxiv"})
    yield total("platform_api_call_failures_total", 1, {**shop, "api": "arxiv", "reason": "timeout"})
    yield total("platform_api_call_duration_seconds", 4, {**shop, "api": "arxiv"})
    yield total("platform_api_rate_limit_remaining", 99, {**shop, "api": "arxiv"})
    yield total("platform_api_rate_limit", 90000, {**shop, "api": "arxiv", "quota": "tokens"})
    yield total("platform_api_rate_limit_reset_timestamp_seconds", CREATED + 600, {**shop, "api": "arxiv"})
    yield total("platform_api_cost_total", 0.02, {**shop, "api": "arxiv"})
    acme = {**shop, "consumer": "acme"}
    yield total("platform_consumer_requests_total", 5, acme)
    yield total("platform_consumer_client_errors_total", 1, acme)
    yield total("platform_consumer_server_errors_total", 0, acme)
    yield total("platform_consumer_request_duration_seconds", 5, acme)
    yield total("platform_consumer_api_calls_total", 2, acme)
    yield total("platform_consumer_api_call_failures_total", 0, acme)
    yield total("platform_consumer_api_call_duration_seconds", 2, acme)
    yield total("platform_consumer_api_cost_total", 0.01, acme)
    model = {**shop, "api": "openai", "model": "gpt-4o"}
    yield total("platform_gen_ai_calls_total", 3, {**model, "operation": "chat"})
    yield total("platform_gen_ai_input_tokens_total", 1200, {**model, "operation": "chat"})
    yield total("platform_gen_ai_failures_total", 1, {**model, "error_type": "overloaded_error"})
    yield total("platform_gen_ai_time_to_first_token_seconds", 2, model)
    yield total("platform_scraping_runs_total", 2, crawl)
    yield total("platform_scraping_run_failures_total", 1, {**crawl, "reason": "blocked"})
    yield total("platform_scraping_run_duration_seconds", 2, crawl)
    yield total("platform_scraping_items_total", 1e15, crawl)
    yield total("platform_scraping_item_failures_total", 0, crawl)
    yield total("platform_scraping_last_success_timestamp_seconds", CREATED + 60, crawl)
    yield total("platform_scraping_items_dropped_total", 3, crawl)
    yield total("platform_scraping_requests_total", 7, {**crawl, "code": "none"})
    yield total(
        "platform_scraping_site_requests_total", 7, {"app": "crawl", "site": "news.example", "outcome": "refused"}
    )
    yield total("platform_user_activity_total", 5, {**shop, "activity": "login", "role": "admin"})
    yield total("platform_user_activity_failures_total", 1, {**shop, "activity": "login", "role": "admin"})
    yield total("platform_errors_total", 2, {**shop, "severity": "high", "error_type": "KeyError"})
    yield total("platform_error_issues_created_total", 2, {**shop, "severity": "high"})
    yield total("platform_error_regressions_total", 1, shop)
    down = {"alertname": "PlatformComponentDown", "severity": "critical"}
    yield total("platform_alert_notifications_total", 3, {**down, "status": "firing"})
    yield total("platform_alert_repeats_total", 1, down)
    yield total("platform_alert_firing_seconds_total", 93.5, down)
    yield total("platform_alert_time_to_resolve_seconds", 2, down)
    yield total("platform_alert_flaps_total", 1, down)
    yield total("platform_alert_noise_total", 1, down)
    yield total("platform_sdk_events_total", 126, shop)
    yield total("platform_sdk_events_dropped_total", 5, {**shop, "reason": "overflow"})
    yield total("platform_exporter_events_total", 47, {"source": "native"})
    yield total("platform_exporter_counters_went_back_total", 3, {"source": "native"})
    ended = {"source": "native", "metric": "platform_api_calls_total", "reason": "idle"}
    yield total("platform_exporter_series_ended_total", 24, ended)
    yield total("platform_exporter_rows_rejected_total", 2, {"source": "native", "reason": "negative", "app": "shop"})
    yield total("platform_exporter_rows_missed_total", 6, {"source": "native"})
    yield total(
        "platform_exporter_series_folded_total",
        1,
        {"source": "native", "metric": "platform_errors_total", "app": "shop"},
    )
    yield total("platform_sample_queue_depth", 7, shop, "gauge")
    yield total("platform_sample_queue_depth", 3, shop, "histogram", after=60)
    yield total("platform_sample_query_seconds", 3, {**shop, "table": "users"}, "histogram")
    yield total("platform_sample_upload_bytes_total", 4096, shop, "counter")
    yield total("platform_sample_parse_seconds", 3, shop, "summary")
    yield total("platform_sample_odd", math.nan, shop, "gauge")
    yield total("platform_sample_odd", -math.inf, {**shop, "x": "y"}, "gauge")


def others() -> Iterator[Total]:
    """Yield one series of every family of events that has none above."""
    shown = {one.metric for one in totals()}
    for family in EVENT_FAMILIES:
        if family.name not in shown:
            yield total(family.name, 3, dict.fromkeys(family.labels, "shop"))


def readings() -> tuple[Reading, ...]:
    """Return one series of every state."""
    return (
        Reading("platform_scraping_jobs", ("crawl", "news", "running"), 1),
        Reading("platform_scraping_oldest_pending_timestamp_seconds", ("crawl", "news"), CREATED),
        Reading("platform_scraping_oldest_heartbeat_timestamp_seconds", ("crawl", "news"), CREATED + 0.5),
        Reading("platform_scraping_oldest_progress_timestamp_seconds", ("crawl", "news"), CREATED + 0.25),
        Reading("platform_active_users", ("shop", "5m"), 3),
        Reading("platform_active_sessions", ("shop", "7d"), 4),
        Reading("platform_release_first_seen_timestamp_seconds", ("shop", "1.4.2"), CREATED - 60),
        Reading("platform_sdk_processes", ("shop", "running"), 3),
        Reading("platform_sdk_last_report_timestamp_seconds", ("shop",), CREATED),
        Reading("platform_error_issues", ("shop", "high", "open"), 2),
        Reading(
            "platform_error_issue_changed_timestamp_seconds",
            ("shop", "created", "high", "KeyError", "1.4.2", "ab12"),
            CREATED,
        ),
        Reading("platform_sdk_clock_ahead_seconds", ("shop",), -2.5),
        Reading("platform_open_alerts", ("shop", "critical", ""), 1),
        Reading("platform_alert_spooled_posts", (), 2),
    )


def views() -> tuple[SourceView, ...]:
    """Return two sources that share series, and one that was never read."""
    well = SourceView("native", (*totals(), *others()), readings(), NOW - 1, NOW - 2, 0.125, (), 900.0)
    same = SourceView("copy", (total("platform_api_calls_total", 6, {"app": "shop", "api": "arxiv"}),), readings()[4:6],
                NOW - 900, NOW - 900, 0.5, ())  # fmt: skip
    return well, same, SourceView("new")


def gauge(family: GaugeFamily) -> Gauge:
    """Return one series of a family that a kind of probe declares."""
    return Gauge(family.metric, 3.0, {label: f"some {label}" for label in family.labels})


def probed() -> Iterator[Metric]:
    """Yield the families of components: of every kind all its gauges, and Redis in every state."""
    expiry = Gauge("component_certificate_expiry_timestamp_seconds", CREATED + 86_400)
    results = {
        (kind.component, "main"): ProbeResult(
            Status.HEALTHY, 0.002, gauges=(*(gauge(family) for family in kind.families), expiry)
        )
        for kind in PROBES
    }
    full = ("memory", "persistence", "persistence")
    results["redis", "full"] = ProbeResult(Status.DEGRADED, 0.001, "x", weaknesses=full)
    results["redis", "gone"] = ProbeResult(Status.UNHEALTHY, 1.0, "x", Reason.TIMEOUT)
    results["redis", "new"] = ProbeResult(Status.UNKNOWN, 0.0)
    failures = {(kind.component, "main"): dict.fromkeys(kind.all_reasons(), 0) for kind in PROBES}
    failures["redis", "gone"] = {Reason.TIMEOUT: 8}
    return collector.probed(results, failures)


def exposition(accept: str) -> str:
    """Return everything that does not change by itself: all but version, time of load and the process."""
    form = Format(accept)
    config = convert(
        {
            "database": {"dsn": "dbname=x"},
            "thresholds": {
                "http_error_ratio": {"apps": {"shop": {"medium": 0.3}}},
                "api_quota_seconds": {"apis": {"arxiv": {"high": 60}}},
            },
            "probes": {
                "redis": [{"name": "main", "url": "redis://r/0"}],
                "http": [{"name": "shop", "url": "http://h/"}],
            },
            "dependencies": {"shop": ["redis/main"], "http/shop": ["redis/main"], "query/stock": ["redis/main"]},
            "budgets": [{"month": 500}, {"month": 200, "app": "shop", "api": "arxiv"}],
            "objectives": {"http_availability": {"target": 0.99, "apps": {"shop": 0.999}}},
        }
    )
    own = collector.exporter(config, reload_ok=True, loaded_at=CREATED, now=CREATED + 90)
    live = [*probed(), *collector.sources(views(), {"native": 5, "copy": 5, "new": 5}, NOW)]
    live += collector.needed(dependencies(config))
    live += collector.own_certificate(CREATED + 86_400)
    live += collector.watchdog(CREATED + 60, False, {"mail": True})
    stock = convert({"database": {"dsn": "x"}, "queries": QUERIES}).queries
    values = {"parts": {("north", ODD): 12.0, ("", "south"): -0.5}, "age_seconds": {("north", ODD): 60.0}}
    said = {("newest", ""): CREATED, ("rows", ""): 120.0, ("nulls", ODD): 0.25, ("duplicates", ""): 0.0}
    watch = QueryView(Watch("products", "shop.products", "at").query, {"value": said}, NOW - 30, 0.25, "")
    live += collector.queried([QueryView(stock[0], values, NOW - 30, 0.25, ""), QueryView(stock[1]), watch], NOW)
    prices = Job(
        app="shop", scraper="prices", cron="0 3 * * 0", time_zone="Europe/Berlin", least_items=1000, shortest="10m",
        longest="3h",
    )  # fmt: skip
    states = [
        JobState(prices, CREATED, CREATED + 259_200),
        JobState(Job(app="shop", task="mail", every="1d"), None, None),
    ]
    live += collector.jobs(states)
    differences = {"platform_api_calls_total": 0.0, "platform_errors_total": -2.0}
    live += collector.reconciled([("native", CREATED, differences)])
    live += [metric for metric in own if metric.name != "platform_exporter_build_info"]
    parts = (form.encode(collector.counted(views(), created=form.openmetrics)), form.encode(live))
    return form.join(parts).decode()


if __name__ == "__main__":
    for path, accept in FILES.items():
        path.write_text(exposition(accept), encoding="utf-8")
