"""Panels that show figures.

Each function returns the SDK's builder of one panel, which the caller refines: `lines(...).decimals(0).max(1)`.
Queries are given as grafana.design.targets says, a link as its title and address.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, piechart, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import heatmap as heatmaps
from grafana_foundation_sdk.builders import text as texts
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import heatmap as heatmap_options
from grafana_foundation_sdk.models import text as text_options
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import ValueMapping
from grafana_foundation_sdk.models.piechart import PieChartLabels, PieChartLegendValues, PieChartType

from grafana.design import colors, links, targets
from grafana.design.targets import PROMETHEUS, Asked, Target
from grafana.queries import shared

Bound = tuple[float | None, str]
Link = tuple[str, str]


def asked_panel(panel: Any, title: str, description: str, unit: str, found: Sequence[Target]) -> Any:
    """Return the panel with what every panel has: title, description, unit, data source, its queries named A, B, ..."""
    panel.title(title).description(description).unit(unit).no_value("No data")
    source: DataSourceRef = PROMETHEUS
    for number, target in enumerate(found):
        panel.with_target(target.ref_id(chr(ord("A") + number)))  # type: ignore[attr-defined]
        source = _source_of(target)
    return panel.datasource(source)


def health_tile(
    title: str,
    description: str,
    query: str,
    link: Link | None = None,
    *,
    legend: str | None = None,
    mappings: list[ValueMapping] = colors.HEALTH,
) -> stat.Panel:
    """Return a tile with a state in its colour, grey if it is unknown; with a legend one per series, with its name."""
    panel: stat.Panel = asked_panel(stat.Panel(), title, description, "short", [targets.now(query, legend or title)])
    panel.no_value("Unknown").mappings(mappings).thresholds(colors.steps((None, colors.GREY)))
    panel.color_scheme(colors.by_thresholds()).color_mode(options.BigValueColorMode.BACKGROUND)
    text = options.BigValueTextMode.VALUE if legend is None else options.BigValueTextMode.VALUE_AND_NAME
    panel.graph_mode(options.BigValueGraphMode.NONE).text_mode(text)
    return _linked(panel.justify_mode(options.BigValueJustifyMode.CENTER).reduce_options(last()), link)


def number_tile(
    title: str,
    description: str,
    asked: Asked,
    unit: str = "short",
    *,
    bounds: Sequence[Bound] = (),
    link: Link | None = None,
    trend: bool = False,
) -> stat.Panel:
    """Return a tile with a figure at the end of the range; bounds colour it as colors.steps says, by default blue."""
    found = targets.over_time(asked) if trend else targets.at_end(asked)
    panel: stat.Panel = asked_panel(stat.Panel(), title, description, unit, found)
    panel.graph_mode(options.BigValueGraphMode.AREA).color_mode(options.BigValueColorMode.VALUE)
    panel.reduce_options(last()).thresholds(colors.steps(*(bounds or ((None, colors.BLUE),))))
    panel.color_scheme(colors.by_thresholds()).justify_mode(options.BigValueJustifyMode.CENTER)
    return _linked(panel, link)


def trend_tile(title: str, description: str, asked: Asked, unit: str = "short", **more: Any) -> stat.Panel:
    """Return a tile with the last figure of the range above its course; more is as of number_tile."""
    return number_tile(title, description, asked, unit, trend=True, **more)


def severity_tile(title: str, description: str, asked: Asked, link: Link | None = None) -> stat.Panel:
    """Return a tile with a number per severity, each in its colour from 1 on; the legends are severities."""
    panel: stat.Panel = asked_panel(stat.Panel(), title, description, "short", targets.at_end(asked))
    for severity, color in colors.SEVERITIES.items():
        shown = colors.steps((None, colors.GREEN), (1, color)).build()
        panel.override_by_name(severity, colors.values(thresholds=shown))
    panel.color_scheme(colors.by_thresholds()).color_mode(options.BigValueColorMode.BACKGROUND)
    panel.graph_mode(options.BigValueGraphMode.NONE).text_mode(options.BigValueTextMode.VALUE_AND_NAME)
    panel.thresholds(colors.steps((None, colors.GREEN), (1, colors.RED))).reduce_options(last())
    return _linked(panel, link)


def lines(
    title: str,
    description: str,
    asked: Asked,
    unit: str = "short",
    *,
    indicator: str = "",
    by_api: bool = False,
    thresholds: str = "",
    stacked: bool = False,
    named: Mapping[str, str] | None = None,
    dashed: str = "",
    lowest: float | None = 0,
) -> timeseries.Panel:
    """Return a chart over time.

    An indicator's thresholds in force (by app, or by app and API), or other PromQL of thresholds, are dashed in the
    severity's colour. named gives series colours by the last word of their legend, such as colors.CODES; all others
    have a colour by name, the same in every panel. Series whose legend ends with the word dashed are dashed. The axis
    begins at lowest, with None where the figures do.
    """
    if indicator:
        thresholds = (shared.api_threshold if by_api else shared.threshold)(indicator)
    limits = [targets.threshold_lines(thresholds)] if thresholds else []
    panel: timeseries.Panel = asked_panel(
        timeseries.Panel(), title, description, unit, [*targets.over_time(asked), *limits]
    )
    mode = options.StackingMode.NORMAL if stacked else options.StackingMode.NONE
    panel.stacking(common.StackingConfig().group("A").mode(mode)).fill_opacity(35 if stacked else 8).line_width(1)
    panel.show_points(options.VisibilityMode.NEVER).color_scheme(colors.by_name())
    if lowest is not None:
        panel.min(lowest)
    # Gaps up to a minute are joined (ms): longer ones are missing data and must be seen.
    panel.span_nulls(60_000).axis_border_show(False)
    overrides = [*colors.meanings(named or {}), *(colors.THRESHOLD_LINES if thresholds else [])]
    for matcher, properties in [*overrides, *([colors.dashed(dashed)] if dashed else [])]:
        panel.with_override(matcher, properties)
    return panel.legend(_legend("lastNotNull", "max")).tooltip(_tooltip())


def judged(
    title: str, description: str, asked: Asked, indicator: str, unit: str = "percentunit", **more: Any
) -> timeseries.Panel:
    """Return a chart of what alerts judge from a minimum of events on, with its thresholds; more is as of lines."""
    return lines(title, description + shared.FEW, asked, unit, indicator=indicator, **more)


def bars(title: str, description: str, asked: Asked, unit: str = "short", **more: Any) -> timeseries.Panel:
    """Return stacked columns over time, for things counted per interval; more is as of lines."""
    panel = lines(title, description, asked, unit, stacked=True, **more)
    return panel.draw_style(options.GraphDrawStyle.BARS).fill_opacity(70).line_width(0)


def health_timeline(
    title: str, description: str, asked: Asked, mappings: list[ValueMapping] = colors.HEALTH, link: Link | None = None
) -> statetimeline.Panel:
    """Return states over time, a bar per series; a gap means that nothing was recorded."""
    found = targets.over_time(asked)
    panel: statetimeline.Panel = asked_panel(statetimeline.Panel(), title, description, "short", found)
    panel.mappings(mappings).thresholds(colors.steps((None, colors.GREY))).color_scheme(colors.by_thresholds())
    panel.no_value("Unknown").merge_values(True).row_height(0.8).show_value(options.VisibilityMode.NEVER)
    panel.fill_opacity(80).line_width(0).align_value(options.TimelineValueAlignment.LEFT)
    return _linked(panel.legend(_legend().show_legend(False)).tooltip(_tooltip()), link)


def heatmap(title: str, description: str, unit: str, query: str) -> heatmaps.Panel:
    """Return a histogram over time, of its rate by `le`; unit is that of the buckets' bounds."""
    panel: heatmaps.Panel = asked_panel(heatmaps.Panel(), title, description, unit, [targets.buckets(query)])
    scheme = heatmaps.HeatmapColorOptions().mode(heatmap_options.HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    scheme.scale(heatmap_options.HeatmapColorScale.EXPONENTIAL).exponent(0.5).fill("blue").reverse(False)
    panel.calculate(False).color(scheme).cell_gap(1).y_axis(heatmaps.YAxisConfig().unit(unit))
    panel.filter_values(heatmaps.FilterValueRange().le(1e-9)).hide_legend()
    return panel.tooltip(heatmaps.HeatmapTooltip().mode(options.TooltipDisplayMode.SINGLE).y_histogram(True))


def doughnut(
    title: str, description: str, asked: Asked, *, named: Mapping[str, str] | None = None, every_row: bool = False
) -> piechart.Panel:
    """Return shares of a whole; named as of lines. every_row is for SQL, whose rows are the shares."""
    panel: piechart.Panel = asked_panel(piechart.Panel(), title, description, "short", targets.at_end(asked))
    panel.pie_type(PieChartType.DONUT).display_labels([PieChartLabels.PERCENT]).reduce_options(last(every_row))
    legend = piechart.PieChartLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.TABLE)
    legend.placement(options.LegendPlacement.RIGHT).values([PieChartLegendValues.VALUE, PieChartLegendValues.PERCENT])
    for matcher, properties in colors.meanings(named or {}):
        panel.with_override(matcher, properties)
    return panel.legend(legend).color_scheme(colors.by_name()).tooltip(_tooltip())


