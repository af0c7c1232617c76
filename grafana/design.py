"""
Hold the one design of all dashboards: colours, panels, layout.

Classic dashboard JSON, schema version 39, which Grafana 11.6, 12 and 13 load.
"""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

PROMETHEUS = {"type": "prometheus", "uid": "platform-prometheus"}
GREEN, YELLOW, RED, ORANGE, GREY, BLUE = "green", "yellow", "red", "orange", "#8e8e8e", "blue"
SEVERITY_COLORS = {"critical": RED, "high": ORANGE, "medium": YELLOW, "low": BLUE}
GRID_COLUMNS = 24

# The states of health as rules record them. No data is unknown as well: it must not look like health.
STATES = [
    {
        "type": "value",
        "options": {
            "-1": {"text": "Unknown", "color": GREY, "index": 0},
            "0": {"text": "Healthy", "color": GREEN, "index": 1},
            "1": {"text": "Warning", "color": YELLOW, "index": 2},
            "2": {"text": "Critical", "color": RED, "index": 3},
        },
    },
    {"type": "special", "options": {"match": "null+nan", "result": {"text": "Unknown", "color": GREY, "index": 4}}},
]
UP_DOWN = [
    {
        "type": "value",
        "options": {
            "0": {"text": "Down", "color": RED, "index": 0},
            "1": {"text": "Up", "color": GREEN, "index": 1},
        },
    }
]


def target(expression: str, legend: str = "", *, instant: bool = False) -> Json:
    """Return one query of a panel."""
    kind = {"instant": True, "range": False} if instant else {"instant": False, "range": True}
    legend = legend or "__auto"
    return {"datasource": PROMETHEUS, "editorMode": "code", "expr": expression, "legendFormat": legend, **kind}


def threshold_lines(expression: str) -> Json:
    """Return the query that draws thresholds as dashed lines; see LINES."""
    return target(expression, "{{severity}} threshold")


# Whatever is named `... threshold` is a dashed line in its severity's colour.
LINES = [
    {
        "matcher": {"id": "byRegexp", "options": f"/^{severity} threshold$/"},
        "properties": [
            {"id": "color", "value": {"mode": "fixed", "fixedColor": color}},
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "custom.lineWidth", "value": 1},
        ],
    }
    for severity, color in SEVERITY_COLORS.items()
]


def panel(kind: str, title: str, description: str, unit: str, targets: Sequence[Json], **rest: Any) -> Json:
    """Return a panel of any kind; rest overrides parts of it (defaults, overrides, options, transformations)."""
    defaults = {"unit": unit, "noValue": rest.pop("no_value", "No data"), **rest.pop("defaults", {})}
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": PROMETHEUS,
        "targets": [{**one, "refId": chr(ord("A") + number)} for number, one in enumerate(targets)],
        "fieldConfig": {"defaults": defaults, "overrides": rest.pop("overrides", [])},
        **rest,
    }


def tile(title: str, description: str, expression: str) -> Json:
    """Return a tile that shows a state of health in its colour."""
    return panel(
        "stat",
        title,
        description,
        "short",
        [target(expression, title, instant=True)],
        no_value="Unknown",
        defaults={
            "mappings": STATES,
            "color": {"mode": "thresholds"},
            "thresholds": {"mode": "absolute", "steps": [{"color": GREY, "value": None}]},
        },
        options={
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "center",
            "textMode": "value",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )


def lines(title: str, description: str, unit: str, targets: Sequence[Json], **rest: Any) -> Json:
    """Return a chart over time; maximum is the fixed upper end of its axis, stacked piles the series up."""
    stacked = rest.pop("stacked", False)
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 5,
        "showPoints": "never",
        # Gaps up to a minute are joined: longer ones are missing data and must be seen.
        "spanNulls": 60_000,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "off"},
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic"}, "min": 0}
    if "maximum" in rest:
        defaults["max"] = rest.pop("maximum")
    return panel(
        "timeseries",
        title,
        description,
        unit,
        targets,
        defaults=defaults,
        overrides=LINES,
        options={
            "legend": {
                "calcs": ["lastNotNull", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        **rest,
    )


def timeline(title: str, description: str, expression: str, legend: str) -> Json:
    """Return states over time, a bar per series."""
    return panel(
        "state-timeline",
        title,
        description,
        "short",
        [target(expression, legend)],
        no_value="Unknown",
        defaults={
            "mappings": STATES,
            "color": {"mode": "thresholds"},
            "thresholds": {"mode": "absolute", "steps": [{"color": GREY, "value": None}]},
            "custom": {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False},
        },
        options={
            "alignValue": "left",
            "mergeValues": True,
            "rowHeight": 0.8,
            "showValue": "auto",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def row(title: str) -> Json:
    """Return the heading of the panels that follow."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def laid_out(rows: Sequence[tuple[int, Sequence[tuple[Json, int]]]]) -> list[Json]:
    """Return the panels with ids and places. A row is its height and its panels, each with its width in columns."""
    placed: list[Json] = []
    y = 0
    for height, panels in rows:
        x = 0
        for one, width in panels:
            if x + width > GRID_COLUMNS:
                raise ValueError(f"{one['title']}: the row is {x + width} columns wide, at most {GRID_COLUMNS} fit")
            place = {"h": height, "w": width, "x": x, "y": y}
            placed.append({"id": len(placed) + 1, "gridPos": place, **one})
            x += width
        y += height
    return placed


def dashboard(uid: str, title: str, description: str, panels: Sequence[Json], **rest: Any) -> Json:
    """Return a dashboard; rest overrides parts of it."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["platform"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "30s", "1m", "5m", "15m"]},
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "links": [
            {
                "type": "dashboards",
                "title": "Platform",
                "tags": ["platform"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": list(panels),
        **rest,
    }
