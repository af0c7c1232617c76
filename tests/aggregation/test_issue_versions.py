"""An upgrade of the SDK's rules: errors with a new fingerprint go on in the issue that the former one made."""

import pytest

from exporter.aggregation import retention
from exporter.config.settings import Retention
from tests.aggregation.counting import Store


def add(store: Store, fingerprint: str, former: str | None = None, after: str = "0", poll: bool = True) -> None:
    store.execute(
        "INSERT INTO monitoring.error (at, app, severity, error_type, message, fingerprint, former_fingerprint) "
        "VALUES (now() + %s::interval, 'a', 'high', 'E', %s, %s, %s)",
        [after, fingerprint, fingerprint, former],
    )
    if poll:
        store.poll("error")


def issues(store: Store) -> dict[str, int]:
    """Return the events of each issue."""
    return dict(store.execute("SELECT fingerprint, events FROM monitoring.error_issue ORDER BY 1"))


def created(store: Store) -> float:
    return store.value("platform_error_issues_created_total", app="a") or 0.0


def test_an_error_goes_on_in_its_former_issue(store: Store) -> None:
    """No new issue, none counted as created; the issue keeps its id."""
    add(store, "v1:a")
    id_ = store.one("SELECT id FROM monitoring.error_issue")
    for _ in range(2):
        add(store, "v2:x", "v1:a")
    add(store, "v1:a")  # from a server that is not updated yet

    assert issues(store) == {"v1:a": 4}
    assert created(store) == 1
    assert store.one("SELECT id FROM monitoring.error_issue") == id_


def test_issues_from_before_the_upgrade_of_the_exporter(store: Store) -> None:
    """They have no fingerprints of their own yet: what they counted is kept."""
    add(store, "v1:a")
    store.execute("DELETE FROM monitoring.error_fingerprint")
    add(store, "v2:x", "v1:a")
    add(store, "v1:a")

    assert issues(store) == {"v1:a": 3}
    assert store.execute("SELECT fingerprint, issue, events FROM monitoring.error_fingerprint ORDER BY 1") == [
        ("v1:a", "v1:a", 2), ("v2:x", "v1:a", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "after"), [("resolved", "ignored"), ("ignored", "ignored")])
def test_states_stay(store: Store, status: str, after: str) -> None:
    """An ignored issue stays ignored; one that was resolved is a regression, which names it."""
    add(store, "v1:a")
    store.execute("UPDATE monitoring.error_issue SET status = %s, resolved_at = now() - interval '1 h'", [status])
    add(store, "v2:x", "v1:a", after="1 min")

    expected = "open" if status == "resolved" else after
    assert store.execute("SELECT fingerprint, status FROM monitoring.error_issue") == [("v1:a", expected)]
    assert store.value("platform_error_regressions_total", app="a") == (status == "resolved")


def test_what_the_new_rules_tell_apart_is_new_only_where_there_was_no_issue(store: Store) -> None:
    """A new error's fingerprints are issues of their own; those of an old one stay in it, until someone splits it."""
    add(store, "v1:old")
    for number in ("404", "503"):
        add(store, f"v2:old {number}", "v1:old")
        add(store, f"v2:new {number}", "v1:new")

    assert issues(store) == {"v1:old": 3, "v2:new 404": 1, "v2:new 503": 1}


def test_what_the_new_rules_put_together_goes_on_in_the_oldest(store: Store) -> None:
    """Of several former issues one goes on; the others get no more."""
    add(store, "v1:later")
    add(store, "v1:first", after="-1 h")
    for former in ("v1:later", "v1:first"):
        add(store, "v2:x", former, poll=False)
    store.poll("error")

    assert issues(store) == {"v1:first": 3, "v1:later": 1}


def test_a_server_that_is_not_updated_meets_a_new_issue(store: Store) -> None:
    """An issue of the new rules knows the former fingerprint, too."""
    add(store, "v2:x", "v1:a")
    add(store, "v1:a")

    assert issues(store) == {"v2:x": 2}
    assert created(store) == 1


def test_both_versions_in_one_poll(store: Store) -> None:
    """Of an issue that there is."""
    add(store, "v1:a")
    add(store, "v1:a", poll=False)
    add(store, "v2:x", "v1:a")

    assert issues(store) == {"v1:a": 3}


def test_an_issue_that_expired_is_forgotten(store: Store) -> None:
    """Its fingerprints go with it."""
    add(store, "v1:a")
    add(store, "v2:x", "v1:a")
    store.execute("DELETE FROM monitoring.error_issue")
    with store.connect_as_exporter() as connection:
        list(retention.maintain(connection, store.plan, Retention()))

    assert store.one("SELECT count(*) FROM monitoring.error_fingerprint") == 0
