"""The ledger of the SDK is shown, and stays true when the rows of processes that are gone are folded."""

import pytest

from exporter.aggregation import ledger
from tests.aggregation.counting import Store

ROW = """INSERT INTO monitoring.sdk_ledger (app, process, produced, stored, spooled, dropped, updated_at, written_at)
    VALUES (%s, %s, %s, %s, %s, %s, now(), now() - make_interval(days => %s))"""

BOOKS = [
    ("platform_sdk_events_dropped_total", ("shop", "overflow"), 5.0),
    ("platform_sdk_events_dropped_total", ("shop", "poison"), 1.0),
    ("platform_sdk_events_total", ("shop",), 126.0),
]


@pytest.fixture
def ledgers(store: Store) -> Store:
    """Return a store with the ledger of a process that lives, one that is gone, and one gone with events on disk."""
    store.execute(ROW, ["shop", "lives", 10, 8, 0, '{"overflow": 2}', 0])
    store.execute(ROW, ["shop", "gone", 100, 96, 0, '{"overflow": 3, "poison": 1}', 31])
    store.execute(ROW, ["shop", "spooled", 16, 10, 6, "{}", 31])
    return store


def test_produced_and_dropped_are_added_up(ledgers: Store) -> None:
    """Every process counts, by app and by reason."""
    with ledgers.connect_as_exporter() as connection:
        read = [
            (metric, tuple(labels.values()), value) for metric, labels, value, _ in ledger.read(connection, "native")
        ]

    assert read == BOOKS


def test_folding_changes_no_total(ledgers: Store) -> None:
    """What is folded away is counted on, once, and folding again changes nothing."""
    with ledgers.connect_as_exporter() as connection:
        ledger.fold(connection, "native")
        ledger.fold(connection, "native")
        read = [
            (metric, tuple(labels.values()), value) for metric, labels, value, _ in ledger.read(connection, "native")
        ]

    assert read == BOOKS


def test_a_process_that_ended_is_folded_after_an_hour(ledgers: Store) -> None:
    """Recycled workers leave a row each, thousands a day."""
    ledgers.execute(ROW, ["shop", "ended", 0, 0, 0, "{}", 0])
    ledgers.execute(ROW, ["shop", "just ended", 0, 0, 0, "{}", 0])
    ledgers.execute(
        "UPDATE monitoring.sdk_ledger SET ended_at = now() - "
        "CASE process WHEN 'ended' THEN interval '2 hours' ELSE interval '1 minute' END WHERE process LIKE '%ended'"
    )
    with ledgers.connect_as_exporter() as connection:
        ledger.fold(connection, "native")

    left = ledgers.execute("SELECT process FROM monitoring.sdk_ledger ORDER BY 1")
    assert left == [("just ended",), ("lives",), ("spooled",)]


def test_only_closed_ledgers_of_processes_that_are_gone_are_folded(ledgers: Store) -> None:
    """A living process keeps its row, and so does one whose events still lie on disk."""
    with ledgers.connect_as_exporter() as connection:
        ledger.fold(connection, "native")

    assert ledgers.execute("SELECT process FROM monitoring.sdk_ledger ORDER BY 1") == [("lives",), ("spooled",)]


def test_a_process_whose_clock_is_far_behind_counts_once(ledgers: Store) -> None:
    """It writes its totals again and again: were its row folded in between, they would be added each time."""
    write = """INSERT INTO monitoring.sdk_ledger (app, process, produced, updated_at)
        VALUES ('late', 'lives', %s, now() - '40 days'::interval) ON CONFLICT (app, process)
        DO UPDATE SET produced = excluded.produced, updated_at = excluded.updated_at"""
    with ledgers.connect_as_exporter() as connection:
        for produced in (10, 20, 30):
            ledgers.execute(write, [produced])
            ledger.fold(connection, "native")
        read = [(metric, labels, value) for metric, labels, value, _ in ledger.read(connection, "native")]

    assert (ledger.PRODUCED, {"app": "late"}, 30) in read


def test_a_row_that_is_written_again_is_as_new(ledgers: Store) -> None:
    """Whatever its process's clock says, the database's own is noted with every write."""
    ledgers.execute("UPDATE monitoring.sdk_ledger SET produced = 101 WHERE process = 'gone'")
    with ledgers.connect_as_exporter() as connection:
        ledger.fold(connection, "native")

    assert ("gone",) in ledgers.execute("SELECT process FROM monitoring.sdk_ledger")
