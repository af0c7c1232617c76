"""Draw the applications' own samples."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import samples

VARIABLES = (variables.labels("app", "App", samples.ALL),)

BOARD = Board(
    "samples",
    "Platform custom samples",
    "What do the applications measure themselves?",
    [
        Line(
            9,
            [
                (
                    panels.lines(
                        "Gauges",
                        "Samples of type gauge, each in its own unit, told by its name.",
                        "short",
                        [targets.series(samples.GAUGES, "{{__name__}} {{app}}")],
                    ),
                    24,
                ),
            ],
        ),
    ],
    VARIABLES,
)
