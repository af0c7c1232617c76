"""Panels that show figures.

Each function returns the SDK's builder of one panel, which the caller refines: `lines(...).decimals(0).max(1)`.
Queries are given as grafana.design.targets says, a link as its title and address.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, logs, piechart, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import heatmap as heatmaps
from grafana_foundation_sdk.builders import text as texts
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import heatmap as heatmap_options
from grafana_foundation_sdk.models import text as text_options
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import SpecialValueMap, ValueMapping
from grafana_foundation_sdk.models.piechart import PieChartLegendValues, PieChartType

from grafana.design import colors, links, targets
from grafana.design.targets import PROMETHEUS, Asked, Target
from grafana.queries import shared

COUNT = "locale"
"""The unit of numbers of things: grouped by thousands, where `short` would say "1 K" of 1,000 and "1.52 K" of 1,520."""

NONE = "–"  # noqa: RUF001
"""What a cell or a tile without a value shows."""

Bound = tuple[float | None, str]
Link = tuple[str, str]


def asked_panel(panel: Any, title: str, description: str, unit: str, found: Sequence[Target]) -> Any:
    """Return the panel with what every panel has: title, description, unit, data source, its queries named A, B, ..."""
    panel.title(title).description(description + targets.left_out(found)).unit(unit).no_value("No data")
    source: DataSourceRef = PROMETHEUS
    for number, target in enumerate(found):
        panel.with_target(target.ref_id(chr(ord("A") + number)))  # type: ignore[attr-defined]
        source = _source_of(target)
    return panel.datasource(source)


def health_tile(
    title: str,
    description: str,
    query: str | Mapping[str, str],
    link: Link | None = None,
    *,
    legend: str | None = None,
    mappings: list[ValueMapping] = colors.HEALTH,
) -> stat.Panel:
    """Return a tile with a state in its colour, grey if it is unknown.

    With a legend it has one per series, with its name; of queries by their names one each, with that name.
    """
    asked = {legend or title: query} if isinstance(query, str) else query
    panel: stat.Panel = asked_panel(stat.Panel(), title, description, "none", targets.at_end(asked))
    panel.no_value("Unknown").mappings(mappings).thresholds(colors.steps((None, colors.GREY)))
    panel.color_scheme(colors.by_thresholds()).color_mode(options.BigValueColorMode.BACKGROUND)
    alone = isinstance(query, str) and legend is None
    text = options.BigValueTextMode.VALUE if alone else options.BigValueTextMode.VALUE_AND_NAME
    panel.graph_mode(options.BigValueGraphMode.NONE).text_mode(text)
    if not alone:
        # The size that Grafana chooses for boxes beside each other cuts the last letters of "Warning" and "Unknown".
        panel.text(common.VizTextDisplayOptions().title_size(14).value_size(18))
    return _linked(panel.justify_mode(options.BigValueJustifyMode.CENTER).reduce_options(last()), link)


def number_tile(
    title: str,
    description: str,
    asked: Asked,
    unit: str = COUNT,
    *,
    bounds: Sequence[Bound] = (),
    link: Link | None = None,
) -> stat.Panel:
    """Return a tile with the figure at the end of the range; bounds colour it as colors.steps says, by default blue.

    It is never one of earlier: what has ended is missing. Counts are whole and written out: 1,520.
    """
    panel: stat.Panel = asked_panel(stat.Panel(), title, description, unit, targets.at_end(asked))
    panel.graph_mode(options.BigValueGraphMode.NONE).color_mode(options.BigValueColorMode.VALUE)
    panel.reduce_options(last()).thresholds(colors.steps(*(bounds or ((None, colors.BLUE),))))
    panel.color_scheme(colors.by_thresholds()).justify_mode(options.BigValueJustifyMode.CENTER)
    return _linked(panel.decimals(0) if unit == COUNT else panel, link)


def severity_tile(title: str, description: str, asked: Asked, link: Link | None = None) -> stat.Panel:
    """Return a tile with a number per severity, each in its colour from 1 on.

    The legends are severities; in a link ${__field.displayName} is the one that was clicked.
    """
    panel: stat.Panel = asked_panel(stat.Panel(), title, description, COUNT, targets.at_end(asked)).decimals(0)
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
    have one each, in their order. Series whose legend ends with the word dashed are dashed. The axis begins at lowest,
    with None where the figures do. Only what is stacked is filled: filled lines hide each other. The legend's place is
    chosen by the width, in grafana.design.layout.
    """
    if indicator:
        thresholds = (shared.api_threshold if by_api else shared.threshold)(indicator)
    limits = [targets.threshold_lines(thresholds)] if thresholds else []
    panel: timeseries.Panel = asked_panel(
        timeseries.Panel(), title, description, unit, [*targets.over_time(asked), *limits]
    )
    mode = options.StackingMode.NORMAL if stacked else options.StackingMode.NONE
    panel.stacking(common.StackingConfig().group("A").mode(mode)).fill_opacity(60 if stacked else 0)
    # The outline of what is stacked highest runs above all others, also where it is zero.
    panel.line_width(0 if stacked else 1)
    panel.show_points(options.VisibilityMode.NEVER).color_scheme(colors.in_order())
    if lowest is not None:
        panel.min(lowest)
    if unit == "percentunit":
        # An axis of nothing but zeros would reach to 100, which is 10000 %.
        panel.axis_soft_max(0.05)
    # Gaps up to five minutes (ms) are joined, the time over which rates are: longer ones are missing data and are seen.
    panel.span_nulls(300_000).axis_border_show(False)
    overrides = [*colors.meanings(named or {}), *(colors.THRESHOLD_LINES if thresholds else [])]
    for matcher, properties in [*overrides, *([colors.dashed(dashed)] if dashed else [])]:
        panel.with_override(matcher, properties)
    return panel.tooltip(_tooltip())


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
    """Return states over time, a bar per series; a gap means that nothing was recorded.

    Names have two fifths of the width: more is cut off.
    """
    found = targets.over_time(asked)
    panel: statetimeline.Panel = asked_panel(statetimeline.Panel(), title, description, "none", found)
    # A mapping of null would fill the gaps.
    panel.mappings([one for one in mappings if not isinstance(one, SpecialValueMap)]).color_scheme(colors.by_mapping())
    panel.merge_values(True).row_height(0.8).show_value(options.VisibilityMode.NEVER)
    panel.fill_opacity(80).line_width(0).align_value(options.TimelineValueAlignment.LEFT)
    legend = common.VizLegendOptions().show_legend(False).placement(options.LegendPlacement.BOTTOM)
    panel.legend(legend.display_mode(options.LegendDisplayMode.LIST)).tooltip(_tooltip())
    return _linked(panel, link)


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
    panel: piechart.Panel = asked_panel(piechart.Panel(), title, description, COUNT, targets.at_end(asked))
    panel.pie_type(PieChartType.DONUT).display_labels([]).reduce_options(last(every_row))
    # Below, side by side: a table beside the ring has no room for its figures. The tooltip has the numbers.
    legend = piechart.PieChartLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.LIST)
    legend.placement(options.LegendPlacement.BOTTOM).values([PieChartLegendValues.PERCENT])
    for matcher, properties in colors.meanings(named or {}):
        panel.with_override(matcher, properties)
    return panel.legend(legend).color_scheme(colors.in_order()).tooltip(_tooltip()).decimals(1)


