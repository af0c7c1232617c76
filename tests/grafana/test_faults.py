"""Faults of what people see, found in the dashboards' files."""

import json
from typing import Any

import pytest
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, SpecialValueMap

from grafana.design import colors, panels, tables, targets
from grafana.design.layout import Board, Line, mark
from grafana.generate import rendered
from tests.grafana.boards import DASHBOARDS, every_dashboard
from tests.grafana.faults import RULES, Json

COURSE = {"{{job}}": "up"}
GROWTH = {
    "{{code}}": 'sum by (code) (max without (instance) (increase(platform_http_requests_total{app=~"$app"}[1h])))'
}
MERGED = DataTransformerConfig(id_val="merge", options={})
STATES = {"open": colors.RED}
SAMPLES = '{__name__=~"platform_sample_.+", app=~"$app"}'


def _timeline() -> Any:
    return panels.health_timeline("Faulty", "Text.", COURSE)


def _tile(**more: Any) -> Any:
    return panels.number_tile("Faulty", "Text.", COURSE, **more)


# Panels with a fault, by the rule that finds it.
FAULTY = [
    ("timelines have the colours of states", _timeline().color_scheme(colors.by_thresholds())),
    ("timelines have the colours of states", _timeline().mappings(colors.HEALTH)),
    ("thresholds are reached", _tile(bounds=((None, "red"), (0.9, "green"), (0.5, "yellow")))),
    ("thresholds are reached", _tile(bounds=((None, "red"), (1, "green"))).max(1).min(1)),
    ("empty cells do not lie", tables.table("Faulty", "Text.", "SELECT 1").no_value("All is well")),
    ("empty cells do not lie", _tile().no_value("Nothing fills up")),
    ("doughnuts have several colours", panels.doughnut("Faulty", "Text.", COURSE).color_scheme(colors.by_mapping())),
    ("doughnuts have several colours", panels.doughnut("Faulty", "Text.", "SELECT 1", every_row=True, named=STATES)),
    ("figures are of now", panels.number_tile("Faulty", "Text.", targets.over_time(COURSE))),
    ("figures are of now", panels.lines("Faulty", "Text.", targets.at_end(COURSE))),
    ("no beginnings of counters", panels.lines("Faulty", "Text.", {"__auto": SAMPLES})),
    ("counts are whole", _tile(unit="short")),
    ("counts are whole", _tile().decimals(None)),
    ("counts are whole", panels.bars("Faulty", "Text.", GROWTH)),
    ("titles fit", panels.lines("Faulty " + 70 * "x", "Text.", COURSE)),
    ("things have one row", tables.of_series("Faulty", "Text.", "up", ["job"]).transformations([MERGED])),
    ("bars have room", panels.ranking("Faulty", "Text.", {"{{job}}": "topk(10, up)"})),
    ("columns fit", tables.table("Faulty", "Text.", "SELECT 1", list("abcdefghij"))),
    ("columns fit", tables.table("Faulty", "Text.", "SELECT 1", list("abcdefgh"))),
    ("columns fit", tables.table("Faulty", "Text.", "SELECT 1", [tables.column("a", width=800)])),
    ("columns fit", tables.table("Faulty", "Text.", "SELECT 1", ["b", tables.column("a", "A long heading", 50)])),
]  # fmt: skip


def test_mappings_of_null_are_known() -> None:
    """The rule on timelines depends on how the SDK names them."""
    assert any(isinstance(one, SpecialValueMap) for one in colors.HEALTH)


@every_dashboard
@pytest.mark.parametrize("rule", list(RULES))
def test_no_panel_has_the_fault(rule: str, name: str) -> None:
    """Each rule says which panel has it, and why it is one."""
    assert list(RULES[rule](DASHBOARDS[name])) == []


@pytest.mark.parametrize(("rule", "panel"), FAULTY)
def test_faults_are_found(rule: str, panel: Any) -> None:
    """The rule names the panel; a sound one beside it has no fault."""
    found = list(RULES[rule](_board(panel)))

    assert found
    assert all("Faulty" in one or "_created" in one for one in found)


def test_marks_over_all_steps_are_found() -> None:
    """Such as those of every alert that fires."""
    board = _board(_tile(), marks=[mark("Alerts", "red", 'ALERTS{alertstate="firing"}')])

    assert list(RULES["marks are points"](board)) == ["Alerts: marks every step"]


def _board(panel: Any, **more: Any) -> Json:
    sound = panels.lines("Sound", "Text.", COURSE)
    board: Json = json.loads(rendered(Board("overview", "Any?", [Line(4, [panel, sound])], **more)))
    return board
