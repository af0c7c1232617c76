"""Every series equals what plain SQL says of the table."""

from pathlib import Path

import pytest

from platform_sdk.events import KINDS, api_call, http_request, scraping_run
from tests.aggregation.counting import Store

BATCHES = {
    "http_request": """INSERT INTO monitoring.http_request
        (at, app, route, method, status, duration_seconds, first_byte_seconds, user_id, session_id, weight)
        SELECT now() - random() * '2 days'::interval, 'app' || i % 2, '/r/' || i % 7,
            (ARRAY['GET', 'post', 'BREW', 'DELETE'])[1 + i % 4], (ARRAY[200, 302, 404, 500, 999])[1 + i % 5],
            round((random() * 12)::numeric, 3), CASE WHEN i % 6 = 0 THEN 0.02 END, 'u' || i % 31,
            's' || i % 53, 1 + i % 3
        FROM generate_series(1, 900) i""",
    "api_call": """INSERT INTO monitoring.api_call
        (at, app, api, status, outcome, reason, duration_seconds, rate_limit_remaining, rate_limit_reset, cost)
        SELECT now() - i * '1 minute'::interval, 'app', 'api' || i % 3,
            (ARRAY[200, 429, 403, 404, 503, NULL])[1 + i % 6],
            CASE WHEN i % 6 = 0 THEN 'success' ELSE 'failure' END, CASE WHEN i % 7 = 0 THEN 'timeout' END,
            round((random() * 40)::numeric, 3), 1000 - i, now() + (i % 60) * '1 minute'::interval,
            CASE WHEN i % 2 = 0 THEN i * 0.001 END FROM generate_series(1, 900) i""",
    "scraping_run": """INSERT INTO monitoring.scraping_run
        (at, app, scraper, outcome, reason, duration_seconds, items_processed, items_failed)
        SELECT now(), 'app', 's' || i % 3, CASE WHEN i % 4 = 0 THEN 'failure' ELSE 'success' END,
            CASE WHEN i % 8 = 0 THEN 'blocked' ELSE 'odd' END, round((random() * 4000)::numeric, 2), i, i % 3
        FROM generate_series(1, 900) i""",
    "user_activity": """INSERT INTO monitoring.user_activity (at, app, activity, role, success)
        SELECT now(), 'app', 'act' || i % 3, CASE WHEN i % 5 > 0 THEN 'role' || i % 5 END, i % 9 > 0
        FROM generate_series(1, 900) i""",
    "error": """INSERT INTO monitoring.error (at, app, severity, error_type)
        SELECT now(), 'app', (ARRAY['low', 'HIGH', 'odd'])[1 + i % 3], 'E' || i % 4 FROM generate_series(1, 900) i""",
    "sample": """INSERT INTO monitoring.sample (at, app, name, kind, value, unit, labels)
        SELECT now() - i * '1 second'::interval, 'app', 'm' || k,
            (ARRAY['counter', 'gauge', 'HISTOGRAM', 'summary'])[k],
            round((random() * 900)::numeric, 1), 'ms', jsonb_build_object('table', 't' || i % 3, 'secret', i)
        FROM generate_series(1, 300) i, generate_series(1, 4) k""",
}
"""Rows by kind; each runs twice, with a poll after each."""

