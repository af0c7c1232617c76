"""The exposition keeps its contract, also for random rollups."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from exporter.aggregation.series import Reading, SourceView, Total
from exporter.config.settings import convert
from exporter.errors import ConfigError
from exporter.exposition import collector, partial_sums, reference
from exporter.exposition.families import FAMILIES, Family
from exporter.exposition.labels import AddedLabels, added_labels
from exporter.exposition.negotiation import Format
from exporter.probes.base import Gauge, ProbeResult, Status
from platform_sdk.events.sample import bounds_of
from tests.exposition import golden

OPENMETRICS = "application/openmetrics-text"

CONTRACT = """
platform_component_up gauge component name
platform_component_status stateset component name platform_component_status
platform_component_probe_duration_seconds gauge component name
platform_component_probe_failures_total counter component name reason
platform_component_problem gauge component name reason
platform_component_certificate_expiry_timestamp_seconds gauge component name
platform_postgresql_connections gauge name
platform_postgresql_connections_limit gauge name
platform_postgresql_oldest_transaction_seconds gauge name
platform_postgresql_size_bytes gauge name
platform_postgresql_transaction_ids_used_ratio gauge name
platform_postgresql_standbys gauge name
platform_postgresql_standby_lag_seconds gauge name standby
platform_postgresql_replay_lag_seconds gauge name
platform_postgresql_slot_retained_bytes gauge name slot
platform_redis_memory_used_bytes gauge name
platform_redis_memory_limit_bytes gauge name
platform_redis_cache gauge name
platform_redis_clients gauge name
platform_minio_drives_online gauge name
platform_minio_drives_offline gauge name
platform_minio_bucket_up gauge name bucket
platform_queue_lag gauge name queue group
platform_exporter_query_up gauge query
platform_exporter_query_age_seconds gauge query
platform_exporter_query_duration_seconds gauge query
platform_queue_length gauge name queue group
platform_queue_oldest_timestamp_seconds gauge name queue group
platform_queue_pending gauge name queue group
platform_scraping_runs_total counter app scraper
platform_scraping_run_failures_total counter app scraper reason
platform_scraping_run_duration_seconds histogram app scraper
platform_scraping_items_total counter app scraper
platform_scraping_item_failures_total counter app scraper
platform_scraping_jobs gauge app scraper status
platform_scraping_oldest_pending_timestamp_seconds gauge app scraper
platform_scraping_oldest_heartbeat_timestamp_seconds gauge app scraper
platform_scraping_oldest_progress_timestamp_seconds gauge app scraper
platform_scraping_last_success_timestamp_seconds gauge app scraper
platform_api_calls_total counter app api
platform_api_call_failures_total counter app api reason
platform_api_call_duration_seconds histogram app api
platform_api_rate_limit_remaining gauge app api quota
platform_api_rate_limit_reset_timestamp_seconds gauge app api quota
platform_api_cost_total counter app api
platform_http_requests_total counter app route method code
platform_http_request_duration_seconds histogram app route
platform_user_activity_total counter app activity role
platform_user_activity_failures_total counter app activity role
platform_active_users gauge app window
platform_active_sessions gauge app window
platform_errors_total counter app severity error_type
platform_error_issues gauge app severity status
platform_release_first_seen_timestamp_seconds gauge app release
platform_error_issue_changed_timestamp_seconds gauge app change severity error_type release fingerprint
platform_error_issues_created_total counter app severity
platform_error_regressions_total counter app
platform_sdk_events_total counter app
platform_sdk_events_dropped_total counter app reason
platform_sdk_processes gauge app state
platform_sdk_last_report_timestamp_seconds gauge app
platform_open_alerts gauge app severity alert_source
platform_threshold gauge indicator severity app api scraper queue name watch
platform_objective gauge slo app
platform_dependency gauge app endpoint source query component name origin
platform_exporter_source_lag_seconds gauge source
platform_exporter_source_up gauge source
platform_exporter_source_app gauge source app
platform_exporter_source_approximate gauge source
platform_exporter_source_poll_duration_seconds gauge source
platform_exporter_source_clock_ahead_seconds gauge source
platform_exporter_events_total counter source
platform_exporter_series_folded_total counter source metric app
platform_exporter_series_ended_total counter source metric reason
platform_exporter_rows_rejected_total counter source reason app
platform_exporter_rows_missed_total counter source
platform_exporter_certificate_expiry_timestamp_seconds gauge
platform_exporter_build_info gauge version python_version
"""
"""Name, type and labels of every metric that rules, dashboards and people rely on."""

BOUNDS = {
    "platform_scraping_run_duration_seconds": (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600),
    "platform_api_call_duration_seconds": (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    "platform_http_request_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
}


def expose(
    *views: SourceView, accept: str = OPENMETRICS, added: AddedLabels = collector.NO_LABELS
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the series of these views as a strict parser reads them; fails where a family or series stands twice."""
    form = Format(accept)
    body = form.join([form.encode(collector.counted(views, created=form.openmetrics, added=added))]).decode()
    families = list((parse_openmetrics if form.openmetrics else parse_classic)(body))
    samples = [sample for family in families for sample in family.samples]
    series = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len({family.name for family in families}) == len(families)
    assert len(series) == len(samples)
    return series


