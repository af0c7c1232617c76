"""The dashboard of HTTP: rate, errors and duration of what apps serve, by route down to single requests."""

from grafana.design import colors, columns, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import consumers, health, http, shared

# SQL is asked for routes as well: All is the list of them.
VARIABLES = (
    variables.labels("app", "App", "platform_http_requests_total"),
    variables.labels("route", "Route", 'platform_http_requests_total{app=~"$app"}', listed=True),
    variables.traces(),
)
ROUTE = "{{app}} {{route}}"
ONLY_ROUTE = "Only this route"
TO_ROUTE = links.to("http", app="${__data.fields.app}", route="${__data.fields.route}")
TO_ERRORS = links.to("errors", app="${__data.fields.app}", endpoint="${__data.fields.route}")
BAD = colors.bands("http_error_ratio")


def _tiles() -> Line:
    judged = "The worst of the chosen apps, as alerts judge it. Unknown below the minimum of events."
    alerts = ("Alerts", links.to("alerts"))
    states = {"Errors": health.indicator("http_error_ratio"), "Response time": health.indicator("http_latency_seconds")}
    tiles = [
        panels.health_tile("State", f"Share of 5xx responses, and mean response time. {judged}", states, alerts),
        panels.number_tile("Requests", "Requests served per second.", {"Requests": http.CHOSEN_RATE}, "reqps"),
        panels.number_tile(
            "Failing", "Share of requests with a 5xx response.", {"Failing": http.CHOSEN_ERROR_RATIO}, "percentunit"
        ),
        panels.number_tile("Slowest 5 %", "5 % of requests take longer.", {"p95": http.QUANTILES["p95"]}, "s"),
        panels.number_tile(
            "Within 0.5 s",
            "Share of requests served within 0.5 seconds, which the latency objective is about.",
            {"Within 0.5 s": http.CHOSEN_QUICK},
            "percentunit",
            link=("Objectives", links.keeping("slo", "app")),
        ),
    ]
    return Line(4, tiles, (6, 4, 4, 5, 5))


def _golden() -> Line:
    rate = panels.lines(
        "Request rate", "Requests per second.", {"{{code}}": http.CODE_RATE}, "reqps", stacked=True, named=colors.CODES
    )
    ratio = panels.judged(
        "Error ratio",
        "Share of 5xx responses over 5 minutes, by app.",
        {"{{app}}": http.ERROR_RATIO},
        "http_error_ratio",
    )
    durations = panels.lines(
        "Duration",
        "The time that 50 %, 95 % and 99 % of requests take at most, and the mean, which the thresholds are about.",
        [
            targets.series(query, name).exemplar(name == "p99")
            for name, query in (http.QUANTILES | {"mean": http.CHOSEN_MEAN}).items()
        ],
        "s",
        indicator="http_latency_seconds",
        named=colors.PERCENTILES,
    )
    return Line(9, [rate, ratio, durations])


def _spread() -> Line:
    codes = panels.doughnut(
        "Status codes", "Responses in the chosen range.", {"{{code}}": http.CODES}, named=colors.CODES
    )
    heatmap = panels.heatmap(
        "Distribution of durations", "How many requests per second took how long.", "s", http.BUCKETS
    )
    before = panels.lines(
        "Compared with the usual",
        "Requests per second, and the least and the most that are usual at this hour of the week (dashed).",
        {"{{app}}": http.NOW_AS_JUDGED} | http.RATE_BAND,
        "reqps",
        dashed="usual",
    )
    return Line(10, [codes, heatmap, before], (6, 10, 8))


def _routes() -> Section:
    link = (ONLY_ROUTE, links.to("http", app="${__field.labels.app}", route="${__field.labels.route}"))
    rankings = [
        panels.ranking(title, text, {ROUTE: query}, unit, link=link)
        for title, text, unit, query in (
            ("Busiest routes", "Requests in the chosen range.", panels.COUNT, http.BUSIEST),
            ("Slowest routes", "Mean time in the chosen range.", "s", http.SLOWEST),
            ("Routes with the most failures", "5xx responses in the chosen range.", panels.COUNT, http.MOST_FAILING),
        )
    ]
    table = tables.measured(
        "All routes",
        "Each route in the chosen range: requests, share of failures, mean, and the p95 of the worst 5 minutes.",
        {
            "Requests": f"round({http.ROUTE_REQUESTS})",
            "Failing": http.ROUTE_ERROR_RATIO,
            "Mean": http.ROUTE_MEAN,
            "Worst p95": http.ROUTE_WORST_P95,
        },
        [
            *("app", tables.link("route", ONLY_ROUTE, TO_ROUTE), tables.column("route", width=230)),
            tables.gauge("Failing", *BAD),
            *(tables.column(name, unit="s") for name in ("Mean", "Worst p95")),
        ],
    )
    return Section("Routes", [Line(9, rankings), Line(11, [tables.sorted_by(table, "Requests")])])


def _endpoints() -> Section:
    table = tables.table(
        "Endpoints",
        "From the stored requests, by route and method. A stream counts with the time to its first byte."
        + shared.BOUNDED,
        http.ENDPOINTS,
        [
            *("app", tables.link("route", ONLY_ROUTE, TO_ROUTE), tables.link("method", "Its errors", TO_ERRORS)),
            *("requests", tables.gauge("errors", *BAD), tables.column("errors", "5xx", 110), "average", "minimum"),
            *("maximum", "last_served"),
        ],
    )
    return Section("Average, minimum and maximum by endpoint", [Line(12, [table])])


