"""Draw tables: of SQL, of PromQL, of stack traces, with links, coloured cells and actions."""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

from grafana.design import colors
from grafana.design.panels import asked
from grafana.design.targets import Target, rows

Json = dict[str, Any]

# Put into an override: a matcher by the column's name, and what to set there.
Column = tuple[str, list[models.DynamicConfigValue]]


def table(
    title: str,
    description: str,
    targets: Sequence[Target],
    columns: Sequence[Column] = (),
    *,
    unit: str = "short",
    nothing: str = "No data",
) -> tables.Panel:
    """Return a table; columns refine single ones, nothing is what an empty one says."""
    panel: tables.Panel = asked(tables.Panel(), title, description, unit, targets)
    panel.no_value(nothing).show_header(True).cell_height(options.TableCellHeight.SM).filterable(True)
    panel.thresholds(colors.steps((None, "text"))).color_scheme(colors.by_thresholds())
    for name, properties in columns:
        panel.override_by_name(name, properties)
    return panel


def measured(
    title: str,
    description: str,
    asked: Mapping[str, str],
    columns: Sequence[Column] = (),
    *,
    first: Sequence[str],
    hidden: Sequence[str] = (),
    nothing: str = "No data",
) -> tables.Panel:
    """Return a table of several figures about the same things: a column per PromQL, named by its key.

    All share the labels in `first`, which are the first columns; the queries' own labels beside them are to be hidden.
    """
    panel = table(title, description, [rows(query) for query in asked.values()], columns, nothing=nothing)
    values = [f"Value #{chr(ord('A') + number)}" for number in range(len(asked))] if len(asked) > 1 else ["Value"]
    named = dict(zip(values, asked, strict=True))
    order = arranged(*first, *values, renamed=named, hidden=("Time", *hidden))
    return panel.with_transformation(merged()).with_transformation(order)


def column(name: str, *, unit: str | None = None, width: int | None = None, title: str | None = None) -> Column:
    """Return a column's unit, width in pixels and heading."""
    found: Json = {"unit": unit, "custom.width": width, "displayName": title}
    return name, [_value(key, value) for key, value in found.items() if value is not None]


def link(name: str, title: str, url: str) -> Column:
    """Return a column whose cells lead somewhere: see grafana.design.links; other cells are ${__data.fields.NAME}."""
    return links(name, (title, url))


def links(name: str, *ways: tuple[str, str]) -> Column:
    """Return a column whose cells lead to one of several places, each a title and a path as of `link`."""
    return name, [_value("links", [{"title": title, "url": url, "targetBlank": False} for title, url in ways])]


def words(name: str, named: dict[str, str]) -> Column:
    """Return a column of words in their colours, such as colors.SEVERITIES."""
    return name, [_value("mappings", colors.words(named)), _cell("color-text")]


def states(name: str, mappings: list[models.ValueMapping]) -> Column:
    """Return a column of states as coloured cells, such as colors.HEALTH."""
    return name, [_value("mappings", mappings), _cell("color-background", mode="basic")]


def bounds(name: str, *steps: tuple[float | None, str]) -> Column:
    """Return a column whose figures are coloured by thresholds, as colors.steps takes them."""
    return name, [_value("thresholds", colors.steps(*steps).build()), _cell("color-text")]


def gauge(name: str, *, unit: str = "percentunit", maximum: float = 1, color: str = colors.BLUE) -> Column:
    """Return a column of progress bars from 0 to the maximum."""
    cell = _cell("gauge", mode="basic", valueDisplayMode="text")
    shade = _value("color", {"mode": "fixed", "fixedColor": color})
    return name, [cell, _value("unit", unit), _value("min", 0), _value("max", maximum), shade]


def trace(name: str) -> Column:
    """Return a column that shows long text in full, over lines, and opens it in a drawer on a click."""
    return name, [_cell("auto", wrapText=True), _value("custom.inspect", True)]


def actions(name: str, found: Sequence[Json]) -> Column:
    """Return a column of buttons, one per action: see grafana.actions."""
    return name, [_cell("actions"), _value("actions", list(found))]


def hidden(name: str) -> Column:
    """Return a column that is there for links only."""
    return name, [_value("custom.hidden", True)]


def arranged(
    *shown: str, renamed: dict[str, str] | None = None, hidden: Sequence[str] = ()
) -> models.DataTransformerConfig:
    """Return the transformation that puts columns in this order; renamed gives headings, hidden ones are dropped."""
    return models.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: number for number, name in enumerate(shown)},
            "renameByName": renamed or {},
        },
    )


def merged() -> models.DataTransformerConfig:
    """Return the transformation that makes one table of several targets.rows by the labels they share: Value #A, ..."""
    return models.DataTransformerConfig(id_val="merge", options={})


def sorted_by(panel: tables.Panel, name: str, *, descending: bool = True) -> tables.Panel:
    """Return the table, sorted by a column's heading."""
    return panel.sort_by([common.TableSortByFieldState().display_name(name).desc(descending)])


def stack_trace(title: str, description: str, target: Target, name: str) -> tables.Panel:
    """Return one long text, readable in full: a table of one column without a heading."""
    return table(title, description, [target], [trace(name)]).show_header(False).cell_height(options.TableCellHeight.LG)


def _cell(kind: str, **more: Any) -> models.DynamicConfigValue:
    return _value("custom.cellOptions", {"type": kind, **more})


def _value(key: str, value: Any) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=key, value=value)
