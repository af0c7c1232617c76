"""When releases were first seen."""

import pytest

from exporter.aggregation import releases
from exporter.aggregation.gauges import StateReader
from tests.aggregation.counting import Store

MIDNIGHT = 1_767_225_600.0


def add(store: Store, release: str | None, seconds: float, app: str = "a", kind: str = "error") -> None:
    """Store an event so long after midnight, and count it."""
    more = {"error": "error_type", "user_activity": "activity"}[kind]
    store.execute(
        f"INSERT INTO monitoring.{kind} (at, app, release, {more}) "
        "VALUES (timestamptz '2026-01-01 00:00:00+00' + %s * interval '1 s', %s, %s, 'x')",
        [seconds, app, release],
    )
    store.poll(kind)


def shown(store: Store) -> dict[tuple[str, ...], float]:
    """Return what is shown, in seconds after midnight."""
    with store.connect_as_exporter() as connection:
        readings, problems = StateReader(store.plan).read(connection)
    assert problems == []
    name = "platform_release_first_seen_timestamp_seconds"
    return {reading.labels: reading.value - MIDNIGHT for reading in readings if reading.metric == name}


def test_a_release_is_seen_first_by_its_oldest_event(store: Store) -> None:
    """Of any kind, whatever the order of arrival; an event without a release names none."""
    add(store, "1.0", 30)
    add(store, "1.0", 40)
    add(store, "1.0", 20, kind="user_activity")
    add(store, "1.1", 50)
    add(store, "1.0", 60, app="b")
    add(store, None, 10)
    add(store, "", 10)

    assert shown(store) == {("a", "1.0"): 20, ("a", "1.1"): 50, ("b", "1.0"): 60}


def test_a_release_of_the_future_is_not_seen(store: Store) -> None:
    """The release of a rejected event is not stored."""
    add(store, "2.0", 1e11)

    assert shown(store) == {}


def test_the_newest_releases_are_kept_and_shown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that names a thousand releases fills neither table nor exposition; other apps' stay."""
    monkeypatch.setattr(releases, "SHOWN", 3)
    add(store, "other", 1, app="b")
    for batch in range(2):
        store.execute(
            "INSERT INTO monitoring.error (at, app, release, error_type) "
            "SELECT timestamptz '2026-01-01 00:00:00+00' + i * interval '1 s', 'a', 'r' || i, 'x' "
            "FROM generate_series(%s::int, %s::int) i", [batch * 1000 + 1, batch * 1000 + 1000],
        )  # fmt: skip
        store.poll("error")

    assert store.one("SELECT count(*) FROM monitoring.release WHERE app = 'a'") == releases.KEPT
    assert shown(store) == {("a", "r1998"): 1998, ("a", "r1999"): 1999, ("a", "r2000"): 2000, ("b", "other"): 1}


def test_apps_with_releases_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there are as many apps as may be, a new one's releases are not remembered; a known one's are."""
    monkeypatch.setattr(releases, "MOST_APPS", 1)
    add(store, "1", 1, app="a")
    add(store, "1", 2, app="b")
    add(store, "2", 3, app="a")

    assert shown(store) == {("a", "1"): 1, ("a", "2"): 3}


def test_a_view_for_annotations(store: Store) -> None:
    """Dashboards read app, release and time."""
    add(store, "1.0", 30)

    assert store.execute("SELECT app, release, extract(epoch FROM first_seen) FROM monitoring_views.release") == [
        ("a", "1.0", MIDNIGHT + 30)
    ]
