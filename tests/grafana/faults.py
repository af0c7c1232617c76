"""Faults that a dashboard's file shows before anyone looks at it, each found in a browser once.

Each rule yields the panels with the fault, and what it is.
"""

import re
from collections.abc import Callable, Iterator

from grafana.design.layout import OR_DENIED
from grafana.design.panels import COUNT, NONE
from tests.grafana.boards import WITHOUT_QUERIES, Json, panels

Rule = Callable[[Json], Iterator[str]]
# At 1366 pixels beside Grafana's menu, as people see it first, less 16 on each side.
CONTENT_PIXELS = 1034
COLUMNS, GAP_PIXELS = 24, 8
# Of Inter at 14 pixels and a weight of 500, in which titles and headings are written: 7.2 on average in ours, and some
# more, as a title that is cut by one letter is cut.
LETTER_PIXELS = 7.4
# Around a title: the sign of its description and the place of the menu, 32 each, and gaps. Around a heading: 8 a side.
TITLE_PIXELS, HEADING_PIXELS = 100, 16
TIME_PIXELS = 90
"""What a panel with a range of its own says of it beside its title."""
MOST_COLUMNS = 9
NARROWEST_PIXELS = 150
"""What Grafana gives a column without a width of its own at least, where its table says nothing else."""
ROW_PIXELS, HEADER_PIXELS, BAR_PIXELS = 38, 40, 40

FIGURES = ("stat", "bargauge", "piechart", "gauge")
COUNTED = re.compile(
    r"(?:topk\(\d+, )?(?:sum(?: by \([^)]*\))? ?\()?(?:max without \([^)]*\) ?\()?"
    r"increase\((?!\w*(?:cost|seconds|bytes))"
)
"""PromQL whose result is how many: Prometheus extrapolates it to the window, so that 532 events are 532.36."""


def _timelines(board: Json) -> Iterator[str]:
    """Merged bars that thresholds colour have the colour and the name of a threshold instead of their state's."""
    for panel in _of(board, "state-timeline"):
        defaults, chosen = panel["fieldConfig"]["defaults"], panel["options"]
        if chosen["mergeValues"] and defaults["color"]["mode"] == "thresholds":
            yield f"{panel['title']}: merged bars are coloured by thresholds"
        if any(one["type"] == "special" for one in defaults["mappings"]):
            yield f"{panel['title']}: a mapping of null fills the gaps"
        if chosen["perPage"] != 0:
            yield f"{panel['title']}: has a pager"


def _thresholds(board: Json) -> Iterator[str]:
    """A step that no value reaches is a colour that nobody sees."""
    for panel in panels(board, without=WITHOUT_QUERIES):
        defaults = panel["fieldConfig"]["defaults"]
        for config in (defaults, *map(_properties, panel["fieldConfig"]["overrides"])):
            steps = config.get("thresholds", {}).get("steps", [])
            limits = [step["value"] for step in steps]
            if not steps:
                continue
            if limits[0] is not None or None in limits[1:] or limits[1:] != sorted(set(limits[1:])):
                yield f"{panel['title']}: steps {limits} are not the lowest and then rising ones"
            elif any(not config.get("min", -1e18) < limit <= config.get("max", 1e18) for limit in limits[1:]):
                yield f"{panel['title']}: steps {limits} are outside the axis"


def _sentences(board: Json) -> Iterator[str]:
    """What stands for no rows also stands in every empty cell, and beside the sign of a failed query."""
    for panel in panels(board, without=WITHOUT_QUERIES):
        shown = panel["fieldConfig"]["defaults"]["noValue"]
        restricted = any("monitoring_restricted." in target.get("rawSql", "") for target in panel["targets"])
        if restricted != shown.endswith(OR_DENIED):
            yield f"{panel['title']}: {shown!r} hides that access may be denied, or says so of what all may read"
        shown = shown.removesuffix(OR_DENIED)
        if panel["type"] == "table":
            first = panel["fieldConfig"]["overrides"][0]
            if first["matcher"] != {"id": "byRegexp", "options": "/.*/"} or _properties(first) != {"noValue": NONE}:
                yield f"{panel['title']}: empty cells read {shown!r}"
            if not re.fullmatch(r"No(?:thing| .+) found|Choose an? \w+", shown):
                yield f"{panel['title']}: {shown!r} would be untrue of a failed query"
        elif shown not in ("No data", "Unknown", NONE):
            yield f"{panel['title']}: {shown!r} would be untrue of a failed query"


