"""Every firing counts once, however often and by whom it is reported, and the counters match the rows."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from exporter.alerts import history
from exporter.alerts.notification import Delivery
from exporter.config.settings import Alerts
from tests.alerts.notifying import alert, delivery
from tests.servers import Database

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def connection(store: Database) -> Iterator[Connection]:
    """Return a connection to a fresh event store."""
    with store.connect() as connection:
        yield connection


def record(connection: Connection, *deliveries: Delivery) -> None:
    for one in deliveries:
        history.record(connection, one, Alerts())


def counted(connection: Connection) -> dict[str, float]:
    """Return the counters that are not 0, without prefix and suffix; of a histogram the count."""
    sums: dict[str, float] = {}
    for total in history.read(connection)[0]:
        name = total.metric.removeprefix("platform_alert_").removesuffix("_total")
        name = f"{name} {total.labels['status']}" if "status" in total.labels else name
        sums[name] = sums.get(name, 0.0) + total.value
    return {name: value for name, value in sums.items() if value}


def rows(connection: Connection) -> list[tuple[Any, ...]]:
    query = "SELECT status, repeats FROM monitoring.alert_notification ORDER BY starts_at, status, group_key"
    return connection.execute(query).fetchall()


def test_a_firing_and_its_end_are_two_rows(connection: Connection) -> None:
    """With labels, annotations and times as Alertmanager gave them, and the time between them counted."""
    record(connection, delivery(alert(0)), delivery(alert(0, 90.5)))

    assert rows(connection) == [("firing", 0), ("resolved", 0)]
    assert connection.execute(
        "SELECT labels->>'app', annotations->>'summary', receiver, extract(epoch FROM ends_at - starts_at) "
        "FROM monitoring.alert_notification WHERE status = 'resolved'"
    ).fetchone() == ("shop", "Down of shop", "history", 90.5)
    assert counted(connection) == {
        "notifications firing": 1,
        "notifications resolved": 1,
        "firing_seconds": 90.5,
        "time_to_resolve_seconds": 1,
        "noise": 1,
    }


def test_a_delivery_stored_before_changes_nothing(connection: Connection) -> None:
    """A spooled delivery whose commit was not confirmed is tried again: no row, no count, not even a repeat."""
    first = delivery(alert(0))

    assert [history.record(connection, first, Alerts()) for _ in range(3)] == [True, False, False]
    assert rows(connection) == [("firing", 0)]
    assert counted(connection) == {"notifications firing": 1}


def test_reported_again_is_a_repeat(connection: Connection) -> None:
    """Alertmanager tries again, another member of its cluster posts as well, `repeat_interval` passes."""
    record(connection, *(delivery(alert(0)) for _ in range(3)), *(delivery(alert(0, 300)) for _ in range(2)))

    assert rows(connection) == [("firing", 2), ("resolved", 1)]
    assert counted(connection) == {
        "notifications firing": 1,
        "repeats": 2,
        "notifications resolved": 1,
        "firing_seconds": 300,
        "time_to_resolve_seconds": 1,
    }


def test_another_group_has_its_row_and_no_second_count(connection: Connection) -> None:
    """One alert may be in two groups; it fired once."""
    record(connection, delivery(alert(0)), delivery(alert(0), group="other"))
    record(connection, delivery(alert(0, 300)), delivery(alert(0, 300), group="other"))

    assert rows(connection) == [("firing", 0), ("firing", 0), ("resolved", 0), ("resolved", 0)]
    assert counted(connection)["notifications firing"] == counted(connection)["notifications resolved"] == 1
    assert counted(connection)["firing_seconds"] == 300


def test_a_start_that_moves_is_the_same_firing(connection: Connection) -> None:
    """A second Prometheus saw it earlier, a restarted one later: one firing, from the earliest start on."""
    record(connection, delivery(alert(60)), delivery(alert(0)), delivery(alert(90)), delivery(alert(90, 300)))

    assert counted(connection) == {
        "notifications firing": 1,
        "repeats": 2,
        "notifications resolved": 1,
        "firing_seconds": 300,
        "time_to_resolve_seconds": 1,
    }


@pytest.mark.parametrize(("again", "flaps"), [(300 + 600, 1), (300 + 600.1, 0)])
def test_a_flap_fires_soon_after_its_end(connection: Connection, again: float, flaps: int) -> None:
    """Within `flap_seconds`, 600 as shipped, and not a moment later."""
    record(connection, delivery(alert(0)), delivery(alert(0, 300)), delivery(alert(again)), delivery(alert(again)))

    assert counted(connection).get("flaps", 0) == flaps
    assert counted(connection)["notifications firing"] == 2


@pytest.mark.parametrize(("seconds", "noise"), [(120, 1), (120.1, 0)])
def test_noise_ends_soon(connection: Connection, seconds: float, noise: int) -> None:
    """Within `noise_seconds`, 120 as shipped, and not a moment later."""
    record(connection, delivery(alert(0)), delivery(alert(0, seconds)))

    assert counted(connection).get("noise", 0) == noise


def test_an_alert_that_flaps_for_long_adds_up(connection: Connection) -> None:
    """Each firing counts separately, also in notifications of several alerts."""
    for turn in range(5):
        record(connection, delivery(alert(turn * 400), alert(turn * 400, fingerprint="f2")))
        record(
            connection,
            delivery(alert(turn * 400, turn * 400 + 200), alert(turn * 400, turn * 400 + 10, fingerprint="f2")),
        )

    assert counted(connection) == {
        "notifications firing": 10,
        "notifications resolved": 10,
        "firing_seconds": 5 * 200 + 5 * 10,
        "time_to_resolve_seconds": 10,
        "flaps": 8,
        "noise": 5,
    }


def test_the_histogram_is_cumulative(connection: Connection) -> None:
    """Buckets of a minute to a week; those at a bound are in it."""
    for number, seconds in enumerate((60, 61, 4000, 700_000)):
        record(connection, delivery(alert(0, seconds, fingerprint=str(number))))
    [found] = [total for total in history.read(connection)[0] if total.type == "histogram"]

    assert found.buckets == [1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert (found.value, found.total) == (4, 60 + 61 + 4000 + 700_000)


def test_counters_begin_at_zero(connection: Connection) -> None:
    """All counters of an alert are there from its first firing on, so that the first increase is seen."""
    record(connection, delivery(alert(0)))

    assert {(total.metric, total.value) for total in history.read(connection)[0]} == {
        ("platform_alert_notifications_total", 1),
        ("platform_alert_notifications_total", 0),
        ("platform_alert_repeats_total", 0),
        ("platform_exporter_counters_went_back_total", 0),
        ("platform_alert_firing_seconds_total", 0),
        ("platform_alert_time_to_resolve_seconds", 0),
        ("platform_alert_flaps_total", 0),
        ("platform_alert_noise_total", 0),
    }


def test_labels_are_bounded(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names beyond the limit are one, and a severity is one of those there are."""
    monkeypatch.setattr(history, "ALERTNAMES", 2)
    for number, severity in enumerate(("low", "urgent", "", "critical")):
        record(connection, delivery(alert(0, name=f"N{number}", fingerprint=str(number), severity=severity)))
    labels = {
        (t.labels["alertname"], t.labels["severity"]) for t in history.read(connection)[0] if "source" not in t.labels
    }

    assert labels == {("N0", "low"), ("N1", "other"), ("_other_", "none"), ("_other_", "critical")}


