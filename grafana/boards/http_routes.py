"""Draw the routes of HTTP: the busiest, slowest and most failing, each with its figures, and single requests."""

from grafana_foundation_sdk.builders import table

from grafana.design import links, panels, tables, targets
from grafana.design.layout import Line, Section
from grafana.queries import http

ALONE = links.to("http", app="${__data.fields.app}", route="${__data.fields.route}")
ERRORS = links.to("errors", app="${__data.fields.app}", endpoint="${__data.fields.route}")
LABELLED = links.to("http", app="${__field.labels.app}", route="${__field.labels.route}")


def sections() -> list[Section]:
    """Return the sections about routes."""
    return [
        Section("Routes", [_first_of_all(), Line(11, [(_table(), 24)])]),
        Section("Average, minimum and maximum per endpoint", [Line(12, [(_endpoints(), 24)])]),
        Section("Routes over time", [_over_time()], collapsed=True),
        Section("Single requests", [_single()], collapsed=True),
    ]


def _first_of_all() -> Line:
    busiest = panels.ranking(
        "Busiest routes", "Requests in the chosen range.", "short", targets.now(http.BUSIEST, "{{app}} {{route}}")
    )
    slowest = panels.ranking(
        "Slowest routes", "Mean time in the chosen range.", "s", targets.now(http.SLOWEST, "{{app}} {{route}}")
    )
    failing = panels.ranking(
        "Most failing routes", "5xx answers in the range.", "short", targets.now(http.MOST_FAILING, "{{app}} {{route}}")
    )
    alone = [links.data_link("This route alone", LABELLED)]
    return Line(9, [(ranking.decimals(2).data_links(alone), 8) for ranking in (busiest, slowest, failing)])


def _table() -> table.Panel:
    columns = {"Value #A": "Requests", "Value #B": "Failing", "Value #C": "Mean", "Value #D": "Worst p95"}
    asked = [http.ROUTE_REQUESTS, http.ROUTE_ERROR_RATIO, http.ROUTE_MEAN, http.ROUTE_WORST_P95]
    panel = tables.table(
        "All routes",
        "Per route in the chosen range: requests, the share that failed, the mean, and the p95 of the worst 5 minutes.",
        [targets.rows(expression) for expression in asked],
        [
            tables.link("route", "This route alone", ALONE),
            tables.gauge("Failing", color="red"),
            tables.column("Mean", unit="s"),
            tables.column("Worst p95", unit="s"),
        ],
    )
    panel.with_transformation(tables.merged())
    panel.with_transformation(tables.arranged("app", "route", *columns, renamed=columns, hidden=("Time",)))
    return tables.sorted_by(panel.decimals(2), "Requests")


def _endpoints() -> table.Panel:
    return tables.table(
        "Endpoints",
        "From the rows themselves: average, shortest and longest time per route and method, of the last 24 hours of "
        "the range at most. A stream counts with the time to its first byte.",
        [targets.sql(http.ENDPOINTS)],
        [
            tables.link("route", "This route alone", ALONE),
            tables.link("method", "Its errors", ERRORS),
            tables.gauge("errors", color="red"),
            *(tables.column(name, unit="s", width=110) for name in ("average", "minimum", "maximum")),
            tables.column("bytes", unit="bytes", title="Mean size", width=110),
            tables.column("last_served", unit="dateTimeFromNow", title="Last served", width=150),
        ],
        nothing="No request was served",
    )


def _over_time() -> Line:
    most = " The twelve with the most, over the whole range."
    charts = [
        panels.lines(title, text + most, unit, [targets.series(expression, "{{app}} {{route}}")])
        for title, text, unit, expression in (
            ("Rate per route", "Requests per second.", "reqps", http.RATE_OVER_TIME),
            ("Error ratio per route", "Share of 5xx answers over 5 minutes.", "percentunit", http.ERRORS_OVER_TIME),
            ("p95 per route", "What 95 % of requests take at most.", "s", http.P95_OVER_TIME),
        )
    ]
    return Line(10, [(chart, 8) for chart in charts])


def _single() -> Line:
    bounded = " Of the last 24 hours of the range at most. Who asked is on the dashboard of users."
    columns = [
        tables.column("at", unit="dateTimeAsIsoNoDateIfToday", title="At", width=150),
        tables.link("route", "Errors of this endpoint", ERRORS),
        tables.column("status", width=70),
        tables.column("duration_seconds", unit="s", title="Time", width=90),
        tables.column("response_bytes", unit="bytes", title="Size", width=90),
    ]
    slow = tables.table(
        "Slowest requests", "The fifty that took longest." + bounded, [targets.sql(http.SLOW_ONES)], columns
    )
    failed = tables.table(
        "Newest failed requests",
        "The fifty last answered with a 5xx status." + bounded,
        [targets.sql(http.FAILED_ONES)],
        columns,
        nothing="No request failed",
    )
    return Line(12, [(slow, 12), (failed, 12)])
