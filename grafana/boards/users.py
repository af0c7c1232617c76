"""Draw users: who is active, and what they do."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import users

VARIABLES = (variables.labels("app", "App", "platform_user_activity_total"),)

BOARD = Board(
    "users",
    "Platform users",
    "How many users are active, and what do they do?",
    [
        Line(
            9,
            [
                (
                    panels.lines(
                        "Active users",
                        "Distinct users seen within each window.",
                        "short",
                        [targets.series(users.ACTIVE, "{{app}} {{window}}")],
                    ),
                    12,
                ),
                (
                    panels.lines(
                        "Activity",
                        "Things users did per minute, by type.",
                        "cpm",
                        [targets.series(users.ACTIVITY, "{{activity}}")],
                        stacked=True,
                    ),
                    12,
                ),
            ],
        ),
    ],
    VARIABLES,
)