@pytest.mark.parametrize("line", CONTRACT.strip().splitlines(), ids=lambda line: line.split()[0])
def test_contract_of_names_types_and_labels(line: str) -> None:
    """A metric of the contract has just this type and just these labels."""
    name, kind, *labels = line.split()

    assert (FAMILIES[name].type, set(FAMILIES[name].labels)) == (kind, set(labels))


@pytest.mark.parametrize("name", list(BOUNDS))
def test_contract_of_buckets(name: str) -> None:
    """A histogram of the contract has just these buckets."""
    assert FAMILIES[name].bounds == BOUNDS[name]


def test_every_family_follows_the_naming_rules() -> None:
    """Counters end in _total and nothing else does; no label's name is in a metric's name; help is one sentence."""
    for family in FAMILIES.values():
        assert family.name.endswith("_total") == (family.type == "counter")
        assert family.help.endswith(".")
        assert len(set(family.labels)) == len(family.labels)


def test_reference_holds_every_family() -> None:
    """The reference names every family, and so is complete for the rules and documents checked by it."""
    documented = {family.name for _, _, families in reference.SECTIONS for family in families}

    assert documented == {*FAMILIES, *(family.name for family in reference.PROCESS_FAMILIES)}


def test_generated_documents_are_up_to_date() -> None:
    """docs/metrics.md and the example configuration are what `python -m exporter.exposition.reference` writes."""
    documents = reference.documents(Path(__file__).parents[2])

    assert {path: path.read_text(encoding="utf-8") for path in documents} == documents


def test_two_sources_of_one_series_are_added() -> None:
    """Where two sources feed one series, it stands once with the sum of both; the earlier start is its start."""
    a = golden.total("platform_api_calls_total", 4, {"app": "a", "api": "b"}, after=50)
    b = golden.total("platform_api_calls_total", 6, {"app": "a", "api": "b"})
    series = expose(SourceView("x", (a,)), SourceView("y", (b,)))
    labels = (("api", "b"), ("app", "a"))

    assert series["platform_api_calls_total", labels] == 10
    assert series["platform_api_calls_created", labels] == golden.CREATED


def test_two_sources_of_one_gauge_show_the_newest() -> None:
    """A gauge is not a sum: of two sources the newest value is shown."""
    old = Total("platform_api_rate_limit_remaining", "gauge", {"app": "a", "api": "b"}, 5.0, None, None, 10.0, 0.0)
    new = Total("platform_api_rate_limit_remaining", "gauge", {"app": "a", "api": "b"}, 3.0, None, None, 20.0, 0.0)

    assert list(expose(SourceView("x", (new,)), SourceView("y", (old,))).values()) == [3.0]


def test_no_part_of_a_sum_is_shown() -> None:
    """While it is not known what a store had shown, its apps' counters are left out: their sum would fall."""
    calls = golden.total("platform_api_calls_total", 4, {"app": "a", "api": "b"})
    own = golden.total("platform_exporter_events_total", 4, {"source": "x"})
    known, unknown = SourceView("x", (calls, own), known=True), SourceView("y")
    apart = AddedLabels(of_source={"x": {"region": "eu"}})

    assert partial_sums.without_partial_sums([known, unknown], ["x", "y"])[0].totals == (own,)
    assert partial_sums.without_partial_sums([known, replace(unknown, known=True)], ["x", "y"])[0] == known
    assert partial_sums.without_partial_sums([known, unknown], ["x"])[0] == known
    assert partial_sums.without_partial_sums([known, unknown], ["x", "y"], apart)[0] == known


@pytest.mark.parametrize(
    ("metric", "labels", "values", "one"),
    [
        ("platform_error_issues", ("a", "high", "open"), (2.0, 3.0), 5.0),
        ("platform_release_first_seen_timestamp_seconds", ("a", "1"), (20.0, 10.0), 10.0),
        ("platform_sdk_last_report_timestamp_seconds", ("a",), (20.0, 10.0), 20.0),
        ("platform_sdk_clock_ahead_seconds", ("a",), (-9.0, 4.0), -9.0),
    ],
)
def test_a_state_of_two_sources_is_one(
    metric: str, labels: tuple[str, ...], values: tuple[float, float], one: float
) -> None:
    """What is counted is added; of times the first or, of reports, the last is shown; of clocks the one most wrong."""
    views = [SourceView(str(value), readings=(Reading(metric, labels, value),)) for value in values]

    assert list(expose(*views).values()) == [one]


