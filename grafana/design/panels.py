"""Draw panels that show figures.

Each function returns the SDK's builder of one panel, so that the caller may refine it: `lines(...).max(1)`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    piechart,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import (
    heatmap as heatmaps,
)
from grafana_foundation_sdk.builders import (
    text as texts,
)
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import heatmap as heatmap_options
from grafana_foundation_sdk.models import text as text_options
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import ValueMapping
from grafana_foundation_sdk.models.piechart import PieChartLabels, PieChartLegendValues, PieChartType

from grafana.design import colors
from grafana.design.targets import PROMETHEUS, Target

Builder = TypeVar("Builder")


def asked(panel: Any, title: str, description: str, unit: str, targets: Sequence[Target]) -> Any:
    """Return the panel with what every panel has: title, description, unit, data source, its queries named A, B, ..."""
    panel.title(title).description(description).unit(unit).no_value("No data")
    source: DataSourceRef = PROMETHEUS
    for number, target in enumerate(targets):
        panel.with_target(target.ref_id(chr(ord("A") + number)))  # type: ignore[attr-defined]
        source = _source_of(target)
    return panel.datasource(source)


def health_tile(title: str, description: str, target: Target, link: Any = None) -> stat.Panel:
    """Return a tile that shows a state of health in its colour; grey where it is unknown or nothing was recorded."""
    panel = _state_tile(title, description, target, colors.HEALTH)
    return panel.data_links([link]) if link else panel


def up_tile(title: str, description: str, target: Target) -> stat.Panel:
    """Return a tile per series that says Up or Down, with the series' name."""
    return _state_tile(title, description, target, colors.UP_DOWN).text_mode(options.BigValueTextMode.VALUE_AND_NAME)


def number_tile(
    title: str, description: str, unit: str, target: Target, *bounds: tuple[float | None, str]
) -> stat.Panel:
    """Return a tile with a figure and its course; bounds colour it as colors.steps says, none leave it blue."""
    panel: stat.Panel = asked(stat.Panel(), title, description, unit, [target])
    panel.graph_mode(options.BigValueGraphMode.AREA).color_mode(options.BigValueColorMode.VALUE)
    panel.reduce_options(last()).thresholds(colors.steps(*(bounds or ((None, colors.BLUE),))))
    return panel.color_scheme(colors.by_thresholds()).justify_mode(options.BigValueJustifyMode.CENTER)


def severity_tile(title: str, description: str, targets: Sequence[Target]) -> stat.Panel:
    """Return a tile with a number per severity, each in its colour from 1 on; the targets' legends are severities."""
    panel: stat.Panel = asked(stat.Panel(), title, description, "short", targets)
    for severity, color in colors.SEVERITIES.items():
        shown = colors.steps((None, colors.GREEN), (1, color)).build()
        panel.override_by_name(severity, colors.values(thresholds=shown))
    panel.color_scheme(colors.by_thresholds()).color_mode(options.BigValueColorMode.BACKGROUND)
    panel.graph_mode(options.BigValueGraphMode.NONE).text_mode(options.BigValueTextMode.VALUE_AND_NAME)
    return panel.thresholds(colors.steps((None, colors.GREEN), (1, colors.RED))).reduce_options(last())


def lines(
    title: str,
    description: str,
    unit: str,
    targets: Sequence[Target],
    *,
    stacked: bool = False,
    named: Mapping[str, str] | None = None,
    lowest: float | None = 0,
) -> timeseries.Panel:
    """Return a chart over time. What targets.threshold_lines asks for is dashed in its severity's colour.

    The axis begins at lowest, with None where the figures do. Stacked piles the series up. named gives series colours
    by the last word of their legend, such as colors.CODES; all others have a colour by name, the same in every panel.
    """
    panel: timeseries.Panel = asked(timeseries.Panel(), title, description, unit, targets)
    mode = options.StackingMode.NORMAL if stacked else options.StackingMode.NONE
    panel.stacking(common.StackingConfig().group("A").mode(mode)).fill_opacity(35 if stacked else 8).line_width(1)
    panel.show_points(options.VisibilityMode.NEVER).color_scheme(colors.by_name())
    if lowest is not None:
        panel.min(lowest)
    # Gaps up to a minute are joined (ms): longer ones are missing data and must be seen.
    panel.span_nulls(60_000).axis_border_show(False)
    has_thresholds = any("threshold" in _legend_of(target) for target in targets)
    for matcher, properties in [*colors.meanings(named or {}), *(colors.THRESHOLD_LINES if has_thresholds else [])]:
        panel.with_override(matcher, properties)
    return panel.legend(_legend("lastNotNull", "max")).tooltip(_tooltip())


def bars(title: str, description: str, unit: str, targets: Sequence[Target], **options_: Any) -> timeseries.Panel:
    """Return stacked columns over time, for things counted per interval; named as of lines."""
    panel = lines(title, description, unit, targets, stacked=True, **options_)
    return panel.draw_style(options.GraphDrawStyle.BARS).fill_opacity(70).line_width(0)