def _consumers() -> Section:
    each = "{{app}} {{consumer}}"
    most = f" The {consumers.MOST} with most over the whole range."
    table = tables.measured(
        "Largest consumers",
        "On whose behalf apps were asked, and asked external APIs, in the chosen range: of all routes. Those without a "
        "series of their own are one, _other_.",
        {
            "Requests": consumers.REQUESTS,
            "Failing": consumers.FAILING,
            "Rejected": consumers.REJECTED,
            "p95": consumers.P95,
            "API calls": consumers.CALLS,
            "API errors": consumers.CALLS_FAILING,
            "Cost": consumers.COST,
        },
        [
            *("app", tables.column("consumer", width=180)),
            tables.gauge("Failing", *colors.bands("consumer_error_ratio")),
            *(tables.column(name, unit="percentunit") for name in ("Rejected", "API errors")),
            tables.column("p95", unit="s"),
        ],
    ).min_width(90).decimals(2).no_value("No consumer found")  # fmt: skip
    rate = panels.lines("Requests by consumer", "Per second." + most, {each: consumers.RATE_OVER_TIME}, "reqps")
    errors = panels.judged(
        "Failing by consumer",
        "Share of 5xx responses over 5 minutes." + most,
        {each: consumers.ERRORS_OVER_TIME},
        "consumer_error_ratio",
    )
    cost = panels.lines(
        "Cost by consumer", "Of calls to external APIs in the hour before, in the account's currency." + most,
        {each: consumers.COST_PER_HOUR},
    )  # fmt: skip
    asked = tables.table(
        "What consumers ask for",
        "From the stored requests, of all consumers, by route." + shared.BOUNDED,
        consumers.ASKED,
        [
            *("app", tables.column("consumer", width=180), tables.link("route", ONLY_ROUTE, TO_ROUTE), "requests"),
            *(tables.gauge("errors", *BAD), tables.column("errors", "5xx", 110), "average", "last_served"),
        ],
    )
    return Section(
        "Consumers",
        [Line(9, [tables.sorted_by(table, "Requests")]), Line(12, [rate, errors, cost]), Line(9, [asked])],
    )


def _over_time() -> Section:
    most = " The six routes with the highest values over the whole range."
    charts = [
        panels.lines(title, text + most, {ROUTE: query}, unit)
        for title, text, unit, query in (
            ("Rate by route", "Requests per second.", "reqps", http.RATE_OVER_TIME),
            ("Error ratio by route", "Share of 5xx responses over 5 minutes.", "percentunit", http.ERRORS_OVER_TIME),
            ("p95 by route", "95 % of requests take at most this time.", "s", http.P95_OVER_TIME),
        )
    ]
    return Section("Routes over time", [Line(13, charts)], collapsed=True)


def _requests() -> Section:
    shown = [
        *(tables.column("at", None, 150, columns.CLOCK), tables.column("app", width=105)),
        *(tables.link("route", "Errors of this endpoint", TO_ERRORS), "method", tables.column("status", width=70)),
        *("duration_seconds", tables.column("response_bytes", width=85), "role", tables.column("release", width=105)),
        *tables.to_trace("duration_seconds"),
    ]
    bounded = shared.BOUNDED + " The dashboard of users shows who sent them."
    slow = tables.table("Slowest requests", "The 50 that took longest." + bounded, http.SLOW_ONES, shown)
    failed = tables.table("Newest failed requests", "The last 50 with 5xx." + bounded, http.FAILED_ONES, shown)
    return Section("Single requests", [Line(12, [slow]), Line(12, [failed])], collapsed=True)


def _apps() -> Section:
    rate = panels.lines("Rate by app", "Requests per second.", {"{{app}}": http.RATE}, "reqps")
    methods = panels.lines(
        "Rate by method", "Requests per second.", {"{{method}}": http.METHOD_RATE}, "reqps", stacked=True
    )
    mean = panels.judged(
        "Mean by app",
        "Over 5 minutes, and the most that is usual at this hour of the week (dashed).",
        {"{{app}}": http.MEAN, "{{app}} most usual": http.MOST_USUAL_MEAN},
        "http_latency_seconds",
        "s",
        dashed="usual",
    )
    slow = panels.judged(
        "Slow requests by app",
        "Share of requests over 5 minutes that took more than 2.5 s.",
        {"{{app}}": http.SLOW},
        "http_slow_ratio",
    )
    quantiles = [
        panels.lines(
            f"{name} by app",
            f"The time that {name.removeprefix('p')} % of requests take at most.",
            {"{{app}}": query},
            "s",
        )
        for name, query in http.APP_QUANTILES.items()
    ]
    return Section("Apps and methods", [Line(8, [rate, methods, mean]), Line(8, [slow, *quantiles])], collapsed=True)


BOARD = Board(
    "http",
    "How many requests are served, how many fail, how long do they take, and on which routes?",
    [_tiles(), _golden(), _spread(), _routes(), _endpoints(), _consumers(), _over_time(), _requests(), _apps()],
    VARIABLES,
)
