"""The dashboards of errors and users show and change what was chosen, whatever is typed."""

from collections.abc import Sequence
from typing import Any

import pytest

from exporter.issues.parsing import from_query
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

    assert picked["ids"].split(",") == sorted(ids)
    assert (alone["number"], alone["ids"]) == (3, picked["ids"])


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

    assert [row["message"] for row in found] == ["could not read item 77"]


def test_the_course_has_sixteen_parts(viewer: Viewer) -> None:
    """A character for each sixteenth of the range, the highest where it occurred most; none if it did not occur."""
    found = rows(viewer, "errors", "Issues")
    courses = [row["course"] for row in found if row["events"]]

    assert courses
    assert {len(course) for course in courses} == {16}
    assert all("█" in course for course in courses)
    assert all(row["course"] is None for row in found if not row["events"])


def test_a_stack_trace_is_found_however_old(viewer: Viewer) -> None:
    """An issue that was quiet in the range still shows the trace of its newest occurrence before the range's end."""
    [issue] = [row for row in rows(viewer, "errors", "Issues") if row["fingerprint"] == "fingerprint8"]
    [found] = rows(viewer, "error", "Stack trace", app=issue["app"], fingerprint="fingerprint8")

    assert found["stack_trace"].count("\n") == 20


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
