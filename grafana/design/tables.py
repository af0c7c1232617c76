"""Tables: of SQL, of PromQL, of stack traces, with links, coloured cells and actions.

Columns are listed by the functions here, or by their name alone: then they look as grafana.design.columns says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

from grafana.design import colors, targets
from grafana.design import links as addresses
from grafana.design.columns import LONG_PIXELS, usual
from grafana.design.panels import COUNT, NONE, asked_panel
from grafana.design.targets import Target

Json = dict[str, Any]
# The column's name, and what an override sets there.
Column = tuple[str, Json]
LEVEL = ((None, colors.BLUE),)


def table(
    title: str, description: str, asked: str | Sequence[Target], columns: Sequence[Column | str] = ()
) -> tables.Panel:
    """Return a table of SQL; columns refine single ones.

    What `no_value` sets is shown where there are no rows, and also where the query failed, beside the sign of the
    error: "No ... found", which is true of both. A cell without a value shows NONE.
    """
    found = targets.at_end(asked)
    panel: tables.Panel = asked_panel(tables.Panel(), title, description, COUNT, found)
    panel.show_header(True).cell_height(options.TableCellHeight.SM)
    panel.thresholds(colors.steps((None, "text"))).color_scheme(colors.by_thresholds())
    panel.decimals(1).no_value("Nothing found").override_by_regexp("/.*/", colors.values(noValue=NONE))
    # Otherwise a user id such as 1234567 would be written as a number of things.
    panel.override_by_field_type("string", colors.values(unit="string"))
    looks: dict[str, Json] = {}
    for one in columns:
        name, properties = (one, {}) if isinstance(one, str) else one
        looks.setdefault(name, {} if "custom.hidden" in properties else usual(name)).update(properties)
    seen = [look for look in looks.values() if "custom.hidden" not in look]
    if seen and all("custom.width" in look for look in seen):
        # Otherwise the table would end before its panel does.
        seen[0]["custom.minWidth"] = seen[0].pop("custom.width")
    for name, properties in looks.items():
        if properties.get("unit") == "dtdurations":
            # With decimals it names the smaller units too: 1 hour, 27 minutes, 12 seconds.
            properties.setdefault("decimals", 0)
        if properties:
            shown = [models.DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()]
            panel.override_by_name(name, shown)
    return panel


def of_series(title: str, description: str, query: str, columns: Sequence[Column | str]) -> tables.Panel:
    """Return a table of PromQL, a row per series: its labels, those listed first, and Value where it is listed."""
    names = _names(columns)
    unseen = {"Time", "Value", "__name__", "alertstate"} - set(names)
    panel = table(title, description, [targets.rows(query)], columns)
    return panel.with_transformation(arranged(*names, hidden=sorted(unseen)))


def measured(title: str, description: str, asked: Mapping[str, str], columns: Sequence[Column | str]) -> tables.Panel:
    """Return a table of several figures about the same things: a column per PromQL, named by its key.

    The other columns listed are the labels that make a row, and come first; those not listed are left out.
    """
    panel = table(title, description, [targets.rows(query) for query in asked.values()], [*columns, *asked])
    values = [f"Value #{chr(ord('A') + number)}" for number in range(len(asked))] if len(asked) > 1 else ["Value"]
    labels = [name for name in _names(columns) if name not in asked]
    for step in merged(labels, values):
        panel.with_transformation(step)
    named = {last(value): name for value, name in zip(values, asked, strict=True)}
    return panel.with_transformation(arranged(*labels, *named, renamed=named))


def merged(labels: Sequence[str], values: Sequence[str]) -> list[models.DataTransformerConfig]:
    """Return the transformations that make one table of several queries: a row per labels; of a value see `last`.

    A query that finds nothing has no label to group by and is left out: where all are, `no_value` is shown.
    """
    fields = {name: {"operation": "groupby", "aggregations": []} for name in labels}
    fields |= {name: {"operation": "aggregate", "aggregations": ["lastNotNull"]} for name in values}
    steps = {"groupBy": {"fields": fields}, "merge": {}}
    return [models.DataTransformerConfig(id_val=name, options=chosen) for name, chosen in steps.items()]


def last(value: str) -> str:
    """Return what `merged` calls a value."""
    return f"{value} (lastNotNull)"


def column(name: str, heading: str | None = None, width: int | None = None, unit: str | None = None) -> Column:
    """Return a column's heading, width in pixels and unit."""
    found = {"displayName": heading, "custom.width": width, "unit": unit}
    return name, {key: value for key, value in found.items() if value is not None}


