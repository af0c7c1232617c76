"""Errors grouped into issues, regressions of resolved ones, and who was active when."""

import threading

import pytest

from exporter.aggregation import actors, gauges, issues
from exporter.aggregation.gauges import StateReader
from exporter.config.settings import Source
from exporter.sources import mapping
from platform_sdk.events.error import SEVERITIES
from tests.aggregation.counting import Store, add_runs

ERROR = (
    "INSERT INTO monitoring.error (at, app, severity, error_type, endpoint, fingerprint) "
    "VALUES (now() + %s::interval, %s, %s, %s, %s, %s)"
)


def add_error(
    store: Store,
    after: str = "0",
    *,
    app: str = "a",
    severity: str = "high",
    error_type: str = "E",
    endpoint: str | None = "/x",
    fingerprint: str | None = None,
) -> None:
    store.execute(ERROR, [after, app, severity, error_type, endpoint, fingerprint])
    store.poll("error")


def resolve(store: Store) -> None:
    store.execute("UPDATE monitoring.error_issue SET status = 'resolved', resolved_at = now()")


def regressions(store: Store) -> float | None:
    return store.value("platform_error_regressions_total", app="a")


def test_errors_of_one_type_and_place_are_one_issue(store: Store) -> None:
    """Without a fingerprint type and endpoint group; with one it does."""
    add_error(store)
    add_error(store)
    add_error(store, endpoint="/y")
    add_error(store, endpoint=None)
    add_error(store, fingerprint="f")
    add_error(store, endpoint="/y", fingerprint="f")
    add_error(store, app="b", fingerprint="f")

    assert sorted(row[0] for row in store.execute("SELECT events FROM monitoring.error_issue")) == [1, 1, 1, 2, 2]


def test_an_issue_remembers_its_first_and_last_occurrence(store: Store) -> None:
    """Whatever the order of arrival."""
    for after in ("-1 hour", "-3 hours", "-2 hours"):
        add_error(store, after)

    (row,) = store.execute(
        "SELECT round(extract(epoch FROM now() - first_seen) / 3600)::int, "
        "round(extract(epoch FROM now() - last_seen) / 3600)::int, events FROM monitoring.error_issue"
    )
    assert row == (3, 1, 3)


def test_a_resolved_issue_that_occurs_again_is_a_regression(store: Store) -> None:
    """It is open again, and counted once, however often it occurs."""
    add_error(store)
    resolve(store)
    for _ in range(3):
        add_error(store, "1 minute")

    assert store.execute("SELECT status, regressions FROM monitoring.error_issue") == [("open", 1)]
    assert regressions(store) == 1


@pytest.mark.parametrize(("after", "count"), [(-1, 0), (issues.GRACE_SECONDS - 2, 0), (issues.GRACE_SECONDS + 2, 1)])
def test_an_occurrence_on_its_way_is_no_regression(store: Store, after: int, count: int) -> None:
    """What happened before, or within the grace after, was sent before the issue was resolved."""
    add_error(store)
    resolve(store)
    add_error(store, f"{after} seconds")

    assert regressions(store) == count


def test_an_ignored_issue_stays_ignored(store: Store) -> None:
    """Its events are counted; it does not come back."""
    add_error(store)
    store.execute("UPDATE monitoring.error_issue SET status = 'ignored'")
    add_error(store, "1 minute")

    assert store.execute("SELECT status, events FROM monitoring.error_issue") == [("ignored", 2)]
    assert regressions(store) == 0


def test_regressions_start_at_zero(store: Store) -> None:
    """A series that appears with 1 shows no increase; so it is there from an app's first error on."""
    add_error(store)

    assert regressions(store) == 0


def test_an_issue_is_new_once(store: Store) -> None:
    """A fingerprint never seen before is one new issue, however often it occurs at once or later, of any state."""
    for severity in ("high", "HIGH", "low", "odd"):
        store.execute(ERROR, ["0", "a", severity, "E", f"/{severity.lower()}", None])
    store.poll("error")
    add_error(store, endpoint="/high")
    resolve(store)
    add_error(store, "1 minute", endpoint="/high")
    add_error(store, app="b", endpoint="/high")

    assert store.series("platform_error_issues_created_total") == {
        ("a", "high"): 1, ("a", "low"): 1, ("a", "other"): 1, ("b", "high"): 1,
    }  # fmt: skip


def test_new_issues_are_counted_exactly_while_replicas_and_sources_poll(store: Store) -> None:
    """As many are counted as there are issues, though two sources find the same ones at the same time."""
    other = Store(store.dsn, mapping.plan(Source(preset="native", name="other")))
    stopping = threading.Event()

    def poll(source: Store) -> None:
        while not stopping.is_set():
            source.poll("error")

    threads = [threading.Thread(target=poll, args=(source,)) for source in (store, store, other)]
    for thread in threads:
        thread.start()
    for number in range(60):
        store.execute(ERROR, ["0", "a", "high", "E", f"/{number // 2}", None])
    stopping.set()
    for thread in threads:
        thread.join()
    store.poll("error")
    other.poll("error")

    assert store.value("platform_error_issues_created_total") == 30
    assert store.one("SELECT sum(events) FROM monitoring.error_issue") == 120


