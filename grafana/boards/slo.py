"""Draw service level objectives: how much of each error budget is left."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import http, shared

VARIABLES = (variables.labels("app", "App", shared.APPS),)

BOARD = Board(
    "slo",
    "Platform objectives",
    "How much of each error budget is left, and how fast does it burn?",
    [
        Line(
            9,
            [
                (
                    panels.lines(
                        "Error ratio",
                        "Share of 5xx answers over 5 minutes: what the budget of availability is spent on.",
                        "percentunit",
                        [
                            targets.series(http.ERROR_RATIO, "{{app}}"),
                            targets.threshold_lines(shared.threshold("http_error_ratio")),
                        ],
                    ),
                    24,
                ),
            ],
        ),
    ],
    VARIABLES,
)