LABEL = {
    "app": "app",
    "route": "route",
    "method": f"CASE WHEN upper(method) IN {http_request.METHODS} THEN upper(method) ELSE 'other' END",
    "code": "CASE WHEN status <= 599 THEN status::text ELSE 'other' END",
    "api": "api",
    "scraper": "scraper",
    "activity": "activity",
    "role": "coalesce(role, '')",
    "severity": "CASE lower(severity) WHEN 'odd' THEN 'other' ELSE lower(severity) END",
    "error_type": "error_type",
    "table": "labels->>'table'",
    "month": "to_char(at AT TIME ZONE 'UTC', 'YYYYMM')",
}
COUNTERS = {
    "platform_http_requests_total": ("http_request", ("app", "code", "method", "route"), "sum(weight)", "true"),
    "platform_api_calls_total": ("api_call", ("api", "app"), "count(*)", "true"),
    "platform_api_cost_total": ("api_call", ("api", "app"), "sum(coalesce(cost, 0))", "true"),
    "platform_api_cost_month_total": ("api_call", ("api", "app", "month"), "sum(cost)", "cost IS NOT NULL"),
    "platform_scraping_runs_total": ("scraping_run", ("app", "scraper"), "count(*)", "true"),
    "platform_scraping_items_total": ("scraping_run", ("app", "scraper"), "sum(items_processed)", "true"),
    "platform_scraping_item_failures_total": ("scraping_run", ("app", "scraper"), "sum(items_failed)", "true"),
    "platform_user_activity_total": ("user_activity", ("activity", "app", "role"), "count(*)", "true"),
    "platform_user_activity_failures_total": (
        "user_activity", ("activity", "app", "role"), "count(*) FILTER (WHERE NOT success)", "true",
    ),
    "platform_errors_total": ("error", ("app", "error_type", "severity"), "count(*)", "true"),
    "platform_sample_m1_seconds_total": ("sample", ("app", "table"), "sum(value) / 1000", "name = 'm1'"),
    "platform_sample_m3_seconds": ("sample", ("app", "table"), "count(*)", "name = 'm3'"),
    "platform_sample_m4_seconds": ("sample", ("app", "table"), "count(*)", "name = 'm4'"),
}  # fmt: skip
FAILURES = {
    "platform_api_call_failures_total": (
        "api_call",
        """CASE WHEN reason IS NOT NULL THEN reason WHEN status = 429 THEN 'rate_limited' WHEN status = 403 THEN
        'forbidden' WHEN status = 404 THEN 'client_error' WHEN status = 503 THEN 'server_error' ELSE 'other' END""",
        "api",
    ),
    "platform_scraping_run_failures_total": (
        "scraping_run", "CASE reason WHEN 'blocked' THEN reason ELSE 'other' END", "scraper",
    ),
}  # fmt: skip
HISTOGRAMS = {
    "platform_http_request_duration_seconds": ("http_request", ("app", "route"), http_request.BOUNDS, "weight"),
    "platform_api_call_duration_seconds": ("api_call", ("api", "app"), api_call.BOUNDS, "1"),
    "platform_scraping_run_duration_seconds": ("scraping_run", ("app", "scraper"), scraping_run.BOUNDS, "1"),
}


def count_twice(store: Store, kind: str) -> None:
    for _ in range(2):
        store.execute(BATCHES[kind])
        store.poll(kind)


def grouped(store: Store, kind: str, labels: tuple[str, ...], value: str, where: str = "true") -> dict[object, object]:
    columns = ", ".join(LABEL[label] for label in labels)
    rows = store.execute(f"SELECT {columns}, {value} FROM monitoring.{kind} WHERE {where} GROUP BY {columns}")
    return {row[: len(labels)]: pytest.approx(float(row[len(labels)])) for row in rows}


@pytest.mark.parametrize("metric", COUNTERS)
def test_a_counter_equals_plain_sql(store: Store, metric: str) -> None:
    """Every label set is there, and none else, before and after more rows came."""
    kind, labels, value, where = COUNTERS[metric]
    count_twice(store, kind)

    assert store.series(metric) == grouped(store, kind, labels, value, where)


@pytest.mark.parametrize("metric", FAILURES)
def test_failures_are_counted_by_reason(store: Store, metric: str) -> None:
    """A success is in none, and an undeclared reason is `other`."""
    kind, reason, label = FAILURES[metric]
    count_twice(store, kind)
    rows = store.execute(
        f"SELECT {label}, {reason}, count(*) FROM monitoring.{kind} WHERE outcome <> 'success' GROUP BY 1, 2"
    )

    found = {(key[0] if label == "api" else key[2], key[2] if label == "api" else key[1]): value
             for key, value in store.series(metric).items()}  # fmt: skip
    assert found == {(row[0], row[1]): row[2] for row in rows}


@pytest.mark.parametrize("metric", HISTOGRAMS)
def test_a_histogram_equals_plain_sql(store: Store, metric: str) -> None:
    """Count, sum and every cumulative bucket, each row as often as its weight says."""
    kind, labels, bounds, weight = HISTOGRAMS[metric]
    count_twice(store, kind)
    observed = "coalesce(first_byte_seconds, duration_seconds)" if kind == "http_request" else "duration_seconds"
    columns = ", ".join(LABEL[label] for label in labels)
    buckets = ", ".join(
        f"coalesce(sum({weight}) FILTER (WHERE {observed} <= {b}), 0)::double precision" for b in bounds
    )
    truth = store.execute(
        f"SELECT {columns}, sum({weight})::double precision, sum({observed} * {weight}), ARRAY[{buckets}] "
        f"FROM monitoring.{kind} GROUP BY {columns}"
    )

    found = store.execute("SELECT labels, value, total, buckets FROM monitoring.rollup WHERE metric = %s", [metric])
    assert {tuple(row[0][label] for label in labels): row[1:] for row in found} == {
        row[:2]: (row[2], pytest.approx(row[3]), row[4]) for row in truth
    }


