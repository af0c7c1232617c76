"""The dashboards of errors and users show and change what was chosen, whatever is typed."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from exporter.issues import change as changing
from exporter.issues.change import Change
from exporter.issues.parsing import from_query
from exporter.issues.selection import Selection
from tests.servers import fresh_database
from tools.stack.servers import Postgres
from tools.testing import event_rows
from tools.testing.dashboard_sql import Viewer, targets

Chosen = dict[str, Sequence[str]]
Row = dict[str, Any]


def rows(viewer: Viewer, name: str, title: str, **chosen: str | Sequence[str]) -> list[Row]:
    """Return what a panel shows; variables that are not given are as when the dashboard opens."""
    [target] = [target for panel, target in targets(name) if panel["title"] == title]
    given = {key: [value] if isinstance(value, str) else value for key, value in chosen.items()}
    answer = viewer.ask(target["datasource"]["uid"], target["rawSql"], viewer.chosen(name) | given)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def test_many_are_those_listed(viewer: Viewer) -> None:
    """All issues listed are exactly those in the table above: none is changed that was not seen."""
    chosen: Chosen = {"status": ["resolved"], "search": ["ITEM 1"]}
    listed = rows(viewer, "errors", "Issues", **chosen)
    [many] = rows(viewer, "errors", "Change many at once", **chosen)

    assert listed
    assert many["which"] == "All issues listed above"
    assert many["number"] == len(listed)
    assert set(many["ids"].split(",")) == {row["id"] for row in listed}


def test_many_are_those_picked(viewer: Viewer) -> None:
    """Issues stay picked when the filters leave others; `none`, which is always chosen, is not an issue."""
    ids = [row["id"] for row in rows(viewer, "errors", "Issues")[:3]]
    picked, _ = rows(viewer, "errors", "Change many at once", issue=["-", *ids])
    [alone] = rows(viewer, "errors", "Change many at once", issue=["-", *ids], search="no issue says this")

    assert set(picked["ids"].split(",")) == set(ids)
    assert (alone["number"], alone["ids"]) == (3, picked["ids"])


def test_a_merged_issue_has_the_events_of_both(postgres: Postgres) -> None:
    """In the list, on its page, and on the page that the other's fingerprint leads to."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            event_rows.load(connection, 5_000, hours=6)
        viewer = Viewer(database.dsn, time.time())
        listed = [row for row in rows(viewer, "errors", "Issues") if row["events"]]
        first = listed[0]
        other = next(row for row in listed[1:] if row["app"] == first["app"])
        with database.connect() as connection:
            merge = Selection(ids=(first["id"], other["id"])), Change(action="merge"), "ann"
            changing.apply(connection, *merge, via="test")
        (now,) = [row for row in rows(viewer, "errors", "Issues") if row["id"] == first["id"]]
        [page] = rows(viewer, "error", "Events", app=first["app"], fingerprint=other["fingerprint"])

    assert now["events"] == page["events"] == first["events"] + other["events"]


def test_the_exporter_takes_the_ids(viewer: Viewer) -> None:
    """As many as the table holds are sent in a form that the exporter understands."""
    [many] = rows(viewer, "errors", "Change many at once")
    asked = from_query([("ids", many["ids"])], b"{}")

    assert len(asked.ids) == many["number"] == 200


@pytest.mark.parametrize("typed", ["it's", "' OR true --", "100%", "\\"])
def test_what_is_typed_is_text(viewer: Viewer, typed: str) -> None:
    """A quotation mark ends no text, and what looks like SQL finds nothing."""
    assert rows(viewer, "errors", "Issues", search=typed) == []
    assert rows(viewer, "errors", "Issues", endpoint=typed) == []
    assert rows(viewer, "users", "Timeline", user=typed) == []


def test_words_are_found_in_any_case(viewer: Viewer) -> None:
    """Text and endpoint match parts, regardless of case and surrounding blanks."""
    found = rows(viewer, "errors", "Issues", search=" Could NOT read item 77 ", endpoint="ITEMS")

    assert [row["issue"].partition("\n")[0].partition(": ")[2] for row in found] == ["could not read item 77"]


def test_the_course_has_nine_parts(viewer: Viewer) -> None:
    """A character for each ninth of the range, the highest where it occurred most; none if it did not occur."""
    found = rows(viewer, "errors", "Issues")
    courses = [row["course"] for row in found if row["events"]]

    assert courses
    assert {len(course) for course in courses} == {9}
    assert all("█" in course for course in courses)
    assert all(row["course"] is None for row in found if not row["events"])