def test_long_group_keys_are_told_apart(connection: Connection) -> None:
    """A group with many long labels is stored: its key is cut, and what is cut off still counts."""
    noise = "".join(chr(33 + (7 * number * number) % 90) for number in range(5000))
    for end in ("a", "b", "a"):
        record(connection, delivery(alert(0), group=noise + end))

    assert connection.execute("SELECT count(*) FROM monitoring.alert_notification").fetchone() == (2,)


def test_odd_texts_are_kept(connection: Connection) -> None:
    """A NUL, which PostgreSQL cannot hold, and an end before its start stop nothing."""
    odd = alert(0, -50) | {"labels": {"alertname": "a\0b", "severity": "high"}, "annotations": {"\0": "\0 ü 😀"}}
    record(connection, delivery(odd, group="\0"))

    assert connection.execute("SELECT labels->>'alertname', ends_at = starts_at FROM monitoring.alert_notification"
                              ).fetchall() == [("a\ufffdb", True)]  # fmt: skip
    assert counted(connection)["time_to_resolve_seconds"] == 1


def test_replicas_at_once_count_once(store: Database, at_once: Callable[..., None]) -> None:
    """Eight replicas that get the same ten firings and ends at the same time, each in its own notifications."""

    def replica() -> None:
        with store.connect() as connection:
            for number in range(10):
                record(connection, delivery(alert(0, fingerprint=str(number)), alert(0, fingerprint="same")))
                record(connection, delivery(alert(0, 200, fingerprint=str(number))))

    at_once(*[replica] * 8)
    with store.connect() as connection:
        assert counted(connection) == {
            "notifications firing": 11,
            "repeats": 8 * 20 - 11,
            "notifications resolved": 10,
            "firing_seconds": 2000,
            "time_to_resolve_seconds": 10,
        }
        assert len(rows(connection)) == 21


@pytest.fixture
def at_once() -> Callable[..., None]:
    """Return a function that runs functions in threads, and raises what one of them raised."""

    def run(*functions: Callable[[], None]) -> None:
        errors: list[BaseException] = []

        def guarded(function: Callable[[], None]) -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    return run


def test_old_rows_go_and_counters_stay(connection: Connection) -> None:
    """What was last heard of `retention_days` ago is removed."""
    record(connection, delivery(alert(0)), delivery(alert(0, 300)), delivery(alert(900)))
    connection.execute(
        "UPDATE monitoring.alert_notification SET received_at = now() - interval '401 days', "
        "last_received_at = CASE status WHEN 'resolved' THEN received_at - interval '401 days' ELSE now() END"
    )
    before = counted(connection)

    assert history.prune(connection, 400) == 1
    assert counted(connection) == before