def link(name: str, title: str, url: str) -> Column:
    """Return a column whose cells lead somewhere: see grafana.design.links; other cells are ${__data.fields.NAME}."""
    return links(name, (title, url))


def links(name: str, *ways: tuple[str, str]) -> Column:
    """Return a column whose cells lead to one of several places, each a title and a path as of `link`."""
    return name, {"links": [{"title": title, "url": url, "targetBlank": False} for title, url in ways]}


def to_trace(name: str) -> list[Column]:
    """Return a column whose cells open the trace of the row, in a tab of its own, and the column of its address."""
    way = {"title": "Open the trace, if it has one", "url": TRACE_URL, "targetBlank": True}
    return [(name, {"links": [way]}), hidden("trace_url")]


TRACE_URL = "${__data.fields.trace_url}"


def to_issue(name: str) -> Column:
    """Return a column whose cells open the error issue of the row, which has the columns app and fingerprint."""
    app, fingerprint = "${__data.fields.app:percentencode}", "${__data.fields.fingerprint:percentencode}"
    return link(name, "Open the issue", addresses.to("error", app=app, fingerprint=fingerprint))


def words(name: str, named: Mapping[str, str], width: int | None = None) -> Column:
    """Return a column of words in their colours, such as colors.SEVERITIES."""
    found = {"mappings": colors.words(named), "custom.cellOptions": {"type": "color-text"}}
    return name, found | ({"custom.width": width} if width else {})


def severity_and_state() -> Column:
    """Return the column `severity` of issues, with the state on a line below, in the severity's colour."""
    mappings = [
        models.RegexMap(
            options=models.DashboardRegexMapOptions(
                pattern=f"/{severity}/", result=models.ValueMappingResult(color=color, index=number)
            )
        )
        for number, (severity, color) in enumerate(colors.SEVERITIES.items())
    ]
    return "severity", {"mappings": mappings, "custom.cellOptions": {"type": "color-text", "wrapText": True}}


def wrapped(name: str, width: int | None = None) -> Column:
    """Return a column whose cells show all of a text, over as many lines as it needs."""
    room = {"custom.width": width} if width else {"custom.minWidth": LONG_PIXELS}
    return name, {"custom.cellOptions": {"type": "auto", "wrapText": True}, **room}


def states(name: str, mappings: list[models.ValueMapping]) -> Column:
    """Return a column of states as coloured cells, such as colors.HEALTH."""
    return name, {"mappings": mappings, "custom.cellOptions": {"type": "color-background", "mode": "basic"}}


def bounds(name: str, *steps: tuple[float | None, str]) -> Column:
    """Return a column whose figures are coloured by thresholds, as colors.steps takes them."""
    return name, {"thresholds": colors.steps(*steps).build(), "custom.cellOptions": {"type": "color-text"}}


def warned(name: str, color: str) -> Column:
    """Return a column whose figures are coloured from 1 on."""
    return bounds(name, (None, "text"), (1, color))


def gauge(name: str, *steps: tuple[float | None, str]) -> Column:
    """Return a column of bars from 0 to 100 %, coloured by steps such as colors.bands; without any they are blue."""
    found = {"unit": "percentunit", "min": 0, "max": 1, "decimals": 1}
    cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    return name, found | {"custom.cellOptions": cell, "thresholds": colors.steps(*(steps or LEVEL)).build()}


def trace(name: str) -> Column:
    """Return a column that shows long text in full, over lines, and opens it in a drawer on a click."""
    return name, {"custom.cellOptions": {"type": "auto", "wrapText": True}, "custom.inspect": True}


def actions(name: str, found: Sequence[Json]) -> Column:
    """Return a column of buttons, one per action: see grafana.actions."""
    return name, {"custom.cellOptions": {"type": "actions"}, "actions": list(found)}


def hidden(name: str) -> Column:
    """Return a column that is there for links only."""
    return name, {"custom.hidden": True}


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


def sorted_by(panel: tables.Panel, name: str, *, descending: bool = True) -> tables.Panel:
    """Return the table, sorted by a column's heading."""
    return panel.sort_by([common.TableSortByFieldState().display_name(name).desc(descending)])


def _names(columns: Sequence[Column | str]) -> list[str]:
    return list(dict.fromkeys(one if isinstance(one, str) else one[0] for one in columns))