def ranking(
    title: str,
    description: str,
    asked: Asked,
    unit: str = "short",
    *,
    bounds: Sequence[Bound] = (),
    link: Link | None = None,
) -> bargauge.Panel:
    """Return a bar per series, such as of topk; bounds colour them as colors.steps says, without any they are blue."""
    panel: bargauge.Panel = asked_panel(bargauge.Panel(), title, description, unit, targets.at_end(asked))
    panel.orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC).min(0)
    panel.value_mode(options.BarGaugeValueMode.TEXT).show_unfilled(True).reduce_options(last())
    panel.name_placement(options.BarGaugeNamePlacement.AUTO).thresholds(colors.steps(*(bounds or ((None, "blue"),))))
    return _linked(panel.color_scheme(colors.by_thresholds()), link)


def markdown(title: str, description: str, content: str) -> texts.Panel:
    """Return a text."""
    panel = texts.Panel().title(title).description(description)
    return panel.mode(text_options.TextMode.MARKDOWN).content(content.strip())


def last(every_row: bool = False) -> common.ReduceDataOptions:
    """Return how a tile gets its figure: the last one of each series, or every row of a table."""
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(every_row)


def _linked(panel: Any, link: Link | None) -> Any:
    return panel.data_links([links.data_link(*link)]) if link else panel


def _legend(*calculations: str) -> common.VizLegendOptions:
    mode = options.LegendDisplayMode.TABLE if calculations else options.LegendDisplayMode.LIST
    legend = common.VizLegendOptions().display_mode(mode).placement(options.LegendPlacement.BOTTOM)
    return legend.show_legend(True).calcs(list(calculations))


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)


def _source_of(target: Target) -> DataSourceRef:
    built: Any = target.build()
    found = built.data["datasource"] if hasattr(built, "data") else built.datasource
    return DataSourceRef.from_json(found) if isinstance(found, dict) else found
