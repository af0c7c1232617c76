"""Draw the monitoring itself.

From top to bottom: does it work, what does not, then its parts in the order in which a figure passes them: the SDK in
applications, sources, the exporter, Prometheus, Alertmanager.
"""

from grafana.boards import monitoring_exporter, monitoring_servers
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import monitoring
from grafana.queries import monitoring_servers as servers

VARIABLES = (variables.labels("source", "Source", "platform_exporter_source_up"),)
NONE_IS_GOOD = ((None, colors.GREEN), (1, colors.RED))


def _glance() -> Line:
    up = [
        panels.up_tile(title, text, targets.now(query, title)).text_mode(panels.options.BigValueTextMode.VALUE)
        for title, text, query in (
            ("Exporter", "Whether any replica of the exporter answers.", monitoring.EXPORTER_UP),
            ("All sources", "Whether the last poll of every source succeeded.", monitoring.ALL_SOURCES_UP),
            ("All targets", "Whether Prometheus can scrape every target.", servers.ALL_UP),
            ("Watchdog", "The alert that always fires: without it no alert can arrive.", servers.WATCHDOG),
        )
    ]
    reached = panels.number_tile(
        "Alertmanagers reached",
        "To how many Alertmanagers alerts can be sent; of the Prometheus that reaches fewest.",
        "short",
        targets.series(servers.REACHED, "Reached"),
        (None, colors.RED),
        (1, colors.GREEN),
    ).decimals(0)
    rules = panels.number_tile(
        "Rules failed",
        "Evaluations of rules that failed in the chosen range; their alerts could not fire.",
        "short",
        targets.now(servers.RULES_FAILED, "Failed"),
        *NONE_IS_GOOD,
    ).decimals(0)
    notifications = panels.number_tile(
        "Notifications failed",
        "Notifications that Alertmanager gave up in the chosen range.",
        "short",
        targets.now(servers.NOTIFICATIONS_FAILED, "Failed"),
        *NONE_IS_GOOD,
    ).decimals(0)
    dropped = panels.number_tile(
        "Events dropped",
        "Share of the events of all applications that the SDK had to drop in the chosen range.",
        "percentunit",
        targets.now(monitoring.DROPPED_SHARE, "Dropped"),
    ).decimals(2)
    return Line(4, [(tile, 3) for tile in (*up, reached, rules, notifications, dropped)])


def _what() -> Line:
    firing = tables.table(
        "Alerts about the monitoring",
        "What fires now about exporter, sources, SDK, Prometheus and Alertmanager. A row opens the runbook.",
        [targets.rows(monitoring.ALERTS)],
        [
            tables.words("severity", colors.SEVERITIES),
            tables.link("alertname", "Runbook", links.to("runbook")),
        ],
        nothing="The monitoring works",
    ).with_transformation(
        tables.arranged(
            "severity",
            "alertname",
            "source",
            "app",
            "job",
            "instance",
            hidden=("Time", "Value", "__name__", "alertstate", "indicator"),
        )
    )
    reach = panels.health_timeline(
        "What is scraped",
        "Whether Prometheus could scrape each target.",
        [targets.series(servers.TARGETS, "{{job}} {{instance}}")],
    ).mappings(colors.UP_DOWN)
    return Line(7, [(firing, 13), (reach, 11)])


BOARD = Board(
    "monitoring",
    "Platform monitoring",
    "Does the monitoring itself work, and what does it cost?",
    [
        _glance(),
        _what(),
        monitoring_exporter.sources(),
        monitoring_exporter.sdk(),
        monitoring_exporter.replicas(),
        monitoring_servers.scrapes_and_rules(),
        monitoring_servers.alerting(),
    ],
    VARIABLES,
    buttons=[("components", "Components"), ("alerts", "Alerts"), ("runbook", "Runbook")],
)
