"""Draw HTTP: rate, errors and duration of what apps serve, and which routes are behind it."""

from grafana.boards import http_routes
from grafana.design import colors, links, panels, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import health, http, shared

# SQL is asked for routes as well: All is the list of them.
VARIABLES = (
    variables.labels("app", "App", "platform_http_requests_total"),
    variables.labels("route", "Route", 'platform_http_requests_total{app=~"$app"}', listed=True),
)
FEW = " No line below the minimum of events."


def _tiles() -> Line:
    judged = "The worst of the chosen apps, as the alerts judge it. Unknown below the minimum of events."
    alerts = links.data_link("Alerts", links.to("alerts"))
    errors = panels.health_tile(
        "Errors", f"Share of 5xx answers. {judged}", targets.now(health.indicator("http_error_ratio")), alerts
    )
    latency = panels.health_tile(
        "Response time", f"Mean time. {judged}", targets.now(health.indicator("http_latency_seconds")), alerts
    )
    rate = panels.number_tile(
        "Requests", "Requests served per second.", "reqps", targets.series(http.CHOSEN_RATE, "Requests")
    )
    failing = panels.number_tile(
        "Failing",
        "Share of requests answered with a 5xx status.",
        "percentunit",
        targets.series(http.CHOSEN_ERROR_RATIO, "Failing"),
    )
    slow = panels.number_tile(
        "Slowest twentieth", "The time that 5 % of requests exceed.", "s", targets.series(http.QUANTILES["p95"], "p95")
    )
    quick = panels.number_tile(
        "Within 0.5 s",
        "Share of requests served within half a second, which the objective of latency is about.",
        "percentunit",
        targets.series(http.CHOSEN_QUICK, "Within 0.5 s"),
    ).data_links([links.data_link("Objectives", links.keeping("slo", "app"))])
    return Line(4, [(tile, 4) for tile in (errors, latency, rate, failing, slow, quick)])


def _golden() -> Line:
    rate = panels.lines(
        "Request rate",
        "Requests served per second, by status code.",
        "reqps",
        [targets.series(http.CODE_RATE, "{{code}}")],
        stacked=True,
        named=colors.CODES,
    )
    ratio = panels.lines(
        "Error ratio",
        "Share of 5xx answers over 5 minutes, per app." + FEW,
        "percentunit",
        [
            targets.series(http.ERROR_RATIO, "{{app}}"),
            targets.threshold_lines(shared.threshold("http_error_ratio")),
        ],
    )
    durations = panels.lines(
        "Duration",
        "How long half, 95 % and 99 % of requests take at most, and the mean, which the thresholds are about.",
        "s",
        [
            *(targets.series(expression, name) for name, expression in http.QUANTILES.items()),
            targets.series(http.CHOSEN_MEAN, "mean"),
            targets.threshold_lines(shared.threshold("http_latency_seconds")),
        ],
        named=colors.PERCENTILES,
    )
    return Line(9, [(rate, 8), (ratio, 8), (durations, 8)])


def _spread() -> Line:
    codes = panels.doughnut(
        "Status codes",
        "Answers in the chosen range, by status code.",
        "short",
        targets.now(http.CODES, "{{code}}"),
        named=colors.CODES,
    )
    heatmap = panels.heatmap(
        "Durations",
        "How many requests per second took how long: a second band is a second kind of request.",
        "s",
        targets.buckets(http.BUCKETS),
    )
    before = panels.lines(
        "Against a week ago",
        "Requests per second now and at the same time a week ago.",
        "reqps",
        [
            targets.series(http.NOW_AS_JUDGED, "{{app}}"),
            targets.series(http.WEEK_AGO, "{{app}} a week ago"),
        ],
    )
    dashed = colors.values(custom__lineStyle={"fill": "dash", "dash": [4, 6]}, custom__fillOpacity=0)
    return Line(9, [(codes, 6), (heatmap, 10), (before.override_by_query("B", dashed), 8)])


def _apps() -> Section:
    shares = {"p50": "half", "p95": "95 %", "p99": "99 %"}
    charts = [
        panels.lines(
            f"{name} per app",
            f"How long {share} of requests take at most, over 5 minutes.",
            "s",
            [targets.series(http.APP_QUANTILES[name], "{{app}}")],
        )
        for name, share in shares.items()
    ]
    mean = panels.lines(
        "Mean per app",
        "Mean over 5 minutes, which the alerts judge." + FEW,
        "s",
        [targets.series(http.MEAN, "{{app}}"), targets.threshold_lines(shared.threshold("http_latency_seconds"))],
    )
    rate = panels.lines("Rate per app", "Requests per second.", "reqps", [targets.series(http.RATE, "{{app}}")])
    methods = panels.lines(
        "Rate per method",
        "Requests per second, by HTTP method.",
        "reqps",
        [targets.series(http.METHOD_RATE, "{{method}}")],
        stacked=True,
    )
    first, second = [(rate, 8), (methods, 8), (mean, 8)], [(chart, 8) for chart in charts]
    return Section("Apps and methods", [Line(8, first), Line(8, second)], collapsed=True)


BOARD = Board(
    "http",
    "Platform HTTP",
    "How many requests are served, how many fail, how long do they take, and on which routes?",
    [_tiles(), _golden(), _spread(), *http_routes.sections(), _apps()],
    VARIABLES,
    buttons=[("errors", "Errors"), ("slo", "Objectives"), ("users", "Users")],
)
