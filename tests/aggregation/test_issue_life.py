"""Issues that open again by themselves: regressions by release, the end of being ignored, and the audit of it."""

import threading

import pytest

from exporter.aggregation.gauges import StateReader
from tests.aggregation.counting import Store
from tests.servers import PATIENCE_SECONDS, poll_until

ERROR = (
    "INSERT INTO monitoring.error (at, app, severity, error_type, fingerprint, release) "
    "VALUES (now() + %s::interval, 'a', 'high', 'E', 'f', %s)"
)


def add_error(store: Store, after: str = "0", release: str | None = None) -> None:
    store.execute(ERROR, [after, release])
    store.poll("error")


def change(store: Store, status: str, **columns: object) -> None:
    """Change the issue as people do, but for the audit."""
    if status == "resolved":
        store.execute("UPDATE monitoring.error_issue SET resolved_at = now()")
    store.execute("UPDATE monitoring.error_issue SET status = %s", [status])
    for name, value in columns.items():
        store.execute(f"UPDATE monitoring.error_issue SET {name} = %s", [value])


def see_release(store: Store, release: str, ago: str) -> None:
    store.execute(
        "INSERT INTO monitoring.release (app, release, first_seen) VALUES ('a', %s, now() - %s::interval) "
        "ON CONFLICT (app, release) DO UPDATE SET first_seen = excluded.first_seen",
        [release, ago],
    )


def status(store: Store) -> str:
    return str(store.one("SELECT status FROM monitoring.error_issue"))


def history(store: Store) -> list[tuple[object, ...]]:
    return store.execute(
        "SELECT actor, action, details->>'from', details->>'to', details->>'release' FROM monitoring.audit "
        "WHERE object = (SELECT 'error_issue/' || id FROM monitoring.error_issue) ORDER BY at"
    )


@pytest.mark.parametrize(
    ("resolved_in", "occurs_in", "expected"),
    [
        ("2.0", "1.0", "resolved"),
        ("2.0", "2.0", "open"),
        ("2.0", "3.0", "open"),
        ("2.0", "never seen", "open"),
        ("2.0", None, "open"),
        (None, "1.0", "open"),
        ("not yet seen", "1.0", "resolved"),
        ("not yet seen", "not yet seen", "open"),
    ],
)
def test_an_older_release_is_no_regression(
    store: Store, resolved_in: str | None, occurs_in: str | None, expected: str
) -> None:
    """Older is what was first seen before the release it was resolved in; where that cannot be said, time decides."""
    add_error(store)
    for release, ago in (("1.0", "3 days"), ("2.0", "2 days"), ("3.0", "1 day")):
        see_release(store, release, ago)
    change(store, "resolved", resolved_release=resolved_in)
    store.execute("DELETE FROM monitoring.release WHERE release = 'never seen'")
    add_error(store, "1 minute", occurs_in)

    assert status(store) == expected
    assert store.value("platform_error_regressions_total", app="a") == (expected == "open")


def test_one_new_occurrence_among_old_ones_is_a_regression(store: Store) -> None:
    """Though the latest of the batch comes from a server not yet updated."""
    add_error(store)
    see_release(store, "1.0", "2 days")
    see_release(store, "2.0", "1 day")
    change(store, "resolved", resolved_release="2.0")
    for after, release in (("1 minute", "2.0"), ("2 minutes", "1.0")):
        store.execute(ERROR, [after, release])
    store.poll("error")

    assert status(store) == "open"


def test_a_regression_is_in_the_audit(store: Store) -> None:
    """With its actor, the exporter, and the release of the occurrence."""
    add_error(store)
    change(store, "resolved")
    for _ in range(2):
        add_error(store, "1 minute", "7")

    assert history(store) == [("exporter", "error.regression", "resolved", "open", "7")]
    assert store.execute("SELECT changed_by, changed_at IS NULL FROM monitoring.error_issue") == [("exporter", False)]


def test_what_only_occurs_is_no_change(store: Store) -> None:
    """Nothing but a change of status is in the audit, and in `changed_by`."""
    for _ in range(2):
        add_error(store)

    assert history(store) == []
    assert store.one("SELECT changed_by FROM monitoring.error_issue") is None


