"""Issues are merged and split: counts, states, later errors and the audit follow."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from exporter.errors import ChangeError, CountError, UnknownIssueError
from exporter.issues import change as changing
from exporter.issues import queries
from exporter.issues.change import Change, Changed
from exporter.issues.selection import Selection
from platform_sdk.events import KINDS
from tests.aggregation.counting import Store
from tests.issues.listing import id_of
from tests.servers import poll_until


def apply(store: Store, change: Change, *ids: str, expected: int | None = None) -> list[Changed]:
    with store.connect_as_exporter() as connection:
        return changing.apply(connection, Selection(ids=ids), change, "ann", via="test", expected=expected)


def add(store: Store, error_type: str, after: str = "0", release: str | None = None) -> None:
    store.execute(
        "INSERT INTO monitoring.error (at, app, severity, error_type, message, fingerprint, release) "
        "VALUES (now() + %s::interval, 'shop', 'critical', %s, 'again', %s, %s)",
        [after, error_type, f"f/{error_type}", release],
    )
    store.poll("error")


def merged(store: Store) -> tuple[str, str]:
    """Merge the shop's KeyError into its ValueError; return both ids."""
    ids = id_of(store, "shop"), id_of(store, "shop", "KeyError")
    apply(store, Change(action="merge", note="one fault"), *ids)
    return ids


def issues(store: Store) -> dict[str, int]:
    return dict(
        store.execute("SELECT fingerprint, events FROM monitoring.error_issue WHERE app = 'shop' ORDER BY fingerprint")
    )


def test_merged_issues_are_one(store: Store) -> None:
    """The first stays, with the events and first and last seen of both; severity, type and message are the latest's."""
    store.execute("UPDATE monitoring.error_fingerprint SET first_seen = '2025-01-01 UTC' WHERE error_type = 'KeyError'")
    add(store, "KeyError")
    ids = merged(store)

    assert issues(store) == {"f/ValueError": 3}
    assert store.execute(
        "SELECT id, first_seen = '2025-01-01 UTC', now() - last_seen < '1 min', severity, message, error_type "
        "FROM monitoring.error_issue WHERE app = 'shop'"
    ) == [(ids[0], True, True, "critical", "again", "KeyError")]


def test_later_errors_follow(store: Store) -> None:
    """They are counted by the merged issue, and none is created."""
    before = store.value("platform_error_issues_created_total", app="shop")
    merged(store)
    add(store, "KeyError")
    add(store, "ValueError")

    assert issues(store) == {"f/ValueError": 4}
    assert store.value("platform_error_issues_created_total", app="shop") == before


def test_a_merged_issue_occurs_again(store: Store) -> None:
    """An error of what was merged reopens the issue that was resolved."""
    ids = merged(store)
    apply(store, Change(action="resolve"), ids[0])
    add(store, "KeyError", after="1 min")

    assert store.execute("SELECT status, regressions FROM monitoring.error_issue WHERE app = 'shop'") == [("open", 1)]


def test_a_split_takes_them_apart(store: Store) -> None:
    """Each with its own counts, what came while they were one included; states are kept."""
    ids = merged(store)
    add(store, "KeyError", release="9.0")
    apply(store, Change(action="assign", person="bob"), ids[0])
    apply(store, Change(action="resolve", release="9.1"), ids[0])
    done = apply(store, Change(action="split"), ids[0])

    assert [(one.id, one.fingerprint, one.changed) for one in done] == [
        (ids[0], "f/ValueError", True), (ids[1], "f/KeyError", True),
    ]  # fmt: skip
    assert store.execute(
        "SELECT fingerprint, events, status, assignee, resolved_release, severity, last_release "
        "FROM monitoring.error_issue WHERE app = 'shop' ORDER BY 1"
    ) == [
        ("f/KeyError", 2, "resolved", "bob", "9.1", "critical", "9.0"),
        ("f/ValueError", 1, "resolved", "bob", "9.1", "high", "1.0"),
    ]


def test_after_a_split_errors_go_their_own_way(store: Store) -> None:
    """As if nothing had been."""
    ids = merged(store)
    apply(store, Change(action="split"), ids[0])
    add(store, "KeyError")

    assert issues(store) == {"f/KeyError": 2, "f/ValueError": 1}


def test_one_fingerprint_is_split_off(store: Store) -> None:
    """The others stay."""
    add(store, "OSError")
    ids = merged(store)
    apply(store, Change(action="merge"), ids[0], id_of(store, "shop", "OSError"))
    apply(store, Change(action="split", fingerprints=("f/OSError",)), ids[0])

    assert issues(store) == {"f/OSError": 1, "f/ValueError": 2}


def test_a_fingerprint_that_an_issue_does_not_have_is_not_split_off(store: Store) -> None:
    """Nor are those beside it: all or none."""
    ids = merged(store)
    for unknown in ("nothing", "f/ValueError"):
        with pytest.raises(UnknownIssueError, match=f"no fingerprint '{unknown}' was merged into issue {ids[0]}"):
            apply(store, Change(action="split", fingerprints=("f/KeyError", unknown)), ids[0])

    assert issues(store) == {"f/ValueError": 2}


