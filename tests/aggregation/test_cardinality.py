"""Bounds: whatever rows contain, the number of series and rollups is limited, and the sums stay exact."""

import pytest

from exporter.aggregation.gauges import StateReader
from exporter.aggregation.series import read_totals
from exporter.config.settings import Limits
from tests.aggregation.counting import Store

REQUESTS = 40_000


def attack(store: Store, route: str = "'/r' || i", app: str = "'a'", rows: int = REQUESTS) -> None:
    store.execute(
        f"INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) "
        f"SELECT now(), {app}, {route}, CASE WHEN i %% 4 = 0 THEN 500 ELSE 200 END, 0.1 FROM generate_series(1, %s) i",
        [rows],
    )


def test_more_routes_than_series(store: Store) -> None:
    """No more series than the limit, every request in one of them, the right error ratio, and few rows in Python."""
    attack(store)
    store.poll("http_request")
    with store.connect_as_exporter() as connection:
        totals = read_totals(connection, store.plan)

    for metric in ("platform_http_requests_total", "platform_http_request_duration_seconds"):
        assert 400 < len(store.series(metric)) <= 500
        assert store.value(metric) == REQUESTS
    assert store.value("platform_http_requests_total", code="500") == REQUESTS / 4
    assert len(totals) < 1010


def test_attack_after_attack(store: Store) -> None:
    """The limit holds over polls, too; what had a series keeps it."""
    store.limits = Limits(series_per_metric=50)
    for start in range(5):
        attack(store, f"'/r' || (i + {start * 1000})", rows=1000)
        store.poll("http_request")
        if start == 0:
            kept = set(store.series("platform_http_requests_total"))

    assert len(store.series("platform_http_requests_total")) <= 50
    assert kept <= set(store.series("platform_http_requests_total"))
    assert store.value("platform_http_requests_total") == 5000


@pytest.mark.parametrize("rows", [1, 3, 15, 16, 17])
def test_attack_of_few_rows(store: Store, rows: int) -> None:
    """The limit holds where each poll has room for a series of every row, until one has not; sums stay exact."""
    store.limits = Limits(series_per_metric=20)
    polls = 40 // rows + 1
    for number in range(polls):
        attack(store, f"'/r{number}/' || i", rows=rows)
        store.poll("http_request")

    for metric in ("platform_http_requests_total", "platform_http_request_duration_seconds"):
        assert 10 < len(store.series(metric)) <= 20
        assert store.value(metric) == polls * rows


def test_the_busiest_keep_their_names(store: Store) -> None:
    """The largest series are kept, not the first in the alphabet."""
    store.limits = Limits(series_per_metric=20)
    attack(store, "'/a' || i", rows=1000)
    attack(store, "'/zzz'", rows=500)
    store.poll("http_request")

    assert store.value("platform_http_request_duration_seconds", route="/zzz") == 500


def test_folded_label_sets_are_counted(store: Store) -> None:
    """A panel can say that names are missing, and of which metric."""
    attack(store, rows=3000)
    store.poll("http_request")
    metric = "platform_http_request_duration_seconds"

    folded = store.series("platform_exporter_series_folded_total")
    assert folded[("a", metric, "native")] == 3000 - len(store.series(metric)) + 1


def test_distinct_apps(store: Store) -> None:
    """Labels that are not folded first, such as app, cannot break the limit either."""
    attack(store, app="'a' || i", rows=20_000)
    store.poll("http_request")

    assert len(store.series("platform_http_requests_total")) <= 500
    assert store.value("platform_http_requests_total") == 20_000


@pytest.mark.parametrize("kind", ["users", "regressions"])
def test_distinct_apps_of_users_and_errors(store: Store, kind: str) -> None:
    """Gauges that are computed and counters beside the rollups are bounded as well."""
    store.execute(
        "INSERT INTO monitoring.error (at, app, error_type) SELECT now(), 'a' || i, 'E' FROM generate_series(1, 5000) i"
    )
    store.execute(
        "INSERT INTO monitoring.user_activity (at, app, activity, user_id, session_id) "
        "SELECT now(), 'a' || i, 'x', 'u', 's' FROM generate_series(1, 5000) i"
    )
    store.poll("error", "user_activity")
    with store.connect_as_exporter() as connection:
        readings = [r for r in StateReader(store.plan).read(connection)[0] if r.metric.startswith("platform_active")]

    if kind == "users":
        assert len(readings) <= 1000
        assert sum(r.value for r in readings if r.metric == "platform_active_users" and r.labels[1] == "1h") == 5000
    else:
        assert len(store.series("platform_error_regressions_total")) <= 500


@pytest.mark.parametrize("limit", [20, 100])
def test_distinct_sample_names(store: Store, limit: int) -> None:
    """Rows choose the names of samples: all share one limit, and past it one name a type."""
    store.limits = Limits(series_per_metric=limit)
    for _ in range(2):
        store.execute(
            "INSERT INTO monitoring.sample (at, app, name, kind, value) SELECT now(), 'a' || i % 50, 'n' || i, "
            "(ARRAY['counter', 'gauge', 'histogram', 'summary'])[1 + i % 4], 1 FROM generate_series(1, 4000) i"
        )
        store.poll("sample")
    (series, total) = store.execute(
        "SELECT count(*), sum(value) FILTER (WHERE type = 'counter') FROM monitoring.rollup "
        "WHERE metric LIKE 'platform_sample_%'"
    )[0]

    assert series <= limit
    assert total == 2000


def test_distinct_values_of_an_allowed_label(store: Store) -> None:
    """A sample's own labels are folded away first, its name and app kept."""
    store.execute(
        "INSERT INTO monitoring.sample (at, app, name, kind, value, labels) SELECT now(), 'a', 'm', 'counter', 1, "
        "jsonb_build_object('table', i) FROM generate_series(1, 4000) i"
    )
    store.poll("sample")

    assert len(store.series("platform_sample_m_total")) <= 500
    assert store.value("platform_sample_m_total", app="a") == 4000


def test_reasons_are_a_closed_list(store: Store) -> None:
    """A reason that a writer made up is `other`, so no limit is touched."""
    store.execute(
        "INSERT INTO monitoring.api_call (at, app, api, outcome, reason, duration_seconds) "
        "SELECT now(), 'a', 'x', 'failure', 'r' || i, 1 FROM generate_series(1, 2000) i"
    )
    store.poll("api_call")

    assert store.series("platform_api_call_failures_total") == {("x", "a", "other"): 2000}