def _doughnuts(board: Json) -> Iterator[str]:
    """Rows of SQL are fields of one name: colours by name, or by an expression, are the same for all."""
    for panel in _of(board, "piechart"):
        config = panel["fieldConfig"]
        if config["defaults"]["color"]["mode"] != "palette-classic":
            yield f"{panel['title']}: its colours are {config['defaults']['color']['mode']}"
        if panel["options"]["reduceOptions"]["values"] and config["overrides"]:
            yield f"{panel['title']}: no row matches its overrides"


def _moments(board: Json) -> Iterator[str]:
    """A figure of now that is the last one of a range may be hours old; a chart of one moment is a point."""
    for panel in panels(board, without=WITHOUT_QUERIES):
        for target in panel["targets"]:
            instant = target.get("instant", False) or target.get("format") == "table"
            if panel["type"] in (*FIGURES, "table") and not instant:
                yield f"{panel['title']}: a figure of a range"
            elif panel["type"] in ("timeseries", "state-timeline", "heatmap") and instant:
                yield f"{panel['title']}: a chart of an instant"


def _beginnings(board: Json) -> Iterator[str]:
    """Series with `_created` at their end hold when a counter began, and match what looks for all names."""
    for text in _texts(board):
        for selector in re.findall(r'\{[^{}]*__name__=~"[^"]*\.[+*][^"]*"[^{}]*\}', text):
            if "created" not in selector and not re.search(
                r'__name__=~"[^"]*(?:_total|_count|_sum|_bucket)"', selector
            ):
                yield f"{selector} matches series that end with _created"


def _counts(board: Json) -> Iterator[str]:
    """Numbers of things are whole, and written out: 1,000 and not "1 K"."""
    for panel in panels(board, without=WITHOUT_QUERIES):
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] in FIGURES and (defaults["unit"] == "short" and defaults.get("decimals") is None):
            yield f"{panel['title']}: its unit shortens 1,520 to 1.52 K, expected {COUNT}"
        if panel["type"] in FIGURES and defaults["unit"] == COUNT and defaults.get("decimals") is None:
            yield f"{panel['title']}: as many decimals as the figure has"
        if defaults["unit"] in ("short", COUNT):
            for target in panel["targets"]:
                asked = target.get("expr", "")
                if COUNTED.match(asked) and " / (" not in asked:
                    yield f"{panel['title']}: {target['refId']} is a number of things without round()"


def _regions(board: Json) -> Iterator[str]:
    """Marks over all the time that an alert fires hide the charts; those at their value's time are points."""
    for mark in board["annotations"].get("list", []):
        if not mark.get("useValueForTime"):
            yield f"{mark['name']}: marks every step"


def _rows(board: Json) -> Iterator[str]:
    """Merged as they are, series with other names make a row each of what should be one, and none make headings."""
    for panel in _of(board, "table"):
        ids = [step["id"] for step in panel.get("transformations", [])]
        if "merge" in ids and "groupBy" not in ids[: ids.index("merge")]:
            yield f"{panel['title']}: merged without groupBy"


def _titles(board: Json) -> Iterator[str]:
    """A title that is cut has to be guessed."""
    for panel in panels(board, without=("row",)):
        needed = _letters(panel["title"]) + TITLE_PIXELS + (TIME_PIXELS if panel.get("timeFrom") else 0)
        if needed > _width(panel) and "$" not in panel["title"]:
            yield f"{panel['title']}: its title needs {needed:.0f} pixels, it has {_width(panel):.0f}"


