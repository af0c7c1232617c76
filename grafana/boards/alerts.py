"""Draw alerts: what fires, what fired, what fires too often."""

from grafana.boards import alert_panels
from grafana.design import variables
from grafana.design.layout import Board, Line

VARIABLES = (
    variables.labels("severity", "Severity", "ALERTS"),
    variables.labels("alertname", "Alert", 'ALERTS{severity=~"$severity"}'),
)

BOARD = Board(
    "alerts",
    "Platform alerts",
    "What fires, since when, and which rules cry wolf?",
    [Line(9, [(alert_panels.by_severity(), 6), (alert_panels.firing(), 18)])],
    VARIABLES,
)
