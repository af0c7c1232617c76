"""The helpers that dashboards are made of: each gives a panel that Grafana and the SDK understand."""

import json
from typing import Any

import jsonschema
import pytest
from grafana_foundation_sdk.models.table import Options

from grafana import actions
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.generate import rendered
from tests.grafana import shapes
from tests.grafana.boards import reread

COURSE = {"{{job}}": "up"}
STEPS = ((None, colors.GREEN), (0.8, colors.YELLOW), (0.95, colors.RED))
ROWS = "SELECT 1 AS a"
COLUMNS = [
    tables.column("a", "A", 90, "s"),
    tables.link("b", "Open", links.to("error", app="${__data.fields.app}")),
    tables.words("c", colors.SEVERITIES),
    tables.states("d", colors.HEALTH),
    tables.bounds("e", *STEPS),
    tables.gauge("f"),
    tables.trace("g"),
    tables.actions("h", actions.of_row()),
    tables.hidden("i"),
]
PANELS = [
    panels.health_tile("Health", "Text.", "up", ("There", links.keeping("http", "app"))),
    panels.health_tile("Up", "Text.", "up", legend="{{job}}", mappings=colors.UP_DOWN),
    panels.number_tile("Number", "Text.", COURSE, "s", bounds=STEPS),
    panels.lines("Lines", "Text.", COURSE, "s", thresholds="up", named=colors.PERCENTILES, dashed="limit").max(1),
    panels.bars("Bars", "Text.", ROWS, named=colors.CODES),
    panels.health_timeline("States", "Text.", COURSE).time_from("24h"),
    panels.heatmap("Heatmap", "Text.", "s", "up"),
    panels.doughnut("Shares", "Text.", COURSE, named=colors.CODES),
    panels.ranking("First", "Text.", COURSE, "reqps"),
    panels.markdown("Words", "Text.", "**strong**"),
    tables.table("Rows", "Text.", ROWS, COLUMNS).with_transformation(tables.arranged("b", "a", hidden=["z"])),
    tables.sorted_by(tables.of_series("Series", "Text.", "up", ["job", "Value"]), "Value"),
    tables.measured("Measured", "Text.", {"Up": "up", "Down": "1 - up"}, ["job"]),
    panels.stack_trace("Trace", "Text.", targets.restricted(ROWS)),
]
CHOICES = (
    variables.labels("app", "App", "up"),
    variables.labels("route", "Route", 'up{app=~"$app"}'),
    variables.column("user", "User", "SELECT 1"),
    variables.column("fingerprint", "Issue", "SELECT 1", several=False, everything=False),
    variables.column("issue", "Issues", "SELECT 1", everything=False),
    variables.words("severity", "Severity", ["low", "high"]),
    variables.text("search", "Text contains"),
)


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    """Return a dashboard of every helper, as its file would be."""
    folded = Section("Folded", [Line(4, [panels.markdown("Below", "Text.", "x")])], collapsed=True)
    board = Board("overview", "Does it work?", [*(Line(4, [one]) for one in PANELS), folded], CHOICES)
    found: dict[str, Any] = json.loads(rendered(board))
    return found


def test_every_helper_has_its_shape(board: dict[str, Any]) -> None:
    """Also those that no dashboard uses at the moment."""
    jsonschema.validate(board, shapes.DASHBOARD, jsonschema.Draft202012Validator)


def test_every_helper_survives_the_sdk(board: dict[str, Any]) -> None:
    """Nothing is made that the SDK's types do not know."""
    assert reread(board) == board


def test_a_folded_section_holds_its_panels(board: dict[str, Any]) -> None:
    """Grafana asks for a collapsed row's panels only when it is opened."""
    row = board["panels"][-1]

    assert (row["type"], row["collapsed"], [panel["title"] for panel in row["panels"]]) == ("row", True, ["Below"])


def test_links_know_their_dashboards() -> None:
    """A link to nowhere is found when the dashboard is made."""
    with pytest.raises(ValueError, match="link to nowhere: no such dashboard, expected one of overview, alerts"):
        links.to("nowhere")


def test_the_app_is_a_list_for_sql() -> None:
    """Grafana puts a value of All of its own into SQL unquoted; the other labels are asked of Prometheus alone."""
    app, route = (one.build() for one in CHOICES[:2])
    listed = variables.labels("api", "API", "up", listed=True, regex="/(.+)_count$/").build()

    assert (app.all_value, route.all_value, listed.all_value) == (None, ".*", None)
    assert listed.regex == "/(.+)_count$/"


def test_tables_have_no_footer() -> None:
    """Grafana 12.2 moved it: what stays off loads everywhere alike."""
    options = tables.table("Rows", "Text.", ROWS).build().options

    assert isinstance(options, Options)
    assert options.footer is None or not options.footer.show


def test_bars_are_coloured_by_their_direction() -> None:
    """Of shares of successes the low ones are bad, of failures the high ones; 55 % success is never green."""
    success = colors.bands("api_success_ratio")
    failures = colors.bands("scraping_failure_ratio")
    rest = colors.bands("scraping_failure_ratio", complement=True)

    assert [_at(success, share) for share in (0.55, 0.93, 0.95)] == [colors.RED, colors.YELLOW, colors.GREEN]
    assert _at(failures, 0) == _at(rest, 1) == colors.GREEN
    assert _at(failures, 1) == _at(rest, 0) == colors.RED


def _at(steps: tuple[tuple[float | None, str], ...], value: float) -> str:
    """Return the colour that Grafana gives a value: that of the last step that it reaches."""
    return [color for limit, color in steps if limit is None or value >= limit][-1]