def test_a_later_occurrence_names_a_merged_issue(store: Store) -> None:
    """Type and message are of one occurrence, and after a split of one's own."""
    ids = merged(store)
    store.execute("UPDATE monitoring.error_issue SET message = 'else'")
    add(store, "KeyError")
    store_says = "SELECT error_type, message FROM monitoring.error_issue WHERE app = 'shop' ORDER BY 1"

    assert store.execute(store_says) == [("KeyError", "again")]
    apply(store, Change(action="split"), ids[0])
    assert [row[0] for row in store.execute(store_says)] == ["KeyError", "ValueError"]


def test_what_was_merged_can_be_merged_again(store: Store) -> None:
    """All its fingerprints move."""
    add(store, "OSError")
    ids = merged(store)
    apply(store, Change(action="merge"), id_of(store, "shop", "OSError"), ids[0])
    add(store, "KeyError")

    assert issues(store) == {"f/OSError": 4}


def test_an_issue_of_one_fingerprint_is_not_split(store: Store) -> None:
    """That is an error: nothing is changed and nothing is in the audit."""
    with pytest.raises(ChangeError, match=r"nothing was merged into issue [0-9a-f]{16}"):
        apply(store, Change(action="split"), id_of(store, "shop"))

    assert store.one("SELECT count(*) FROM monitoring.audit") == 0


def test_both_have_it_in_their_history(store: Store) -> None:
    """Who, why, and which issues."""
    ids = merged(store)
    apply(store, Change(action="split"), ids[0])

    assert store.execute(
        "SELECT actor, action, object, details->'merged', details->'into', details->'split', details->'out_of', "
        "details->>'note', details->>'via' FROM monitoring.audit ORDER BY at"
    ) == [
        ("ann", "error.merge", f"error_issue/{ids[0]}", [ids[1]], None, None, None, "one fault", "test"),
        ("ann", "error.merge", f"error_issue/{ids[1]}", None, [ids[0]], None, None, "one fault", "test"),
        ("ann", "error.split", f"error_issue/{ids[0]}", None, None, [ids[1]], None, None, "test"),
        ("ann", "error.split", f"error_issue/{ids[1]}", None, None, None, [ids[0]], None, "test"),
    ]


def test_an_issue_shows_the_rows_of_all_its_fingerprints(store: Store) -> None:
    """Occurrences and releases of what was merged, too."""
    ids = merged(store)
    errors = f"(SELECT {', '.join(column.name for column in KINDS['error'].all_columns)} FROM monitoring.error) error"
    with store.connect_as_exporter() as connection:
        (shown,) = queries.shown(connection, ids[0], datetime.now(UTC) - timedelta(days=1), errors=errors)

    assert shown["fingerprints"] == ["f/KeyError"]
    assert {row["release"] for row in shown["releases"]} == {"1.0", "2.0"}


def test_ignored_until_so_many_more_stays_so_many(store: Store) -> None:
    """What is merged in does not use them up."""
    apply(store, Change(action="ignore", events=5), id_of(store, "shop"))
    merged(store)

    assert store.execute("SELECT events, ignored_until_events FROM monitoring.error_issue WHERE app = 'shop'") == [
        (2, 7)
    ]


def test_what_cannot_be_merged_is_refused(store: Store) -> None:
    """One issue, or those of several apps; nothing is changed."""
    with pytest.raises(ChangeError, match="expected at least two"):
        apply(store, Change(action="merge"), id_of(store, "shop"))
    with pytest.raises(ChangeError, match="several apps cannot be merged: prices, shop"):
        apply(store, Change(action="merge"), id_of(store, "shop"), id_of(store, "prices"))
    with pytest.raises(CountError, match="expected 3"):
        apply(store, Change(action="merge"), id_of(store, "shop"), id_of(store, "shop", "KeyError"), expected=3)

    assert issues(store) == {"f/KeyError": 1, "f/ValueError": 1}


def test_merging_beside_polls_loses_and_doubles_nothing(store: Store) -> None:
    """A poll that began before a merge is tried again: no issue comes back, every event is counted."""
    ids = id_of(store, "shop"), id_of(store, "shop", "KeyError")
    stopping = threading.Event()
    failures: list[BaseException] = []
    rounds: list[int] = []

    def repeat(work: object) -> None:
        while not stopping.is_set():
            try:
                work()  # type: ignore[operator]
            except BaseException as error:
                failures.append(error)
                raise

    def come_and_go() -> None:
        apply(store, Change(action="merge"), *ids)
        apply(store, Change(action="split"), ids[0])
        rounds.append(1)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in (lambda: store.poll("error"), come_and_go)]
    for thread in threads:
        thread.start()
    try:
        poll_until(lambda: add(store, "KeyError") or add(store, "ValueError") or len(rounds) >= 20)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(60)
    apply(store, Change(action="merge"), *ids)
    store.poll("error")

    assert not failures
    assert issues(store) == {"f/ValueError": store.one("SELECT count(*) FROM monitoring.error WHERE app = 'shop'")}
