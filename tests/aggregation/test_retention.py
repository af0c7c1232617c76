"""Partitions come and go under writers and polls; counters never fall and no event is counted twice."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from exporter.aggregation import retention
from exporter.config.settings import Retention
from tests.aggregation.counting import Store, runs

OLD = "2020-01-01"
ENSURE = f"SELECT monitoring.ensure_partition('scraping_run', '{OLD}')"
DROP = f"SELECT monitoring.drop_partition('scraping_run', '{OLD}')"
INSERT = (
    "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
    f"SELECT '{OLD} 12:00+00', 'a', 's', 'success', 1 FROM generate_series(1, %s)"
)


def exists(store: Store) -> bool:
    return bool(store.one("SELECT to_regclass('monitoring.scraping_run_20200101') IS NOT NULL"))


def test_counted_rows_go_and_counters_stay(store: Store) -> None:
    """Dropping a day lowers no counter."""
    store.execute(ENSURE)
    store.execute(INSERT, [4])
    store.poll()
    dropped = store.one(DROP)
    store.poll()

    assert dropped
    assert not exists(store)
    assert runs(store) == 4


def test_uncounted_rows_keep_their_partition(store: Store) -> None:
    """A late row saves its day until it is counted."""
    store.execute(ENSURE)
    store.poll()
    store.execute(INSERT, [1])
    before = store.one(DROP)
    store.poll()

    assert (before, store.one(DROP)) == (False, True)
    assert runs(store) == 1


def test_nothing_is_dropped_before_anyone_counts(store: Store) -> None:
    """Without a cursor every row is uncounted."""
    store.execute(ENSURE)

    assert store.one(DROP) is False


def test_a_writer_in_the_middle_keeps_the_day(store: Store) -> None:
    """The drop gives up after its lock timeout, the writer commits, and its row counts."""
    store.execute(ENSURE)
    store.poll()
    with store.connect() as writer, store.connect() as dropper:
        writer.execute("BEGIN")
        writer.execute(INSERT, [1])
        dropper.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            dropper.execute(DROP)
        writer.execute("COMMIT")
    dropped = store.one(DROP)
    store.poll()

    assert dropped is False
    assert runs(store) == 1


def test_a_poll_in_the_middle_keeps_the_day(store: Store) -> None:
    """What a poll has read but not committed is not counted yet."""
    store.execute(ENSURE)
    store.poll()
    with store.connect() as poll, store.connect() as dropper:
        poll.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        poll.execute("SELECT count(*) FROM monitoring.scraping_run")
        dropper.execute("SET lock_timeout = '100ms'")

        with pytest.raises(psycopg.errors.LockNotAvailable):
            dropper.execute(DROP)


def test_a_poll_whose_snapshot_is_older_than_the_drop(store: Store) -> None:
    """It neither fails nor misses anything when a day has gone since it began."""
    store.execute(ENSURE)
    store.execute(INSERT, [2])
    store.poll()
    with store.connect() as poll:
        poll.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        poll.execute("SELECT pg_current_snapshot()")
        store.execute(DROP)

        assert poll.execute("SELECT count(*) FROM monitoring.scraping_run").fetchone() == (0,)
    assert runs(store) == 2


def test_rows_wait_in_the_default_partition(store: Store) -> None:
    """A row outside every day is stored and counted."""
    store.execute(INSERT, [3])
    store.poll()

    assert store.one("SELECT count(*) FROM monitoring.scraping_run_default") == 3
    assert runs(store) == 3


def test_moved_rows_are_not_counted_again(store: Store) -> None:
    """When their day is created, rows move there with their transaction's id."""
    store.execute(INSERT, [3])
    store.poll()
    store.execute(ENSURE)
    store.poll()

    assert store.one("SELECT count(*) FROM monitoring.scraping_run_20200101") == 3
    assert store.one("SELECT count(*) FROM monitoring.scraping_run_default") == 0
    assert runs(store) == 3


