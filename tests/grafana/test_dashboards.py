"""The committed dashboards: made by the generator, well laid out, and asking only for what exists."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest

from exporter.events.sample import PREFIX
from grafana.design.links import UIDS
from grafana.generate import FOLDER, boards, rendered
from stack.servers import Prometheus
from tests.prometheus.names import ROOT, unknown
from tests.servers import PrometheusBinaries

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
DATASOURCES = {
    "platform-prometheus": "prometheus",
    "platform-postgresql": "grafana-postgresql-datasource",
    "platform-alertmanager": "alertmanager",
}
every_dashboard = pytest.mark.parametrize("board", DASHBOARDS.values(), ids=list(DASHBOARDS))
Json = dict[str, Any]


def panels(board: Json, *, without: tuple[str, ...] = ()) -> list[Json]:
    """Return the panels, those in collapsed rows too, but those of some types."""
    found = [one for panel in board["panels"] for one in (panel, *panel.get("panels", []))]
    return [panel for panel in found if panel["type"] not in without]


def references(value: Any) -> Iterator[Json]:
    """Yield every reference to a data source anywhere in a dashboard."""
    if isinstance(value, dict):
        if isinstance(value.get("datasource"), dict):
            yield value["datasource"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def promql(board: Json) -> list[str]:
    """Return every expression of panels, variables and annotations, with Grafana's variables filled in."""
    found = [target["expr"] for panel in panels(board) for target in panel.get("targets", []) if "expr" in target]
    found += [annotation["expr"] for annotation in board["annotations"].get("list", [])]
    for variable in board["templating"]["list"]:
        if variable.get("datasource", {}).get("type") != "prometheus":
            continue
        selector = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
        assert selector, "a variable lists the values of a label"
        found.append(selector.group(1))
    return [re.sub(r"\$\w+", ".*", one.replace("$__rate_interval", "1m").replace("$__range", "6h")) for one in found]


def test_files_are_what_the_generator_writes() -> None:
    """A change by hand, or a generator that was not run, is found here; mend: python -m grafana.generate."""
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == {
        f"{name}.json": rendered(board) for name, board in boards().items()
    }


def test_uids_are_fixed_and_unique() -> None:
    """Alerts and links name dashboards by uid."""
    assert {name: board["uid"] for name, board in DASHBOARDS.items()} == {name: f"platform-{name}" for name in UIDS}


@every_dashboard
def test_panels_do_not_overlap(board: Json) -> None:
    """Every panel lies inside the 24 columns and on no other one."""
    places = [panel["gridPos"] for panel in board["panels"]]

    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    assert len({panel["id"] for panel in panels(board)}) == len(panels(board))


@every_dashboard
def test_panels_are_described_and_have_units(board: Json) -> None:
    """A reader learns what a panel shows and in what unit; rows and text have neither numbers nor need."""
    for panel in panels(board, without=("row",)):
        assert panel["description"], panel["title"]
    for panel in panels(board, without=("row", "text")):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@every_dashboard
def test_only_provisioned_data_sources(board: Json) -> None:
    """Every reference names a provisioned data source with its type."""
    for reference in references(board):
        assert DATASOURCES[reference["uid"]] == reference["type"]


def test_overview_refreshes() -> None:
    """The home of operations follows by itself."""
    assert DASHBOARDS["overview"]["refresh"] == "30s"


def test_unknown_is_neither_green_nor_blank() -> None:
    """A tile of health without data says so in grey."""
    tiles = [panel for panel in panels(DASHBOARDS["overview"]) if panel["title"] in ("Platform", "HTTP errors")]
    assert len(tiles) == 2

    for tile in tiles:
        defaults = tile["fieldConfig"]["defaults"]
        missing = [one for one in defaults["mappings"] if one["type"] == "special"]
        assert [one["options"]["match"] for one in missing] == ["null+nan"]
        assert defaults["noValue"] == missing[0]["options"]["result"]["text"] == "Unknown"
        assert defaults["thresholds"]["steps"] == [{"color": "#8e8e8e", "value": None}]


@every_dashboard
def test_threshold_lines_come_from_the_configuration(board: Json) -> None:
    """No chart has a figure of its own: what is drawn as a threshold is asked for."""
    charts = [panel for panel in panels(board) if panel["type"] == "timeseries"]

    assert all("thresholds" not in chart["fieldConfig"]["defaults"] for chart in charts)
    for target in (target for chart in charts for target in chart["targets"] if "expr" in target):
        assert ("platform_threshold" in target["expr"]) == target["legendFormat"].endswith(" threshold")


@every_dashboard
def test_only_existing_metrics(board: Json) -> None:
    """A panel on a series that nothing makes would stay empty for ever; samples are named by applications."""
    assert unknown(promql(board)) - {PREFIX} == set()


def test_queries_parse(prometheus_binaries: PrometheusBinaries, start_prometheus: Callable[..., Prometheus]) -> None:
    """Prometheus of both generations understands every query of the dashboards and of the runbook."""
    server = start_prometheus(binary=prometheus_binaries.prometheus)
    runbook = (ROOT / "prometheus/runbook.md").read_text()
    in_dashboards = [one for board in DASHBOARDS.values() for one in promql(board)]
    in_runbook = re.findall(r"promtool query instant \$PROM '([^']+)'", runbook)
    assert len(in_runbook) == runbook.count("promtool query instant")

    for expression in in_dashboards + in_runbook:
        server.query(expression)