def ranking(
    title: str,
    description: str,
    asked: Asked,
    unit: str = COUNT,
    *,
    bounds: Sequence[Bound] = (),
    link: Link | None = None,
) -> bargauge.Panel:
    """Return a bar per series, such as of topk; nine units of height have room for seven, eight for six.

    Bounds colour them as colors.steps says; without any they are blue.
    """
    panel: bargauge.Panel = asked_panel(bargauge.Panel(), title, description, unit, targets.at_end(asked))
    panel.orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC).min(0)
    panel.value_mode(options.BarGaugeValueMode.TEXT).show_unfilled(True).reduce_options(last())
    # A single bar would be as high as the panel.
    panel.sizing(options.BarGaugeSizing.MANUAL).min_viz_height(16).max_viz_height(40)
    # Beside its bar a name has a fifth of the width: above it, all.
    panel.name_placement(options.BarGaugeNamePlacement.TOP).text(
        common.VizTextDisplayOptions().title_size(12).value_size(12)
    )
    panel.thresholds(colors.steps(*(bounds or ((None, "blue"),))))
    panel.color_scheme(colors.by_thresholds())
    return _linked(panel.decimals(0) if unit == COUNT else panel, link)


def markdown(title: str, description: str, content: str) -> texts.Panel:
    """Return a text."""
    panel = texts.Panel().title(title).description(description)
    return panel.mode(text_options.TextMode.MARKDOWN).content(content.strip())


def stack_trace(title: str, description: str, found: Sequence[Target]) -> logs.Panel:
    """Return lines of a text in a monospace font, each with its level as a colour: columns time, body and level."""
    panel: logs.Panel = asked_panel(logs.Panel(), title, description, "short", found)
    panel.show_time(False).show_controls(True).show_labels(False).show_common_labels(False).enable_log_details(False)
    panel.wrap_log_message(True).prettify_log_message(False).dedup_strategy(options.LogsDedupStrategy.NONE)
    return panel.sort_order(options.LogsSortOrder.ASCENDING)


def last(every_row: bool = False) -> common.ReduceDataOptions:
    """Return how a tile gets its figure: the last one of each series, or every row of a table."""
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(every_row)


def _linked(panel: Any, link: Link | None) -> Any:
    return panel.data_links([links.data_link(*link)]) if link else panel


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)


def _source_of(target: Target) -> DataSourceRef:
    built: Any = target.build()
    found = built.data["datasource"] if hasattr(built, "data") else built.datasource
    return DataSourceRef.from_json(found) if isinstance(found, dict) else found
