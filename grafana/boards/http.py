"""Draw HTTP: rate, errors and duration of what apps serve."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import http, shared

VARIABLES = (
    variables.labels("app", "App", "platform_http_requests_total"),
    variables.labels("route", "Route", 'platform_http_requests_total{app=~"$app"}'),
)

BOARD = Board(
    "http",
    "Platform HTTP",
    "How many requests are served, how many fail, how long do they take, and on which routes?",
    [
        Section(
            "Requests",
            [
                Line(
                    9,
                    [
                        (
                            panels.lines(
                                "Request rate by route",
                                "Requests served per second, by app and route.",
                                "reqps",
                                [targets.series(http.ROUTE_RATE, "{{app}} {{route}}")],
                            ),
                            12,
                        ),
                        (
                            panels.lines(
                                "Error ratio",
                                "Share of 5xx answers over 5 minutes. No line below the minimum of events.",
                                "percentunit",
                                [
                                    targets.series(http.ERROR_RATIO, "{{app}}"),
                                    targets.threshold_lines(shared.threshold("http_error_ratio")),
                                ],
                            ),
                            12,
                        ),
                    ],
                )
            ],
        ),
    ],
    VARIABLES,
)
