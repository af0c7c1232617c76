"""Draw the applications' own samples, each by its name and in its unit."""

from collections.abc import Callable

from grafana_foundation_sdk.builders import timeseries

from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import samples

NAME = "__name__"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
VARIABLES = (
    variables.labels("app", "App", samples.ALL),
    variables.labels("gauge", "Gauge", samples.GAUGE_NAMES, NAME, listed=True),
    variables.labels("counter", "Counter", samples.COUNTER_NAMES, NAME, listed=True),
    variables.labels(
        "distribution", "Distribution", samples.DISTRIBUTION_NAMES, NAME, listed=True, regex="/(.+)_count$/"
    ),
)


def _tiles() -> Line:
    names = panels.number_tile(
        "Samples", "How many custom metrics there are.", "short", targets.series(samples.NAMES, "Samples")
    )
    series = panels.number_tile(
        "Series",
        "How many series they are, by their own labels; each source may have as many as its configuration allows.",
        "short",
        targets.series(samples.SERIES, "Series"),
    )
    folded = panels.number_tile(
        "Label sets folded",
        "Label sets of samples counted under `_other_` in the chosen range, because there were too many series.",
        "short",
        targets.now(samples.FOLDED, "Folded"),
        (None, colors.GREEN),
        (1, colors.YELLOW),
    ).data_links([links.data_link("Monitoring", links.to("monitoring"))])
    return Line(4, [(tile, 8) for tile in (names, series, folded)])


def _known() -> Line:
    now = tables.table(
        "Gauges now",
        "The last value of each gauge, with its labels.",
        [targets.rows(samples.GAUGES_NOW)],
        [
            tables.link(
                "sample",
                "This gauge alone",
                links.to("samples", gauge=f"{samples.PREFIX}${{__data.fields.sample}}"),
            )
        ],
        nothing="No gauge is known",
    )
    now.with_transformation(tables.arranged("sample", "app", hidden=("Time",)))
    written = tables.table(
        "Rows written",
        "What applications wrote, by the names and units that they gave, of the last 24 hours of the range at most.",
        [targets.sql(samples.WRITTEN)],
        [
            *(tables.column(name, width=100) for name in ("rows", "average", "minimum", "maximum")),
            tables.column("last_written", unit="dateTimeFromNow", title="Last written", width=140),
        ],
        nothing="Nothing was written",
    )
    return Line(10, [(now.decimals(3), 10), (written.decimals(3), 14)])


def _each(variable: str, description: str, asked: list[tuple[str, str, Callable[[str], str]]]) -> timeseries.Panel:
    """Return the chart that is repeated for each name; asked are legends, units of names, and queries by them."""
    panel = panels.lines(
        f"${variable}",
        description,
        "short",
        [targets.series(query(unit), legend) for legend, unit, query in asked],
        named=colors.PERCENTILES,
        lowest=None,
    )
    return panel.repeat(variable).max_per_row(2)


def _gauges() -> timeseries.Panel:
    panel = _each(
        "gauge",
        "The gauge, a line per set of its labels, in the unit that its name ends with.",
        [("__auto", unit, samples.gauge) for unit in samples.GAUGE_UNITS],
    )
    return _in_units(panel, list(samples.GAUGE_UNITS.values()))


def _counters() -> timeseries.Panel:
    panel = _each(
        "counter",
        "By how much the counter grows per second, a line per set of its labels.",
        [("__auto", unit, samples.counter) for unit in samples.COUNTER_UNITS],
    )
    return _in_units(panel, list(samples.COUNTER_UNITS.values()))


def _distributions() -> timeseries.Panel:
    asked: list[tuple[str, str, Callable[[str], str]]] = []
    for unit in samples.DISTRIBUTION_UNITS:
        asked += [(f"{{{{app}}}} {name}", unit, _quantile(share)) for name, share in QUANTILES.items()]
        asked.append(("{{app}} mean", unit, samples.mean))
    shown = [samples.DISTRIBUTION_UNITS[unit] for _, unit, _ in asked]
    text = "How much half, 95 % and 99 % of the observations are at most, and their mean; of a summary the mean alone."
    return _in_units(_each("distribution", text, asked), shown)


def _quantile(share: float) -> Callable[[str], str]:
    return lambda unit: samples.quantile(share, unit)


def _in_units(panel: timeseries.Panel, units: list[str]) -> timeseries.Panel:
    """Return the panel, each of its queries with its unit."""
    for number, unit in enumerate(units):
        panel.override_by_query(chr(ord("A") + number), colors.values(unit=unit))
    return panel


BOARD = Board(
    "samples",
    "Platform custom samples",
    "What do the applications measure themselves?",
    [
        _tiles(),
        _known(),
        Section("Gauges", [Line(8, [(_gauges(), 12)])]),
        Section("Counters", [Line(8, [(_counters(), 12)])]),
        Section("Distributions", [Line(8, [(_distributions(), 12)])]),
    ],
    VARIABLES,
)