def test_known_failures_start_at_zero() -> None:
    """Beside every attempt stands each reason it may fail for, at 0, so that the first failure is an increase."""
    calls = golden.total("platform_api_calls_total", 4, {"app": "a", "api": "b"})
    failed = golden.total("platform_api_call_failures_total", 1, {"app": "a", "api": "b", "reason": "timeout"})
    series = expose(SourceView("x", (calls, failed)))
    found = {
        dict(labels)["reason"]: value for (name, labels), value in series.items() if name.endswith("failures_total")
    }

    fill = FAMILIES["platform_api_call_failures_total"].zero_fill
    assert fill is not None
    assert found == dict.fromkeys(fill.values, 0.0) | {"timeout": 1.0}


def test_known_failures_start_at_zero_before_any_failure() -> None:
    """The zeros are there where nothing failed yet: a family that does not exist cannot increase."""
    series = expose(SourceView("x", (golden.total("platform_scraping_runs_total", 4, {"app": "a", "scraper": "b"}),)))

    assert ("platform_scraping_run_failures_total", (("app", "a"), ("reason", "timeout"), ("scraper", "b"))) in series


ADDED = AddedLabels({"environment": "prod"}, {"x": {"environment": "prod", "team": "data"}})


def test_labels_are_added() -> None:
    """A series has the labels of the installation, or of its source; so have its zeros, and readings of state."""
    calls = golden.total("platform_api_calls_total", 4, {"app": "a", "api": "b"})
    jobs = Reading("platform_scraping_jobs", ("a", "news", "running"), 2.0)
    found = [dict(labels) for _, labels in expose(SourceView("x", (calls,), (jobs,)), added=ADDED)]
    others = [dict(labels) for _, labels in expose(SourceView("alerts", (calls,), (jobs,)), added=ADDED)]

    assert len(found) > 5
    assert all((labels["environment"], labels["team"]) == ("prod", "data") for labels in found)
    assert all((labels["environment"], labels.get("team")) == ("prod", None) for labels in others)


def test_labels_of_components() -> None:
    """What is probed has the labels of the installation."""
    results = {("redis", "main"): ProbeResult(Status.HEALTHY, 0.1, gauges=(Gauge("redis_clients", 3),))}
    samples = [one for metric in collector.probed(results, {}, ADDED) for one in metric.samples]

    assert {one.labels["environment"] for one in samples} == {"prod"}


def test_labels_are_not_added_to_the_exporters_own_series() -> None:
    """Which exporter counted is said by what scrapes it."""
    rejected = golden.total("platform_exporter_rows_rejected_total", 4, {"source": "x", "reason": "null"})

    assert {
        labels for name, labels in expose(SourceView("x", (rejected,)), added=ADDED) if name.endswith("_total")
    } == {(("reason", "null"), ("source", "x"))}


def test_own_label_of_a_sample_is_kept() -> None:
    """A custom sample that has a label of that name keeps it, and series that become the same are one."""
    own = golden.total("platform_sample_x_total", 4, {"app": "a", "environment": "test"}, "counter")
    same = golden.total("platform_sample_x_total", 3, {"app": "a", "environment": "prod"}, "counter")
    none = golden.total("platform_sample_x_total", 2, {"app": "a", "environment": ""}, "counter")
    found = expose(SourceView("y", (own, same, none)), added=ADDED)

    totals = {dict(labels)["environment"]: value for (name, labels), value in found.items() if name.endswith("_total")}
    assert totals == {"test": 4, "prod": 5}


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        ({"labels": {"app": "x"}}, "invalid label 'app' in `labels`: expected a name without a meaning; app"),
        ({"labels": {"instance": "x"}}, "instance is a label of every scrape"),
        ({"labels": {"le": "x"}}, "le is a label of histograms"),
        ({"labels": {"__name__": "x"}}, "invalid label '__name__' in `labels`"),
        ({"sources": [{"labels": {"group": "x"}}]}, "invalid label 'group' in `sources[0].labels`"),
        ({"labels": {"table": "x"}, "sources": [{"sample_labels": ["table"]}]},
         "invalid value 'table' for `sources[0].sample_labels`: `labels` adds it"),
    ],
)  # fmt: skip
def test_label_with_a_meaning_is_refused(configured: dict[str, object], said: str) -> None:
    """A label that series have already is not added: that would change what they say."""
    with pytest.raises(ConfigError) as caught:
        added_labels(convert({"database": {"dsn": "x"}, **configured}))

    assert said in str(caught.value)


