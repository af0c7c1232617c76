"""The committed dashboards: made by the generator, well laid out, described, linked, and readable by Grafana."""

import json
import re
from itertools import combinations

import pytest

from grafana import actions
from grafana.design import links, tables
from grafana.design import panels as drawn
from grafana.design.layout import COLUMNS, TALLEST, Board, Line
from grafana.design.links import UIDS
from grafana.design.targets import WITHOUT_ADOPTED
from grafana.generate import FOLDER, boards, rendered
from grafana.queries import health
from platform_sdk.events import KINDS
from tests.grafana.boards import CHOSEN, DASHBOARDS, WITHOUT_QUERIES, every, every_dashboard, panels, reread
from tests.grafana.units import UNITS

# Of Grafana itself, 11.6 to 13, so that no plugin is needed.
PANEL_TYPES = {
    "bargauge", "heatmap", "piechart", "row", "stat", "state-timeline", "status-history", "table", "text", "timeseries",
    "gauge", "barchart", "logs", "alertlist", "histogram",
}  # fmt: skip


def test_files_are_what_the_generator_writes() -> None:
    """A manual change, or a change of the generator without a run, is found; to do: python -m grafana.generate."""
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == {
        f"{name}.json": rendered(board) for name, board in boards().items()
    }


def test_uids_are_fixed_and_unique() -> None:
    """Alerts and links name dashboards by uid."""
    assert {name: board["uid"] for name, board in DASHBOARDS.items()} == {name: f"platform-{name}" for name in UIDS}


@every_dashboard
def test_panels_do_not_overlap(name: str) -> None:
    """Every panel lies within the 24 columns, fits on a screen and overlaps no other, also in collapsed rows."""
    board = DASHBOARDS[name]
    groups = [board["panels"], *(panel.get("panels", []) for panel in board["panels"])]
    for group in groups:
        places = [panel["gridPos"] for panel in group]
        assert all(place["x"] + place["w"] <= COLUMNS and place["h"] <= TALLEST for place in places)
        for one, other in combinations(places, 2):
            apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert apart_x or apart_y, (one, other)


@every_dashboard
def test_ids_and_titles_are_unique(name: str) -> None:
    """Links use the id of a panel, people its title, and so do the exceptions for empty panels."""
    found = panels(DASHBOARDS[name])
    titles = [panel["title"] for panel in found]

    assert len({panel["id"] for panel in found}) == len(found)
    assert len(set(titles)) == len(titles), sorted(title for title in titles if titles.count(title) > 1)


@every_dashboard
def test_panels_are_described(name: str) -> None:
    """A reader learns what a panel shows; headings need no more than their title."""
    for panel in panels(DASHBOARDS[name], without=("row",)):
        assert panel["description"].endswith("."), panel["title"]


@every_dashboard
def test_panels_of_rows_say_what_is_left_out(name: str) -> None:
    """Series cover adopted tables, the event store has none of their rows: a reader is told where it matters."""
    for panel in panels(DASHBOARDS[name], without=("row",)):
        queries = [target.get("rawSql", "") for target in panel.get("targets", [])]
        views = {view for text in queries for view in re.findall(r"monitoring_(?:views|restricted)\.(\w+)", text)}
        told = panel["description"].endswith(WITHOUT_ADOPTED)
        assert told == bool(views & {*KINDS, "error_issue", "scraping_job"}), panel["title"]


@every_dashboard
def test_units_are_grafanas(name: str) -> None:
    """Every figure has a unit that Grafana knows: it shows others as text behind the number."""
    for panel in panels(DASHBOARDS[name], without=WITHOUT_QUERIES):
        config = panel["fieldConfig"]
        assert config["defaults"]["unit"] in UNITS, panel["title"]
        for override in config["overrides"]:
            for given in override["properties"]:
                assert given["id"] != "unit" or given["value"] in UNITS, (panel["title"], given)


