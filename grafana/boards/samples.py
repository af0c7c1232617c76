"""The dashboard of the applications' own samples, each by its name and in its unit."""

from collections.abc import Callable

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
    names = panels.number_tile("Samples", "Number of custom metrics.", {"Samples": samples.NAMES})
    series = panels.number_tile(
        "Series", "Number of their series. The configuration limits them by source.", {"Series": samples.SERIES}
    )
    folded = panels.number_tile(
        "Folded label sets",
        "Label sets of samples counted as `_other_` in the chosen range, because there were too many series.",
        {"Folded": samples.FOLDED},
        bounds=((None, colors.GREEN), (1, colors.YELLOW)),
        link=("Monitoring", links.to("monitoring")),
    )
    return Line(4, [names, series, folded])


def _known() -> list[Line]:
    only = links.to("samples", gauge=f"{samples.PREFIX}${{__data.fields.sample}}")
    now = tables.of_series(
        "Gauges now",
        "The last value of each gauge, with its labels.",
        samples.GAUGES_NOW,
        [tables.link("sample", "Only this gauge", only), "app", "Value"],
    )
    written = tables.table(
        "Stored samples",
        "What applications stored, by the names and units that they gave. At most the last 24 hours of the range.",
        samples.WRITTEN,
        [
            *("app", "name", "kind", "unit"),
            *(tables.column(name, None, 110, panels.COUNT) for name in ("rows", "average", "minimum", "maximum")),
            "last_written",
        ],
    )
    return [Line(9, [now.decimals(3)]), Line(9, [written.decimals(3)])]


def _each(
    title: str, variable: str, description: str, units: dict[str, str], *asked: tuple[str, Callable[[str], str]]
) -> Section:
    """Return the chart that is repeated for each name; asked are legends, and queries by the unit that names end with.

    Each query has its unit.
    """
    made = [(unit, targets.series(query(name), legend)) for name, unit in units.items() for legend, query in asked]
    panel = panels.lines(f"${variable}", description, [one for _, one in made], named=colors.PERCENTILES, lowest=None)
    for number, (unit, _) in enumerate(made):
        panel.override_by_query(chr(ord("A") + number), colors.values(unit=unit))
    return Section(title, [Line(8, [panel.repeat(variable).max_per_row(2)], [12])])


def _repeated() -> list[Section]:
    gauge = "The gauge, a line per set of its labels, in the unit that its name ends with."
    counter = "Growth of the counter per second, a line per set of its labels."
    distribution = (
        "50 %, 95 % and 99 % of the observations are at most this value; and the mean (of summaries only it)."
    )
    quantiles = [(f"{{{{app}}}} {name}", samples.quantile(share)) for name, share in QUANTILES.items()]
    shares = (*quantiles, ("{{app}} mean", samples.mean))
    return [
        _each("Gauges", "gauge", gauge, samples.GAUGE_UNITS, ("__auto", samples.gauge)),
        _each("Counters", "counter", counter, samples.COUNTER_UNITS, ("__auto", samples.counter)),
        _each("Distributions", "distribution", distribution, samples.DISTRIBUTION_UNITS, *shares),
    ]


BOARD = Board(
    "samples",
    "What do the applications measure themselves?",
    [_tiles(), *_known(), *_repeated()],
    VARIABLES,
)
