"""Draw error issues: which there are, and which need somebody."""

from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import errors

VARIABLES = (
    variables.column("app", "App", errors.APPS),
    variables.words("severity", "Severity", list(colors.SEVERITIES)),
    variables.words("status", "Status", errors.STATUSES),
    variables.text("endpoint", "Endpoint contains"),
    variables.text("search", "Text contains"),
)

BOARD = Board(
    "errors",
    "Platform errors",
    "Which errors are open, how often do they occur, and whom do they hurt?",
    [
        Line(
            8,
            [
                (
                    panels.lines(
                        "Errors",
                        "Errors recorded per minute, by severity.",
                        "cpm",
                        [targets.series(errors.RATE, "{{severity}}")],
                        named=colors.SEVERITIES,
                        stacked=True,
                    ),
                    24,
                ),
            ],
        ),
        Line(
            14,
            [
                (
                    tables.table(
                        "Newest open issues",
                        "Groups of alike errors that are open, those that occurred last first.",
                        [targets.sql(errors.NEWEST)],
                        [
                            tables.words("severity", colors.SEVERITIES),
                            tables.words("status", colors.ISSUES),
                            tables.link(
                                "error_type",
                                "Open the issue",
                                links.to(
                                    "error", app="${__data.fields.app}", fingerprint="${__data.fields.fingerprint}"
                                ),
                            ),
                            tables.hidden("fingerprint"),
                        ],
                        nothing="No issue is open",
                    ),
                    24,
                ),
            ],
        ),
    ],
    VARIABLES,
)
