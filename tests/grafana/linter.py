"""The seventeen rules of Grafana's dashboard-linter (its docs/index.md), which needs Go.

Each rule yields what is wrong. They are stricter than the original: they check every type of panel. Both read the
exceptions in grafana/dashboards/.lint.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from grafana.generate import FOLDER
from tests.grafana.boards import DASHBOARDS, PROMETHEUS, WITHOUT_QUERIES, filled, label_values, panels, variables
from tests.grafana.promql import Node, matched, parsed, selectors, walk
from tests.grafana.units import UNITS
from tools.stack.errors import StackError
from tools.stack.servers import Prometheus

Rule = Callable[[str, Prometheus], Iterator[str]]
EXCLUSIONS: dict[str, Any] = yaml.safe_load((FOLDER / ".lint").read_text())["exclusions"]
RATES = ("rate", "irate", "increase")


def _template(name: str) -> Rule:
    def rule(board: str, parser: Prometheus) -> Iterator[str]:
        if name not in {one["name"] for one in DASHBOARDS[board]["templating"]["list"]}:
            yield f"no variable {name}"

    return rule


def _template_datasource(board: str, parser: Prometheus) -> Iterator[str]:
    if not any(one["type"] == "datasource" for one in DASHBOARDS[board]["templating"]["list"]):
        yield "no variable of data sources"


def _template_promql(board: str, parser: Prometheus) -> Iterator[str]:
    for variable in variables(DASHBOARDS[board], PROMETHEUS):
        try:
            parsed(parser, filled(label_values(variable)[0]))
        except StackError as error:
            yield f"variable {variable['name']}: {error}"


def _template_reload(board: str, parser: Prometheus) -> Iterator[str]:
    for variable in DASHBOARDS[board]["templating"]["list"]:
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield f"variable {variable['name']} is not read again when the time range changes"


def _panel_datasource(board: str, parser: Prometheus) -> Iterator[str]:
    for panel in panels(DASHBOARDS[board], without=WITHOUT_QUERIES):
        if not panel["datasource"]["uid"].startswith("$"):
            yield f"{panel['title']}: its data source is not a variable"


def _panel_titles(board: str, parser: Prometheus) -> Iterator[str]:
    for panel in panels(DASHBOARDS[board], without=("row",)):
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']}: no title or description"


def _panel_units(board: str, parser: Prometheus) -> Iterator[str]:
    for panel in panels(DASHBOARDS[board], without=WITHOUT_QUERIES):
        if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
            yield f"{panel['title']}: no unit, or none of Grafana's"


def _panel_targets(board: str, parser: Prometheus) -> Iterator[str]:
    for panel in panels(DASHBOARDS[board], without=WITHOUT_QUERIES):
        if not panel.get("targets"):
            yield f"{panel['title']}: asks nothing"


def _no_loki(board: str, parser: Prometheus) -> Iterator[str]:
    """Both rules on LogQL: there is none, as nothing here is kept in Loki."""
    for panel in panels(DASHBOARDS[board], without=WITHOUT_QUERIES):
        if any(target["datasource"]["type"] == "loki" for target in panel["targets"]):
            yield f"{panel['title']}: asks Loki, which is not among the data sources"


def _target_promql(board: str, parser: Prometheus) -> Iterator[str]:
    for title, expression in _expressions(board):
        try:
            parsed(parser, expression)
        except StackError as error:
            yield f"{title}: {error}"


def _target_matcher(label: str) -> Rule:
    def rule(board: str, parser: Prometheus) -> Iterator[str]:
        for title, expression in _expressions(board):
            if any(label not in matched(selector) for selector in selectors(parsed(parser, expression))):
                yield f"{title}: a selector without {label}"

    return rule


def _target_rate_interval(board: str, parser: Prometheus) -> Iterator[str]:
    for panel in panels(DASHBOARDS[board], without=WITHOUT_QUERIES):
        for target in panel["targets"]:
            if re.search(r"\b(?:i?rate)\([^\[]*\[(?!\$__rate_interval)", target.get("expr", "")):
                yield f"{panel['title']}: rate over a window that is not $__rate_interval"


def _target_counters(board: str, parser: Prometheus) -> Iterator[str]:
    for title, expression in _expressions(board):
        for node, above in walk(parsed(parser, expression)):
            if node["type"] in ("vectorSelector", "matrixSelector") and node["name"].endswith("_total"):
                inside = above[-1] if above else None
                if not _is_rate(inside):
                    yield f"{title}: the counter {node['name']} without rate, irate or increase"


def _is_rate(node: Node | None) -> bool:
    return node is not None and node["type"] == "call" and node["func"]["name"] in RATES


def _uneditable(board: str, parser: Prometheus) -> Iterator[str]:
    if DASHBOARDS[board]["editable"]:
        yield "can be edited"


def _expressions(board: str) -> Iterator[tuple[str, str]]:
    for panel in panels(DASHBOARDS[board], without=WITHOUT_QUERIES):
        for target in panel["targets"]:
            if "expr" in target:
                yield panel["title"], filled(target["expr"])


RULES: dict[str, Rule] = {
    "template-datasource-rule": _template_datasource,
    "template-job-rule": _template("job"),
    "template-instance-rule": _template("instance"),
    "template-label-promql-rule": _template_promql,
    "template-on-time-change-reload-rule": _template_reload,
    "panel-datasource-rule": _panel_datasource,
    "panel-title-description-rule": _panel_titles,
    "panel-units-rule": _panel_units,
    "panel-no-targets-rule": _panel_targets,
    "target-logql-rule": _no_loki,
    "target-logql-auto-rule": _no_loki,
    "target-promql-rule": _target_promql,
    "target-rate-interval-rule": _target_rate_interval,
    "target-job-rule": _target_matcher("job"),
    "target-instance-rule": _target_matcher("instance"),
    "target-counter-agg-rule": _target_counters,
    "uneditable-dashboard": _uneditable,
}
