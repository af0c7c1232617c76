"""Draw calls to outside APIs."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import apis, shared

VARIABLES = (
    variables.labels("app", "App", "platform_api_calls_total"),
    variables.labels("api", "API", 'platform_api_calls_total{app=~"$app"}'),
)

BOARD = Board(
    "apis",
    "Platform outgoing APIs",
    "Do the APIs we depend on answer, how fast, and how much of their quota is left?",
    [
        Section(
            "Calls",
            [
                Line(
                    9,
                    [
                        (
                            panels.lines(
                                "Success ratio",
                                "Share of successful calls over 5 minutes; lower is worse. "
                                "No line below the minimum of events.",
                                "percentunit",
                                [
                                    targets.series(apis.SUCCESS, "{{app}} {{api}}"),
                                    targets.threshold_lines(shared.api_threshold("api_success_ratio")),
                                ],
                            ).max(1),
                            12,
                        ),
                        (
                            panels.lines(
                                "Failures by reason",
                                "Failed calls per second, by API and reason.",
                                "reqps",
                                [targets.series(apis.FAILURES, "{{app}} {{api}} {{reason}}")],
                                stacked=True,
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
