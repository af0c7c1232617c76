"""Draw one error issue in all detail."""

from grafana.design import colors, tables, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import errors

VARIABLES = (
    variables.column("app", "App", errors.APPS),
    variables.one_of("fingerprint", "Issue", errors.FINGERPRINTS),
)

BOARD = Board(
    "error",
    "Platform error",
    "What happened, where, how often and to whom?",
    [
        Line(
            5,
            [
                (
                    tables.table(
                        "Issue",
                        "The chosen issue as it stands.",
                        [targets.sql(errors.ONE)],
                        [
                            tables.words("severity", colors.SEVERITIES),
                            tables.words("status", colors.ISSUES),
                            tables.trace("message"),
                        ],
                        nothing="Choose an issue",
                    ),
                    24,
                ),
            ],
        ),
    ],
    VARIABLES,
)