def _bars(board: Json) -> Iterator[str]:
    """A bar needs its own line and that of its name, or both are cut."""
    for panel in _of(board, "bargauge"):
        for found in re.findall(r"(?:topk|bottomk)\((\d+),", panel["targets"][0].get("expr", "")):
            room = panel["gridPos"]["h"] * ROW_PIXELS - GAP_PIXELS - HEADER_PIXELS
            if room / int(found) < BAR_PIXELS:
                yield f"{panel['title']}: {found} bars have {room / int(found):.0f} pixels each, expected {BAR_PIXELS}"


def _columns(board: Json) -> Iterator[str]:
    """What is beyond the right edge is not seen, and what is narrower than its heading is cut."""
    for panel in _of(board, "table"):
        shown = _shown(panel)
        if not panel["options"]["showHeader"]:
            continue
        if len(shown) > MOST_COLUMNS:
            yield f"{panel['title']}: {len(shown)} columns, at most {MOST_COLUMNS}"
        given = {name: look.get("custom.width", 0) for name, look in shown.items()}
        free = _width(panel) - 2 * GAP_PIXELS - sum(given.values())
        share = free / max(1, list(given.values()).count(0))
        usual = panel["fieldConfig"]["defaults"].get("custom", {}).get("minWidth", NARROWEST_PIXELS)
        least = max((look.get("custom.minWidth", usual) for name, look in shown.items() if not given[name]), default=0)
        if free < 0 or share < least:
            yield f"{panel['title']}: its columns need more than its {_width(panel):.0f} pixels"
        for name, look in shown.items():
            heading = look.get("displayName", name)
            if _letters(heading) + HEADING_PIXELS > (given[name] or share):
                yield f"{panel['title']}: the heading {heading} is cut at {given[name] or share:.0f} pixels"


def _shown(panel: Json) -> dict[str, Json]:
    """Return the visible columns of a table with their properties; of SQL those listed, which another test compares."""
    looks: dict[str, Json] = {}
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["id"] == "byName":
            looks.setdefault(override["matcher"]["options"], {}).update(_properties(override))
    for one in panel.get("transformations", []):
        if one["id"] == "organize":
            chosen = one["options"]
            listed = [name for name in chosen["indexByName"] if name not in chosen["excludeByName"]]
            looks = {new: looks.get(new, {}) for new in (chosen["renameByName"].get(name, name) for name in listed)}
    return {name: look for name, look in looks.items() if not look.get("custom.hidden")}


def _letters(text: str) -> float:
    return len(text) * LETTER_PIXELS


def _width(panel: Json) -> float:
    width: int = panel["gridPos"]["w"]
    return width * (CONTENT_PIXELS - (COLUMNS - 1) * GAP_PIXELS) / COLUMNS + (width - 1) * GAP_PIXELS


def _of(board: Json, kind: str) -> list[Json]:
    return [panel for panel in panels(board) if panel["type"] == kind]


def _properties(override: Json) -> Json:
    return {one["id"]: one["value"] for one in override["properties"]}


def _texts(board: Json) -> Iterator[str]:
    for panel in panels(board, without=WITHOUT_QUERIES):
        yield from (target["expr"] for target in panel["targets"] if "expr" in target)
    for variable in board["templating"]["list"]:
        if isinstance(variable["query"], dict):
            yield variable["query"]["query"]


RULES: dict[str, Rule] = {
    "timelines have the colours of states": _timelines,
    "thresholds are reached": _thresholds,
    "empty cells do not lie": _sentences,
    "doughnuts have several colours": _doughnuts,
    "figures are of now": _moments,
    "no beginnings of counters": _beginnings,
    "counts are whole": _counts,
    "marks are points": _regions,
    "things have one row": _rows,
    "titles fit": _titles,
    "columns fit": _columns,
    "bars have room": _bars,
}
