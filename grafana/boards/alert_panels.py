"""Draw what concerns alerts, on more than one dashboard."""

from grafana_foundation_sdk.builders import stat, table

from grafana.design import colors, links, panels, tables, targets
from grafana.queries import health

RULE_LABELS = ("Time", "Value", "__name__", "alertstate", "job", "instance")


def by_severity() -> stat.Panel:
    """Return the number of firing alerts of each severity."""
    panel = panels.severity_tile(
        "Firing alerts by severity",
        "How many alerts fire now. Those muted by inhibition or a silence are counted too.",
        [targets.now(health.firing(severity), severity) for severity in colors.SEVERITIES],
    )
    return panel.data_links([links.data_link("Alerts", links.to("alerts", severity="${__field.name}"))])


def firing() -> table.Panel:
    """Return the table of firing alerts."""
    panel = tables.table(
        "Firing alerts",
        "Every alert that fires now, the dead man's switch left out. The runbook has an entry for each.",
        [targets.rows(health.FIRING)],
        [
            tables.words("severity", colors.SEVERITIES),
            tables.link("alertname", "Runbook", links.to("runbook")),
        ],
        nothing="No alert fires",
    )
    return panel.with_transformation(tables.arranged("severity", "alertname", "app", "indicator", hidden=RULE_LABELS))
