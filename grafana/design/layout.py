"""The layout of panels on dashboards.

The grid has 24 columns; a unit of height is 30 px and 8 px of gap. On a phone, Grafana puts all panels below each
other in the order of their places, each at its own height: what matters most comes first, and no panel is higher than
TALLEST, so that one fits on a screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

from grafana.design import links
from grafana.design.targets import PROMETHEUS, RESTRICTED, Sql, series
from grafana.design.variables import Variable, data_sources
from grafana.queries import shared

COLUMNS = 24
TALLEST = 18
WIDE = 12
# Grafana 11.6's own, which 12 and 13 load too; the SDK's is newer.
SCHEMA_VERSION = 41
RANGES = {
    "now-1h": "Last hour", "now-3h": "Last 3 hours", "now-6h": "Last 6 hours", "now-12h": "Last 12 hours",
    "now-24h": "Last 24 hours", "now-2d": "Last 2 days", "now-7d": "Last 7 days",
}  # fmt: skip

OR_DENIED = ", or access is denied (docs/access.md)"

Panel = cogbuilder.Builder[models.Panel]


@dataclass(frozen=True)
class Line:
    """Panels beside each other: their height in grid units, and their widths in columns, by default all alike."""

    height: int
    panels: Sequence[Panel]
    widths: Sequence[int] = ()

    def shares(self) -> Sequence[int]:
        """Return the width of each panel."""
        width, wider = divmod(COLUMNS, len(self.panels))
        return self.widths or [width + (number < wider) for number in range(len(self.panels))]


@dataclass(frozen=True)
class Section:
    """Lines under a heading, which folds them away; collapsed ones ask no data source before they are opened."""

    title: str
    lines: Sequence[Line]
    collapsed: bool = False


@dataclass(frozen=True)
class Board:
    """Description of a dashboard: its name of links.UIDS and the question that it answers.

    may_be_empty names, by title, the panels that are without data in a healthy system, with the reason: all others are
    checked to have some in an hour of demo data. marks are the annotations, None meaning alerts and releases.
    """

    name: str
    question: str
    sections: Sequence[Section | Line]
    variables: Sequence[Variable] = ()
    may_be_empty: dict[str, str] = field(default_factory=dict)
    refresh: str = "30s"
    marks: Sequence[builders.AnnotationQuery] | None = None

    def build(self) -> models.Dashboard:
        """Return the dashboard. Raises ValueError where panels do not fit."""
        origin = f"Generated from grafana/boards/{self.name}.py."
        board = builders.Dashboard(links.UIDS[self.name]).uid(f"platform-{self.name}")
        board.description(f"{self.question} {origin}")
        board.tags(["platform"]).readonly().tooltip(models.DashboardCursorSync.CROSSHAIR).refresh(self.refresh)
        board.time("now-6h", "now").timepicker(_time_picker()).timezone("browser").week_start("").version(1)
        for variable in (*data_sources(), *self.variables):
            board.with_variable(variable)  # type: ignore[arg-type]
        for one in self._marks():
            board.annotation(one)
        for link in links.menu():
            board.link(link)
        built = board.build()
        built.schema_version = SCHEMA_VERSION
        built.templating.list_val = built.templating.list_val or []
        built.panels = _Grid().place(self.sections)
        # The SDK's only choice hides links and marks in a menu of Grafana 12.3 and newer.
        for shown in (*(built.links or ()), *(built.annotations.list_val or ())):
            shown.placement = None  # type: ignore[assignment]
        return built

    def _marks(self) -> Sequence[builders.AnnotationQuery]:
        of_app = any(variable.build().name == "app" for variable in self.variables)
        return (_alerts(of_app), _releases()) if self.marks is None else self.marks


class _Grid:
    """The next free id and row while placing."""

    def __init__(self) -> None:
        self._y = 0
        self._id = 0

    def place(self, sections: Sequence[Section | Line]) -> list[models.Panel | models.RowPanel]:
        """Return panels and headings with their ids and places."""
        placed: list[models.Panel | models.RowPanel] = []
        for section in sections:
            if isinstance(section, Line):
                placed += self._line(section)
                continue
            row = models.RowPanel(collapsed=section.collapsed, title=section.title, id_val=self._next_id())
            row.grid_pos = models.GridPos(h=1, w=COLUMNS, x=0, y=self._y)
            self._y += 1
            below = self._y
            panels = [panel for line in section.lines for panel in self._line(line)]
            if section.collapsed:
                row.panels = panels
                self._y = below
            placed += [row, *([] if section.collapsed else panels)]
        return placed

    def _line(self, line: Line) -> list[models.Panel]:
        if line.height > TALLEST:
            raise ValueError(f"{line.panels[0].build().title}: {line.height} high, at most {TALLEST} fit on a screen")
        x = 0
        placed = []
        for builder, width in zip(line.panels, line.shares(), strict=True):
            panel = builder.build()
            if x + width > COLUMNS:
                raise ValueError(f"{panel.title}: its line is {x + width} columns wide, at most {COLUMNS} fit")
            _complete(panel, width)
            panel.grid_pos = models.GridPos(h=line.height, w=width, x=x, y=self._y)
            panel.id_val = self._next_id()
            x += width
            placed.append(panel)
        self._y += line.height
        return placed

    def _next_id(self) -> int:
        self._id += 1
        return self._id


def _complete(panel: models.Panel, width: int) -> None:
    """Set what depends on the width, and what the SDK's builders cannot say."""
    chosen: Any = panel.options
    if panel.field_config and any(_is_restricted(target) for target in panel.targets or ()):
        # Where the login may not read these views, Grafana shows a sign, and this text as if all were well.
        panel.field_config.defaults.no_value = f"{panel.field_config.defaults.no_value}{OR_DENIED}"
    if panel.type_val == "timeseries":
        chosen.legend = _legend(width)
    elif panel.type_val == "state-timeline":
        # All bars on one page: by default there is a pager even below a single bar.
        chosen.per_page = 0


def _is_restricted(target: object) -> bool:
    return isinstance(target, Sql) and target.data["datasource"] == RESTRICTED.to_json()


def _legend(width: int) -> options.VizLegendOptions:
    """Return names below a narrow chart, side by side so that all fit; beside a wide one a table with figures."""
    if width < WIDE:
        placed, mode, figures = options.LegendPlacement.BOTTOM, options.LegendDisplayMode.LIST, []
    else:
        placed, mode, figures = options.LegendPlacement.RIGHT, options.LegendDisplayMode.TABLE, ["lastNotNull"]
    return options.VizLegendOptions(show_legend=True, placement=placed, display_mode=mode, calcs=figures)


def _time_picker() -> Any:
    ranges = [builders.TimeOption().display(title).from_val(start).to("now") for start, title in RANGES.items()]
    return builders.TimePicker().refresh_intervals(["5s", "10s", "30s", "1m", "5m", "15m"]).quick_ranges(ranges)


def _alerts(of_app: bool) -> builders.AnnotationQuery:
    found = mark("Alerts", "red", shared.onsets(of_app)).title_format("{{alertname}} {{app}}")
    return found.text_format("{{severity}}").use_value_for_time(True)


def _releases() -> builders.AnnotationQuery:
    found = mark("Releases", "blue", shared.RELEASES).title_format("{{app}} {{release}}")
    return found.text_format("First seen").use_value_for_time(True)


def mark(name: str, color: str, expression: str) -> builders.AnnotationQuery:
    """Return the annotation that marks the samples of PromQL in all charts."""
    found = builders.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).hide(False).icon_color(color)
    return found.target(series(expression, "").ref_id("Anno")).expr(expression)
