"""Series end cleanly, forgotten or idle: gone as a whole, new when they come again, and the sums stay exact."""

import time

import pytest

from exporter.aggregation import label_sets, retention
from exporter.aggregation.label_sets import SERIES_ENDED, Selection
from exporter.config.settings import Limits, Retention
from exporter.inspection.reconcile import reconcile
from tests.aggregation.counting import Store

REQUESTS, SECONDS = "platform_http_requests_total", "platform_http_request_duration_seconds"


def request(store: Store, app: str, *routes: str, status: int = 200) -> None:
    for route in routes:
        store.execute(
            "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) "
            "VALUES (now(), %s, %s, %s, 0.1)",
            [app, route, status],
        )


def forget(store: Store, selection: Selection) -> int:
    with store.connect_as_exporter() as connection:
        return label_sets.forget(connection, store.plan, selection, "me@host", "a test")


def maintain(store: Store) -> None:
    with store.connect_as_exporter() as connection:
        list(retention.maintain(connection, store.plan, Retention(), store.limits))


def created(store: Store, app: str) -> float:
    return float(store.one("SELECT extract(epoch FROM min(created_at)) FROM monitoring.rollup "
                           "WHERE metric = %s AND labels->>'app' = %s", [REQUESTS, app]))  # fmt: skip


def routes(store: Store, metric: str = SECONDS) -> set[str]:
    return {row[0] for row in store.execute(
        "SELECT labels->>'route' FROM monitoring.rollup WHERE metric = %s", [metric])}  # fmt: skip


def differences(store: Store) -> dict[str, float]:
    """Return the metrics whose counters are not what plain SQL says, and by how much."""
    with store.connect_as_exporter() as connection:
        found = reconcile(connection, store.plan, store.limits)
    return {one.metric: one.difference for one in found.comparisons if one.difference}


@pytest.mark.parametrize(
    ("selection", "left", "ended"),
    [
        (Selection(apps=("a",)), {"/b"}, 4),
        (Selection(metrics=(SECONDS,)), set(), 3),
        (Selection(labels={"route": "/1"}), {"/2", "/b"}, 2),
        (Selection(apps=("a",), metrics=(SECONDS,), labels={"route": "/1"}), {"/2", "/b"}, 1),
        (Selection(apps=("x",)), {"/1", "/2", "/b"}, 0),
    ],
    ids=["an app", "a metric", "a label", "all of them", "nothing"],
)
def test_what_is_selected_ends(store: Store, selection: Selection, left: set[str], ended: int) -> None:
    """Only that; it is counted, and in the audit; counters, rows and what ended still make a sum."""
    request(store, "a", "/1", "/2")
    request(store, "b", "/b")
    store.poll()

    assert forget(store, selection) == ended
    assert routes(store) == left
    assert (store.value(SERIES_ENDED, reason="forgotten") or 0) == ended
    audit = store.execute("SELECT actor, action, object, (details->>'series')::int FROM monitoring.audit")
    assert audit == ([("me@host", "series.forgotten", "series/native", ended)] if ended else [])
    assert differences(store) == {}


def test_the_exporters_own_counters_stay(store: Store) -> None:
    """They belong to no app."""
    request(store, "a", "/1")
    store.poll()

    assert forget(store, Selection(metrics=("platform_exporter_events_total",))) == 0


def test_a_series_that_comes_again_is_a_new_one(store: Store) -> None:
    """It begins at what was counted since, with a later time of creation, even for rows that are late."""
    request(store, "a", "/1")
    store.poll()
    before = created(store, "a")
    forget(store, Selection(apps=("a",)))
    store.poll()
    store.execute("INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) "
                  "VALUES (now() - interval '1 day', 'a', '/1', 200, 0.1)")  # fmt: skip
    store.poll()

    assert store.value(REQUESTS, app="a") == 1
    assert created(store, "a") > before
    assert differences(store) == {}