@every_dashboard
def test_panels_have_queries_of_one_source(name: str) -> None:
    """A panel and all its queries name the same data source; every query has an id of its own."""
    for panel in panels(DASHBOARDS[name], without=WITHOUT_QUERIES):
        ids = [target["refId"] for target in panel["targets"]]
        assert ids
        assert len(set(ids)) == len(ids), panel["title"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"]), panel["title"]


@every_dashboard
def test_only_panel_types_of_grafana_itself(name: str) -> None:
    """No plugin has to be installed."""
    assert {panel["type"] for panel in panels(DASHBOARDS[name])} <= PANEL_TYPES


@every_dashboard
def test_refresh_and_ranges(name: str) -> None:
    """Every dashboard except the runbook refreshes itself, starts with 6 hours, and offers 1 hour to 7 days."""
    board = DASHBOARDS[name]
    ranges = [one["from"] for one in board["timepicker"]["quick_ranges"]]

    assert board["refresh"] == ("" if name == "runbook" else "30s")
    assert board["time"] == {"from": "now-6h", "to": "now"}
    assert (ranges[0], ranges[-1]) == ("now-1h", "now-7d")


@every_dashboard
def test_variables_follow_the_time_range(name: str) -> None:
    """Choices are the values in the range; several or all, except where only one makes sense."""
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["refresh"] == 2, variable["name"]
            assert variable["multi"] or not variable["includeAll"], variable["name"]


@every_dashboard
def test_variables_are_defined_before_use(name: str) -> None:
    """A query with a variable that the dashboard lacks would be sent as written."""
    board = DASHBOARDS[name]
    known: set[str] = set()
    for variable in board["templating"]["list"]:
        assert _used(variable["query"]) <= known, variable["name"]
        known.add(variable["name"])
    for panel in panels(board):
        assert _used([panel.get("targets", []), panel.get("title")]) <= known, panel["title"]


@every_dashboard
def test_variables_are_used(name: str) -> None:
    """A choice that changes nothing misleads."""
    board = DASHBOARDS[name]
    asked = [[panel.get("targets", []), panel.get("options", {}).get("content")] for panel in panels(board)]
    used = _used([asked, [one["query"] for one in board["templating"]["list"]]])

    # Links carry the data sources through dashboards that ask some of them nothing.
    assert {one["name"] for one in board["templating"]["list"]} - used <= set(CHOSEN)


@every_dashboard
def test_links_lead_somewhere(name: str) -> None:
    """Every address is a dashboard of ours, with only variables that it has."""
    for url in every(DASHBOARDS[name], "url"):
        if not url.startswith("/d/"):
            assert url in ("", actions.URL, tables.TRACE_URL) or url.startswith("/alerting/silence/new?"), url
            continue
        if url.startswith("/d/platform-${__data.fields.board}/"):
            # The alert's own dashboard: what has no choice of apps takes no notice of one.
            assert health.boards().keys() <= DASHBOARDS.keys()
            continue
        uid, slug, given = re.fullmatch(r"/d/platform-([\w-]+)/([\w-]+)(?:\?(.*))?", url).groups()  # type: ignore[union-attr]
        assert uid == slug
        assert uid in DASHBOARDS
        there = {variable["name"] for variable in DASHBOARDS[uid]["templating"]["list"]}
        passed = set(re.findall(r"var-(\w+)=", given or "")) | set(re.findall(r"\${(\w+):queryparam}", given or ""))
        assert passed <= there, (url, passed - there)
        # A row may have a range of its own.
        kept = ("${__url_time_range}", "from=${__data.fields.around_from}&to=${__data.fields.around_to}")
        assert not given or given.startswith(kept), f"{url} loses the time range"


def test_silences_are_made_at_the_alertmanager_chosen() -> None:
    """Grafana's form takes the data source by its name, and its matchers are `label=value`, encoded."""
    assert links.silence("app").endswith(
        "?alertmanager=${alertmanager:percentencode}&matcher=app%3D${__data.fields.app:percentencode}"
    )


@every_dashboard
def test_every_dashboard_has_the_menu(name: str) -> None:
    """All are reachable from each, in the order of use, keeping time and variables."""
    menu = DASHBOARDS[name]["links"]
    use = "Overview Alerts Errors HTTP APIs Scraping Users Components Objectives Samples Monitoring Runbook"

    assert [one["title"] for one in menu] == use.split()
    assert {(one["type"], one["keepTime"], one["includeVars"]) for one in menu} == {("link", True, True)}
    assert DASHBOARDS[name]["tags"] == ["platform"]


@every_dashboard
def test_titles_are_those_of_the_menu(name: str) -> None:
    """A link leads to a page of its name, which a list of dashboards finds under its letter."""
    assert DASHBOARDS[name]["title"] == UIDS[name]


def test_unknown_is_neither_green_nor_blank() -> None:
    """A tile of health without data says so in grey, on every dashboard."""
    tiles = [
        panel["fieldConfig"]["defaults"]
        for board in DASHBOARDS.values()
        for panel in panels(board)
        if "Healthy" in json.dumps(panel.get("fieldConfig", {})) and panel["type"] == "stat"
    ]
    assert tiles

    for defaults in tiles:
        missing = [one for one in defaults["mappings"] if one["type"] == "special"]
        assert [one["options"]["match"] for one in missing] == ["null+nan"]
        assert defaults["noValue"] == missing[0]["options"]["result"]["text"] == "Unknown"
        assert defaults["thresholds"]["steps"] == [{"color": "#8e8e8e", "value": None}]


@every_dashboard
def test_threshold_lines_come_from_the_configuration(name: str) -> None:
    """No chart has a fixed figure: every threshold drawn comes from a query."""
    charts = [panel for panel in panels(DASHBOARDS[name]) if panel["type"] == "timeseries"]

    assert all("thresholds" not in chart["fieldConfig"]["defaults"] for chart in charts)
    for target in (target for chart in charts for target in chart["targets"] if "expr" in target):
        assert ("platform_threshold" in target["expr"]) == target["legendFormat"].endswith(" threshold")


@every_dashboard
def test_the_sdk_reads_what_it_wrote(name: str) -> None:
    """The file is what the SDK's types say a dashboard is: read into them and written again it is the same."""
    assert reread(DASHBOARDS[name]) == DASHBOARDS[name]


@every_dashboard
def test_loads_in_the_oldest_grafana(name: str) -> None:
    """The schema is Grafana 11.6's own (41): newer ones migrate it, older than 11.6 is not supported."""
    assert DASHBOARDS[name]["schemaVersion"] == 41
    assert DASHBOARDS[name]["editable"] is False


def _used(value: object) -> set[str]:
    """Return the names of the dashboard's own variables in queries."""
    found = re.findall(r"\$(?:{(\w+)(?::\w+)?}|(\w+))", json.dumps(value))
    names = {first or second for first, second in found}
    return {one for one in names if not one.startswith("__") and not one.isdigit()}


def test_a_board_too_wide_is_refused() -> None:
    """The generator says which panel does not fit, instead of writing a dashboard that Grafana rearranges."""
    board = Board("overview", "?", [Line(4, [drawn.markdown("Wide", "Text.", "x")], [25])])

    with pytest.raises(ValueError, match="Wide: its line is 25 columns wide, at most 24 fit"):
        board.build()