def health_timeline(title: str, description: str, targets: Sequence[Target]) -> statetimeline.Panel:
    """Return states of health over time, a bar per series; a gap means that nothing was recorded."""
    panel: statetimeline.Panel = asked(statetimeline.Panel(), title, description, "short", targets)
    panel.mappings(colors.HEALTH).thresholds(colors.steps((None, colors.GREY))).color_scheme(colors.by_thresholds())
    panel.no_value("Unknown").merge_values(True).row_height(0.8).show_value(options.VisibilityMode.NEVER)
    panel.fill_opacity(80).line_width(0).align_value(options.TimelineValueAlignment.LEFT)
    return panel.legend(_legend().show_legend(False)).tooltip(_tooltip())


def heatmap(title: str, description: str, unit: str, target: Target) -> heatmaps.Panel:
    """Return a histogram over time, from targets.buckets; unit is that of the buckets' bounds."""
    panel: heatmaps.Panel = asked(heatmaps.Panel(), title, description, unit, [target])
    scheme = heatmaps.HeatmapColorOptions().mode(heatmap_options.HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    scheme.scale(heatmap_options.HeatmapColorScale.EXPONENTIAL).exponent(0.5).fill("blue").reverse(False)
    panel.calculate(False).color(scheme).cell_gap(1).y_axis(heatmaps.YAxisConfig().unit(unit))
    panel.filter_values(heatmaps.FilterValueRange().le(1e-9)).hide_legend()
    return panel.tooltip(heatmaps.HeatmapTooltip().mode(options.TooltipDisplayMode.SINGLE).y_histogram(True))


def doughnut(
    title: str, description: str, unit: str, target: Target, *, named: Mapping[str, str] | None = None
) -> piechart.Panel:
    """Return shares of a whole; named as of lines."""
    panel: piechart.Panel = asked(piechart.Panel(), title, description, unit, [target])
    panel.pie_type(PieChartType.DONUT).display_labels([PieChartLabels.PERCENT]).reduce_options(last())
    legend = piechart.PieChartLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.TABLE)
    legend.placement(options.LegendPlacement.RIGHT).values([PieChartLegendValues.VALUE, PieChartLegendValues.PERCENT])
    for matcher, properties in colors.meanings(named or {}):
        panel.with_override(matcher, properties)
    return panel.legend(legend).color_scheme(colors.by_name()).tooltip(_tooltip())


def ranking(
    title: str, description: str, unit: str, target: Target, *bounds: tuple[float | None, str]
) -> bargauge.Panel:
    """Return a bar per series, such as of topk; bounds colour them as colors.steps says, none leave them blue."""
    panel: bargauge.Panel = asked(bargauge.Panel(), title, description, unit, [target])
    panel.orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC).min(0)
    panel.value_mode(options.BarGaugeValueMode.TEXT).show_unfilled(True).reduce_options(last())
    panel.name_placement(options.BarGaugeNamePlacement.AUTO).thresholds(colors.steps(*(bounds or ((None, "blue"),))))
    return panel.color_scheme(colors.by_thresholds())


def markdown(title: str, description: str, content: str) -> texts.Panel:
    """Return a text."""
    panel = texts.Panel().title(title).description(description)
    return panel.mode(text_options.TextMode.MARKDOWN).content(content.strip())


def last(*, every_row: bool = False) -> common.ReduceDataOptions:
    """Return how a tile comes to its figure: the last one of each series, or every row of a table."""
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(every_row)


def _state_tile(title: str, description: str, target: Target, mappings: list[ValueMapping]) -> stat.Panel:
    panel: stat.Panel = asked(stat.Panel(), title, description, "short", [target])
    panel.no_value("Unknown").mappings(mappings).thresholds(colors.steps((None, colors.GREY)))
    panel.color_scheme(colors.by_thresholds()).color_mode(options.BigValueColorMode.BACKGROUND)
    panel.graph_mode(options.BigValueGraphMode.NONE).text_mode(options.BigValueTextMode.VALUE)
    return panel.justify_mode(options.BigValueJustifyMode.CENTER).reduce_options(last())


def _legend(*calculations: str) -> common.VizLegendOptions:
    mode = options.LegendDisplayMode.TABLE if calculations else options.LegendDisplayMode.LIST
    legend = common.VizLegendOptions().display_mode(mode).placement(options.LegendPlacement.BOTTOM)
    return legend.show_legend(True).calcs(list(calculations))


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)


def _legend_of(target: Target) -> str:
    return getattr(target.build(), "legend_format", None) or ""


def _source_of(target: Target) -> DataSourceRef:
    built: Any = target.build()
    found = built.data["datasource"] if hasattr(built, "data") else built.datasource
    return DataSourceRef.from_json(found) if isinstance(found, dict) else found
