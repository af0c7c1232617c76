"""No app starves another: each has a share of the label sets, whatever the others took, and the sums stay exact."""

import pytest

from exporter.config.settings import Limits
from tests.aggregation.counting import Store

METRIC = "platform_http_request_duration_seconds"


def request(store: Store, apps: str, routes: int, prefix: str = "/r", count: int = 1) -> None:
    """Store requests of each app of a comma-separated list to so many routes, `count` of each."""
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) "
        "SELECT now(), app, %s || i, 200, 0.1 FROM unnest(string_to_array(%s, ',')) app, "
        "generate_series(1, %s) i, generate_series(1, %s)",
        [prefix, apps, routes, count],
    )


def routes(store: Store) -> dict[str, int]:
    """Return how many routes each app has by name."""
    rows = store.execute(
        "SELECT labels->>'app', count(*) FROM monitoring.rollup WHERE metric = %s AND labels->>'route' <> '_other_' "
        "GROUP BY 1 ORDER BY 1",
        [METRIC],
    )
    return dict(rows)


def label_sets(store: Store) -> int:
    return int(store.one("SELECT count(*) FROM monitoring.rollup WHERE metric = %s", [METRIC]))


def test_an_app_that_took_everything_starves_no_later_one(store: Store) -> None:
    """3,000 raw routes first; every app that comes later has its own, and its total under its own name."""
    request(store, "hog", 3000)
    store.poll("http_request")
    taken = routes(store)["hog"]
    for app in ("shop", "crawl", "blog"):
        request(store, app, 20)
        request(store, "hog", 100, prefix=f"/{app}")
        store.poll("http_request")

    assert routes(store) == {"hog": taken, "shop": 20, "crawl": 20, "blog": 20}
    assert store.value(METRIC) == 3000 + 3 * 120
    assert store.value(METRIC, app="hog") == 3300
    assert taken > 400


def test_many_apps_that_want_everything_one_after_the_other(store: Store) -> None:
    """Each later one gets less, the first eight more than nothing, all together at most twice the limit."""
    for number in range(10):
        request(store, f"a{number}", 600)
        store.poll("http_request")
    have = routes(store)

    assert list(have.values()) == sorted(have.values(), reverse=True)
    assert list(have)[:8] == [f"a{number}" for number in range(8)]
    assert [store.value(METRIC, app=f"a{number}") for number in range(10)] == [600] * 10
    assert label_sets(store) <= 1000


def test_apps_of_one_poll_share_by_need(store: Store) -> None:
    """The small ones have all they need before the large one has more than they."""
    store.limits = Limits(series_per_metric=100)
    request(store, "hog", 1000, count=3)
    request(store, ",".join(f"a{number}" for number in range(8)), 8)
    store.poll("http_request")

    assert routes(store) == {"hog": 90 - 8 * 8, **{f"a{number}": 8 for number in range(8)}}
    assert label_sets(store) <= 100


def test_made_up_apps_leave_room(store: Store) -> None:
    """A flood of names, at once and one by one, takes no room from apps there are: they go on to grow."""
    store.limits = Limits(series_per_metric=100)
    request(store, "shop", 3)
    store.poll("http_request")
    request(store, ",".join(f"x{number}" for number in range(2000)), 2)
    store.poll("http_request")
    for number in range(20):
        request(store, f"y{number}", 2)
        store.poll("http_request")
    request(store, "shop", 8)
    store.poll("http_request")

    assert routes(store)["shop"] == 8
    assert label_sets(store) <= 200
    assert store.value(METRIC) == 3 + 4000 + 40 + 8


def test_a_thousand_apps_at_once(store: Store) -> None:
    """More apps than label sets: as many as there is room for have a name, the rest is `_other_`, the sum exact."""
    request(store, ",".join(f"a{number}" for number in range(1000)), 3)
    store.poll("http_request")

    assert 450 <= len(routes(store)) <= label_sets(store) <= 500
    assert store.value(METRIC) == 3000


def test_a_store_that_is_full_already(store: Store) -> None:
    """Series that an older version gave all to one app count on; a later app has its share all the same."""
    store.execute(
        "INSERT INTO monitoring.rollup "
        "(source, stream, budget, metric, type, labels, value, total, buckets, created_at) "
        "SELECT 'native', 'http_request', %(m)s, %(m)s, 'histogram', jsonb_build_object('app', 'hog', "
        "'route', '/r' || i), 1, 0, array_fill(0.0, ARRAY[11]), now() FROM generate_series(1, 500) i",
        {"m": METRIC},
    )
    request(store, "hog", 500)
    request(store, "shop", 30)
    store.poll("http_request")

    assert routes(store) == {"hog": 500, "shop": 30}
    assert store.value(METRIC, app="hog") == 1000


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_the_outcome_depends_on_no_order(store: Store, order: str) -> None:
    """Of equals the first by name are kept, however the rows lie in the table."""
    store.limits = Limits(series_per_metric=20)
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) SELECT now(), 'a' || i % 7, "
        f"'/r' || i, 200, 0.1 FROM generate_series(101, 170) i ORDER BY i {order}"
    )
    store.poll("http_request")
    kept = store.execute(
        "SELECT labels->>'app', labels->>'route' FROM monitoring.rollup WHERE metric = %s "
        "AND labels->>'route' <> '_other_' ORDER BY 1, 2",
        [METRIC],
    )

    names = {f"a{number % 7}": [] for number in range(101, 108)}  # type: dict[str, list[str]]
    for number in range(101, 171):
        names[f"a{number % 7}"].append(f"/r{number}")
    assert kept == [(app, route) for app, own in sorted(names.items()) for route in own[: 3 if app < "a2" else 2]]