def test_a_sample_histogram_has_the_bounds_of_its_base_unit(store: Store) -> None:
    """Milliseconds become seconds before they are sorted into buckets."""
    count_twice(store, "sample")
    (truth,) = store.execute(
        "SELECT sum(value) / 1000, count(*) FILTER (WHERE value <= 250), count(*) FILTER (WHERE value <= 500) "
        "FROM monitoring.sample WHERE name = 'm3' AND labels->>'table' = 't1'"
    )

    (found,) = store.execute(
        "SELECT total, buckets[7], buckets[8] FROM monitoring.rollup WHERE metric = 'platform_sample_m3_seconds' "
        "AND labels->>'table' = 't1'"
    )
    assert found == (pytest.approx(truth[0]), truth[1], truth[2])


@pytest.mark.parametrize(
    ("kind", "metric", "truth"),
    [
        (
            "api_call",
            "platform_api_rate_limit_remaining",
            "rate_limit_remaining FROM monitoring.api_call WHERE api = %s",
        ),
        (
            "api_call",
            "platform_api_rate_limit_reset_timestamp_seconds",
            "extract(epoch FROM rate_limit_reset)::double precision FROM monitoring.api_call WHERE api = %s",
        ),
        (
            "sample",
            "platform_sample_m2_seconds",
            "value / 1000 FROM monitoring.sample WHERE name = 'm2' AND labels->>'table' = %s",
        ),
    ],
)
def test_a_gauge_is_the_newest_row(store: Store, kind: str, metric: str, truth: str) -> None:
    """Newest by the event's own time, whatever the order of arrival."""
    store.execute(BATCHES[kind])
    store.poll(kind)
    store.execute(BATCHES[kind].replace("now() -", "now() - '1 day'::interval -"))
    store.poll(kind)

    for key, value in store.series(metric).items():
        label = key[0] if kind == "api_call" else key[1]
        assert value == pytest.approx(store.one(f"SELECT {truth} ORDER BY at DESC LIMIT 1", [label]))


def add_run(store: Store, ended: str, outcome: str) -> float:
    """Store a scraping run, count it, and return when it is said that one last ended well."""
    store.execute(
        "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
        "VALUES (timestamptz '2026-01-01 00:00:00+00' + %s::interval, 'a', 's', %s, 1)", [ended, outcome],
    )  # fmt: skip
    store.poll("scraping_run")
    return store.value("platform_scraping_last_success_timestamp_seconds") or 0.0


def test_last_success_is_that_of_the_newest_run_that_ended_well(store: Store) -> None:
    """A failure does not move it, nor does a run that ended earlier but came late."""
    midnight = 1_767_225_600.0

    assert add_run(store, "10 s", "failure") == 0
    assert add_run(store, "20 s", "success") == midnight + 20
    assert add_run(store, "90 s", "failure") == midnight + 20
    assert add_run(store, "5 s", "success") == midnight + 20
    assert add_run(store, "30 s", "success") == midnight + 30


def test_a_reset_without_end_is_no_time(store: Store) -> None:
    """`infinity` sets nothing: the earlier time stays."""
    for reset in ("2026-01-01 00:00:00+00", "infinity"):
        store.execute(
            "INSERT INTO monitoring.api_call (at, app, api, outcome, duration_seconds, rate_limit_reset) "
            "VALUES (now(), 'a', 'x', 'success', 1, %s)", [reset],
        )  # fmt: skip
        store.poll("api_call")

    assert store.value("platform_api_rate_limit_reset_timestamp_seconds") == 1_767_225_600
    assert store.value("platform_api_calls_total") == 2


def test_rows_counted_are_counted(store: Store) -> None:
    """The exporter's own counter adds up all kinds."""
    for statement in BATCHES.values():
        store.execute(statement)
    store.poll()

    assert store.value("platform_exporter_events_total", source="native") == 5 * 900 + 1200
    assert store.rejected() == {}


def test_a_label_that_is_not_allowed_is_left_out(store: Store) -> None:
    """Only labels on the allow-list reach a series."""
    store.execute(BATCHES["sample"])
    store.poll("sample")

    assert store.one("SELECT count(*) FROM monitoring.rollup WHERE labels ? 'secret'") == 0


def test_a_poll_without_rows_changes_nothing(store: Store) -> None:
    """Counters stand still between events."""
    count_twice(store, "http_request")
    before = store.execute("SELECT * FROM monitoring.rollup ORDER BY metric, labels")
    store.poll("http_request")

    assert store.execute("SELECT * FROM monitoring.rollup ORDER BY metric, labels") == before


def test_every_kind_is_counted_by_a_test() -> None:
    """A kind without a batch here has a test file of its own, tests/events/test_KIND.py."""
    own = {path.stem.removeprefix("test_") for path in (Path(__file__).parents[1] / "events").glob("test_*.py")}

    assert set(KINDS) - set(BATCHES) <= own