def test_a_known_app_has_zeros_of_issues(store: Store) -> None:
    """An app that never failed shows 0, so that its first issue is an increase."""
    add_runs(store)
    worker = store.worker()
    worker.poll()
    before = {total.labels["severity"]: total.value for total in worker.view.totals if total.metric == issues.CREATED}
    add_error(store)
    worker.poll()
    after = {total.labels["severity"]: total.value for total in worker.view.totals if total.metric == issues.CREATED}
    worker._disconnect()

    assert before == dict.fromkeys(SEVERITIES, 0)
    assert after == before | {"high": 1}
    assert [total.value for total in worker.view.totals if total.metric == issues.REGRESSIONS] == [0]


def test_issues_resolved_while_replicas_poll(store: Store) -> None:
    """Each resolution reopened is counted once, though two replicas and a person change the same rows."""
    add_error(store)
    stopping = threading.Event()

    def poll() -> None:
        while not stopping.is_set():
            store.poll("error")

    threads = [threading.Thread(target=poll) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        resolve(store)
        store.execute(ERROR, ["1 minute", "a", "high", "E", "/x", None])
    stopping.set()
    for thread in threads:
        thread.join()
    store.poll("error")

    assert store.execute("SELECT events, regressions FROM monitoring.error_issue") == [(26, regressions(store))]


def test_issues_are_gauged_by_severity_and_status(store: Store) -> None:
    """Every status of a severity seen is there, with 0 where there is none."""
    add_error(store, severity="HIGH")
    add_error(store, severity="high", endpoint="/y")
    resolve(store)
    add_error(store, severity="odd", endpoint="/z")
    with store.connect_as_exporter() as connection:
        readings = {
            r.labels: r.value for r in StateReader(store.plan).read(connection)[0] if r.metric.endswith("_issues")
        }

    assert readings == {
        ("a", "high", "open"): 0,
        ("a", "high", "resolved"): 2,
        ("a", "high", "ignored"): 0,
        ("a", "other", "open"): 1,
        ("a", "other", "resolved"): 0,
        ("a", "other", "ignored"): 0,
    }


def test_issues_of_very_many_apps_are_one_in_the_end(store: Store) -> None:
    """The apps with the most issues have gauges of their own, the others are `_other_`; none is left out."""
    store.execute(
        "INSERT INTO monitoring.error (at, app, severity, error_type) "
        "SELECT now(), 'app' || n, 'high', 'E' FROM generate_series(1, %s) n",
        [gauges.APPS + 5],
    )
    add_error(store, app="app3", endpoint="/y")
    with store.connect_as_exporter() as connection:
        read = StateReader(store.plan).read(connection)[0]
    readings = {r.labels: r.value for r in read if r.metric.endswith("_issues") and r.value}

    assert len(readings) == gauges.APPS + 1
    assert (readings["_other_", "high", "open"], readings["app3", "high", "open"]) == (5, 2)


def seen(store: Store) -> dict[tuple[str, str], float]:
    with store.connect_as_exporter() as connection:
        names = {"platform_active_users": "user", "platform_active_sessions": "session"}
        return {(names[r.metric], r.labels[1]): r.value for r in actors.read(connection, "native")}


def add_activity(store: Store, ago: str, user: str | None, session: str | None = None) -> None:
    store.execute(
        "INSERT INTO monitoring.user_activity (at, app, activity, user_id, session_id) "
        "VALUES (now() - %s::interval, 'a', 'x', %s, %s)",
        [ago, user, session],
    )


def test_distinct_users_by_window(store: Store) -> None:
    """Each user once in every window that reaches back to what they did last."""
    for ago, user in (("1 minute", "a"), ("3 hours", "a"), ("30 minutes", "b"), ("3 hours", "c"), ("3 days", "d"),
                      ("8 days", "e"), ("1 minute", ""), ("1 minute", None)):  # fmt: skip
        add_activity(store, ago, user)
    store.poll("user_activity")

    assert {window: value for (kind, window), value in seen(store).items() if kind == "user"} == {
        "5m": 1, "1h": 2, "1d": 3, "7d": 4,
    }  # fmt: skip


def test_users_of_requests_and_of_activities_are_the_same_people(store: Store) -> None:
    """A user seen in two tables counts once, and a session is not a user."""
    add_activity(store, "1 minute", "a", "a")
    store.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds, user_id) "
        "VALUES (now(), 'a', '/x', 200, 1, 'a')"
    )
    store.poll()

    assert (seen(store)["user", "1h"], seen(store)["session", "1h"]) == (1, 1)


def test_a_late_event_does_not_make_a_user_older(store: Store) -> None:
    """What arrives last need not be what happened last."""
    for ago in ("1 minute", "2 hours"):
        add_activity(store, ago, "a")
        store.poll("user_activity")

    assert seen(store)["user", "5m"] == 1


def test_no_ids_are_kept(store: Store) -> None:
    """Only a hash is stored: the table is not a second copy of personal data."""
    add_activity(store, "1 minute", "alice@example.org", "secret-session")
    store.poll("user_activity")

    assert "alice" not in str(store.execute("SELECT * FROM monitoring.actor"))


def test_actors_beyond_every_window_are_forgotten(store: Store) -> None:
    """The table does not grow with all who ever came."""
    add_activity(store, "6 days", "a")
    store.poll("user_activity")
    store.execute("UPDATE monitoring.actor SET last_seen = now() - '8 days'::interval")
    with store.connect_as_exporter() as connection:
        actors.forget(connection, "native")

    assert store.one("SELECT count(*) FROM monitoring.actor") == 0