def test_label_of_a_source_wins() -> None:
    """A source may be in another environment than the rest of the installation."""
    config = convert({"database": {"dsn": "x"}, "labels": {"environment": "prod", "region": "eu"},
                      "sources": [{}, {"name": "b", "labels": {"environment": "test"}}]})  # fmt: skip

    assert added_labels(config).of("b") == {"environment": "test", "region": "eu"}
    assert added_labels(config).of("native") == {"environment": "prod", "region": "eu"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, {("critical", "", ""): 0.05, ("medium", "", ""): 0.02}),
        ({"critical": 0.5}, {("critical", "", ""): 0.5, ("medium", "", ""): 0.02}),
        ({"high": 0.03}, {("critical", "", ""): 0.05, ("high", "", ""): 0.03, ("medium", "", ""): 0.02}),
        ({"apps": {"a": {"medium": 0.9}}, "apis": {"b": {"critical": 0.8}}},
         {("critical", "", ""): 0.05, ("medium", "", ""): 0.02, ("medium", "a", ""): 0.9, ("critical", "", "b"): 0.8}),
    ],
)  # fmt: skip
def test_thresholds_are_series(text: dict[str, object], expected: dict[tuple[str, str, str], float]) -> None:
    """What the configuration says about an indicator is what rules and panels read."""
    band = {"medium": 0.02, "critical": 0.05} | text
    settings = convert({"database": {"dsn": "x"}, "thresholds": {"http_error_ratio": band}}).thresholds
    found = {
        (labels["severity"], labels.get("app", ""), labels.get("api", "")): value
        for labels, value in collector.thresholds(settings)
        if labels["indicator"] == "http_error_ratio"
    }

    assert found == expected


def test_minimum_of_events_is_a_threshold_too() -> None:
    """The number of events below which an indicator is unknown is a series without a severity."""
    settings = convert({"database": {"dsn": "x"}, "thresholds": {"minimum_events": 7}}).thresholds

    assert ({"indicator": "minimum_events"}, 7.0) in list(collector.thresholds(settings))


NAMES = ["x", "x_total", "x_count", "x_sum", "x_bucket", "x_created", "x_info", "x_value", "x_distribution",
         "x_increments_total", "x_seconds", "x_seconds_count", "x_observations", "x_value_created"]  # fmt: skip
VALUES = [0.0, 1.0, 1e15, -5.0, float("nan"), float("inf"), 1e-300]
TEXTS = ["", "a", 'q"q', "b\\n", "n\n", "é😀", "_other_", "\x7f", "{}=,"]


def rollups(chance: random.Random) -> Iterator[Total]:
    """Yield rollups as a hostile writer, an older version and several sources might have made them."""
    declared: list[Family] = [family for family in FAMILIES.values() if family.labels]
    for _ in range(chance.randrange(60)):
        kind = chance.choice(["counter", "gauge", "histogram", "summary"])
        if chance.random() < 0.3:
            family = chance.choice(declared)
            name, labels, bounds = family.name, family.labels, family.bounds
            kind = family.type if chance.random() < 0.8 else kind
        else:
            name = f"platform_sample_{chance.choice(NAMES)}"
            labels = ("app", *chance.sample(["table", "method"], chance.randrange(3)))
            bounds = bounds_of(name)
        size = len(bounds) if chance.random() < 0.9 else chance.randrange(4)
        count = float(chance.randrange(100))
        value = chance.choice([*VALUES, count]) if kind == "gauge" else count
        buckets = sorted(float(chance.randrange(int(count) + 1)) for _ in range(size)) if kind == "histogram" else None
        total = abs(chance.choice(VALUES[:3])) if kind in ("histogram", "summary") else None
        texts = {label: chance.choice(TEXTS) for label in labels}
        at = float(chance.randrange(9)) if kind == "gauge" else None
        yield Total(name, kind, texts, value, total, buckets, at, float(chance.randrange(3)))


@pytest.mark.parametrize("seed", range(60))
def test_no_rollups_make_an_invalid_exposition(seed: int) -> None:
    """Whatever is stored, every format stays valid, and no family or series stands in it twice."""
    chance = random.Random(seed)
    views = [SourceView(f"s{index}", tuple(rollups(chance))) for index in range(3)]

    for added in (AddedLabels(), AddedLabels({"region": "eu", "table": "a"}, {"s1": {"method": "a"}})):
        expose(*views, added=added)
        expose(*views, accept="text/plain", added=added)
