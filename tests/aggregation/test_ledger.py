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


def test_the_clock_that_is_most_wrong_is_shown(store: Store) -> None:
    """By app, of processes that reported lately and have not ended: others say nothing of a clock."""
    insert = """INSERT INTO monitoring.sdk_ledger (app, process, updated_at, written_at, ended_at) VALUES
        ('shop', 'well', now(), now(), NULL), ('shop', 'behind', now() - interval '90 s', now(), NULL),
        ('crawl', 'ahead', now() + interval '20 s', now() - interval '1 min', NULL),
        ('old', 'silent', now() - interval '1 day', now() - interval '10 min', NULL),
        ('old', 'ended', now() - interval '1 day', now(), now())"""
    store.execute(insert)
    with store.connect_as_exporter() as connection:
        found = dict(ledger.clocks(connection))

    assert found == {"shop": -90, "crawl": 80}


def test_processes_are_counted_by_their_reports(store: Store) -> None:
    """One that reports runs; one that is silent without an end is lost, for an hour; one that ended is neither."""
    for process, minutes, ended in (("runs", 1, False), ("dies", 10, False), ("ended", 10, True), ("gone", 90, False)):
        store.execute(
            """INSERT INTO monitoring.sdk_ledger (app, process, written_at, ended_at)
            VALUES ('shop', %s, now() - make_interval(mins => %s), CASE WHEN %s THEN now() END)""",
            [process, minutes, ended],
        )
    with store.connect_as_exporter() as connection:
        read = list(ledger.processes(connection))

    assert [row[:3] for row in read] == [("shop", 1, 1)]
    assert read[0][3] == pytest.approx(store.one("SELECT extract(epoch FROM now())::float - 60"), abs=30)


def test_a_process_that_was_killed_does_not_run(store: Store) -> None:
    """Its row was written just now, but by a later process, which entered what it lost."""
    store.execute(ROW, ["shop", "killed", 10, 8, 0, '{"killed": 2}', 0])
    with store.connect_as_exporter() as connection:
        read = list(ledger.processes(connection))

    assert [row[:3] for row in read] == [("shop", 0, 1)]


def test_processes_of_many_apps_are_bounded(store: Store) -> None:
    """The apps that are known for longest keep series of their own, the others share one."""
    store.execute(
        "INSERT INTO monitoring.sdk_ledger (app, process, started_at) "
        "SELECT 'app' || i, 'one', now() - make_interval(secs => 1000 - i) FROM generate_series(1, %s) i",
        [ledger.APPS + 7],
    )
    with store.connect_as_exporter() as connection:
        running = {app: running for app, running, _, _ in ledger.processes(connection)}

    assert len(running) == ledger.APPS + 1
    assert running["app1"] == 1
    assert running["_other_"] == 7