def test_rows_moved_before_their_count(store: Store) -> None:
    """Those that moved between two polls count once."""
    store.poll()
    store.execute(INSERT, [3])
    store.execute(ENSURE)
    store.poll()
    store.poll()

    assert runs(store) == 3


def test_rows_moved_behind_a_poll_s_back(store: Store) -> None:
    """A poll whose snapshot is older than the move sees each row in one place."""
    store.execute(INSERT, [3])
    with store.connect() as poll:
        poll.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        poll.execute("SELECT pg_current_snapshot()")
        store.execute(ENSURE)

        assert poll.execute("SELECT count(*) FROM monitoring.scraping_run").fetchone() == (3,)


def test_a_row_whose_day_changes_is_not_counted_again(store: Store) -> None:
    """An administrator who corrects `at` moves the row; it keeps its transaction's id."""
    store.execute(INSERT, [1])
    store.poll()
    store.execute("UPDATE monitoring.scraping_run SET at = now()")
    store.poll()

    assert runs(store) == 1


def test_maintenance_keeps_a_week_ahead_and_the_days_of_retention(store: Store) -> None:
    """Ten days later there are new days, and those beyond retention are gone."""
    store.poll()
    later = datetime.now(UTC) + timedelta(days=10)
    with store.connect_as_exporter() as connection:
        retention.maintain(connection, store.plan, Retention(http_request=5), later)
    names = {
        row[0]
        for row in store.execute(
            "SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits "
            "WHERE inhparent = 'monitoring.http_request'::regclass"
        )
    }

    assert names >= {f"{later + timedelta(days=day):%Y%m%d}" for day in range(8)}
    assert f"{later - timedelta(days=6):%Y%m%d}" not in names


def test_maintenance_trims_strays(store: Store) -> None:
    """Rows of long ago in the default partition go when they are counted."""
    store.execute(INSERT, [3])
    with store.connect_as_exporter() as connection:
        retention.maintain(connection, store.plan, Retention())
        before = store.one("SELECT count(*) FROM monitoring.scraping_run")
        store.poll()
        retention.maintain(connection, store.plan, Retention())

    assert (before, store.one("SELECT count(*) FROM monitoring.scraping_run")) == (3, 0)
    assert runs(store) == 3


def test_maintenance_goes_on_beside_a_long_transaction(store: Store) -> None:
    """A writer that holds one table keeps maintenance from that table only, and is not kept waiting itself."""
    store.poll()
    later = datetime.now(UTC) + timedelta(days=2)
    with store.connect() as writer, store.connect_as_exporter() as connection:
        writer.execute("BEGIN")
        writer.execute("LOCK TABLE monitoring.error_default IN ROW EXCLUSIVE MODE")
        retention.maintain(connection, store.plan, Retention(), later)

    day = f"{later + timedelta(days=7):%Y%m%d}"
    assert store.one("SELECT to_regclass(%s) IS NOT NULL", [f"monitoring.sample_{day}"])
    assert not store.one("SELECT to_regclass(%s) IS NOT NULL", [f"monitoring.error_{day}"])


def test_finished_jobs_and_batches_go_after_their_time(store: Store) -> None:
    """Live jobs and recent batches stay."""
    store.execute(
        "INSERT INTO monitoring.scraping_job (app, job_id, scraper, status, created_at) VALUES "
        "('a', '1', 's', 'failed', now() - '8 days'::interval), "
        "('a', '2', 's', 'running', now() - '8 days'::interval), "
        "('a', '3', 's', 'completed', now())"
    )
    store.execute(
        "INSERT INTO monitoring.batch VALUES "
        "(gen_random_uuid(), now() - '31 days'::interval), (gen_random_uuid(), now())"
    )
    with store.connect_as_exporter() as connection:
        retention.maintain(connection, store.plan, Retention())

    assert store.execute("SELECT job_id FROM monitoring.scraping_job ORDER BY 1") == [("2",), ("3",)]
    assert store.one("SELECT count(*) FROM monitoring.batch") == 1
