"""Partitions come and go under writers and polls; counters never fall and no event is counted twice."""

import time

import psycopg
import pytest

from exporter.aggregation import retention
from exporter.config.settings import Retention
from tests.aggregation.counting import Store, add_runs, runs

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


def maintain(store: Store, *, days_ahead: float = 0, **retention_days: int) -> None:
    """Do a round of maintenance on a host whose clock is so many days ahead of the database's."""
    with store.connect_as_exporter() as connection:
        days = Retention(**retention_days)
        list(retention.maintain(connection, store.plan, days, store.limits, lambda: time.time() + days_ahead * 86_400))


def days_of(store: Store, kind: str) -> set[int]:
    """Return the partitions that a kind has, in days from today by the database's clock."""
    query = """SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') - (now() AT TIME ZONE 'UTC')::date
        FROM pg_inherits WHERE inhparent = %s::regclass AND inhrelid::regclass::text !~ 'default$'"""
    return {row[0] for row in store.execute(query, [f"monitoring.{kind}"])}


def add_days(store: Store, kind: str, *days: int) -> None:
    for day in days:
        store.execute("SELECT monitoring.ensure_partition(%s, (now() AT TIME ZONE 'UTC')::date + %s)", [kind, day])


def test_maintenance_keeps_a_week_ahead_and_the_days_of_retention(store: Store) -> None:
    """What is missing of the days ahead is made, and those beyond retention go."""
    store.poll()
    add_days(store, "http_request", -5, -6, -7)
    store.execute("SELECT monitoring.ensure_partition('error', '2020-01-01')")
    for day in (5, 6, 7):
        store.execute(
            "DO $$ BEGIN EXECUTE 'DROP TABLE monitoring.http_request_' "
            f"|| to_char((now() AT TIME ZONE 'UTC')::date + {day}, 'YYYYMMDD'); END $$"
        )
    maintain(store, http_request=5)

    assert days_of(store, "http_request") == {-5, *range(-1, 8)}
    assert days_of(store, "error") == set(range(-1, 8))


def test_a_round_drops_a_few_days(store: Store) -> None:
    """The oldest first: whoever finds that a clock is wrong still has the others."""
    store.poll()
    add_days(store, "http_request", *range(-20, -14))
    maintain(store)

    assert days_of(store, "http_request") == {-17, -16, -15, *range(-1, 8)}


@pytest.mark.parametrize("days_ahead", [20, -20, 0.005, -0.005])
def test_a_clock_that_is_wrong_removes_nothing(
    store: Store, caplog: pytest.LogCaptureFixture, days_ahead: float
) -> None:
    """Neither today's rows nor old ones go while the clocks differ; the days ahead are made by the database's clock."""
    add_runs(store, 100)
    store.execute(INSERT, [3])
    store.execute("INSERT INTO monitoring.batch VALUES (gen_random_uuid(), now() - '31 days'::interval)")
    store.poll()
    maintain(store, days_ahead=days_ahead)

    assert store.one("SELECT count(*) FROM monitoring.scraping_run") == 103
    assert store.one("SELECT count(*) FROM monitoring.batch") == 1
    assert days_of(store, "scraping_run") == set(range(-1, 8))
    assert "nothing old is removed until they agree" in caplog.text


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT monitoring.drop_partition('scraping_run', (now() AT TIME ZONE 'UTC')::date)",
        "SELECT monitoring.drop_partition('scraping_run', (now() AT TIME ZONE 'UTC')::date + 1)",
        "SELECT monitoring.drop_partition('scraping_run', 'infinity')",
        "SELECT monitoring.drop_partition('scraping_run', NULL)",
        "SELECT monitoring.trim_default('scraping_run', now() + '1 day'::interval)",
        "SELECT monitoring.trim_default('scraping_run', 'infinity')",
        "SELECT monitoring.trim_default('scraping_run', NULL)",
    ],
)
def test_no_one_removes_what_is_not_past(store: Store, statement: str) -> None:
    """The functions themselves refuse a time that the database's clock has not reached."""
    add_runs(store, 2)
    store.execute("INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
                  "VALUES (now() + '20 days'::interval, 'a', 's', 'success', 1)")  # fmt: skip
    store.poll()

    with pytest.raises(psycopg.errors.InvalidParameterValue, match="expected a"):
        store.execute(statement)
    assert store.one("SELECT count(*) FROM monitoring.scraping_run") == 3


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("batch", "(id, at) SELECT gen_random_uuid(), {}"),
        (
            "error_issue",
            "(app, severity, error_type, events, fingerprint, last_seen, first_seen) SELECT '', '', '', 1, i, {0}, {0}",
        ),
        ("actor", "(source, app, kind, id, last_seen) SELECT 'native', 'a', 'user', i, {}"),
        ("scraping_job", "(app, job_id, scraper, status, created_at) SELECT 'a', i::text, 's', 'failed', {}"),
    ],
)
def test_a_round_removes_a_few_days_of_leftovers(store: Store, table: str, columns: str) -> None:
    """Of rows 100, 99 ... 41 days old the first few days go."""
    times = "now() - make_interval(days => 101 - i)"
    store.execute(f"INSERT INTO monitoring.{table} {columns.format(times)} FROM generate_series(1, 60) i")
    maintain(store)

    assert store.one(f"SELECT count(*) FROM monitoring.{table}") == 56


def test_maintenance_trims_strays(store: Store) -> None:
    """Rows of long ago in the default partition go when they are counted."""
    store.execute(INSERT, [3])
    maintain(store)
    before = store.one("SELECT count(*) FROM monitoring.scraping_run")
    store.poll()
    maintain(store)

    assert (before, store.one("SELECT count(*) FROM monitoring.scraping_run")) == (3, 0)
    assert runs(store) == 3


def test_maintenance_goes_on_beside_a_long_transaction(store: Store) -> None:
    """A writer that holds one table keeps maintenance from that table only, and is not kept waiting itself."""
    store.poll()
    add_days(store, "sample", -100)
    add_days(store, "error", -100)
    with store.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("LOCK TABLE monitoring.error_default IN ROW EXCLUSIVE MODE")
        writer.execute("SELECT count(*) FROM monitoring.error")
        maintain(store)

    assert -100 not in days_of(store, "sample")
    assert -100 in days_of(store, "error")


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
    maintain(store)

    assert store.execute("SELECT job_id FROM monitoring.scraping_job ORDER BY 1") == [("2",), ("3",)]
    assert store.one("SELECT count(*) FROM monitoring.batch") == 1