def test_a_worker_shows_the_end_and_the_new_beginning(store: Store) -> None:
    """What is shown never falls, but a series that ended is not held."""
    worker = store.worker()
    request(store, "a", "/1", "/1", "/1")
    worker.poll()
    forget(store, Selection(apps=("a",)))
    worker.poll()
    gone = [total for total in worker.view.totals if total.labels.get("app") == "a"]
    request(store, "a", "/1")
    worker.poll()
    worker._disconnect()
    (again,) = [total for total in worker.view.totals if total.metric == REQUESTS]

    assert gone == []
    assert again.value <= 1


def test_room_is_free_again(store: Store) -> None:
    """After an app's raw routes are forgotten, others have their names."""
    store.limits = Limits(series_per_metric=20)
    request(store, "a", *(f"/raw/{number}" for number in range(30)))
    store.poll("http_request")
    forget(store, Selection(apps=("a",)))
    request(store, "b", *(f"/b{number}" for number in range(15)))
    store.poll("http_request")

    assert routes(store) == {f"/b{number}" for number in range(15)}


def fill(store: Store) -> None:
    """Count 20 label sets under a limit of 20; the last counted of the first nine is 31 days ago."""
    store.limits = Limits(series_per_metric=20)
    request(store, "a", *(f"/{number:02}" for number in range(30)))
    store.poll("http_request")
    store.execute("UPDATE monitoring.rollup SET counted_at = now() - interval '31 days' WHERE labels->>'route' < '/09'")


def test_idle_series_make_room(store: Store) -> None:
    """Where a metric is full, a few of them a round; each is counted, and counters and rows still agree."""
    fill(store)
    maintain(store)

    assert routes(store) == {*(f"/{number:02}" for number in range(2, 16)), "_other_"}
    assert store.series(SERIES_ENDED)[(SECONDS, "idle", "native")] == 2
    assert store.execute("SELECT DISTINCT actor, action FROM monitoring.audit") == [("exporter", "series.idle")]
    assert differences(store) == {}


def test_an_event_makes_a_series_busy_again(store: Store) -> None:
    """What is counted before the round stays."""
    fill(store)
    request(store, "a", *(f"/{number:02}" for number in range(9)))
    store.poll("http_request")
    maintain(store)

    assert {f"/{number:02}" for number in range(16)} <= routes(store)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE monitoring.rollup SET budget = 'other' WHERE labels->>'route' > '/09'",
        "UPDATE monitoring.cursor SET advanced_at = now() - interval '1 hour'",
        "UPDATE monitoring.rollup SET counted_at = now() - interval '29 days' WHERE labels->>'route' < '/09'",
    ],
    ids=["there is room", "the table is not counted", "not idle for long enough"],
)
def test_idle_series_stay(store: Store, change: str) -> None:
    """Without need of room, without a poll that would know of events, or before their time none ends."""
    fill(store)
    store.execute(change)
    maintain(store)

    assert {f"/{number:02}" for number in range(9)} <= routes(store)


def test_a_wrong_clock_ends_nothing(store: Store) -> None:
    """Nor does an exporter whose clock differs from the database's."""
    fill(store)
    with store.connect_as_exporter() as connection:
        list(retention.maintain(connection, store.plan, Retention(), store.limits, lambda: time.time() + 3600))

    assert {f"/{number:02}" for number in range(9)} <= routes(store)


def test_the_fattest_are_named(store: Store) -> None:
    """By app and metric, with the label that makes them."""
    request(store, "a", *(f"/{number}" for number in range(12)))
    request(store, "a", "/0", status=404)
    request(store, "b", "/b")
    store.poll()
    with store.connect_as_exporter() as connection:
        groups = label_sets.listed(connection, store.plan, Selection())

    assert [(g.app, g.metric, g.label_sets, g.in_budget, g.widest) for g in groups] == [
        ("a", REQUESTS, 13, 14, "route (12)"),
        ("a", SECONDS, 12, 13, "route (12)"),
        ("b", SECONDS, 1, 13, "route (1)"),
        ("b", REQUESTS, 1, 14, "route (1)"),
    ]
