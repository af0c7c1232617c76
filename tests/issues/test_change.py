"""People change issues: all that are meant or none, each in the audit, beside polls that change them too."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from exporter.errors import ChangeError, CountError, UnknownIssueError
from exporter.issues import change as changing
from exporter.issues.change import Change, Changed
from exporter.issues.selection import Selection, full_ids
from tests.aggregation.counting import Store
from tests.issues.listing import audit, id_of, statuses
from tests.servers import PATIENCE_SECONDS, poll_until


def apply(
    store: Store, change: Change, selection: Selection | None = None, expected: int | None = None
) -> list[Changed]:
    with store.connect_as_exporter() as connection:
        return changing.apply(connection, selection or Selection(), change, "ann", via="test", expected=expected)


def test_one_is_resolved(store: Store) -> None:
    """With who and when, in the audit too; the others stay."""
    (done,) = apply(store, Change(action="resolve"), Selection(ids=(id_of(store, "prices"),)))

    assert (done.was, done.status, done.changed) == ("open", "resolved", True)
    assert statuses(store) == {"prices ValueError": "resolved", "shop ValueError": "open", "shop KeyError": "open"}
    assert audit(store) == [("ann", "error.resolve", "prices", "open", "resolved", "test")]
    assert store.execute(
        "SELECT resolved_by, changed_by, now() - resolved_at < '1 min', resolved_release FROM monitoring.error_issue "
        "WHERE status = 'resolved'"
    ) == [("ann", "ann", True, None)]


def test_what_is_so_already_is_left_alone(store: Store) -> None:
    """No second row in the audit, no later time."""
    apply(store, Change(action="resolve"))
    done = apply(store, Change(action="resolve"))

    assert [one.changed for one in done] == [False] * 3
    assert len(audit(store)) == 3


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        (Selection(apps=("shop",)), 2),
        (Selection(apps=("shop", "prices")), 3),
        (Selection(apps=("shop",), severities=("high",)), 1),
        (Selection(types=("ValueError",)), 2),
        (Selection(endpoints=("/x",)), 3),
        (Selection(statuses=("resolved",)), 0),
        (Selection(search="BROKE"), 3),
        (Selection(search='"broke" /x f/key'), 1),
        (Selection(search="100%_"), 0),
        (Selection(since=datetime(2100, 1, 1, tzinfo=UTC)), 0),
        (Selection(since=datetime(2020, 1, 1, tzinfo=UTC)), 3),
    ],
)
def test_a_filter_means_what_fits_all_of_it(store: Store, selection: Selection, meant: int) -> None:
    """Of several values of one kind any, of several kinds all; text is not a pattern."""
    assert len(apply(store, Change(action="ignore"), selection)) == meant


def test_nothing_is_changed_where_another_number_is_expected(store: Store) -> None:
    """The list may have changed since a user saw it."""
    with pytest.raises(CountError, match="3 issues would change, expected 2"):
        apply(store, Change(action="resolve"), expected=2)

    assert set(statuses(store).values()) == {"open"}


def test_an_unknown_id_changes_nothing(store: Store) -> None:
    """Not the known ones beside it either."""
    with pytest.raises(UnknownIssueError, match="0000"):
        apply(store, Change(action="resolve"), Selection(ids=("0" * 16, id_of(store, "shop"))))

    assert set(statuses(store).values()) == {"open"}


def test_a_release_may_be_the_latest_of_each_app(store: Store) -> None:
    """Of apps without releases it is none, and time decides."""
    for release, ago in (("2.0", "1 day"), ("1.0", "2 days")):
        store.execute(
            "INSERT INTO monitoring.release VALUES ('shop', %s, now() - %s::interval) "
            "ON CONFLICT (app, release) DO UPDATE SET first_seen = excluded.first_seen",
            [release, ago],
        )
    apply(store, Change(action="resolve", release="latest"))

    assert store.execute("SELECT DISTINCT app, resolved_release FROM monitoring.error_issue ORDER BY 1") == [
        ("prices", None),
        ("shop", "2.0"),
    ]


def test_ignored_until_so_many_more(store: Store) -> None:
    """Counted from the events there are."""
    apply(store, Change(action="ignore", events=5))
    apply(store, Change(action="ignore", events=7))

    assert store.execute("SELECT DISTINCT events, ignored_until_events FROM monitoring.error_issue") == [(1, 8)]


def test_reopening_forgets_the_resolution(store: Store) -> None:
    """It is open as if it had never been changed; the audit remembers."""
    apply(store, Change(action="resolve", release="9"))
    apply(store, Change(action="reopen"))

    assert store.execute(
        "SELECT DISTINCT status, resolved_at, resolved_by, resolved_release FROM monitoring.error_issue"
    ) == [("open", None, None, None)]
    assert [row[1] for row in audit(store)] == ["error.resolve"] * 3 + ["error.reopen"] * 3


def assignees(store: Store) -> dict[str, str | None]:
    """Return who has each issue, by app and type."""
    return dict(store.execute("SELECT app || ' ' || error_type, assignee FROM monitoring.error_issue"))


def test_an_issue_is_assigned_and_given_back(store: Store) -> None:
    """The audit has from whom to whom; its status, and who changed that last, stay."""
    one = Selection(ids=(id_of(store, "prices"),))
    apply(store, Change(action="resolve"), one)
    for change in (Change(action="assign", person=" bob "), Change(action="assign", person="cy", note="bob is away"),
                   Change(action="unassign")):  # fmt: skip
        apply(store, change, one)

    assert [row[1:5] for row in audit(store)[1:]] == [
        ("error.assign", "prices", None, "bob"),
        ("error.assign", "prices", "bob", "cy"),
        ("error.unassign", "prices", "cy", None),
    ]
    assert set(assignees(store).values()) == {None}
    assert store.execute("SELECT status, changed_by FROM monitoring.error_issue WHERE app = 'prices'") == [
        ("resolved", "ann")
    ]
    assert store.one("SELECT count(*) FROM monitoring.audit WHERE details ? 'release'") == 0


def test_what_someone_has_already_is_left_alone(store: Store) -> None:
    """No second row in the audit; only issues of others change hands."""
    apply(store, Change(action="assign", person="bob"), Selection(apps=("prices",)))
    done = apply(store, Change(action="assign", person="bob"))

    assert [(one.app, one.assignee, one.changed) for one in done] == [
        ("prices", "bob", False), ("shop", "bob", True), ("shop", "bob", True),
    ]  # fmt: skip
    assert len(audit(store)) == 3


def test_who_has_an_issue_is_a_filter(store: Store) -> None:
    """Of several people any; the empty text is nobody."""
    apply(store, Change(action="assign", person="bob"), Selection(apps=("prices",)))
    comment = Change(action="comment", note="x")

    assert len(apply(store, comment, Selection(assignees=("bob",)))) == 1
    assert len(apply(store, comment, Selection(assignees=("",)))) == 2
    assert len(apply(store, comment, Selection(assignees=("", "bob")))) == 3


def test_a_comment_changes_nothing_but_the_audit(store: Store) -> None:
    """As often as it is made, of several lines, in any letters."""
    before = store.execute("SELECT i.* FROM monitoring.error_issue i ORDER BY id")
    for text in ("seen\nsince 1.4", "seen\nsince 1.4", "Żaneta: 👩‍💻 '; --"):
        apply(store, Change(action="comment", note=text), Selection(apps=("prices",)))

    assert store.execute("SELECT i.* FROM monitoring.error_issue i ORDER BY id") == before
    assert [row[1:5] for row in audit(store)] == [("error.comment", "prices", None, None)] * 3
    assert store.execute("SELECT DISTINCT details->>'note' FROM monitoring.audit ORDER BY 1 DESC") == [
        ("Żaneta: 👩‍💻 '; --",), ("seen\nsince 1.4",),
    ]  # fmt: skip


def test_a_poll_keeps_who_has_an_issue(store: Store) -> None:
    """A regression, too, stays with whom it was assigned to."""
    apply(store, Change(action="assign", person="bob"))
    apply(store, Change(action="resolve"))
    store.execute(
        "INSERT INTO monitoring.error (at, app, error_type, fingerprint) "
        "VALUES (now() + interval '1 min', 'shop', 'ValueError', 'f/ValueError')"
    )
    store.poll("error")

    assert statuses(store)["shop ValueError"] == "open"
    assert set(assignees(store).values()) == {"bob"}


@pytest.mark.parametrize(
    "change",
    [
        Change(action="reopen", release="1"),
        Change(action="resolve", events=1),
        Change(action="resolve", until=datetime(2100, 1, 1, tzinfo=UTC)),
        Change(action="ignore", until=datetime(2020, 1, 1, tzinfo=UTC)),
        Change(action="ignore", until=datetime.now(UTC) + timedelta(days=9000)),
        Change(action="ignore", events=0),
        Change(action="resolve", note="x" * 1001),
        Change(action="resolve", release="a\0"),
        Change(action="resolve", release="a\nb"),
        Change(action="resolve", note=" "),
        Change(action="resolve", person="bob"),
        Change(action="unassign", person="bob"),
        Change(action="assign"),
        Change(action="assign", person="  "),
        Change(action="assign", person="x" * 201),
        Change(action="assign", person="bob\n"),
        Change(action="assign", person="\x1b[31mbob"),
        Change(action="comment"),
        Change(action="comment", note="\n"),
        Change(action="comment", note="\ud800"),
        Change(action="comment", note="a\x1b[2Jb"),
        Change(action="comment", note="x", events=1),
    ],
)
def test_what_makes_no_sense_is_refused(change: Change) -> None:
    """A time in the past, a count of nothing, a part of another action."""
    with pytest.raises(ChangeError, match=r"expected|leave (it|them) out"):
        change.check(datetime.now(UTC))


def test_an_id_may_be_shortened(store: Store) -> None:
    """To what is one issue's alone."""
    id_ = id_of(store, "shop")
    with store.connect_as_exporter() as connection:
        assert full_ids(connection, (id_[:8], id_)) == (id_, id_)
        with pytest.raises(UnknownIssueError, match="expected 4 to 16"):
            full_ids(connection, ("%",))


