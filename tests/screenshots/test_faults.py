"""What counts as a fault of a dashboard, from facts as a browser gives them."""

from typing import Any

import pytest

from tools.screenshots.faults import KINDS, Fault, Seen, View, judge, table

VIEW = View("overview", "1h", 1366, "dark")
PHONE = View("overview", "1h", 390, "dark")


def panel(title: str = "Request rate", **facts: Any) -> dict[str, Any]:
    """Return the facts of a panel without faults, and those given."""
    well = {"error": False, "empty": None, "first_row_bottom": None, "cut": [], "coloured": None}
    return {"title": title, **well, "columns_beyond": [], "legends_beyond": [], **facts}


def test_a_panel_without_faults_has_none() -> None:
    """Not even where its data ended in a sentence of its own."""
    seen = Seen(VIEW, [panel(coloured=0.9), panel("Firing alerts", empty="No alert fires")])

    assert judge(seen, {}) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"error": True}, Fault("error", "P", "an error triangle")),
        ({"empty": "No data"}, Fault("empty", "P", "No data")),
        ({"empty": "Data is missing a time field"}, Fault("empty", "P", "Data is missing a time field")),
        ({"coloured": 0.0}, Fault("empty", "P", "nothing is drawn, or all in grey")),
        ({"cut": [{"kind": "title", "text": "Scrap", "pixels": 9}]}, Fault("title", "P", "'Scrap' is cut off", 9)),
        ({"cut": [{"kind": "header", "text": "Since", "pixels": 3}]}, Fault("header", "P", "'Since' is cut off", 3)),
        ({"columns_beyond": [764]}, Fault("columns", "P", "wider than its panel", 764)),
        ({"legends_beyond": [40]}, Fault("legend", "P", "entries out of view", 40)),
    ],
)
def test_each_kind_of_fault_of_a_panel(facts: dict[str, Any], expected: Fault) -> None:
    """It names the panel, and how much cannot be seen."""
    assert judge(Seen(VIEW, [panel("P", **facts)]), {}) == [expected]
    assert expected.kind in KINDS


def test_tables_and_legends_may_be_larger_than_a_phone() -> None:
    """On a laptop they may not."""
    panels = [panel("Firing alerts", **{beyond: [300]}) for beyond in ("columns_beyond", "legends_beyond")]

    assert [len(judge(Seen(view, panels), {})) for view in (PHONE, VIEW)] == [0, 2]


def test_a_reason_excuses_a_panel_without_data_and_nothing_else() -> None:
    """A panel that is drawn wrongly has data; one without reason has none to give."""
    panels = [panel("Blocked", empty="No data"), panel("Other", empty="No data")]
    panels.append(panel("Blocked", empty="Data is missing a number field"))
    faults = judge(Seen(VIEW, panels), {"Blocked": "Nothing is blocked in the demo.", "Other": ""})

    assert [(fault.panel, fault.text) for fault in faults] == [
        ("Other", "No data"),
        ("Blocked", "Data is missing a number field"),
    ]


def test_what_the_browser_reports_belongs_to_the_page() -> None:
    """Failed requests and errors in its console."""
    seen = Seen(VIEW, [panel()], ["POST /api/ds/query: status 400"], ["TypeError: x is undefined"])

    assert [(fault.kind, fault.panel) for fault in judge(seen, {})] == [("request", ""), ("console", "")]


@pytest.mark.parametrize(("bottom", "screens"), [(700, 1), (844, 1), (845, 2), (6500, 8), (None, None)])
def test_screens_until_the_first_alert(bottom: int | None, screens: int | None) -> None:
    """Until its first row is whole; a table without rows has none."""
    seen = Seen(PHONE, [panel(first_row_bottom=10), panel("Firing alerts", first_row_bottom=bottom)])

    assert seen.screens_until("Firing alerts") == screens


def test_the_table_counts_each_view_and_lists_each_fault_once() -> None:
    """With all views that have it, and the most that is cut in one of them."""
    cut = [Fault("title", "HTTP errors", "'HTTP er' is cut off", pixels) for pixels in (9, 4)]
    lines = list(table({VIEW: [cut[0], Fault("error", "Rate", "an error triangle")], PHONE: [cut[1]]}))

    assert lines[1].split() == ["overview", "1h", "1366", "dark", "1", "-", "1", *["-"] * 6]
    assert lines[3].split() == ["all", "1", "-", "2", *["-"] * 6]
    assert lines[4:] == [
        "overview: error: Rate: an error triangle   [1h, 1366, dark]",
        "overview: title: HTTP errors: 'HTTP er' is cut off, 9 px   [1h, 1366/390, dark]",
    ]