def test_ignored_until_a_time(store: Store) -> None:
    """Open at the next poll after it, without another occurrence."""
    add_error(store)
    change(store, "ignored", ignored_until="2100-01-01")
    add_error(store, "1 minute")
    before = status(store)
    change(store, "ignored", ignored_until="2020-01-01")
    store.poll("error")
    store.poll("error")

    assert (before, status(store)) == ("ignored", "open")
    assert history(store) == [("exporter", "error.ignore_ended", "ignored", "open", None)]
    assert store.one("SELECT ignored_until FROM monitoring.error_issue") is None
    assert store.value("platform_error_regressions_total", app="a") == 0


def test_ignored_until_a_count(store: Store) -> None:
    """The event that makes it full opens the issue, in the poll that counts it."""
    add_error(store)
    change(store, "ignored", ignored_until_events=4)
    seen = []
    for _ in range(3):
        add_error(store)
        seen.append(status(store))

    assert seen == ["ignored", "ignored", "open"]
    assert history(store) == [("exporter", "error.ignore_ended", "ignored", "open", None)]
    assert store.one("SELECT ignored_until_events FROM monitoring.error_issue") is None


def test_a_batch_larger_than_the_count_opens_it(store: Store) -> None:
    """The count may be passed by far within one poll."""
    add_error(store)
    change(store, "ignored", ignored_until_events=3)
    for _ in range(20):
        store.execute(ERROR, ["0", None])
    store.poll("error")

    assert (status(store), store.one("SELECT events FROM monitoring.error_issue")) == ("open", 21)


def test_a_poll_waits_for_who_resolves_and_sees_it(store: Store) -> None:
    """An occurrence counted while a resolution is not yet committed is a regression of it: never lost, never two."""
    add_error(store)
    store.execute(ERROR, ["1 minute", None])
    with store.connect() as person, person.transaction():
        person.execute("UPDATE monitoring.error_issue SET status = 'resolved', resolved_at = now()")
        poll = threading.Thread(target=lambda: store.poll("error"))
        poll.start()
        poll_until(lambda: store.one("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
    poll.join(PATIENCE_SECONDS)

    assert store.execute("SELECT status, events, regressions FROM monitoring.error_issue") == [("open", 2, 1)]
    assert len(history(store)) == 1
    assert store.value("platform_error_regressions_total", app="a") == 1


def changed(store: Store) -> set[tuple[str, ...]]:
    """Return the labels of the issues that notifications name."""
    with store.connect_as_exporter() as connection:
        readings, problems = StateReader(store.plan).read(connection)
    assert problems == []
    return {one.labels for one in readings if one.metric == "platform_error_issue_changed_timestamp_seconds"}


def test_new_issues_and_regressions_have_names(store: Store) -> None:
    """A notification says which kind of error is new or came back, and in which release."""
    add_error(store, release="1.0")
    assert changed(store) == {("a", "created", "high", "E", "1.0", "f")}

    change(store, "resolved")
    assert changed(store) == set()

    add_error(store, "10 s", release="1.1")
    assert changed(store) == {("a", "created", "high", "E", "1.0", "f"), ("a", "regressed", "high", "E", "1.1", "f")}


def test_old_issues_have_no_names(store: Store) -> None:
    """Years of errors that are counted for the first time are not new."""
    add_error(store, "-2 hours")

    assert changed(store) == set()


def test_the_newest_issues_of_each_app_have_names(store: Store) -> None:
    """A release that breaks everything makes no flood of series."""
    store.execute(
        "INSERT INTO monitoring.error (at, app, error_type, fingerprint) "
        "SELECT now() - i * interval '1 s', app, 'E' || i, i "
        "FROM generate_series(1, 50) i, unnest(ARRAY['a', 'b']) app"
    )
    store.poll("error")

    assert {(app, error_type) for app, _, _, error_type, _, _ in changed(store)} == {
        (app, error_type) for app in "ab" for error_type in ("E1", "E2", "E3")
    }
