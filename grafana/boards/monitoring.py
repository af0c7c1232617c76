"""Draw the monitoring itself."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import monitoring, shared

VARIABLES = (variables.labels("source", "Source", "platform_exporter_source_up"),)

BOARD = Board(
    "monitoring",
    "Platform monitoring",
    "Does the monitoring itself work, and what does it cost?",
    [
        Line(
            8,
            [
                (
                    panels.up_tile(
                        "Sources",
                        "Whether the last poll of each source succeeded.",
                        targets.now(monitoring.SOURCE_UP, "{{source}}"),
                    ),
                    6,
                ),
                (
                    panels.lines(
                        "Source lag",
                        "How long ago each source was last read completely.",
                        "s",
                        [
                            targets.series(monitoring.SOURCE_LAG, "{{source}}"),
                            targets.threshold_lines(shared.threshold("source_lag_seconds", app=False)),
                        ],
                    ),
                    9,
                ),
                (
                    panels.lines(
                        "Events read",
                        "Events counted per second and source.",
                        "cps",
                        [targets.series(monitoring.EVENTS, "{{source}}")],
                    ),
                    9,
                ),
            ],
        ),
        Line(
            8,
            [
                (
                    panels.lines(
                        "Label sets folded",
                        "Events counted under `_other_` in the last hour, because a metric had "
                        "reached its limit of series.",
                        "short",
                        [targets.series(monitoring.FOLDED, "{{source}} {{metric}}")],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Rows rejected",
                        "Malformed rows left out in the last hour, by reason.",
                        "short",
                        [targets.series(monitoring.REJECTED, "{{source}} {{reason}}")],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Scrape duration",
                        "How long Prometheus took to scrape each replica of the exporter; it gives up at 4 s.",
                        "s",
                        [targets.series(monitoring.SCRAPE_SECONDS, "{{instance}}")],
                    ),
                    8,
                ),
            ],
        ),
        Line(
            8,
            [
                (
                    panels.lines(
                        "Targets",
                        "1 where Prometheus can scrape a target, 0 where it cannot.",
                        "short",
                        [targets.series(monitoring.TARGETS, "{{job}} {{instance}}")],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Reloads of the exporter",
                        "1 where the last reload of its configuration worked.",
                        "short",
                        [targets.series(monitoring.RELOADS, "{{instance}}")],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Reloads of Alertmanager",
                        "1 where the last reload of its configuration worked.",
                        "short",
                        [targets.series(monitoring.ALERTMANAGER_RELOADS, "{{instance}}")],
                    ),
                    8,
                ),
            ],
        ),
        Line(
            8,
            [
                (
                    panels.lines(
                        "Rule groups",
                        "Share of its interval that evaluating a group took; above 1 evaluations are skipped.",
                        "percentunit",
                        [targets.series(monitoring.RULE_GROUPS, "{{rule_group}}")],
                    ),
                    6,
                ),
                (
                    panels.lines(
                        "Rules that fail",
                        "Evaluations of rules that failed, in 5 minutes.",
                        "short",
                        [targets.series(monitoring.RULE_FAILURES, "{{rule_group}}")],
                    ),
                    6,
                ),
                (
                    panels.lines(
                        "Alerts not sent",
                        "Alerts that Prometheus could not send to an Alertmanager, in 2 minutes.",
                        "short",
                        [targets.series(monitoring.ALERTMANAGER_ERRORS, "{{instance}} {{alertmanager}}")],
                    ),
                    6,
                ),
                (
                    panels.lines(
                        "Notifications that fail",
                        "Notifications that Alertmanager gave up, in 5 minutes.",
                        "short",
                        [targets.series(monitoring.NOTIFICATION_FAILURES, "{{integration}}")],
                    ),
                    6,
                ),
            ],
        ),
    ],
    VARIABLES,
)