def test_a_stack_trace_is_found_however_old(viewer: Viewer) -> None:
    """An issue that was quiet in the range still shows the trace of its newest occurrence before the range's end."""
    [issue] = [row for row in rows(viewer, "errors", "Issues") if row["fingerprint"] == "fingerprint8"]
    found = rows(viewer, "error", "Stack trace", app=issue["app"], fingerprint="fingerprint8")

    assert "\n".join(row["body"] for row in found).count("\n") == 20
    assert [row["time"] for row in found] == sorted(row["time"] for row in found)


def test_without_a_user_the_busiest_is_shown(viewer: Viewer) -> None:
    """The user's panels show the most active user until one is chosen, and then only that one."""
    [busiest] = rows(viewer, "users", "One user")
    [chosen] = rows(viewer, "users", "One user", user="user7")

    assert busiest["activities"] >= chosen["activities"] > 0
    assert chosen["user_id"] == "user7"


def test_requests_around_the_last_occurrence(viewer: Viewer) -> None:
    """All are of the same user, from half an hour before to ten minutes after; the error itself is at 0."""
    found = rows(viewer, "error", "Requests of the same user")

    assert len({row["user_id"] for row in found}) == 1
    assert all(-1800 <= row["seconds"] <= 600 for row in found)
    assert ("error", 0) in {(row["kind"], float(row["seconds"])) for row in found}


def test_a_firing_and_its_end_are_one_alert(viewer: Viewer) -> None:
    """The history has one row per alert, with its duration."""
    found = rows(viewer, "alerts", "History")

    assert len({(row["alertname"], row["starts_at"]) for row in found}) == len(found)
    assert {float(row["lasted"]) for row in found if row["state"] == "resolved"} == {300.0}


TRACE = """Traceback (most recent call last):
  File "/srv/shop/views.py", line 81, in cart
    add(item)
  File "/usr/lib/python3.11/json/decoder.py", line 337, in decode
    obj, end = self.raw_decode(s)
               ^^^^^^^^^^^^^^^^^^
  File "/srv/venv/lib/python3.11/site-packages/django/db.py", line 5, in get
    raise KeyError(key)
KeyError: 'CHF'

During handling of the above exception, another exception occurred:

  File "/srv/shop/cart.py", line 3, in add
    total = 1 / 0
ZeroDivisionError: division by zero"""


def test_own_frames_of_a_stack_trace_are_marked(viewer: Viewer) -> None:
    """A row per frame with its source; those of libraries and of the language are not marked; no letter is lost."""
    [target] = [target for panel, target in targets("error") if panel["title"] == "Stack trace"]
    chosen = viewer.chosen("error")
    text = target["rawSql"].replace("SELECT newest.* FROM", "SELECT newest.at, %s AS stack_trace FROM", 1)
    answer = viewer.ask(
        target["datasource"]["uid"], text.replace("%s", "'{}'".format(TRACE.replace("'", "''"))), chosen
    )
    found = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]

    assert "\n".join(row["body"] for row in found) == TRACE
    assert [(row["level"], row["body"].split("\n")[0].strip()[:30]) for row in found] == [
        ("unknown", "Traceback (most recent call la"),
        ("error", 'File "/srv/shop/views.py", lin'),
        ("unknown", 'File "/usr/lib/python3.11/json'),
        ("unknown", 'File "/srv/venv/lib/python3.11'),
        ("critical", "KeyError: 'CHF'"),
        ("unknown", "During handling of the above e"),
        ("error", 'File "/srv/shop/cart.py", line'),
        ("critical", "ZeroDivisionError: division by"),
    ]


def test_an_issue_is_found_by_who_has_it(viewer: Viewer) -> None:
    """Nobody is a choice; who has it is shown."""
    assert rows(viewer, "errors", "Issues", assignee="nobody")
    assert rows(viewer, "errors", "Issues", assignee="it's") == []


def test_an_issue_that_was_quiet_leads_to_when_it_occurred(viewer: Viewer) -> None:
    """The hour around its last occurrence, in milliseconds as addresses have them."""
    [issue] = rows(viewer, "error", "Issue")
    last = issue["last_seen"].timestamp() * 1000

    assert issue["around_to"] - issue["around_from"] == 3_600_000
    assert issue["around_from"] < last < issue["around_to"]
