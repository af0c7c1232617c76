"""Background tasks: every series equals what plain SQL says of the table, and only what is known is observed."""

import pytest

import platform_sdk
from platform_sdk import emit
from platform_sdk.events.background_task import BACKGROUND_TASK, BOUNDS
from tests.aggregation.counting import Store
from tests.servers import Database

ROWS = """INSERT INTO monitoring.background_task (at, app, task, queue, outcome, wait_seconds, duration_seconds)
    SELECT now(), 'app', 'task' || i % 3, CASE WHEN i % 4 > 0 THEN 'queue' || i % 2 END,
        (ARRAY['success', 'retry', 'failure', ' REVOKED'])[1 + i % 4], CASE WHEN i % 5 > 0 THEN i % 90 END,
        round((random() * 4000)::numeric, 2) FROM generate_series(1, 900) i"""


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return an event store with tasks that were counted in two polls."""
    store = Store(store_database.dsn)
    for _ in range(2):
        store.execute(ROWS)
        store.poll("background_task")
    return store


def test_tasks_are_counted_by_outcome(store: Store) -> None:
    """In any case and spelling."""
    rows = store.execute(
        "SELECT app, CASE outcome WHEN ' REVOKED' THEN 'failure' ELSE outcome END, coalesce(queue, ''), task, "
        "count(*)::float8 FROM monitoring.background_task GROUP BY 1, 2, 3, 4"
    )

    assert store.series("platform_background_tasks_total") == {row[:4]: row[4] for row in rows}


@pytest.mark.parametrize("what", ["duration", "wait"])
def test_times_are_observed(store: Store, what: str) -> None:
    """Count, sum and buckets of the rows that say how long it was; a task that never waited has no series."""
    within = ", ".join(f"(count(*) FILTER (WHERE {what}_seconds <= {bound}))::float8" for bound in BOUNDS)
    truth = store.execute(
        f"SELECT coalesce(queue, ''), task, count({what}_seconds)::float8, sum({what}_seconds), ARRAY[{within}] "
        f"FROM monitoring.background_task GROUP BY 1, 2"
    )
    found = store.execute(
        "SELECT labels->>'queue', labels->>'task', value, total, buckets FROM monitoring.rollup WHERE metric = %s",
        [f"platform_background_task_{what}_seconds"],
    )

    assert sorted(found) == sorted((*row[:3], pytest.approx(row[3]), row[4]) for row in truth)


@pytest.mark.parametrize(("known", "unknown"), [("duration", "wait"), ("wait", "duration")])
def test_what_is_unknown_is_not_observed(store: Store, known: str, unknown: str) -> None:
    """The task counts; a time that nobody knows neither counts nor makes a series."""
    store.execute(
        f"INSERT INTO monitoring.background_task (at, app, task, outcome, {known}_seconds) "
        "VALUES (now(), 'app', 'sudden', 'success', 1)"
    )
    store.poll("background_task")

    assert store.value("platform_background_tasks_total", task="sudden") == 1
    assert store.value(f"platform_background_task_{known}_seconds", task="sudden") == 1
    assert store.value(f"platform_background_task_{unknown}_seconds", task="sudden") is None


def test_attempts_are_observed_where_a_task_ended(store: Store) -> None:
    """How many it took; tries that others follow are none of their own. Only its own buckets are stored."""
    store.execute(
        "INSERT INTO monitoring.background_task (at, app, task, outcome, attempt) VALUES "
        "(now(), 'app', 'again', 'retry', 1), (now(), 'app', 'again', 'success', 2), "
        "(now(), 'app', 'again', 'failure', 4), (now(), 'app', 'again', 'success', NULL)"
    )
    store.poll("background_task")
    found = store.execute(
        "SELECT value, total, buckets FROM monitoring.rollup WHERE metric = 'platform_background_task_attempts' "
        "AND labels->>'task' = 'again'"
    )

    assert found == [(2, 6, [0, 1, 1, 2, 2])]


def test_newest_success_is_shown(store: Store) -> None:
    """Of each task, whatever its queue; one that only failed has none."""
    insert = "INSERT INTO monitoring.background_task (at, app, task, outcome) VALUES (to_timestamp(%s), 'app', %s, %s)"
    for at, task, outcome in (
        *((2000, "mail", "success"), (1000, "mail", "success"), (3000, "mail", "failure")),
        *((4000, "mail", "retry"), (1000, "broken", "failure")),
    ):
        store.execute(insert, [at, task, outcome])
    store.poll("background_task")
    found = store.series("platform_background_task_last_success_timestamp_seconds")

    assert found["app", "mail"] == 2000
    assert ("app", "broken") not in found


def test_an_event_of_any_kind_is_emitted_by_its_columns(store_database: Database) -> None:
    """What is left out is NULL; a column that does not exist is an error of the call, which is counted."""
    assert platform_sdk.init(dsn=store_database.dsn, app="app", spool_folder="")
    emit.event(BACKGROUND_TASK, task="send_mail", outcome="success", duration_seconds=0.2, queue="mail")
    emit.event(BACKGROUND_TASK, task="send_mail", outcome="success", duration=0.2)
    assert platform_sdk.flush(60)
    stats = platform_sdk.stats()
    platform_sdk.close()

    columns = "task, queue, outcome, duration_seconds, wait_seconds, attempt"
    query = f"SELECT {columns} FROM monitoring.background_task"
    assert store_database.execute(query) == [("send_mail", "mail", "success", 0.2, None, None)]
    assert (stats["produced"], stats["stored"], stats["dropped"]) == (2, 1, {"internal": 1})