def test_a_resolution_covers_what_a_poll_counted_before_it(store: Store) -> None:
    """It waits for the poll that holds the issue, and is later than what that counted: no regression is left behind."""
    with store.connect() as poll, poll.transaction():
        poll.execute("UPDATE monitoring.error_issue SET events = events + 1, last_seen = clock_timestamp()")
        person = threading.Thread(target=lambda: apply(store, Change(action="resolve")))
        person.start()
        poll_until(lambda: store.one("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))
    person.join(PATIENCE_SECONDS)

    assert store.execute("SELECT DISTINCT status, resolved_at > last_seen FROM monitoring.error_issue") == [
        ("resolved", True)
    ]


def test_resolving_beside_polls_loses_and_doubles_nothing(store: Store) -> None:
    """Two replicas and two people change the same issue: every change of status is in the audit, in one chain."""
    shop = Selection(ids=(id_of(store, "shop"),))
    stopping = threading.Event()
    failures: list[BaseException] = []

    def repeat(work: object) -> None:
        while not stopping.is_set():
            try:
                work()  # type: ignore[operator]
            except BaseException as error:
                failures.append(error)
                raise

    def regressed_after_another() -> bool:
        store.execute(
            "INSERT INTO monitoring.error (at, app, error_type, fingerprint) "
            "VALUES (now() + interval '1 min', 'shop', 'ValueError', 'f/ValueError')"
        )
        return (store.value("platform_error_regressions_total", app="shop") or 0) >= 5

    works = [
        lambda: store.poll("error"),
        lambda: store.poll("error"),
        lambda: apply(store, Change(action="resolve"), shop),
    ]
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        poll_until(regressed_after_another)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(60)
    store.poll("error")

    chain = [(row[3], row[4]) for row in store.execute(
        "SELECT at, actor, action, details->>'from', details->>'to' FROM monitoring.audit "
        "WHERE details->>'fingerprint' = 'f/ValueError' AND details->>'app' = 'shop'"
    )]  # fmt: skip
    ((events, regressions, status),) = store.execute(
        "SELECT events, regressions, status FROM monitoring.error_issue "
        "WHERE app = 'shop' AND error_type = 'ValueError'"
    )
    assert not failures
    assert events == store.one("SELECT count(*) FROM monitoring.error WHERE app = 'shop' AND error_type = 'ValueError'")
    assert regressions == store.value("platform_error_regressions_total", app="shop")
    assert chain.count(("resolved", "open")) == regressions
    assert chain.count(("open", "resolved")) == regressions + (status == "resolved")
    assert len(chain) == chain.count(("resolved", "open")) + chain.count(("open", "resolved"))
