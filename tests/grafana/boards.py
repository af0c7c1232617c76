"""The committed dashboards: their panels, queries, variables and links."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from grafana.generate import boards
from tools.testing.dashboard_sql import DASHBOARDS, POSTGRESQL, Json, panels

BOARDS = boards()
# Users rely on these: no uid may ever change, because their own dashboards and alerts name them.
DATASOURCES = {
    "platform-prometheus": "prometheus",
    "platform-postgresql": "grafana-postgresql-datasource",
    "platform-postgresql-restricted": "grafana-postgresql-datasource",
    "platform-alertmanager": "alertmanager",
    "platform-issues": "alertmanager",
}
# The variables that choose them, on every dashboard.
CHOSEN = ("datasource", "postgresql", "restricted", "alertmanager", "issues")
PROMETHEUS = "prometheus"
WITHOUT_QUERIES = ("row", "text")

every_dashboard = pytest.mark.parametrize("name", list(DASHBOARDS))


@dataclass(frozen=True)
class Query:
    """A query: its place, its text, and the reason why it may find nothing."""

    board: str
    place: str
    text: str
    instant: bool = True
    legend: str = ""
    may_be_empty: str = ""


def reread(dashboard: Json) -> Json:
    """Return a dashboard read from JSON into the SDK's types and written again, without what these do not know.

    `placement` of links and marks is the one thing that the types cannot leave out.
    """
    # Imported here: the SDK warns about this schema unless the package `grafana` imported it first.
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    found: Json = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    for shown in [*found["links"], *found["annotations"].get("list", [])]:
        del shown["placement"]
    return found


def every(value: Any, key: str) -> Iterator[Any]:
    """Yield every value of a key anywhere in a dashboard."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from every(one, key)


def promql(name: str) -> list[Query]:
    """Return every PromQL of panels, variables and annotations of a dashboard, as written."""
    board = DASHBOARDS[name]
    found = [
        Query(name, panel["title"], target["expr"], target.get("instant", False), target.get("legendFormat", ""),
              BOARDS[name].may_be_empty.get(panel["title"], ""))
        for panel in panels(board)
        for target in panel.get("targets", [])
        if target["datasource"]["type"] == PROMETHEUS
    ]  # fmt: skip
    for mark in board["annotations"].get("list", []):
        reason = BOARDS[name].may_be_empty.get(mark["name"], "")
        found.append(Query(name, f"annotation {mark['name']}", mark["expr"], False, may_be_empty=reason))
    for variable in variables(board, PROMETHEUS):
        selector, label = label_values(variable)
        found.append(Query(name, f"variable {variable['name']}", f'{{{label}!=""}} and {selector}', True))
    return found


def sql(name: str) -> list[Query]:
    """Return every SQL of panels and variables of a dashboard, as written; its place names the data source too."""
    board = DASHBOARDS[name]
    found = [
        Query(name, panel["title"], target["rawSql"], may_be_empty=BOARDS[name].may_be_empty.get(panel["title"], ""))
        for panel in panels(board)
        for target in panel.get("targets", [])
        if target["datasource"]["type"] == POSTGRESQL
    ]
    return found + [Query(name, f"variable {one['name']}", one["query"]) for one in variables(board, POSTGRESQL)]


def variables(board: Json, kind: str) -> list[Json]:
    """Return the variables that ask a data source of this kind."""
    return [one for one in board["templating"]["list"] if one.get("datasource", {}).get("type") == kind]


def label_values(variable: Json) -> tuple[str, str]:
    """Return the selector and the label whose values a variable offers."""
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert match, f"{variable['name']}: a variable lists the values of a label, not {variable['query']['query']}"
    return match.group(1), match.group(2)


def filled(expression: str) -> str:
    """Return PromQL as Grafana sends it for a range of an hour, all apps and so on chosen."""
    for name, value in (("__rate_interval", "5m"), ("__interval", "15s"), ("__range_s", "3600"), ("__range", "1h")):
        expression = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", value, expression)
    return re.sub(r"\$(?:\{\w+(?::\w+)?\}|\w+)", ".*", expression)
